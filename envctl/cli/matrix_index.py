"""`envctl matrix check --index` and `envctl matrix update`: the matrix beside the package index."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from envctl.cli import options
from envctl.cli.screen import Screen, guarded

if TYPE_CHECKING:
    from envctl.matrix import Matrix
    from envctl.upstream.drift import Difference
    from envctl.workflow.beside import Report
    from envctl.workflow.refresh import Edit

Only = Annotated[str | None, typer.Argument(metavar="[COMPONENT]", help="Only this one, for example onnx.")]
Compare = Annotated[bool, typer.Option("--index", help="Compare with the package index that is configured.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Show what is kept and what was not compared too.")]
BY_HAND = {
    "yanked": "withdrawn from the index; say so in the row's note, or delete the row",
    "not on the index": "not on the index",
    "not required": "not in Requires-Dist, or otherwise and only for an extra",
    "claim": "not corrected by machine",
    "no claim": "a claim that is missing",
}


def compare(screen: Screen, matrix: Matrix, component: str | None) -> Report:
    """The matrix beside the index that is configured."""
    from envctl.aliases import read_indexes
    from envctl.upstream.simple import Simple
    from envctl.workflow import refresh

    return refresh.compare(matrix, component, Simple(indexes=read_indexes([])), screen.say)


def update(
    component: Only = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the change as a diff; write nothing.")] = False,
    matrices: options.Matrices = None,
    as_json: options.Json = False,
) -> None:
    """Write what the package index says into the matrix: new releases as unverified rows, and claims whose evidence is
    metadata. What a page or a measurement says is never touched; a doubtful index is refused (exit code 4)."""
    from datetime import date

    from envctl.aliases import read_indexes
    from envctl.matrix import load
    from envctl.upstream.simple import Simple
    from envctl.workflow import refresh

    screen = Screen(as_json)
    with guarded(screen):
        folder = matrices if dry_run else refresh.writable(matrices)
        simple = Simple(indexes=read_indexes([]))
        report, edits = refresh.update(load(folder), component, simple, date.today(), screen.say)
        if not dry_run:
            refresh.write(edits)
        screen.quiet()
        _print_update(screen, report, edits, dry_run)


def _print_update(screen: Screen, report: Report, edits: list[Edit], dry_run: bool) -> None:
    if screen.as_json:
        files = [{"path": str(edit.path), "diff": edit.diff} for edit in edits]
        screen.print_json({"written": not dry_run, "files": files, "by_hand": report_data(report)})
        return
    if dry_run:
        print("".join(edit.diff for edit in edits), end="")
    else:
        print("".join(f"wrote {edit.path}\n" for edit in edits), end="")
    if report.differences:
        print("for a person to decide:")
        print_differences(report.differences)
    what = "would change" if dry_run else "changed"
    print(f"{len(report.compared)} components compared, {len(edits)} files {what}")


def report_data(report: Report) -> dict[str, Any]:
    """A report for `--json`."""
    return {
        "compared": report.compared,
        "differences": [asdict(each) for each in report.differences],
        "kept": [asdict(each) for each in report.kept],
        "not_compared": report.not_compared,
    }


def print_report(report: Report, verbose: bool) -> None:
    """The differences as a diff from the matrix to the index, and a summary."""
    print_differences(report.differences)
    if verbose:
        for each in report.kept:
            theirs = " or ".join(each.theirs)
            print(f"kept {each.component} {each.release}: {each.key} {' or '.join(each.ours)}: {each.source}")
            print(f"     (the index has {theirs})")
        for name, why in report.not_compared.items():
            print(f"not compared: {name}: {why}")
    more = "" if verbose else "; -v shows them"
    print(
        f"{len(report.compared)} components compared with the index: {len(report.differences)} differences, "
        f"{len(report.kept)} kept because another source says so, {len(report.not_compared)} not compared{more}"
    )


def print_differences(found: list[Difference]) -> None:
    """As a diff: what stands here (-), what the index has (+)."""
    for component in dict.fromkeys(each.component for each in found):
        print(f"--- {component}.toml\n+++ index")
        for each in (each for each in found if each.component == component):
            print("\n".join(_lines(each)))


def _lines(each: Difference) -> list[str]:
    if each.kind == "new release":
        return [f"+release {each.release}: {'; '.join(each.theirs) or 'no Linux wheel'}  [{each.source}]"]
    if not each.release:
        return ["-all of it: the index has no such distribution"]
    if not each.key:
        return [f"-release {each.release}: {BY_HAND[each.kind]}  [{each.source}]".replace("  []", "")]
    note = "" if each.mendable else f"  ({BY_HAND[each.kind]})"
    lines = [f" release {each.release}  [{each.source}]{note}"]
    lines += [f"-  {each.key} {' or '.join(each.ours)}"] if each.ours else []
    return lines + ([f"+  {each.key} {' or '.join(each.theirs)}"] if each.theirs else [])
