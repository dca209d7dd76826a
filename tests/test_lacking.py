"""What engines lack is named node by node by their own parsers, with attribute, layer and ways out that were tried."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import onnx.inliner
import pytest

from envctl import routes
from envctl.job import Lacking
from envctl.spec import read_spec
from envctl.workflow import lacking, remedies
from tests.conftest import Ran, run_envctl
from tests.engine_jobs import do, prepared
from tests.models import lacking as make

Program = Callable[..., Ran]
LOCAL = ("--runner", "local")
KERAS = Path(__file__).parent / "models" / "keras_nets.py"


def said(op: str, node: str = "", why: str = "w", domain: str = "") -> Lacking:
    return Lacking(op=op, node=node, why=why, domain=domain)


def test_an_operator_alone_is_found_everywhere_in_the_file_in_branches_too(tmp_path: Path) -> None:
    found = lacking.located(make.several(tmp_path / "m.onnx"), "onnx", [said("Det"), said("MaxUnpool")])
    assert [(it.op, it.node, it.layer) for it in found] == [
        ("Det", "/head/Det", "head"),
        ("Det", "/head/Det_1", "head"),
        ("Det", "/gate/then/Det", "gate/then"),
        ("MaxUnpool", "/decoder/MaxUnpool", "decoder"),
    ]
    assert lacking.names(found) == "Det (3), MaxUnpool"


@pytest.mark.parametrize("name", ["n0", "y", "#0"])
def test_a_node_is_found_by_its_name_what_it_makes_or_its_number(tmp_path: Path, name: str) -> None:
    (found,) = lacking.located(make.scoped(tmp_path / "m.onnx"), "onnx", [said("", name)])
    assert (found.op, found.node, found.layer) == ("Det", "n0", "head.norm")


def test_a_node_of_tensorflow_gets_its_operator_and_that_one_s_reason(tmp_path: Path) -> None:
    told = [said("", "Call/model/tail/beta", ""), said("Betainc", why="no rule"), said("Lgamma", why="no rule")]
    found = lacking.located(make.graph_def(tmp_path / "m.pb"), "graph-def", told)
    assert [(it.op, it.node, it.layer, it.why) for it in found] == [
        ("Betainc", "model/tail/beta", "model/tail", "no rule"),
        ("Lgamma", "model/tail/gamma", "model/tail", "no rule"),
    ]


@pytest.mark.parametrize(
    ("words", "attribute"),
    [
        ("tf_crop_and_resize - this type is not supported", "coordinate_transformation_mode=tf_crop_and_resize"),
        ('(transformationMode == "asymmetric") && "only"', "coordinate_transformation_mode=tf_crop_and_resize"),
        ("the input must be of rank 4", ""),
    ],
)
def test_the_attribute_that_the_words_are_about(tmp_path: Path, words: str, attribute: str) -> None:
    (found,) = lacking.located(make.formed(tmp_path / "m.onnx"), "onnx", [said("Resize", "/up/Resize", words)])
    assert found.attribute == attribute


def test_what_no_file_tells_stays_as_the_engine_said_it(tmp_path: Path) -> None:
    told = (said("Det", "nowhere"), said("Other"))
    assert lacking.located(tmp_path / "none.onnx", "onnx", told) == told
    (tmp_path / "bad.onnx").write_bytes(b"\xff" * 40)
    assert lacking.located(tmp_path / "bad.onnx", "onnx", told) == told


def test_ways_out_are_those_that_lead_somewhere() -> None:
    openvino, why = read_spec("openvino"), "no rule"
    (other,) = remedies.ways_out([said("Det", why=why), said("MaxUnpool", why=why)], "onnx", openvino)
    assert other.endswith("envctl run --ort 1.31")
    (none,) = remedies.ways_out([said("SequenceMap", why=why)], "onnx", openvino)
    assert "--ort" not in none
    (through,) = remedies.ways_out([said("VarHandleOp", why="lost")], "saved-model", openvino)
    assert through.endswith("--via onnx")
    (useless,) = remedies.ways_out([said("Betainc", why=why)], "graph-def", openvino)
    assert "--via onnx would not help" in useless


@pytest.mark.engines
def test_openvino_s_front_end_names_every_node(tmp_path: Path) -> None:
    path = make.several(tmp_path / "m.onnx")
    result = do("convert", prepared("openvino", "2026.4"), tmp_path / "job", path)
    assert result.status == "unsupported"
    found = lacking.located(path, "onnx", result.lacking)
    named = {(it.op, it.node): it.why for it in found}
    assert set(named) == {
        ("Det", "/head/Det"), ("Det", "/head/Det_1"), ("Det", "/gate/then/Det"), ("MaxUnpool", "/decoder/MaxUnpool"),
    }  # fmt: skip
    assert set(named.values()) == {"the front end has no conversion rule"}


@pytest.mark.engines
def test_openvino_s_front_end_names_nodes_of_tensorflow(tmp_path: Path) -> None:
    path = make.graph_def(tmp_path / "m.pb")
    result = do("convert", prepared("openvino", "2026.4"), tmp_path / "job", path)
    found = lacking.located(path, "graph-def", result.lacking)
    assert {(it.op, it.node) for it in found} == {
        ("Betainc", "model/head/beta"), ("Betainc", "model/tail/beta"), ("Lgamma", "model/tail/gamma"),
    }  # fmt: skip
    assert {it.why for it in found} == {"the front end has no conversion rule"}


@pytest.mark.engines
@pytest.mark.parametrize(
    ("engine", "words"),
    [(("--openvino", "2026.4"), "tf_crop_and_resize - this type"), (("--trt-rtx", "1.7"), "transformationMode ==")],
)
def test_a_form_that_is_not_taken_is_told_with_its_attribute(
    envctl: Program, tmp_path: Path, own_cache: Path, engine: tuple[str, str], words: str
) -> None:
    path = make.formed(tmp_path / "m.onnx")
    ran = envctl("run", *engine, *LOCAL, "convert", path, "--json", ENVCTL_CACHE=str(own_cache))
    error = ran.json["error"]
    assert (ran.code, error["what"].rpartition(": ")[2]) == (5, "it has no way for Resize")
    (entry,) = error["lacking"]
    assert (entry["op"], entry["node"], entry["layer"]) == ("Resize", "/up/Resize", "up")
    assert entry["attribute"] == "coordinate_transformation_mode=tf_crop_and_resize" and words in entry["why"]
    assert "export Resize /up/Resize with another coordinate_transformation_mode than it has" in error["do"]


def test_what_is_known_to_be_lacking_is_told_node_by_node_before_anything_is_made(
    envctl: Program, tmp_path: Path
) -> None:
    path, cold = make.several(tmp_path / "m.onnx"), tmp_path / "cold"
    for more in ([], ["--plan"]):
        ran = envctl("run", "--openvino", "2026.4", *LOCAL, "verify", path, *more, ENVCTL_CACHE=str(cold))
        assert ran.code == 3 and "has no operator MaxUnpool, Det (3)" in ran.err.replace(
            "Det (3), MaxUnpool", "MaxUnpool, Det (3)"
        )
        assert "/gate/then/Det (layer gate/then)" in ran.err and "envctl run --ort 1.31" in ran.err
    assert not (cold / "environments").exists()


@pytest.mark.engines
@pytest.mark.slow
def test_the_engine_that_is_offered_instead_does_it(envctl: Program, tmp_path: Path) -> None:
    ran = envctl("run", "--ort", "1.31", *LOCAL, "infer", make.several(tmp_path / "m.onnx"))
    assert ran.code == 0, ran.err


@pytest.mark.engines
@pytest.mark.slow
def test_functions_of_a_model_are_inlined_as_the_hint_says(
    envctl: Program, bad: dict[str, Path], tmp_path: Path, own_cache: Path
) -> None:
    ran = envctl("run", "--openvino", "2026.4", *LOCAL, "verify", bad["local_function"], ENVCTL_CACHE=str(own_cache))
    assert ran.code == 5 and "onnx.inliner.inline_local_functions" in ran.err
    path = tmp_path / "inlined.onnx"
    onnx.save(onnx.inliner.inline_local_functions(onnx.load(str(bad["local_function"]))), str(path))
    ran = envctl("run", "--openvino", "2026.4", *LOCAL, "verify", path)
    assert ran.code == 0, ran.err


SCRIPT = """
import re, sys
sys.modules["openvino.tools.ovc"] = None
import openvino
for name in sys.argv[2:]:
    try:
        openvino.Core().read_model("%s/%s.onnx" % (sys.argv[1], name))
        words = ""
    except Exception as error:
        words = str(error)
    ruled = re.search(r"(?:rule found for operations|following ONNX operations):([^\\n]*)", words)
    print(name, "lacks" if ruled and re.search(r"(?<![\\w:])%s\\b" % name, ruled[1]) else "has", flush=True)
