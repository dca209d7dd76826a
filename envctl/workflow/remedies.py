"""Ways out for operators that an engine lacks: only what is known to lead somewhere, with what says so.

Engines that pass ONNX's own tests of these operators (`[passes]` of images/*.toml), and a writer's registry of a
framework's operators (`[[rules]]` of images/routes.toml).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from envctl import routes
from envctl.job import Lacking
from envctl.spec import ImageSpec, engines, read_spec
from envctl.workflow.lacking import OWN, operator

FRAMEWORKS = ("saved-model", "graph-def")
KERNEL = re.compile(r"no kernel for the types")
CONSTANT = re.compile(r"(?i)constant|initializer|build-time")
NO_RULE = re.compile(r"(?i)no (conversion )?rule|no such layer|none of that name|not registered|left it out")


def ways_out(found: Sequence[Lacking], form: str, spec: ImageSpec, *, routed: bool = False) -> list[str]:
    """What to do about operators that an engine lacks for a model of a format; `routed`: it was the step before it."""
    own = frozenset(each.op for each in found if each.domain in ("", OWN) and each.op)
    lacking = frozenset(each.op for each in found if each.op in own and NO_RULE.search(each.why))
    custom = sorted({operator(each) for each in found if each.domain not in ("", OWN)})
    do = list(_custom(custom)) if form == "onnx" else []
    if routed:
        do += ["write it with other operators in the framework, and save it again"]
    elif form in FRAMEWORKS:
        do += _through_onnx(own)
    elif form == "onnx" and lacking and not custom:
        do += _others(lacking, spec)
    return do + list(_attributes(found))


def _custom(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    inlined = "where the model defines it as a function: onnx.inliner.inline_local_functions"
    return [f"replace {', '.join(names[:3])} by ONNX's own operators before exporting; {inlined}"]


def _others(own: frozenset[str], spec: ImageSpec) -> list[str]:
    """Other engines that pass ONNX's tests of all these operators."""
    told = []
    for other in (read_spec(name) for name in engines() if name != spec.engine):
        if other.passes and own <= other.passes.names:
            way = f"envctl run --{other.option} {other.passes.release}"
            told.append(f"{other.title} passes ONNX's tests of {listed(own)}: {way}")
    return told or ["write it with other operators before exporting"]


def _through_onnx(own: frozenset[str]) -> list[str]:
    """Whether the way through ONNX has rules for them."""
    rules = routes.rules("tf2onnx")
    lacking = sorted(op for op in own if op not in rules.operators and op not in routes.VANISHING)
    if not lacking:
        return ["let the model pass its framework first, which has rules for all of them: --via onnx"]
    told = f"--via onnx would not help: {rules.writer} {rules.release} has no rule for {listed(frozenset(lacking))}"
    return [f"write it with other operators in the framework, and save it again ({told})"]


def _attributes(found: Sequence[Lacking]) -> list[str]:
    """What can be done about operators that are there, and not in this form."""
    do = []
    formed = [each for each in found if each.why and not NO_RULE.search(each.why)]
    for each in formed[:2]:
        if each.attribute and each.node:
            do.append(f"export {each.op} {each.node} with another {each.attribute.partition('=')[0]} than it has")
    if any(KERNEL.search(each.why) for each in formed):
        do.append("cast what it reads to a type that has a kernel (float32, int32, int64) and what it makes back")
    if any(CONSTANT.search(each.why) for each in formed):
        do.append("fold what does not depend on the inputs: onnxslim MODEL.onnx OUT.onnx (pypi:onnxslim)")
    return list(dict.fromkeys(do))


def listed(names: frozenset[str]) -> str:
    """The names in their order, the first four of many."""
    shown = sorted(names)
    return ", ".join(shown[:4]) + (f" and {len(shown) - 4} more" if len(shown) > 4 else "")
