"""`envctl build` on bad input and with bad luck: one clear error, and nothing half-made that looks whole."""

from __future__ import annotations

import os
import shutil
import signal
from functools import partial
from pathlib import Path

import pytest

from envctl.oci import contents
from envctl.oci.assemble import assemble
from envctl.oci.recipe import Recipe
from envctl.oci.wheel import Wheel, read_wheel
from tests import building, odd_wheels, wheelhouse
from tests.building import Order, build, built, new_cache
from tests.conftest import Ran
from tests.test_build import base_for_311, digests, image_id, images, order
from tests.test_disk import can_mount, on
from tests.test_interrupt import processes, started, wait_for

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("docker_base")]
__all__ = ["images", "order"]


# ---- bad input


def assert_refused(ran: Ran, code: int, words: str) -> None:
    assert ran.code == code, ran.err
    assert sum(line.startswith("error:") for line in ran.err.splitlines()) == 1, ran.err
    assert words in ran.err and "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing was asked for"),
        (["LOCK", "--openvino", "2026.4"], "both a lock and pins"),
        (["LOCK", "-o", "image.tar"], "does not say what to write"),
        (["LOCK", "-o", "oci:"], "does not say what to write"),
        (["LOCK", "--tag", "Upper:case"], "not a name for an image"),
        (["LOCK", "--emit", "makefile"], "makes no sense"),
        (["nowhere.lock"], "cannot read the lock nowhere.lock"),
    ],
)
def test_command_lines_that_cannot_be(order: Order, tmp_path: Path, arguments: list[str], words: str) -> None:
    given = [str(order.path) if each == "LOCK" else each for each in arguments]
    assert_refused(build(*given, cache=tmp_path / "cache", cwd=tmp_path), 2, words)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"python": "3.11"}', '{"packages": [{"name": "x"}], "python": "3", "platform": "y"}']
)
def test_files_that_are_no_locks(tmp_path: Path, text: str) -> None:
    (tmp_path / "odd.lock").write_text(text)
    assert_refused(build(tmp_path / "odd.lock", cache=tmp_path / "cache"), 2, "odd.lock is not a lock")


def test_a_lock_whose_file_names_lead_elsewhere(order: Order, tmp_path: Path) -> None:
    text = order.path.read_text().replace("engine-1.0-py3-none-any.whl", "../../etc/passwd")
    (tmp_path / "odd.lock").write_text(text)
    assert_refused(build(tmp_path / "odd.lock", cache=tmp_path / "cache"), 2, "odd.lock is not a lock")


@pytest.mark.parametrize("keep", [0, 100, -1])
def test_a_wheel_that_is_not_the_locked_one(tmp_path: Path, keep: int) -> None:
    order, cache = building.order(tmp_path / "order"), new_cache(tmp_path / "cache")
    wheel = order.wheels / "engine-1.0-py3-none-any.whl"
    wheel.write_bytes(wheel.read_bytes()[:keep])
    ran = build(*order.arguments, "-o", f"oci:{tmp_path / 'out'}", cache=cache)
    assert_refused(ran, 2, "is not the wheel that was locked")
    assert not (tmp_path / "out").exists()


def test_two_wheels_that_claim_one_path(tmp_path: Path) -> None:
    folder = tmp_path / "wheels"
    folder.mkdir()
    packages = []
    for name in ("one", "two"):
        path = odd_wheels.write(folder / f"{name}-1.0-py3-none-any.whl", {"tests/__init__.py": name}, name=name)
        packages.append(building.locked(path, name, "1.0"))
    order = building.written(tmp_path, folder, packages)
    cache = new_cache(tmp_path / "cache")
    for each in packages:  # what each of them brings is known then, and still they cannot be together
        (tmp_path / each.name).mkdir()
        built(*building.written(tmp_path / each.name, folder, [each]).arguments, cache=cache)
    ran = build(*order.arguments, "-o", f"oci:{tmp_path / 'out'}", cache=cache)
    assert_refused(ran, 2, "two packages claim lib/python3.11/site-packages/tests/__init__.py")
    assert not (tmp_path / "out").exists()


