"""`envctl matrix check`: the real matrix has nothing to mend, and each fault planted into a small one is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from envctl import matrix
from envctl.audit import audit
from tests.conftest import Ran

HEAD = 'component = "{name}"\nkind = "{kind}"\n'
RELEASE = """
[[release]]
version = "{version}"
source = "https://example.org/notes"
checked = 2026-11-21
evidence = "documented"
[release.requires]
{requires}
"""


def world(folder: Path, **files: str) -> Path:
    """A matrix of an engine, a component and a CPython, with what the test says instead."""
    texts = {
        "engine": file("engine", "engine", ("2.0", 'cuda = [">=12"]'), ("1.0", 'cuda = [">=11,<12"]')),
        "cuda": file("cuda", "component", ("12.1", 'python = [">=3.9"]'), ("11.8", "")),
        "python": file("python", "component", ("3.11", "")),
    }
    for name, text in (texts | files).items():
        (folder / f"{name}.toml").write_text(text)
    return folder


def file(name: str, kind: str, *releases: tuple[str, str], extra: str = "") -> str:
    tables = [RELEASE.format(version=version, requires=requires) for version, requires in releases]
    return HEAD.format(name=name, kind=kind) + extra + "".join(tables)


FAULTS = {
    "unknown name": ({"cuda": file("cuda", "component", ("12.1", 'cdnn = [">=8"]'), ("11.8", ""))}, "cdnn"),
    "empty claim": (
        {"engine": file("engine", "engine", ("2.0", 'cuda = [">=14"]'))},
        "engine.toml: release 2.0: requires.cuda: >=14 admits no release of cuda",
    ),
    "unreachable": (
        {"cuda": file("cuda", "component", ("12.1", 'python = ["<3.8"]'), ("11.8", ""))},
        "engine.toml: release 2.0: no stack can reach this release",
    ),
}


def test_the_real_matrix_has_nothing_to_mend() -> None:
    assert [f"{finding.where}: {finding.what}" for finding in audit(matrix.load())] == []


def test_a_sound_world_has_no_findings(tmp_path: Path) -> None:
    assert audit(matrix.load(world(tmp_path))) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, tmp_path: Path) -> None:
    files, expected = FAULTS[fault]
    findings = audit(matrix.load(world(tmp_path, **files)))
    assert any(expected in f"{finding.where}: {finding.what}" for finding in findings), findings


def test_a_declared_package_is_no_unknown_name(tmp_path: Path) -> None:
    engine = file("engine", "engine", ("2.0", 'some-wheel = ["<2"]'), extra='packages = ["some-wheel"]\n')
    assert audit(matrix.load(world(tmp_path, engine=engine))) == []


def test_check_ends_with_1_on_findings_and_names_file_table_and_key(tmp_path: Path, envctl: Callable[..., Ran]) -> None:
    files, expected = FAULTS["empty claim"]
    ran = envctl("matrix", "check", "--matrices", world(tmp_path, **files))
    assert ran.code == 1
    assert expected in ran.out


def test_show_prints_claims_with_their_sources(envctl: Callable[..., Ran]) -> None:
    ran = envctl("matrix", "show", "onnxruntime", "1.17.3", "--json")
    claims = ran.json["releases"][0]["requires"]
    assert claims["opset"]["condition"] == [">=7,<=20"]
    assert claims["opset"]["source"].startswith("measured:docs/evidence.md#")


def test_show_suggests_the_nearest_component(envctl: Callable[..., Ran]) -> None:
    ran = envctl("matrix", "show", "onnxruntme")
    assert ran.code == 2
    assert "did you mean onnxruntime?" in ran.err
