"""An index on this machine and a folder of matrix files that cites it, for the tests of `envctl matrix update`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from envctl.aliases import Indexes
from envctl.matrix import load
from envctl.upstream.simple import Simple
from envctl.workflow import refresh
from envctl.workflow.beside import Report
from tests.conftest import Ran
from tests.wheelhouse import Wheelhouse

TODAY = date(2026, 11, 21)
TAG = "cp311-cp311-manylinux_2_28_x86_64"
NUMPY = 'component = "numpy"\nkind = "package"\n'
# comments, odd spacing and a list over a documented row: an edit leaves all of it as it is
ENGINE = """\
# what is said of the whole file
component = "engine"
title = "Engine"
kind = "package"

# the newest one
[[release]]
version = "2.0"
source = "pypi:engine==2.0"
checked = 2026-01-01
evidence = "metadata"
note = "kept as it is"
[release.requires]
python = [">=3.11,<3.12"]    # by its tags
numpy  = [">=1.20"]
glibc = { any = [">=2.28"], source = "pypi:engine==2.0", evidence = "metadata", note = "x86_64 wheel" }
opset = { any = [">=7,<=20"], source = "measured:docs/evidence.md#engine", evidence = "measured" }
[release.gpu]
cuda = { any = [">=12"], source = "https://vendor.example/2.0", evidence = "documented", note = "a page" }
[release.provides]
ir = "9"

# an old one
[[release]]
version = "1.0"
source = "https://vendor.example/1.0"
checked = 2026-01-01
evidence = "documented"
[release.requires]
python = { any = [">=3.11,<3.12"], source = "pypi:engine==1.0", evidence = "metadata" }
glibc = { any = [">=2.17"], source = "pypi:engine==1.0", evidence = "metadata" }
numpy = [">=1.16"]
"""


@dataclass
class World:
    """An index and a folder of matrix files that cites it."""

    house: Wheelhouse
    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "engine.toml"

    def update(self, address: str = "") -> tuple[Report, list[refresh.Edit]]:
        """What an update finds and would write."""
        simple = Simple(indexes=Indexes(addresses={"pypi": address or self.house.as_index}))
        return refresh.update(load(self.folder), None, simple, TODAY, [].append)


def make(folder: Path) -> World:
    """The index differs from the matrix in a claim of a metadata row, and in two of a documented row."""
    made = World(Wheelhouse(folder / "house"), folder / "matrices")
    made.house.add("engine", "1.0", tag=TAG, needs=("numpy>=1.18",))
    made.house.add("engine", "2.0", tag=TAG, needs=("numpy<3,>=1.21",))
    made.folder.mkdir()
    made.file.write_text(ENGINE)
    (made.folder / "numpy.toml").write_text(NUMPY)
    return made


def runner(world: World, envctl: Callable[..., Ran]) -> Callable[..., Ran]:
    """`envctl matrix …` on that folder, behind that index."""
    address = {"ENVCTL_INDEX_PYPI": world.house.as_index, "ENVCTL_CACHE": os.environ["ENVCTL_CACHE"]}

    def matrix(*arguments: str, **options: str) -> Ran:
        return envctl("matrix", *arguments, "--matrices", world.folder, **(address | options))

    return matrix
