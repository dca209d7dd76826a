"""Doctor on Python environments: broken pairs, doubles, leaks, halves; on recorded machines and on real folders."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from envctl.doctor.check import Facts
from envctl.doctor.claims import broken_pairs, with_claims
from envctl.doctor.judge import judge
from envctl.host import collect, start_probes
from envctl.matrix import load
from tests.broken_hosts import CHECKS, Fault, assert_found, copied, facts_of, verdicts_of
from tests.python_faults import FAULTS, VENV


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_is_found_with_its_root_cause(fault: Fault, tmp_path: Path) -> None:
    assert_found(fault, tmp_path)


def test_every_check_of_environments_is_broken_by_a_fault() -> None:
    own = {check.id for check in CHECKS if check.id.startswith(("py.", "lib."))}
    assert own == {fault.check for fault in FAULTS}


def test_ids_are_unique_and_causes_stand_before_what_follows() -> None:
    names = [check.id for check in CHECKS]
    assert len(names) == len(set(names))
    for place, check in enumerate(CHECKS):
        assert set(check.after) <= set(names[:place]), check.id


def test_a_cpu_build_beside_a_gpu_is_told_and_not_blamed(tmp_path: Path) -> None:
    machine = copied("ubuntu22.04-desktop", tmp_path)
    for name, text in (("vendor", "0x10de"), ("class", "0x030000"), ("device", "0x2204")):
        machine.write(f"sys/bus/pci/devices/0000:01:00.0/{name}", text)
    found = verdicts_of(machine.folder)["py.cpu_wheel"].finding
    assert found.level == "INFO"
    assert found.fix == (f"{VENV}/bin/python3 -m pip install onnxruntime-gpu",)


def test_without_the_matrix_pairs_are_unknown_and_not_fine(tmp_path: Path) -> None:
    folder = copied("ubuntu22.04-desktop", tmp_path).folder
    host = collect(start_probes(("system", "pythons"), folder), 10)
    verdicts = {verdict.id: verdict.finding.level for verdict in judge(CHECKS, Facts(host=host))}
    assert {verdicts[name] for name in ("py.numpy_abi", "py.pairs", "cpu.isa", "libc")} == {"SKIP"}


# ---- what the matrix says of pairs

PAIRS = (
    ({"onnxruntime": "1.16.3", "numpy": "1.26.4"}, []),
    ({"onnxruntime": "1.16.3", "numpy": "2.0.2"}, ["numpy"]),
    ({"onnxruntime": "1.19.2", "numpy": "2.0.2"}, []),
    ({"tensorflow-cpu": "2.15.1", "numpy": "2.0.2"}, ["numpy"]),
    ({"ai-edge-litert": "2.3.0", "numpy": "1.21.0"}, ["numpy"]),
    ({"torch": "2.2.0+cpu", "numpy": "2.0.2"}, ["numpy"]),
    ({"tensorflow": "2.20.0", "protobuf": "4.25.9"}, ["protobuf"]),
    ({"tensorflow": "99.0", "numpy": "1.0"}, []),  # a release that nobody has written down breaks nothing
    ({"onnxruntime": "1.16.3", "numpy": "custom"}, []),
)


@pytest.mark.parametrize(("distributions", "names"), PAIRS, ids=str)
def test_pairs_that_the_matrix_knows(distributions: dict[str, str], names: list[str]) -> None:
    environment = {"prefix": "/x", "sites": [{"distributions": distributions}]}
    assert [pair["name"] for pair in broken_pairs(load(), environment)] == names


# ---- real folders of this machine


def distribution(site: Path, name: str, version: str) -> None:
    (site / f"{name}-{version}.dist-info").mkdir(parents=True)


@pytest.fixture
def venv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A real, empty environment that is the active one."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "env"))
    return tmp_path / "env"


def real(check: str) -> Any:
    """What a check says of this machine."""
    host = with_claims(load(), collect(start_probes(("system", "nvidia", "pythons", "disks", "loader", "limits")), 20))
    return {verdict.id: verdict for verdict in judge(CHECKS, Facts(host=host))}[check].finding


def test_real_environment_with_numpy_2(venv: Path) -> None:
    site = next(venv.glob("lib/python3*/site-packages"))
    distribution(site, "onnxruntime", "1.17.3")
    distribution(site, "numpy", "1.26.4")
    assert real("py.numpy_abi").level == "OK"
    (site / "numpy-1.26.4.dist-info").rename(site / "numpy-2.1.0.dist-info")
    found = real("py.numpy_abi")
    assert found.level == "FAIL"
    assert found.fix[0].startswith(f"uv pip install --python {venv}/bin/python3 'numpy")


def test_real_environment_without_interpreter(venv: Path) -> None:
    assert real("py.base").level == "OK"
    for link in (venv / "bin").glob("python*"):
        link.unlink()
    (venv / "bin/python3").symlink_to("/opt/python-that-was/bin/python3")
    assert "interpreter is gone" in real("py.base").said


def test_real_environment_with_spaces_and_no_rights(venv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = venv.rename(venv.parent / "my env")
    monkeypatch.setenv("VIRTUAL_ENV", str(odd))
    assert real("py.base").level == "OK"
    monkeypatch.setenv("VIRTUAL_ENV", "/nowhere/at/all")
    assert real("py.leftovers").level == "OK"


def test_real_pip_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "wheels/aa/bb/cc/dd"
    folder.mkdir(parents=True)
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path))
    with zipfile.ZipFile(folder / "whole-1-py3-none-any.whl", "w") as archive:
        archive.writestr("whole.py", "x = 1\n" * 100)
    assert real("py.pip_cache").level == "OK"
    (folder / "cut-1-py3-none-any.whl").write_bytes((folder / "whole-1-py3-none-any.whl").read_bytes()[:200])
    (folder / "empty-1-py3-none-any.whl").touch()
    assert "2 wheel(s)" in real("py.pip_cache").said


def test_real_tmpdir_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    assert real("disk.tmpdir").fix == (f"mkdir -p {tmp_path / 'none'}",)


def test_real_file_in_place_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").touch()
    monkeypatch.setenv("ENVCTL_CACHE", str(tmp_path / "cache"))
    assert "is a file" in real("disk.rights").said


def test_real_damaged_cpp_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "libstdc++.so.6").write_text("cut off")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    found = real("libstdcxx")
    assert found.level == "FAIL"
    assert f"rm {tmp_path / 'libstdc++.so.6'}" in found.fix[0]


UNSHARE = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-rm"]
MOUNTS = subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not MOUNTS, reason="this kernel gives no mount namespace to this user")
@pytest.mark.parametrize(
    ("options", "check", "said"),
    [
        ("size=8m", "disk", "8 MB are free for envctl's cache"),
        ("size=64g,nr_inodes=1", "disk.inodes", "of the inodes are left"),
        ("size=64g,noexec", "disk.exec", "mounted noexec"),
        ("size=64g,ro", "disk.rights", "mounted read-only"),
    ],
)
def test_real_small_disk(options: str, check: str, said: str, tmp_path: Path) -> None:
    """A tmpfs over the cache, in a mount namespace of the child's own."""
    code = f"from tests.test_doctor_python import real; print(real({check!r}).said)"
    script = 'mount -t tmpfs -o "$1" none "$2" && shift 2 && exec "$@"'
    command = [*UNSHARE, "sh", "-c", script, "sh", options, str(tmp_path), sys.executable, "-c", code]
    variables = {**os.environ, "ENVCTL_CACHE": str(tmp_path)}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert said in done.stdout, done.stderr


def test_this_machine_has_environments() -> None:
    environments = facts_of(None).facts["python_environments"].value
    own = environments[0]
    assert own["how"] == "runs envctl"
    names = set().union(*(site["distributions"] for site in own["sites"]))
    assert {"numpy", "packaging", "typer"} <= names
