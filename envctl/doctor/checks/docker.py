"""Docker: whether it can be reached, which Docker it is, and how it is set up (ids dk.*)."""

from __future__ import annotations

import re
from typing import Any

from envctl.doctor.check import Check, Facts, Finding, ok, skip
from envctl.doctor.requirement import numbers

RUNNER = ("--runner docker",)
CONTAINERS = ("GPU engines in containers",)
RESTART = "sudo systemctl restart docker"
LOG = "sudo journalctl -u docker -n 50"
DEFAULT = "unix:///var/run/docker.sock"
PODMAN = "unix://$XDG_RUNTIME_DIR/podman/podman.sock"

# first Docker that can give a GPU to a container with --gpus (matrices/docker.toml, branch 19.03)
GPUS_FROM = "19.03"
# flags of dockerd whose setting in daemon.json has another name; the others are called the same
FLAG_NAMES = {"H": "hosts", "host": "hosts", "add-runtime": "runtimes", "exec-opt": "exec-opts", "g": "data-root"}


def no_engine(facts: Facts) -> str:
    """Why there is no container engine to speak of; "" where there is one."""
    found = facts.get("docker_sockets") or []
    named = (facts.get("docker_client") or {}).get("chosen_by") == "DOCKER_HOST"
    if facts.get("container_programs") or named or any(it["state"] not in ("absent", "remote") for it in found):
        return ""
    kind = facts.get("container_kind") or "none"
    return "no container engine is installed" if kind == "none" else f"this is a container ({kind}) without an engine"


def gpu_here(facts: Facts) -> bool:
    """Whether there is an NVIDIA GPU: on the bus, behind WSL, in a Jetson; raises `Unknown` where nobody can tell."""
    return bool(facts.get("wsl_gpu") or facts.get("tegra_gpu") or facts.need("nvidia_pci"))


def configuration(facts: Facts) -> Finding:
    """dk.config: the daemon's own settings would keep it from starting."""
    found = facts.need("docker_settings")
    if not found["mtime"] and "dockerd" not in (facts.get("container_programs") or {}):
        return skip("no dockerd of this system")
    shown = f"{found['path']} = "
    if found["invalid"]:
        fix = (f"sudoedit {found['path']}", f"python3 -m json.tool {found['path']}")
        return _no_start(facts, f"{found['path']} is not valid JSON", shown + found["invalid"], fix)
    wrong = _clash(facts) or _undefined_runtime(found["keys"])
    if wrong:
        return _no_start(facts, wrong[0], shown + ", ".join(found["keys"]), (wrong[1],))
    return ok("the daemon's settings can be read", shown + (", ".join(found["keys"]) or "nothing set"))


def _no_start(facts: Facts, said: str, shown: str, fix: tuple[str, ...]) -> Finding:
    """Settings that dockerd refuses: a daemon that still runs is lost at its next start."""
    running = bool(facts.get("docker_version"))
    return Finding(
        level="WARN" if running else "FAIL", evidence=(shown,), affects=RUNNER, fix=(*fix, RESTART), needs_root=True,
        said=f"{said}: dockerd {'runs, and will not start again' if running else 'does not start'}",
    )  # fmt: skip


def _clash(facts: Facts) -> tuple[str, str] | None:
    """A directive given both in daemon.json and on dockerd's command line."""
    keys, line = facts.need("docker_settings")["keys"], facts.get("docker_unit") or ""
    flags = re.findall(r"(?:^|\s)--?([A-Za-z][\w-]*)", line)
    both = sorted({FLAG_NAMES.get(it, it) for it in flags} & set(keys))
    if not both:
        return None
    said = f"{', '.join(both)}: set in {facts.need('docker_settings')['path']} and as a flag in docker.service"
    return said, "sudo systemctl edit docker   # [Service] / ExecStart= / ExecStart=/usr/bin/dockerd, without the flag"


def _undefined_runtime(keys: dict[str, Any]) -> tuple[str, str] | None:
    name = keys.get("default-runtime")
    if not name or name in ("runc", "io.containerd.runc.v2") or name in (keys.get("runtimes") or {}):
        return None
    fix = f"sudo nvidia-ctk runtime configure --runtime=docker   # or remove default-runtime {name}"
    return f"the default runtime {name} is not among the runtimes in daemon.json", fix


