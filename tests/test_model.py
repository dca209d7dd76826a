"""The header reader says of every model what the onnx package says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, helper, numpy_helper

from envctl import model
from envctl.model.onnx_header import DTYPES
from tests.models import bad as bad_models
from tests.models import zoo as zoo_models
from tests.models.graph import Graph, save

LIGHT = sorted((Path(onnx.__file__).parent / "backend" / "test" / "data" / "light").glob("light_*.onnx"))


def graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """A graph and those in its nodes' attributes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.type == AttributeProto.GRAPH else attribute.graphs:
                yield from graphs(inner)


def dtype_name(kind: int) -> str:
    """numpy's or ml-dtypes' name of an ONNX element type."""
    return np.dtype(helper.tensor_dtype_to_np_dtype(kind)).name if kind != TensorProto.STRING else "str"


def tensors(values: list[onnx.ValueInfoProto]) -> list[tuple[str, str, tuple[int | None, ...]]]:
    """Name, element type and shape (None for a size that is left open) of graph inputs or outputs."""
    found = []
    for value in values:
        kind = value.type.tensor_type
        shape = tuple(d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim)
        found.append((value.name, dtype_name(kind.elem_type), shape))
    return found


def assert_agrees(path: Path) -> None:
    """Our reader and the onnx package say the same of a model."""
    facts, truth = model.read(path), onnx.load(str(path), load_external_data=False)
    everything = list(graphs(truth.graph))
    stored = {tensor.name for tensor in truth.graph.initializer}
    inputs = [value for value in truth.graph.input if value.name not in stored]
    assert (facts.format, facts.size, facts.ir) == ("onnx", path.stat().st_size, truth.ir_version)
    assert facts.producer == truth.producer_name
    assert facts.opsets == {entry.domain or "ai.onnx": entry.version for entry in truth.opset_import}
    assert [(t.name, t.dtype, t.shape) for t in facts.inputs] == tensors(inputs)
    assert [(t.name, t.dtype, t.shape) for t in facts.outputs] == tensors(list(truth.graph.output))
    nodes = [node for graph in everything for node in graph.node]
    assert facts.ops == {(node.domain or "ai.onnx", node.op_type) for node in nodes}
    attributes = [a.t for node in nodes for a in node.attribute if a.type == AttributeProto.TENSOR]
    weights = [tensor for graph in everything for tensor in graph.initializer] + attributes
    assert facts.weights == {dtype_name(tensor.data_type) for tensor in weights}


@pytest.mark.parametrize("name", [maker.__name__ for maker in zoo_models.MODELS])
def test_zoo_models_are_read_as_onnx_reads_them(zoo: dict[str, Path], name: str) -> None:
    assert_agrees(zoo[name])


def test_trained_and_large_models_are_read_as_onnx_reads_them(digits: Path, mobilenet: Path) -> None:
    assert_agrees(digits)
    assert_agrees(mobilenet)


@pytest.mark.parametrize("path", LIGHT, ids=lambda path: path.stem)
def test_the_light_models_of_onnx_are_read_as_onnx_reads_them(path: Path) -> None:
    """Exported by several frameworks in IR 3, where every weight stands among the inputs too."""
    assert_agrees(path)


def test_all_nine_light_models_are_there() -> None:
    assert len(LIGHT) == 9


def test_the_element_types_are_onnx_s_own() -> None:
    known = {value: name for name, value in TensorProto.DataType.items() if name != "UNDEFINED"}
    assert set(DTYPES) >= set(known)
    assert {kind: DTYPES[kind] for kind in known if kind != TensorProto.STRING} == {
        kind: dtype_name(kind) for kind in known if kind != TensorProto.STRING
    }


def small(**changes: object) -> ModelProto:
    """From "x" [1,4] -> Relu -> "y" [1,4]."""
    graph = Graph("small")
    graph.op("Relu", "x", out="y")
    made = graph.model({"x": [1, 4]}, {"y": [1, 4]})
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def put(folder: Path, made: ModelProto) -> Path:
    """The path of a model written without any check."""
    return bad_models.put(folder / "model.onnx", made.SerializeToString())


