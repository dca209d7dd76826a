"""NVIDIA's container toolkit: whether a container that asks for the GPU gets it (ids dk.*). CDI: see cdi.py."""

from __future__ import annotations

import re
from typing import Any

from envctl.doctor.check import Check, Facts, Finding, Level, ok, skip
from envctl.doctor.checks.cdi import cdi_enabled, cdi_ready, is_podman, regenerate, without_toolkit
from envctl.doctor.checks.docker import CONTAINERS, RESTART, gpu_here, no_engine
from envctl.doctor.requirement import numbers

GUIDE = "https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/install-guide.html"
CONFIG = "/etc/nvidia-container-runtime/config.toml"
HOOK = "nvidia-container-runtime-hook"
CONFIGURE = ("sudo nvidia-ctk runtime configure --runtime=docker", RESTART)

# toolkit releases; all but the last: CHANGELOG
CGROUP2_FROM = "1.8.1"  # device access under cgroup v2
ANY_LDCONFIG_FROM = "1.15.0"  # takes /sbin/ldconfig or /sbin/ldconfig.real, whichever is there
JIT_CDI_FROM = "1.18.0"  # the nvidia runtime puts devices into the container's specification
SAFE_FROM = "1.17.8"  # CVE-2025-23266; second-hand: https://github.com/microsoft/azurelinux/pull/14382
# words of nvidia-container-cli -> (what they mean, what mends it, whether by a reboot)
CLI_CAUSES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (r"library version mismatch", "the driver's libraries do not fit the loaded module", ("sudo reboot",)),
    (
        r"libnvidia-ml\.so\.1",
        "the driver's user-space libraries are missing",
        ("reinstall the driver's packages, all of one branch", "sudo ldconfig"),
    ),
    (
        r"insufficient permissions|permission denied",
        "device nodes of the GPU may not be opened",
        ("ls -l /dev/nvidia*", "sudo nvidia-modprobe -u -c=0"),
    ),
    (r"driver not loaded|nvml error: driver", "the kernel module is not loaded", ("sudo modprobe nvidia",)),
    (r"GPU access blocked", "Windows blocks the GPU", ("update the Windows driver, then: wsl --update",)),
)


def unneeded(facts: Facts) -> str:
    """Why no container on this host needs the toolkit; "" where one does."""
    if not gpu_here(facts):
        return "there is no NVIDIA GPU"
    if no_engine(facts):
        return no_engine(facts)
    # in WSL it is mostly Docker Desktop: while nobody knows, nothing is missing
    flavour = facts.need("docker_flavour") if facts.get("wsl_gpu") else facts.get("docker_flavour")
    return f"the engine ({flavour}) brings its own" if flavour in ("snap", "desktop", "desktop-wsl") else ""


def release(facts: Facts) -> tuple[int, ...]:
    """The toolkit's version as numbers; raises `Unknown`."""
    return numbers(facts.need("toolkit_version"))


def _bad(said: str, shown: tuple[str, ...], fix: tuple[str, ...], level: Level = "FAIL") -> Finding:
    """A finding that costs containers their GPU."""
    reboot = any("reboot" in step for step in fix)
    affects = CONTAINERS if level != "INFO" else ()
    return Finding(
        level=level, said=said, evidence=shown, affects=affects, fix=fix, needs_root=True, needs_reboot=reboot
    )


def toolkit(facts: Facts) -> Finding:
    """dk.toolkit: the toolkit is installed, and fits the kernel's cgroups."""
    reason = unneeded(facts)
    if reason:
        return skip(reason)
    programs = facts.need("toolkit_programs")
    if HOOK not in programs:
        return _missing(facts, programs)
    shown = f"toolkit = {facts.need('toolkit_version')}, {programs[HOOK]}"
    cgroup = (facts.get("docker_info") or {}).get("cgroup_version")
    update = ("sudo apt-get install --only-upgrade nvidia-container-toolkit   # or: sudo dnf upgrade …", RESTART)
    if cgroup == "2" and release(facts) < numbers(CGROUP2_FROM):
        said = f"this toolkit is older than {CGROUP2_FROM} and knows no cgroup v2, which this host uses"
        return _bad(said, (shown, "/info = cgroup v2"), update)
    if release(facts) < numbers(SAFE_FROM) and not facts.get("tegra_gpu"):  # JetPack has packages of its own
        said = f"the toolkit works; before {SAFE_FROM} a hostile image gets out of its container (CVE-2025-23266)"
        return _bad(said, (shown,), update, "INFO")
    return ok(f"NVIDIA Container Toolkit {facts.need('toolkit_version')}", shown)


