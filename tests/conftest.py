"""What tests share: a cache that survives between sessions, models made once, and the program run as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("ENVCTL_TEST_CACHE", Path.home() / ".cache" / "envctl-tests"))


@dataclass(frozen=True)
class Ran:
    """A finished `envctl`: exit code and both streams."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The JSON document on standard output."""
        document: dict[str, Any] = json.loads(self.out)
        return document


def run_envctl(*arguments: str | Path, cwd: Path | None = None, seconds: float = 600, **variables: str) -> Ran:
    """Run `envctl` in a child process with the tests' cache (or the ENVCTL_CACHE given)."""
    environment = {**os.environ, "ENVCTL_CACHE": str(CACHE), "ENVCTL_EVIDENCE": "none", **variables}
    done = subprocess.run(
        [sys.executable, "-m", "envctl", *map(str, arguments)],
        cwd=cwd or ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    return Ran(code=done.returncode, out=done.stdout, err=done.stderr)


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Calls in this process use the tests' cache too."""
    monkeypatch.setenv("ENVCTL_CACHE", str(CACHE))
    monkeypatch.setenv("ENVCTL_EVIDENCE", "none")  # what was observed on this machine must not decide a test
    return CACHE


@pytest.fixture
def own_cache(tmp_path: Path) -> Path:
    """A cache with the shared environments and locks, and with jobs of the test's own."""
    own = tmp_path / "cache"
    own.mkdir()
    for name in ("environments", "locks", "matrix", "store"):
        (CACHE / name).mkdir(parents=True, exist_ok=True)
        (own / name).symlink_to(CACHE / name)
    return own


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Caches and configuration of the test's own: stand-ins must not fill those that real packages live in."""
    for name in ("ENVCTL_CACHE", "UV_CACHE_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    return tmp_path


@pytest.fixture
def envctl(tmp_path: Path) -> Callable[..., Ran]:
    """`envctl` run in a folder of the test's own."""

    def run(*arguments: str | Path, **options: Any) -> Ran:
        return run_envctl(*arguments, **{"cwd": tmp_path, **options})

    return run


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for models of this session."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def digits(models: Path) -> Path:
    """The CNN trained on scikit-learn's digits."""
    from tests.models import digits

    return digits.make(models / "digits.onnx")


@pytest.fixture(scope="session")
def mobilenet(models: Path) -> Path:
    """The MobileNetV2-sized model (14 MB)."""
    from tests.models import mobilenet

    return mobilenet.make(models / "mobilenet.onnx")


@pytest.fixture(scope="session")
def zoo(models: Path) -> dict[str, Path]:
    """Small honest models by name."""
    from tests.models import zoo

    return zoo.make_all(models / "zoo")


@pytest.fixture(scope="session")
def bad(models: Path) -> dict[str, Path]:
    """Bad inputs by name."""
    from tests.models import bad

    return bad.make_all(models / "bad")


def docker_answers() -> bool:
    """Whether a Docker daemon answers here."""
    import docker

    try:
        docker.from_env(timeout=5).ping()
    except docker.errors.DockerException:
        return False
    return True


@pytest.fixture(scope="session")
def docker_base() -> Iterator[str]:
    """The tag of the base image, made when the daemon has none. No daemon: a failure in CI, a skip elsewhere."""
    if not docker_answers():
        if os.environ.get("CI"):
            pytest.fail("CI has no Docker daemon: .ci/run must start one")
        pytest.skip("no Docker daemon")
    import docker

    from envctl.base import base_for

    base = base_for("3.11")
    assert base
    tags = {tag for image in docker.from_env().images.list() for tag in image.tags}
    if base.tag not in tags:
        made = run_envctl("base", base.name)
        assert made.code == 0, made.err
    yield base.tag