def test_a_subgraph_s_ops_and_weights_are_met_but_its_names_hide_no_input(tmp_path: Path) -> None:
    """A constant inside a branch may be called as the model's input is."""
    value = numpy_helper.from_array(np.ones(4, np.float16), "x")
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["c"], value=value), helper.make_node("Cast", ["c"], ["out"], to=1)],
        "branch",
        [],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [4])],
        [numpy_helper.from_array(np.ones(4, np.int8), "x")],
    )
    made = small()
    made.graph.node.append(helper.make_node("If", ["cond"], ["z"], then_branch=branch, else_branch=branch))
    made.graph.input.append(helper.make_tensor_value_info("cond", TensorProto.BOOL, []))
    facts = model.read(put(tmp_path, made))
    assert [tensor.name for tensor in facts.inputs] == ["x", "cond"]
    assert ("ai.onnx", "Cast") in facts.ops and {"float16", "int8"} <= facts.weights
    assert facts.inputs[1].shape == ()


def test_lists_of_graphs_are_walked_too(tmp_path: Path) -> None:
    body = helper.make_graph([helper.make_node("Hidden", [], ["h"], domain="com.acme")], "body", [], [])
    made = small()
    made.graph.node.append(helper.make_node("Many", [], ["m"], domain="com.acme", bodies=[body]))
    assert model.read(put(tmp_path, made)).foreign_ops(frozenset({"ai.onnx"})) == [
        ("com.acme", "Hidden"),
        ("com.acme", "Many"),
    ]


def test_open_negative_and_missing_shapes_are_open(tmp_path: Path) -> None:
    made = small()
    sizes = made.graph.input[0].type.tensor_type.shape.dim
    sizes[0].dim_param, sizes[1].dim_value = "batch", -1
    made.graph.output[0].type.tensor_type.ClearField("shape")
    facts = model.read(put(tmp_path, made))
    assert (facts.inputs[0].shape, facts.outputs[0].shape) == ((None, None), None)
    assert [str(facts.inputs[0]), str(facts.outputs[0])] == ["x float32[?,?]", "y float32[?]"]


def test_a_sequence_output_has_a_name_and_no_shape(tmp_path: Path) -> None:
    made = small()
    made.graph.output.append(helper.make_tensor_sequence_value_info("list", TensorProto.FLOAT, [4]))
    assert str(model.read(put(tmp_path, made)).outputs[1]) == "list sequence[?]"


def test_custom_and_local_operators_are_told_apart(bad: dict[str, Path]) -> None:
    domains = frozenset({"ai.onnx"})
    assert model.read(bad["custom_op"]).foreign_ops(domains) == [("com.acme", "MyOp")]
    assert model.read(bad["local_function"]).foreign_ops(domains) == []


def test_external_weights_are_files_of_the_model(bad: dict[str, Path]) -> None:
    facts = model.read(bad["external"])
    assert facts.external == ("weights.bin",)
    assert facts.files() == [bad["external"], bad["external"].parent / "weights.bin"]


@pytest.mark.parametrize(("name", "precision"), [("mlp", "fp32"), ("half", "fp16"), ("tokens", "fp32")])
def test_the_precision_a_graph_states(zoo: dict[str, Path], name: str, precision: str) -> None:
    assert model.read(zoo[name]).precision() == precision


def test_a_quantised_graph_is_int8(tmp_path: Path) -> None:
    graph = Graph("quantised")
    codes = graph.op("QuantizeLinear", "x", graph.keep(0.1))
    graph.op("DequantizeLinear", codes, graph.keep(0.1), out="y")
    path = save(graph.model({"x": [1, 4]}, {"y": [1, 4]}), tmp_path / "q.onnx")
    assert model.read(path).precision() == "int8"
