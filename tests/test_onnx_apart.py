"""Half-precision graphs whose weights lie beside them: delivered in their own types, from a file of this size up."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import envctl
from tests.conftest import Ran

Program = Callable[..., Ran]
ORT = ("--ort", "1.31", "--runner", "local")
WIDE = 1200  # three layers of it are 8.6 MB in float16


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The worker's module; it travels, so it is no part of the package."""
    monkeypatch.syspath_prepend(str(Path(envctl.__file__).parent / "worker"))
    sys.modules.pop("onnx_apart", None)
    import onnx_apart  # type: ignore[import-not-found]

    return onnx_apart  # type: ignore[no-any-return]


def network(kind: type[np.generic]) -> onnx.ModelProto:
    """x [N,1200] -> y [N,5]: three wide layers and a last one, a branch with a weight of its own among them."""
    random, element = np.random.default_rng(0), helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    nodes, weights, last = [], [], "x"
    for index, out in enumerate((WIDE, WIDE, WIDE, 5)):
        values = random.normal(0, 1.4 / WIDE**0.5, (WIDE, out)).astype(kind)
        weights.append(numpy_helper.from_array(values, f"w{index}"))
        nodes.append(helper.make_node("MatMul", [last, f"w{index}"], [f"m{index}"], name=f"m{index}"))
        nodes.append(helper.make_node("Tanh", [f"m{index}"], [f"t{index}"], name=f"t{index}"))
        last = f"t{index}"
    constant = numpy_helper.from_array(random.normal(0, 1, 512).astype(kind), "c")
    nodes.append(helper.make_node("Constant", [], ["c"], name="c", value=constant))
    nodes.append(helper.make_node("ReduceMax", ["c"], ["peak"], keepdims=0, name="peak"))
    nodes.append(helper.make_node("Mul", [last, "peak"], ["y"], name="y"))
    ends = [helper.make_tensor_value_info(name, element, ["N", size]) for name, size in (("x", WIDE), ("y", 5))]
    graph = helper.make_graph(nodes, "wide", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def saved(model: onnx.ModelProto, folder: Path, *, one_file: bool) -> Path:
    """The model with every weight of a kilobyte or more beside it, attributes' too."""
    folder.mkdir()
    how = {"save_as_external_data": True, "convert_attribute": True, "size_threshold": 1000}
    onnx.save(
        model,
        str(folder / "wide.onnx"),
        all_tensors_to_one_file=one_file,
        location="wide.bin" if one_file else None,
        **how,
    )
    return folder / "wide.onnx"


@pytest.mark.parametrize("one_file", [True, False])
def test_a_copy_has_every_weight_in_the_one_file_beside_it(apart: ModuleType, tmp_path: Path, one_file: bool) -> None:
    model = network(np.float16)
    source = saved(onnx.ModelProto.FromString(model.SerializeToString()), tmp_path / "source", one_file=one_file)
    (tmp_path / "copy").mkdir()
    apart.copy(str(source), str(tmp_path / "copy" / "model.onnx"), "other.data")
    header = onnx.load(str(tmp_path / "copy" / "model.onnx"), load_external_data=False)
    places = [each for each in header.graph.initializer if each.data_location == TensorProto.EXTERNAL]
    assert len(places) == 4 and all(each.external_data[0].value == "other.data" for each in places)
    whole = onnx.load(str(tmp_path / "copy" / "model.onnx"))
    onnx.checker.check_model(whole, full_check=True)
    for before, after in zip(model.graph.initializer, whole.graph.initializer, strict=True):
        np.testing.assert_array_equal(numpy_helper.to_array(before), numpy_helper.to_array(after))
    before, after = (next(n for n in each.graph.node if n.name == "c").attribute[0].t for each in (model, whole))
    np.testing.assert_array_equal(numpy_helper.to_array(before), numpy_helper.to_array(after))


def test_weights_that_end_too_early_are_a_damaged_model(apart: ModuleType, tmp_path: Path) -> None:
    source = saved(network(np.float16), tmp_path / "source", one_file=True)
    with (source.parent / "wide.bin").open("r+b") as stream:
        stream.truncate(1 << 20)
    (tmp_path / "copy").mkdir()
    with pytest.raises(Exception, match=r"wide\.bin ends before the weights"):
        apart.copy(str(source), str(tmp_path / "copy" / "model.onnx"), "other.data")


@pytest.mark.engines
@pytest.mark.parametrize("kind", [np.float16, pytest.param(np.float32, marks=pytest.mark.slow)])
def test_half_precision_with_weights_beside_it_is_delivered_in_half_precision(
    envctl: Program, tmp_path: Path, kind: type[np.generic]
) -> None:
    """float16 of its author's, and float32 that is made float16 on the way."""
    source = saved(network(kind), tmp_path / "source", one_file=True)
    wish = ("--precision", "fp16", "-o", tmp_path / "out", "--json")
    ran = envctl("run", *ORT, "convert", source, *wish)
    assert (ran.code, ran.json["status"], ran.json["precision"]) == (0, "passed", "fp16"), ran.err
    made = onnx.load(str(tmp_path / "out" / "wide.ort.onnx"))  # with what lies beside it, under its new name
    assert {each.data_type for each in made.graph.initializer} == {TensorProto.FLOAT16}
    assert (tmp_path / "out" / "wide.ort.data").is_file() == (kind is np.float16)


@pytest.mark.parametrize("location", ["/etc/passwd", "../secret.bin", "in/../../secret.bin"])
def test_weights_outside_the_folder_are_never_opened(apart: ModuleType, tmp_path: Path, location: str) -> None:
    (tmp_path / "secret.bin").write_bytes(b"secret" * 10)
    weights = apart.Weights(str(tmp_path / "model"), (tmp_path / "made").open("wb"), "made")
    with pytest.raises(apart.StepFailed, match="outside the model's folder"):
        weights.take(location, 0, 10)
    weights.stream.close()
    assert (tmp_path / "made").read_bytes() == b""
