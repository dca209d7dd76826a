"""`envctl lock` as a user calls it: what it prints, writes and refuses; exports that other tools take."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from envctl import lockfile
from envctl.host import interpreters
from tests import locking, wheelhouse
from tests.conftest import ROOT, Ran, run_envctl
from tests.locking import World

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Call = Callable[..., Ran]
TWO = ("--target", "name=lab,python=3.11", "--target", "name=arm,platform=aarch64,python=3.11,base=none")


@pytest.fixture
def world(stand_ins: Path) -> World:
    return locking.world(stand_ins)


@pytest.fixture
def lock(world: World, stand_ins: Path) -> Call:
    """`envctl lock` in the test's folder, against its index and mirror."""

    def run(*arguments: str | Path, seconds: float = 60) -> Ran:
        indexes = [word for option in world.index for word in ("--index", option)]
        if arguments and arguments[0] == "diff":
            indexes = []
        own = {name: str(stand_ins / name) for name in ("ENVCTL_CACHE", "UV_CACHE_DIR", "XDG_CONFIG_HOME")}
        return run_envctl("lock", *arguments, *indexes, cwd=stand_ins, seconds=seconds, **own)

    return run


def test_a_whole_life(lock: Call, world: World, stand_ins: Path) -> None:
    """Lock, check, a newer package, check, upgrade, drift, diff: what it says and the exit codes."""
    first = lock("--ort", "1.31", *TWO)
    assert first.code == 0, first.err
    assert "lab: glibc 2.36, onnxruntime 1.31.1, python 3.11" in first.out and "envctl.lock written" in first.out
    path = stand_ins / "envctl.lock"
    text = path.read_text()
    assert lockfile.parse(text).digest[:12] in first.out
    assert lock("--check").code == 0
    world.house.add("numpy", "2.9.0")
    assert lock("--check").code == 0
    newer = lock("--check", "--upgrade", "--json")
    assert (newer.code, newer.json["status"]) == (1, "drifted")
    assert {(each["target"], each["name"]) for each in newer.json["drifted"]} == {("lab", "numpy"), ("arm", "numpy")}
    assert path.read_text() == text, "a check writes nothing"
    (stand_ins / "old.lock").write_text(text)
    upgraded = lock("--upgrade", "numpy")
    assert upgraded.code == 0 and "2.0.0 -> 2.9.0" in upgraded.out
    drifted = lock("--check", "-o", "old.lock", "--upgrade", "numpy")
    assert drifted.code == 1 and "numpy" in drifted.out and "onnxruntime" not in drifted.out
    told = lock("diff", "old.lock", "envctl.lock")
    assert told.code == 1 and told.out.count("2.0.0 -> 2.9.0") == 2
    assert lock("diff", "old.lock", "envctl.lock", "--json").json["differences"][0]["new"] == "2.9.0"
    assert (same := lock("diff", "old.lock", "old.lock")).code == 0 and "nothing differs" in same.out


def test_offline_takes_what_is_known_and_says_what_is_not(lock: Call, stand_ins: Path) -> None:
    assert lock("--ort", "1.31", *TWO[:2]).code == 0
    (stand_ins / "again.lock").write_bytes((stand_ins / "envctl.lock").read_bytes())
    assert lock("-o", "again.lock", "--offline").code == 0
    refused = lock("--ort", "1.31", "--target", "name=new,python=3.13", "-o", "new.lock", "--offline")
    assert refused.code == 4 and "debian:trixie" in refused.err and not (stand_ins / "new.lock").exists()


def test_this_machine_is_written_as_words_that_can_be_asked_again(lock: Call, stand_ins: Path) -> None:
    made = lock("--ort", "1.31", "--base", "none")
    assert made.code == 0, made.err
    (wanted,) = lockfile.load(stand_ins / "envctl.lock").request.targets
    assert wanted.name == "this" and "glibc=" in wanted.facts and str(stand_ins) not in wanted.facts
    assert lock("--check").code == 0


