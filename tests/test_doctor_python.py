"""Doctor on Python environments: broken pairs, doubles, leaks, halves; on recorded machines and on real folders."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from envctl.doctor.check import Facts
from envctl.doctor.claims import broken_pairs, with_claims
from envctl.doctor.judge import judge
from envctl.host import collect, start_probes
from envctl.matrix import load
from tests.broken_hosts import CHECKS, Change, Copy, Fault, assert_found, copied, facts_of, verdicts_of

VENV = "/home/user/project/.venv"
SITE = f"{VENV}/lib/python3.10/site-packages"
USER_SITE = "/home/user/.local/lib/python3.10/site-packages"
CONDA = "/home/user/miniconda3/envs/ml"


def with_versions(**versions: str | None) -> Change:
    """Other versions of distributions in the environment (None: not installed)."""

    def change(machine: Copy) -> None:
        def edit(document: dict[str, Any]) -> None:
            stat = document["stat"]
            for name, version in versions.items():
                for path in [path for path in stat if path.startswith(f"{SITE}/{name}-")]:
                    del stat[path]
                if version:
                    stat[f"{SITE}/{name}-{version}.dist-info"] = stat[SITE]

        machine.recorded(edit)

    return change


def variables(machine: Copy, **values: str) -> None:
    machine.recorded(lambda document: document["calls"]["python variables"]["value"]["variables"].update(values))


def conda_leak(machine: Copy) -> None:
    """A conda environment that sees TensorFlow in ~/.local."""
    variables(machine, CONDA_PREFIX=CONDA)
    for path in (f"{CONDA}/conda-meta", f"{CONDA}/bin/python3", f"{CONDA}/lib/python3.10", USER_SITE):
        machine.there(path)
    machine.there(f"{CONDA}/lib/python3.10/site-packages")
    machine.there(f"{USER_SITE}/tensorflow-2.15.1.dist-info")


def pythonpath(machine: Copy) -> None:
    variables(machine, PYTHONPATH="/opt/shared/python")
    machine.there("/opt/shared/python")
    machine.there("/opt/shared/python/numpy-1.26.4.dist-info")


def two_onnxruntimes(machine: Copy) -> None:
    with_versions(onnxruntime_gpu="1.20.1")(machine)
    machine.there(f"{SITE}/onnxruntime/capi/libonnxruntime_providers_cuda.so")


def interpreter_gone(machine: Copy) -> None:
    """A distribution upgrade took the interpreter away; what is broken inside no longer matters."""
    machine.gone(f"{VENV}/bin/python3")
    with_versions(numpy="2.2.6", tf2onnx="1.16.1", openvino=None, ml_dtypes=None)(machine)


def interpreter_upgraded(machine: Copy) -> None:
    machine.recorded(lambda document: document["links"].update({"/usr/bin/python3": "python3.12"}))


def half_installed(machine: Copy) -> None:
    machine.there(f"{SITE}/~umpy")


def doubled(machine: Copy) -> None:
    machine.there(f"{SITE}/protobuf-4.21.12.dist-info")


def jetson(machine: Copy) -> None:
    machine.write("etc/nv_tegra_release", "# R36 (release), REVISION: 4.0, GCID: 37537400, BOARD: generic\n")
    machine.gone("/home/user/.venvs/ml/lib/python3.12/site-packages/onnxruntime-1.23.0.dist-info")


FAULTS = (
    Fault(
        name="onnxruntime built for NumPy 1",
        change=with_versions(onnxruntime="1.16.3", numpy="2.2.6", tensorflow=None, openvino=None, ml_dtypes=None),
        check="py.numpy_abi",
        level="FAIL",
        said="onnxruntime 1.16.3 was built for an older NumPy",
        fix=f"{VENV}/bin/python3 -m pip install 'numpy==1.26.4'",
    ),
    Fault(
        name="TensorFlow built for NumPy 1",
        change=with_versions(numpy="2.2.6", openvino=None, ml_dtypes=None),
        check="py.numpy_abi",
        level="FAIL",
        said="tensorflow 2.15.1 was built for an older NumPy",
        fix="numpy==1.26.4",
    ),
    Fault(
        name="MXNet and a NumPy without np.bool",
        change=with_versions(mxnet="1.9.1", tensorflow=None, keras=None, onnx=None, tf2onnx=None, protobuf=None),
        check="py.numpy_alias",
        level="FAIL",
        said="mxnet 1.9.1 uses names that are gone with numpy 1.26.4",
        fix="numpy==1.23",
    ),
    Fault(
        name="old onnx and protobuf 4",
        change=with_versions(onnx="1.11.0", tensorflow=None, tf2onnx=None, onnxruntime=None),
        check="py.protobuf",
        level="FAIL",
        said="onnx 1.11.0 has generated code",
        fix="protobuf",
    ),
    Fault(
        name="TensorFlow and a protobuf of years later",
        change=with_versions(protobuf="6.33.0", tf2onnx=None, onnx=None, onnxruntime=None),
        check="py.protobuf",
        level="FAIL",
        said="tensorflow 2.15.1 has generated code",
        fix="protobuf==4.",
    ),
    Fault(
        name="Keras 3 under TensorFlow 2.15",
        change=with_versions(keras="3.6.0"),
        check="py.keras3",
        level="FAIL",
        said="tensorflow 2.15.1 expects another line of Keras",
        fix="keras==2.15.0",
    ),
    Fault(
        name="onnx 1.19 and ml-dtypes 0.3",
        change=with_versions(onnx="1.19.0", onnxruntime=None),
        check="py.pairs",
        level="FAIL",
        said="tensorflow 2.15.1 is not known to work with onnx 1.19.0",
        fix="onnx==1.17.0",
    ),
    Fault(
        name="onnxruntime and onnxruntime-gpu",
        change=two_onnxruntimes,
        check="py.ort_dup",
        level="FAIL",
        said="onnxruntime and onnxruntime-gpu",
        fix="pip uninstall -y onnxruntime onnxruntime-gpu",
    ),
    Fault(
        name="onnxruntime-gpu without its provider",
        change=with_versions(onnxruntime=None, onnxruntime_gpu="1.20.1"),
        check="py.ort_dup",
        level="FAIL",
        said="lacks its cuda provider",
        fix="pip install onnxruntime-gpu==1.20.1",
    ),
    Fault(
        name="tensorflow and tensorflow-cpu",
        change=with_versions(tensorflow_cpu="2.15.1"),
        check="py.ort_dup",
        level="FAIL",
        said="tensorflow and tensorflow-cpu",
        fix="pip uninstall -y tensorflow tensorflow-cpu",
    ),
    Fault(
        name="CUDA 11 and CUDA 12 libraries",
        change=with_versions(
            nvidia_cudnn_cu11="8.9.6.50", nvidia_cublas_cu12="12.4.5.8", nvidia_cuda_runtime_cu12="12.4.127"
        ),
        check="lib.mixcuda",
        level="WARN",
        said="CUDA 11 and CUDA 12",
        fix="pip uninstall -y nvidia-cudnn-cu11",
    ),
    Fault(
        name="TensorFlow of ~/.local in a conda environment",
        change=conda_leak,
        check="py.isolation",
        level="WARN",
        said="takes tensorflow 2.15.1 from",
        fix="PYTHONNOUSERSITE=1",
    ),
    Fault(
        name="PYTHONPATH in front of the environment",
        change=pythonpath,
        check="py.isolation",
        level="WARN",
        said="takes numpy 1.26.4 from /opt/shared/python",
        fix="unset PYTHONPATH",
    ),
    Fault(
        name="PYTHONHOME",
        change=lambda m: variables(m, PYTHONHOME="/opt/python27"),
        check="py.variables",
        level="FAIL",
        said="PYTHONHOME is /opt/python27",
        fix="unset PYTHONHOME",
    ),
    Fault(
        name="PIP_TARGET",
        change=lambda m: variables(m, PIP_TARGET="/srv/python"),
        check="py.variables",
        level="WARN",
        said="PIP_TARGET is set",
        fix="unset PIP_TARGET",
    ),
    Fault(
        name="installation cut off",
        change=half_installed,
        check="py.leftovers",
        level="WARN",
        said="~umpy",
        fix=f"rm -r {SITE}/~umpy",
    ),
    Fault(
        name="one distribution with two versions",
        change=doubled,
        check="py.leftovers",
        level="WARN",
        said="protobuf 4.21.12 and 4.25.9",
        fix="--force-reinstall protobuf==4.25.9",
    ),
    Fault(
        name="cut wheel in pip's cache",
        change=lambda m: m.answer("pip cache", ["/home/user/.cache/pip/wheels/aa/bb/cc/dd/x-1-py3-none-any.whl"]),
        check="py.pip_cache",
        level="WARN",
        said="1 wheel(s) that were cut off",
        fix="pip cache purge",
    ),
    Fault(
        name="interpreter gone",
        change=interpreter_gone,
        check="py.base",
        level="FAIL",
        said="its interpreter is gone",
        fix=f"uv venv --clear --python 3.10 {VENV}",
        folded=("py.numpy_abi", "py.protobuf"),
    ),
    Fault(
        name="interpreter upgraded under the environment",
        change=interpreter_upgraded,
        check="py.base",
        level="FAIL",
        said="made for Python 3.10, its interpreter is 3.12 now",
        fix="uv venv --clear",
    ),
    Fault(
        name="torch from the index on a Jetson",
        host="ubuntu24.04-graviton",
        change=jetson,
        check="py.cpu_wheel",
        level="WARN",
        said="torch 2.9.0+cpu",
        fix="NVIDIA's wheel for this JetPack",
    ),
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_is_found_with_its_root_cause(fault: Fault, tmp_path: Path) -> None:
    assert_found(fault, tmp_path)


def test_every_check_of_environments_is_broken_by_a_fault() -> None:
    own = {check.id for check in CHECKS if check.id.startswith(("py.", "lib."))}
    assert own == {fault.check for fault in FAULTS}


def test_ids_are_unique_and_causes_stand_before_what_follows() -> None:
    names = [check.id for check in CHECKS]
    assert len(names) == len(set(names))
    for place, check in enumerate(CHECKS):
        assert set(check.after) <= set(names[:place]), check.id


def test_a_cpu_build_beside_a_gpu_is_told_and_not_blamed(tmp_path: Path) -> None:
    machine = copied("ubuntu22.04-desktop", tmp_path)
    for name, text in (("vendor", "0x10de"), ("class", "0x030000"), ("device", "0x2204")):
        machine.write(f"sys/bus/pci/devices/0000:01:00.0/{name}", text)
    found = verdicts_of(machine.folder)["py.cpu_wheel"].finding
    assert found.level == "INFO"
    assert found.fix == (f"{VENV}/bin/python3 -m pip install onnxruntime-gpu",)


def test_without_the_matrix_pairs_are_unknown_and_not_fine(tmp_path: Path) -> None:
    folder = copied("ubuntu22.04-desktop", tmp_path).folder
    host = collect(start_probes(("system", "pythons"), folder), 10)
    verdicts = {verdict.id: verdict.finding.level for verdict in judge(CHECKS, Facts(host=host))}
    assert {verdicts[name] for name in ("py.numpy_abi", "py.pairs", "cpu.isa", "libc")} == {"SKIP"}


# ---- what the matrix says of pairs

PAIRS = (
    ({"onnxruntime": "1.16.3", "numpy": "1.26.4"}, []),
    ({"onnxruntime": "1.16.3", "numpy": "2.0.2"}, ["numpy"]),
    ({"onnxruntime": "1.19.2", "numpy": "2.0.2"}, []),
    ({"tensorflow-cpu": "2.15.1", "numpy": "2.0.2"}, ["numpy"]),
    ({"ai-edge-litert": "2.3.0", "numpy": "1.21.0"}, ["numpy"]),
    ({"torch": "2.2.0+cpu", "numpy": "2.0.2"}, ["numpy"]),
    ({"tensorflow": "2.20.0", "protobuf": "4.25.9"}, ["protobuf"]),
    ({"tensorflow": "99.0", "numpy": "1.0"}, []),  # a release that nobody has written down breaks nothing
    ({"onnxruntime": "1.16.3", "numpy": "custom"}, []),
)


@pytest.mark.parametrize(("distributions", "names"), PAIRS, ids=str)
def test_pairs_that_the_matrix_knows(distributions: dict[str, str], names: list[str]) -> None:
    environment = {"prefix": "/x", "sites": [{"distributions": distributions}]}
    assert [pair["name"] for pair in broken_pairs(load(), environment)] == names


# ---- real folders of this machine


def distribution(site: Path, name: str, version: str) -> None:
    (site / f"{name}-{version}.dist-info").mkdir(parents=True)


@pytest.fixture
def venv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A real, empty environment that is the active one."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "env"))
    return tmp_path / "env"


def real(check: str) -> Any:
    """What a check says of this machine."""
    host = with_claims(load(), collect(start_probes(("system", "nvidia", "pythons", "disks", "loader", "limits")), 20))
    return {verdict.id: verdict for verdict in judge(CHECKS, Facts(host=host))}[check].finding


def test_real_environment_with_numpy_2(venv: Path) -> None:
    site = next(venv.glob("lib/python3*/site-packages"))
    distribution(site, "onnxruntime", "1.17.3")
    distribution(site, "numpy", "1.26.4")
    assert real("py.numpy_abi").level == "OK"
    (site / "numpy-1.26.4.dist-info").rename(site / "numpy-2.1.0.dist-info")
    found = real("py.numpy_abi")
    assert found.level == "FAIL"
    assert found.fix[0].startswith(f"uv pip install --python {venv}/bin/python3 'numpy")


def test_real_environment_without_interpreter(venv: Path) -> None:
    assert real("py.base").level == "OK"
    for link in (venv / "bin").glob("python*"):
        link.unlink()
    (venv / "bin/python3").symlink_to("/opt/python-that-was/bin/python3")
    assert "interpreter is gone" in real("py.base").said


def test_real_environment_with_spaces_and_no_rights(venv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = venv.rename(venv.parent / "my env")
    monkeypatch.setenv("VIRTUAL_ENV", str(odd))
    assert real("py.base").level == "OK"
    monkeypatch.setenv("VIRTUAL_ENV", "/nowhere/at/all")
    assert real("py.leftovers").level == "OK"


def test_real_pip_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "wheels/aa/bb/cc/dd"
    folder.mkdir(parents=True)
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path))
    with zipfile.ZipFile(folder / "whole-1-py3-none-any.whl", "w") as archive:
        archive.writestr("whole.py", "x = 1\n" * 100)
    assert real("py.pip_cache").level == "OK"
    (folder / "cut-1-py3-none-any.whl").write_bytes((folder / "whole-1-py3-none-any.whl").read_bytes()[:200])
    (folder / "empty-1-py3-none-any.whl").touch()
    assert "2 wheel(s)" in real("py.pip_cache").said


def test_real_tmpdir_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    assert real("disk.tmpdir").fix == (f"mkdir -p {tmp_path / 'none'}",)


def test_real_file_in_place_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").touch()
    monkeypatch.setenv("ENVCTL_CACHE", str(tmp_path / "cache"))
    assert "is a file" in real("disk.rights").said


def test_real_damaged_cpp_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "libstdc++.so.6").write_text("cut off")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    found = real("libstdcxx")
    assert found.level == "FAIL"
    assert f"rm {tmp_path / 'libstdc++.so.6'}" in found.fix[0]


UNSHARE = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-rm"]
MOUNTS = subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not MOUNTS, reason="this kernel gives no mount namespace to this user")
@pytest.mark.parametrize(
    ("options", "check", "said"),
    [
        ("size=8m", "disk", "8 MB are free for envctl's cache"),
        ("size=64g,nr_inodes=1", "disk.inodes", "of the inodes are left"),
        ("size=64g,noexec", "disk.exec", "mounted noexec"),
        ("size=64g,ro", "disk.rights", "mounted read-only"),
    ],
)
def test_real_small_disk(options: str, check: str, said: str, tmp_path: Path) -> None:
    """A tmpfs over the cache, in a mount namespace of the child's own."""
    code = f"from tests.test_doctor_python import real; print(real({check!r}).said)"
    script = 'mount -t tmpfs -o "$1" none "$2" && shift 2 && exec "$@"'
    command = [*UNSHARE, "sh", "-c", script, "sh", options, str(tmp_path), sys.executable, "-c", code]
    variables = {**os.environ, "ENVCTL_CACHE": str(tmp_path)}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert said in done.stdout, done.stderr


def test_this_machine_has_environments() -> None:
    environments = facts_of(None).facts["python_environments"].value
    own = environments[0]
    assert own["how"] == "runs envctl"
    names = set().union(*(site["distributions"] for site in own["sites"]))
    assert {"numpy", "packaging", "typer"} <= names
