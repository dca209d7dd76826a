"""What stands in an environment, wheel by wheel: read from the wheels when somebody needs it, and then only once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from envctl.index import LockedPackage
from envctl.lock import Lock
from envctl.oci.base_image import BaseImage
from envctl.oci.entry import Entry, together
from envctl.oci.install import Place, check_is, installed, skeleton
from envctl.oci.wheel import Wheel, read_wheel


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

    @cached_property
    def paths(self) -> dict[str, Path]:
        """The wheels by hash."""
        return self.bring()

    @cached_property
    def wheels(self) -> dict[str, Wheel]:
        """The wheels, looked into; each is the distribution that the lock names."""
        found = {}
        for package in self.lock.packages:
            found[package.sha256] = read_wheel(self.paths[package.sha256], package.file)
            check_is(found[package.sha256], package.name, package.version)
        return found

    @cached_property
    def by_wheel(self) -> dict[str, list[Entry]]:
        """The entries of every wheel, its bytecode among them; raises `BadInput` where two wheels claim one path."""
        from envctl.oci.bytecode import Compiler, compiled

        bytecode = compiled(self.wheels, Compiler(base=self.base, place=self.place), self.say)
        found = {sha: installed(wheel, self.place, bytecode[sha]) for sha, wheel in self.wheels.items()}
        together([*found.values(), self.skeleton])
        return found

    @cached_property
    def skeleton(self) -> list[Entry]:
        """What belongs to no wheel."""
        return skeleton(self.place, self.base.home)

    def of(self, packages: tuple[LockedPackage, ...], *, last: bool) -> list[Entry]:
        """The entries of some of the wheels, each path once, sorted; with `last`, the skeleton too."""
        own = [self.by_wheel[package.sha256] for package in packages]
        return together([*own, self.skeleton] if last else own)
