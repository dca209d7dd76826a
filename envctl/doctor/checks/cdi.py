"""CDI: whether the specifications of GPUs fit the driver that is loaded (id dk.cdi)."""

from __future__ import annotations

from typing import Any

from envctl.doctor.check import Check, Facts, Finding, ok, skip
from envctl.doctor.checks.docker import CONTAINERS, gpu_here, no_engine
from envctl.doctor.requirement import numbers

SOURCE = "https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/1.20.1/cdi-support.html"
HOOK = "nvidia-container-runtime-hook"
# matrices/docker.toml, branches 25 and 28: CDI can be switched on from the first, and is on from the second
CDI_FROM, CDI_ON_FROM = "25", "28.3"
REFRESH_FROM = "1.18.0"  # a service keeps /var/run/cdi up to date: the source above
KIND = "nvidia.com/gpu"
OWN = "/etc/cdi/envctl-compute.json"  # what `envctl cdi` writes, where there is no nvidia-ctk


def specifications(facts: Facts) -> list[dict[str, Any]]:
    """The specifications that are for GPUs, or that cannot be read."""
    return [it for it in facts.need("cdi_specs") if it["error"] or it["kind"] == KIND]


def trouble(facts: Facts, one: dict[str, Any]) -> str:
    """What is wrong with a specification; "" where nothing is."""
    unprivileged = facts.get("docker_flavour") in ("rootless", "podman")
    if one["error"]:
        return f"cannot be used ({one['error']})"
    if unprivileged and one["mode"] and one["mode"][7] != "r" and one["uid"] == 0:
        return f"cannot be read by the engine's user ({one['mode']})"
    if not one["devices"]:
        return "names no device"
    driver = facts.get("driver")
    if driver and one["drivers"] and set(one["drivers"]) != {driver}:
        return f"is for driver {', '.join(one['drivers'])}, and {driver} is loaded"
    if one["missing"]:
        return f"names {len(one['missing'])} files that do not exist, such as {one['missing'][0]}"
    return ""


def cdi_enabled(facts: Facts) -> bool:
    """Whether the engine takes CDI devices."""
    if is_podman(facts):
        return True
    version = numbers((facts.get("docker_version") or {}).get("version") or "")
    features = ((facts.get("docker_settings") or {}).get("keys") or {}).get("features") or {}
    switched = features.get("cdi", version >= numbers(CDI_ON_FROM))
    return bool(version >= numbers(CDI_FROM) and (switched or (facts.get("docker_info") or {}).get("cdi_dirs")))


def cdi_ready(facts: Facts) -> bool:
    """Whether containers can get the GPU through CDI."""
    found = [it for it in facts.get("cdi_specs") or [] if it["kind"] == KIND]
    return bool(found) and cdi_enabled(facts) and not any(trouble(facts, it) for it in found)


def regenerate(facts: Facts, path: str = "/etc/cdi/nvidia.yaml") -> tuple[str, ...]:
    """The commands that write the specification anew."""
    if "nvidia-ctk" not in (facts.get("toolkit_programs") or {}):
        base = "sudo apt-get install -y nvidia-container-toolkit-base   # or: sudo dnf install"
        return (base, f"sudo nvidia-ctk cdi generate --output={path}", *without_toolkit(facts))
    if path.startswith(("/var/run/", "/run/")) and numbers(facts.get("toolkit_version") or "") >= numbers(REFRESH_FROM):
        return ("sudo systemctl restart nvidia-cdi-refresh.service",)
    return (f"sudo nvidia-ctk cdi generate --output={path}",)


def without_toolkit(facts: Facts) -> tuple[str, ...]:
    """What gives containers the GPU for computing where NVIDIA's packages cannot be had."""
    usable = cdi_enabled(facts) and not facts.get("cdi_specs")
    return (f"or, for computing only and without NVIDIA's packages: sudo envctl cdi -o {OWN}",) if usable else ()


