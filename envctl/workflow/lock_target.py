"""One target of a lock file: its machine -> stack -> base -> environment. Nothing of this machine decides but its wish.

Which CPython: one that is pinned, else those of the wish, else those that a base brings, in their order. An environment
on a base has the base's C library; the machine's own counts only where there is no base.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from envctl import debian, lock
from envctl.aliases import Indexes
from envctl.base import Base, base_for, bases
from envctl.errors import BadInput
from envctl.explain import no_stack
from envctl.lockfile import Asked, Line, LockedBase, Target, Wanted
from envctl.matrix import Matrix
from envctl.package import LockedPackage
from envctl.question import GPU_SIDE, OTHER_SYSTEMS
from envctl.request import Known, Pin, Request
from envctl.solver import Conflict, Stack, solve
from envctl.spec import ImageSpec
from envctl.workflow.machine import facts_of, machine
from envctl.workflow.prepare import check_pins_took_effect
from envctl.workflow.resolve import INSIDE_AN_IMAGE

PINNED = re.compile(r"\S+@(?P<digest>sha256:[0-9a-f]{64})")
EVERYTHING = "everything"  # what `--upgrade` without a name means


@dataclass(frozen=True, kw_only=True, slots=True)
class Maker:
    """What all targets of one lock file share. `upgrade` names what need not stay as it was; `fresh`: the mirror is
    asked even when its last answer is not a day old."""

    matrix: Matrix
    spec: ImageSpec
    asked: Asked
    indexes: Indexes
    say: Callable[[str], None]
    upgrade: frozenset[str] = frozenset()
    offline: bool = False
    fresh: bool = False

    @property
    def pins(self) -> tuple[Pin, ...]:
        """The pins as they were said."""
        return tuple(said.pin() for said in self.asked.pins)


def make_target(maker: Maker, wanted: Wanted, old: Target | None) -> tuple[Target, Stack]:
    """The answer for one target; versions of the `old` one stay where they can. Raises `NoStack`, `HostLacks`."""
    stack, base = _stack_and_base(maker, wanted, old)
    platform = _platform(wanted, base)
    question = lock.question_for(stack, maker.spec, platform, maker.indexes.addresses)
    question = replace(question, exclude_newer=maker.asked.exclude_newer, keep=_keep(maker, question.python, old))
    maker.say(f"choosing and locking the packages of {maker.spec.title} for {wanted.name}")
    environment = lock.make(question, maker.indexes, offline=maker.offline, say=maker.say)
    check_pins_took_effect(maker.pins, stack, environment)
    target = Target(
        name=wanted.name,
        stack=tuple(_line(stack, name) for name in sorted(stack.choices)),
        open=tuple(sorted({f"{claim.owner} needs {claim.name} {claim.condition}" for claim in stack.unmet})),
        base=_locked_base(maker, wanted, base),
        environment=environment,
    )
    return target, stack


def _line(stack: Stack, name: str) -> Line:
    choice = stack.choices[name]
    return Line(component=name, version=choice.version, why=choice.why, source=choice.source)


def _stack_and_base(maker: Maker, wanted: Wanted, old: Target | None) -> tuple[Stack, Base | None]:
    """The stack; once its Python is known, solved again with the C library of the base that brings it."""
    known = _known(maker, wanted)
    stack = _solve(maker, known, old)
    base = _base(wanted, stack.version("python"))
    if base:
        known["python"] = replace(known["python"], values=(base.python,))
        known["glibc"] = Known(values=(base.glibc,), origin=base.name)
        stack = _solve(maker, known, old)
    return stack, base


def _known(maker: Maker, wanted: Wanted) -> dict[str, Known]:
    """What is known of a target's machine, without what a base brings in its place."""
    known = machine(maker.matrix, wanted.facts)
    if wanted.base != "none":
        known = {name: fact for name, fact in known.items() if name not in INSIDE_AN_IMAGE}
    known["python"] = Known(values=tuple(_pythons(maker, wanted)), origin="what environments can have")
    return known


