"""Models made by real frameworks, in environments that uv makes: `envctl inspect` says what each framework says."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from envctl import model
from envctl.model.tflite import OPERATORS, TYPES
from tests.frameworks import FRAMEWORKS, environment, make
from tests.inspected import assert_agrees

pytestmark = [pytest.mark.slow, pytest.mark.engines]


@pytest.fixture(params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A framework's name and its Python; removed afterwards, as some are gigabytes."""
    import shutil

    folder = tmp_path_factory.mktemp("framework")
    yield request.param, environment(request.param, folder / "env")
    shutil.rmtree(folder)


def test_a_framework_and_envctl_say_the_same_of_its_files(framework: tuple[str, Path], tmp_path: Path) -> None:
    name, python = framework
    for maker in FRAMEWORKS[name].makers:
        said = make(python, maker, tmp_path / maker)
        assert len(said) >= (1 if name == "ncnn" else 3)
        for file, told in said.items():
            assert_agrees(tmp_path / maker / file, told)
    if name == "engines":
        plan = next(tmp_path.rglob("*.plan"))
        plan.write_bytes(plan.read_bytes()[:-1])
        with pytest.raises(model.WeightsAway.__base__, match="truncated or damaged"):
            model.inspect(plan)
        tflite_vocabulary(python)


def tflite_vocabulary(python: Path) -> None:
    """Our numbers of operators and types are those of the LiteRT package."""
    code = (
        "import json; from ai_edge_litert import schema_py_generated as s\n"
        "told = [{v: k for k, v in vars(c).items() if isinstance(v, int)} for c in (s.BuiltinOperator, s.TensorType)]\n"
        "print(json.dumps([[each[i] for i in sorted(each)] for each in told]))"
    )
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    operators, types = json.loads(done.stdout)
    assert operators == OPERATORS
    assert [name.lower().replace("string", "str") for name in types] == list(TYPES)
