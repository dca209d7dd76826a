"""Outcomes and errors as a person wants to read them. Imports rich only when something is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envctl.errors import EnvctlError

if TYPE_CHECKING:
    from rich.console import Console

    from envctl.bench.document import TaskMetric
    from envctl.verify.compare import Difference, Verdict
    from envctl.verify.tolerance import Tolerance


def error_text(error: EnvctlError) -> str:
    """What, because, do: plain text, one thought a line, sources in a column of their own."""
    width = max((len(reason.text) for reason in error.because if reason.source), default=0)
    width = min(width, 76)
    lines = [f"error: {error.what}"]
    lines += [f"  {reason.text:<{width}}  {reason.source}".rstrip() for reason in error.because]
    lines += [f"hint: {hint}" for hint in error.do]
    return "\n".join(lines)


STYLE = {"passed": "bold green", "failed": "bold red", "refused": "bold red", "built": "bold yellow"}


def status_line(console: Console, status: str, note: str) -> None:
    """The first line of a result."""
    from rich.text import Text

    said = Text(status.upper(), style=STYLE.get(status, "bold"))
    console.print(said + Text(f"  {note}" if note else ""))


def verdict_lines(verdict: Verdict, precision: str) -> list[tuple[str, str]]:
    """The tolerance, the worst tensor, and what would have passed: (label, text) each."""
    from envctl.verify.compare import rounded_up

    lines = [("tolerance", f"{precision} (read back): {limits(verdict.tolerance)}")]
    worst = verdict.worst
    if worst:
        lines.append(("worst", describe(worst)))
    if verdict.would_pass is not None:
        lines.append(("would pass", f"--atol {rounded_up(verdict.would_pass):.1e}"))
    return lines


def metric_line(found: TaskMetric) -> str:
    """A task's metric of both, and how sure the drop is."""
    output = f" of {found.output}" if found.output else ""
    return (
        f"{found.metric}{output}: reference {found.reference:.4f}, target {found.target:.4f}, drop {found.drop:+.4f} "
        f"(95 % between {found.low:+.4f} and {found.high:+.4f}; {found.samples} samples; {found.method})"
    )


def limits(row: Tolerance) -> str:
    """The limits of a precision's row."""
    said = f"cosine >= {row.cosine:g}, top-1 >= {row.top1:g}"
    return said if row.max_abs is None else f"max abs <= {row.max_abs:g}, p99.9 <= {row.p999_abs:g} (x scale), {said}"


def describe(difference: Difference) -> str:
    """One tensor's figures in a line."""
    from envctl.verify.compare import relative

    top1 = "n/a" if difference.top1 is None else f"{difference.top1:.4f}"
    shape = ",".join(map(str, difference.shape))
    return (
        f"{difference.output}[{shape}]: max abs {difference.max_abs:.1e} ({relative(difference):.1e} of scale "
        f"{difference.scale:.3g}), p99.9 {difference.p999_abs:.1e}, cosine {difference.cosine:.7f}, top-1 {top1}"
    )
