"""CUDA: which libcuda wins, does it start, and does it serve the runtimes that are installed?"""

from __future__ import annotations

import re
from typing import Any

from envctl.doctor.check import Check, Facts, Finding, Unknown, ok, skip
from envctl.doctor.checks.gpu import bad, cuda_works, gpus, on_tegra, on_wsl, warn, with_gpu
from envctl.doctor.checks.gpu_health import WORKS

# what cuInit answers: code -> (what it means, fix, needs root, needs a reboot)
# source: https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__TYPES.html; 34, 100 and 803 were seen on an H200
LOOK = "sudo dmesg | grep -E 'NVRM|nvidia'"
CODES: dict[int, tuple[str, tuple[str, ...], bool, bool]] = {
    2: ("the GPU has no memory left", ("nvidia-smi  # shows who has it",), False, False),
    34: ("a stub was loaded instead of the driver's libcuda", ("unset LD_LIBRARY_PATH",), False, False),
    46: ("the GPU is taken, or closed", ("sudo nvidia-smi -c DEFAULT",), True, False),
    100: ("CUDA sees no device", ("nvidia-smi -L", LOOK), False, False),
    101: ("a device number is not valid", ("unset CUDA_VISIBLE_DEVICES",), False, False),
    304: ("the operating system refused a call", (LOOK, "ulimit -v unlimited"), True, False),
    802: ("NVSwitches wait for their fabric manager", ("sudo systemctl restart nvidia-fabricmanager",), True, False),
    803: ("libcuda does not fit the loaded kernel module", ("sudo reboot",), True, True),
    804: ("a compat libcuda was loaded on a GPU that may not use it", ("unset LD_LIBRARY_PATH",), False, False),
    999: (
        "unknown; often nvidia_uvm after a suspend",
        ("sudo rmmod nvidia_uvm", "sudo modprobe nvidia_uvm"),
        True,
        False,
    ),
}
NO_DEVICE, INVALID_DEVICE = 100, 101
ORDERS = ("PCI_BUS_ID", "FASTEST_FIRST")  # anything else, even nothing, made cuInit answer 101 on an H200


def libcuda(facts: Facts) -> dict[str, Any]:
    """What the loader takes for libcuda.so.1: path and version, or an error."""
    found: dict[str, Any] = facts.need("libraries").get("libcuda.so.1", {})
    return found


@with_gpu
def stub(facts: Facts) -> Finding:
    """FAIL where a stub wins over the driver's libcuda."""
    path = libcuda(facts).get("path", "")
    places = [it for it in facts.get("loader_folders") or [] if "/stubs" in it["folder"]]
    fix = tuple(f"take {it['folder']} out of {it['from']}" for it in places) or (
        "take the folder with the stub out of LD_LIBRARY_PATH",
    )
    if "/stubs" in path or (facts.get("cuda") or {}).get("init") == 34:
        said = "the loader takes a stub for the driver's libcuda: programs link, and cannot run"
        return bad(said, f"libcuda.so.1 = {path}", fix=fix, root=False)
    if places:
        said = "a folder of stubs is on the loader's path"
        return warn(said, *[f"{it['from']}: {it['folder']}" for it in places], fix=fix, root=False)
    return ok("the loader takes no stub", f"libcuda.so.1 = {path}") if path else skip("no libcuda is found")


@with_gpu
def compat(facts: Facts) -> Finding:
    """FAIL where a forward-compatibility libcuda is used that does not fit driver or GPU."""
    found = libcuda(facts)
    path = found.get("path", "")
    if "/compat/" not in path or on_tegra(facts):
        return skip("the driver's own libcuda is used")
    driver, version = str(facts.need("driver")), str(found.get("version"))
    note: dict[str, Any] = next((it["note"] for it in facts.get("cuda_compat") or [] if it["path"] == path), {})
    drivers = note.get("drivers", [])
    why = _unfit(facts, driver, version, drivers)
    shown = (f"libcuda.so.1 = {path}", facts.shown("driver"), facts.shown("gpu-class"), f"its note: drivers {drivers}")
    if why:
        places = [it for it in facts.get("loader_folders") or [] if "/compat" in it["folder"]]
        fix = tuple(f"take {it['folder']} out of {it['from']}" for it in places)
        return bad(why, *shown, fix=fix or (f"take {path.rpartition('/')[0]} off the loader's path",), root=False)
    if not cuda_works(facts) and not drivers:
        raise Unknown("the compat library says nothing of the drivers that it is for")
    return ok(f"forward compatibility with CUDA {note.get('cuda') or '?'} fits driver {driver}", *shown)


