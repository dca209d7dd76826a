"""Which wheels: for the platform that all hosts share, the best of those there are, and never a source package."""

from __future__ import annotations

from pathlib import Path

import pytest

from envctl import lock
from envctl.errors import HostLacks, NoStack
from tests import wheelhouse
from tests.wheelhouse import Wheelhouse

pytestmark = pytest.mark.usefixtures("stand_ins")


def make(house: Wheelhouse) -> lock.Lock:
    """The lock of "engine" on CPython 3.11."""
    return wheelhouse.lock_of(house, "3.11")


# --- platforms


@pytest.mark.parametrize(
    ("arch", "glibc", "platform"),
    [
        ("x86_64", "2.28", "x86_64-manylinux_2_28"),
        ("x86_64", "2.36", "x86_64-manylinux_2_28"),
        ("x86_64", "3.0", "x86_64-manylinux_2_28"),
        ("x86_64", "2.28.9000", "x86_64-manylinux_2_28"),
        ("aarch64", "2.35", "aarch64-manylinux_2_35"),
        ("aarch64", "2.41", "aarch64-manylinux_2_35"),
    ],
)
def test_the_platform_is_the_oldest_that_wheels_need_not_this_host_s(arch: str, glibc: str, platform: str) -> None:
    assert lock.platform_for(arch, glibc) == platform


@pytest.mark.parametrize(
    ("arch", "glibc", "words"),
    [
        ("riscv64", "2.41", "no engine wheels for riscv64"),
        ("i686", "2.41", "no engine wheels for i686"),
        (None, "2.41", "no engine wheels for an unknown architecture"),
        ("x86_64", "2.27", "glibc 2.27"),
        ("x86_64", "2.9", "glibc 2.9"),
        ("aarch64", "2.34", "glibc 2.34"),
        ("x86_64", None, "not glibc"),
    ],
)
def test_a_host_no_wheel_can_run_on_is_told_so(arch: str | None, glibc: str | None, words: str) -> None:
    with pytest.raises(HostLacks) as caught:
        lock.platform_for(arch, glibc)
    assert words in caught.value.what
    assert caught.value.do


# --- wheels

# best first on CPython 3.11 and glibc 2.28; what follows the line cannot be installed there
RANKED = [
    "cp311-cp311-manylinux_2_28_x86_64",
    "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64",
    "cp311-cp311-manylinux2010_x86_64",
    "cp311-cp311-linux_x86_64",
    "cp311-abi3-manylinux_2_28_x86_64",
    "cp38-abi3-manylinux_2_28_x86_64",
    "py3-none-manylinux_2_28_x86_64",
    "py2.py3-none-any",
]
UNFIT = [
    "cp311-cp311-manylinux_2_34_x86_64",
    "cp311-cp311-musllinux_1_2_x86_64",
    "cp311-cp311-manylinux_2_28_aarch64",
    "cp312-cp312-manylinux_2_28_x86_64",
    "cp311-cp311-win_amd64",
    "cp311-cp311-macosx_11_0_arm64",
    "cp312-abi3-manylinux_2_28_x86_64",
    "cp311-cp311d-manylinux_2_28_x86_64",
]


@pytest.mark.parametrize("best", range(len(RANKED)), ids=RANKED)
def test_the_best_wheel_of_those_there_are_is_locked(tmp_path: Path, best: int) -> None:
    house = Wheelhouse(tmp_path / "house")
    for tag in [*reversed(RANKED[best:]), *UNFIT]:
        house.add("engine", "1.0", tag=tag, says=tag)
    (package,) = make(house).packages
    assert package.file == f"engine-1.0-{RANKED[best]}.whl"
    assert package.sha256 == wheelhouse.sha256(house.root / "files" / package.file)


def test_without_a_wheel_for_the_platform_there_is_no_lock(tmp_path: Path) -> None:
    house = Wheelhouse(tmp_path / "house")
    for tag in UNFIT:
        house.add("engine", "1.0", tag=tag)
    with pytest.raises(NoStack) as caught:
        make(house)
    assert any("no wheels with a matching" in reason.text for reason in caught.value.because)
    assert not (lock.cache_root() / "locks").exists()


def test_a_source_package_is_never_built(tmp_path: Path) -> None:
    """Building runs its author's code, and gives other bits on every machine."""
    house = Wheelhouse(tmp_path / "house")
    house.add("engine", "0.9")
    (house.root / "files" / "engine-1.0.tar.gz").write_bytes(b"a source package")
    page = house.root / "simple" / "engine" / "index.html"
    link = '<a href="../../files/engine-1.0.tar.gz">engine-1.0.tar.gz</a>'
    page.write_text(page.read_text().replace("<body>", f"<body>{link}"))
    with pytest.raises(NoStack) as caught:
        make(house)
    assert any("engine==1.0 has no usable wheels" in reason.text for reason in caught.value.because)
