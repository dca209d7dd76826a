"""A Keras model's configuration (JSON), of Keras 2 or 3: inputs, outputs, layers, and the code that it would run.

Both dialects were measured (tests/models/makers/keras_files.py): Keras 2 says `batch_input_shape` and
`[['image', 0, 0]]`, Keras 3 `batch_shape` and, for a single input, a flat `['image', 0, 0]`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from envctl.model.facts import CUSTOM, Op, Tensor
from envctl.model.layout import by_format
from envctl.model.limits import MAX_DEPTH, MAX_NODES, Damaged, TooMuch

DOMAIN = "keras"
CONTAINERS = ("Functional", "Sequential", "Model")
SAME = {"Activation", "Softmax", "ReLU", "LeakyReLU", "Dropout", "BatchNormalization", "LayerNormalization"}


@dataclass(kw_only=True, slots=True)
class Net:
    """What the configuration tells."""

    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    layers: Counter[Op] = field(default_factory=Counter)
    formats: set[str] = field(default_factory=set)
    risks: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def parsed(content: bytes | str) -> Any:
    """JSON, as data; raises `Damaged`."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"no JSON: {str(error)[:120]}") from None


def net_of(config: Any) -> Net:
    """The facts of a model's configuration; raises `Damaged` for one without layers."""
    net = Net()
    kind, inner = _class(config), _inner(config)
    for layer in _layers(config, 0):
        _count(layer, net)
    if kind not in CONTAINERS or not isinstance(inner.get("layers"), list):
        net.notes.append(f"{kind or 'it'} is a class of the author's: inputs and outputs are in its code only")
        return net
    own = [layer for layer in inner["layers"] if isinstance(layer, dict)]
    if kind == "Sequential":
        _sequential(own, inner, net)
    else:
        _functional(own, inner, net)
    net.inputs = [by_format(each, net.formats) for each in net.inputs]
    if any(each.shape is None for each in net.outputs):
        net.notes.append("shapes of outputs are not stored in the file")
    return net


def _functional(layers: list[dict[str, Any]], inner: dict[str, Any], net: Net) -> None:
    by_name = {_name(layer): layer for layer in layers}
    net.inputs = [_input(by_name.get(name, {}), name) for name in _ends(inner.get("input_layers"))]
    net.outputs = [_output(by_name.get(name, {}), name) for name in _ends(inner.get("output_layers"))]


def _sequential(layers: list[dict[str, Any]], inner: dict[str, Any], net: Net) -> None:
    if not layers:
        return
    first, last = layers[0], layers[-1]
    if _class(first) == "InputLayer":
        net.inputs = [_input(first, _name(first))]
    else:  # Keras 2 keeps the shape in the first real layer, or only that it was built with
        shape = _inner(first).get("batch_input_shape") or inner.get("build_input_shape")
        net.inputs = [Tensor(name=f"{_name(first)}_input", dtype=_dtype(_inner(first)), shape=_shape(shape))]
    if last is not first or _class(first) != "InputLayer":
        net.outputs = [_output(last, _name(last))]


def _ends(said: Any) -> list[str]:
    """The names in `['a', 0, 0]`, `[['a', 0, 0], …]` or `{'key': ['a', 0, 0]}`."""
    if isinstance(said, dict):
        return [name for value in said.values() for name in _ends(value)]
    if isinstance(said, list) and said and isinstance(said[0], str):
        return [said[0]]
    if isinstance(said, list):
        return [each[0] for each in said if isinstance(each, list) and each and isinstance(each[0], str)]
    return []


def _input(layer: dict[str, Any], name: str) -> Tensor:
    inner = _inner(layer)
    return Tensor(
        name=name, dtype=_dtype(inner), shape=_shape(inner.get("batch_shape", inner.get("batch_input_shape")))
    )


def _output(layer: dict[str, Any], name: str) -> Tensor:
    """An output with its shape where the layer's own settings settle it."""
    inner, build = _inner(layer), layer.get("build_config")
    before = _shape(build.get("input_shape") if isinstance(build, dict) else None)
    shape, units = None, inner.get("units")
    if before and _class(layer) == "Dense" and isinstance(units, int):
        shape = (*before[:-1], units)
    elif before and _class(layer) in SAME:
        shape = before
    return Tensor(name=name, dtype=_dtype(inner), shape=shape)


def _count(layer: dict[str, Any], net: Net) -> None:
    kind, inner = _class(layer), _inner(layer)
    net.layers[_domain(layer), kind] += 1
    if inner.get("data_format") in ("channels_last", "channels_first") and "Conv" in kind:
        net.formats.add(str(inner["data_format"]).removeprefix("channels_"))
    # the code is stored as bytecode or source, and run when the model is loaded or called
    if kind == "Lambda" or _has_code(inner, 0):
        net.risks.append(f"{kind} layer {_name(layer)!r} carries Python code that loading or calling the model runs")


def _has_code(value: Any, depth: int) -> bool:
    """Whether a stored function is somewhere inside."""
    if depth > MAX_DEPTH:
        raise TooMuch(f"settings nested more than {MAX_DEPTH} deep")
    if isinstance(value, dict):
        if value.get("class_name") == "__lambda__":
            return True
        return any(_has_code(each, depth + 1) for key, each in value.items() if key != "layers")
    return isinstance(value, list) and any(_has_code(each, depth + 1) for each in value)


def _domain(layer: dict[str, Any]) -> str:
    """`keras` for its own layers; a layer of the author's has a package in its registered name, or another module."""
    module, registered = layer.get("module"), layer.get("registered_name")
    if isinstance(registered, str) and ">" in registered:
        return CUSTOM
    if isinstance(module, str) and module.split(".")[0] not in ("keras", "tf_keras"):
        return CUSTOM
    return CUSTOM if ">" in _class(layer) else DOMAIN


def _layers(config: Any, depth: int) -> Iterator[dict[str, Any]]:
    """Every layer, those of models inside the model too (the inner models themselves are no layers)."""
    if depth > MAX_DEPTH:
        raise TooMuch(f"models nested more than {MAX_DEPTH} deep")
    inner = _inner(config).get("layers")
    for index, layer in enumerate(inner if isinstance(inner, list) else []):
        if index > MAX_NODES or not isinstance(layer, dict):
            raise Damaged("a layer is no record")
        if isinstance(_inner(layer).get("layers"), list):
            yield from _layers(layer, depth + 1)
        else:
            yield layer
        wrapped = _inner(layer).get("layer")
        if isinstance(wrapped, dict) and depth < MAX_DEPTH:  # TimeDistributed, Bidirectional
            yield wrapped


def _class(layer: Any) -> str:
    return str(layer.get("class_name") or "") if isinstance(layer, dict) else ""


def _inner(layer: Any) -> dict[str, Any]:
    inner = layer.get("config") if isinstance(layer, dict) else None
    if isinstance(inner, list):  # Sequential, before Keras 2.3
        return {"layers": inner}
    return inner if isinstance(inner, dict) else {}


def _name(layer: dict[str, Any]) -> str:
    return str(_inner(layer).get("name") or layer.get("name") or "")


def _dtype(inner: dict[str, Any]) -> str:
    said = inner.get("dtype")
    if isinstance(said, dict):  # a policy
        said = _inner(said).get("name")
    return {"string": "str", "mixed_float16": "float32", "mixed_bfloat16": "float32"}.get(str(said), str(said or ""))


def _shape(said: Any) -> tuple[int | None, ...] | None:
    if not isinstance(said, list) or len(said) > MAX_DEPTH:
        return None
    return tuple(size if isinstance(size, int) and size >= 0 else None for size in said)