def _missing(facts: Facts, programs: dict[str, str]) -> Finding:
    shown = f"{HOOK} = not found; found: {', '.join(programs) or 'nothing of the toolkit'}"
    if cdi_enabled(facts) and ("nvidia-ctk" in programs or facts.get("cdi_specs")):
        said = "the toolkit's hook is not installed: GPUs through --device nvidia.com/gpu=all, not through --gpus"
        return Finding(level="INFO", said=said, evidence=(shown,))
    install = ("sudo apt-get install -y nvidia-container-toolkit   # or: sudo dnf install", *CONFIGURE)
    rest = regenerate(facts) if is_podman(facts) else (*install, *without_toolkit(facts))
    fix = (f"add NVIDIA's package repository: {GUIDE}", *rest)
    return _bad("NVIDIA's container toolkit is not installed: no container can get the GPU", (shown,), fix)


def ldconfig(facts: Facts) -> Finding:
    """dk.ldconfig: the ldconfig that the toolkit runs in containers is there."""
    reason = unneeded(facts) or ("" if facts.need("toolkit_programs") else "no toolkit is installed")
    if reason:
        return skip(reason)
    found = facts.need("toolkit_config")
    named = found.get("ldconfig")
    shown = f"{CONFIG} = ldconfig {named or 'by default'}"
    if not named or found["ldconfig_there"]:
        return ok("the toolkit's ldconfig is there", shown)
    if found["ldconfig_plain_there"] and release(facts) >= numbers(ANY_LDCONFIG_FROM):
        return ok(f"the toolkit falls back from {named} to the one that is there", shown)
    fix = ("sudo nvidia-ctk config --set nvidia-container-cli.ldconfig=@/sbin/ldconfig --in-place",)
    said = f"the toolkit is told to run {named.lstrip('@')}, which does not exist: no GPU container starts"
    return _bad(said, (shown,), fix)


def runtime(facts: Facts) -> Finding:
    """dk.runtime: the daemon knows the nvidia runtime and the toolkit's hook."""
    reason = unneeded(facts)
    if reason:
        return skip(reason)
    settings, live = facts.need("docker_settings"), facts.need("docker_info")["runtimes"]
    written = {name: (it or {}).get("path") for name, it in (settings["keys"].get("runtimes") or {}).items()}
    shown = (f"{settings['path']} = runtimes {sorted(written)}", f"/info = runtimes {sorted(live)}")
    gone = _gone(facts, {**live, **written})
    if gone:
        fix = ("sudo apt-get install -y nvidia-container-toolkit   # or: sudo dnf install", RESTART)
        return _bad(f"the runtime nvidia is {gone}, which does not exist", shown, fix)
    if "nvidia" in written and "nvidia" not in live:
        said = "the runtime nvidia stands in daemon.json, but the daemon began before that and does not know it"
        return _bad(said, (*shown, *_times(facts)), (RESTART,), "WARN")
    if "nvidia" in live:
        return ok("the daemon knows the runtime nvidia", *shown)
    return _unregistered(facts, shown)


def _unregistered(facts: Facts, shown: tuple[str, ...]) -> Finding:
    """The runtime is no setting of the daemon; the hook it looks for once, when it starts."""
    began, installed = facts.get("docker_started"), facts.get("toolkit_installed")
    if HOOK not in facts.need("toolkit_programs"):
        return skip("no toolkit is installed")
    if facts.get("tegra_gpu"):
        said = "the daemon does not know the runtime nvidia, without which a Jetson's libraries are not mounted"
        return _bad(said, shown, CONFIGURE)
    if began and installed and installed > began:
        said = "the toolkit was installed after dockerd started, which looks for it only then: --gpus fails"
        return _bad(said, (*shown, *_times(facts)), CONFIGURE)
    said = "the daemon does not know the runtime nvidia: --gpus works, --runtime nvidia does not"
    return _bad(said, shown, CONFIGURE, "INFO")


def _times(facts: Facts) -> tuple[str, ...]:
    """Since when the daemon runs, and when what it should know was written."""
    times = {
        "docker.pid": facts.get("docker_started"),
        "daemon.json": facts.need("docker_settings")["mtime"],
        "toolkit": facts.get("toolkit_installed"),
    }
    return tuple(f"{name} = written at {time}" for name, time in times.items() if time)


def _gone(facts: Facts, runtimes: dict[str, Any]) -> str:
    """The program of the nvidia runtime where it is not there; "" where it is, or there is no such runtime."""
    path = runtimes.get("nvidia")
    there = facts.need("toolkit_programs")
    if not path or not str(path).rpartition("/")[2].startswith("nvidia-container-runtime"):
        return ""
    return "" if "nvidia-container-runtime" in there else str(path)


