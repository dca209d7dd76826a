"""Lock files: one text for one answer, and nothing else is read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from envctl import lockfile
from envctl.errors import BadInput
from envctl.lockdiff import differences
from envctl.lockfile import LockFile
from tests import debian_repo, locking
from tests.conftest import ROOT
from tests.locking import World, asking

pytestmark = pytest.mark.usefixtures("stand_ins")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return locking.world(tmp_path)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The text of a lock file with a base, made once."""
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("once")
        for name in ("ENVCTL_CACHE", "UV_CACHE_DIR"):
            patch.setenv(name, str(root / name))
        return locking.world(root).lock(request=asking(base="auto")).text()


@pytest.fixture
def read(text: str) -> LockFile:
    return lockfile.parse(text)


@pytest.fixture
def made(world: World) -> LockFile:
    return world.lock(request=asking(base="auto"))


def test_a_lock_file_holds_request_inputs_stack_base_and_environment(made: LockFile, world: World) -> None:
    (target,) = made.targets
    assert [pin.said for pin in made.request.pins] == ["--ort 1.31"]
    assert {line.component: line.version for line in target.stack} == {
        "onnxruntime": "1.31.1", "python": "3.11", "glibc": "2.36",
    }  # fmt: skip
    assert all(line.why and line.source for line in target.stack)
    assert target.base
    for package in target.base.packages:
        assert package.sha256 == debian_repo.sha256_of(package.name, package.version, package.arch)
    assert {package.name for package in target.base.packages} >= {"python3-minimal", "libgomp1", "base-files"}
    for package in target.environment.packages:
        path = world.house.root / "files" / package.file
        assert (package.size, package.index) == (path.stat().st_size, "pypi")
    named = {"lock rules", "image spec onnxruntime", "base recipe debian:bookworm", "matrix row onnxruntime 1.31.1"}
    assert named <= set(made.inputs)


def test_it_names_no_address_path_time_or_host(made: LockFile, tmp_path: Path) -> None:
    environments = json.dumps([json.loads(target.environment.text()) for target in made.targets])
    for word in (str(tmp_path), "file:", "127.0.0.1", os.uname().nodename, "2026-11"):
        assert word not in made.text().replace("checked", ""), word
    assert "://" not in environments


def test_what_was_written_is_read_again(read: LockFile) -> None:
    again = lockfile.parse(read.text())
    assert again == read and again.digest == read.digest


SCRIPT = """
import sys
from pathlib import Path
from tests import locking
from tests.wheelhouse import Wheelhouse
from envctl.workflow import lock
root = Path(sys.argv[1])
world = locking.World(house=Wheelhouse(root / "house"), root=root, mirror=sys.argv[2])
request = locking.asking("name=a,python=3.11", "name=b,python=3.13,platform=aarch64", "gpu=8.6,driver=535", base="auto")
lock.write(lock.make(request, None, world.options(), print), Path("out.lock"))
"""
SETTINGS = [
    ("077", {"TZ": "Pacific/Kiritimati", "LC_ALL": "C", "PYTHONHASHSEED": "1"}, 0),
    ("000", {"TZ": "America/Los_Angeles", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "2", "HOSTNAME": "other"}, 65534),
]


