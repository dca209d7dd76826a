"""`envctl doctor --for WHAT`: broken models, engine files, images and wishes on recorded machines, and this one."""

from __future__ import annotations

import io
import json
import platform
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from envctl.doctor.checks.image import ARCHITECTURES
from envctl.doctor.wanted import Engine
from envctl.errors import BadInput
from envctl.host import ALL_PROBES, HostFacts, collect, start_probes
from envctl.matrix import load
from envctl.model import plan_header
from envctl.workflow.doctor import Diagnosis, diagnose, judged_for
from envctl.workflow.wanted import read_word
from envctl.workflow.wanted_facts import read_wants
from tests import wanted_makers as make
from tests.conftest import ROOT, Ran, docker_answers
from tests.models import bad, lacking
from tests.wanted_faults import FAULTS, Fault

Program = Callable[..., Ran]
HERE = ARCHITECTURES[platform.machine()]
HOSTS, MATRIX = ROOT / "tests" / "hosts", load()


@cache
def machine(name: str) -> HostFacts:
    """The facts of a recorded machine, read once: the faults are in what is to run there."""
    return collect(start_probes(ALL_PROBES, root=HOSTS / name), seconds=20)


def found(
    fault: Fault, thing: Callable[[Path], object], engines: tuple[str, ...], folder: Path, host: str = ""
) -> Diagnosis:
    """What the check says of the thing, on the fault's machine or another."""
    path = folder / fault.name
    thing(path)
    wants = read_wants(MATRIX, (*((str(path),) if fault.name else ()), *engines))
    return judged_for(MATRIX, machine(host or fault.host), wants, (fault.check,))


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_found_with_its_fix_and_the_twin_is_silent(name: str, tmp_path: Path) -> None:
    fault = FAULTS[name]
    broken = found(fault, fault.broken, fault.engines, tmp_path / "broken")
    verdict = next(each for each in broken.verdicts if each.id == fault.check)
    assert verdict.finding.level == fault.level, verdict
    assert fault.said in verdict.finding.said
    assert fault.fix in " ; ".join(verdict.finding.fix)
    assert verdict.finding.evidence and verdict.source and not verdict.follows
    assert broken.failed or fault.level != "FAIL"
    assert str(tmp_path) not in str(verdict), "a report names no folder of anybody's"
    engines = fault.engines if fault.twin_engines is None else fault.twin_engines
    twin = found(fault, fault.twin, engines, tmp_path / "twin", fault.twin_host)
    well = next(each.finding for each in twin.verdicts if each.id == fault.check)
    assert well.level in ("OK", "INFO"), well
    assert not twin.failed


def test_what_follows_from_a_broken_file_is_folded(tmp_path: Path) -> None:
    path = bad.lfs_pointer(tmp_path / "model.onnx")
    told = diagnose(HOSTS / "ubuntu22.04-desktop", wanted=(str(path),))
    follows = {each.id: each.follows for each in told.verdicts}
    assert {follows[name] for name in ("onnx.version", "onnx.dtypes", "onnx.ops", "model.memory")} == {"file.kind"}


def test_what_has_nothing_to_do_with_it_is_not_counted() -> None:
    """Nouveau holds the GPU: TensorRT fails for that, ONNX Runtime on the CPU does not care."""
    host = HOSTS / "ubuntu22.04-rtx3090-nouveau"
    cpu, gpu = diagnose(host, wanted=("ort",)), diagnose(host, wanted=("trt",))
    levels = [{each.id: each.finding.level for each in told.verdicts if told.concerns(each)} for told in (cpu, gpu)]
    assert not cpu.failed and "gpu.bound" not in levels[0]
    assert gpu.failed and levels[1]["gpu.bound"] == "FAIL" and levels[1]["engine"] == "FAIL"
    assert diagnose(host).failed


def test_unknown_of_the_machine_is_said_and_not_well(tmp_path: Path) -> None:
    told = diagnose(tmp_path, wanted=("trt 10",))
    engine = next(each.finding for each in told.verdicts if each.id == "engine")
    assert engine.level != "OK"


def test_an_engine_without_known_limits_is_not_judged(tmp_path: Path) -> None:
    path = make.checked(make.model(tmp_path / "model.onnx"))
    told = diagnose(HOSTS / "ubuntu22.04-desktop", wanted=(str(path), "openvino"))
    levels = {each.id: each.finding.level for each in told.verdicts}
    assert (levels["onnx.version"], levels["onnx.dtypes"], levels["onnx.ops"]) == ("SKIP", "SKIP", "OK")


