"""One lock of a real engine is one image: built from the index, from a bundle without any network, and by envctl under
every CPython that it runs on. (tests/test_build.py has clocks, users, umasks, locales and file orders.)
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import building
from tests.bundling import ORT, envctl_alone, interpreter, no_routes
from tests.conftest import ROOT, run_envctl

pytestmark = [pytest.mark.slow, pytest.mark.engines, pytest.mark.docker]
KEYS = ("image", "manifest", "layers", "base")


@pytest.fixture(scope="module")
def lock(tmp_path_factory: pytest.TempPathFactory, docker_base: str) -> Path:
    """The lock of ONNX Runtime on Debian's CPython 3.11."""
    assert docker_base
    path = tmp_path_factory.mktemp("lock") / "envctl.lock"
    ran = run_envctl("lock", "--ort", ORT, "--target", "name=here,python=3.11,platform=x86_64", "-o", path)
    assert ran.code == 0, ran.err
    return path


@pytest.fixture(scope="module")
def from_the_index(lock: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The image with a cache that has the base alone: wheels from the index, nothing known."""
    folder = tmp_path_factory.mktemp("index")
    cache = building.new_cache(folder / "cache")
    done = building.built(str(lock), "-o", f"oci:{folder / 'out'}", cache=cache)
    return {**done, "layout": building.layout(folder / "out"), "wheels": cache / "store" / "wheels"}


def same(done: dict[str, Any], layout: Path, first: dict[str, Any]) -> bool:
    """Whether digests and bytes are those of the first."""
    assert {key: done[key] for key in KEYS} == {key: first[key] for key in KEYS}
    return building.layout(layout) == first["layout"]


@no_routes
def test_from_a_bundle_without_network_on_an_empty_machine(
    lock: Path, from_the_index: dict[str, Any], tmp_path: Path
) -> None:
    """Nor a daemon: wheels and base are the bundle's, the bytecode is compiled anew by the base's own interpreter."""
    bundle, home = tmp_path / "bundle", tmp_path / "home"
    ran = run_envctl("bundle", lock, "-o", bundle, "--no-reference", "--split", "60M")
    assert ran.code == 0, ran.err
    ran = envctl_alone("unbundle", bundle, "--json", home=home)
    assert ran.code == 0, ran.err
    (carried,) = ran.json["locks"]
    cache = home / ".cache" / "envctl" / "store"
    assert not list(cache.glob("bytecode/*")) and not list(cache.glob("images/*"))
    ran = envctl_alone("build", carried, "--offline", "-o", "oci:out", "--json", home=home)
    assert ran.code == 0, ran.err
    assert same(ran.json, home / "out", from_the_index)


@pytest.mark.parametrize("minor", ["3.10", "3.11", "3.12", "3.13"])
def test_by_envctl_under_another_python(lock: Path, from_the_index: dict[str, Any], minor: str, tmp_path: Path) -> None:
    """What runs envctl has no say: neither its zlib, nor its tar, nor its bytecode."""
    python = venv(minor, tmp_path / "venv")
    cache = building.new_cache(tmp_path / "cache")
    (cache / "store" / "wheels").symlink_to(from_the_index["wheels"])
    command = [python, "-m", "envctl", "build", lock, "-o", f"oci:{tmp_path / 'out'}", "--offline", "--json"]
    environment = {**os.environ, "ENVCTL_CACHE": str(cache)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert same(json.loads(done.stdout), tmp_path / "out", from_the_index)


def venv(minor: str, folder: Path) -> Path:
    """This checkout, installed for that CPython."""
    python = folder / "bin" / "python"
    for command in (
        ["venv", "-q", "-p", interpreter(minor), folder],
        ["pip", "install", "-q", "-p", python, "-e", ROOT],
    ):
        subprocess.run(["uv", *map(str, command)], check=True)
    said = subprocess.run([python, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, check=True)
    assert said.stdout.decode().strip() == str(tuple(map(int, minor.split("."))))
    return python
