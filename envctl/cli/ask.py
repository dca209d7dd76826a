"""`envctl matrix ask | range`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from envctl.cli import options
from envctl.cli.screen import Screen, guarded

if TYPE_CHECKING:
    from envctl.matrix import Claim
    from envctl.question import Answer

Items = Annotated[
    list[str] | None, typer.Argument(metavar="ITEM ITEM…", help='For example "tensorrt==8.6.1" "gpu==9.0".')
]
Batch = Annotated[Path | None, typer.Option("--batch", help="A file of questions, one a line: ITEM ITEM …")]
CODES = {"compatible": 0, "incompatible": 3, "unknown": 1}


def ask(
    items: Items = None, batch: Batch = None, matrices: options.Matrices = None, as_json: options.Json = False
) -> None:
    """Say whether versions go together: compatible (exit code 0), incompatible (3) or unknown (1), and why."""
    from envctl.errors import BadInput
    from envctl.matrix import load
    from envctl.workflow import question

    screen = Screen(as_json)
    with guarded(screen):
        if bool(items) == bool(batch):
            raise BadInput("give items, or a file of them with --batch", do=['"tensorrt==8.6.1" "gpu==9.0"'])
        loaded = load(matrices)
        answers = list(question.ask_many(loaded, batch)) if batch else [("", question.ask(loaded, items or []))]
        if batch:
            _print_many(screen, answers)
        else:
            _print_one(screen, answers[0][1])
    raise typer.Exit(max(CODES[answer.verdict] for _, answer in answers) if answers else 0)


def _print_many(screen: Screen, answers: list[tuple[str, Answer]]) -> None:
    if screen.as_json:
        screen.print_json({"answers": [{"question": question} | _data(answer) for question, answer in answers]})
        return
    for question, answer in answers:
        print(f"{answer.verdict:<13} {question}" + (f"   ({answer.because})" if answer.because else ""))


def _print_one(screen: Screen, answer: Answer) -> None:
    from envctl.explain import claim_lines

    if screen.as_json:
        screen.print_json(_data(answer))
        return
    print(answer.verdict + (f": {answer.because}" if answer.because else ""))
    for text, claim in claim_lines(answer.chain):
        print(f"  {text}  [{claim.evidence}] {claim.source}")
    for text, claim in claim_lines(answer.contradicted):
        print(f"  another source: {text}  [{claim.evidence}] {claim.source}")
    if answer.nearest:
        print(f"nearest: {', '.join(answer.nearest)}")


def _data(answer: Answer) -> dict[str, Any]:
    """The answer as JSON."""
    return {
        "answer": answer.verdict,
        "because": answer.because,
        "asked": list(answer.facts),
        "chain": [_claim(claim) for claim in dict.fromkeys(answer.chain)],
        "contradicted_by": [_claim(claim) for claim in answer.contradicted],
        "nearest": list(answer.nearest),
    }


def _claim(claim: Claim) -> dict[str, Any]:
    return asdict(claim) | {"condition": list(claim.condition.any)}
