"""`envctl inspect`: a model's facts, with the names that were given checked against it, and the same as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from envctl import model
from envctl.model import ModelFacts, Signature, Tensor
from envctl.model.names import chosen


def inspect(path: Path, *, signature: str, inputs: Sequence[str], outputs: Sequence[str]) -> ModelFacts:
    """The facts of a model; raises `BadInput` for what is none, and for names that it has not."""
    return chosen(model.inspect(path), signature=signature, inputs=inputs, outputs=outputs)


def data(facts: ModelFacts) -> dict[str, Any]:
    """The facts as plain data, in the order of their names."""
    custom = set(facts.custom_ops())
    ops = [
        {"domain": domain, "name": name, "count": count, "custom": (domain, name) in custom}
        for (domain, name), count in sorted(facts.op_counts.items())
    ]
    external = [{"name": name, "there": name not in facts.missing} for name in facts.external]
    absent = [{"name": name, "there": False} for name in facts.missing if name not in facts.external]
    return {
        "path": str(facts.path),
        "format": facts.format,
        "size": facts.size,
        "producer": facts.producer,
        "producer_version": facts.producer_version,
        "ir": facts.ir or None,
        "opsets": dict(facts.opsets),
        "signature": facts.signature or None,
        "signatures": [signature_data(each) for each in facts.signatures],
        "inputs": [tensor_data(each) for each in facts.inputs],
        "outputs": [tensor_data(each) for each in facts.outputs],
        "ambiguous": list(facts.ambiguous),
        "ops": ops,
        "parameters": facts.parameters,
        "parameter_bytes": facts.parameter_bytes,
        "weights": sorted(facts.weights),
        "external": external + absent,
        "notes": list(facts.notes),
        "risks": list(facts.risks),
    }


def signature_data(way: Signature) -> dict[str, Any]:
    """A signature as plain data."""
    ends = {"inputs": way.inputs, "outputs": way.outputs}
    return {"name": way.name, **{key: [tensor_data(each) for each in ends[key]] for key in ends}}


def tensor_data(tensor: Tensor) -> dict[str, Any]:
    """An input or output as plain data; a size that has a name is its name."""
    sizes = None
    if tensor.shape is not None:
        symbols = tensor.symbols or ("",) * len(tensor.shape)
        sizes = [
            symbol if size is None and symbol else size for size, symbol in zip(tensor.shape, symbols, strict=True)
        ]
    return {
        "name": tensor.name,
        "key": tensor.key or None,
        "dtype": tensor.dtype or None,
        "shape": sizes,
        "layout": tensor.layout or None,
        "layout_why": tensor.layout_why or None,
    }
