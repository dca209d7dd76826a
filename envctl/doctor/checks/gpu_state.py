"""How the GPUs are set up: MIG, NVLink fabric, memory, compute mode, power. All from NVML."""

from __future__ import annotations

from typing import Any

from envctl.doctor.check import Check, Facts, Finding, ok, skip
from envctl.doctor.checks.gpu import bad, cuda_works, gpus, info, warn, with_driver, with_gpu
from envctl.doctor.checks.gpu_health import WORKS

SLOWDOWN = {0x8: "hardware slowdown", 0x40: "heat", 0x80: "the power brake"}  # nvmlClocksThrottleReasons, nvml.h
PROHIBITED, EXCLUSIVE = 2, 3  # compute modes
LOW_MEMORY, LOW_SHARE = 2 << 30, 0.25  # our own limits: less than a TensorRT build commonly takes


@with_driver
def mig(facts: Facts) -> Finding:
    """FAIL where MIG is half switched on."""
    facts.need("nvml")
    modes = [it for it in gpus(facts) if it.get("mig")]
    for gpu in modes:
        now, later = gpu["mig"]
        index = gpus(facts).index(gpu)
        if now != later:
            fix = (f"sudo nvidia-smi -i {index} --gpu-reset", "or sudo reboot")
            return bad(f"MIG is {'on' if later else 'off'} after the next reset only", f"mig = {gpu['mig']}", fix=fix)
        if now and not gpu["mig_devices"]:
            fix = (f"sudo nvidia-smi mig -i {index} -cgi 0 -C", f"or sudo nvidia-smi -i {index} -mig 0")
            return bad("MIG is on, but no MIG device was made: CUDA sees no device", f"mig = {gpu['mig']}", fix=fix)
    named = str((facts.get("cuda_environment") or {}).get("CUDA_VISIBLE_DEVICES", ""))
    if named.count("MIG-") > 1:
        said = "CUDA_VISIBLE_DEVICES names several MIG devices; a process sees the first only"
        return warn(said, f"CUDA_VISIBLE_DEVICES = {named}", fix=("name one MIG device a process",), root=False)
    return (
        ok("MIG is off, or complete", f"mig = {[it['mig'] for it in modes]}") if modes else skip("no GPU here has MIG")
    )


@with_driver
def fabric(facts: Facts) -> Finding:
    """FAIL where GPUs on NVSwitches wait for their fabric manager."""
    devices = facts.need("nvidia_devices")
    switches = [it for it in devices if it["kind"] == "nvswitch" and it["driver"]]
    states = {it["fabric"]["state"] for it in gpus(facts) if it.get("fabric")}
    manager = facts.get("fabric_manager") or {}
    unregistered = states & {1, 2}
    if not switches and not unregistered:
        if manager.get("enabled"):
            fix = ("sudo systemctl disable --now nvidia-fabricmanager",)
            return info(
                "the fabric manager is enabled, and there is no NVSwitch", facts.shown("fabric_manager"), fix=fix
            )
        return skip("no NVSwitch here")
    return _managed(facts, manager, bool(unregistered))


def _managed(facts: Facts, manager: dict[str, Any], unregistered: bool) -> Finding:
    driver = str(facts.need("driver"))
    package, start = (
        f"nvidia-fabricmanager-{driver.partition('.')[0]}",
        "sudo systemctl enable --now nvidia-fabricmanager",
    )
    shown = facts.shown("fabric_manager")
    if cuda_works(facts) and not manager.get("installed"):
        return ok("the fabric is managed elsewhere (by the host of this virtual machine), and CUDA starts", shown)
    if not manager.get("installed"):
        said = "GPUs are connected by NVSwitches, and the fabric manager is not installed"
        return bad(said, shown, fix=(f"sudo apt-get install {package}={driver}-*", start))
    if manager.get("version") not in (None, driver):
        said = f"fabric manager {manager['version']} does not fit driver {driver}"
        return bad(
            said,
            shown,
            fix=(f"sudo apt-get install {package}={driver}-*", "sudo systemctl restart nvidia-fabricmanager"),
        )
    if not manager.get("running") or unregistered:
        return _waiting(facts, shown, start, bool(manager.get("running")))
    return ok("the fabric manager runs and fits the driver", shown)


def _waiting(facts: Facts, shown: str, start: str, running: bool) -> Finding:
    look = "journalctl -u nvidia-fabricmanager"
    if running and cuda_works(facts):
        return ok("the fabric manager runs, and CUDA starts", shown)
    if running:
        fix = ("sudo systemctl restart nvidia-fabricmanager", look)
        return bad("the GPUs have not registered with the NVLink fabric yet", shown, fix=fix)
    if cuda_works(facts):
        return warn("the fabric manager has stopped; the fabric it set up still works", shown, fix=(start, look))
    return bad("the fabric manager does not run: CUDA waits for it (802)", shown, fix=(start, look))


