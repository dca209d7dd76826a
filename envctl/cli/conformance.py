"""`envctl conformance`: how much of ONNX an engine does, by the ONNX project's own node tests."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from envctl.cli import groups, options
from envctl.cli.screen import Screen, guarded

if TYPE_CHECKING:
    from envctl.verify.conformance import Finding
    from envctl.workflow.conformance import Conformance

app = typer.Typer(rich_markup_mode=None, add_completion=False)

Ops = Annotated[str, typer.Option("--ops", metavar="Conv,LSTM", help="Only the tests about these operators.")]
Names = Annotated[str, typer.Option("--cases", metavar="REGEX", help="Only the tests whose whole names match.")]
Everything = Annotated[bool, typer.Option("--all", help="Try those too whose header speaks against them.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Every operator, and every case that did not pass.")]
Least = Annotated[int, typer.Option("--least", min=0, help="Exit code 1 when fewer pass (or are built).")]


@app.command()
@groups.grouped
def conformance(
    *,
    pinned: groups.Pinned,
    gpu: options.Gpu = None,
    pin: options.Pins = [],  # noqa: B006
    ops: Ops = "",
    cases: Names = "",
    everything: Everything = False,
    least: Least = 0,
    where: groups.Where,
    memory: options.Memory = None,
    timeout: options.Timeout = 3600,
    keep: options.Keep = False,
    verbose: Verbose = False,
    as_json: options.Json = False,
) -> None:
    """Run ONNX's node tests through an engine: passed, refused (why), mismatch, crashed, for each operator."""
    screen = Screen(as_json)
    with guarded(screen):
        from envctl.cli.grammar import size
        from envctl.cli.pins import engine_and_pins
        from envctl.workflow.ask import Ask
        from envctl.workflow.conformance import conform

        engine, pins = engine_and_pins(pinned, pin)
        ask = Ask(
            task="verify", engine=engine, pins=pins, gpu=gpu, memory=size(memory) if memory else None,
            seconds=timeout, keep=keep, **where,
        )  # fmt: skip
        named = frozenset(filter(None, (word.strip() for word in ops.split(","))))
        found = conform(ask, screen, ops=named, names=cases, everything=everything)
        screen.quiet()
        if as_json:
            screen.print_json(as_data(found))
        else:
            _print(found, verbose)
        good = sum(each.state in ("passed", "built") for each in found.findings)
    raise typer.Exit(1 if good < least else 0)


def as_data(found: Conformance) -> dict[str, Any]:
    """Everything, for `--json`."""
    from envctl.verify.conformance import by_op, foresight, reasons, tally
    from envctl.workflow.outcome import prepared_data

    told = foresight(found.findings) if found.everything else None
    return {
        "tests": asdict(found.tests),
        "target": prepared_data(found.target),
        "cases": len(found.findings),
        "tally": tally(found.findings),
        "refused": reasons(found.findings),
        "foretold": asdict(told) | {"share": told.share} if told else None,
        "ops": by_op(found.findings),
        "findings": [asdict(each) for each in found.findings],
        "seconds": round(found.seconds, 2),
    }


def _print(found: Conformance, verbose: bool) -> None:
    from envctl.verify.conformance import STATES, by_op, foresight, reasons, tally

    tests = f"{len(found.findings)} node tests of {found.tests.distribution} {found.tests.version}"
    print(f"{found.target.plan.title}: {tests}, {found.seconds:.0f} s")
    counts = tally(found.findings)
    print("  " + ", ".join(f"{state} {counts[state]}" for state in STATES))
    if why := reasons(found.findings):
        print("  refused for: " + ", ".join(f"{name} {count}" for name, count in why.items()))
    if found.everything and (told := foresight(found.findings)).share is not None:
        share = f"{told.told} of {told.failed} ({told.share:.1%})"
        print(f"  load failures that the header foretells: {share}; foretold and loaded all the same: {told.wrongly}")
    rows = {
        op: row
        for op, row in by_op(found.findings).items()
        if verbose or row["passed"] + row["built"] < sum(row.values())
    }
    if rows:
        width = max(len(op) for op in rows)
        print(f"  {'operator':<{width}} " + "".join(f"{state:>10}" for state in STATES))
        for op, row in rows.items():
            print(f"  {op:<{width}} " + "".join(f"{row[state] or '.':>10}" for state in STATES))
    if verbose:
        for each in found.findings:
            if each.state not in ("passed", "built"):
                print(_line(each))


def _line(each: Finding) -> str:
    why = f" ({each.why})" if each.why else ""
    return f"  {each.state}{why} {each.case}: {(each.message or each.predicted)[:200]}"
