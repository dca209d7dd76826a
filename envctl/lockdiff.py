"""Two lock files -> what differs, as lines that a person and a program can read. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from envctl.lockfile import Asked, LockedBase, LockFile, Target

ABSENT = "-"


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One difference. `target` is "" for what concerns the whole file, `kind` what it is about, ABSENT stands for
    nothing on that side."""

    target: str
    kind: str
    name: str
    old: str
    new: str

    def __str__(self) -> str:
        where = f"{self.target}: " if self.target else ""
        return f"{where}{self.kind} {self.name} {self.old} -> {self.new}"


def differences(old: LockFile, new: LockFile) -> list[Difference]:
    """Everything that differs, the request first, then inputs, then target by target; nothing for equal files."""
    found = [*_told("", "request", _request(old.request), _request(new.request))]
    found += _told("", "input", old.inputs, new.inputs)
    before, after = ({each.name: each for each in file.targets} for file in (old, new))
    found += _told("", "target", dict.fromkeys(before, "locked"), dict.fromkeys(after, "locked"))
    for name in before:
        if name in after:
            found += _of_target(before[name], after[name])
    return found


def _request(asked: Asked) -> dict[str, str]:
    words = {"engine": asked.engine, "exclude-newer": asked.exclude_newer or ABSENT}
    words |= {f"pin {pin.name}": " or ".join(pin.any) for pin in asked.pins}
    for wanted in asked.targets:
        told = {"arch": wanted.arch, "facts": wanted.facts, "python": ",".join(wanted.pythons), "base": wanted.base}
        words |= {f"target {wanted.name} {name}": value or ABSENT for name, value in told.items()}
    return words


def _of_target(old: Target, new: Target) -> Iterator[Difference]:
    name = old.name
    yield from _told(name, "stack", _stack(old), _stack(new))
    yield from _told(name, "reason of", *_shared(_reasons(old), _reasons(new)))
    yield from _told(name, "open need", dict.fromkeys(old.open, "open"), dict.fromkeys(new.open, "open"))
    yield from _told(name, "base", _base(old.base), _base(new.base))
    yield from _told(name, "Debian package", _debian(old.base), _debian(new.base))
    yield from _told(name, "environment", _environment(old), _environment(new))
    yield from _packages(old, new)


def _stack(target: Target) -> dict[str, str]:
    return {line.component: line.version for line in target.stack}


def _reasons(target: Target) -> dict[str, str]:
    return {line.component: f"{'; '.join(line.why)} [{line.source}]" for line in target.stack}


def _environment(target: Target) -> dict[str, str]:
    return {"python": target.environment.python, "platform": target.environment.platform}


def _base(base: LockedBase | None) -> dict[str, str]:
    if base is None:
        return {}
    return {name: str(value) for name, value in asdict(base).items() if name != "packages" and value}


def _debian(base: LockedBase | None) -> dict[str, str]:
    packages = base.packages if base else ()
    return {package.name: f"{package.version} {package.arch} sha256:{package.sha256[:12]}" for package in packages}


def _packages(old: Target, new: Target) -> Iterator[Difference]:
    """Python packages: by version; where that is equal, by what else was locked of it."""
    before, after = ({each.name: each for each in target.environment.packages} for target in (old, new))
    versions = [{name: each.version for name, each in side.items()} for side in (before, after)]
    yield from _told(old.name, "package", *versions)
    for name in sorted(set(before) & set(after)):
        if before[name].version == after[name].version:
            details = [{f"{name} {k}": str(v) for k, v in asdict(side[name]).items()} for side in (before, after)]
            yield from _told(old.name, "package", *details)


def _shared(old: dict[str, str], new: dict[str, str]) -> list[dict[str, str]]:
    """What both sides have."""
    return [{name: text for name, text in side.items() if name in old and name in new} for side in (old, new)]


def _told(target: str, kind: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Difference]:
    for name in sorted({*old, *new}):
        one, other = old.get(name, ABSENT), new.get(name, ABSENT)
        if one != other:
            yield Difference(target=target, kind=kind, name=name, old=one, new=other)
