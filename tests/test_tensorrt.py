"""TensorRT for RTX for real, on the CPU: precision, ranges, refusals, kept engines. Built; nothing is executed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from envctl.errors import BadInput, HostLacks, NoStack
from envctl.host import Fact, HostFacts
from envctl.matrix import load
from envctl.runner.local import LocalRunner
from envctl.workflow import load_plan, quantised
from envctl.workflow.ask import Ask
from tests.conftest import Ran
from tests.engine_jobs import do, prepared
from tests.models import quantised as make

pytestmark = pytest.mark.engines
Program = Callable[..., Ran]
RTX = ("--runner", "local", "--gpu", "8.9", "--trt-rtx")
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
OLDER = [pytest.param(version, marks=pytest.mark.slow) for version in ("1.4", "1.5", "1.6")]


def convert(envctl: Program, model: Path, *more: str | Path, version: str = "1.7", **variables: str) -> Ran:
    """A conversion in JSON."""
    return envctl("run", *RTX, version, "convert", model, "-o", "out", "--json", *more, **variables)


def said(ran: Ran) -> dict[str, str]:
    """What the engine said of the build."""
    assert ran.code == 4, ran.err + ran.out
    told: dict[str, str] = ran.json["steps"]["convert"]["read_back"]
    return told


@pytest.mark.parametrize("version", ["1.7", *OLDER])
@pytest.mark.parametrize(("precision", "types"), [("fp16", "HALF 11"), ("bf16", "BF16 11")])
def test_the_precision_is_in_the_graphs_types_and_read_back(
    version: str, precision: str, types: str, envctl: Program, digits: Path, own_cache: Path
) -> None:
    ran = convert(envctl, digits, "--precision", precision, version=version, ENVCTL_CACHE=str(own_cache))
    assert (said(ran)["precision"], said(ran)["layer_types"]) == (precision, types)
    assert ran.json["precision"] == precision
    assert any("is written into the graph by a step before" in note for note in ran.json["notes"])


def test_fp32_is_float32_without_tf32(envctl: Program, digits: Path, own_cache: Path) -> None:
    told = said(convert(envctl, digits, ENVCTL_CACHE=str(own_cache)))
    assert (told["precision"], told["tf32"], told["layer_types"]) == ("fp32", "off", "FLOAT 11")
    assert told["timing_cache"] == "a no-op in this release"
    assert not (own_cache / "timing").exists()
    assert told["layers_from"].startswith("best effort") and int(told["layers_before_fusion"]) == 21


@pytest.mark.slow
def test_bf16_keeps_in_float32_what_the_engine_has_not(envctl: Program, zoo: dict[str, Path], own_cache: Path) -> None:
    told = said(convert(envctl, zoo["unet"], "--precision", "bf16", ENVCTL_CACHE=str(own_cache)))
    assert told["layer_types"] == "BF16 11 FLOAT 1"


@pytest.mark.slow
def test_int8_is_calibrated_and_says_on_what(
    envctl: Program, zoo: dict[str, Path], tmp_path: Path, own_cache: Path
) -> None:
    samples = np.random.default_rng(5).standard_normal((8, 1, 3, 32, 32), dtype=np.float32)
    np.savez(tmp_path / "samples.npz", image=samples)
    known = {"ENVCTL_CACHE": str(own_cache)}
    wish = (zoo["unet"], "--precision", "int8", "--calibration", tmp_path / "samples.npz")
    ran = convert(envctl, *wish, **known)
    assert said(ran)["precision"] == "int8"
    assert ran.json["steps"]["types"]["read_back"]["calibration_samples"] == "8"
    same = convert(envctl, *wish, "--input", tmp_path / "samples.npz", "--force", **known)
    assert "from" in said(same), "the same engine: what it is judged on is no part of it"
    assert any(note.startswith("calibrated on 8 samples of") for note in ran.json["notes"])
    assert any(note.startswith("warning: 8 of the 8 samples") for note in same.json["notes"])


def test_int8_without_samples_is_refused(envctl: Program, digits: Path, tmp_path: Path) -> None:
    ran = convert(envctl, digits, "--precision", "int8", ENVCTL_CACHE=str(tmp_path / "cold"))
    assert ran.code == 2 and "--calibration" in ran.out
    assert not (tmp_path / "cold" / "environments").exists()


@pytest.mark.parametrize(
    ("how", "named"),
    [
        ({"zero": 3}, ["QuantizeLinear x_quantize", "DequantizeLinear x_dequantize"]),
        ({"zero": 128, "kind": np.uint8}, ["QuantizeLinear x_quantize", "DequantizeLinear x_dequantize"]),
        ({"zero": 0, "kind": np.uint8}, ["QuantizeLinear x_quantize", "DequantizeLinear x_dequantize"]),
        ({"bias": True}, ["DequantizeLinear bias_dequantize"]),
        ({}, []),
    ],
)
def test_quantisation_that_is_refused_is_named_by_its_nodes(how: dict, named: list[str], tmp_path: Path) -> None:
    path = make.qdq(tmp_path / "model.onnx", **how)
    assert [line.partition(":")[0] for line in quantised.asymmetric(path)] == named
    if named:
        with pytest.raises(NoStack, match="quantisation of model.onnx"):
            quantised.check(path, "TensorRT", "source")


def test_a_zero_point_in_a_constant_node_is_seen(tmp_path: Path) -> None:
    path = make.qdq(tmp_path / "model.onnx")
    model = onnx.load(str(path))
    kept = next(it for it in model.graph.initializer if it.name == "zero")
    kept.raw_data = b"\x05"
    model.graph.initializer.remove(kept)
    model.graph.node.insert(0, onnx.helper.make_node("Constant", [], ["zero"], value=kept))
    onnx.save(model, str(path))
    assert len(list(quantised.asymmetric(path))) == 2


def test_what_the_header_refuses_the_parser_refuses_too(envctl: Program, tmp_path: Path) -> None:
    """The rule against the real parser, through the adapter itself."""
    for name, how in {"zero": {"zero": 3}, "bias": {"bias": True}}.items():
        make.qdq(tmp_path / f"{name}.onnx", **how)
    make.qdq(tmp_path / "good.onnx")
    code = ADAPTER + "for name in ('zero', 'bias', 'good'): print(name, tried(name + '.onnx', {}))"
    ran = envctl("run", *RTX, "1.7", "--", "python", "-c", code)
    lines = dict(line.split(" ", 1) for line in ran.out.splitlines() if line.split(" ")[0] in ("zero", "bias", "good"))
    assert lines["zero"].startswith("unsupported") and lines["bias"].startswith("unsupported"), ran.out
    assert lines["good"].startswith("built")


def test_a_build_for_a_foreign_platform_returns_bytes_and_is_no_success(
    envctl: Program, zoo: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copy(zoo["mlp"], tmp_path / "mlp.onnx")
    code = ADAPTER + "print('told', tried('mlp.onnx', {'platform': 'WINDOWS_AMD64'}))"
    ran = envctl("run", *RTX, "1.7", "--", "python", "-c", code)
    told = next(line for line in ran.out.splitlines() if line.startswith("told "))
    assert told.startswith("told engine-error"), ran.out


ADAPTER = """
import sys, tempfile
sys.path.insert(0, WORKER)
from adapters import tensorrt
from failure import StepFailed
tensorrt.open_engine()
def tried(path, options):
    with tempfile.TemporaryDirectory() as folder:
        try:
            tensorrt.convert(path, folder, options)
        except StepFailed as error:
            return error.kind + ": " + " ".join(str(error).split())
    return "built"
