"""Whether `envctl.model.inspect` says of a file what its own framework says (`said.json` of tests/models/makers)."""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path
from typing import Any

from envctl import model
from envctl.model import ModelFacts, Tensor

Said = dict[str, Any]
SMALL = Path(__file__).parent / "models" / "small"
SAID: dict[str, Said] = {
    f"{kind.parent.name}/{name}": told
    for kind in sorted(SMALL.glob("*/said.json"))
    for name, told in json.loads(kind.read_text()).items()
}
TF, TORCH = SMALL / "tensorflow", SMALL / "torch"


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    """An archive with these members, packed as tight as it gets."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def assert_agrees(path: Path, said: Said) -> ModelFacts:
    """The facts, after they were compared with what the framework says."""
    facts = model.inspect(path)
    name = path.name
    if name.startswith("saved_model"):
        (keras_saved_model if "keras" in name else saved_model)(facts, said)
    elif name.endswith((".pb", ".pbtxt")):
        frozen(facts, said)
    elif name.endswith((".keras", ".h5")):
        keras(facts, said)
    elif name.endswith(".tflite"):
        tflite(facts, said)
    elif name.endswith((".pt", ".pt2")):
        torch(facts, said)
    else:
        engine(facts, said)
    return facts


def listed(tensors: tuple[Tensor, ...]) -> list[Said]:
    """Tensors as the makers write them."""
    return [{"name": t.name, "dtype": t.dtype, "shape": None if t.shape is None else list(t.shape)} for t in tensors]


def _name(tensor: Said) -> str:
    return str(tensor["name"])


def names(ops: Any) -> set[str]:
    """The operators' names without domains."""
    return {name for _, name in ops}


def saved_model(facts: ModelFacts, said: Said) -> None:
    assert (facts.format, facts.producer, facts.producer_version) == ("saved-model", "tensorflow", said["version"])
    assert facts.signature == "serving_default"
    found = {each.name: each for each in facts.signatures}
    assert set(found) == set(said["signatures"])
    for key, told in said["signatures"].items():
        for side in ("inputs", "outputs"):
            tensors: tuple[Tensor, ...] = getattr(found[key], side)
            assert {t.key: t.name for t in tensors} == said["names"][key][side]
            assert {t.key: list(t.shape or ()) for t in tensors} == told[side]
    assert names(facts.ops) == set(said["ops"])
    assert facts.parameters == said["parameters"]


def keras_saved_model(facts: ModelFacts, said: Said) -> None:
    assert (facts.format, facts.producer_version, facts.parameters) == (
        "saved-model",
        said["version"],
        said["parameters"],
    )
    assert {t.key: list(t.shape or ()) for t in facts.inputs} == said["inputs"]
    assert {t.key: list(t.shape or ()) for t in facts.outputs} == said["outputs"]


def frozen(facts: ModelFacts, said: Said) -> None:
    assert facts.format == "graph-def"
    assert sorted(listed(facts.inputs), key=_name) == sorted(said["inputs"], key=_name)
    told = {each["name"]: each["dtype"] for each in said["outputs"]}
    assert {t.name for t in facts.outputs} == set(told)
    # a type is told where the operator keeps that of its input, and nowhere wrongly
    assert all(t.dtype in ("", told[t.name]) for t in facts.outputs)
    assert names(facts.ops) == set(said["ops"])
    assert sorted(facts.nameable) == said.get("nodes", sorted(facts.nameable))


def keras(facts: ModelFacts, said: Said) -> None:
    # until Keras 2.12 a file that was called .keras was written as HDF5
    archive = facts.path.suffix == ".keras" and tuple(map(int, said["version"].split(".")[:2])) > (2, 12)
    assert facts.format == ("keras" if archive else "keras-h5")
    assert (facts.producer, facts.producer_version) == ("keras", said["version"])
    found, told = listed(facts.inputs), said["inputs"]
    if any(each["name"].startswith("keras_tensor") for each in told):  # Keras 3 names a Sequential's anew each time
        found, told = ([{**each, "name": ""} for each in side] for side in (found, told))
    assert found == told
    if said["outputs"]:
        assert [t.name for t in facts.outputs] == said["outputs"]
    for tensor, shape in zip(facts.outputs, said["output_shapes"], strict=True):
        assert tensor.shape is None or list(tensor.shape) == shape
    inner = {"Sequential", "Functional"}
    assert {name.rpartition(">")[2] for name in names(facts.ops)} - {"Lambda", "InputLayer"} == set(
        said["layers"]
    ) - inner - {"Lambda", "InputLayer"}
    assert facts.parameters == said["parameters"]


def tflite(facts: ModelFacts, said: Said) -> None:
    assert facts.format == "tflite"
    assert sorted(listed(facts.inputs), key=_name) == sorted(said["inputs"], key=_name)
    assert sorted(listed(facts.outputs), key=_name) == sorted(said["outputs"], key=_name)
    found = {
        each.name: {"inputs": sorted(t.key for t in each.inputs), "outputs": sorted(t.key for t in each.outputs)}
        for each in facts.signatures
    }
    assert found == {key: {side: sorted(each[side]) for side in each} for key, each in said["signatures"].items()}
    assert names(facts.ops) == set(said["ops"])


def torch(facts: ModelFacts, said: Said) -> None:
    assert facts.producer == "torch"
    state = said["state"].values()
    assert facts.parameters == sum(math.prod(shape) for _, shape in state)
    assert facts.parameter_bytes == 4 * facts.parameters
    if facts.format == "torch-export":
        assert facts.producer_version.split("+")[0] == said["version"]
        assert [t.name for t in facts.inputs] == said["inputs"]
        assert [t.name for t in facts.outputs] == said["outputs"]
        assert {f"{domain}.{name}" for domain, name in facts.ops} == set(said["ops"])
    elif facts.format == "torchscript":
        optional = [note for note in facts.notes if note.startswith("optional")]
        assert [t.name for t in facts.inputs] + [each.split(": ")[1] for each in optional] == said["inputs"]
        plain = {f"aten::{name}" for domain, name in facts.ops if domain == "aten"}
        assert plain <= set(said["kinds"])
    else:
        assert facts.format == "torch-checkpoint"


def engine(facts: ModelFacts, said: Said) -> None:
    if facts.format == "openvino-ir":
        assert listed(facts.inputs) == said["inputs"]
        assert listed(facts.outputs) == said["outputs"]
        assert facts.producer_version == said["version"]
        # the file says Const and ReLU where the runtime says Constant and Relu
        found = {"constant" if name == "Const" else name.lower() for name in names(facts.ops)}
        assert found == {name.lower() for name in said["ops"]}
    elif facts.format == "ncnn":
        assert [t.name for t in facts.inputs] == said["inputs"]
        assert [t.name for t in facts.outputs] == said["outputs"]
        assert dict(facts.op_counts) == {("ncnn", kind): said["layers"].count(kind) for kind in said["layers"]}
        return
    elif facts.format == "tensorrt-rtx-plan":
        assert facts.producer_version == said["version"]
    else:
        assert [t.name for t in facts.inputs] == said["inputs"]
        assert [t.name for t in facts.outputs] == said["outputs"]
        assert (facts.parameters, facts.producer_version) == (said["parameters"], said["version"])
