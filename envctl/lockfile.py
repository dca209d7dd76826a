"""A lock file: what was asked, what the answer rests on, and for each target its stack, base and environment.

Canonical JSON with neither time, host name, path nor address in it, so that the same answer is the same bytes
everywhere; `digest` names it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from envctl import lock
from envctl.debian import DebianPackage
from envctl.errors import BadInput, Reason
from envctl.lock import Lock
from envctl.tree import canonical_json

if TYPE_CHECKING:
    from envctl.request import Pin

FORMAT = 1
KIND = "envctl lock file"
RULES = 1  # how targets become stacks, bases and packages; part of the inputs of every lock file
Entry = TypeVar("Entry")


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """A pin: the component, the alternatives that it admits, and how it was said."""

    name: str
    any: tuple[str, ...]
    said: str

    def pin(self) -> Pin:
        """The pin for the solver."""
        from envctl.request import Pin
        from envctl.versions import Condition

        return Pin(name=self.name, condition=Condition(any=self.any), said=self.said)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A target as it was asked for. `facts` are its machine in the words of `--host`, `pythons` those it may have,
    best first (none: any), `base` is auto, none, a base that envctl makes, or a reference with its digest."""

    name: str
    arch: str
    facts: str
    pythons: tuple[str, ...]
    base: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """Everything that was asked; asking the same again gives the same answer while nothing has changed."""

    engine: str
    pins: tuple[Said, ...]
    targets: tuple[Wanted, ...]
    exclude_newer: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line of a stack: a component's version, why it was chosen, and the source of that release or fact."""

    component: str
    version: str
    why: tuple[str, ...]
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedBase:
    """What an environment stands on: an image by its digest, or the exact Debian packages of one that envctl makes.

    `recipe` is the digest of what the packages were chosen by; `diff_id` that of the base's only layer, where known.
    """

    kind: Literal["made", "registry"]
    name: str
    digest: str = ""
    suite: str = ""
    recipe: str = ""
    diff_id: str = ""
    packages: tuple[DebianPackage, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """The answer for one machine: its stack, its base (None: it was locked without one), its environment.

    `open` are the needs of the stack that nothing was said about.
    """

    name: str
    stack: tuple[Line, ...]
    open: tuple[str, ...]
    base: LockedBase | None
    environment: Lock

    def version(self, component: str) -> str | None:
        """A component's version in the stack."""
        return next((line.version for line in self.stack if line.component == component), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class LockFile:
    """The whole file. `inputs` names everything the answer was worked out from, with its SHA-256."""

    request: Asked
    inputs: dict[str, str]
    targets: tuple[Target, ...]

    def text(self) -> str:
        """The file as canonical JSON."""
        return canonical_json({"kind": KIND, "format": FORMAT, **asdict(self)})

    @property
    def digest(self) -> str:
        """The SHA-256 of the file's text."""
        return hashlib.sha256(self.text().encode()).hexdigest()

    def target(self, name: str) -> Target:
        """The target of that name ("": the only one). Raises `BadInput` with the names there are."""
        return one_of(self.targets, name)


def one_of(targets: Sequence[Entry], name: str, called: Callable[[Entry], str] = attrgetter("name")) -> Entry:
    """The one that is called so ("": the only one). Raises `BadInput` with the names there are."""
    chosen = [each for each in targets if called(each) == name] if name else targets
    if len(chosen) == 1:
        return chosen[0]
    names = ", ".join(map(called, targets))
    if not names:
        what = f"the lock has no targets, so none called {name!r}"
        raise BadInput(what, do=["leave --target out, or give a file that envctl lock wrote"])
    what = f"the lock has no target {name!r}" if name else "the lock has several targets"
    raise BadInput(what, do=[f"--target NAME, one of: {names}"])


def load(path: Path) -> LockFile:
    """The lock file at a path; raises `BadInput` when it is not there or is none."""
    return parse(text_of(path), str(path))


def text_of(path: Path) -> str:
    """The text of a lock of any kind; raises `BadInput` when it cannot be read."""
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        do = ["make it: envctl lock --ort 1.31 -o FILE"]
        raise BadInput(f"cannot read the lock {path}", because=[Reason(text=str(error))], do=do) from error


def parse(text: str, source: str = "the lock") -> LockFile:
    """The lock file written in `text`; raises `BadInput` for another format, and for one that was damaged or edited."""
    do = ["make it again: envctl lock", "or take the file from version control"]
    try:
        data = json.loads(text)
        _check_kind(data, source)
        found = _lock_file(data)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        because = [Reason(text=f"{type(error).__name__}: {error}", source=source)]
        raise BadInput(f"{source} is not a whole lock file", because=because, do=do) from error
    if found.text() != text:
        because = [Reason(text="it is not what envctl writes: unknown fields, another order, or other line ends")]
        raise BadInput(f"{source} was changed after it was written", because=because, do=do)
    return found


def _check_kind(data: Any, source: str) -> None:
    if not isinstance(data, dict) or data.get("kind") != KIND:
        raise ValueError(f"no {KIND!r}")
    if data["format"] != FORMAT:
        what = f"{source} has format {data['format']}; this envctl reads format {FORMAT}"
        raise BadInput(what, do=["use the envctl that wrote it", "or make it again: envctl lock"])


def _lock_file(data: dict[str, Any]) -> LockFile:
    request, inputs = data["request"], data["inputs"]
    asked = Asked(
        engine=_text(request["engine"]),
        pins=_each(request["pins"], _said),
        targets=_each(request["targets"], _wanted),
        exclude_newer=_text(request["exclude_newer"]),
    )
    found = LockFile(
        request=asked,
        inputs={_text(name): _text(digest) for name, digest in inputs.items()},
        targets=_each(data["targets"], _target),
    )
    if not found.targets or [each.name for each in asked.targets] != [each.name for each in found.targets]:
        raise ValueError("the targets are not those that were asked for")
    return found


def _said(data: dict[str, Any]) -> Said:
    return Said(name=_text(data["name"]), any=_each(data["any"], _text), said=_text(data["said"]))


def _wanted(data: dict[str, Any]) -> Wanted:
    plain = {name: _text(data[name]) for name in ("name", "arch", "facts", "base")}
    return Wanted(**plain, pythons=_each(data["pythons"], _text))


def _target(data: dict[str, Any]) -> Target:
    base = None if data["base"] is None else _base(data["base"])
    name, needs, environment = _text(data["name"]), _each(data["open"], _text), lock.read(data["environment"])
    return Target(name=name, stack=_each(data["stack"], _line), open=needs, base=base, environment=environment)


def _line(data: dict[str, Any]) -> Line:
    plain = {name: _text(data[name]) for name in ("component", "version", "source")}
    return Line(**plain, why=_each(data["why"], _text))


def _base(data: dict[str, Any]) -> LockedBase:
    if data["kind"] not in ("made", "registry"):
        raise ValueError(f"base of kind {data['kind']!r}")
    plain = {name: _text(data[name]) for name in ("name", "digest", "suite", "recipe", "diff_id")}
    return LockedBase(kind=data["kind"], **plain, packages=_each(data["packages"], _debian))


def _debian(data: dict[str, Any]) -> DebianPackage:
    if type(data["size"]) is not int or len(data["sha256"]) != 64:
        raise ValueError(f"size or hash of {data['name']}")
    plain = {name: _text(data[name]) for name in ("name", "version", "arch", "sha256")}
    return DebianPackage(**plain, size=data["size"])


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _each(values: Any, read: Callable[[Any], Entry]) -> tuple[Entry, ...]:
    if not isinstance(values, list):
        raise TypeError(f"{values!r} is not a list")
    return tuple(read(value) for value in values)
