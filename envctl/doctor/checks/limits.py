"""Checks of what this user may take: memory, threads, limits of the shell, walls for local workers."""

from __future__ import annotations

from envctl.doctor.check import GPU_ENGINES, Check, Facts, Finding, ok
from envctl.doctor.checks.sizes import GB, MEMORY_TIGHT, MEMORY_TIGHT_TEGRA, THREADS_TIGHT, size

ALL = ("every engine",)
CGROUP_SOURCE = "https://kernel.org/doc/Documentation/cgroup-v2.txt"
NAMESPACE_SOURCE = "https://ubuntu.com/blog/ubuntu-23-10-restricted-unprivileged-user-namespaces"
# limit -> (too small below this, what then happens, who suffers, how to raise it)
RLIMITS = {
    "nofile": (1024, "a few models and sockets use up the file handles", ALL, "ulimit -n 4096"),
    "nproc": (THREADS_TIGHT, "engines cannot start their threads", ALL, "ulimit -u 4096"),
    "as": (64 * GB, "CUDA reserves address space far beyond the memory it uses", GPU_ENGINES, "ulimit -v unlimited"),
    "data": (2 * GB, "engines cannot allocate their weights", ALL, "ulimit -d unlimited"),
    "stack": (1 << 20, "compilers of engines recurse deeply and crash", ALL, "ulimit -s 8192"),
    "fsize": (4 * GB, "models and wheels are cut off when they are written", ALL, "ulimit -f unlimited"),
}
# switch -> value that forbids namespaces, how to allow them
SWITCHES = {
    "unprivileged_userns_clone": ("0", "sudo sysctl -w kernel.unprivileged_userns_clone=1"),
    "max_user_namespaces": ("0", "sudo sysctl -w user.max_user_namespaces=15000"),
    "apparmor_restrict_unprivileged_userns": ("1", "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
}


def memory(facts: Facts) -> Finding:
    """Whether enough memory is free to load an engine and a model."""
    free = int(facts.need("memory_available"))
    tegra = bool((facts.get("machine_kind") or {}).get("tegra"))
    wanted = MEMORY_TIGHT_TEGRA if tegra else MEMORY_TIGHT
    swap = int(facts.get("swap") or 0)
    evidence = (f"/proc/meminfo MemAvailable = {size(free)}", f"/proc/meminfo SwapTotal = {size(swap)}")
    if free >= wanted:
        return ok(f"{size(free)} of memory are free", *evidence)
    stop = (
        "sudo systemctl isolate multi-user.target"
        if tegra
        else "end what holds the memory: ps -eo rss,comm --sort=-rss | head"
    )
    swap_fix = (
        "sudo fallocate -l 8G /swapfile && sudo chmod 600 /swapfile && sudo mkswap /swapfile && sudo swapon /swapfile"
    )
    said = (
        f"only {size(free)} of memory are free: "
        + ("TensorRT builds" if tegra else "engines")
        + " are killed when it runs out"
    )
    fix = (stop, *(() if swap else (swap_fix,)))
    return Finding(level="WARN", said=said, evidence=evidence, affects=ALL, fix=fix, needs_root=tegra or not swap)


def memory_limit(facts: Facts) -> Finding:
    """Whether the control group leaves enough memory."""
    limit = facts.get("memory_limit")
    if limit is None:
        if facts.why_unknown("memory_limit") != "no limit":
            facts.need("memory_limit")
        return ok("no limit on memory", f"{facts.host.facts['memory_limit'].origin} = no limit")
    left = int(limit) - int(facts.get("memory_limit_used") or 0)
    evidence = (
        f"{facts.host.facts['memory_limit'].origin} = {size(int(limit))}",
        f"in use = {size(int(limit) - left)}",
    )
    if left >= MEMORY_TIGHT:
        return ok(f"{size(left)} left of the {size(int(limit))} this control group may hold", *evidence)
    said = (
        f"this control group may hold {size(int(limit))} and has {size(left)} left: the kernel kills what asks for more"
    )
    fix = ("docker update --memory 8g --memory-swap 8g CONTAINER (Kubernetes: resources.limits.memory)",)
    return Finding(level="WARN", said=said, evidence=evidence, affects=ALL, fix=fix)


def threads(facts: Facts) -> Finding:
    """Whether engines can start their threads."""
    limit = facts.get("pids_limit")
    if limit is None:
        if facts.why_unknown("pids_limit") != "no limit":
            facts.need("pids_limit")
        return ok("no limit on processes", f"{facts.host.facts['pids_limit'].origin} = no limit")
    left = int(limit) - int(facts.get("pids_used") or 0)
    evidence = (facts.shown("pids_limit"), facts.shown("pids_used"))
    if left >= THREADS_TIGHT:
        return ok(f"{left} more threads may be started", *evidence)
    said = f"only {left} more threads may be started: engines end with `can't start new thread`"
    fix = ("docker update --pids-limit 4096 CONTAINER (systemd: TasksMax=4096)",)
    return Finding(level="FAIL", said=said, evidence=evidence, affects=ALL, fix=fix)


def shell_limits(facts: Facts) -> Finding:
    """Whether `ulimit` leaves engines what they need."""
    limits = facts.need("rlimits")
    small = [name for name, row in RLIMITS.items() if 0 <= limits.get(name, -1) < row[0]]
    evidence = tuple(f"getrlimit {name} = {limits[name]}" for name in small)
    if not small:
        return ok("the shell's limits are wide enough", f"getrlimit nofile = {limits.get('nofile')}")
    affects = tuple(dict.fromkeys(who for name in small for who in RLIMITS[name][2]))
    said = f"the limit on {small[0]} is {limits[small[0]]}: {RLIMITS[small[0]][1]}"
    fix = tuple(RLIMITS[name][3] for name in small)
    return Finding(level="WARN", said=said, evidence=evidence, affects=affects, fix=fix)


def walls(facts: Facts) -> Finding:
    """Whether local workers, which read untrusted models, can be shut in."""
    found = facts.need("walls")
    missing = [name for name in ("landlock", "network", "seccomp") if found[name].startswith("not")]
    evidence = tuple(f"{name} = {value}" for name, value in found.items())
    if not missing:
        return ok("local workers can be shut in", *evidence)
    covered = missing == ["network"] and int(found["landlock"].split()[-1]) >= 4  # it refuses TCP then
    return Finding(
        level="INFO" if covered else "WARN",
        said=f"local workers cannot be shut in fully: no {' and no '.join(_wall(name) for name in missing)}",
        evidence=(*evidence, *(f"{k} = {v}" for k, v in (facts.get("user_namespace_switches") or {}).items())),
        affects=("the local runner",),
        fix=_wall_fix(facts, missing),
        needs_root=True,
        needs_reboot="landlock" in missing,
    )


def _wall(name: str) -> str:
    return {"network": "network namespace", "landlock": "Landlock", "seccomp": "seccomp filter"}[name]


def _wall_fix(facts: Facts, missing: list[str]) -> tuple[str, ...]:
    switches = facts.get("user_namespace_switches") or {}
    closed = [fix for name, (value, fix) in SWITCHES.items() if switches.get(name) == value]
    other = "run untrusted models in a container: envctl run --runner docker"
    kernel = "boot a kernel from 5.13 on with landlock among lsm= (cat /sys/kernel/security/lsm)"
    return (
        *(closed if "network" in missing else ()),
        *((kernel,) if "landlock" in missing else ()),
        other,
    )


CHECKS: tuple[Check, ...] = (
    Check(id="mem", title="Memory", rule=memory),
    Check(id="mem.limit", title="Memory limit", rule=memory_limit, source=CGROUP_SOURCE),
    Check(id="os.threads", title="Threads", rule=threads, source=CGROUP_SOURCE),
    Check(id="os.limits", title="Shell limits", rule=shell_limits),
    Check(id="os.walls", title="Walls for workers", rule=walls, source=NAMESPACE_SOURCE),
)
