"""How a container is given the GPUs: by CDI, by NVIDIA's runtime, or not at all, with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from envctl.errors import HostLacks, Reason

ALL = "nvidia.com/gpu=all"


def device_request(info: dict[str, Any]) -> dict[str, Any]:
    """The request, as Docker's interface has it, for what the daemon's `info` says that it can do; raises `HostLacks`
    where it can do neither.

    A daemon that knows CDI lists the folders it reads specifications from:
    https://docs.docker.com/build/building/cdi/ ; the runtime: NVIDIA's container toolkit.
    """
    folders = [Path(each) for each in info.get("CDISpecDirs") or ()]
    if any(_tells_of_gpus(path) for folder in folders if folder.is_dir() for path in sorted(folder.iterdir())):
        return {"Driver": "cdi", "DeviceIDs": [ALL], "Count": 0, "Capabilities": [], "Options": {}}
    if "nvidia" in (info.get("Runtimes") or {}):
        return {"Driver": "", "DeviceIDs": [], "Count": -1, "Capabilities": [["gpu"]], "Options": {}}
    said = f"CDI folders: {', '.join(map(str, folders)) or 'none'}; runtimes: {', '.join(info.get('Runtimes') or ())}"
    do = ["envctl doctor --fix", "or nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml", "or try --runner local"]
    because = [Reason(text=said, source=f"Docker {info.get('ServerVersion', '')}".strip())]
    raise HostLacks("Docker here cannot give a container the GPU", because=because, do=do)


def as_flags(request: dict[str, Any]) -> list[str]:
    """The same request as options of the docker program."""
    return ["--device", ALL] if request["Driver"] == "cdi" else ["--gpus", "all"]


def _tells_of_gpus(path: Path) -> bool:
    try:
        return path.suffix in (".json", ".yaml") and "nvidia.com/gpu" in path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
