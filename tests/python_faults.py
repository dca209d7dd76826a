"""Faults of Python environments: how each is made on a healthy recorded machine, and what the doctor must say."""

from __future__ import annotations

from typing import Any

from tests.broken_hosts import Change, Copy, Fault

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
