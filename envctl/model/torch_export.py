"""An exported program's JSON (.pt2): user inputs and outputs with types, shapes and named sizes, operators, weights.

https://github.com/pytorch/pytorch/blob/main/torch/_export/serde/schema.py names the fields and the element types.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from envctl.model.facts import ModelFacts, Op, Tensor
from envctl.model.keras_config import parsed
from envctl.model.layout import by_sizes
from envctl.model.limits import MAX_DEPTH, MAX_NODES, Damaged, at_most, elements
from envctl.model.torch_tensors import WIDTH

DTYPES = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64",
    9: "complex32", 10: "complex64", 11: "complex128", 12: "bool", 13: "bfloat16", 28: "uint16", 29: "float8_e4m3fn",
    30: "float8_e5m2", 31: "float8_e4m3fnuz", 32: "float8_e5m2fnuz",
}  # fmt: skip
ALSO = {**WIDTH, "uint16": 2, "float8_e4m3fn": 1, "float8_e5m2": 1, "float8_e4m3fnuz": 1, "float8_e5m2fnuz": 1}


def facts(path: Path, content: bytes, others: list[str]) -> ModelFacts:
    """The facts of a program's JSON; `others` are the archive's programs."""
    program = parsed(content)
    module = _record(_record(program).get("graph_module"))
    graph, signature = _record(module.get("graph")), _record(module.get("signature"))
    values = _record(graph.get("tensor_values"))
    if not graph or not signature:
        raise Damaged("it has no graph with a signature")
    opset = {name: v for name, v in _record(program.get("opset_version")).items() if isinstance(v, int)}
    stored = [each for each in map(_sizes, _stored(signature, values)) if each]
    notes = [f"it holds {len(others)} programs; this is {others[0].rpartition('/')[2]}"] if len(others) > 1 else []
    return ModelFacts(
        path=path,
        format="torch-export",
        size=path.stat().st_size,
        producer="torch",
        producer_version=str(program.get("torch_version") or "")[:80],
        opsets=opset,
        inputs=tuple(map(by_sizes, _ends(signature.get("input_specs"), "user_input", values))),
        outputs=tuple(_ends(signature.get("output_specs"), "user_output", values)),
        op_counts=dict(_ops(graph)),
        weights=frozenset(dtype for dtype, _ in stored),
        parameters=sum(count for _, count in stored),
        parameter_bytes=sum(count * ALSO.get(dtype, 0) for dtype, count in stored),
        notes=tuple(notes),
    )


def _ends(specs: Any, kind: str, values: dict[str, Any]) -> list[Tensor]:
    found = []
    for index, spec in enumerate(_list(specs)):
        if kind in _record(spec):
            argument = _record(_record(_record(spec)[kind]).get("arg"))
            name = _record(argument.get("as_tensor")).get("name")
            if isinstance(name, str):
                found.append(_tensor(name, _record(values.get(name))))
            elif argument and "as_none" not in argument:
                found.append(
                    Tensor(name=f"argument {index}", dtype=next(iter(argument)).removeprefix("as_"), shape=None)
                )
    return found


def _tensor(name: str, meta: dict[str, Any]) -> Tensor:
    sizes = [_record(size) for size in at_most(MAX_DEPTH, "sizes in a shape", _list(meta.get("sizes")))]
    shape = tuple(size["as_int"] if isinstance(size.get("as_int"), int) else None for size in sizes)
    symbols = tuple(str(_record(size.get("as_expr")).get("expr_str") or "")[:40] for size in sizes)
    dtype = meta.get("dtype")
    return Tensor(
        name=name,
        dtype=DTYPES.get(dtype, f"type {dtype}") if isinstance(dtype, int) else "",
        shape=shape if meta else None,
        symbols=symbols if any(symbols) else (),
    )


def _stored(signature: dict[str, Any], values: dict[str, Any]) -> list[dict[str, Any]]:
    """The descriptions of parameters, buffers and constants."""
    found = []
    for spec in _list(signature.get("input_specs")):
        for kind in ("parameter", "buffer", "tensor_constant"):
            name = _record(_record(_record(spec).get(kind)).get("arg")).get("name")
            if isinstance(name, str):
                found.append(_record(values.get(name)))
    return found


def _sizes(meta: dict[str, Any]) -> tuple[str, int] | None:
    if not meta:
        return None
    tensor = _tensor("", meta)
    return tensor.dtype, elements(size or 0 for size in tensor.shape or ())


def _ops(graph: dict[str, Any]) -> Counter[Op]:
    """`torch.ops.aten.conv2d.default` is (aten, conv2d.default)."""
    found: Counter[Op] = Counter()
    for node in at_most(MAX_NODES, "nodes", _list(graph.get("nodes"))):
        target = str(_record(node).get("target") or "")[:200]
        name = target.removeprefix("torch.ops.")
        domain, _, op = name.partition(".")
        found[(domain, op) if name != target else ("python", target)] += 1
    return found


def _record(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
