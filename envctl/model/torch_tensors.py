"""The tensors of a torch checkpoint, found among what its pickle would call (torch._utils._rebuild_tensor_v2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from envctl.model.limits import elements
from envctl.model.pickles import Thing

STORAGES = {
    "Float": "float32", "Double": "float64", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64", "Int": "int32",
    "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool", "ComplexFloat": "complex64",
    "ComplexDouble": "complex128", "QInt8": "qint8", "QUInt8": "quint8", "QInt32": "qint32",
}  # fmt: skip
WIDTH = {
    "float32": 4, "float64": 8, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1,
    "bool": 1, "complex64": 8, "complex128": 16, "qint8": 1, "quint8": 1, "qint32": 4,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor of a checkpoint."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Its elements."""
        return elements(self.shape)


def tensors(made: Any) -> Iterator[Stored]:
    """The tensors inside what a pickle makes, each storage's view once, with the keys that lead to it."""
    waiting, seen, views = [(made, "")], set[int](), set[tuple[Any, ...]]()
    while waiting:
        thing, name = waiting.pop()
        if not isinstance(thing, (Thing, list)) or id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, Thing) and thing.kind == "call" and "_rebuild_tensor" in thing.name:
            found, view = _tensor(thing, name)
            if found and view not in views:
                views.add(view)
                yield found
            continue
        parts = thing if isinstance(thing, list) else thing.parts
        if isinstance(thing, Thing) and thing.kind == "pair":
            name = name if thing.name in HIDDEN else f"{name}.{thing.name}".lstrip(".")
        waiting += [(part, name) for part in reversed(parts)]


HIDDEN = {"_parameters", "_modules", "_buffers"}  # how a pickled module keeps its own; no part of a weight's name


def _tensor(thing: Thing, name: str) -> tuple[Stored | None, tuple[Any, ...]]:
    arguments = thing.parts[0] if thing.parts and isinstance(thing.parts[0], list) else []
    stored = arguments[0] if arguments and isinstance(arguments[0], Thing) else None
    place = stored.parts[0] if stored and stored.parts and isinstance(stored.parts[0], list) else []
    sizes = arguments[2] if len(arguments) > 2 and isinstance(arguments[2], list) else None
    if len(place) < 3 or not isinstance(place[1], Thing) or sizes is None or not all(_is_size(each) for each in sizes):
        return None, ()
    dtype = STORAGES.get(place[1].name.rpartition(".")[2].removesuffix("Storage"), "")
    return Stored(name, dtype, tuple(sizes)), (str(place[2]), str(arguments[1]), tuple(sizes))


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value < 1 << 48
