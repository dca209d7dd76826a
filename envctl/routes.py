"""Routes (`images/routes.toml`): through which environment a model comes into a format that an engine reads."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from typing import Any

from envctl.errors import BadInput, Reason
from envctl.tree import payload

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = "routes.toml"
EXPORT = "export the model to ONNX in the framework that wrote it; of pickles and checkpoints envctl opens none"


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """One conversion: `adapter` does it in the environment of `engine`. `writer` is the component of the matrix whose
    releases say which opsets can be written ("": the format has none, or `opsets` are those, best first); one that
    `quantises` writes int8 itself."""

    formats: frozenset[str]
    to: str
    engine: str
    adapter: str
    writer: str
    source: str
    quantises: bool = False
    opsets: tuple[str, ...] = ()


# operators of TensorFlow that no writer sees: freezing takes variables and calls out, and the functions by which a
# SavedModel stores and restores itself are no part of its signatures
VANISHING = frozenset({
    "VarHandleOp", "ReadVariableOp", "VarIsInitializedOp", "AssignVariableOp", "DisableCopyOnRead", "NoOp",
    "StatefulPartitionedCall", "PartitionedCall", "MergeV2Checkpoints", "RestoreV2", "SaveV2", "ShardedFilename",
    "StaticRegexFullMatch", "StringJoin",
})  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """A framework's operators that a writer's release has a rule for, with the opset that it begins at."""

    writer: str
    release: str
    operators: dict[str, int]
    source: str


@cache
def rules(writer: str) -> Rules:
    """The registry of a writer, as it was asked."""
    table = next(each for each in _tables()["rules"] if each["writer"] == writer)
    since = {name: int(opset) for opset, names in table["operators"].items() for name in names}
    return Rules(writer=writer, release=table["release"], operators=since, source=table["source"])


def find(model_format: str, readable: frozenset[str], *, to: str = "") -> Route | None:
    """The route from a format to one that the engine reads: None where it reads the model as it is. With `to`, that
    format is passed in any case. Raises `BadInput` when no way leads there."""
    if model_format in readable and to in ("", model_format):
        return None
    wanted = readable & {to} if to else readable
    for route in routes():
        if model_format in route.formats and route.to in wanted:
            return route
    ways = sorted({route.to for route in routes() if model_format in route.formats})
    what = f"no way from {model_format} to {' or '.join(sorted(wanted)) or to}"
    for table in _tables().get("refused", ()):
        if model_format in table["formats"]:
            raise BadInput(what, because=[Reason(text=table["because"], source=table["source"])], do=table["do"])
    raise BadInput(what, do=[f"formats that it can be converted to: {', '.join(ways)}"] if ways else [EXPORT])


def reference_engine(model_format: str) -> str:
    """The engine that says what a model of this format shall answer; raises `BadInput` where none does."""
    for table in _tables().get("reference", ()):
        if model_format in table["formats"]:
            return str(table["engine"])
    do = ["compare with another model: --reference MODEL", "or leave the comparison out: --no-verify"]
    raise BadInput(f"no engine can be the reference for a model of format {model_format}", do=do)


@cache
def routes() -> tuple[Route, ...]:
    """All routes, in order of preference."""
    return tuple(_route(table) for table in _tables()["route"])


def _route(table: dict[str, Any]) -> Route:
    names = ("to", "engine", "adapter", "writer", "source")
    more: dict[str, Any] = {"quantises": bool(table.get("quantises", False)), "opsets": tuple(table.get("opsets", ()))}
    return Route(formats=frozenset(table["from"]), **more, **{name: table[name] for name in names})


@cache
def _tables() -> dict[str, Any]:
    return tomllib.loads((payload("images") / FILE).read_text(encoding="utf-8"))
