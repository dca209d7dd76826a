"""TensorFlow on a GPU as far as a machine without one can tell: what is planned, what is refused, and what is read of
the graphs that TensorFlow executed, from a real one on the CPU. It was not run on a GPU yet (docs/gpu.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from envctl import matrix
from envctl.cli.pins import read_pins
from envctl.errors import NoStack
from envctl.host import Fact, read_host
from envctl.request import Pin
from envctl.runner import WORKER
from envctl.runner.local import LocalRunner
from envctl.workflow.ask import Ask
from envctl.workflow.environments import Plans, plans_for
from envctl.workflow.source import read_source
from tests.conftest import ROOT, Ran

pytestmark = pytest.mark.engines
Program = Callable[..., Ran]
HERE = ("--runner", "local")
SAVED_MODEL = ROOT / "tests/models/small/tensorflow/saved_model"
READS = """
import os, sys
sys.path.insert(0, sys.argv[1])
os.environ["TMPDIR"] = sys.argv[3]
from adapters import tensorflow as plain, tensorflow_cuda as gpu
import numpy, placement
plain.open_engine()
session = gpu.Session(plain.read(sys.argv[2], {"format": "saved-model"}), {})
specs = session.source.inputs.items()
try:
    session.run({name: numpy.ones([n or 1 for n in spec.shape], spec.dtype.as_numpy_dtype) for name, spec in specs})
except Exception as error:
    print(error)
print(placement.told(session.placed), any("float" in kinds for _, _, _, kinds in session.placed))
"""


def test_it_is_refused_without_a_gpu(envctl: Program) -> None:
    ran = envctl("run", "--tf", "2.21", "--provider", "cuda", *HERE, "verify", SAVED_MODEL)
    assert ran.code == 4 and "TensorFlow (CUDA) runs on an NVIDIA GPU, and none can be used here" in ran.err


def planned(*pins: Pin) -> Plans:
    """The plans of a machine with an H200."""
    host = read_host()
    facts = {name: Fact(name=name, value=value, origin="test") for name, value in (("gpu", "9.0"), ("driver", "580.1"))}
    model = read_source(SAVED_MODEL)
    ask = Ask(task="verify", engine="tensorflow", pins=pins, provider="cuda", model=model.path)
    return plans_for(matrix.load(), ask, model, replace(host, facts={**host.facts, **facts}), LocalRunner())


def test_releases_whose_extra_cannot_be_had_are_refused() -> None:
    with pytest.raises(NoStack) as refused:
        planned(*read_pins({"--tf": "2.14"}, []))
    assert any("asks for TensorRT wheels" in reason.text for reason in refused.value.because)


def test_the_target_takes_cudas_packages_and_the_reference_computes_on_the_cpu() -> None:
    plans = planned()
    assert plans.reference
    assert (plans.target.spec.adapter, plans.reference.spec.adapter) == ("tensorflow_cuda", "tensorflow")
    assert plans.target.packages.requirements[0].startswith("tensorflow[and-cuda]==")
    assert plans.reference.packages.requirements[0].startswith("tensorflow-cpu==")
    assert plans.target.stack.version("tensorflow") == plans.reference.stack.version("tensorflow")


@pytest.mark.slow
def test_a_graph_that_ran_on_the_cpu_alone_is_refused(envctl: Program, tmp_path: Path) -> None:
    script = tmp_path / "reads.py"
    script.write_text(READS)
    ran = envctl("run", "--tf", "2.21", *HERE, "--", "python", script, WORKER, SAVED_MODEL, tmp_path)
    assert "no node ran on GPU" in ran.out, ran.err
    told = ran.out.splitlines()[-1].split()
    assert told[1:] == ["CPU", "True"] and int(told[0]) > 0
