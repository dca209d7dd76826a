"""`envctl matrix ask | range`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from envctl.cli import options
from envctl.cli.screen import Screen, guarded

if TYPE_CHECKING:
    from envctl.question import Answer
    from envctl.release import Claim

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


def range_(
    items: Annotated[list[str], typer.Argument(metavar="ITEM… NAME", help='For example "tensorflow==2.15" python.')],
    matrices: options.Matrices = None,
    as_json: options.Json = False,
) -> None:
    """Say which versions of NAME go with the items, and which facts draw the line (exit code 1: nobody says)."""
    from envctl.matrix import load
    from envctl.question import Answer
    from envctl.workflow import question

    screen = Screen(as_json)
    with guarded(screen):
        found = question.range_of(load(matrices), items)
        if isinstance(found, Answer):
            _print_one(screen, found)
            raise typer.Exit(CODES[found.verdict])
        if as_json:
            ranges, chain = list(found.ranges), [_claim(claim) for claim in found.chain]
            screen.print_json({"name": found.name, "range": ranges, "admitted": list(found.versions), "chain": chain})
            return
        print(f"{found.name} {' or '.join(found.ranges) or 'none'}")
        _print_claims(found.chain)


def _print_many(screen: Screen, answers: list[tuple[str, Answer]]) -> None:
    if screen.as_json:
        screen.print_json({"answers": [{"question": question} | _data(answer) for question, answer in answers]})
        return
    for question, answer in answers:
        print(f"{answer.verdict:<13} {question}" + (f"   ({answer.because})" if answer.because else ""))


def _print_one(screen: Screen, answer: Answer) -> None:
    if screen.as_json:
        screen.print_json(_data(answer))
        return
    print(answer.verdict + (f": {answer.because}" if answer.because else ""))
    _print_claims(answer.chain)
    _print_claims(answer.contradicted, "another source: ")
    if answer.nearest:
        print(f"nearest: {', '.join(answer.nearest)}")


def _print_claims(claims: tuple[Claim, ...], before: str = "") -> None:
    from envctl.explain import claim_lines

    for text, claim in claim_lines(claims):
        print(f"  {before}{text}  [{claim.evidence}] {claim.source}")


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