def socket(facts: Facts) -> Finding:
    """dk.socket: the engine that envctl would talk to answers."""
    reason = no_engine(facts)
    if reason:
        shown = facts.shown("container_programs")
        return Finding(level="INFO", said=f"{reason}; workers run locally", evidence=(shown,))
    address = facts.need("docker_client")["sdk"]
    sockets = {it["address"]: it for it in facts.need("docker_sockets")}
    mine = sockets.get(address, {"state": "absent", "detail": None})
    evidence = f"{address} = {mine['state']}" + (f" ({mine['detail']})" if mine["detail"] else "")
    if mine["state"] == "remote":
        return skip(f"the engine at {mine['detail']}:// is not on this machine, and is not asked without --net")
    if mine["state"] == "answers":
        return _answers(facts, address, evidence)
    others = [it["address"] for it in sockets.values() if it["state"] == "answers"]
    if others:
        return _elsewhere(facts, address, others[0], evidence)
    return _silent(facts, mine, evidence)


def _answers(facts: Facts, address: str, evidence: str) -> Finding:
    if facts.get("docker_version"):
        name = "Podman" if facts.get("docker_flavour") == "podman" else "Docker"
        return ok(f"{name} {facts.need('docker_version')['version']} answers", evidence)
    said = f"a daemon listens at {address}, but does not answer: {facts.why_unknown('docker_version')}"
    fix = (LOG, RESTART)
    return Finding(level="FAIL", said=said, evidence=(evidence,), affects=RUNNER, needs_root=True, fix=fix)


def _elsewhere(facts: Facts, address: str, other: str, evidence: str) -> Finding:
    """An engine answers, but not where envctl looks for it."""
    named = facts.need("docker_client")["chosen_by"] == "DOCKER_HOST"
    fix = "unset DOCKER_HOST" if named and other == DEFAULT else f"export DOCKER_HOST={other.replace('~', '$HOME')}"
    why = "DOCKER_HOST points to" if named else "envctl looks at"
    said = f"{why} {address}, where nothing answers; an engine answers at {other}"
    return Finding(level="FAIL", said=said, evidence=(evidence, f"{other} = answers"), affects=RUNNER, fix=(fix,))


def _silent(facts: Facts, mine: dict[str, Any], evidence: str) -> Finding:
    state, start = mine["state"], "sudo systemctl start docker"
    programs = facts.get("container_programs") or {}
    if state == "denied":
        return _denied(facts, evidence)
    if state == "asleep" and mine["detail"] != "failed":
        said = "Docker is not running; systemd starts it when it is first used"
        return Finding(level="INFO", said=said, evidence=(evidence,), fix=(start,), needs_root=True)
    if state == "silent":
        said, fix = "the daemon does not take connections: it hangs", (LOG, RESTART)
    elif facts.get("wsl_gpu") and "dockerd" not in programs:
        said = "only the docker program is here: Docker Desktop's integration with this WSL distribution is off"
        return Finding(
            level="FAIL", said=said, evidence=(evidence, facts.shown("container_programs")), affects=RUNNER,
            fix=("Docker Desktop: Settings > Resources > WSL integration: switch this distribution on",),
        )  # fmt: skip
    elif list(programs) == ["podman"]:
        said = "podman is installed, but its Docker API is off"
        fix = ("systemctl --user enable --now podman.socket", f"export DOCKER_HOST={PODMAN}")
        return Finding(level="WARN", said=said, evidence=(evidence,), affects=RUNNER, fix=fix)
    else:
        said, fix = "the Docker daemon is not running", (start, LOG)
    return Finding(level="FAIL", said=said, evidence=(evidence,), affects=RUNNER, fix=fix, needs_root=True)


def _denied(facts: Facts, evidence: str) -> Finding:
    """This user may not open the socket: not in the group, or the group counts only from the next login on."""
    group = facts.get("docker_group") or {}
    if group.get("listed") and not group.get("effective"):
        said = "this user is in the group docker, but this session began before that"
        fix: tuple[str, ...] = ("newgrp docker   # or log out and in again",)
    elif group.get("effective"):
        said = "the socket does not belong to the group docker"
        fix = ("sudo systemctl restart docker.socket docker",)
    else:
        said = "this user may not talk to Docker: it is not in the group docker (whoever is, has root's rights)"
        fix = ('sudo usermod -aG docker "$USER"', "newgrp docker   # or log out and in again")
    shown = f"group docker = {group}" if group else facts.shown("docker_group")
    root = "sudo" in fix[0]
    return Finding(level="FAIL", said=said, evidence=(evidence, shown), affects=RUNNER, fix=fix, needs_root=root)


