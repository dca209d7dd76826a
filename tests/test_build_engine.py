"""An image of a real engine: it runs a model, with the versions of the lock, and answers as the mounted files do."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Ran, run_envctl
from tests.models.graph import Graph, save

Program = Callable[..., Ran]
pytestmark = [pytest.mark.docker, pytest.mark.engines, pytest.mark.usefixtures("docker_base")]
PINS = ("--ort", "1.31", "--python", "3.11")
NAME = "envctl-test:engine"
SMOKE = """
import json, sys
from importlib.metadata import distributions
import numpy, onnxruntime
session = onnxruntime.InferenceSession("/model.onnx", providers=["CPUExecutionProvider"])
answer = session.run(None, {"x": numpy.ones((1, 4), numpy.float32)})[0]
versions = {each.metadata["Name"].lower(): each.version for each in distributions()}
print(json.dumps({"answer": answer.tolist(), "versions": versions, "prefix": sys.prefix}))
"""


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    """The image of ONNX Runtime, built from pins and loaded."""
    ran = run_envctl("build", *PINS, "--load", "--tag", NAME, "--json")
    assert ran.code == 0, ran.err + ran.out
    yield str(ran.json["image"])
    subprocess.run(["docker", "rmi", "-f", NAME], check=False, capture_output=True)


def test_a_model_of_one_node_runs_in_it_with_the_versions_of_the_lock(image: str, tmp_path: Path) -> None:
    """An import alone would prove nothing."""
    g = Graph("one")
    g.op("Add", "x", "x", out="y")
    model = save(g.model({"x": [1, 4]}, {"y": [1, 4]}), tmp_path / "model.onnx")
    model.chmod(0o644)
    command = ["docker", "run", "--rm", "--network", "none", "--read-only", "-v", f"{model}:/model.onnx:ro", image]
    done = subprocess.run([*command, "python", "-c", SMOKE], capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    assert said["answer"] == [[2.0] * 4] and said["prefix"] == "/opt/env"
    labels = subprocess.run(
        ["docker", "inspect", "-f", "{{json .Config.Labels}}", image], capture_output=True, check=True
    )
    stack = json.loads(labels.stdout)["envctl.stack"].split("; ")[1:]
    assert sorted(stack) == sorted(f"{name} {version}" for name, version in said["versions"].items())
    assert len(stack) >= 4


def test_run_takes_the_image_when_it_is_there_and_mounts_the_same_files_when_not(
    envctl: Program, digits: Path, tmp_path: Path, image: str
) -> None:
    given = ("run", *PINS, "--runner", "docker", "infer", digits, "--json", "--keep")
    inside = envctl(*given, "-o", "image.npz")
    assert inside.code == 0, inside.err
    assert started_from(inside) == image
    subprocess.run(["docker", "rmi", "-f", NAME], check=True, capture_output=True)
    mounted = envctl(*given, "-o", "mount.npz")
    assert mounted.code == 0, mounted.err
    assert started_from(mounted) != image
    mount = "/prefix,target=/opt/env,readonly"
    assert mount in reproduce(mounted) and mount not in reproduce(inside)
    one, other = (np.load(tmp_path / f"{name}.npz") for name in ("image", "mount"))
    assert one.files == other.files
    assert all(np.array_equal(one[name], other[name]) for name in one.files)


def reproduce(ran: Ran) -> str:
    """How the worker of a kept run was started."""
    return (Path(ran.json["folder"]) / "infer" / "reproduce.sh").read_text()


def started_from(ran: Ran) -> str:
    """The image of the worker's container."""
    words = reproduce(ran).split()
    return words[words.index("/opt/env/bin/python") - 1]


def test_pins_and_the_lock_they_resolve_to_give_one_image(envctl: Program, digits: Path, image: str) -> None:
    ran = envctl("run", *PINS, "--runner", "local", "infer", digits, "--json")
    lock = Path(ran.json["target"]["locked"]["environment"]) / "lock.json"
    assert envctl("build", lock, "--offline", "--json").json["image"] == image
