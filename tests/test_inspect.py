"""`envctl inspect` on small files of real frameworks (tests/models/small)."""

from __future__ import annotations

import pickle
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from envctl import model
from envctl.errors import BadInput
from envctl.model.names import chosen
from tests.conftest import Ran, run_envctl
from tests.inspected import SAID, SMALL, TF, TORCH, assert_agrees, zipped
from tests.models import bad as bad_models
from tests.wanted_makers import old_plan, plan


@pytest.mark.parametrize("name", SAID)
def test_the_facts_are_those_that_the_framework_tells(name: str) -> None:
    assert_agrees(SMALL / name, SAID[name])


def test_every_kept_file_is_told_of_or_belongs_to_one_that_is() -> None:
    parts = {"external.bin", "net.bin", "net.ncnn.bin", "net.pnnx.param", "said.json"}
    files = {str(path.relative_to(SMALL)) for path in SMALL.rglob("*") if path.is_file()}
    assert {name for name in files if not any(name.startswith(told) for told in SAID)} == {
        name for name in files if Path(name).name in parts and name not in SAID
    }
    assert sum((SMALL / name).stat().st_size for name in files) < 200_000


# --- what only one format tells


def test_a_name_decides_nothing(tmp_path: Path) -> None:
    for name in ("torch/exported.pt2", "keras/functional.2.keras", "tensorflow/net.tflite", "engines/net.xml"):
        copy = bad_models.put(tmp_path / "model.jpg", (SMALL / name).read_bytes())
        assert model.inspect(copy).format == model.inspect(SMALL / name).format


def test_the_three_faces_of_tensorflow_s_pb_are_told_apart(tmp_path: Path) -> None:
    """A parser's success would not do: the SavedModel parser accepts a GraphDef."""
    for source, said in {
        TF / "saved_model" / "saved_model.pb": "saved-model",
        TF / "frozen.pb": "graph-def",
        SMALL / "engines" / "net.onnx": "onnx",
    }.items():
        assert model.inspect(bad_models.put(tmp_path / "x.pb", source.read_bytes())).format == said


def test_signatures_are_chosen_and_the_nearest_is_suggested() -> None:
    facts = model.inspect(TF / "saved_model")
    assert facts.ambiguous == ()
    assert [t.name for t in chosen(facts, signature="one").inputs] == ["one_image:0"]
    with pytest.raises(BadInput) as caught:
        chosen(facts, signature="serving_defalt")
    assert caught.value.do[0] == "did you mean serving_default?"


def test_candidates_of_a_frozen_graph_are_shown_and_checked() -> None:
    facts = model.inspect(TF / "ambiguous.pb")
    assert facts.ambiguous == ("inputs", "outputs")
    cut = chosen(facts, inputs=["x"], outputs=["classes:0"])
    assert ([str(t) for t in cut.inputs], [t.name for t in cut.outputs]) == (["x:0 float32[?,4]"], ["classes:0"])
    assert cut.ambiguous == ()
    # any node may be named: that is how a graph is cut
    assert [t.name for t in chosen(facts, outputs=["hidden"]).outputs] == ["hidden:0"]
    with pytest.raises(BadInput) as caught:
        chosen(facts, outputs=["hiden:0"])
    assert caught.value.do == ["did you mean hidden?", "its outputs: classes:0, loss:0, lengths:0"]
    with pytest.raises(BadInput, match="twice"):
        chosen(facts, outputs=["classes", "classes:0"])


def test_keys_and_nodes_name_the_same_input() -> None:
    facts = model.inspect(TF / "saved_model")
    for name in ("image", "serving_default_image", "serving_default_image:0"):
        assert [t.key for t in chosen(facts, inputs=[name]).inputs] == ["image"]


