"""Work on a GPU as far as a machine without one can tell: the sandbox's two exceptions, tried for real; what is read
back of providers and libraries from a real profile and memory map; the request to Docker (more: docs/gpu.md)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envctl.errors import HostLacks
from envctl.runner import WORKER
from envctl.runner.gpu_request import ALL, device_request

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
TRIES = """
import ctypes, json, os, socket, sys
sys.path.insert(0, sys.argv[1])
import sandbox
door = socket.socket(socket.AF_UNIX); door.bind(sys.argv[2] + "/door"); door.listen()
said = sandbox.enter(sys.argv[2], {"memory": 4 << 30, "processes": 512, "file_bytes": 1 << 30}, sys.argv[3] == "gpu")
def can(do):
    try:
        do()
    except OSError:
        return False
    return True
def local(kind=socket.SOCK_STREAM):
    return socket.socket(socket.AF_UNIX, kind)
def write(path):
    with open(path, "w") as stream:
        stream.write("x")
found = {
    "bind": can(lambda: local().bind(chr(0) + "a-name-of-ours")),
    "connect": can(lambda: local().connect(sys.argv[2] + "/door")),
    "send": can(lambda: local(socket.SOCK_DGRAM).sendto(b"x", sys.argv[2] + "/door")),
    "name a thread": can(lambda: write("/proc/self/task/%d/comm" % os.getpid())),
    "write elsewhere": can(lambda: write(sys.argv[4])),
    "write here": can(lambda: write(sys.argv[2] + "/file")),
}
print(json.dumps([found, said]))
"""


def tried(folder: Path, mode: str) -> tuple[dict[str, bool], dict[str, str]]:
    (folder / "job").mkdir()
    command = [sys.executable, "-c", TRIES, str(WORKER), str(folder / "job"), mode, str(folder / "elsewhere")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found, said = json.loads(done.stdout)
    for part in ("writes", "local sockets"):
        if said[part].startswith("not"):
            pytest.fail(f"this kernel does not enforce {part}: {said[part]}")
    return found, said


def test_a_worker_for_a_gpu_can_do_what_cuda_needs_and_no_more(tmp_path: Path) -> None:
    found, said = tried(tmp_path, "gpu")
    assert found == {
        "bind": True, "name a thread": True, "write here": True,
        "connect": False, "send": False, "write elsewhere": False,
    }  # fmt: skip
    assert said["local sockets"] == "no connection, nothing sent (seccomp)"


def test_any_other_worker_cannot(tmp_path: Path) -> None:
    found, _ = tried(tmp_path, "cpu")
    assert [name for name, could in found.items() if could] == ["write here"]


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The worker's module, imported as the worker does it."""
    monkeypatch.syspath_prepend(str(WORKER))
    import placement

    return placement