def test_wheels_that_share_a_file_are_compared_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are heavy, in layers of their own: a lock that changes a third wheel needs nothing of them any more."""
    monkeypatch.setenv("ENVCTL_CACHE", str(new_cache(tmp_path / "cache")))
    opened: list[str] = []

    def reading(path: Path, label: str) -> Wheel:
        opened.append(label)
        return read_wheel(path, label)

    monkeypatch.setattr(contents, "read_wheel", reading)
    shared = []
    for name in ("one", "two"):
        members: dict[str, str | bytes] = {"tests/__init__.py": "same", f"{name}/data.bin": os.urandom(2 << 20)}
        path = odd_wheels.write(tmp_path / f"{name}-1.0-py3-none-any.whl", members, name=name)
        shared.append(building.locked(path, name, "1.0"))
    for says in ("first", "second"):
        (tmp_path / says).mkdir()
        third = building.locked(wheelhouse.wheel(tmp_path / says, "third", "1.0", says=says), "third", "1.0")
        lock = building.written(tmp_path / says, tmp_path, [*shared, third]).lock
        paths = {each.sha256: tmp_path / each.file for each in shared} | {third.sha256: tmp_path / says / third.file}
        recipe = Recipe(lock=lock, base=base_for_311())
        assert assemble(recipe, partial(dict, paths), print).layers
    assert sorted(opened) == [f"{name}-1.0-py3-none-any.whl" for name in ("one", "third", "third", "two")]


def test_a_wheel_that_was_damaged_in_the_cache(order: Order, tmp_path: Path) -> None:
    cache = new_cache(tmp_path / "cache")
    first = built(*order.arguments, cache=cache)
    kept = next(cache.glob("store/wheels/*.whl"))
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    shutil.rmtree(cache / "store" / "images")
    shutil.rmtree(cache / "store" / "layers")
    assert_refused(build(*order.arguments, cache=cache), 4, "was damaged in the cache")
    assert digests(built(*order.arguments, cache=cache)) == digests(first)


def test_a_base_that_is_not_there(order: Order, tmp_path: Path) -> None:
    ran = build(*order.arguments, "--base", "nobody/has:this", cache=tmp_path / "cache")
    assert_refused(ran, 4, "Docker has no image nobody/has:this")
    (tmp_path / "old").mkdir()
    python = building.written(tmp_path / "old", order.wheels, order.lock.packages, python="3.7")
    assert_refused(build(*python.arguments, cache=tmp_path / "cache"), 2, "no base brings CPython 3.7")


# ---- bad luck


@pytest.mark.skipif(not can_mount(), reason="this kernel gives no mount namespace to this user")
@pytest.mark.parametrize("kind", ["oci:full/out", "docker-archive:full/out.tar"])
def test_disk_full_under_the_output(order: Order, tmp_path: Path, kind: str) -> None:
    cache = new_cache(tmp_path / "cache")
    given = ("build", *order.arguments, "-o", kind)
    ran, left = on(tmp_path / "full", "size=1m", *given, cwd=tmp_path, cache=cache)
    assert_refused(ran, 4, "no space left")
    assert left == []


@pytest.mark.skipif(not can_mount(), reason="this kernel gives no mount namespace to this user")
@pytest.mark.parametrize(("folder", "size"), [("wheels", "1m"), ("bytecode", "16k"), ("layers", "0")])
def test_disk_full_under_the_store(order: Order, tmp_path: Path, folder: str, size: str) -> None:
    cache = new_cache(tmp_path / "cache")
    options = f"size={size}" if size != "0" else "size=4k,nr_inodes=1"
    given = ("build", *order.arguments, "-o", "oci:out")
    ran, left = on(cache / "store" / folder, options, *given, cwd=tmp_path, cache=cache)
    assert_refused(ran, 4, "no space left")
    assert [path for path in left if not path.endswith(".whl")] == []
    assert not (tmp_path / "out").exists()
    assert digests(built(*order.arguments, cache=cache))


MOMENTS = [("compiling", signal.SIGINT), ("loading", signal.SIGTERM), ("writing blobs", signal.SIGKILL)]
MORE = [(moment, number) for moment, _ in MOMENTS for _, number in MOMENTS if (moment, number) not in MOMENTS]


@pytest.mark.parametrize(
    ("moment", "number"), [*MOMENTS, *(pytest.param(*each, marks=pytest.mark.slow) for each in MORE)]
)
def test_stopped_half_way(tmp_path: Path, images: list[str], moment: str, number: int) -> None:
    """Nothing goes on, nothing half-made has a final name, and the next build finishes the work."""
    heavy = os.urandom(1 << 20) * 128
    order, cache, out = building.order(tmp_path / "order", heavy=heavy), new_cache(tmp_path / "cache"), tmp_path / "out"
    images.append("envctl-test:stopped")
    more = ["-o", f"oci:{out}", *(["--load", "--tag", images[0]] if moment == "loading" else [])]
    with started("build", *order.arguments, *more, cache=cache, cwd=tmp_path) as process:
        assert process.stderr
        for line in process.stderr:
            if moment in line:
                break
        process.send_signal(number)
        process.wait(60)
    assert process.returncode == (130 if number != signal.SIGKILL else -number)
    wait_for(lambda: processes(cache) == [], "the end of what it had started")
    assert not out.exists()
    assert moment != "loading" or not image_id(images[0])
    if number != signal.SIGKILL:
        assert [path for path in cache.rglob("*") if ".partial" in path.name] == []
        assert [path for path in tmp_path.iterdir() if ".partial" in path.name] == []
    done = built(*order.arguments, "-o", f"oci:{out}", cache=cache)
    assert building.manifest(out)["config"]["digest"] == done["image"]