@pytest.mark.parametrize(
    ("word", "name", "condition"),
    [
        ("tensorrt", "tensorrt", None),
        ("trt==10", "tensorrt", "==10.*"),
        ("openvino 2024.6", "openvino", "==2024.6.*"),
        ("ort>=1.17,<1.20", "onnxruntime", ">=1.17,<1.20"),
        ("tensorrt-cu12 10.3", "tensorrt", "==10.3.*"),
        ("engine:cudnn 9", "cudnn", "==9.*"),
    ],
)
def test_engines_are_named_as_people_name_them(word: str, name: str, condition: str | None) -> None:
    engine = read_word(MATRIX, word)
    assert isinstance(engine, Engine)
    assert (engine.name, [str(pin.condition) for pin in engine.pins]) == (name, [condition] if condition else [])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("model.onnx",), "no such file: model.onnx"),
        (("./tensorrt",), "no such file"),
        (("tensort",), "no file, engine or image tensort"),
        (("TensorRTT 10",), "there is no such file, engine or image"),
        (("driver 535",), "knows it as a host"),
        (("trt", "tensorrt 10"), "names tensorrt twice"),
        (("trt=ten",), "is not a version"),
        (("engine:nothing",), "no such engine"),
        (("oci:nowhere",), "no such file"),
        ((".",), "is a folder without"),
    ],
    ids=str,
)
def test_a_word_that_names_nothing_is_one_clear_error(words: tuple[str, ...], said: str, envctl: Program) -> None:
    if words == ("tensort",) and not docker_answers():
        pytest.skip("a bare word may be an image: no daemon can be asked")
    ran = envctl("doctor", *(part for word in words for part in ("--for", word)))
    assert ran.code == 2, ran.out
    assert said in ran.err and "hint: " in ran.err
    assert "Traceback" not in ran.err


