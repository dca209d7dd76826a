"""torch's archives: TorchScript, torch.export (.pt2), checkpoints. Their pickles are read and never executed.

https://github.com/pytorch/pytorch/blob/main/torch/csrc/jit/docs/serialization.md,
https://docs.pytorch.org/docs/stable/export/pt2_archive.html
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from envctl.model.archive import Archive
from envctl.model.facts import Format, ModelFacts, Op, Tensor
from envctl.model.limits import Damaged, small_enough
from envctl.model.pickles import Pickle, read_pickle
from envctl.model.torch_tensors import WIDTH, Stored, tensors

CODE = re.compile(r"(?<![\w.])(?:torch\.(\w+)|ops\.(\w+)\.(\w+))\(")
CODE_MAX = 32 << 20
UNTOLD = "TorchScript keeps no shapes and element types of inputs: give them to the exporter"


def is_export(archive: Archive) -> bool:
    """Whether it is an exported program, of torch 2.8 up or older."""
    return archive.inside("archive_format") or OLD_PROGRAM in archive.members


OLD_PROGRAM = "serialized_exported_program.json"


def read_export(path: Path, archive: Archive) -> ModelFacts:
    """The facts of an exported program."""
    from envctl.model.torch_export import facts

    name = OLD_PROGRAM
    if name not in archive.members:
        inside = f"{archive.root}/models/"
        names = sorted(each for each in archive.members if each.startswith(inside) and each.endswith(".json"))
        if not names:
            raise Damaged("it has no models/*.json")
        name = names[0]
    return facts(path, archive.read(name), others=[OLD_PROGRAM] if name == OLD_PROGRAM else names)


def read_checkpoint(path: Path, archive: Archive) -> ModelFacts:
    """The facts of `torch.save`'s archive: weights, or whole modules by their classes' names."""
    said = _pickle(archive, "data.pkl")
    return checkpoint(path, said, list(tensors(said.made)))


def checkpoint(path: Path, said: Pickle, stored: list[Stored]) -> ModelFacts:
    """The facts of a checkpoint of either kind."""
    known = {name for name in said.names if not name.startswith("torch._")}
    modules = sorted(name for name in known if name.startswith("torch.nn.modules.") or name in said.foreign())
    notes = ["a checkpoint has weights and no graph: export the model from the code that makes it (torch.export)"]
    if modules:
        notes.insert(0, f"a pickled module: it needs the classes {', '.join(modules[:6])}{' …' if modules[6:] else ''}")
    return _facts(path, "torch-checkpoint", stored, notes=notes, risks=risks(said))


def risks(said: Pickle) -> tuple[str, ...]:
    """What unpickling would import and call beyond tensors."""
    return tuple(f"unpickling imports and may call {name}" for name in said.foreign()[:20])


def read_script(path: Path, archive: Archive) -> ModelFacts:
    """The facts of a TorchScript archive: its main class' forward, the operators in its code, its weights."""
    said = _pickle(archive, "data.pkl")
    main = next((name for name in [getattr(said.made, "name", "")] if name.startswith("__torch__")), "")
    code, ops = _code(archive), Counter[Op]()
    for text in code.values():
        ops.update(("aten", plain) if plain else (space, name) for plain, space, name in CODE.findall(text))
    inputs, outputs, notes = _forward(main, code)
    foreign = [
        f"unpickling names {name}" for name in said.foreign() if not name.startswith(("__torch__", "torch.jit."))
    ]
    traced = _traced(archive)
    shapes = ", ".join(f"{dtype}[{','.join(map(str, shape))}]" for dtype, shape in traced)
    read = _facts(
        path, "torchscript", list(tensors(said.made)), inputs, outputs, ops,
        [*notes, *([f"traced with {shapes}"] if traced else []), UNTOLD], tuple(foreign[:20]),
        {"archive": _version(archive)},
    )  # fmt: skip
    return replace(read, traced=traced)


def _facts(
    path: Path, kind: Format, stored: list[Stored], inputs: Iterable[Tensor] = (), outputs: Iterable[Tensor] = (),
    ops: Counter[Op] | None = None, notes: Iterable[str] = (), risks: tuple[str, ...] = (),
    opsets: dict[str, int] | None = None,
) -> ModelFacts:  # fmt: skip
    return ModelFacts(
        path=path,
        format=kind,
        size=path.stat().st_size,
        producer="torch",
        opsets=opsets or {},
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        op_counts=dict(ops or {}),
        weights=frozenset(each.dtype for each in stored),
        parameters=sum(each.size for each in stored),
        parameter_bytes=sum(each.size * WIDTH.get(each.dtype, 0) for each in stored),
        notes=tuple(notes),
        risks=risks,
    )


def _pickle(archive: Archive, name: str) -> Pickle:
    return read_pickle(io.BytesIO(archive.read(f"{archive.root}/{name}")))


def _version(archive: Archive) -> int:
    said = archive.read(f"{archive.root}/version", 16) if archive.inside("version") else b"0"
    return int(said) if said.strip().isdigit() else 0


def _code(archive: Archive) -> dict[str, str]:
    """The archive's TorchScript by module name."""
    start = f"{archive.root}/code/"
    names = [name for name in archive.members if name.startswith(start) and name.endswith(".py")]
    small_enough(sum(archive.members[name].file_size for name in names), "code", CODE_MAX)
    return {
        name[len(start) : -3].replace("/", "."): archive.read(name, CODE_MAX).decode("utf-8", errors="replace")
        for name in names
    }


def _forward(main: str, code: dict[str, str]) -> tuple[list[Tensor], list[Tensor], list[str]]:
    module, _, name = main.rpartition(".")
    text = code.get(module, "")
    at = text.find(f"class {name}(Module):") if name else -1
    start = text.find("  def forward(", at)
    following = text.find("\nclass ", at)
    if at < 0 or start < 0 or (0 <= following < start):
        return [], [], ["its main class has no forward that can be read"]
    head = text[start + len("  def forward(") : start + (1 << 16)].split(":\n", 1)[0]
    arguments, _, gives = head.rpartition(") -> ")
    said = [each.strip() for each in _split(arguments)][1:]
    required = [each for each in said if "=" not in each]
    optional = [each.partition(":")[0] for each in said if "=" in each]
    notes = [f"optional arguments of forward: {', '.join(optional)}"] if optional else []
    return [_argument(each) for each in required], _results(gives.strip()), notes


def _split(said: str) -> list[str]:
    """At commas that stand in no brackets."""
    parts, depth = [""], 0
    for letter in said:
        depth += (letter in "[(") - (letter in "])")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part for part in parts if part.strip()]


def _argument(said: str) -> Tensor:
    name, _, kind = said.partition(":")
    kind = kind.strip()
    return Tensor(name=name.strip(), dtype="" if kind == "Tensor" else kind, shape=None)


def _results(kind: str) -> list[Tensor]:
    """TorchScript's results have no names: they are numbered."""
    if kind.startswith("Tuple[") and kind.endswith("]"):
        return [
            Tensor(name=f"output_{index}", dtype="" if each.strip() == "Tensor" else each.strip(), shape=None)
            for index, each in enumerate(_split(kind[6:-1]))
        ]
    return [Tensor(name="output", dtype="" if kind == "Tensor" else kind, shape=None)]


def _traced(archive: Archive) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """The types and shapes that a traced model was traced with, where torch kept them."""
    if not archive.inside("traced_inputs.pkl"):
        return ()
    try:
        found = tensors(_pickle(archive, "traced_inputs.pkl").made)
        return tuple((each.dtype, each.shape) for each in found)
    except Damaged:
        return ()
