"""The engines that --for named (id engine): whether a stack for this machine exists, and the proof where none does."""

from __future__ import annotations

from typing import Any

from envctl.doctor.check import Check, Facts, Finding, ok, skip

NONE = "no engine was named: --for ENGINE"


def engine(facts: Facts) -> Finding:
    """engine: every engine that was named has a stack on this machine."""
    if not facts.get("wanted_engines"):
        return skip(NONE)
    wanted: list[dict[str, Any]] = facts.need("wanted_engines")
    cannot = [each for each in wanted if not each["gpu"] and not each["cpu"]]
    if cannot:
        return _cannot(cannot)
    said = "; ".join(map(_runs, wanted))
    slow = [each for each in wanted if each["without_gpu"]]
    if slow:
        said = f"{said}; this machine's GPU is not used"
        evidence = tuple(line for each in slow for line in each["without_gpu"]["because"])
        fix = tuple(line for each in slow for line in each["without_gpu"]["do"])
        names = tuple(each["engine"] for each in slow)
        return Finding(level="WARN", said=said, evidence=evidence, affects=names, fix=fix)
    unknown = sorted({name for each in wanted for name in each["unknown"]})
    evidence = tuple(f"solver = {_runs(each)}" for each in wanted)
    if unknown:
        said = f"{said}, as far as is known: {', '.join(unknown)} was not told of this machine"
        return Finding(level="INFO", said=said, evidence=evidence)
    return ok(said, *evidence)


def _runs(engine: dict[str, Any]) -> str:
    where = [f"{name.upper()} ({engine[name]})" for name in ("gpu", "cpu") if engine[name]]
    return f"{engine['said']} runs here on {' and '.join(where)}"


def _cannot(engines: list[dict[str, Any]]) -> Finding:
    """The engines without a stack: the solver's proof, and what would help."""
    said = "; ".join(f"{each['said']} cannot run here: {_reason(each)}" for each in engines)
    evidence = tuple(line for each in engines for line in each["because"]) or (f"solver = {engines[0]['why']}",)
    fix = tuple(line for each in engines for line in each["do"]) or ("envctl doctor --for ANOTHER",)
    return Finding(level="FAIL", said=said, evidence=evidence, affects=tuple(it["engine"] for it in engines), fix=fix)


def _reason(engine: dict[str, Any]) -> str:
    """The solver's one line, without the source that its end may name."""
    return str(engine["why"]) or str((engine["because"] or ["the solver finds no stack"])[0])


CHECKS: tuple[Check, ...] = (
    Check(
        id="engine", title="The engine that is wanted", rule=engine, after=("file.kind", "onnx.version"),
        source="docs/solve.md",
    ),
)  # fmt: skip