""".replace("WORKER", repr(str(Path(__file__).resolve().parent.parent / "envctl" / "worker")))


def test_the_answer_names_each_node_that_the_parser_lacks(tmp_path: Path) -> None:
    path = make.lacking(tmp_path / "lacking.onnx")
    result = do("convert", prepared("tensorrt-rtx", "1.7"), tmp_path / "job", path)
    found = {(it.op, it.node): it.why for it in result.lacking}
    assert found["Unique", "uniq"].startswith("the parser has no rule for it")
    assert "(dilations[i] == 1)" in found["MaxPool", "pool"]


def test_what_the_parser_is_known_to_lack_is_told_with_an_engine_that_has_it(envctl: Program, tmp_path: Path) -> None:
    ran = envctl("run", *RTX, "1.7", "convert", make.lacking(tmp_path / "lacking.onnx"))
    assert ran.code == 3 and "Unique uniq" in ran.err and "envctl run --ort 1.31" in ran.err


def test_float64_is_not_made_float32_in_silence(envctl: Program, tmp_path: Path, own_cache: Path) -> None:
    path = make.double(tmp_path / "double.onnx")
    ran = envctl("run", *RTX, "1.7", "convert", path, ENVCTL_CACHE=str(own_cache))
    assert ran.code == 5 and "x is float64 in the file and float32 in the network" in ran.err
    assert "--precision fp32" in ran.err
    told = said(convert(envctl, path, "--precision", "fp32", ENVCTL_CACHE=str(own_cache)))
    assert told["inputs"] == "x float32[1, 4]"


def test_an_opset_that_onnx_has_not_is_refused_before_anything_is_made(
    envctl: Program, digits: Path, tmp_path: Path
) -> None:
    path = make.of_opset(digits, tmp_path / "future.onnx", 30)
    ran = envctl("run", *RTX, "1.7", "convert", path, ENVCTL_CACHE=str(tmp_path / "cold"))
    assert ran.code == 2 and "says opset 30, which ONNX has not" in ran.err
    assert not (tmp_path / "cold" / "environments").exists()


def test_a_range_becomes_the_profile(envctl: Program, digits: Path, own_cache: Path) -> None:
    shape = "image=1x1x8x8:4x1x8x8:16x1x8x8"
    ran = convert(envctl, digits, "--shape", shape, ENVCTL_CACHE=str(own_cache))
    assert said(ran)["profile"] == "image 1x1x8x8:4x1x8x8:16x1x8x8"
    assert ran.json["notes"] == []


def test_openvino_holds_the_open_size_in_the_range(envctl: Program, digits: Path, tmp_path: Path) -> None:
    shape = "image=1x1x8x8:4x1x8x8:16x1x8x8"
    ran = envctl("run", "--openvino", "2026.4", "--runner", "local", "convert", digits, "--shape", shape, "-o", "out")
    assert ran.code == 0, ran.err
    assert 'shape="1..16,1,8,8"' in (tmp_path / "out" / "digits.openvino.xml").read_text()


def test_open_sizes_are_shown_when_nobody_spoke_of_them(envctl: Program, digits: Path, own_cache: Path) -> None:
    ran = convert(envctl, digits, ENVCTL_CACHE=str(own_cache))
    assert "leaves size 0 open; taken as [1, 1, 8, 8]" in ran.json["notes"][0]
    assert "--shape image=Nx1x8x8" in ran.json["notes"][0]


@pytest.mark.parametrize(
    ("shape", "why"),
    [
        ("image=4x1x8x8:1x1x8x8:16x1x8x8", "size 0 is not MIN <= OPT <= MAX: 4 <= 1 <= 16"),
        ("image=1x1x8x8:4x1x8x8:16x1x8x9", "does not fit the model's image"),
        ("image=1x1x8x8:4x1x8x8", "is not NAME="),
        ("image=1x1x8x8::16x1x8x8", "is not NAME="),
        ("image=0x1x8x8:1x1x8x8:2x1x8x8", "is not NAME="),
        ("other=1x1x8x8:1x1x8x8:2x1x8x8", "has no such input"),
    ],
)
def test_a_range_that_is_none_is_refused_at_once(shape: str, why: str, envctl: Program, digits: Path) -> None:
    ran = envctl("run", *RTX, "1.7", "convert", digits, "--shape", shape)
    assert ran.code == 2 and why in ran.err


# ---- built engines


def test_a_built_engine_is_found_again_by_all_that_it_depends_on(
    envctl: Program, zoo: dict[str, Path], tmp_path: Path, own_cache: Path
) -> None:
    known = {"ENVCTL_CACHE": str(own_cache)}
    model = shutil.copy(zoo["mlp"], tmp_path / "mlp.onnx")
    first = said(convert(envctl, model, **known))
    again = said(convert(envctl, model, **known))
    assert "from" not in first and again.pop("from").startswith("the cache of built engines")
    assert again == first
    other_gpu = envctl("run", *RTX[:3], "8.6", "--trt-rtx", "1.7", "convert", model, "-o", "out", "--json", **known)
    assert "from" not in said(other_gpu)
    changed = onnx.load(str(model))
    changed.graph.initializer[0].raw_data = bytes(len(changed.graph.initializer[0].raw_data))
    onnx.save(changed, str(model))
    assert "from" not in said(convert(envctl, model, **known))
    assert len(list((own_cache / "plans").iterdir())) == 3


def test_a_kept_engine_that_was_damaged_is_built_anew(envctl: Program, zoo: dict[str, Path], own_cache: Path) -> None:
    known = {"ENVCTL_CACHE": str(own_cache)}
    convert(envctl, zoo["mlp"], **known)
    (kept,) = (own_cache / "plans").glob("*/model.plan")
    kept.write_bytes(kept.read_bytes()[:-1])
    assert "from" not in said(convert(envctl, zoo["mlp"], **known))
    assert "from" in said(convert(envctl, zoo["mlp"], **known))


def test_a_built_engine_is_refused_before_any_engine_is_asked(
    envctl: Program, zoo: dict[str, Path], tmp_path: Path, own_cache: Path
) -> None:
    assert convert(envctl, zoo["mlp"], ENVCTL_CACHE=str(own_cache)).code == 4
    plan, cold = tmp_path / "out" / "mlp.trt-rtx.plan", {"ENVCTL_CACHE": str(tmp_path / "cold")}
    older = envctl("run", *RTX, "1.6", "infer", plan, **cold)
    assert older.code == 3 and "here tensorrt-rtx-plan is 1.7.1" in older.err
    assert envctl("run", "--ort", "1.31", "infer", plan, **cold).code == 2
    facts = {"gpu": Fact(name="gpu", value="12.0", origin="nvml", error="")}
    refuse(plan, facts, HostLacks, "was built for another GPU")
    refuse(plan, {**facts, "gpu": Fact(name="gpu", value="8.9", origin="nvml", error="")}, HostLacks, "fits, and this")
    refuse(plan, {}, HostLacks, "none is known here")
    whole = plan.read_bytes()
    plan.write_bytes(whole[:-1])
    refuse(plan, facts, BadInput, "is not whole")
    plan.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    refuse(plan, facts, BadInput, "is not the file that envctl built")
    assert not (tmp_path / "cold" / "environments").exists()


def refuse(plan: Path, facts: dict[str, Fact], kind: type[Exception], why: str) -> None:
    """The engine file on a machine with these facts: the error that is raised, or returned as the last word."""
    ask = Ask(task="infer", engine="tensorrt-rtx", pins=(), model=plan)
    with pytest.raises(kind, match=why):
        raise load_plan.refuse(ask, plan, load(), HostFacts(facts=facts), LocalRunner())


@pytest.mark.slow
@pytest.mark.parametrize("model", sorted(LIGHT.glob("light_*.onnx")), ids=lambda path: path.stem)
def test_every_light_model_parses_and_builds(model: Path, envctl: Program, tmp_path: Path, own_cache: Path) -> None:
    """Structure only: they are constant, so that nothing is certified."""
    ran = convert(envctl, model, ENVCTL_CACHE=str(own_cache))
    assert int(said(ran)["layers_before_fusion"]) > 20
    note = json.loads((tmp_path / "out" / f"{model.stem}.trt-rtx.envctl.json").read_text())
    assert (note["status"], note["verdict"]) == ("built", None)


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.4", "1.5", "1.6"])
def test_the_int8_unet_is_what_older_releases_cannot_build(
    version: str, envctl: Program, zoo: dict[str, Path], own_cache: Path
) -> None:
    wish = ("--precision", "int8", "--calibration", "seeded")
    ran = convert(envctl, zoo["unet"], *wish, version=version, ENVCTL_CACHE=str(own_cache))
    assert ran.code == 5
    assert "MyelinCheckException" in ran.out
