"""`envctl run --lock FILE`: which target of a lock file this host can use, and the plan that it stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from envctl import lock
from envctl.aliases import DEFAULT
from envctl.errors import HostLacks, NoStack, Reason
from envctl.host import HostFacts
from envctl.lockfile import LockFile, Target
from envctl.matrix import Matrix
from envctl.recipe import Packages
from envctl.request import Known, Pin
from envctl.runner import Runner
from envctl.versions import Condition
from envctl.workflow.plan import Plan, plan


def plan_locked(
    matrix: Matrix, found: LockFile, known: Mapping[str, Known], runner: Runner, host: HostFacts, provider: str = ""
) -> Plan:
    """The plan of the first target that fits this host; raises `HostLacks` with the reason for each when none does."""
    because = []
    for target in found.targets:
        try:
            return _plan(matrix, found, target, known, runner, host, provider)
        except (NoStack, HostLacks) as error:
            text = "; ".join([error.what, *(reason.text for reason in error.because[:4])])
            because.append(Reason(text=f"{target.name}: {text}", source="the lock"))
    do = ["add a target for this host: envctl lock … --host this", "or leave --lock out"]
    raise HostLacks("no target of the lock fits this host", because=because, do=do)


def _plan(
    matrix: Matrix,
    found: LockFile,
    target: Target,
    known: Mapping[str, Known],
    runner: Runner,
    host: HostFacts,
    provider: str,
) -> Plan:
    """The plan with exactly the versions of the target; the matrix and this host must admit them."""
    environment = target.environment
    base = target.base if runner.name == "docker" else None  # it brings its Python, and is had like build's
    if environment.python not in runner.pythons() and base is None:
        here = ", ".join(runner.pythons()) or "none"
        raise HostLacks(f"it is for CPython {environment.python}; the {runner.name} runner has {here}")
    platform = lock.platform_for(host.value("arch"), runner.glibc(environment.python) or host.value("glibc"))
    if platform != environment.platform:
        raise HostLacks(f"it is for {environment.platform}; this host takes {platform}")
    python = Known(values=(environment.python,), origin=f"target {target.name} of the lock")
    pins = tuple(_pins(matrix, target))
    made = plan(matrix, found.request.engine, pins, {**known, "python": python}, runner, provider=provider)
    exact = tuple(f"{package.name}=={package.version}" for package in environment.packages)
    index = {package.name: package.index for package in environment.packages if package.index != DEFAULT}
    made = replace(made, packages=Packages(requirements=exact, index=index), locked=environment)
    return replace(made, base=base.name, locked_base=base) if base else made


def _pins(matrix: Matrix, target: Target) -> list[Pin]:
    """The target's versions as pins; what its machine had is for this host to say."""
    chosen = [line for line in target.stack if matrix.has(line.component)]
    return [
        Pin(name=line.component, condition=Condition(any=(f"=={line.version}",)), said=f"{line.component} of the lock")
        for line in chosen
        if matrix.component(line.component).kind in ("engine", "component") and line.component != "python"
    ]
