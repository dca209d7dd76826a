"""`envctl cdi`: the specification that gives containers the GPU where NVIDIA's toolkit is not installed."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from envctl.doctor.cdi_spec import INSIDE
from envctl.doctor.check import Facts, Finding, Verdict
from envctl.doctor.checks.cdi import OWN
from envctl.doctor.fixes import safe_fixes
from envctl.errors import HostLacks
from envctl.host import Fact, HostFacts, collect, start_probes
from envctl.workflow.cdi import specification_for
from tests.conftest import CACHE, ROOT, run_envctl
from tests.newer_docker import newer_docker

H200 = ROOT / "tests/hosts/ubuntu24.04-h200-driver580"
DRIVER = "580.159.04"


def installed(folder: Path) -> Path:
    """A driver's folder as its installer leaves it: files that carry the version, and links to them."""
    folder.mkdir(parents=True)
    for name in ("libcuda", "libnvidia-ml", "libnvidia-ptxjitcompiler", "libGLX_nvidia"):
        (folder / f"{name}.so.{DRIVER}").write_text(name)
        (folder / f"{name}.so.1").symlink_to(f"{name}.so.{DRIVER}")
    (folder / "libcuda.so").symlink_to("libcuda.so.1")
    return folder


def h200(libraries: Path) -> HostFacts:
    """The recorded machine, with its driver's libraries in a folder of ours."""
    facts = collect(start_probes(("nvidia", "driver"), root=H200), 20).facts
    files = {"libcuda.so": [str(libraries / f"libcuda.so.{DRIVER}")]}
    return HostFacts(facts={**facts, "driver_library_files": replace(facts["driver_library_files"], value=files)})


def test_what_a_recorded_machine_is_given(tmp_path: Path) -> None:
    folder = installed(tmp_path / "lib")
    found = specification_for(h200(folder))
    assert [device["name"] for device in found["devices"]] == ["0", "all"]
    assert found["devices"][0]["containerEdits"] == {"deviceNodes": [{"path": "/dev/nvidia0"}]}
    control = [node["path"] for node in found["containerEdits"]["deviceNodes"]]
    assert control == ["/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidiactl"]
    mounted = {each["containerPath"]: each["hostPath"] for each in found["containerEdits"]["mounts"]}
    assert mounted[f"{INSIDE}/libcuda.so.1"] == str(folder / f"libcuda.so.{DRIVER}")
    assert not any("libGLX" in path for path in mounted), "computing only"


def test_libraries_of_another_driver_are_refused(tmp_path: Path) -> None:
    folder = installed(tmp_path / "lib")
    facts = h200(folder).facts
    other = HostFacts(facts={**facts, "driver": replace(facts["driver"], value="575.57.08")})
    with pytest.raises(HostLacks, match="not here") as refused:
        specification_for(other)
    assert "575.57.08" in str(refused.value.because) and DRIVER in str(refused.value.because)


def test_here_is_no_gpu() -> None:
    ran = run_envctl("cdi")
    assert ran.code == 4 and "no NVIDIA GPU" in ran.err


def test_doctor_reads_it_and_fits_it_to_the_driver(tmp_path: Path) -> None:
    text = json.dumps(specification_for(h200(installed(tmp_path / "lib"))))
    (tmp_path / "root/etc/cdi").mkdir(parents=True)
    (tmp_path / "root" / OWN.lstrip("/")).write_text(text)
    told = collect(start_probes(("cdi",), root=tmp_path / "root"), 20).facts["cdi_specs"].value[0]
    assert (told["kind"], told["devices"], told["drivers"]) == ("nvidia.com/gpu", ["0", "all"], [DRIVER])


@pytest.mark.parametrize(("programs", "first"), [({"nvidia-ctk": "/usr/bin/nvidia-ctk"}, "nvidia-ctk"), ({}, "-m")])
def test_doctor_offers_it_where_the_toolkit_is_not_there(programs: dict[str, str], first: str) -> None:
    told = {
        "toolkit_programs": programs,
        "docker_version": {"version": "28.5.0"},
        "docker_info": {"cdi_dirs": ["/etc/cdi"]},
        "cdi_specs": [],
    }
    facts = {name: Fact(name=name, value=value, origin="test") for name, value in told.items()}
    failed = Verdict(id="dk.cdi", title="CDI", finding=Finding(level="FAIL", said="none"))
    ((_, commands),) = safe_fixes([failed], Facts(host=HostFacts(facts=facts)))
    assert first in commands[0][:2]
    old = {**facts, "docker_version": replace(facts["docker_version"], value={"version": "20.10.24"})}
    if not programs:
        assert safe_fixes([failed], Facts(host=HostFacts(facts=old))) == []


@pytest.mark.slow
@pytest.mark.docker
def test_a_real_docker_gives_what_it_names(tmp_path: Path) -> None:
    """Docker 26 of Debian 13; /dev/null stands in for the GPU, as this machine has none."""
    from envctl.runner.gpu_request import device_request

    text = json.dumps(specification_for(h200(installed(tmp_path / "lib"))))
    text = re.sub(r'"/dev/nvidia[\w-]*"', '"/dev/null"', text)
    (tmp_path / "cdi").mkdir()
    (tmp_path / "cdi/envctl-compute.json").write_text(text)
    with newer_docker(tmp_path, [CACHE, tmp_path], cdi=tmp_path / "cdi") as address:
        assert _inside(address, device_request).splitlines() == ["libcuda", f"{INSIDE} compute-only"]


def _inside(address: str, device_request: Any) -> str:
    """What a container prints that was given the device by `device_request`."""
    import docker

    assert run_envctl("base", "debian:bookworm", DOCKER_HOST=address).code == 0
    client = docker.DockerClient(base_url=address, timeout=120)
    wanted = device_request(client.info())
    assert wanted["Driver"] == "cdi"
    shown = f"cat {INSIDE}/libcuda.so.1; echo; echo $LD_LIBRARY_PATH $ENVCTL_CDI"
    image = subprocess.run(["docker", "-H", address, "images", "-q"], capture_output=True, text=True, check=True)
    kwargs: dict[str, Any] = {"network_mode": "none", "remove": True, "device_requests": [wanted]}
    said: bytes = client.containers.run(image.stdout.split()[0], ["sh", "-c", shown], **kwargs)
    return said.decode()
