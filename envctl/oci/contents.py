"""What stands in an environment, wheel by wheel: read from the wheels when somebody needs it, and then only once."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path

from envctl.lock import Lock
from envctl.oci import RULES
from envctl.oci.base_image import BaseImage
from envctl.oci.bytecode import Bytecode, Compiler
from envctl.oci.content import compact_json
from envctl.oci.entry import Entry, together
from envctl.oci.install import check_is, installed, skeleton, sources
from envctl.oci.recipe import Place
from envctl.oci.store import read_note, write_note
from envctl.oci.wheel import Wheel, read_wheel
from envctl.package import LockedPackage


class Contents:
    """The files of a lock's environment on a base. `bring` gives the wheels' paths by hash."""

    def __init__(
        self,
        lock: Lock,
        base: BaseImage,
        place: Place,
        bring: Callable[[], dict[str, Path]],
        say: Callable[[str], None],
    ) -> None:
        self.lock, self.base, self.place, self.bring, self.say = lock, base, place, bring, say
        self.wheels: dict[str, Wheel] = {}
        self.entries: dict[str, list[Entry]] = {}
        self.compiled = Bytecode(Compiler(base=base, place=place), say)

    @cached_property
    def paths(self) -> dict[str, Path]:
        """The wheels by hash."""
        return self.bring()

    def check(self) -> None:
        """Raise `BadInput` for a wheel that cannot be installed, and where two wheels claim one path.

        What a wheel puts where is kept: a wheel that was looked into before is not opened again, unless it shares
        a path with one that it was not compared with yet.
        """
        names = self.names
        own = [entry.path for entry in self.skeleton if entry.kind != "folder"]
        if clashes := _clashes([*names.values(), own]):
            self._check_sharing(tuple(package for package in names if _has_one_of(clashes, names[package])))

    @cached_property
    def names(self) -> dict[LockedPackage, list[str]]:
        """The paths of each wheel's files, and of all bytecode that may come of it."""
        return {package: self._names(package) for package in self.lock.packages}

    def _check_sharing(self, packages: tuple[LockedPackage, ...]) -> None:
        """Raise `BadInput` unless these wheels have the same bytes for every path that they share; that they have, is
        kept: to open large wheels again takes longer than all else that a mounted environment needs."""
        parts = [RULES, sorted(each.sha256 for each in packages), self.base.identity]
        key = hashlib.sha256(compact_json([*parts, self.place.prefix, self.place.python])).hexdigest()
        if read_note("names", key) is None:
            together([*(self._of(package) for package in packages), self.skeleton])
            write_note("names", key, {"apart": True})

    @cached_property
    def bytecode(self) -> Bytecode:
        """The bytecode; what is not kept is being made from now on, the heaviest wheel's first."""
        missing = [each for each in self.lock.packages if not self.compiled.compiler.is_kept(each.sha256)]
        missing.sort(key=lambda each: (-self.paths[each.sha256].stat().st_size, each.name))
        self.compiled.begin({package.sha256: self.wheel(package) for package in missing})
        return self.compiled

    def wheel(self, package: LockedPackage) -> Wheel:
        """A wheel, looked into; it is the distribution that the lock names."""
        if package.sha256 not in self.wheels:
            found = read_wheel(self.paths[package.sha256], package.file)
            check_is(found, package.name, package.version)
            self.wheels[package.sha256] = found
        return self.wheels[package.sha256]

    @cached_property
    def skeleton(self) -> list[Entry]:
        """What belongs to no wheel."""
        return skeleton(self.place, self.base.home)

    def of(self, packages: tuple[LockedPackage, ...], *, last: bool) -> list[Entry]:
        """The entries of some of the wheels, each path once, sorted; with `last`, the skeleton too."""
        own = [self._of(package) for package in packages]
        return together([*own, self.skeleton] if last else own)

    def close(self) -> None:
        """Nobody wants more of it: end what is being made."""
        self.compiled.stop()

    def _of(self, package: LockedPackage) -> list[Entry]:
        """The entries of a wheel, its bytecode among them."""
        if package.sha256 not in self.entries:
            wheel = self.wheel(package)
            self.entries[package.sha256] = installed(wheel, self.place, self.bytecode.of(package.sha256, wheel))
        return self.entries[package.sha256]

    def _names(self, package: LockedPackage) -> list[str]:
        parts = [RULES, package.sha256, package.name, package.version, self.place.prefix, self.place.python]
        key = hashlib.sha256(compact_json(parts)).hexdigest()
        if note := read_note("names", key):
            return list(note["names"])
        wheel = self.wheel(package)
        compiled = [self.place.bytecode(path) for path in sources(wheel, self.place).values()]
        names = sorted({entry.path for entry in installed(wheel, self.place, [])} | set(compiled))
        write_note("names", key, {"names": names})
        return names


def _clashes(groups: Iterable[list[str]]) -> set[str]:
    """The paths that several groups have, and those that are a folder of another path."""
    count = Counter(path for group in groups for path in group)
    folders = {path.rpartition("/")[0] for path in count}
    above = set(folders)
    for folder in folders:
        parent = folder
        while (parent := parent.rpartition("/")[0]) and parent not in above:
            above.add(parent)
    return {path for path, times in count.items() if times > 1 or path in above}


def _has_one_of(clashes: set[str], names: list[str]) -> bool:
    """Whether one of the paths is among the names, or above one of them."""
    below = tuple(f"{path}/" for path in clashes)
    return not clashes.isdisjoint(names) or any(name.startswith(below) for name in names)
