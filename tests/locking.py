"""Locking against stand-ins: a wheelhouse with the names of an engine's packages, and a Debian mirror in a folder.

The matrix, the image specs, uv, apt and mmdebstrap are the real ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from envctl.cli.pins import read_pins
from envctl.lockfile import Asked, LockFile
from envctl.tree import cache_root
from envctl.workflow import lock, lock_wish
from tests import debian_repo
from tests.conftest import CACHE
from tests.wheelhouse import Wheelhouse

TARGET = "name=lab,python=3.11"
VERSIONS = dict.fromkeys(debian_repo.NEEDED, "1.0-1")


@dataclass
class World:
    """An index and a mirror; `said` is what was told while it was locked."""

    house: Wheelhouse
    root: Path
    said: list[str] = field(default_factory=list)
    mirror: str = ""

    def publish(self, **versions: str) -> None:
        """The mirror with these versions of packages; `_` stands for `-` in their names."""
        newer = {name.replace("_", "-"): version for name, version in versions.items()}
        self.mirror = debian_repo.publish(self.root / "mirror", {**VERSIONS, **newer})

    @property
    def index(self) -> tuple[str, ...]:
        """The addresses, as options."""
        return f"pypi={self.house.as_index}", f"debian={self.mirror}"

    def options(self, **chosen: object) -> lock.LockOptions:
        """How to lock: against this world only."""
        return lock.LockOptions(index=self.index, **chosen)  # type: ignore[arg-type]

    def lock(
        self, old: LockFile | None = None, request: Asked | None = None, *, fresh: bool = False, **chosen: object
    ) -> LockFile:
        """The lock file for a request (ONNX Runtime 1.31 for one target), as the command makes it."""
        asked = request or (old.request if old else asking())
        return lock.make(asked, old, self.options(**chosen), self.said.append, fresh=fresh)

    def drifted(self, old: LockFile, **chosen: object) -> list[tuple[str, str, str, str]]:
        """What `--check` names: kind, name, old and new."""
        found, _ = lock.check(None, old, self.options(**chosen), self.said.append)
        return [(each.kind, each.name, each.old, each.new) for each in found]


def asking(*targets: str, ort: str = "1.31", base: str = "none", pins: tuple[str, ...] = (), newer: str = "") -> Asked:
    """A request for ONNX Runtime."""
    said = read_pins({"--ort": ort}, list(pins))
    return lock_wish.asked("onnxruntime", said, [], list(targets or [TARGET]), base, newer)


def world(root: Path) -> World:
    """An index with ONNX Runtime 1.31.1 and what it needs, and a mirror."""
    (CACHE / "matrix").mkdir(parents=True, exist_ok=True)
    cache_root().mkdir(parents=True, exist_ok=True)
    (cache_root() / "matrix").symlink_to(CACHE / "matrix")  # parsed once for all tests
    house = Wheelhouse(root / "house")
    for name, version in (("numpy", "2.0.0"), ("protobuf", "6.0.0"), ("onnxruntime", "1.31.1")):
        house.add(name, version, needs=("protobuf",) if name == "onnxruntime" else ())
    made = World(house=house, root=root)
    made.publish()
    return made
