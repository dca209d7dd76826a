"""`envctl inspect MODEL`: what a model file is, and what it says of itself, without any framework."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from envctl.cli import options
from envctl.cli.screen import Screen, guarded

if TYPE_CHECKING:
    from envctl.model import ModelFacts, Tensor

app = typer.Typer(rich_markup_mode=None, add_completion=False)

WIDTH, LABEL, OPS_SHOWN = 100, 12, 40
TOGETHER = "\u00a0"  # no line ends here
Names = "NAME,…"
Inputs = Annotated[str, typer.Option("--inputs", metavar=Names, help="Take these; unknown names are refused.")]
Outputs = Annotated[str, typer.Option("--outputs", metavar=Names, help="The same for outputs.")]
Way = Annotated[str, typer.Option("--signature", metavar="NAME", help="Of several ways to call it, this one.")]


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(metavar="MODEL", help="A model file, or a SavedModel's folder.")],
    inputs: Inputs = "",
    outputs: Outputs = "",
    signature: Way = "",
    as_json: options.Json = False,
) -> None:
    """Say what a model is: format by content, inputs and outputs, versions, operators, weights, risks.

    Nothing of it is executed, no framework is needed. Exit code 2 for what is no model, damaged or hostile.
    """
    from envctl.workflow.inspect import data
    from envctl.workflow.inspect import inspect as look

    screen = Screen(as_json)
    with guarded(screen):
        facts = look(path, signature=signature, inputs=_names(inputs), outputs=_names(outputs))
        if as_json:
            screen.print_json(data(facts))
            return
        for label, text in _rows(facts):
            for index, line in enumerate(_wrapped(text)):
                print(f"{label if not index else '':<{LABEL}}{line}".rstrip())


def _names(said: str) -> list[str]:
    return [name.strip() for name in said.split(",") if name.strip()]


def _rows(facts: ModelFacts) -> Iterator[tuple[str, str]]:
    yield "format", _format(facts)
    if facts.producer:
        yield "producer", f"{facts.producer} {facts.producer_version}".strip()
    versions = [f"IR {facts.ir}"] if facts.ir else []
    versions += [f"{name} {version}" for name, version in sorted(facts.opsets.items())]
    if versions:
        yield "versions", ", ".join(versions)
    if facts.signatures:
        names = [f"{each.name} (shown)" if each.name == facts.signature else each.name for each in facts.signatures]
        yield "signatures", ", ".join(names)
    yield from _tensors("inputs", facts, facts.inputs)
    yield from _tensors("outputs", facts, facts.outputs)
    yield from _layouts(facts)
    yield from _content(facts)
    yield from ((label, text) for label, lines in (("note", facts.notes), ("RISK", facts.risks)) for text in lines)


def _format(facts: ModelFacts) -> str:
    size = facts.size / 1e6
    return f"{facts.format}, {f'{size:,.1f} MB' if size >= 0.1 else f'{facts.size:,} bytes'}"


def _tensors(label: str, facts: ModelFacts, tensors: tuple[Tensor, ...]) -> Iterator[tuple[str, str]]:
    """A line a tensor: name, type, shape, key."""
    width = min(48, max((len(each.name) for each in tensors), default=0))
    for index, each in enumerate(tensors):
        key = f"  key {each.key}" if each.key and each.key != each.name else ""
        yield label if not index else "", f"{each.name:<{width}}  {each.dtype or '?'}[{_shape(each)}]{key}"
    if label in facts.ambiguous:
        yield "", f"these are candidates, the graph does not say: name those that are meant with --{label}"


def _shape(tensor: Tensor) -> str:
    if tensor.shape is None:
        return "?"
    symbols = tensor.symbols or ("",) * len(tensor.shape)
    pairs = zip(tensor.shape, symbols, strict=True)
    return ",".join(symbol or "?" if size is None else str(size) for size, symbol in pairs)


def _layouts(facts: ModelFacts) -> Iterator[tuple[str, str]]:
    for each in facts.inputs:
        if each.layout:
            yield "layout", f"{each.key or each.name}: {each.layout} ({each.layout_why})"


def _content(facts: ModelFacts) -> Iterator[tuple[str, str]]:
    if facts.op_counts:
        yield "operators", _operators(facts)
    custom = ", ".join(f"{domain}:{name}" for domain, name in facts.custom_ops()[:OPS_SHOWN])
    if custom:
        yield "custom", f"{custom} (not the format's own)"
    if facts.parameters is not None:
        types = f" ({', '.join(sorted(facts.weights))})" if facts.weights else ""
        yield "parameters", f"{facts.parameters:,}{types}, {facts.parameter_bytes or 0:,} bytes"
    elif facts.parameter_bytes is not None:
        yield "parameters", f"{facts.parameter_bytes:,} bytes"
    for name in dict.fromkeys((*facts.external, *facts.missing)):
        yield "file", f"{name}{'  MISSING' if name in facts.missing else ''}"


def _operators(facts: ModelFacts) -> str:
    """The most frequent first, their domain left out."""
    ordered = sorted(facts.op_counts.items(), key=lambda each: (-each[1], each[0][1]))
    shown = [f"{name}{TOGETHER}{count}" for (_, name), count in ordered[:OPS_SHOWN]]
    left = len(ordered) - OPS_SHOWN
    return f"{sum(facts.op_counts.values())}: " + ", ".join(shown) + (f", and {left} more kinds" if left > 0 else "")


def _wrapped(text: str) -> list[str]:
    """The lines of a cell; control characters of a hostile name do not reach the terminal."""
    from textwrap import wrap

    shown = "".join(letter if letter.isprintable() or letter == TOGETHER else "�" for letter in text)
    if len(shown) <= WIDTH - LABEL:
        return [shown.replace(TOGETHER, " ")]
    lines = wrap(shown, WIDTH - LABEL, break_on_hyphens=False)
    return [line.replace(TOGETHER, " ") for line in lines] or [""]