@with_gpu
def free(facts: Facts) -> Finding:
    """WARN where little memory is free, or others may not use the GPU."""
    facts.need("nvml")
    for index, gpu in enumerate(gpus(facts)):
        mode, left, total = gpu.get("compute_mode"), gpu.get("memory_free"), gpu.get("memory") or 0
        if mode == PROHIBITED:
            return bad(
                f"GPU {index} is closed to CUDA (compute mode prohibited)",
                fix=(f"sudo nvidia-smi -i {index} -c DEFAULT",),
            )
        if mode == EXCLUSIVE and gpu.get("processes"):
            said = f"GPU {index} takes one process at a time, and has one"
            return warn(
                said, "compute mode = exclusive process", fix=(f"sudo nvidia-smi -i {index} -c DEFAULT", "nvidia-smi")
            )
        if left is not None and left < LOW_MEMORY and left < LOW_SHARE * total:
            said = f"GPU {index} has {left >> 20} MiB of {total >> 20} MiB free: builds may fail or lose tactics"
            return warn(
                said,
                f"nvml memory_free = {left}",
                fix=("nvidia-smi  # shows who has it", "or take a smaller workspace"),
                root=False,
            )
    return ok("the GPUs are free to use", f"nvml memory_free = {[it.get('memory_free') for it in gpus(facts)]}")


@with_gpu
def mixed(facts: Facts) -> Finding:
    """WARN where different GPUs may be numbered in another order than nvidia-smi's."""
    kinds = sorted(set(str(facts.need("gpu")).split()))
    order = (facts.get("cuda_environment") or {}).get("CUDA_DEVICE_ORDER")
    if len(kinds) > 1 and order != "PCI_BUS_ID":
        said = f"GPUs of different kinds ({', '.join(kinds)}): CUDA numbers the fastest first, nvidia-smi by slot"
        return warn(said, facts.shown("gpu"), fix=("export CUDA_DEVICE_ORDER=PCI_BUS_ID",), root=False)
    return ok("CUDA and nvidia-smi number the GPUs alike", facts.shown("gpu"))


@with_driver
def power(facts: Facts) -> Finding:
    """WARN where GPUs are being slowed down."""
    facts.need("nvml")
    for index, gpu in enumerate(gpus(facts)):
        held = [word for bit, word in SLOWDOWN.items() if (gpu.get("slowdown") or 0) & bit]
        limit, usual = gpu.get("power_limit"), gpu.get("power_default")
        if held:
            said = f"GPU {index} is slowed down by {' and '.join(held)}"
            return warn(
                said, f"nvml slowdown = {gpu['slowdown']:#x}", fix=("check cooling and power supply",), root=False
            )
        if limit and usual and limit < usual:
            said = f"GPU {index} may draw {limit // 1000} W of {usual // 1000} W: timings are not those of the product"
            return info(said, f"nvml power_limit = {limit}", fix=(f"sudo nvidia-smi -i {index} -pl {usual // 1000}",))
    return ok(
        "the GPUs run with their usual power", f"nvml power_limit = {[it.get('power_limit') for it in gpus(facts)]}"
    )


@with_driver
def persistence(facts: Facts) -> Finding:
    """INFO where every program waits for the driver to start up."""
    facts.need("nvml")
    modes = [it.get("persistence") for it in gpus(facts)]
    if 0 in modes:
        said = "persistence is off: the first program after a pause waits for the driver"
        return info(said, f"nvml persistence = {modes}", fix=("sudo systemctl enable --now nvidia-persistenced",))
    return ok("the driver stays initialised", f"nvml persistence = {modes}")


MIG_GUIDE = "https://docs.nvidia.com/datacenter/tesla/mig-user-guide/getting-started-with-mig.html"
FABRIC_GUIDE = "https://docs.nvidia.com/datacenter/tesla/fabric-manager-user-guide"
NVML = "https://docs.nvidia.com/deploy/nvml-api/"
CHECKS: tuple[Check, ...] = (
    Check(id="gpu.mig", title="MIG", rule=mig, after=WORKS, source=MIG_GUIDE),
    Check(id="gpu.fabric", title="NVLink fabric", rule=fabric, after=WORKS, source=FABRIC_GUIDE),
    Check(id="gpu.free", title="GPU free", rule=free, after=WORKS, source=NVML),
    Check(id="gpu.mixed", title="GPUs of one kind", rule=mixed, after=WORKS, source=NVML),
    Check(id="gpu.power", title="GPU power", rule=power, after=WORKS, source=NVML),
    Check(id="gpu.persistence", title="Driver persistence", rule=persistence, after=WORKS, source=NVML),
)
