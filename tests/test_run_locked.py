"""`envctl run --lock FILE`: the lock's environment as it is, or the reason why no target fits this host.

The index is the real one; ONNX Runtime 1.31 is small."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from envctl import lockfile
from envctl.host import interpreters
from tests import wheelhouse
from tests.conftest import Ran

pytestmark = pytest.mark.engines
Program = Callable[..., Ran]
HERE = next(minor for minor in interpreters() if minor in ("3.11", "3.12", "3.13"))


def lock(envctl: Program, *arguments: str) -> lockfile.LockFile:
    """A lock of ONNX Runtime 1.31, as a user makes it."""
    made = envctl("lock", "--ort", "1.31", "--base", "none", *arguments)
    assert made.code == 0, made.err
    return lockfile.load(Path("envctl.lock"))


@pytest.fixture
def locked(envctl: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> lockfile.LockFile:
    """A lock of two targets; this host fits the second. Its numpy is not the newest, so that it shows."""
    monkeypatch.chdir(tmp_path)
    arm, here = "name=arm,platform=aarch64,python=3.13", f"name=here,python={HERE}"
    return lock(envctl, "--pin", "numpy=<2.4", "--target", arm, "--target", here)


def test_a_model_passes_in_the_lock_s_environment(
    envctl: Program, digits: Path, tmp_path: Path, locked: lockfile.LockFile
) -> None:
    ran = envctl("run", "--lock", "envctl.lock", "--runner", "local", "convert", digits, "-o", "out", "--json")
    assert ran.code == 0, ran.err
    environment = locked.target("here").environment
    told = ran.json["target"]["locked"]
    assert (ran.json["status"], told["lock"]) == ("passed", environment.digest)
    assert told["packages"] == {package.name: package.version for package in environment.packages}
    sidecar = json.loads((tmp_path / "out" / "digits.ort.envctl.json").read_text())
    assert sidecar["packages"]["numpy"] == environment.version("numpy") and sidecar["lock"] == environment.digest


def test_a_command_gets_the_lock_s_versions(envctl: Program, locked: lockfile.LockFile) -> None:
    code = "import numpy, onnxruntime; print(numpy.__version__, onnxruntime.__version__)"
    ran = envctl("run", "--lock", "envctl.lock", "--runner", "local", "--", "python", "-c", code)
    assert ran.code == 0, ran.err
    environment = locked.target("here").environment
    assert ran.out.split() == [environment.version("numpy"), environment.version("onnxruntime")]


def test_the_target_that_is_named_is_used_and_no_other(envctl: Program, locked: lockfile.LockFile) -> None:
    given = ("run", "--lock", "envctl.lock", "--runner", "local")
    code = "import numpy; print(numpy.__version__)"
    ran = envctl(*given, "--target", "here", "--", "python", "-c", code)
    assert (ran.code, ran.out.strip()) == (0, locked.target("here").environment.version("numpy")), ran.err
    other = envctl(*given, "--target", "arm", "--", "python", "-c", code)
    assert other.code == 4 and "arm: it is for" in other.err and "here" not in other.err.partition("hint")[0]
    unknown = envctl(*given, "--target", "gpu", "--", "python", "-c", code)
    assert unknown.code == 2 and "--target NAME, one of: arm, here" in unknown.err
    without = envctl("run", "--ort", "1.31", "--target", "here", "--", "python", "-c", code)
    assert without.code == 2 and "of which lock?" in without.err


def test_no_target_that_fits_is_one_error_with_a_reason_for_each(envctl: Program, digits: Path) -> None:
    targets = ["name=arm,platform=aarch64", "name=old,python=3.14", "name=gpu,gpu=8.6,driver=535"]
    options = [word for target in targets[:2] for word in ("--target", target)]
    assert envctl("lock", "--ort", "1.31", "--base", "none", *options).code == 0
    ran = envctl("run", "--lock", "envctl.lock", "--runner", "local", "verify", digits, "--json")
    assert ran.code == 4
    error = ran.json["error"]
    assert error["what"] == "no target of the lock fits this host"
    words = " ".join(reason["text"] for reason in error["because"])
    assert "arm: it is for" in words and "old: it is for CPython 3.14" in words


def test_pins_beside_a_lock_are_refused(envctl: Program, digits: Path) -> None:
    assert envctl("lock", "--ort", "1.31", "--base", "none", "--target", f"python={HERE}").code == 0
    for extra in (["--ort", "1.30"], ["--pin", "numpy=2"], ["--python", "3.12"], ["--refresh-lock"]):
        ran = envctl("run", "--lock", "envctl.lock", *extra, "verify", digits)
        assert ran.code == 2 and "--lock says all versions" in ran.err


def test_a_lock_that_is_none_is_one_error(envctl: Program, digits: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.lock").write_text("{}")
    for name in ("bad.lock", "nowhere.lock"):
        ran = envctl("run", "--lock", name, "verify", digits)
        assert ran.code == 2 and name in ran.err and "Traceback" not in ran.err


def test_tensorflow_is_locked_with_its_way_to_onnx(envctl: Program, tmp_path: Path) -> None:
    made = envctl("lock", "--tf", "2.20", "--base", "none", "--target", "python=3.11")
    assert made.code == 0, made.err
    environment = lockfile.load(tmp_path / "envctl.lock").targets[0].environment
    versions = [environment.version(name) for name in ("tensorflow-cpu", "tf2onnx", "tensorflow")]
    assert versions == ["2.20.0", "1.17.0", None]


def test_an_engine_of_gpus_says_so_where_there_is_none(envctl: Program, digits: Path, tmp_path: Path) -> None:
    for task in ("infer", "verify"):
        ran = envctl("run", "--ort-gpu", "1.31", task, digits, ENVCTL_CACHE=str(tmp_path / "cold"))
        assert ran.code == 4
        assert "ONNX Runtime (CUDA) runs on an NVIDIA GPU, and none can be used here" in ran.err
        assert not (tmp_path / "cold" / "environments").exists()


REAL = [
    (("--tf", "2.12"), "python=3.11", {"tensorflow-cpu": "2.12.1", "tf2onnx": "1.17.0"}),
    (("--tf", "2.17"), "python=3.11", {"tensorflow-cpu": "2.17.1", "tf2onnx": "1.17.0"}),
    (("--tf", "2.20"), "python=3.11", {"tensorflow-cpu": "2.20.0", "tf2onnx": "1.17.0"}),
    (("--tf", "2.20"), "name=gpu,gpu=8.9,driver=580,python=3.11", {"tensorflow": "2.20.0", "tf2onnx": "1.17.0"}),
    (("--ort-gpu", "1.31"), "name=gpu,gpu=8.9,driver=580,python=3.11", {"onnxruntime-gpu": "1.31.1"}),
    (("--trt", "8.4.1"), "name=gpu,gpu=8.6,driver=470,python=3.9", {"nvidia-tensorrt": "8.4.1.5"}),
    (("--openvino", "2026.4"), "python=3.13,platform=aarch64", {"openvino": "2026.4.1"}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("pins", "target", "holds"), REAL, ids=[" ".join((*each[0], each[1])) for each in REAL])
def test_real_engines_can_be_locked(
    envctl: Program, tmp_path: Path, pins: tuple[str, ...], target: str, holds: dict[str, str]
) -> None:
    made = envctl("lock", *pins, "--base", "none", "--target", target)
    assert made.code == 0, made.err
    (found,) = lockfile.load(tmp_path / "envctl.lock").targets
    packages = {package.name: package for package in found.environment.packages}
    assert {name: packages[name].version for name in holds} == holds
    assert all(package.size > 500 for package in packages.values())
    if "nvidia-cudnn-cu11" in packages:
        assert packages["nvidia-cudnn-cu11"].version.startswith("8.")


@pytest.mark.slow
def test_the_sizes_are_those_of_the_wheels(envctl: Program, tmp_path: Path) -> None:
    """Of the smallest ones, fetched by uv's own words."""
    assert envctl("lock", "--ort", "1.31", "--base", "none", "--target", f"python={HERE}").code == 0
    exported = envctl("lock", "export", "envctl.lock", "--format", "pylock")
    assert exported.code == 0, exported.err
    from urllib.request import urlopen

    for package in lockfile.load(tmp_path / "envctl.lock").targets[0].environment.packages:
        url = next(line.split('"')[1] for line in exported.out.splitlines() if package.file in line and "url" in line)
        if package.size < 1 << 20:
            with urlopen(url) as answer:
                path = tmp_path / package.file
                path.write_bytes(answer.read())
            assert (path.stat().st_size, wheelhouse.sha256(path)) == (package.size, package.sha256)