def test_a_file_called_like_an_engine_is_ambiguous(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make.model(tmp_path / "openvino")
    with pytest.raises(BadInput, match="an engine, and a file here") as caught:
        read_word(MATRIX, "openvino")
    assert caught.value.do == ["the engine: --for engine:openvino", "the file: --for ./openvino"]
    assert isinstance(read_word(MATRIX, "engine:openvino"), Engine)
    assert not isinstance(read_word(MATRIX, "./openvino"), Engine)
    (tmp_path / "tensorflow").mkdir()  # a checkout, say
    assert isinstance(read_word(MATRIX, "tensorflow"), Engine)


def test_two_models_are_one_too_many(tmp_path: Path) -> None:
    paths = [str(make.model(tmp_path / name)) for name in ("a.onnx", "b.onnx")]
    with pytest.raises(BadInput, match="names two models"):
        diagnose(HOSTS / "ubuntu22.04-desktop", wanted=tuple(paths))


def test_the_command_tells_what_was_asked_first(envctl: Program, tmp_path: Path) -> None:
    make.model(tmp_path / "model.onnx", 22, 10)
    ran = envctl("doctor", "--for", "model.onnx", "--for", "ort 1.17", "--root", HOSTS / "ubuntu22.04-desktop")
    assert ran.code == 1, ran.err
    lines = ran.out.splitlines()
    assert lines[1].startswith("[x] ") and "(onnx.version)" in lines[1]
    assert lines[-2] == "what runs here, of what is wanted:"
    assert "onnxruntime" in lines[-1] and "here opset is 22" in lines[-1]


def test_it_goes_with_the_other_options(envctl: Program, tmp_path: Path) -> None:
    make.model(tmp_path / "model.onnx")
    options = ("doctor", "--for", "model.onnx", "--for", "ort", "--root", HOSTS / "ubuntu22.04-desktop")
    told = envctl(*options, "--json").json
    by_id = {each["id"]: each for each in told["verdicts"]}
    assert by_id["engine"]["concerns"] and not by_id["dk.socket"]["concerns"]
    assert told["facts"]["model"]["value"]["opsets"] == {"ai.onnx": 17}
    assert [each["engine"] for each in told["runs"]] == ["onnxruntime"]
    only = envctl(*options, "--only", "onnx.version", "--json").json
    assert [each["id"] for each in only["verdicts"]] == ["onnx.version"]
    report = envctl(*options, "--report").out
    assert report.startswith("```\n") and "(onnx.version)" in report and str(tmp_path) not in report


def test_a_model_alone_is_told_which_engines_run_it(tmp_path: Path) -> None:
    path = make.model(tmp_path / "model.onnx", 22, 10)
    runs = {each.engine: each for each in diagnose(HOSTS / "ubuntu22.04-desktop", wanted=(str(path),)).runs}
    assert runs["onnxruntime"].cpu and "opset" in runs["mxnet"].why
    assert "tensorflow" not in runs, "it reads no ONNX"


# ---- engine files


@pytest.mark.parametrize("number", [205, 213, 232])
def test_old_engine_files_name_their_serialisation(tmp_path: Path, number: int) -> None:
    assert plan_header.read(make.old_plan(tmp_path / "e", number)).version == plan_header.SERIALISATIONS[number]


def test_an_unknown_serialisation_is_no_release(tmp_path: Path) -> None:
    assert plan_header.read(make.old_plan(tmp_path / "e", 1)).version == ""


def test_a_header_that_ends_early_is_refused(tmp_path: Path) -> None:
    for length in range(28):
        path = bad.put(tmp_path / "e.plan", make.plan(tmp_path / "whole").read_bytes()[:length])
        with pytest.raises(BadInput):
            plan_header.read(path)


@pytest.mark.engines
def test_the_header_of_a_real_engine_file(envctl: Program, digits: Path, tmp_path: Path) -> None:
    made = envctl("run", "--trt-rtx", "1.7", "--gpu", "8.9", "convert", digits, "-o", "out", "--no-verify")
    assert made.code == 0, made.err
    header = plan_header.read(tmp_path / "out" / "digits.trt-rtx.plan")
    assert header.engine == "tensorrt-rtx" and header.version.startswith("1.7.")
    assert header.said == header.size
    told = envctl("doctor", "--for", "out/digits.trt-rtx.plan", "--json").json
    assert told["facts"]["plan"]["value"]["sidecar"]["same"] is True


# ---- images


@pytest.fixture
def image() -> Iterator[str]:
    """A tiny image in the local daemon, made from one layer, that asks for more CUDA than any driver offers."""
    if not docker_answers():
        pytest.skip("no Docker daemon")
    name = "envctl-test-for:tiny"
    layer = make.layer({"usr/lib/x86_64-linux-gnu/libcuda.so.470.57.02": b"x", "etc/os-release": b"ID=none\n"})
    changes = ("ENV NVIDIA_REQUIRE_CUDA=cuda>=99.0", "ENV NVIDIA_VISIBLE_DEVICES=all", "ENV SECRET_TOKEN=hunter2")
    options = [part for change in changes for part in ("--change", change)]
    command = ["docker", "import", *options, "-", name]
    subprocess.run(command, input=layer, check=True, capture_output=True)
    yield name
    subprocess.run(["docker", "rmi", "-f", name], check=True, capture_output=True)


def levels(ran: Ran) -> dict[str, Any]:
    return {each["id"]: each["finding"]["level"] for each in ran.json["verdicts"]}


@pytest.mark.docker
def test_an_image_of_the_daemon_against_another_machine(envctl: Program, image: str) -> None:
    ran = envctl("doctor", "--for", image, "--root", HOSTS / "ubuntu22.04-docker28-a10", "--json")
    assert ran.code == 1
    assert (levels(ran)["img.arch"], levels(ran)["img.require"]) == ("OK", "FAIL")
    assert "hunter2" not in ran.out, "of an image's environment only what tells is kept"
    here = envctl("doctor", "--for", f"image:{image}", "--json")
    assert levels(here)["img.arch"] == "OK"


@pytest.mark.docker
def test_a_saved_image_says_the_same_as_the_daemon(envctl: Program, image: str, tmp_path: Path) -> None:
    subprocess.run(["docker", "save", "-o", str(tmp_path / "image.tar"), image], check=True)
    root = HOSTS / "ubuntu22.04-docker28-a10"
    there, filed = (envctl("doctor", "--for", name, "--root", root, "--json") for name in (image, "image.tar"))
    for name in ("img.arch", "img.require", "img.capabilities", "img.age"):
        assert levels(there)[name] == levels(filed)[name], name
    assert levels(filed)["img.driverfiles"] == "WARN"


@pytest.mark.docker
def test_an_image_that_is_not_here_is_refused_with_the_pull(envctl: Program) -> None:
    if not docker_answers():
        pytest.skip("no Docker daemon")
    ran = envctl("doctor", "--for", "example/none:1.0")
    assert ran.code == 2
    assert "hint: docker pull example/none:1.0" in ran.err


def test_without_a_daemon_nobody_can_be_asked(envctl: Program, tmp_path: Path) -> None:
    ran = envctl("doctor", "--for", "image:some:1.0", DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert ran.code == 4
    assert "no container engine can be asked" in ran.err


def test_layouts_and_archives_are_read_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    layout = make.oci(tmp_path / "layout", {}, architectures=("arm64", "amd64"), tag="v1")
    make.packed(layout, tmp_path / "layout.tar")
    for name in ("layout", "oci:layout", "oci:layout:v1", "layout.tar", "oci-archive:layout.tar"):
        assert read_wants(MATRIX, (name,)).value("image_platform") == f"linux/{HERE}", name
    with pytest.raises(BadInput) as caught:
        read_wants(MATRIX, ("oci:layout:v2",))
    assert "has no image v2" in caught.value.because[0].text


def spoiled(folder: Path) -> Path:
    """A layout with one blob changed: the manifest, whose digest no longer fits."""
    make.oci(folder, {})
    digest = json.loads((folder / "index.json").read_text())["manifests"][0]["digest"].partition(":")[2]
    path = folder / "blobs" / "sha256" / digest
    path.write_bytes(path.read_bytes() + b" ")
    return folder


def escaping(folder: Path) -> Path:
    """A layout whose index names a blob outside it."""
    make.oci(folder, {})
    entry = {"digest": "sha256:../../../../etc/passwd"}
    (folder / "index.json").write_text(json.dumps({"manifests": [entry]}))
    return folder


def emptied(folder: Path) -> Path:
    make.oci(folder, {})
    (folder / "index.json").write_text("{}")
    return folder


@pytest.mark.parametrize(
    ("broken", "said"),
    [(spoiled, "its SHA-256 is another"), (escaping, "is no digest"), (emptied, "no image can be made out")],
)
def test_a_broken_layout_is_refused(envctl: Program, tmp_path: Path, broken: Callable[[Path], Path], said: str) -> None:
    broken(tmp_path / "layout")
    ran = envctl("doctor", "--for", "layout")
    assert ran.code == 2
    assert said in ran.err and "is no image that can be read" in ran.err


def test_layers_that_cannot_be_listed_are_unknown_and_not_well(envctl: Program, tmp_path: Path) -> None:
    layout = make.oci(tmp_path / "layout", {"a": b"a"})
    manifest = next(path for path in (layout / "blobs/sha256").iterdir() if b"layers" in path.read_bytes())
    layer = json.loads(manifest.read_text())["layers"][0]["digest"].partition(":")[2]
    (layout / "blobs/sha256" / layer).write_bytes(b"\x28\xb5\x2f\xfd" + bytes(64))
    ran = envctl("doctor", "--for", "layout", "--only", "img.driverfiles", "--json")
    finding = ran.json["verdicts"][0]["finding"]
    assert finding["level"] == "SKIP" and "zstd" in finding["said"]


def test_a_tar_that_is_no_image(envctl: Program, tmp_path: Path) -> None:
    (tmp_path / "some.tar").write_bytes(make.layer({"a": io.BytesIO(b"a").read()}))
    ran = envctl("doctor", "--for", "some.tar")
    assert ran.code == 2
    assert "is no image that can be read" in ran.err


SMALL = ROOT / "tests" / "models" / "small"


@pytest.mark.parametrize(
    ("path", "engine", "level", "said"),
    [
        ("keras/functional.3.keras", "ncnn", "OK", "read through onnx in tensorflow by ncnn"),
        ("tensorflow/saved_model", "openvino", "OK", "read as it is by openvino"),
        ("torch/exported.pt2", "onnxruntime", "OK", "read through onnx in torch by onnxruntime"),
        ("torch/exported.pt2", "litert", "FAIL", "litert cannot take torch-export models"),
        ("torch/state.pt", "onnxruntime", "FAIL", "onnxruntime cannot take torch-checkpoint models"),
    ],
)
def test_a_model_of_another_format_is_read_and_its_way_told(path: str, engine: str, level: str, said: str) -> None:
    wants = read_wants(MATRIX, (str(SMALL / path), engine))
    told = judged_for(MATRIX, machine("ubuntu22.04-desktop"), wants, ("file.kind",)).verdicts
    kind = next(each.finding for each in told if each.id == "file.kind")
    assert (kind.level, said in kind.said, bool(kind.fix)) == (level, True, level == "FAIL"), kind


def test_operators_that_an_engine_was_found_to_lack_are_told(tmp_path: Path) -> None:
    path = lacking.several(tmp_path / "m.onnx")
    for engine, level in (("openvino 2026.4", "FAIL"), ("onnxruntime 1.31", "OK")):
        wants = read_wants(MATRIX, (str(path), engine))
        told = judged_for(MATRIX, machine("ubuntu22.04-desktop"), wants, ("onnx.ops",)).verdicts
        ops = next(each.finding for each in told if each.id == "onnx.ops")
        assert (ops.level, "Det, MaxUnpool" in ops.said) == (level, level == "FAIL"), ops
