"""`envctl compare` and `envctl bench`: the same options, the same measurement, the same report."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from envctl.cli import groups, options, reported
from envctl.cli.screen import Screen, guarded

if TYPE_CHECKING:
    from envctl.bench.document import Kind
    from envctl.workflow.comparison import Comparison

Locks = Annotated[list[Path], typer.Option("--lock", metavar="FILE", help="The engine as this lock has it.")]
Precisions = Annotated[str, typer.Option("--precision", metavar="P,…", help="fp32, fp16, bf16, int8; else as it is.")]
Batches = Annotated[str, typer.Option("--batch", metavar="N,…", help="Batches; the first axis must be open.")]
Threads = Annotated[str, typer.Option("--threads", metavar="N,…", help="Threads of the engine; 0: its own choice.")]
Colocate = Annotated[int, typer.Option("--colocate", min=1, max=256, help="Copies of each cell that run at once.")]
Rounds = Annotated[int, typer.Option("--rounds", min=2, max=1000, help="Rounds; up to 3 times as many if they vary.")]
Seconds = Annotated[float, typer.Option("--seconds", min=0.01, max=3600, help="Of one cell's turn in a round.")]
Searched = Annotated[bool, typer.Option("--throughput/--no-throughput", help="Search for the best throughput.")]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="FILE.json, written as figures come.")]
Resume = Annotated[
    Path | None, typer.Option("--resume", metavar="FILE", help="Go on: measure what FILE lacks, and what ended badly.")
]
Timeout = Annotated[int, typer.Option("--timeout", min=1, help="Seconds of one step or turn of a worker.")]


def command(kind: Kind) -> Callable[..., None]:
    """The command of that name."""

    def measure(
        *,
        model: options.Model,
        pinned: groups.Pinned,
        pin: options.Pins = [],  # noqa: B006
        lock: Locks = [],  # noqa: B006
        gpu: options.Gpu = None,
        precision: Precisions = "",
        batch: Batches = "",
        threads: Threads = "0",
        colocate: Colocate = 1,
        rounds: Rounds = 5,
        seconds: Seconds = 0.5,
        throughput: Searched = True,
        output: Output = None,
        resume: Resume = None,
        input: options.Input = "seeded",
        how: groups.Inference,
        judged: groups.Judged,
        limits: groups.Limits,
        memory: options.Memory = None,
        timeout: Timeout = 600,
        where: groups.Where,
        keep: options.Keep = False,
        sort: reported.SortBy = "latency",
        csv: reported.Csv = False,
        markdown: reported.Markdown = False,
        html: reported.Html = None,
        against: reported.OldFile = None,
        as_json: options.Json = False,
    ) -> None:
        given = locals() | how | judged | limits | where
        screen = Screen(as_json)
        with guarded(screen):
            from envctl.host import start_probes

            probes = start_probes()  # they run while the rest is being imported
            shown = reported.wanted(given)
            from envctl.workflow.compare import compare
            from envctl.workflow.comparison import exit_code

            document = compare(_wanted(kind, given), screen, probes)
            screen.quiet()
            worse = reported.show(document, shown, screen)
        raise typer.Exit(exit_code(document) or worse)

    return groups.grouped(measure)


def _wanted(kind: Kind, given: dict[str, Any]) -> Comparison:
    from envctl.cli.measured import comparison

    defaults = {name: each.default for name, each in inspect.signature(command(kind)).parameters.items()}
    wanted = comparison(kind, given, defaults)
    if kind == "bench" or wanted.output:
        return wanted
    # it may take long, and --resume needs what was done
    return replace(wanted, output=Path("envctl-out") / f"{given['model'].stem}.compare.json")