def test_a_described_machine_and_a_file_of_words_are_the_same_target(lock: Call, stand_ins: Path) -> None:
    (stand_ins / "lab.txt").write_text("# the lab\ngpu=8.6\ndriver=535.104.05\n")
    for host in ("lab.txt", "driver=535.104.05 gpu=8.6"):
        assert lock("--ort", "1.31", "--base", "none", "--host", host, "-o", f"{len(host)}.lock").code == 0
    found = [lockfile.load(path).targets[0] for path in stand_ins.glob("*.lock")]
    assert len(found) == 2 and found[0].stack == found[1].stack and found[0].environment == found[1].environment


BAD = {
    "nothing was asked for": ([], "no engine was named"),
    "two engines": (["--ort", "1.31", "--tf", "2.20"], "one run has one engine"),
    "an engine without recipe": (["--openvino", "2022.3"], "has no recipe for openvino 2022.3"),
    "a host that is no file": (["--ort", "1.31", "--host", "nowhere.txt"], "cannot be read"),
    "an unknown word": (["--ort", "1.31", "--target", "pythn=3.11"], "'pythn' is nothing of a target"),
    "no words": (["--ort", "1.31", "--target", "3.11"], "is not NAME=VALUE"),
    "a word twice": (["--ort", "1.31", "--target", "python=3.11,python=3.12"], "says python twice"),
    "a patch release": (["--ort", "1.31", "--target", "python=3.11.2"], "is not a minor version"),
    "another system": (["--ort", "1.31", "--target", "platform=win_amd64"], "platform 'win_amd64' is unknown"),
    "one name twice": (["--ort", "1.31", *TWO[:2], *TWO[:2]], "two targets are called 'lab'"),
    "a tag": (["--ort", "1.31", *TWO[:2], "--base", "example/base:1"], "not pinned by its digest"),
    "an unknown base": (["--ort", "1.31", *TWO[:2], "--base", "debian:sid"], "unknown base 'debian:sid'"),
    "a base of another Python": (
        ["--ort", "1.31", "--target", "python=3.11", "--base", "debian:trixie"], "brings CPython 3.13, not 3.11",
    ),
    "a check of nothing": (["--ort", "1.31", "--check"], "there is no lock envctl.lock to check"),
    "no date": (["--ort", "1.31", "--exclude-newer", "soon"], "is not a date"),
    "a pin that is nowhere": (["--ort", "1.31", *TWO[:2], "--base", "none", "--pin", "numpi=1"], "numpi"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_error_and_writes_nothing(lock: Call, stand_ins: Path, case: str) -> None:
    arguments, words = BAD[case]
    ran = lock(*arguments)
    assert ran.code == 2, ran.err
    assert words in ran.err and "hint:" in ran.err and "Traceback" not in ran.err
    assert list(stand_ins.glob("*.lock")) == []


def test_a_file_that_is_no_lock_is_neither_read_nor_overwritten(lock: Call, stand_ins: Path) -> None:
    (stand_ins / "notes.txt").write_text("my notes")
    ran = lock("--ort", "1.31", "-o", "notes.txt")
    assert ran.code == 2 and "notes.txt is not a whole lock file" in ran.err
    assert (stand_ins / "notes.txt").read_text() == "my notes"


def test_a_part_of_a_request_does_not_change_the_file_s_own(lock: Call) -> None:
    assert lock("--ort", "1.31", *TWO[:2], "--base", "none").code == 0
    ran = lock("--pin", "numpy=2.0")
    assert ran.code == 2 and "a part of a request" in ran.err


def test_a_wheel_that_the_index_lost_is_named(lock: Call, world: World) -> None:
    assert lock("--ort", "1.31", *TWO[:2], "--base", "none").code == 0
    next((world.house.root / "files").glob("numpy-*")).unlink()
    world.house.publish("numpy")
    ran = lock("--check")
    assert ran.code in (3, 4) and "numpy" in ran.err and "Traceback" not in ran.err
    ran = lock("export", "envctl.lock", "--format", "pylock")
    assert ran.code == 4 and "numpy-2.0.0-py3-none-any.whl" in ran.err


def test_ctrl_c_leaves_nothing_and_the_old_file(world: World, lock: Call, stand_ins: Path) -> None:
    """While the index keeps it waiting."""
    assert lock("--ort", "1.31", *TWO[:2], "--base", "none").code == 0
    before = (stand_ins / "envctl.lock").read_bytes()
    own = {name: str(stand_ins / name) for name in ("ENVCTL_CACHE", "XDG_CONFIG_HOME")}
    own |= {"UV_CACHE_DIR": str(stand_ins / "cold"), "TMPDIR": str(stand_ins / "tmp"), "PYTHONPATH": str(ROOT)}
    (stand_ins / "tmp").mkdir()
    with wheelhouse.served(world.house) as server:
        server.held = "numpy"
        command = [sys.executable, "-m", "envctl", "lock", "--upgrade", "--index", f"pypi={server.address}"]
        process = subprocess.Popen(command, cwd=stand_ins, env={**os.environ, **own}, stderr=subprocess.PIPE, text=True)
        assert server.reached.wait(60)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130 and "interrupted" in told and "Traceback" not in told
    assert (stand_ins / "envctl.lock").read_bytes() == before
    assert list((stand_ins / "tmp").iterdir()) == []


# --- exports


@pytest.fixture
def locked(lock: Call, stand_ins: Path) -> Path:
    """A lock for a Python that this machine has."""
    minor = next(minor for minor in interpreters() if minor in ("3.11", "3.12", "3.13"))
    made = lock("--ort", "1.31", "--base", "none", "--target", f"name=here,python={minor}")
    assert made.code == 0, made.err
    return stand_ins / "envctl.lock"


@pytest.mark.parametrize("form", ["requirements", "pylock"])
def test_uv_takes_an_export_and_checks_its_hashes(lock: Call, world: World, locked: Path, form: str) -> None:
    name = "pylock.toml" if form == "pylock" else "requirements.txt"
    assert lock("export", locked, "--format", form, "-o", name).code == 0
    environment = lockfile.load(locked).targets[0].environment
    venv, uv = locked.parent / "venv", [sys.executable, "-m", "uv"]
    python = str(interpreters()[environment.python])
    subprocess.run([*uv, "venv", "-q", "--python", python, str(venv)], check=True)
    install = [*uv, "pip", "install", "--python", str(venv / "bin/python"), "--require-hashes", "-r", name]
    install += [] if form == "pylock" else ["--default-index", world.house.as_index]

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*install, *more], cwd=locked.parent, capture_output=True, text=True, check=False)

    dry = run("--dry-run")
    assert dry.returncode == 0, dry.stderr
    wanted = {f"{package.name}=={package.version}" for package in environment.packages}
    assert {line.removeprefix(" + ") for line in dry.stderr.splitlines() if line.startswith(" + ")} == wanted
    wheelhouse.wheel(world.house.root / "files", "numpy", "2.0.0", says="replaced")
    refused = run("--reinstall", "--no-cache")
    assert refused.returncode != 0 and "hash" in refused.stderr.lower()