def cli_info(facts: Facts) -> Finding:
    """dk.cli_info: nvidia-container-cli sees driver and GPUs."""
    reason = unneeded(facts)
    if reason:
        return skip(reason)
    answer = facts.need("toolkit_cli")
    if answer["code"] == 0:
        return ok("nvidia-container-cli sees the driver", "nvidia-container-cli info = code 0")
    text = answer["err"].strip() or answer["out"].strip() or "nothing said"
    shown = f"nvidia-container-cli info = code {answer['code']}, {text.splitlines()[-1][:200]}"
    for words, meaning, fix in CLI_CAUSES:
        if re.search(words, text, re.IGNORECASE):
            return _bad(f"no GPU container starts: {meaning}", (shown,), fix)
    fix = ("sudo nvidia-container-cli -k -d /dev/tty info   # says why",)
    return _bad("no GPU container starts: nvidia-container-cli fails", (shown,), fix)


def cgroup(facts: Facts) -> Finding:
    """dk.cgroup: who may open the GPU's device nodes is set by the toolkit exactly where it can."""
    reason = unneeded(facts) or ("" if HOOK in facts.need("toolkit_programs") else "no toolkit is installed")
    if reason:
        return skip(reason)
    found, kind = facts.need("toolkit_config"), facts.need("docker_flavour")
    off, mode = bool(found.get("no_cgroups")), found.get("mode", "auto")
    shown = f"{CONFIG} = no-cgroups {str(off).lower()}, mode {mode}; engine {kind}"
    if kind in ("rootless", "podman") and not off and mode in ("auto", "legacy"):
        if cdi_ready(facts):
            return Finding(level="INFO", said="use --device nvidia.com/gpu=all; --gpus fails here", evidence=(shown,))
        command = "sudo nvidia-ctk config --set nvidia-container-cli.no-cgroups --in-place"
        said = "a rootless engine may not set device cgroups, and the toolkit is told to"
        return _bad(said, (shown,), (command, f"or CDI: {regenerate(facts)[-1]}"))
    if kind == "docker" and off:
        fix = ("sudo nvidia-ctk config --set nvidia-container-cli.no-cgroups=false --in-place", RESTART)
        said = "no-cgroups is on, which is for rootless engines: containers see the GPU and may not open it"
        return _bad(said, (shown,), fix)
    return ok("device cgroups fit the engine", shown)


def reload_risk(facts: Facts) -> Finding:
    """dk.reload_risk: running containers keep the GPU when systemd reloads its units."""
    reason = unneeded(facts) or ("" if HOOK in facts.need("toolkit_programs") else "no toolkit is installed")
    if reason:
        return skip(reason)
    driver, links = facts.need("docker_info")["cgroup_driver"], facts.need("dev_char")
    shown = (f"/info = cgroup driver {driver}", f"/dev/char = {links['linked']} of {links['nodes']} nodes linked")
    if driver != "systemd" or not links["nodes"] or links["linked"] == links["nodes"]:
        return ok("systemd has nothing to take away", *shown)
    fix = ("sudo nvidia-ctk system create-dev-char-symlinks --create-all   # at each boot: udev rule or unit",)
    said = "running containers lose the GPU at the next systemctl daemon-reload"
    if release(facts) >= numbers(JIT_CDI_FROM):
        said += ", if they were started with --gpus (not with --runtime nvidia or CDI)"
        return _bad(said, shown, fix, "INFO")
    return _bad(said, shown, fix, "WARN")


DRIVER = ("gpu.bound", "drv.loaded", "drv.lib_match", "drv.perm", "drv.uvm")
CHECKS: tuple[Check, ...] = (
    Check(id="dk.toolkit", title="NVIDIA Container Toolkit", rule=toolkit, source=GUIDE),
    Check(
        id="dk.ldconfig", title="The toolkit's ldconfig", rule=ldconfig, after=("dk.toolkit",),
        source="https://github.com/NVIDIA/nvidia-container-toolkit/blob/main/api/config/v1/cli.go",
    ),
    Check(
        id="dk.runtime", title="NVIDIA runtime", rule=runtime, after=("dk.config", "dk.socket", "dk.toolkit"),
        source="https://github.com/NVIDIA/nvidia-docker/issues/1034",
    ),
    Check(
        id="dk.cli_info", title="nvidia-container-cli", rule=cli_info, after=(*DRIVER, "dk.toolkit"),
        source="https://github.com/NVIDIA/nvidia-container-toolkit/issues/154",
    ),
    Check(
        id="dk.cgroup", title="Device cgroups", rule=cgroup, after=("dk.socket", "dk.toolkit"),
        source="https://github.com/NVIDIA/nvidia-container-toolkit/issues/381",
    ),
    Check(
        id="dk.reload_risk", title="Reload of systemd", rule=reload_risk, after=("dk.socket", "dk.toolkit"),
        source="https://github.com/NVIDIA/nvidia-container-toolkit/issues/48",
    ),
)  # fmt: skip
