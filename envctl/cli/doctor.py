"""`envctl doctor`: the machine on one screen."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from envctl.cli import options
from envctl.cli.screen import Screen, guarded

if TYPE_CHECKING:
    from envctl.doctor.check import Verdict
    from envctl.workflow.doctor import Diagnosis

app = typer.Typer(rich_markup_mode=None, add_completion=False)
MARKS = {"OK": "[v]", "INFO": "[i]", "WARN": "[!]", "FAIL": "[x]", "SKIP": "[-]"}
Only = Annotated[list[str], typer.Option("--only", metavar="ID", help="Make this check alone.")]
For = Annotated[
    list[str],
    typer.Option("--for", metavar="WHAT", help="What is to run here: an engine, model, engine file or image."),
]
Root = Annotated[Path | None, typer.Option("--root", help="Look at the machine recorded in this folder.")]
Net = Annotated[bool, typer.Option("--net", help="Ask indexes and registries too; nothing else uses the network.")]


@app.command()
def doctor(
    list_: Annotated[bool, typer.Option("--list", help="List all checks.")] = False,
    only: Only = [],  # noqa: B006
    for_: For = [],  # noqa: B006
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show what is well, and what was skipped.")] = False,
    report: Annotated[bool, typer.Option("--report", help="One block to paste into a bug report, redacted.")] = False,
    record: Annotated[Path | None, typer.Option("--record", metavar="DIR", help="Record this machine.")] = None,
    root: Root = None,
    net: Net = False,
    fix: Annotated[bool, typer.Option("--fix", help="Mend what is safe to mend, after asking.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --fix: do not ask.")] = False,
    as_json: options.Json = False,
) -> None:
    """Say what this machine is, what is broken, what mends it, and which engines run here (exit code 1: a failure)."""
    from envctl.workflow import doctor as workflow

    screen = Screen(as_json)
    with _own_faults(), guarded(screen):
        if list_:
            _print_checks(screen)
            return
        if record:
            workflow.record(record)
            print(f"recorded in {record}")
            return
        # layers of a large image take a while
        asked = [*for_, *(["indexes and registries"] if net else [])]
        screen.say(f"looking at {', '.join(asked)}" if asked else "")
        found = workflow.diagnose(root, tuple(only), redact=report, net=net, wanted=tuple(for_))
        screen.quiet()
        if fix and not root:
            found = _mended(screen, found, yes, tuple(for_))
        _print(screen, found, verbose=verbose, report=report)
    raise typer.Exit(1 if found.failed else 0)


@contextmanager
def _own_faults() -> Iterator[None]:
    """Exit code 1 says that the machine is broken: where doctor itself is, it is 2."""
    try:
        yield
    except Exception as error:
        if isinstance(error, typer.Exit):
            raise
        import traceback

        traceback.print_exc()
        print("doctor itself broke: please report the lines above", file=sys.stderr)
        raise typer.Exit(2) from error


def _print_checks(screen: Screen) -> None:
    from envctl.doctor.checks import CHECKS

    if screen.as_json:
        plain = [{"id": it.id, "title": it.title, "after": list(it.after), "source": it.source} for it in CHECKS]
        screen.print_json({"checks": plain})
        return
    for check in CHECKS:
        print(f"{check.id:<18} {check.title}")


def _print(screen: Screen, found: Diagnosis, *, verbose: bool, report: bool) -> None:
    if screen.as_json:
        screen.print_json(_data(found))
        return
    lines = [*_summary(found), *_verdicts(found, verbose or report), *_runs(found)]
    text = "\n".join(lines)
    if report:
        text = f"```\n{text}\n```"
    print(text)


def _data(found: Diagnosis) -> dict[str, Any]:
    return {
        "facts": {name: asdict(fact) for name, fact in sorted(found.host.facts.items())},
        "verdicts": [asdict(verdict) | {"concerns": found.concerns(verdict)} for verdict in found.verdicts],
        "runs": [asdict(each) for each in found.runs],
        "failed": found.failed,
    }


def _summary(found: Diagnosis) -> list[str]:
    host = {name: value for name, value in found.host.summary().items() if value and name != "cpu"}
    memory = f"{int(host.pop('memory')) / (1 << 30):.0f} GiB" if "memory" in host else ""
    told = [host.get(name, "") for name in ("os", "kernel", "cpu_model")]
    told += [f"{host['cores']} cores" if "cores" in host else "", memory]
    told += [_driver(found)]
    return [", ".join(word for word in told if word)]


def _driver(found: Diagnosis) -> str:
    """The driver of the kernel; under WSL that of Windows, as NVML names it."""
    nvml, wsl = (fact.value if (fact := found.host.facts.get(name)) else None for name in ("nvml", "wsl_gpu"))
    if wsl and nvml and nvml.get("driver"):
        return f"Windows' driver {nvml['driver']}"
    here = found.host.value("driver")
    return f"driver {here}" if here else "no NVIDIA driver"


def _verdicts(found: Diagnosis, verbose: bool) -> list[str]:
    """What needs somebody first; what follows from it is counted; the rest only where it is asked for."""
    levels = ("FAIL", "WARN", "INFO") if not verbose else ("FAIL", "WARN", "INFO", "OK", "SKIP")
    roots = [each for each in found.verdicts if not each.follows and found.concerns(each)]
    roots.sort(key=lambda each: each.id not in found.asked)
    shown = [each for level in levels for each in roots if each.finding.level == level]
    shown += [each for each in roots if each.finding.level == "OK" and each.id in found.asked and each not in shown]
    lines = [line for verdict in shown for line in _lines(found, verdict, verbose)]
    counts = {level: sum(each.finding.level == level for each in found.verdicts) for level in ("OK", "SKIP")}
    aside = [each.id for each in found.verdicts if each.finding.level in ("FAIL", "WARN") and not found.concerns(each)]
    if aside:
        lines.append(f"{len(aside)} more findings do not concern it: {', '.join(aside)} (envctl doctor shows them)")
    return [*lines, f"{counts['OK']} checks OK, {counts['SKIP']} skipped" + ("" if verbose else "; -v shows them")]


def _lines(found: Diagnosis, verdict: Verdict, verbose: bool) -> list[str]:
    finding = verdict.finding
    lines = [f"{MARKS[finding.level]} {verdict.title}: {finding.said}  ({verdict.id})"]
    if finding.affects and finding.level in ("FAIL", "WARN"):
        lines.append(f"      affects: {', '.join(finding.affects)}")
    marks = [word for word, on in (("as root", finding.needs_root), ("then reboot", finding.needs_reboot)) if on]
    for command in finding.fix if finding.level != "OK" else ():
        lines.append(f"      fix: {command}" + (f"  ({', '.join(marks)})" if marks else ""))
    if verbose or finding.level == "FAIL":
        lines += [f"      evidence: {each}" for each in finding.evidence]
    following = sum(each.follows == verdict.id for each in found.verdicts)
    return lines + ([f"      {following} more checks follow from this"] if following else [])


def _runs(found: Diagnosis) -> list[str]:
    what = "what runs here (newest versions)" if found.concerned is None else "what runs here, of what is wanted"
    lines = [f"{what}:"] if found.runs else []
    for each in found.runs:
        told = ", ".join(f"{each_.upper()} {v}" for each_, v in (("gpu", each.gpu), ("cpu", each.cpu)) if v)
        unknown = f"  (not known of this machine: {', '.join(each.unknown)})" if told and each.unknown else ""
        lines.append(f"  {each.engine:<22} {told or 'no: ' + each.why}{unknown}")
    return lines


def _mended(screen: Screen, found: Diagnosis, yes: bool, wanted: tuple[str, ...] = ()) -> Diagnosis:
    """Do what is safe, after showing it and asking; then look again."""
    from envctl.doctor.check import Facts
    from envctl.doctor.fixes import safe_fixes
    from envctl.workflow import doctor as workflow

    done = False
    for verdict, commands in safe_fixes(found.verdicts, Facts(host=found.host)):
        print(f"{verdict.title}: {verdict.finding.said}")
        for command in commands:
            print(f"  {' '.join(command)}")
        if yes or typer.confirm("run this?", default=False):
            error = workflow.mend(commands)
            print(f"  failed: {error}" if error else "  done")
            done = True
    screen.quiet()
    return workflow.diagnose(wanted=wanted) if done else found