def _unfit(facts: Facts, driver: str, version: str, drivers: list[int]) -> str:
    if numbers(version) <= numbers(driver):
        return f"the compat libcuda ({version}) is not newer than the driver ({driver}) and must not be used"
    if facts.get("gpu-class") == "geforce":
        return "forward compatibility is for data-centre boards; this one is a GeForce"
    if drivers and int(driver.partition(".")[0]) not in drivers:
        return f"the compat libcuda ({version}) is not for driver branch {driver.partition('.')[0]}"
    return ""


def numbers(version: str) -> tuple[int, ...]:
    """A driver's version, to compare."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


@with_gpu
def initialises(facts: Facts) -> Finding:
    """FAIL, by its code, where cuInit does."""
    said = facts.need("cuda")
    if said["init"] == 0:
        return ok(f"CUDA {said['version']} starts and has {len(said['devices'])} device(s)", facts.shown("cuda"))
    environment = facts.get("cuda_environment") or {}
    order, visible = environment.get("CUDA_DEVICE_ORDER"), environment.get("CUDA_VISIBLE_DEVICES")
    if said["init"] == INVALID_DEVICE and order not in (None, *ORDERS):
        meaning = f"CUDA_DEVICE_ORDER={order!r} is not an order, and CUDA does not start with it"
        return bad(meaning, facts.shown("cuda"), fix=("export CUDA_DEVICE_ORDER=PCI_BUS_ID",), root=False)
    if said["init"] in (NO_DEVICE, INVALID_DEVICE) and visible is not None:
        meaning = f"CUDA_VISIBLE_DEVICES={visible!r} hides every GPU"
        return bad(meaning, facts.shown("cuda"), fix=("unset CUDA_VISIBLE_DEVICES",), root=False)
    unknown: tuple[str, tuple[str, ...], bool, bool] = ("CUDA does not start", (LOOK,), True, False)
    meaning, fix, root, reboot = CODES.get(said["init"], unknown)
    return bad(f"cuInit answers {said['init']}: {meaning}", facts.shown("cuda"), fix=fix, root=root, reboot=reboot)


def runtimes(facts: Facts, component: str = "cuda") -> list[dict[str, Any]]:
    """The CUDA runtimes (or TensorRTs) that the loader finds, and what each lacks here."""
    return [it for it in facts.need("cuda_runtimes") if it["component"] == component]


def serves(facts: Facts, runtime: dict[str, Any]) -> bool:
    """Whether the CUDA driver that really starts is as new as a runtime: then no table matters."""
    version = (facts.get("cuda") or {}).get("version") if cuda_works(facts) else None
    return version is not None and numbers(version) >= numbers(runtime["version"])[:2]


def _lacks(facts: Facts, kind: str, *names: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [(it, no) for it in runtimes(facts) for no in it["unmet"] if no["kind"] == kind and no["name"] in names]


def _newer_driver(facts: Facts) -> tuple[str, ...]:
    if on_wsl(facts):
        return ("update NVIDIA's driver in Windows",)
    return ("install a newer driver", "or use builds for the CUDA that this driver has")


@with_gpu
def major(facts: Facts) -> Finding:
    """FAIL where the driver is too old for an installed CUDA runtime's family."""
    if not runtimes(facts):
        return skip("no CUDA runtime is on the loader's path: wheels bring their own")
    if on_tegra(facts):
        return skip("a Jetson's driver and CUDA come together")
    _some_driver(facts)
    for runtime, lack in _lacks(facts, "needs", "driver", "driver-windows"):
        if not serves(facts, runtime):
            said = f"CUDA {runtime['version']} needs driver {lack['wants']}; this is {lack['has']}"
            return bad(said, f"{runtime['path']} = {runtime['version']}", lack["source"], fix=_newer_driver(facts))
    shown = [f"{it['path']} = {it['version']}" for it in runtimes(facts)]
    return ok("the driver serves the CUDA runtimes that are installed", *shown)


