"""What a pickle would build and call, read from its instructions. Nothing of it is imported, called or made.

The instructions are walked with the standard library's `pickletools.genops`, which executes nothing. Calls become
`Thing`s, so that a checkpoint's tensors can be named with their types and shapes.
"""

from __future__ import annotations

import io
import pickletools
from dataclasses import dataclass, field
from typing import Any

from envctl.model.limits import Damaged, TooMuch

_MARK = object()
MAX_STEPS = 500_000  # a checkpoint of ten thousand tensors has so many
# what checkpoints of torch and arrays of numpy call to be built again
SAFE = ("torch._utils._rebuild_", "torch.storage.", "torch.nn.modules.", "torch.nn.parameter.", "torch._tensor.")
SAFE_NAMES = {
    "collections.OrderedDict", "collections.defaultdict", "torch.Size", "torch.device", "torch.Tensor",
    "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct", "numpy.ndarray", "numpy.dtype",
    "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "_codecs.encode", "copyreg._reconstructor",
    "builtins.object", "builtins.set", "builtins.dict", "builtins.list", "builtins.int", "builtins.complex",
    "builtins.bytearray", "builtins.slice", "builtins.range", "__builtin__.object", "__builtin__.set",
}  # fmt: skip
TYPES = {
    "float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool", "complex64",
    "complex128", "qint8", "quint8", "qint32", "uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2",
}  # fmt: skip


@dataclass(eq=False, slots=True)
class Thing:
    """Something that unpickling would import, call or ask for: `kind` is global, call or stored."""

    kind: str
    name: str
    parts: list[Any] = field(default_factory=list)


@dataclass(slots=True)
class Pickle:
    """One pickle: what it makes, and every name that it imports."""

    made: Any = None
    names: set[str] = field(default_factory=set)

    def foreign(self) -> list[str]:
        """Imported names that are not those of checkpoints."""
        return sorted(name for name in self.names if not _is_safe(name))


def _is_safe(name: str) -> bool:
    if name in SAFE_NAMES or name.startswith(SAFE):
        return True
    module, _, last = name.rpartition(".")
    return module == "torch" and (last.endswith("Storage") or last in TYPES)


def read_pickle(stream: io.BytesIO) -> Pickle:
    """The next pickle in a stream; raises `Damaged`."""
    machine = _Machine()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count > MAX_STEPS:
                raise TooMuch(f"more than {MAX_STEPS:,} instructions")
            machine.step(opcode.name, argument)
    except Damaged:
        raise
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise Damaged(f"its instructions end or go wrong: {str(error)[:120]}") from None
    found = machine.stack[-1] if machine.stack else None
    return Pickle(made=found, names=machine.names)


class _Machine:
    """A stack that holds inert things."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.names: set[str] = set()

    def step(self, name: str, argument: Any) -> None:
        """Follow one instruction; those that only make a number or text push their argument."""
        rule = getattr(self, f"do_{name.lower()}", None)
        if rule:
            rule(argument)
        elif name in ("NONE", "NEWTRUE", "NEWFALSE"):
            self.stack.append({"NEWTRUE": True, "NEWFALSE": False}.get(name))
        elif name.startswith(("BININT", "INT", "LONG", "FLOAT", "BINFLOAT")) or "UNICODE" in name or "STRING" in name:
            self.stack.append(argument)
        elif "BYTES" in name or name == "BYTEARRAY8":
            self.stack.append(b"")
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise Damaged(f"instruction {name}")

    def do_mark(self, _: Any) -> None:
        self.stack.append(_MARK)

    def _marked(self) -> list[Any]:
        """What stands above the last mark, which goes too."""
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise Damaged("an end without a beginning")
        found = self.stack[at + 1 :]
        del self.stack[at:]
        return found

    def do_pop(self, _: Any) -> None:
        self.stack.pop()

    def do_pop_mark(self, _: Any) -> None:
        self._marked()

    def do_dup(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def do_empty_tuple(self, _: Any) -> None:
        self.stack.append([])

    do_empty_list = do_empty_set = do_empty_tuple

    def do_tuple(self, _: Any) -> None:
        self.stack.append(self._marked())

    do_list = do_frozenset = do_tuple

    def do_tuple1(self, _: Any) -> None:
        self._gather(1)

    def do_tuple2(self, _: Any) -> None:
        self._gather(2)

    def do_tuple3(self, _: Any) -> None:
        self._gather(3)

    def _gather(self, count: int) -> None:
        found = self.stack[-count:]
        if len(found) < count:
            raise Damaged("an empty stack")
        del self.stack[-count:]
        self.stack.append(found)

    def do_empty_dict(self, _: Any) -> None:
        self.stack.append(Thing("dict", ""))

    def do_dict(self, _: Any) -> None:
        self.stack.append(Thing("dict", "", _pairs(self._marked())))

    def do_append(self, _: Any) -> None:
        value = self.stack.pop()
        self._extend([value])

    def do_appends(self, _: Any) -> None:
        self._extend(self._marked())

    do_additems = do_appends

    def do_setitem(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._extend(_pairs([key, value]))

    def do_setitems(self, _: Any) -> None:
        self._extend(_pairs(self._marked()))

    def _extend(self, values: list[Any]) -> None:
        target = self.stack[-1]
        (target.parts if isinstance(target, Thing) else target).extend(values)

    def do_global(self, argument: str) -> None:
        self._import(argument.replace(" ", ".", 1))

    def do_inst(self, argument: str) -> None:
        self._import(argument.replace(" ", ".", 1))
        target = self.stack.pop()
        self.stack.append(Thing("call", target.name, self._marked()))

    def do_stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self._import(f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else "a name it computes")

    def _import(self, name: str) -> None:
        self.names.add(name[:200])
        self.stack.append(Thing("global", name[:200]))

    def do_reduce(self, _: Any) -> None:
        arguments, target = self.stack.pop(), self.stack.pop()
        called = target.name if isinstance(target, Thing) else "?"
        self.stack.append(Thing("call", called, [arguments]))

    do_newobj = do_reduce

    def do_newobj_ex(self, argument: Any) -> None:
        self.stack.pop()
        self.do_reduce(argument)

    def do_obj(self, _: Any) -> None:
        parts = self._marked()
        self.stack.append(Thing("call", parts[0].name if parts and isinstance(parts[0], Thing) else "?", parts[1:]))

    def do_build(self, _: Any) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], Thing):
            self.stack[-1].parts.append(state)

    def do_binpersid(self, _: Any) -> None:
        self.stack.append(Thing("stored", "", [self.stack.pop()]))

    def do_persid(self, argument: str) -> None:
        self.stack.append(Thing("stored", str(argument)))

    def do_binput(self, argument: int) -> None:
        self.memo[argument] = self.stack[-1]

    do_put = do_long_binput = do_binput

    def do_memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def do_binget(self, argument: int) -> None:
        self.stack.append(self.memo[argument])

    do_get = do_long_binget = do_binget

    def do_ext1(self, argument: int) -> None:
        self._import(f"copyreg extension {argument}")

    do_ext2 = do_ext4 = do_ext1

    def do_next_buffer(self, _: Any) -> None:
        self.stack.append(b"")

    def do_readonly_buffer(self, _: Any) -> None:
        """Changes nothing here."""


def _pairs(values: list[Any]) -> list[Any]:
    return [Thing("pair", str(key)[:200] if isinstance(key, (str, int)) else "?", [value])
            for key, value in zip(values[::2], values[1::2], strict=False)]  # fmt: skip