@pytest.fixture
def nodes(worker: Any, digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What ONNX Runtime's own profile says of one run of the digits CNN on the CPU."""
    import onnxruntime

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    options = onnxruntime.SessionOptions()
    worker.watch(options)
    session = onnxruntime.InferenceSession(digits, options, providers=[CPU])
    session.run(None, {"image": np.zeros((1, 1, 8, 8), np.float32)})
    return list(worker.read(session.end_profiling()))


def test_every_node_of_a_profile_has_its_provider_and_types(worker: Any, nodes: list[tuple[Any, ...]]) -> None:
    assert {where for where, _, _, _ in nodes} == {CPU}
    assert "Conv" in " ".join(op for _, op, _, _ in nodes)
    assert all("float" in kinds for _, op, _, kinds in nodes if "Conv" in op)
    assert worker.told(nodes) == f"{len(nodes)} CPU"


def test_nodes_that_strayed_to_the_cpu_fail_the_run(worker: Any, nodes: list[tuple[Any, ...]]) -> None:
    """The places are altered here: there is no GPU to run them."""
    with pytest.raises(Exception, match=f"no node ran on {CUDA}"):
        worker.check(nodes, CUDA, None)
    moved = [(CUDA, *rest) for _, *rest in nodes]
    worker.check(moved, CUDA, None)
    one = [*moved[:-1], nodes[-1]]
    with pytest.raises(Exception, match=f"1 of {len(nodes)} nodes ran on the CPU: .*--allow-fallback"):
        worker.check(one, CUDA, None)
    worker.check(one, CUDA, allowed=True)
    where, op, node, _ = nodes[-1]
    worker.check([*moved[:-1], (where, op, node, {"int64"})], CUDA, None)


def mapped(library: Path, prefix: Path) -> subprocess.CompletedProcess[str]:
    """A process whose environment is `prefix` and that has loaded `library`; what it says of its libraries."""
    script = (
        "import ctypes, sys; sys.path.insert(0, sys.argv[1]); import placement; ctypes.CDLL(sys.argv[2]);"
        " sys.prefix = sys.argv[3]; print(placement.libraries())"
    )
    command = [sys.executable, "-c", script, str(WORKER), str(library), str(prefix)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_cuda_library_from_outside_the_environment_is_refused(tmp_path: Path) -> None:
    """Any library does, under cuDNN's name: what counts is where it was mapped from."""
    import _ctypes

    inside, outside = tmp_path / "env" / "lib", tmp_path / "machine"
    for folder in (inside, outside):
        folder.mkdir(parents=True)
        shutil.copy(_ctypes.__file__, folder / "libcudnn.so.9")
    here = mapped(inside / "libcudnn.so.9", tmp_path / "env")
    assert here.stdout.strip() == "libcudnn.so.9", here.stderr
    there = mapped(outside / "libcudnn.so.9", tmp_path / "env")
    assert f"loaded from outside the environment: {outside / 'libcudnn.so.9'}" in there.stderr


@pytest.mark.docker
@pytest.mark.usefixtures("docker_base")
def test_a_docker_without_gpus_is_refused_with_what_it_has() -> None:
    import docker

    info = docker.from_env().info()
    if any(Path(folder, "nvidia.json").exists() for folder in info.get("CDISpecDirs") or ()):
        pytest.fail("this test is for machines without a GPU")
    with pytest.raises(HostLacks, match="cannot give a container the GPU") as refused:
        device_request(info)
    assert info["ServerVersion"] in refused.value.because[0].source


def test_cdi_comes_before_the_runtime(tmp_path: Path) -> None:
    """What a daemon would say of itself; a container with a GPU was never started by envctl (docs/gpu.md)."""
    runtime = {"Runtimes": {"nvidia": {}, "runc": {}}, "CDISpecDirs": [str(tmp_path), "/not/there"]}
    assert device_request(runtime)["Capabilities"] == [["gpu"]]
    (tmp_path / "other.yaml").write_text("kind: vendor.com/nic")
    assert device_request(runtime)["Driver"] == ""
    (tmp_path / "nvidia.yaml").write_text("kind: nvidia.com/gpu")
    asked = device_request(runtime)
    assert (asked["Driver"], asked["DeviceIDs"]) == ("cdi", [ALL])


@pytest.fixture
def adapter(monkeypatch: pytest.MonkeyPatch) -> Any:
    """ONNX Runtime's adapter, imported as the worker does it."""
    monkeypatch.syspath_prepend(str(WORKER))
    from adapters import onnxruntime

    return onnxruntime


def test_onnxruntime_may_not_try_again_on_the_cpu(adapter: Any, digits: Path) -> None:
    """Its Python answers a provider's failure inside a run by a second try on the CPU, unless it is told not to."""
    session = adapter.start(str(digits), adapter.session_options({}), {})
    assert session._enable_fallback is False


class Unplanned:
    """A session whose provider finds no plan for a convolution, as seen on an H200 (docs/evidence.md)."""

    def __init__(self, session: Any, message: str) -> None:
        self.session, self.message = session, message

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)

    def run(self, *_: Any) -> Any:
        raise RuntimeError(self.message)


FAILED = "Non-zero status code returned while running Conv node. Status Message: Failed to initialize CUDNN Frontend: …"


def test_a_convolution_that_the_search_has_no_plan_for_is_left_to_cudnn(adapter: Any, digits: Path) -> None:
    real = adapter.start(str(digits), adapter.session_options({}), {})
    feed = {"image": np.ones((1, 1, 8, 8), np.float32)}
    session = adapter.Session(Unplanned(real, FAILED), {}, lambda: real)
    assert np.array_equal(session.run(feed)[0], real.run(None, feed)[0]) and session.unsearched
    lane = adapter.Session(Unplanned(real, FAILED), {}, lambda: real).lanes(feed, 2)[0]  # a batch not seen before
    assert np.array_equal(lane()[0], real.run(None, feed)[0])
    for other in (adapter.Session(Unplanned(real, "out of memory"), {}, lambda: real),
                  adapter.Session(Unplanned(real, FAILED), {})):  # fmt: skip
        with pytest.raises(RuntimeError):
            other.run(feed)
    options = dict(adapter.asked_for({"device": "cuda", "unsearched": True})[0][1])
    assert options == {"use_tf32": "0", "cudnn_conv_algo_search": "DEFAULT"}
    assert adapter.asked_for({"device": "cuda"})[0][1] == {"use_tf32": "0"}
