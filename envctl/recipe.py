"""The parts of an image spec: which packages an engine takes, and what it is known to read, each with its source."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from envctl.solver import Stack


def is_for(when: str, version: str) -> bool:
    """Whether a row for the releases `when` is for this one."""
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(when).contains(version, prereleases=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Packages:
    """The distributions of one environment: requirements, and the index alias of those not on the default one.

    `on` says for which side of an engine that comes for both: "cpu", "gpu", or "" for either; `cuda` for which CUDA
    of the stack, where an engine has distributions for several. `alone` are those that come without what their metadata
    asks for, each with the reason. `index_where_set` are aliases that count on machines that have an address for them,
    `where_chosen` more requirements, for stacks that hold a component.
    """

    requirements: tuple[str, ...]
    index: dict[str, str]
    on: str = ""
    cuda: str = ""
    alone: dict[str, str] = field(default_factory=dict)
    index_where_set: dict[str, str] = field(default_factory=dict)
    where_chosen: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def served_by(self, aliases: Collection[str]) -> Packages:
        """The same with those of the aliases that count where a machine has an address for them."""
        there = {name: alias for name, alias in self.index_where_set.items() if alias in aliases}
        return replace(self, index=self.index | there) if there else self

    def filled(self, versions: dict[str, str]) -> Packages:
        """The same for a stack's versions: holes filled, what comes with some of its components added, and nothing said
        of distributions that are not there."""
        more = [each for name, added in self.where_chosen.items() if name in versions for each in added]
        absent = set(self.where_chosen) - set(versions)
        requirements = tuple(each.format_map(versions) for each in (*self.requirements, *more))
        alone = {name: why for name, why in self.alone.items() if name not in absent}
        return replace(self, requirements=requirements, alone=alone)

    def fits(self, stack: Stack) -> bool:
        """Whether these are the distributions for the side and the CUDA of a stack."""
        side = self.on in ("", "gpu" if stack.on_gpu else "cpu")
        return side and (not self.cuda or is_for(self.cuda, stack.version("cuda")))


@dataclass(frozen=True, kw_only=True, slots=True)
class Types:
    """The element types that an engine's releases `when` read as they are, and those that they make others of."""

    when: str
    takes: tuple[str, ...]
    casts: dict[str, str]
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class GraphTypes:
    """How the engine's releases `when` come to these precisions: a step before, the worker's module `adapter`, writes
    the types into the graph with the packages named, of which those of `also` are components of the matrix
    and those of `alone` come without what their metadata asks for.
    `keep_float32` are operators that the engine has not in that precision."""

    when: str
    precisions: tuple[str, ...]
    requirements: tuple[str, ...]
    keep_float32: tuple[str, ...]
    source: str
    adapter: str = "graph_types"
    also: tuple[str, ...] = ()
    alone: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """A precision that an engine cannot be asked for, why, and what says so."""

    precision: str
    text: str
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Provider:
    """Another way in which an engine's releases `when` execute, by its name: `why` others cannot, what comes `also`
    from the matrix and which packages it needs more, and the adapter and kind of machine where these are others. `on`
    "gpu" takes the packages for that side of an engine that comes for both."""

    name: str
    title: str
    when: str
    why: str
    source: str
    adapter: str = ""
    runs_on: str = ""
    converts: bool | None = None
    on: str = ""
    also: tuple[str, ...] = ()
    features: frozenset[str] = frozenset()
    requirements: tuple[str, ...] = ()
    index: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ends:
    """The element types that a model's inputs and outputs can have with an engine, and what says so."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Kernels:
    """The element types for which an engine's releases `when` have the operators that are named; of others nothing is
    said."""

    when: str
    takes: dict[str, tuple[str, ...]]
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Operators:
    """All operators of ONNX's own domain that an engine's releases `when` read."""

    when: str
    names: frozenset[str]
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Lacks:
    """Operators of ONNX's own domain that the releases `when` have no way for; `tried` is the one that was asked."""

    when: str
    tried: str
    names: frozenset[str]
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Passes:
    """Operators of ONNX's own domain of which a release passes at least one of ONNX's own tests."""

    release: str
    names: frozenset[str]
    source: str


def read_packages(table: dict[str, Any]) -> Packages:
    """One `[[packages]]`."""
    return Packages(
        requirements=tuple(table["requirements"]),
        index=dict(table.get("index", {})),
        on=table.get("on", ""),
        cuda=table.get("cuda", ""),
        alone=dict(table.get("alone", {})),
        index_where_set=dict(table.get("index_where_set", {})),
        where_chosen={name: tuple(more) for name, more in table.get("where_chosen", {}).items()},
    )


def read_types(table: dict[str, Any]) -> Types:
    """One `[[types]]`."""
    return Types(when=table["when"], takes=tuple(table["takes"]), casts=dict(table["casts"]), source=table["source"])


def read_graph_types(table: dict[str, Any]) -> GraphTypes:
    """One `[[graph_types]]`."""
    return GraphTypes(
        when=table.get("when", ""),
        precisions=tuple(table["precisions"]),
        requirements=tuple(table["requirements"]),
        keep_float32=tuple(table.get("keep_float32", ())),
        source=table["source"],
        adapter=table.get("adapter", "graph_types"),
        also=tuple(table.get("also", ())),
        alone=dict(table.get("alone", {})),
    )


def read_provider(table: dict[str, Any]) -> Provider:
    """One `[[providers]]`."""
    lists = {name: tuple(table.get(name, ())) for name in ("also", "requirements")}
    return Provider(**{**table, **lists, "features": frozenset(table.get("features", ()))})


def read_ends(table: dict[str, Any]) -> Ends:
    """`[ends]`."""
    return Ends(inputs=tuple(table["inputs"]), outputs=tuple(table["outputs"]), source=table["source"])


def read_kernels(table: dict[str, Any]) -> Kernels:
    """One `[[kernels]]`."""
    takes = {op: tuple(types) for op, types in table["takes"].items()}
    return Kernels(when=table["when"], takes=takes, source=table["source"])


def read_operators(table: dict[str, Any]) -> Operators:
    """One `[[operators]]`."""
    return Operators(when=table["when"], names=frozenset(table["names"]), source=table["source"])


def read_lacks(table: dict[str, Any]) -> Lacks:
    """One `[[lacks]]`."""
    return Lacks(when=table["when"], tried=table["tried"], names=frozenset(table["names"]), source=table["source"])


def read_passes(table: dict[str, Any]) -> Passes:
    """`[passes]`."""
    return Passes(release=table["release"], names=frozenset(table["names"]), source=table["source"])
