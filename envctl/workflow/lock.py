"""`envctl lock`: a request -> a lock file; an old one -> what has drifted since."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from envctl import export as exports
from envctl.aliases import read_indexes
from envctl.errors import BadInput
from envctl.lockdiff import Difference, differences
from envctl.lockfile import RULES, Asked, LockFile, Target, load
from envctl.matrix import Matrix
from envctl.matrix import load as load_matrix
from envctl.spec import ImageSpec, read_spec
from envctl.tree import canonical_json, disk_errors, write_whole
from envctl.workflow.lock_target import EVERYTHING, Maker, check_base, make_target

FORMATS = ("requirements", "pylock")


@dataclass(frozen=True, kw_only=True, slots=True)
class LockOptions:
    """How to lock: `upgrade` names packages and components that need not stay as they are in the old file."""

    upgrade: frozenset[str] = frozenset()
    index: tuple[str, ...] = ()
    offline: bool = False


def read_old(path: Path) -> LockFile | None:
    """The lock file that is there already, None when there is none."""
    return load(path) if path.exists() else None


def make(
    asked: Asked, old: LockFile | None, options: LockOptions, say: Callable[[str], None], *, fresh: bool = False
) -> LockFile:
    """The lock file for a request; what the old one chose stays where it can."""
    for wanted in asked.targets:
        check_base(wanted.base)
    maker = Maker(
        matrix=load_matrix(),
        spec=read_spec(asked.engine),
        asked=asked,
        indexes=read_indexes(list(options.index)),
        say=say,
        upgrade=options.upgrade,
        offline=options.offline,
        fresh=fresh or EVERYTHING in options.upgrade,
    )
    _check_upgrade(options.upgrade, old)
    before = {target.name: target for target in old.targets} if old else {}
    targets = tuple(make_target(maker, wanted, before.get(wanted.name))[0] for wanted in asked.targets)
    return LockFile(request=asked, inputs=dict(_inputs(maker.matrix, maker.spec, targets)), targets=targets)


def write(found: LockFile, path: Path) -> None:
    """Write a lock file, whole or not at all. What is there and is no lock file is not overwritten."""
    with disk_errors(path):
        if path.is_dir():
            raise BadInput(f"{path} is a folder", do=["name a file: -o envctl.lock"])
        write_whole(path, found.text())


def check(
    asked: Asked | None, old: LockFile, options: LockOptions, say: Callable[[str], None]
) -> tuple[list[Difference], LockFile]:
    """What would be different if it were locked again now, and that answer; nothing is written."""
    found = make(asked or old.request, old, options, say, fresh=not options.offline)
    return differences(old, found), found


def export(path: Path, target: str, form: str, index: list[str], say: Callable[[str], None]) -> str:
    """One target's packages as requirements or as pylock.toml; the latter asks the indexes for addresses."""
    if form not in FORMATS:
        raise BadInput(f"--format {form!r} is unknown", do=[f"one of: {', '.join(FORMATS)}"])
    found = load(path)
    environment = found.target(target).environment
    if form == "requirements":
        return exports.requirements(environment, found.digest)
    say(f"asking where the {len(environment.packages)} wheels lie")
    return exports.pylock(environment, exports.addresses(environment, read_indexes(index)))


def write_export(text: str, path: Path, form: str) -> None:
    """Write an export; a pylock file has the name that other tools know it by."""
    if form == "pylock" and not re.fullmatch(r"pylock(\.[^.]+)?\.toml", path.name):
        raise BadInput(f"{path.name} is no name of a pylock file", do=["-o pylock.toml, or -o pylock.NAME.toml"])
    with disk_errors(path):
        write_whole(path, text)


def _check_upgrade(upgrade: frozenset[str], old: LockFile | None) -> None:
    """Raise `BadInput` for a name that is in no target: a typing error would upgrade nothing, in silence."""
    if old is None:
        return
    known = {package.name for target in old.targets for package in target.environment.packages}
    known |= {line.component for target in old.targets for line in target.stack}
    for name in sorted(upgrade - known - {EVERYTHING}):
        do = [f"one of: {', '.join(sorted(known))}"]
        raise BadInput(f"--upgrade {name}: the lock holds nothing of that name", do=do)


def _inputs(matrix: Matrix, spec: ImageSpec, targets: tuple[Target, ...]) -> Iterator[tuple[str, str]]:
    """What the answer rests on: the rows of the matrix that were chosen, the image spec, bases, and the rules."""
    yield "lock rules", _digest(RULES)
    yield f"image spec {spec.engine}", _digest(_plain(asdict(spec)))
    for target in targets:
        if target.base and target.base.kind == "made":
            yield f"base recipe {target.base.name}", target.base.recipe
        for line in target.stack:
            row = matrix.component(line.component).row(line.version)
            if row:  # a note decides nothing, and what other sources say does not either
                yield (
                    f"matrix row {row.component} {row.version}",
                    _digest(_plain(asdict(replace(row, note="", contradicts=())))),
                )


def _digest(data: object) -> str:
    return hashlib.sha256(canonical_json(data).encode()).hexdigest()


def _plain(value: object) -> object:
    """The same as JSON has it; sets sorted."""
    if isinstance(value, dict):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return value