def context(facts: Facts) -> Finding:
    """dk.context: the docker program and envctl talk to the same engine."""
    reason = no_engine(facts)
    if reason:
        return skip(reason)
    told = facts.need("docker_client")
    shown = f"docker context = {told['context']} ({told['cli'] or 'no such context'})"
    if told["cli"] == told["sdk"]:
        return ok(f"docker and envctl talk to {told['sdk']}", shown)
    if not told["cli"]:
        said, fix = f"the chosen context {told['context']} does not exist", "docker context use default"
    else:
        said = f"docker talks to {told['cli']} (context {told['context']}), envctl to {told['sdk']}: images differ"
        fix = f"export DOCKER_HOST={told['cli'].replace('~', '$HOME')}   # or: docker context use default"
    return Finding(level="WARN", said=said, evidence=(shown,), affects=RUNNER, fix=(fix,))


def version(facts: Facts) -> Finding:
    """dk.version: the engine is new enough to give GPUs to containers."""
    found = facts.need("docker_version")
    if facts.get("docker_flavour") == "podman":
        return ok(f"Podman {found['version']}", facts.shown("docker_version"))
    if numbers(found["version"] or "") >= numbers(GPUS_FROM):
        return ok(f"Docker {found['version']}", f"/version = {found['version']}, API {found['api']}")
    said = f"Docker {found['version']} is older than {GPUS_FROM}, the first with --gpus"
    return Finding(
        level="FAIL" if gpu_here(facts) else "WARN", said=said, evidence=(f"/version = {found['version']}",),
        affects=CONTAINERS, needs_root=True, fix=("install docker-ce: https://docs.docker.com/engine/install/",),
    )  # fmt: skip


def flavour(facts: Facts) -> Finding:
    """dk.flavour: a Docker that cannot reach this host's GPU."""
    kind, info = facts.need("docker_flavour"), facts.need("docker_info")
    shown = f"/info = {kind}, {info['os']}, data in {info['root']}"
    if kind in ("docker", "desktop-wsl"):
        return ok("the engine runs on this host" if kind == "docker" else "Docker Desktop with WSL", shown)
    if kind in ("rootless", "podman") or not gpu_here(facts):
        return Finding(level="INFO", said=f"the engine is {kind}", evidence=(shown,))
    what = {
        "snap": "Docker is a snap: NVIDIA's toolkit on the host cannot serve it",
        "desktop": "Docker Desktop runs containers in a virtual machine, which does not see this host's GPU",
    }[kind]
    fix = {"snap": ("sudo snap remove docker", "install docker-ce: https://docs.docker.com/engine/install/")}
    other = ("install docker-ce: https://docs.docker.com/engine/install/", "docker context use default")
    return Finding(
        level="FAIL", said=what, evidence=(shown,), affects=CONTAINERS, needs_root=True, fix=fix.get(kind, other)
    )


CHECKS: tuple[Check, ...] = (
    Check(
        id="dk.config", title="Docker's settings", rule=configuration,
        source="https://docs.docker.com/engine/daemon/troubleshoot/",
    ),
    Check(
        id="dk.socket", title="Docker", rule=socket, after=("dk.config",),
        source="https://docs.docker.com/engine/install/linux-postinstall/",
    ),
    Check(
        id="dk.context", title="Docker's context", rule=context, after=("dk.socket",),
        source="https://docs.docker.com/engine/manage-resources/contexts/",
    ),
    Check(
        id="dk.version", title="Docker's version", rule=version, after=("dk.socket",),
        source="https://github.com/docker/cli/commit/1ba368a5ac",
    ),
    Check(
        id="dk.flavour", title="Kind of Docker", rule=flavour, after=("dk.socket",),
        source="https://github.com/NVIDIA/nvidia-container-toolkit/issues/522",
    ),
)  # fmt: skip