def is_podman(facts: Facts) -> bool:
    """Whether containers run by podman, which gives GPUs through CDI only."""
    return facts.get("docker_flavour") == "podman" or list(facts.get("container_programs") or {}) == ["podman"]


def _only_way(facts: Facts) -> bool:
    """Whether containers get the GPU through CDI or not at all."""
    mode = (facts.get("toolkit_config") or {}).get("mode")
    return is_podman(facts) or mode == "cdi" or HOOK not in facts.need("toolkit_programs")


def cdi(facts: Facts) -> Finding:
    """dk.cdi: a specification is there where one is needed, and each fits the driver."""
    if not gpu_here(facts):
        return skip("there is no NVIDIA GPU")
    if no_engine(facts) or facts.get("docker_flavour") in ("snap", "desktop", "desktop-wsl"):
        return skip(no_engine(facts) or f"the engine ({facts.get('docker_flavour')}) brings its own")
    found, needed = specifications(facts), _only_way(facts)
    if not found:
        return _none(facts, needed)
    twice = _twice(found)
    if twice:
        said = f"{twice[0]} and {twice[1]} define the same device, so that it is refused"
        return _broken(facts, said, found, needed, (f"sudo rm {twice[0]}",))
    bad = [(it, trouble(facts, it)) for it in found if trouble(facts, it)]
    bad = [(it, why) for it, why in bad if not _overruled(it, found, facts)]
    if not bad:
        shown = [f"{it['path']} = {', '.join(it['devices'])}; driver {', '.join(it['drivers']) or '?'}" for it in found]
        return ok("CDI specifications fit the driver", *shown)
    one, why = bad[0]
    fix = (f"sudo chmod a+r {one['path']}",) if "read" in why else regenerate(facts, one["path"])
    return _broken(facts, f"{one['path']} {why}", found, needed, fix)


def _none(facts: Facts, needed: bool) -> Finding:
    if not needed:
        return skip("there is no CDI specification, and none is needed: the toolkit's hook serves --gpus")
    said = "there is no CDI specification: --device nvidia.com/gpu=all is refused"
    return Finding(
        level="FAIL", said=said, evidence=("/etc/cdi, /var/run/cdi = no nvidia.com/gpu",), affects=CONTAINERS,
        fix=regenerate(facts), needs_root=True,
    )  # fmt: skip


def _broken(facts: Facts, said: str, found: list[dict[str, Any]], needed: bool, fix: tuple[str, ...]) -> Finding:
    driver = f"driver = {facts.get('driver') or facts.why_unknown('driver')}"
    shown = [f"{it['path']} = {trouble(facts, it) or ', '.join(it['devices'])}" for it in found]
    return Finding(
        level="FAIL" if needed else "WARN", said=said, evidence=(*shown, driver), affects=CONTAINERS, fix=fix,
        needs_root=True,
    )  # fmt: skip


def _twice(found: list[dict[str, Any]]) -> tuple[str, str] | None:
    """Two files of one folder that define the same device: neither wins."""
    seen: dict[tuple[str, str], str] = {}
    for one in found:
        for device in one["devices"]:
            key = (one["path"].rpartition("/")[0], device)
            if key in seen:
                return seen[key], one["path"]
            seen[key] = one["path"]
    return None


def _overruled(one: dict[str, Any], found: list[dict[str, Any]], facts: Facts) -> bool:
    """Whether a sound specification of a later folder (/var/run/cdi) defines all its devices."""
    if not one["path"].startswith("/etc/") or not one["devices"]:
        return False
    later = [it for it in found if not it["path"].startswith("/etc/") and not trouble(facts, it)]
    return set(one["devices"]) <= {device for it in later for device in it["devices"]}


CHECKS: tuple[Check, ...] = (
    Check(
        id="dk.cdi", title="CDI specifications", rule=cdi,
        after=("gpu.bound", "drv.loaded", "drv.lib_match", "dk.socket", "dk.toolkit"), source=SOURCE,
    ),
)  # fmt: skip
