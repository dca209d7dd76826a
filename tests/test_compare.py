"""`envctl compare` and `bench` through the real program: real engines, real workers, some of which are killed."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from envctl.bench.document import Cell, Document
from envctl.bench.reading import load
from tests.conftest import CACHE, ROOT, Ran, run_envctl
from tests.test_interrupt import processes, wait_for

pytestmark = pytest.mark.engines
Program = Callable[..., Ran]
QUICK = ("--threads", "1", "--rounds", "2", "--seconds", "0.02", "--runner", "local")
ENGINES = ("--ort", "1.31", "--openvino", "2026.4,2019.1")


@pytest.fixture(scope="module")
def compared(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ran, Document, Path]:
    """One comparison for all tests that read it: what was printed, the document, its file."""
    folder = tmp_path_factory.mktemp("compared")
    ran = run_envctl("compare", digits, *ENGINES, *QUICK, "-o", "all.json", "--json", cwd=folder)
    return ran, load(folder / "all.json"), folder / "all.json"


def named(document: Document) -> dict[str, Cell]:
    return {cell.id: cell for cell in document.cells}


def test_every_cell_has_its_figures_or_its_reason(compared: tuple[Ran, Document, Path]) -> None:
    ran, document, path = compared
    assert ran.code == 0, ran.err
    assert json.loads(path.read_text()) == ran.json
    cells = named(document)
    assert {name.rsplit("-", 3)[0]: cell.status for name, cell in cells.items()} == {
        "onnxruntime-1.31.1": "passed", "openvino-2026.4.1": "passed", "openvino-2019.1": "refused",
    }  # fmt: skip
    for cell in cells.values():
        assert cell.complete and (cell.reason is None) == (cell.status == "passed")
        if cell.status == "passed":
            check_figures(cell)


def check_figures(cell: Cell) -> None:
    assert cell.verdict and cell.verdict.passed and cell.verdict.outputs[0].max_abs < 1e-4
    assert cell.ran and (cell.ran.precision, cell.ran.device) == ("fp32", "CPU")
    assert cell.load and cell.load.import_s > 0 and cell.load.load_s > 0 and cell.load.first_s
    told = cell.latency
    assert told and 0 < told.min <= told.median <= told.p90 <= told.p99 and 2 <= len(told.rounds) <= 6
    assert told.count >= len(told.samples) and (told.stable or told.because)
    assert cell.throughput and cell.throughput.per_s and len(cell.throughput.curve) >= 3
    assert cell.memory and cell.memory.peak and 1 << 24 < (cell.memory.steady or 0) <= cell.memory.peak < 1 << 30
    assert cell.size and (cell.size.environment or 0) > 50 << 20 and 10_000 < (cell.size.artifact or 0) < 100_000
    assert cell.energy and (cell.energy.joule is not None or cell.energy.because)
    assert {part.component for part in cell.stack} >= {cell.engine, "python"} and all(
        part.source for part in cell.stack
    )
    assert cell.lock and cell.idle_cpu is not None


def test_the_document_says_where_and_how(compared: tuple[Ran, Document, Path], digits: Path) -> None:
    _, document, _ = compared
    assert document.model.bytes == digits.stat().st_size and document.model.inputs[0].dtype == "float32"
    assert document.reference and document.reference.engine == "onnxruntime"
    assert document.noise.foreign_cpu is not None and 0 <= document.noise.foreign_cpu <= 1
    assert document.host.cores and document.host.runner == "local"


@pytest.mark.slow
def test_built_engines_say_what_keeps_them_from_running(digits: Path, envctl: Program) -> None:
    ran = envctl("bench", digits, "--trt-rtx", "1.7", *QUICK, "--json")
    (built,) = ran.json["cells"]
    assert (ran.code, built["status"], built["version"]) == (4, "refused", "1.7.1")
    assert built["reason"]["what"].startswith("built, not executed") and built["lock"] and built["size"]["artifact"]


def test_the_command_of_a_cell_measures_it_alone(compared: tuple[Ran, Document, Path], envctl: Program) -> None:
    cell = next(cell for cell in compared[1].cells if cell.engine == "onnxruntime")
    ran = envctl(*shlex.split(cell.command)[1:], "--no-throughput", "--json")
    assert ran.code == 0, ran.err
    assert [each["id"] for each in ran.json["cells"]] == [cell.id]
    assert ran.json["cells"][0]["throughput"]["because"] == "not searched for"
    assert ran.json["cells"][0]["lock"] == cell.lock and not list(Path.cwd().glob("envctl-out/digits.compare.json"))


def test_resume_measures_what_is_missing_and_nothing_else(
    compared: tuple[Ran, Document, Path], digits: Path, tmp_path: Path, envctl: Program
) -> None:
    _, before, path = compared
    data = json.loads(path.read_text())
    data["cells"] = [cell for cell in data["cells"] if cell["version"] != "2026.4.1"]
    for cell in data["cells"]:
        cell["notes"] = ["from before"]
    (tmp_path / "part.json").write_text(json.dumps(data))
    again = ("compare", digits, *ENGINES, *QUICK, "--no-throughput", "--resume", "part.json", "-o", "whole.json")
    ran = envctl(*again)
    assert ran.code == 0, ran.err
    after = load(tmp_path / "whole.json")
    assert [cell.id for cell in after.cells] == [cell.id for cell in before.cells]
    assert [cell.engine for cell in after.cells if "from before" not in cell.notes] == ["openvino"]
    assert "cell 2 of 3" in ran.err and "cell 1 of 3" not in ran.err


def test_resume_refuses_figures_of_something_else(
    compared: tuple[Ran, Document, Path], digits: Path, tmp_path: Path, envctl: Program
) -> None:
    data = json.loads(compared[2].read_text())
    data["model"]["digest"] = "0" * 64
    (tmp_path / "other.json").write_text(json.dumps(data))
    for path, more, what in ((tmp_path / "other.json", (), "model"), (compared[2], ("--seed", "3"), "seed")):
        ran = envctl("compare", digits, *ENGINES, *QUICK, *more, "--resume", path)
        assert ran.code == 2 and f"the {what} is another one" in ran.err


@pytest.mark.parametrize(
    ("command", "arguments", "code", "said"),
    [
        ("compare", (), 2, "no engine was named"),
        ("compare", ("--ort", "one", "--batch", "0"), 2, "one"),
        ("compare", ("--ort", "1.31", "--resume", "nothing.json"), 2, "is not a comparison"),
        ("compare", ("--ort", "99"), 4, "no stack for onnxruntime 99"),
        ("bench", ("--ort", "1.31,1.17"), 2, "several: envctl compare"),
    ],
)
def test_bad_input_is_named(
    digits: Path, envctl: Program, command: str, arguments: tuple[str, ...], code: int, said: str
) -> None:
    ran = envctl(command, digits, *arguments, "--runner", "local")
    assert ran.code == code and said in ran.out + ran.err


@contextmanager
def comparing(*arguments: str | Path, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """A running `envctl compare`; what is left of it at the end of the block is killed."""
    variables = {**os.environ, "ENVCTL_CACHE": str(CACHE), "ENVCTL_EVIDENCE": "none", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "envctl", "compare", *map(str, arguments)]
    log = (cwd / "log").open("w")
    process = subprocess.Popen(command, cwd=cwd, env=variables, stdout=log, stderr=log, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        log.close()


def worker_of(cell: int) -> int:
    """The process that measures a cell."""
    found = processes(f"/cell-{cell}/measure-0")
    assert len(found) == 1, found
    return found[0]


LONG = ("--threads", "1", "--rounds", "8", "--seconds", "0.4", "--no-throughput", "--runner", "local", "-o", "all.json")


@pytest.mark.slow
def test_engines_that_die_or_hang_in_round_3_fail_alone(digits: Path, tmp_path: Path) -> None:
    """Real workers: one is killed, one is stopped, and the third has all its figures."""
    engines = ("--ort", "1.31,1.17", "--openvino", "2026.4", "--timeout", "45")
    with comparing(digits, *engines, *LONG, cwd=tmp_path) as process:
        wait_for(lambda: "round 3 of 8" in (tmp_path / "log").read_text(), "round 3")
        os.kill(worker_of(0), signal.SIGKILL)
        os.kill(worker_of(2), signal.SIGSTOP)
        assert process.wait(timeout=500) == 5
    killed, finished, silent = load(tmp_path / "all.json").cells
    assert (killed.status, finished.status, silent.status) == ("killed", "passed", "timeout")
    assert killed.reason and re.search(r"in round [34]\)$", killed.reason.what)
    assert silent.reason and silent.reason.because[0].text == "no answer within 45 s"
    assert finished.latency and len(finished.latency.rounds) >= 8
    assert killed.latency and len(killed.latency.rounds) < 8, "what was measured before is kept"
    assert not processes("/measure-0")


@pytest.mark.slow
def test_ctrl_c_ends_every_worker_and_keeps_what_is_known(digits: Path, tmp_path: Path) -> None:
    with comparing(digits, "--ort", "1.31", "--openvino", "2026.4", *LONG, cwd=tmp_path) as process:
        wait_for(lambda: "round 3 of 8" in (tmp_path / "log").read_text(), "round 3")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    assert not processes("/measure-0")
    document = load(tmp_path / "all.json")
    assert [(cell.status, cell.complete) for cell in document.cells] == [("passed", False)] * 2
    assert all(cell.latency and len(cell.latency.rounds) >= 2 for cell in document.cells)


@pytest.mark.slow
def test_a_cell_whose_numbers_fail_is_measured_and_shows_where(digits: Path, envctl: Program) -> None:
    """With a tolerance that nothing keeps: a real difference between two real engines."""
    ran = envctl("bench", digits, "--openvino", "2026.4", *QUICK, "--atol", "1e-30", "--no-throughput", "--json")
    assert ran.code == 1
    cell = ran.json["cells"][0]
    assert cell["status"] == "failed" and cell["latency"]["median"] > 0 and cell["reason"]["what"]
    heat = cell["verdict"]["outputs"][0]["heat"]
    assert (heat["rows"], heat["cols"]) == (16, 10) and max(heat["values"]) == pytest.approx(
        cell["verdict"]["outputs"][0]["max_abs"], rel=1e-3
    )


@pytest.mark.slow
def test_the_verdict_of_a_cell_is_that_of_envctl_run(digits: Path, envctl: Program) -> None:
    arguments = (digits, "--batch", "8", "--openvino", "2026.4", *QUICK, "--no-throughput", "--json")
    cell = envctl("bench", *arguments).json["cells"][0]
    shape = "--shape=image=8x1x8x8"
    pins = ("--openvino", "2026.4", "--runner", "local")
    ran = envctl("run", *pins, "verify", digits, shape, "--threads", "1", "--json")
    assert ran.code == 0, ran.err
    before = ran.json["verdict"]["differences"][0]
    after = cell["verdict"]["outputs"][0]
    for name, same in (("max_abs", "max_abs"), ("p999_abs", "p999"), ("cosine", "cosine"), ("scale", "scale")):
        assert before[name] == after[same]


@pytest.mark.slow
def test_copies_run_at_the_same_time(digits: Path, envctl: Program) -> None:
    ran = envctl("bench", digits, "--ort", "1.31", *QUICK, "--colocate", "3", "--json")
    assert ran.code == 0, ran.err
    cell = ran.json["cells"][0]
    assert cell["colocate"] == 3 and cell["throughput"]["concurrency"] == 3 and cell["id"].endswith("-x3")


@pytest.mark.slow
@pytest.mark.docker
@pytest.mark.usefixtures("docker_base")
def test_a_cell_is_measured_in_a_container(digits: Path, envctl: Program) -> None:
    ran = envctl("bench", digits, "--openvino", "2026.4", *QUICK[:-1], "docker", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["host"]["runner"] == "docker" and ran.json["cells"][0]["latency"]["median"] > 0


@pytest.mark.slow
def test_a_model_with_a_scalar_input_is_measured_and_grows(envctl: Program) -> None:
    """A scalar of every sample has no axis: it is an array all the same, and stays as it is in larger batches."""
    model = ROOT / "tests/models/small/tensorflow/saved_model"
    engines = ("--openvino", "2026.4", "--ort", "1.31")
    ran = envctl("compare", model, *engines, "--batch", "4", *QUICK, "-o", "scalar.json", "--json")
    assert ran.code == 0, ran.err
    for cell in ran.json["cells"]:
        curve = cell["throughput"]["curve"]
        assert cell["status"] == "passed" and [point for point in curve if point["batch"] == 8 and point["per_s"]]
