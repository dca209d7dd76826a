"""Doctor on the processor, the system, limits and disks: faults found with their root cause, healthy ones silent."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from envctl.host import collect, start_probes
from tests import room_faults, system_faults
from tests.broken_hosts import (
    CHECKS,
    OWN_HOSTS,
    Fault,
    assert_found,
    copied,
    facts_of,
    roots,
    verdicts_of,
)

FAULTS = (*system_faults.FAULTS, *room_faults.FAULTS)

ROOT = Path(__file__).parent.parent
OWN_PROBES = ("system", "cpuid", "limits", "loader", "disks", "pythons")
OLDEST = sorted(Path.home().glob(".pyenv/versions/3.6.*/bin/python"))


@pytest.mark.parametrize("host", OWN_HOSTS)
def test_healthy_machines_are_silent(host: str, tmp_path: Path) -> None:
    verdicts = verdicts_of(copied(host, tmp_path).folder)
    assert roots(verdicts) == set()
    skipped = {name for name, verdict in verdicts.items() if verdict.finding.level == "SKIP"}
    assert skipped == set(), {name: verdicts[name].finding.said for name in skipped}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_is_found_with_its_root_cause(fault: Fault, tmp_path: Path) -> None:
    assert_found(fault, tmp_path)


def test_every_check_of_the_system_is_broken_by_a_fault() -> None:
    told = ("cpu.bf16", "os.kind")  # these only tell
    own = {check.id for check in CHECKS if not check.id.startswith(("py.", "lib."))}
    assert own - set(told) == {fault.check for fault in FAULTS}


def test_what_is_unknown_is_never_ok(tmp_path: Path) -> None:
    """A machine of which nothing was recorded: no check may say OK about what it could not see."""
    verdicts = verdicts_of(tmp_path)
    fine = {name for name, verdict in verdicts.items() if verdict.finding.level == "OK"}
    assert fine <= {"py.cpu_wheel"}  # no GPU on a bus without devices
    assert verdicts["cpu.isa"].finding.level == verdicts["libc"].finding.level == "SKIP"
    assert "not known" in verdicts["cpu.isa"].finding.said


# ---- the probes themselves


@pytest.mark.parametrize("probe", OWN_PROBES)
def test_probe_answers_on_this_machine(probe: str) -> None:
    host = collect(start_probes([probe]), 10)
    assert host.facts
    for fact in host.facts.values():
        assert fact.origin
        assert (fact.value is None) == bool(fact.error), fact


@pytest.mark.skipif(not OLDEST, reason="no CPython 3.6 here")
@pytest.mark.parametrize("probe", OWN_PROBES)
def test_probe_says_the_same_under_the_oldest_python(probe: str) -> None:
    told = []
    for python in (OLDEST[-1], sys.executable):
        done = subprocess.run([python, "-I", "-S", ROOT / f"probes/{probe}.py"], capture_output=True, check=True)
        told.append({fact["name"]: fact["value"] for fact in json.loads(done.stdout)["facts"]})
    assert set(told[0]) == set(told[1])
    steady = set(told[0]) - {"memory_available", "clock", "disks", "python_running", "python_environments", "pids_used"}
    assert {name: told[0][name] for name in steady - {"memory_limit_used"}} == {
        name: told[1][name] for name in steady - {"memory_limit_used"}
    }


@pytest.mark.skipif(platform.machine() != "x86_64", reason="x86 machine code")
def test_the_processor_says_what_the_kernel_says() -> None:
    facts = facts_of(None)
    cpuid = facts.facts["cpuid"]
    assert cpuid.value, cpuid.error
    words = set((facts.value("cpu") or "").split())
    assert set(facts.facts["cpuid_enabled"].value) == set(cpuid.value) & words


def test_facts_keep_their_names_and_kinds() -> None:
    facts = facts_of(None)
    assert facts.value("glibc") == platform.libc_ver()[1]
    assert facts.value("arch") == platform.machine()
    assert facts.facts["cores"].value == len(os.sched_getaffinity(0))
    assert isinstance(facts.facts["memory"].value, int)
    assert "sse2" in str(facts.value("cpu")) or "asimd" in str(facts.value("cpu"))


def test_a_recording_of_this_machine_gives_the_same_verdicts(tmp_path: Path) -> None:
    for attempt in range(3):  # memory and room may cross a limit between two looks: a real difference stays
        folder = tmp_path / str(attempt)
        for probe in ("system", "nvidia", "cpuid", "limits", "loader", "disks", "pythons"):
            collect(start_probes([probe], record=folder), 10)
        live, replayed = verdicts_of(None), verdicts_of(folder)
        # a recording is made by one Python, doctor run by another: the environments that run them differ
        differ = {name for name in live if live[name].finding.level != replayed[name].finding.level}
        if not (differ := {name for name in differ if not name.startswith("py.")}):
            return
    assert differ == set()


def test_recordings_name_nobody(tmp_path: Path) -> None:
    home = tmp_path / "home" / "alicia"
    (home / "src").mkdir(parents=True)
    variables = {**os.environ, "HOME": str(home), "TMPDIR": "/home/alicia/tmp", "LD_LIBRARY_PATH": "/home/alicia/lib"}
    for probe in OWN_PROBES:
        command = [sys.executable, "-I", "-S", ROOT / f"probes/{probe}.py", "--record", tmp_path / "kept"]
        subprocess.run(command, env=variables, cwd=home / "src", capture_output=True, check=True)
    said = "".join(path.read_text() for path in (tmp_path / "kept").rglob("*") if path.is_file())
    assert "alicia" not in said
    assert "/home/user" in said


def test_a_disk_that_hangs_costs_its_own_time_only() -> None:
    """Every look at a disk sleeps, as on a network disk that is gone: an answer all the same, with the reason."""
    code = "import sys, time; sys.path.insert(0, sys.argv.pop(1)); import disks, machine; "
    code += "disks.disk = lambda path: time.sleep(60); machine.main(disks.facts)"
    command = [sys.executable, "-I", "-c", code, ROOT / "probes"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=30)
    (disks, *_) = json.loads(done.stdout)["facts"]
    assert {place["error"] for place in disks["value"].values()} == {"OSError: no answer within 0.8 s"}


REDACTED = (
    ("/home/alice/.venv/lib", "/home/user/.venv/lib"),
    ("http://bob:secret@proxy.corp:3128", "http://redacted@host:3128"),
    ("GPU-1b3c5d7e-aaaa-bbbb-cccc-0123456789ab", "GPU-00000000-0000-0000-0000-892abea9d4d3"),
    ("Serial\t\t: 0000abc1", "Serial\t\t: redacted"),
    ("link/ether 04:42:1a:00:ff:10", "link/ether 00:00:00:00:00:00"),
    ("fe80::1ff:fe23:4567:890a", "::"),
    ('{"auth": "dXNlcjpwdw=="}', '{"auth": "redacted"}'),
    ("HF_TOKEN=hf_abcdefghijklmnop", "HF_TOKEN=redacted"),
    ("tcp://10.1.2.3:2376", "tcp://host:2376"),
    ("192.168.1.17", "0.0.0.0"),
)
KEPT = (
    "TensorRT 10.3.0.26 and 8.6.1.6",
    "nvidia_cudnn_cu12-9.3.0.75.dist-info",
    "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c",
    "0000:3b:00.0",
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023",
    "/usr/lib/x86_64-linux-gnu/libcuda.so.535.104.05",
    "Ubuntu 22.04.5 LTS",
)


def redacted(said: object, call: str = "redacted") -> object:
    """What machine.py makes of a value; it is imported from its file, as probes do."""
    code = "import json, sys; sys.path.insert(0, sys.argv[1]); import machine; "
    code += "said = json.loads(sys.argv[2]); print(json.dumps(machine.CALL(*said)))"
    command = [sys.executable, "-I", "-S", "-c", code.replace("CALL", call), str(ROOT / "probes"), json.dumps([said])]
    if call != "redacted":
        command[-1] = json.dumps(said)
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def test_redaction_takes_names_and_secrets_and_leaves_versions() -> None:
    assert redacted([before for before, _ in REDACTED]) == [after for _, after in REDACTED]
    assert redacted(list(KEPT)) == list(KEPT)
    assert redacted({"token": "abc", "/home/alice/x": 1}) == {"token": "redacted", "/home/user/x": 1}
    twice = redacted([after for _, after in REDACTED if "0000-" not in after])
    assert twice == [after for _, after in REDACTED if "0000-" not in after]


@pytest.mark.parametrize("broken", ["", ","])
def test_a_recording_of_dockerds_settings_names_no_other_machine(broken: str) -> None:
    settings = {
        "data-root": "/data/docker", "registry-mirrors": ["https://m.corp:5000"], "insecure-registries": ["reg.corp"],
        "proxies": {"https-proxy": "http://bob:secret@proxy.corp:3128"}, "runtimes": {"nvidia": {"path": "x"}},
    }  # fmt: skip
    text = json.dumps(settings)[:-1] + broken + "}"
    kept = str(redacted(["/etc/docker/daemon.json", text], "redacted_file"))
    assert "corp" not in kept and "secret" not in kept
    assert "/data/docker" in kept and '"nvidia"' in kept
    if broken:
        with pytest.raises(ValueError):
            json.loads(kept)
    else:
        assert set(json.loads(kept)) == set(settings)
