"""Recorded GPU machines, copied and broken on purpose, and what the checks say of them."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from envctl.doctor.check import Check, Facts, Verdict
from envctl.doctor.checks import cuda, driver, driver_parts, gpu, gpu_health, gpu_state, libraries, wsl
from envctl.doctor.cuda_claims import with_cuda_claims
from envctl.doctor.judge import judge
from envctl.host import Fact, HostFacts
from envctl.matrix import load

HOSTS = Path(__file__).parent / "hosts"
PROBES = Path(__file__).parent.parent / "probes"
CHECKS: tuple[Check, ...] = (
    *wsl.CHECKS,
    *gpu.CHECKS,
    *driver.CHECKS,
    *driver_parts.CHECKS,
    *gpu_health.CHECKS,
    *gpu_state.CHECKS,
    *cuda.CHECKS,
    *libraries.CHECKS,
)
MATRIX = load()
A10, GEFORCE, NOUVEAU = "ubuntu22.04-a10-driver535", "ubuntu22.04-rtx3090-driver550", "ubuntu22.04-rtx3090-nouveau"
SWITCHED, H200 = "ubuntu22.04-a100-nvswitch-driver550", "ubuntu24.04-h200-driver580"
WSL, JETSON, INTEL = "ubuntu22.04-wsl2-rtx4070", "l4t35.4-jetson-orin", "ubuntu24.04-intel-arc"
HEALTHY = (A10, GEFORCE, SWITCHED, H200, WSL, JETSON, INTEL)


class Broken:
    """A copy of a recorded machine; each method breaks one thing and returns the machine, so that they chain."""

    def __init__(self, name: str, folder: Path) -> None:
        self.root = folder / name
        shutil.copytree(HOSTS / name, self.root)
        self.recorded: dict[str, Any] = json.loads((self.root / "recorded.json").read_text())

    def call(self, name: str, value: Any) -> Broken:
        """What a live call answers instead."""
        self.recorded["calls"][name] = {"value": value}
        return self

    def error(self, name: str, text: str) -> Broken:
        """A live call that fails."""
        self.recorded["calls"][name] = {"error": f"OSError: {text}"}
        return self

    def gpu(self, **changed: Any) -> Broken:
        """What NVML says of the first GPU instead."""
        self.recorded["calls"]["nvml"]["value"]["gpus"][0].update(changed)
        return self

    def cuda(self, code: int) -> Broken:
        """What cuInit answers instead."""
        return self.call("cuInit", {"init": code, "version": None, "devices": []})

    def library(self, soname: str, path: str, version: str | None, **more: Any) -> Broken:
        """Where the loader finds a library instead."""
        return self.call(f"dlopen {soname}", {"path": path, "version": version, **more})

    def without(self, *beginnings: str) -> Broken:
        """Files, folders and nodes whose paths begin so are gone."""
        self.recorded["stat"] = {k: v for k, v in self.recorded["stat"].items() if not k.startswith(beginnings)}
        for path in sorted(self.root.rglob("*"), reverse=True):
            if path.is_file() and ("/" + str(path.relative_to(self.root))).startswith(beginnings):
                path.unlink()
        return self

    def there(self, *paths: str, **how: Any) -> Broken:
        """Paths that exist, as stat says it."""
        usual = {"mode": "-rw-r--r--", "uid": 0, "gid": 0, "size": 0, "mtime": 1700000000, "major": 0, "minor": 0}
        self.recorded["stat"].update({path: {**usual, **how} for path in paths})
        return self

    def file(self, path: str, text: str) -> Broken:
        """A file with another text."""
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        return self

    def bound(self, slot: str, name: str | None) -> Broken:
        """Another kernel driver has the PCI device, or none."""
        link = f"/sys/bus/pci/devices/{slot}/driver"
        self.recorded["links"].pop(link, None)
        if name:
            self.recorded["links"][link] = f"../../../../bus/pci/drivers/{name}"
        return self

    def unloaded(self) -> Broken:
        """No NVIDIA module is loaded, and what follows from that."""
        self.without("/proc/driver/nvidia", "/sys/module/nvidia/", "/dev/nvidia").file("/proc/modules", "")
        for link in [it for it in self.recorded["links"] if it.startswith("/sys/bus/pci")]:
            del self.recorded["links"][link]
        return self.call("nvml", {"init": 9}).cuda(100)

    def verdicts(self) -> dict[str, Verdict]:
        """What the checks say of it, by id."""
        (self.root / "recorded.json").write_text(json.dumps(self.recorded))
        return verdicts(self.root)


Break = Callable[[Broken], Any]


def facts_of(root: Path) -> Facts:
    """The facts that the GPU probes read on a recorded machine, and what the matrix adds."""
    found: dict[str, Fact] = {}
    sys.path.insert(0, str(PROBES))
    try:
        machine = importlib.import_module("machine")
        for name in ("nvidia", "driver", "libraries"):
            for it in importlib.import_module(name).facts(machine.Machine(str(root))):
                found[it["name"]] = Fact(
                    name=it["name"], value=it["value"], origin=it["origin"], error=it["error"] or ""
                )
    finally:
        sys.path.remove(str(PROBES))
    text = (root / "etc/os-release").read_text()
    name = text.partition('PRETTY_NAME="')[2].partition('"')[0]
    found["os"] = Fact(name="os", value=name, origin="/etc/os-release")
    return Facts(host=with_cuda_claims(MATRIX, HostFacts(facts=found)))


def verdicts(root: Path) -> dict[str, Verdict]:
    """What the GPU checks say of a recorded machine, by id."""
    return {verdict.id: verdict for verdict in judge(CHECKS, facts_of(root))}