def _pythons(maker: Maker, wanted: Wanted) -> list[str]:
    named = _named_base(wanted.base)
    if named and wanted.pythons and named.python not in wanted.pythons:
        do = [f"leave one of them out, or take {', '.join(base.name for base in bases())}"]
        raise BadInput(f"{named.name} brings CPython {named.python}, not {', '.join(wanted.pythons)}", do=do)
    if named:
        return [named.python]
    known = [release.version for release in maker.matrix.component("python").releases]
    brought = [base.python for base in bases() if wanted.base == "auto"]
    return list(wanted.pythons) or list(dict.fromkeys([*brought, *known]))


def _solve(maker: Maker, known: dict[str, Known], old: Target | None) -> Stack:
    on_gpu = any(known[name].values for name in ("gpu", "driver") if name in known)
    kept = () if old is None or EVERYTHING in maker.upgrade else old.stack
    request = Request(
        engine=maker.spec.engine,
        pins=maker.spec.with_company(maker.pins),
        known=known,
        deferred=facts_of(maker.matrix) - set(known),
        on_gpu=on_gpu or any(pin.name in GPU_SIDE for pin in maker.pins),
        foreign=OTHER_SYSTEMS | (INSIDE_AN_IMAGE - set(known)),
        preferred=frozenset((each.component, each.version) for each in kept if each.component not in maker.upgrade),
        features=maker.spec.features,
    )
    answer = solve(maker.matrix, request)
    if isinstance(answer, Conflict):
        raise no_stack(maker.matrix, answer)
    return answer


def _keep(maker: Maker, python: str, old: Target | None) -> tuple[LockedPackage, ...]:
    """The packages that stay if they can: those of the old lock for the same Python."""
    if old is None or EVERYTHING in maker.upgrade or old.environment.python != python:
        return ()
    return tuple(package for package in old.environment.packages if package.name not in maker.upgrade)


# --- bases


def check_base(base: str) -> None:
    """Raise `BadInput` for a base that is none."""
    if base in ("auto", "none") or _named_base(base) or PINNED.fullmatch(base):
        return
    if base.startswith("debian:") or ":" not in base:
        do = [f"one of: auto, none, {', '.join(each.name for each in bases())}", "or REFERENCE@sha256:DIGEST"]
        raise BadInput(f"unknown base {base!r}", do=do)
    do = ["write REFERENCE@sha256:DIGEST; a tag may name another image tomorrow"]
    raise BadInput(f"the base {base!r} is not pinned by its digest", do=do)


def _named_base(name: str) -> Base | None:
    return next((base for base in bases() if base.name == name), None)


def _base(wanted: Wanted, python: str) -> Base | None:
    """The base that envctl makes, if that is what the target stands on."""
    if wanted.base == "none" or PINNED.fullmatch(wanted.base):
        return None
    return _named_base(wanted.base) or base_for(python)


def _platform(wanted: Wanted, base: Base | None) -> str:
    """uv's name of the platform; a base whose C library is older than the wheels need is refused."""
    return lock.platform_for(wanted.arch, base.glibc) if base else lock.PLATFORMS[wanted.arch][0]


def _locked_base(maker: Maker, wanted: Wanted, base: Base | None) -> LockedBase | None:
    pinned = PINNED.fullmatch(wanted.base)
    if pinned:
        return LockedBase(kind="registry", name=wanted.base, digest=pinned["digest"])
    if base is None:
        if wanted.base == "auto":
            maker.say(f"no base that envctl makes brings the Python of {wanted.name}: it is locked without one")
        return None
    mirror = maker.indexes.addresses.get(debian.ALIAS)
    options = {"offline": maker.offline, "fresh": maker.fresh}
    packages = debian.packages_of(base, wanted.arch, mirror, **options, say=maker.say)
    recipe = debian.recipe_digest(base)
    return LockedBase(kind="made", name=base.name, suite=base.suite, recipe=recipe, packages=packages)
