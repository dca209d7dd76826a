"""What images ask of their host (NVIDIA_REQUIRE_*), CDI files, read as NVIDIA's tools do; what probes must not say."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from envctl.doctor.requirement import compare, holds, numbers, parse, required
from envctl.host import payload
from tests.container_faults import CUDA_128
from tests.test_doctor_containers import OURS

A10 = {"driver": "535.161.08", "cuda": "12.2", "arch": "8.6", "brand": "nvidia"}


@pytest.mark.parametrize(
    ("text", "changes", "expected"),
    [
        ("cuda>=12.2", {}, True),
        ("cuda>=12.10", {}, False),  # versions, not decimals
        ("cuda>=12.8", {"cuda": "13.0"}, True),
        (CUDA_128, {}, True),  # one of the alternatives names branch 535 and this brand
        (CUDA_128, {"brand": "geforce"}, False),
        (CUDA_128, {"driver": "550.54.14"}, False),
        (CUDA_128, {"driver": "550.54.14", "brand": None}, False),  # no brand would help
        (CUDA_128, {"brand": None}, None),  # a brand could help
        (CUDA_128, {"brand": "NVIDIA"}, True),  # brands are compared without case
        ("brand!=tesla", {}, True),
        ("arch>=9.0", {}, False),
        ("arch=8.6", {}, True),
        ("driver>=535,driver<536 cuda>=13.0", {}, True),
        ("driver>=535.161.08", {}, True),
        ("driver>535.161.8", {}, False),
        ("driver<=535", {}, False),
        ("cuda>=12.0", {"cuda": None}, None),
        ("cuda>=12.0,driver>=600", {"cuda": None}, False),
        (" , ", {}, True),
    ],
)
def test_requirement(text: str, changes: dict[str, str | None], expected: bool | None) -> None:
    assert holds(parse(text), {**A10, **changes}) is expected


@pytest.mark.parametrize("text", ["cuda", "cuda=>12", "gpu>=1", "cuda>=twelve", "brand>tesla", ">=12"])
def test_requirement_that_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse(text)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"NVIDIA_REQUIRE_CUDA": "cuda>=11.0"}, ["cuda>=11.0"]),
        ({"NVIDIA_REQUIRE_CUDA": "cuda>=11.0", "NVIDIA_DISABLE_REQUIRE": "true"}, []),
        ({"NVIDIA_REQUIRE_CUDA": "cuda>=11.0", "NVIDIA_DISABLE_REQUIRE": "0"}, ["cuda>=11.0"]),
        ({"NVIDIA_REQUIRE_CUDA": "cuda>=11.0", "NVIDIA_REQUIRE_X": "arch>=7"}, ["cuda>=11.0", "arch>=7"]),
        ({"NVIDIA_REQUIRE_JETPACK_HOST_MOUNTS": "all"}, []),
        ({"CUDA_VERSION": "9.2.148"}, ["cuda>=9.2"]),  # images of before
        ({}, []),
    ],
)
def test_requirements_of_an_image(environment: dict[str, str], expected: list[str]) -> None:
    assert required(environment) == expected


def test_versions_of_engines() -> None:
    assert numbers("20.10.24+dfsg1") == (20, 10, 24)
    assert numbers("28.0.0") == numbers("28")
    assert compare(numbers("1.8.1"), ">", numbers("1.8"))
    assert numbers("nonsense") == ()


@pytest.fixture
def cdi(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The probe `cdi` as a module."""
    monkeypatch.syspath_prepend(str(payload("probes")))
    return importlib.import_module("cdi")


@pytest.mark.parametrize("path", sorted(Path(__file__).parent.glob("hosts/*/etc/cdi/*.yaml")), ids=str)
def test_yaml_is_read_as_others_read_it(path: Path, cdi: Any) -> None:
    yaml = pytest.importorskip("yaml")
    assert cdi.parse(path.read_text()) == yaml.safe_load(path.read_text())


def test_yaml_in_other_manners(cdi: Any) -> None:
    text = """# made by hand
cdiVersion: "0.3.0"   # old
kind: 'nvidia.com/gpu'
devices:
    -
        name: gpu0
        containerEdits: {}
    - name: "1"
      containerEdits:
        deviceNodes: [ ]
containerEdits:
    env:
        - A=b:c # d
"""
    assert cdi.parse(text) == {
        "cdiVersion": "0.3.0",
        "kind": "nvidia.com/gpu",
        "devices": [{"name": "gpu0", "containerEdits": {}}, {"name": "1", "containerEdits": {"deviceNodes": []}}],
        "containerEdits": {"env": ["A=b:c"]},
    }


@pytest.mark.parametrize("text", ["", "- a\n- b", "kind: x\n   y: z\n - q", "just words", "\x00\x01", "{"])
def test_what_is_no_specification(text: str, cdi: Any) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        cdi.parse(text)


@pytest.fixture
def private(tmp_path: Path) -> dict[str, str]:
    """An environment full of what must not be told."""
    folder = tmp_path / "config"
    folder.mkdir()
    secret = {"auths": {"registry.secret.example": {"auth": "c2VjcmV0OnNlY3JldA=="}}, "credsStore": "none"}
    (folder / "config.json").write_text(json.dumps(secret))
    return {
        "DOCKER_CONFIG": str(folder),
        "HTTPS_PROXY": "http://somebody:secret@proxy.secret.example:3128",
        "NO_PROXY": "secret.example",
        "REQUESTS_CA_BUNDLE": "/home/secret/ca.pem",
        "HOME": "/home/secret",
        "XDG_RUNTIME_DIR": "/run/user/1000",
        "PATH": "/usr/bin",
    }


@pytest.mark.parametrize("probe", OURS)
def test_probe_tells_no_secret_and_replays(probe: str, private: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-S", str(payload("probes") / f"{probe}.py")]
    options = ["--record", str(tmp_path / "record")]
    done = subprocess.run([*command, *options], env=private, capture_output=True, text=True, check=True)
    assert "secret" not in done.stdout and "c2Vj" not in done.stdout
    recorded = [path.read_text() for path in (tmp_path / "record").rglob("*") if path.is_file()]
    assert not any("secret" in text for text in recorded)
    again = subprocess.run([*command, "--root", options[1]], capture_output=True, text=True, check=True)
    here, there = (json.loads(it.stdout)["facts"] for it in (done, again))
    if probe != "image":  # nothing was asked of an image
        assert {it["name"]: it["value"] for it in there} == {it["name"]: it["value"] for it in here}
