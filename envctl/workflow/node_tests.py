"""ONNX's node tests: brought as a locked wheel, read as a zip file, laid out for a worker."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envctl import lock, model
from envctl.aliases import Indexes
from envctl.errors import BadInput, JobFailed
from envctl.index import Question
from envctl.model import ModelFacts
from envctl.model.tensor_file import NotForNumpyError, read_tensor
from envctl.oci import wheels
from envctl.recipe import Packages
from envctl.spec import NodeTests
from envctl.tree import disk_errors

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

MEMBER = re.compile(r"(?P<case>[A-Za-z0-9_.-]+)/(?P<file>model\.onnx|test_data_set_0/(?:in|out)put_\d+\.pb)")
EXPANDED = re.compile(r"_expanded(_ver\d+)?$|_expanded_function.*$")


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One node test. `untold` says why its numbers cannot be given or compared; `op` is what it is about."""

    name: str
    op: str
    facts: ModelFacts
    expected: tuple[Array, ...]
    untold: str = ""


def bring(tests: NodeTests, platform: str, indexes: Indexes, *, offline: bool, say: Callable[[str], None]) -> Path:
    """The wheel that the tests come in, checked against the hash in its lock."""
    packages = Packages(
        requirements=(f"{tests.distribution}=={tests.version}",),
        index={},
        alone={tests.distribution: "its test data is read, nothing of it is run"},
    )
    question = Question(packages=packages, constraints=(), python=tests.python, platform=platform)
    what = f"{tests.distribution} {tests.version} (test data)"
    found = lock.answer(question, what, indexes, offline=offline, refresh=False, say=say)
    return wheels.bring(found, indexes, (), offline=offline, say=say)[found.packages[0].sha256]


def lay_out(wheel: Path, tests: NodeTests, folder: Path, ops: frozenset[str], names: str) -> list[Case]:
    """Write <folder>/<case>/model.onnx and inputs.npz for the cases about `ops` (all, if none) whose names match."""
    with zipfile.ZipFile(wheel) as archive, disk_errors(folder):
        members = _members(archive, tests.folder)
        if not members:
            raise JobFailed(f"{tests.distribution} {tests.version} brings no node tests")
        wanted = _pattern(names)
        chosen = [name for name in members if wanted.fullmatch(name)]
        cases = [_write(archive, name, members[name], folder) for name in chosen]
    about = _about(cases)
    cases = [replace(case, op=about[case.name]) for case in cases]
    if not cases:
        raise BadInput(
            f"--cases {names!r}: no node test is called so", do=["names are like test_conv_with_strides_padding"]
        )
    unknown = sorted(ops - {case.op for case in cases})
    if unknown:
        raise BadInput(f"--ops: no node test is about {unknown[0]}", do=["names are as ONNX writes them: Conv, LSTM"])
    return [case for case in cases if not ops or case.op in ops]


def _pattern(names: str) -> re.Pattern[str]:
    try:
        return re.compile(names or ".*")
    except re.error as error:
        raise BadInput(
            f"--cases {names!r} is no regular expression: {error}", do=["for example 'test_conv.*'"]
        ) from error


def _members(archive: zipfile.ZipFile, folder: str) -> dict[str, list[str]]:
    """The files of each case, by its name."""
    found: dict[str, list[str]] = {}
    for name in archive.namelist():
        inside = MEMBER.fullmatch(name.removeprefix(folder)) if name.startswith(folder) else None
        if inside:
            found.setdefault(inside["case"], []).append(name)
    return {case: found[case] for case in sorted(found)}


def _write(archive: zipfile.ZipFile, name: str, members: list[str], folder: Path) -> Case:
    import numpy as np

    own = folder / name
    own.mkdir(parents=True)
    path = own / "model.onnx"
    path.write_bytes(archive.read(next(each for each in members if each.endswith("model.onnx"))))
    facts = model.read(path)
    untold, inputs, outputs = "", {}, []
    try:
        given = [read_tensor(archive.read(each))[1] for each in _ends(members, "input_")]
        inputs = dict(zip([tensor.name for tensor in facts.inputs], given, strict=False))
        outputs = [read_tensor(archive.read(each))[1] for each in _ends(members, "output_")]
    except (NotForNumpyError, ValueError) as error:
        untold = str(error)
    others = [tensor for tensor in (*facts.inputs, *facts.outputs) if tensor.dtype in NOT_TENSORS]
    untold = f"{others[0].name} is a {others[0].dtype}" if others else untold
    np.savez(own / "inputs.npz", **inputs)  # type: ignore[arg-type]  # numpy's stub takes the names for options
    for each in own.iterdir():
        each.chmod(0o644)
    return Case(name=name, op="", facts=facts, expected=tuple(outputs), untold=untold)


NOT_TENSORS = ("sequence", "map", "optional", "sparse tensor", "unknown")


def _ends(members: list[str], kind: str) -> list[str]:
    """The files of inputs or outputs, in their order."""
    found = [each for each in members if f"/{kind}" in each]
    return sorted(found, key=lambda each: int(re.findall(r"_(\d+)\.pb$", each)[0]))


def _about(cases: list[Case]) -> dict[str, str]:
    """The operator that each case is about: the one there is; of a function written out, that of the case beside it."""
    single = {case.name: op for case in cases if (op := _single(case))}
    return {
        case.name: single.get(case.name) or single.get(EXPANDED.sub("", case.name)) or _likely(case) for case in cases
    }


def _single(case: Case) -> str:
    ops = sorted(op for _, op in case.facts.ops)
    return ops[0] if len(ops) == 1 else ""


def _likely(case: Case) -> str:
    """Of several operators the one that the case is called after, else the first."""
    plain = case.name.replace("_", "").lower()
    ops = sorted((op for _, op in case.facts.ops), key=lambda op: (op.lower() not in plain, -len(op), op))
    return ops[0] if ops else "none"
