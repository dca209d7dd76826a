"""Names that a person gives for inputs, outputs and a signature, checked against the model."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace

from envctl.errors import BadInput
from envctl.model.facts import ModelFacts, Signature, Tensor

SHOWN = 12


def chosen(
    facts: ModelFacts, *, signature: str = "", inputs: Sequence[str] = (), outputs: Sequence[str] = ()
) -> ModelFacts:
    """The facts with that signature, and with those inputs and outputs in that order; `BadInput` for an unknown name.

    `x` and `x:0` are the same, and so is the key of a signature. Of a graph without signatures (GraphDef, ONNX's graph
    has them) every node may be named: that is how a graph is cut.
    """
    if signature:
        facts = with_signature(facts, signature)
    if inputs:
        facts = _settled(replace(facts, inputs=_named(facts, "inputs", facts.inputs, inputs)), "inputs")
    if outputs:
        facts = _settled(replace(facts, outputs=_named(facts, "outputs", facts.outputs, outputs)), "outputs")
    return facts


def with_signature(facts: ModelFacts, name: str) -> ModelFacts:
    """The facts with the inputs and outputs of that signature."""
    found = next((each for each in facts.signatures if each.name == name), None)
    if found is None:
        names = [each.name for each in facts.signatures]
        raise BadInput(f"{facts.path} has no signature {name!r}", do=_near(name, names, "its signatures"))
    return _settled(_called(facts, found), "signature")


def _called(facts: ModelFacts, way: Signature) -> ModelFacts:
    return replace(facts, signature=way.name, inputs=way.inputs, outputs=way.outputs)


def _settled(facts: ModelFacts, what: str) -> ModelFacts:
    return replace(facts, ambiguous=tuple(each for each in facts.ambiguous if each != what))


def _named(facts: ModelFacts, what: str, candidates: Sequence[Tensor], wanted: Sequence[str]) -> tuple[Tensor, ...]:
    found: list[Tensor] = []
    for name in wanted:
        tensor = _find(facts, candidates, name)
        if tensor is None:
            names = [each.key or each.name for each in candidates]
            do = _near(name, [*names, *(each.name for each in candidates), *facts.nameable], f"its {what}", names)
            raise BadInput(f"--{what} {name}: {facts.path} has no such {what[:-1]}", do=do)
        if tensor in found:
            raise BadInput(f"--{what} names {name} twice", do=["name each once"])
        found.append(tensor)
    return tuple(found)


def _find(facts: ModelFacts, candidates: Sequence[Tensor], name: str) -> Tensor | None:
    for tensor in candidates:
        if name in (tensor.name, tensor.key) or f"{name}:0" == tensor.name:
            return tensor
    node, colon, port = name.partition(":")
    if node in facts.nameable and (port.isdigit() or not colon):
        return Tensor(name=name if colon else f"{name}:0", dtype="", shape=None)
    return None


def _near(name: str, names: Sequence[str], title: str, shown: Sequence[str] = ()) -> list[str]:
    """The nearest name, and the names that there are."""
    close = difflib.get_close_matches(name, names, n=1) if len(names) <= 20_000 else []
    listed = list(dict.fromkeys(shown or names))
    every = f"{title}: {', '.join(listed[:SHOWN])}{' …' if len(listed) > SHOWN else ''}" if listed else f"{title}: none"
    return [*(f"did you mean {each}?" for each in close), every]