LAYOUTS = {
    "tensorflow/saved_model": ("NHWC", "channels_last"),
    "tensorflow/frozen.pb": ("NHWC", "channels_last"),
    "tensorflow/net.tflite": ("NHWC", "channels last only"),
    "keras/functional.3.keras": ("NHWC", "channels_last"),
    "engines/net.onnx": ("NCHW", "Conv reads it"),
    "engines/net.xml": ("NCHW", "its sizes: 3"),
    "torch/exported.pt2": ("NCHW", "its sizes: 3"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_guessed_with_its_reason(name: str) -> None:
    guessed = [t for t in model.inspect(SMALL / name).inputs if t.layout]
    assert [t.layout for t in guessed] == [LAYOUTS[name][0]]
    assert LAYOUTS[name][1] in guessed[0].layout_why


def test_named_sizes_are_told() -> None:
    assert model.inspect(SMALL / "engines" / "net.onnx").inputs[0].symbols == ("batch", "", "", "")
    assert model.inspect(TORCH / "exported.pt2").inputs[0].symbols[0]


def test_code_inside_a_model_is_a_risk_and_is_not_run(tmp_path: Path) -> None:
    facts = model.inspect(SMALL / "keras" / "with_lambda.2.h5")
    assert "Lambda layer 'twice' carries Python code" in facts.risks[0]
    assert model.inspect(TORCH / "module.pt").risks == ("unpickling imports and may call __main__.Net",)
    assert model.inspect(TORCH / "state.pt").risks == model.inspect(TORCH / "legacy.pt").risks == ()
    mark = tmp_path / "ran"
    harmful = bad_models.put(tmp_path / "x.pkl", pickle.dumps(_Touch(mark)))
    assert model.inspect(harmful).risks == ("unpickling imports and may call posix.system",)
    assert not mark.exists()


class _Touch:
    """Unpickling it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, (f"touch {self.path}",)


def test_custom_layers_and_operators_are_marked(bad: dict[str, Path]) -> None:
    assert model.inspect(SMALL / "keras" / "custom.3.keras").custom_ops() == [("custom", "Gate")]
    assert model.inspect(bad["custom_op"]).custom_ops() == [("com.acme", "MyOp")]
    assert model.inspect(bad["local_function"]).custom_ops() == []
    for name in ("tensorflow/net.tflite", "torch/scripted.pt", "torch/exported.pt2", "engines/net.xml"):
        assert model.inspect(SMALL / name).custom_ops() == []


def test_a_pnnx_graph_is_no_ncnn_model() -> None:
    facts = model.inspect(SMALL / "ncnn" / "net.pnnx.param")
    assert facts.format == "pnnx" and "ncnn does not load" in facts.notes[0]
    assert [str(t) for t in (*facts.inputs, *facts.outputs)] == ["0 float32[1,3,8,8]", "5 float32[1,5]"]


def test_a_binary_param_is_read(tmp_path: Path) -> None:
    """As ncnn's ncnn2mem writes it: 32-bit numbers (src/net.cpp, load_param_bin)."""
    words = [7767517, 3, 3, 16, 0, 1, 0, 0, 8, 1, 8, 2, 3, -233, 6, 1, 1, 0, 1, 0, 4, -23304, 2, 1, 1, -233]
    words += [256 + 1, 1, 1, 1, 2, -233]
    facts = model.inspect(bad_models.put(tmp_path / "m.param.bin", struct.pack(f"<{len(words)}i", *words)))
    assert facts.op_counts == {("ncnn", "Input"): 1, ("ncnn", "Convolution"): 1, ("custom", "custom 1"): 1}
    assert [(t.name, t.shape, t.layout) for t in facts.inputs] == [("0", (3, 8, 8), "CHW")]
    assert ([t.name for t in facts.outputs], facts.missing) == (["2"], ("m.bin",))


def test_plans_tell_their_release_and_whether_they_are_whole(tmp_path: Path) -> None:
    assert model.inspect(plan(tmp_path / "a.plan")).producer_version == "8.6.1.6"
    facts = model.inspect(plan(tmp_path / "b.plan", "tensorrt-rtx", (1, 7, 1, 116)))
    assert (facts.format, facts.producer_version) == ("tensorrt-rtx-plan", "1.7.1.116")
    assert model.inspect(old_plan(tmp_path / "c.plan")).producer_version == "8.5"
    with pytest.raises(BadInput, match="truncated or damaged"):
        model.inspect(plan(tmp_path / "d.plan", "tensorrt-rtx", (1, 7, 1, 116), lost=9))


# --- weights that lie elsewhere


def test_missing_weights_are_named_and_the_rest_is_told(bad: dict[str, Path], tmp_path: Path) -> None:
    assert model.inspect(bad["external_missing"]).missing == ("lost.bin",)
    alone = bad_models.put(tmp_path / "net.xml", (SMALL / "engines" / "net.xml").read_bytes())
    assert (model.inspect(alone).external, model.inspect(alone).missing) == (("net.bin",), ("net.bin",))
    lone = bad_models.put(tmp_path / "saved_model.pb", (TF / "saved_model" / "saved_model.pb").read_bytes())
    facts = model.inspect(lone)
    assert facts.missing == ("variables/variables.index",)
    assert facts.parameters == 128, "counted from the graph"


def test_a_saved_model_folder_reads_nothing_that_lies_outside(tmp_path: Path) -> None:
    bad_models.put(tmp_path / "a" / "saved_model.pb", (TF / "saved_model" / "saved_model.pb").read_bytes())
    (tmp_path / "a" / "variables").symlink_to(TF / "saved_model" / "variables")
    facts = model.inspect(tmp_path / "a")
    assert facts.parameters == 128 and facts.external == ()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "saved_model.pb").symlink_to("/etc/passwd")
    with pytest.raises(BadInput, match="a link out of its folder"):
        model.inspect(tmp_path / "b")
    with pytest.raises(BadInput, match="without a SavedModel"):
        model.inspect(SMALL)


# --- the command


def test_json_has_everything(envctl: Callable[..., Ran]) -> None:
    told = envctl("inspect", SMALL / "engines" / "external.onnx", "--json").json
    assert told["format"] == "onnx" and told["inputs"][0]["shape"] == ["batch", 3, 8, 8]
    assert told["external"] == [{"name": "external.bin", "there": True}]
    assert {"domain": "ai.onnx", "name": "Conv", "count": 1, "custom": False} in told["ops"]


@pytest.mark.parametrize("name", [name for name in SAID if "ambiguous" in name or "keras" in name or "engines" in name])
def test_the_table_fits_100_columns(envctl: Callable[..., Ran], name: str) -> None:
    ran = envctl("inspect", SMALL / name)
    assert ran.code == 0 and ran.err == ""
    assert max(map(len, ran.out.splitlines())) <= 100
    assert ran.out.startswith("format      ")


def test_the_command_refuses_with_exit_code_2(envctl: Callable[..., Ran], bad: dict[str, Path]) -> None:
    ran = envctl("inspect", bad["external_absolute"])
    assert (ran.code, ran.out) == (2, "") and ran.err.startswith("error: ")
    ran = envctl("inspect", TF / "ambiguous.pb", "--outputs", "clases", "--json")
    assert ran.code == 2 and ran.json["error"]["do"][0] == "did you mean classes?"


def test_control_characters_of_a_name_do_not_reach_the_terminal(tmp_path: Path) -> None:
    from envctl.cli.inspect import _rows, _wrapped
    from tests.test_model import small

    made = small()
    made.graph.input[0].name = made.graph.node[0].input[0] = "x\x1b[31m"
    facts = model.inspect(bad_models.put(tmp_path / "x.onnx", made.SerializeToString()))
    shown = "\n".join(line for _, text in _rows(facts) for line in _wrapped(text))
    assert "x�[31m" in shown and "\x1b" not in shown


def test_weights_are_not_read(tmp_path: Path) -> None:
    """A file of 8 GiB, all of it a hole: it would not fit the time, nor the memory, were it read."""
    import resource

    from tests.test_model import small

    made = small().SerializeToString()
    # field 5 of the graph would be copied; an unknown field of the model is skipped in the same way
    size = 8 << 30
    head = made + b"\xfa\x01" + _varint(size)
    path = bad_models.put(tmp_path / "large.onnx", head)
    with path.open("r+b") as stream:
        stream.truncate(len(head) + size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert model.inspect(path).size > size
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "KiB"


def _varint(value: int) -> bytes:
    return bytes([value]) if value < 0x80 else bytes([value & 0x7F | 0x80]) + _varint(value >> 7)


def test_the_page_shows_what_the_program_prints() -> None:
    """Every example of docs/inspect.md, line for line; files are those of tests/models/small."""
    page = (SMALL.parents[2] / "docs" / "inspect.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\$ envctl (inspect .*)\n((?:(?!\$ |```).*\n)+)", page, re.MULTILINE)
    assert len(shown) == 4
    for arguments, lines in shown:
        ran = run_envctl(*arguments.split(), cwd=SMALL)
        assert ran.out + ran.err == lines


def test_programs_of_torch_before_2_8_are_read(tmp_path: Path) -> None:
    """The same JSON under its old name, at the top of the archive (torch/export/__init__.py of 2.5)."""
    with zipfile.ZipFile(TORCH / "exported.pt2") as archive:
        program = archive.read("exported/models/model.json")
    old = zipped(tmp_path / "old.pt2", {"serialized_exported_program.json": program, "version": b"8.1"})
    new = model.inspect(TORCH / "exported.pt2")
    assert (model.inspect(old).inputs, model.inspect(old).op_counts) == (new.inputs, new.op_counts)