def test_other_settings_folders_and_users_write_the_same_bytes(world: World, tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can be another user")
    written = []
    for umask, variables, user in SETTINGS:
        folder = tmp_path / f"as-{user}"
        folder.mkdir()
        os.chown(folder, user, user)
        own = {name: str(folder / name) for name in ("HOME", "ENVCTL_CACHE", "UV_CACHE_DIR", "XDG_CONFIG_HOME")}
        # whoever it is may read the interpreter, which may lie in root's home
        may_read = "--inh-caps=+dac_read_search --ambient-caps=+dac_read_search --clear-groups"
        command = f'umask {umask}; exec setpriv --reuid {user} --regid {user} {may_read} "$0" -c "$1" "$2" "$3"'
        subprocess.run(
            ["sh", "-c", command, sys.executable, SCRIPT, str(tmp_path), world.mirror],
            check=True, cwd=folder,
            env={**os.environ, **own, **variables, "PYTHONPATH": str(ROOT), "ENVCTL_EVIDENCE": "none"},
        )  # fmt: skip
        written.append((folder / "out.lock").read_bytes())
    assert written[0] == written[1]
    assert len(lockfile.parse(written[0].decode()).targets) == 3


def change(data: dict[str, Any], path: str, value: Any) -> None:
    """Set one field of a lock file's JSON; a part of the path may be a number."""
    *parents, last = path.split(".")
    for part in parents:
        data = data[int(part)] if part.isdigit() else data[part]  # type: ignore[call-overload]
    data[last] = value


PACKAGE = "targets.0.environment.packages.0"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("kind", "something else"),
        ("unknown", 1),
        ("targets", []),
        ("targets.0.name", "another"),
        ("targets.0.base.kind", "found"),
        ("targets.0.stack.0.why", "no list"),
        ("targets.0.environment.python", "3.11; rm -rf"),
        ("targets.0.environment.platform", "win_amd64"),
        (f"{PACKAGE}.sha256", "00"),
        (f"{PACKAGE}.size", "12"),
        (f"{PACKAGE}.size", True),
        (f"{PACKAGE}.file", "../../etc/passwd"),
        (f"{PACKAGE}.version", "9.9"),
        (f"{PACKAGE}.name", "other"),
        (f"{PACKAGE}.index", "a b\nc"),
    ],
)
def test_a_structure_that_envctl_does_not_write_is_refused(text: str, path: str, value: Any) -> None:
    data = json.loads(text)
    change(data, path, value)
    with pytest.raises(BadInput) as caught:
        lockfile.parse(json.dumps(data, indent=2, sort_keys=True) + "\n", "some.lock")
    assert "some.lock" in caught.value.what and caught.value.do


def test_another_format_is_named(read: LockFile) -> None:
    text = read.text().replace('"format": 1', '"format": 7', 1)
    with pytest.raises(BadInput, match="has format 7; this envctl reads format 1"):
        lockfile.parse(text)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text[:0],
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("  ", " "),
        lambda text: "[" * 100_000 + text,
        lambda text: "null" + text[:0],
        lambda text: text + "{}",
    ],
    ids=["truncated", "empty", "other line ends", "reformatted", "nested", "null", "more behind it"],
)
def test_a_damaged_file_is_one_clear_error(text: str, spoil: Callable[[str], str], tmp_path: Path) -> None:
    path = tmp_path / "some.lock"
    path.write_bytes(spoil(text).encode())
    with pytest.raises(BadInput) as caught:
        lockfile.load(path)
    assert "some.lock" in caught.value.what


def test_a_file_that_is_not_there_and_one_that_is_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "nothing", tmp_path / "binary", tmp_path):
        with pytest.raises(BadInput, match="cannot read the lock"):
            lockfile.load(path)


# --- differences


def test_equal_files_differ_in_nothing(read: LockFile) -> None:
    assert differences(read, lockfile.parse(read.text())) == []


def test_every_difference_is_named(world: World, made: LockFile) -> None:
    world.house.add("numpy", "2.1.0")
    world.publish(libgomp1="1.0-2")
    two = asking("name=lab,python=3.11", "name=other,platform=aarch64", pins=("numpy=2.1",), base="auto")
    found = {(each.target, each.kind, each.name) for each in differences(made, world.lock(request=two, fresh=True))}
    assert {
        ("", "request", "pin numpy"), ("", "target", "other"), ("lab", "package", "numpy"),
        ("lab", "Debian package", "libgomp1"),
    } <= found  # fmt: skip
    assert ("lab", "package", "onnxruntime") not in found


def test_the_same_version_with_another_file_is_a_difference(read: LockFile) -> None:
    other = lockfile.parse(read.text().replace(read.targets[0].environment.packages[0].sha256, "ab" * 32))
    (found,) = differences(read, other)
    assert (found.kind, found.name, found.new) == ("package", "numpy sha256", "ab" * 32)