def _some_driver(facts: Facts) -> None:
    if not gpus(facts) and not cuda_works(facts):
        facts.need("driver")


@with_gpu
def ptx(facts: Facts) -> Finding:
    """WARN where code that must be compiled by the driver would not be."""
    if not runtimes(facts) or on_tegra(facts):
        return skip(
            "no CUDA runtime is on the loader's path" if not on_tegra(facts) else "driver and CUDA come together"
        )
    _some_driver(facts)
    for runtime, lack in _lacks(facts, "ptx", "driver", "driver-windows"):
        if not serves(facts, runtime):
            said = f"PTX made by CUDA {runtime['version']} cannot be compiled by driver {lack['has']}"
            return warn(said, f"wants driver {lack['wants']}", lack["source"], fix=_newer_driver(facts))
    return ok("the driver compiles PTX of the installed CUDA runtimes", facts.shown("cuda"))


@with_gpu
def arch(facts: Facts) -> Finding:
    """FAIL where an installed CUDA has dropped this GPU; WARN where it is older than the GPU."""
    if not runtimes(facts):
        return skip("no CUDA runtime is on the loader's path")
    facts.need("gpu")
    lacks = _lacks(facts, "needs", "gpu")
    for runtime, lack in sorted(lacks, key=lambda pair: not pair[1]["older"]):
        said = f"CUDA {runtime['version']} is for compute capability {lack['wants']}; this GPU has {lack['has']}"
        shown = (f"{runtime['path']} = {runtime['version']}", facts.shown("gpu"), lack["source"])
        if lack["older"]:
            return bad(said, *shown, fix=("use builds for an older CUDA",), root=False)
        return warn(f"{said}: only code with PTX runs", *shown, fix=("use builds for a newer CUDA",), root=False)
    return ok("the installed CUDA runtimes know this GPU", facts.shown("gpu"))


COMPATIBILITY = "https://docs.nvidia.com/deploy/cuda-compatibility/"
API = "https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__TYPES.html"
BEFORE = ("wsl.dxg", "wsl.libs", "wsl.mode", *WORKS)
CHECKS: tuple[Check, ...] = (
    Check(id="cuda.stub", title="No stub libraries", rule=stub, after=("ld.env", *BEFORE[:5]), source=COMPATIBILITY),
    Check(
        id="cuda.compat",
        title="Forward compatibility",
        rule=compat,
        after=("ld.env", *BEFORE),
        source=f"{COMPATIBILITY}forward-compatibility.html",
    ),
    Check(
        id="drv.cuinit",
        title="CUDA starts",
        rule=initialises,
        after=(*BEFORE, "drv.uvm", "drv.perm", "gpu.fabric", "gpu.mig", "gpu.free", "cuda.stub", "cuda.compat"),
        source=API,
    ),
    Check(
        id="cuda.major",
        title="Driver for the installed CUDA",
        rule=major,
        after=BEFORE,
        source=f"{COMPATIBILITY}minor-version-compatibility.html",
    ),
    Check(
        id="cuda.ptx", title="PTX of the installed CUDA", rule=ptx, after=(*BEFORE, "cuda.major"), source=COMPATIBILITY
    ),
    Check(
        id="cuda.arch",
        title="CUDA for this GPU",
        rule=arch,
        after=BEFORE,
        source="https://docs.nvidia.com/datacenter/tesla/drivers/cuda-toolkit-driver-and-architecture-matrix.html",
    ),
)