def test_a_pylock_is_one_by_pep_751(lock: Call, locked: Path) -> None:
    pylock = pytest.importorskip("packaging.pylock")
    text = lock("export", locked, "--format", "pylock").out
    read = pylock.Pylock.from_dict(tomllib.loads(text))
    read.validate()
    environment = lockfile.load(locked).targets[0].environment
    assert [(str(p.name), str(p.version), p.wheels[0].size) for p in read.packages] == [
        (p.name, p.version, p.size) for p in environment.packages
    ]
    assert f"python_version == '{environment.python}'" in text


def test_an_export_names_its_target_and_its_file(lock: Call) -> None:
    assert lock("--ort", "1.31", "--base", "none", *TWO).code == 0
    several = lock("export", "envctl.lock")
    assert several.code == 2 and "lab, arm" in several.err
    assert "aarch64" in lock("export", "envctl.lock", "--target", "arm").out
    assert "no target 'none'" in lock("export", "envctl.lock", "--target", "none").err
    assert "--format 'conda' is unknown" in lock("export", "envctl.lock", "--target", "arm", "--format", "conda").err
    named = lock("export", "envctl.lock", "--target", "arm", "--format", "pylock", "-o", "other.toml")
    assert named.code == 2 and "no name of a pylock file" in named.err
    data = json.loads(lock("export", "envctl.lock", "--target", "lab", "--json").out)
    assert data["text"].count("--hash=sha256:") == 3
