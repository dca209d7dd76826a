"""Plan -> environment: lock, then find or make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from envctl import lock
from envctl.aliases import Indexes
from envctl.environment import Environment
from envctl.errors import BadInput, JobFailed, Reason
from envctl.host import HostFacts
from envctl.job import Result
from envctl.lock import Lock
from envctl.lockfile import LockedBase
from envctl.request import Pin
from envctl.runner import Runner
from envctl.solver import Stack
from envctl.workflow.ask import Ask, Listener
from envctl.workflow.plan import Plan

if TYPE_CHECKING:
    from envctl.oci.base_image import BaseImage


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A plan whose environment is there."""

    plan: Plan
    environment: Environment


def prepare(
    plan: Plan,
    pins: tuple[Pin, ...],
    ask: Ask,
    host: HostFacts,
    indexes: Indexes,
    runner: Runner,
    listener: Listener,
) -> Prepared:
    """The environment of a plan, found or made. `pins` are those that must show in it."""
    locked = plan.locked or locked_for(plan, ask, host, indexes, listener)
    check_pins_took_effect(pins, plan.stack, locked)
    base = _locked_base(plan.locked_base, locked, indexes, ask, listener) if plan.locked_base else None
    made = runner.environment(locked, indexes, base, offline=ask.offline, say=listener.say)
    return Prepared(plan=plan, environment=made)


def _locked_base(base: LockedBase, locked: Lock, indexes: Indexes, ask: Ask, listener: Listener) -> BaseImage:
    """The base that the lock names and no other: from the store, its registry, or made now."""
    from envctl.debian import ALIAS
    from envctl.workflow.build_base import Wish, base_for_lock

    wish = Wish(mirror=lambda: indexes.addresses.get(ALIAS, ""), offline=ask.offline)
    return base_for_lock(base, locked.python, wish, listener.say)


def locked_for(plan: Plan, ask: Ask, host: HostFacts, indexes: Indexes, listener: Listener) -> Lock:
    """The exact wheels of a plan, for the C library that they will meet: the kept lock, or a new one from the index."""
    platform = lock.platform_for(host.value("arch"), plan.glibc or host.value("glibc"))
    return lock.find_or_make(
        plan.stack, plan.spec, platform, indexes, offline=ask.offline, refresh=ask.refresh, say=listener.say
    )


def kept_lock(plan: Plan, host: HostFacts) -> Lock | None:
    """The lock of a plan that was resolved before; None where the index has to be asked."""
    platform = lock.platform_for(host.value("arch"), plan.glibc or host.value("glibc"))
    return lock.kept(lock.question_for(plan.stack, plan.spec, platform))


def check_pins_took_effect(pins: tuple[Pin, ...], stack: Stack, locked: Lock) -> None:
    """Raise `BadInput` for a pin on something that is not in the environment: a typing error would pass in silence."""
    for pin in pins:
        if pin.name in stack.choices or locked.version(pin.name):
            continue
        names = sorted({*stack.choices, *(package.name for package in locked.packages)})
        do = [f"it holds: {', '.join(names)}"]
        raise BadInput(f"{pin.said}: nothing in this environment is called {pin.name!r}", do=do)


def check_versions(prepared: Prepared, result: Result) -> None:
    """Raise `JobFailed` when the worker imported another version than the lock's: its numbers would prove nothing."""
    for name, imported in result.versions.items():
        stack = prepared.plan.stack
        locked = prepared.environment.lock.version(name)
        expected = locked or (stack.version(name) if name in stack.choices else None)
        if expected and not _same(expected, imported):
            because = [
                Reason(
                    text=f"the lock has {name} {expected}",
                    source=str(prepared.environment.folder / "lock.json"),
                ),
                Reason(text=f"the worker imported {name} {imported}", source=str(result.folder / "result.json")),
            ]
            do = [f"delete {prepared.environment.folder}: something changed it"]
            raise JobFailed(f"the environment does not hold what it should: {name}", because=because, do=do)


def _same(expected: str, imported: str) -> bool:
    """Whether an engine's own version text (`2026.4.1-22345-abc`, `1.7.1.116`) is the locked version."""
    rest = imported[len(expected) :]
    return imported.startswith(expected) and not rest[:1].isdigit()
