"""ONNX models made from another by its bytes: held against the onnx package and ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from envctl.model import read
from envctl.model.onnx_graph import read_graph
from envctl.model.onnx_marks import Value, cut, mark
from tests.models import graph, zoo


@pytest.mark.parametrize("name", ["unet", "tokens", "lstm", "gru", "two_outputs", "half", "dynamic"])
def test_the_graph_is_what_onnx_says_it_is(zoo: dict[str, Path], name: str) -> None:
    found, theirs = read_graph(zoo[name]), onnx.load(str(zoo[name])).graph
    assert [(node.name, node.op, list(node.outputs)) for node in found.nodes] == [
        (node.name, node.op_type, [out for out in node.output if out]) for node in theirs.node
    ]
    assert set(found.stored) == {each.name for each in theirs.initializer}
    assert found.inputs == tuple(each.name for each in theirs.input)
    assert found.outputs == tuple(each.name for each in theirs.output)


def test_marked_tensors_are_outputs_behind_the_models_own(zoo: dict[str, Path], tmp_path: Path) -> None:
    source = zoo["unet"]
    names = [name for node in read_graph(source).nodes for name in node.outputs if name != "classes"]
    marked = mark(source, tmp_path / "marked.onnx", names, {})
    assert [each.name for each in onnx.load(str(marked)).graph.output] == ["classes", *names]
    feeds = graph.feeds(source)
    plain, more = graph.flow(source, feeds), graph.flow(marked, feeds)
    assert len(more) == 1 + len(names) and np.allclose(plain[0], more[0], atol=1e-6)


def test_all_but_the_marks_is_as_it_was(zoo: dict[str, Path], tmp_path: Path) -> None:
    before = onnx.load(str(zoo["gru"]))
    after = onnx.load(str(mark(zoo["gru"], tmp_path / "marked.onnx", ["again"], {})))
    del after.graph.output[-1]
    assert after == before


def test_known_types_are_written_and_inputs_get_fixed_shapes(zoo: dict[str, Path], tmp_path: Path) -> None:
    told = {"gelu_3": Value(dtype="float32", shape=(2, 8, 16, 16))}
    first = onnx.load(str(zoo["dynamic"])).graph.node[1].output[0]
    fixed = {"image": Value(dtype="float32", shape=(2, 3, 16, 16))}
    marked = mark(zoo["dynamic"], tmp_path / "m.onnx", [first], {first: told["gelu_3"]}, inputs=fixed)
    onnx.checker.check_model(str(marked))
    assert read(marked).inputs[0].shape == (2, 3, 16, 16)


def test_a_part_gives_what_it_gives_in_the_whole(zoo: dict[str, Path], tmp_path: Path) -> None:
    """Each node of a transformer by itself, fed with what it had in the whole."""
    source = read_graph(zoo["tokens"])
    names = [name for node in source.nodes for name in node.outputs]
    feeds = graph.feeds(zoo["tokens"])
    whole = graph.flow(mark(zoo["tokens"], tmp_path / "m.onnx", [n for n in names if n != "embedding"], {}), feeds)
    values = dict(zip(["embedding", *(n for n in names if n != "embedding")], whole, strict=True)) | feeds
    for index, node in enumerate(source.nodes):
        mine = {name: values[name] for name in node.inputs if name in values}
        told = {name: Value(dtype=str(array.dtype), shape=array.shape) for name, array in mine.items()}
        out = {node.outputs[0]: Value(dtype="float32", shape=values[node.outputs[0]].shape)}
        part = cut(source, tmp_path / f"{index}.onnx", told, out)
        onnx.checker.check_model(str(part))
        assert np.allclose(graph.flow(part, mine)[0], values[node.outputs[0]], atol=1e-6), node.title


def branching(path: Path) -> Path:
    """y = x + c if x's sum is positive, else c: both branches read tensors of the graph around them."""
    out = helper.make_tensor_value_info("b", TensorProto.FLOAT, [2])
    more = helper.make_graph([helper.make_node("Add", ["twice", "c"], ["b"])], "more", [], [out])
    less = helper.make_graph([helper.make_node("Identity", ["c"], ["b"])], "less", [], [out])
    nodes = [
        helper.make_node("Add", ["x", "x"], ["twice"]),
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["y"], then_branch=more, else_branch=less),
    ]
    stored = [
        numpy_helper.from_array(np.array([1, 2], np.float32), "c"),
        numpy_helper.from_array(np.float32(0), "zero"),
    ]
    ends = [[graph.value("x", [2])], [graph.value("y", [2])]]
    made = helper.make_graph(nodes, "branching", *ends, stored)
    return graph.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def test_a_node_reads_what_its_branches_read(tmp_path: Path) -> None:
    node = read_graph(branching(tmp_path / "b.onnx")).nodes[-1]
    assert set(node.inputs) == {"positive", "twice", "c"}


def test_weights_beside_the_model_come_along(tmp_path: Path) -> None:
    model = zoo.mlp()
    (tmp_path / "here").mkdir()
    source = tmp_path / "here" / "mlp.onnx"
    onnx.save(model, str(source), save_as_external_data=True, location="mlp.data", size_threshold=0)
    external = read(source).external
    marked = mark(source, tmp_path / "there" / "m.onnx", ["relu_1"], {}, external=external)
    assert read(marked).missing == () and len(graph.flow(marked, graph.feeds(source))) == 2


def test_long_field_numbers_and_lengths_are_written_right(tmp_path: Path) -> None:
    """Metadata of a graph is field 16, whose key takes two bytes."""
    model = zoo.mlp()
    model.graph.metadata_props.add(key="about", value="x" * 200)
    model.metadata_props.add(key="author", value="us")
    source = tmp_path / "mlp.onnx"
    onnx.save(model, str(source))
    made = onnx.load(str(mark(source, tmp_path / "m.onnx", [], {})))
    assert made == model