"""


@pytest.mark.engines
@pytest.mark.slow
@pytest.mark.parametrize("version", ["2026.4", "2024.6", "2023.3"])
def test_the_operators_that_openvino_is_said_to_lack_are_those_that_it_lacks(tmp_path: Path, version: str) -> None:
    reserved = {it.name for it in onnx.defs.get_all_schemas() if it.domain == "" and not it.deprecated}
    known, _ = read_spec("openvino").lacking(f"{version}.0", frozenset(("ai.onnx", name) for name in reserved))
    for name in reserved:
        make.one_node(name, tmp_path)
    (tmp_path / "ask.py").write_text(SCRIPT)
    command = ("python", str(tmp_path / "ask.py"), str(tmp_path), *sorted(reserved))
    ran = run_envctl("run", "--openvino", version, *LOCAL, "--", *command)
    told = re.findall(r"^(\w+) (lacks|has)$", ran.out, re.M)
    assert len(told) == len(reserved) and {name for name, word in told if word == "lacks"} == set(known)


@pytest.mark.engines
@pytest.mark.slow
def test_a_saved_model_whose_variables_openvino_does_not_find_passes_through_onnx(
    envctl: Program, tmp_path: Path, own_cache: Path
) -> None:
    """Its list of variables is longer than 16 KB (docs/evidence.md#openvino-object-graph)."""
    made = run_envctl("run", "--tf", "2.21", *LOCAL, "--", "python", str(KERAS), str(tmp_path), "mobilenetv2")
    assert made.code == 0, made.err
    model, target = tmp_path / "mobilenetv2" / "saved_model", ("--openvino", "2026.4", *LOCAL)
    ran = envctl("run", *target, "verify", model, "--json", ENVCTL_CACHE=str(own_cache))
    told = ran.json.get("error", {})
    if ran.code:  # the byte before the list decides, and that is part of a checksum
        assert (ran.code, {each["op"] for each in told["lacking"]}) == (5, {"VarHandleOp"})
        assert len(told["lacking"]) > 200 and any("--via onnx" in line for line in told["do"])
    ran = envctl("run", *target, "verify", model, "--via", "onnx", "--samples", "4")
    assert ran.code == 0, ran.err


@pytest.mark.engines
@pytest.mark.slow
def test_the_engine_is_asked_before_samples_are_run_to_quantise(
    envctl: Program, tmp_path: Path, own_cache: Path
) -> None:
    path = make.formed(tmp_path / "m.onnx")
    wish = ("--precision", "int8", "--calibration", "seeded")
    ran = envctl("run", "--ort", "1.31", *LOCAL, "verify", path, *wish, "--keep", ENVCTL_CACHE=str(own_cache))
    (folder,) = (own_cache / "jobs").iterdir()
    assert {"ask", "types"} <= {each.name for each in folder.iterdir()}, ran.err  # it takes the form
    shutil.rmtree(folder)
    ran = envctl("run", "--openvino", "2026.4", *LOCAL, "verify", path, *wish, ENVCTL_CACHE=str(own_cache))
    assert ran.code == 5 and "could not convert m.onnx: it has no way for Resize" in ran.err
    (folder,) = (own_cache / "jobs").iterdir()
    assert "types" not in {each.name for each in folder.iterdir()}


@pytest.mark.engines
@pytest.mark.slow
def test_what_tf2onnx_lacks_is_named_and_foreseen_as_a_doubt(envctl: Program, tmp_path: Path, own_cache: Path) -> None:
    path, target = make.graph_def(tmp_path / "m.pb"), ("--ort", "1.31", *LOCAL, "verify")
    ran = envctl("run", *target, path, "--plan", "--json")
    assert ran.code == 0 and "no rule for Betainc, Lgamma" in ran.json["doubts"][0]
    ran = envctl("run", *target, path, "--json", ENVCTL_CACHE=str(own_cache))
    assert ran.code == 5
    named = {(it["op"], it["node"], it["layer"]) for it in ran.json["error"]["lacking"]}
    assert ("Lgamma", "model/tail/gamma", "model/tail") in named and {op for op, _, _ in named} == {"Betainc", "Lgamma"}


TORCH = """
import torch
class Head(torch.nn.Module):
    def forward(self, x):
        return torch.linalg.det(x)
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.head = torch.nn.Linear(4, 4), Head()
    def forward(self, x):
        return self.head(torch.relu(self.stem(x)))
net, x = Net().eval(), torch.rand(2, 4, 4)
torch.jit.trace(net, x).save("traced.pt")
torch.export.save(torch.export.export(net, (x,)), "exported.pt2")
"""


@pytest.mark.engines
@pytest.mark.slow
def test_modules_of_torch_are_named_through_both_exporters(envctl: Program, tmp_path: Path) -> None:
    (tmp_path / "make.py").write_text(TORCH)
    made = envctl("run", "--torch", "2.15", *LOCAL, "--", "python", "make.py")
    assert made.code == 0, made.err
    for name in ("traced.pt", "exported.pt2"):
        shape = ("--shape", "x=2x4x4") if name == "traced.pt" else ()
        ran = envctl("run", "--openvino", "2026.4", *LOCAL, "verify", name, *shape, "--via", "torch==2.15", "--json")
        (entry,) = ran.json["error"]["lacking"]
        assert (ran.code, entry["op"], entry["layer"]) == (3, "Det", "head"), ran.err


def test_the_registry_of_the_writer_is_that_of_a_release_there_is() -> None:
    rules = routes.rules("tf2onnx")
    assert rules.operators["Conv2D"] < rules.operators["Invert"] == 18
    assert not {"Betainc", "TFL_ADD"} & set(rules.operators)
