"""What broke in the GPUs: Xids in the kernel's log, lost handles, memory errors."""

from __future__ import annotations

from typing import Any

from envctl.doctor.check import Check, Facts, Finding, Unknown, ok
from envctl.doctor.checks.driver import LOADED, log_says
from envctl.doctor.checks.gpu import bad, gpus, info, warn, with_driver

# Xids after which NVIDIA asks for more than restarting the program: number -> (what it is, immediate action)
# source: https://docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html (read in a stored copy, 2026-11-21)
RESET, RESTART, POWER = "sudo nvidia-smi --gpu-reset", "sudo reboot", "check the board's power cables"
XIDS = {
    46: ("the GPU stopped processing", RESET),
    48: ("an uncorrectable memory error", RESET),
    54: ("auxiliary power is not connected", POWER),
    62: ("its micro-controller halted", RESET),
    64: ("bad memory could not be replaced", RESET),
    74: ("an NVLink error", RESET),
    79: ("the GPU fell off the bus", RESTART),
    95: ("a memory error that several programs saw", RESET),
    109: ("a context switch timed out", RESET),
    110: ("a security fault", RESTART),
    119: ("the GPU's system processor gave no answer", RESET),
    120: ("the GPU's system processor failed", RESET),
    136: ("NVLink training failed", RESET),
    140: ("an unrecovered memory error", RESET),
    143: ("the GPU could not be initialised", RESET),
    158: ("a fatal timeout", RESET),
}
# NVML's codes that mean a broken GPU (nvml.h); others belong to other checks
LOST, WANTS_RESET, INFOROM, IRQ, POWERLESS = 15, 16, 14, 11, 8
HANDLES = {
    LOST: ("a GPU is lost", RESTART),
    WANTS_RESET: ("a GPU must be reset", RESET),
    INFOROM: ("a GPU's InfoROM is damaged", RESTART),
    IRQ: ("a GPU's interrupts do not arrive", RESTART),
    POWERLESS: ("a GPU's power cables are not attached", POWER),
    999: ("NVML reports an unknown error", RESTART),
}


@with_driver
def health(facts: Facts) -> Finding:
    """FAIL where hardware failed since the last boot."""
    fault = _from_log(facts) or _from_nvml(facts) or _missing(facts)
    if fault:
        return fault
    answer = facts.need("nvml")
    if answer["init"]:
        raise Unknown(f"NVML does not work (nvmlInit_v2 answered {answer['init']})")
    worn = _worn(gpus(facts))
    if worn:
        return worn
    if facts.get("kernel_log") is None:
        return info("NVML reports no fault; the kernel's log could not be read", facts.shown("kernel_log"))
    return ok("neither NVML nor the kernel's log reports a fault", "/dev/kmsg = no grave Xid")


def _from_log(facts: Facts) -> Finding | None:
    xids = [it for it in (facts.get("kernel_log") or {}).get("xids", []) if it["code"] in XIDS]
    fallen = log_says(facts, "fallen off the bus")
    worst = sorted(xids, key=lambda it: XIDS[it["code"]][1] != RESTART)
    if worst or fallen:
        code = worst[0]["code"] if worst and not fallen else 79
        slot = worst[0]["slot"] if worst else "?"
        said, action = XIDS[code]
        shown = [f"/dev/kmsg: Xid {it['code']} at {it['slot']}" for it in worst[-3:]] or fallen
        return _broken(f"GPU {slot}: {said} (Xid {code})" if worst else f"a GPU: {said}", shown, action)
    return None


def _broken(said: str, shown: list[str], action: str) -> Finding:
    steps: tuple[str, ...] = (action, "if it comes back: check power, heat and slot, then have the board replaced")
    if action == RESTART:
        steps = ("power the machine off and on", steps[1])
    return bad(said, *shown, fix=steps, reboot=action == RESTART)


def _from_nvml(facts: Facts) -> Finding | None:
    for found in gpus(facts):
        if found.get("error") in HANDLES:
            said, action = HANDLES[found["error"]]
            return _broken(said, [f"nvmlDeviceGetHandleByIndex = {found['error']}"], action)
    if (facts.get("nvml") or {}).get("init") == 999:
        return _broken(HANDLES[999][0], ["nvmlInit_v2 = 999"], RESTART)
    why = facts.why_unknown("nvml")
    if facts.get("driver") and facts.get("nvml") is None and ("no answer" in why or "signal" in why):
        said = "the driver does not answer NVML: it hangs, or is still starting up"
        steps = ("sudo nvidia-smi -pm 1  # keeps it initialised", "sudo reboot, where it hangs")
        return warn(said, facts.shown("nvml"), fix=steps)
    return None


def _missing(facts: Facts) -> Finding | None:
    """Fewer GPUs in NVML than the driver holds on the bus; a container may be given fewer."""
    held = [it for it in facts.get("nvidia_devices") or [] if it["kind"] == "gpu" and it["driver"] == "nvidia"]
    seen = [it for it in gpus(facts) if "error" not in it]
    if facts.get("inside_container") or (facts.get("nvml") or {"init": 1})["init"] != 0 or len(seen) >= len(held):
        return None
    shown = [f"/sys/bus/pci/devices = {len(held)} GPUs bound to nvidia", f"nvml = {len(seen)} GPUs"]
    return _broken(f"{len(held) - len(seen)} of {len(held)} GPUs do not answer", shown, RESTART)


def _worn(found: list[dict[str, Any]]) -> Finding | None:
    for gpu in found:
        rows, ecc = gpu.get("remapped_rows") or [0, 0, 0, 0], gpu.get("ecc") or [0, 0]
        at = f"nvml {gpu.get('slot')}"
        if rows[3]:
            return _broken("a GPU ran out of spare memory rows", [f"{at}: remapping failed"], RESET)
        if rows[2] or gpu.get("retired_pending"):
            return warn("bad memory waits to be taken out of use", f"{at}: pending", fix=(RESET, "or sudo reboot"))
        if gpu.get("uncorrected"):
            said = f"{gpu['uncorrected']} uncorrectable memory errors since the last reset"
            return warn(said, f"{at}: uncorrected = {gpu['uncorrected']}", fix=(RESET,))
        if ecc[0] != ecc[1]:
            return warn(
                "a change of the ECC mode waits for a reset", f"{at}: ecc = {ecc}", fix=(RESET, "or sudo reboot")
            )
    return None


CATALOG = "https://docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html"
WORKS = (*LOADED, "drv.supports", "drv.lib_match", "gpu.health")
CHECKS: tuple[Check, ...] = (Check(id="gpu.health", title="GPU health", rule=health, after=WORKS[:-1], source=CATALOG),)
