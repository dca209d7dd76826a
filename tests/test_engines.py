"""A new engine is four files (docs/adding-an-engine.md); this says which is missing."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from envctl import matrix, spec
from envctl.cli.pins import ENGINES
from envctl.runner import WORKER

NEEDED = {"open_engine", "versions", "convert", "load"}


@pytest.mark.parametrize("engine", spec.engines())
def test_engine_has_matrix_spec_option_and_adapter(engine: str) -> None:
    read = spec.read_spec(engine)
    # torch is a package beside others, whose wheel brings its CUDA; as a source it is an engine all the same
    assert matrix.load().component(engine).kind in ("engine", "package")
    assert ENGINES[f"--{read.option}"] == engine
    if read.adapter:  # without one its environment can be made, and no model converted
        needed = NEEDED if read.converts else NEEDED - {"convert"}
        assert needed <= functions(WORKER / "adapters" / f"{read.adapter}.py")


@pytest.mark.parametrize("engine", spec.engines())
def test_every_release_of_the_matrix_has_a_recipe_or_a_refusal_that_names_those_there_are(engine: str) -> None:
    from packaging.specifiers import SpecifierSet

    read = spec.read_spec(engine)
    served = [when for when, _ in read.variants]
    assert any(
        SpecifierSet(when).contains(release.version, prereleases=True)
        for when in served
        for release in matrix.load().component(engine).releases
    )


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
