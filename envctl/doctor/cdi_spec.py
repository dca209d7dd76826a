"""A CDI specification of this machine's NVIDIA GPUs for computing, for machines without NVIDIA's toolkit. Pure.

The format: https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md (0.5.0, which podman 4.3 reads
too). What is left out, and what `nvidia-ctk cdi generate` does: graphics, MIG, and the hooks that write links and the
loader's cache inside the container; instead, each library is mounted under every name that links to it here, in one
folder that LD_LIBRARY_PATH names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

KIND = "nvidia.com/gpu"
INSIDE = "/usr/local/nvidia/lib64"
CONTROL = ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools")
GPU = re.compile(r"/dev/nvidia(\d+)$")
# what computing needs of a driver: the files of Ubuntu's package for servers, and libnvidia-gpucomp, which it needs
# https://packages.ubuntu.com/questing/amd64/libnvidia-compute-580-server/filelist
LIBRARIES = (
    "libcuda", "libcudadebugger", "libnvidia-ml", "libnvidia-nvvm", "libnvidia-nvvm70", "libnvidia-opencl",
    "libnvidia-ptxjitcompiler", "libnvidia-gpucomp", "libnvidia-pkcs11", "libnvidia-pkcs11-openssl3",
)  # fmt: skip


def is_for_computing(name: str) -> bool:
    """Whether a file of this name is one of the driver's libraries that computing needs."""
    return name.partition(".so.")[0] in LIBRARIES and ".so." in name


def specification(nodes: Iterable[str], libraries: Mapping[str, str]) -> dict[str, Any]:
    """The specification for device nodes (/dev/nvidia0 …) and libraries (name in the loader's eyes -> file)."""
    there = sorted(nodes)
    gpus = {found[1]: path for path in there if (found := GPU.match(path))}
    devices = [{"name": number, "containerEdits": {"deviceNodes": [{"path": gpus[number]}]}} for number in gpus]
    every = [{"path": path} for path in gpus.values()]
    return {
        "cdiVersion": "0.5.0",
        "kind": KIND,
        "devices": [*devices, {"name": "all", "containerEdits": {"deviceNodes": every}}],
        "containerEdits": {
            "deviceNodes": [{"path": path} for path in there if path in CONTROL],
            # void: NVIDIA's own hook, where it is installed later, leaves these containers alone
            "env": [f"LD_LIBRARY_PATH={INSIDE}", "NVIDIA_VISIBLE_DEVICES=void", "ENVCTL_CDI=compute-only"],
            "mounts": [_mount(name, path) for name, path in sorted(libraries.items())],
        },
    }


def _mount(name: str, path: str) -> dict[str, Any]:
    options = ["ro", "nosuid", "nodev", "bind"]
    return {"hostPath": path, "containerPath": f"{INSIDE}/{name}", "options": options}
