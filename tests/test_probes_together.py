"""Probes side by side: what hangs, dies or floods costs its own facts only, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from envctl import host
from envctl.host import ALL_PROBES, PROBES, collect, start_probes
from tests.conftest import ROOT

BAD = {
    "hangs": "time.sleep(60)",
    "dies": "os.kill(os.getpid(), 11)",
    "raises": "raise RuntimeError('no')",
    "floods": "[sys.stdout.write('x' * 65536) for _ in iter(int, 1)]",
    "says_much": "yield machine.fact('much', 'x' * (1 << 21), 'here')",
    "has_a_child": (
        "open(sys.argv[0] + '.child', 'w').write(str(machine.Child(lambda: time.sleep(60)).pid)); time.sleep(60)"
    ),
}


@pytest.fixture
def probes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the probes with bad ones beside them."""
    folder = Path(shutil.copytree(ROOT / "probes", tmp_path / "probes"))
    for name, body in BAD.items():
        text = f"import os, sys, time\nimport machine\ndef facts(_):\n    {body}\n    yield machine.fact('x', 1, 'x')\n"
        (folder / f"{name}.py").write_text(text)
    monkeypatch.setattr(host, "payload", lambda _: folder)
    return folder


@pytest.mark.usefixtures("probes")
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("hangs", "gave no answer in time"),
        ("floods", "ended without an answer"),
        ("dies", "ended without an answer"),
        ("raises", "ended without an answer"),
        ("is_not_there", "ended without an answer"),
    ],
)
def test_what_fails_costs_its_own_facts_only(name: str, why: str) -> None:
    facts = collect(start_probes(("system", name, "dockerd")), 3).facts
    assert {it.name for it in facts.values() if it.name.startswith("probe:")} == {f"probe:{name}"}
    assert facts[f"probe:{name}"].error == why
    assert facts["glibc"].value and "selinux" in facts


@pytest.mark.usefixtures("probes")
def test_an_answer_larger_than_any_pipe_is_read() -> None:
    facts = collect(start_probes(("says_much", "system")), 10).facts
    assert len(facts["much"].value) == 1 << 21
    assert facts["x"].value == 1


@pytest.mark.usefixtures("probes")
def test_the_first_are_told_while_the_others_go_on() -> None:
    running = start_probes(("hangs", *PROBES))
    first = collect(running, 3, first=PROBES)
    assert first.value("glibc") and not [it for it in first.facts if it.startswith("probe:")]
    assert running.process.poll() is None
    last = collect(running, 3)
    assert last.facts["probe:hangs"].error == "gave no answer in time"
    assert first.facts["glibc"] == last.facts["glibc"]


def test_what_is_given_up_is_killed_with_its_children(probes: Path) -> None:
    running = start_probes(("has_a_child",))
    collect(running, 2)
    child = int((probes / "together.py.child").read_text())
    for _ in range(100):
        if not Path(f"/proc/{child}").exists() or "\nState:\tZ" in Path(f"/proc/{child}/status").read_text():
            break
        time.sleep(0.05)
    else:
        os.kill(child, signal.SIGKILL)
        pytest.fail("the child outlived its probe")


@pytest.mark.usefixtures("probes")
def test_an_interrupt_kills_them() -> None:
    running = start_probes(("hangs",))
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            collect(running, 20)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert running.process.returncode == -signal.SIGKILL


def test_a_probe_alone_says_what_it_says_beside_others() -> None:
    """What runs in a container or by hand is the same file."""
    alone = [sys.executable, "-I", "-S", ROOT / "probes/dockerd.py"]
    printed = subprocess.run(alone, capture_output=True, check=True, text=True).stdout
    together = collect(start_probes(("dockerd",)), 10).facts
    assert all(f'"name": "{name}"' in printed for name in together)


@pytest.mark.parametrize("name", ALL_PROBES)
def test_every_probe_ends_by_itself_where_nobody_waits(name: str) -> None:
    """The kernel ends what none of its own limits ends: each probe sets an alarm before it begins."""
    code = "import signal, sys; sys.path.insert(0, 'probes'); import machine, {0}; sys.argv = ['x']; "
    code += "machine.main({0}.facts); print(); print(signal.alarm(0))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code.format(name)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert 0 < int(done.stdout.splitlines()[-1]) <= 30
