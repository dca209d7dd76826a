"""`envctl ci`: the files read as what was meant, pass the systems' schemas, and their scripts do what they say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from envctl.pipeline import steps
from envctl.pipeline.yaml import dump
from tests import ci_files
from tests.ci_files import DIGEST, GOLDEN, IMAGE, REQUIREMENTS, X86, lock_text
from tests.conftest import Ran
from tests.wheelhouse import Wheelhouse, sha256

SCHEMAS = {
    "github": ("vendor.github-workflows", "custom.github-workflows-require-timeout"),
    "gitlab": ("vendor.gitlab-ci",),
}
TOOLS = Path(sys.executable).parent


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The project of `ci_files`."""
    return ci_files.project(tmp_path / "project")


def read(text: str) -> dict[str, Any]:
    """YAML 1.2, read by somebody else."""
    from ruamel.yaml import YAML

    data: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    return data


@pytest.mark.parametrize("name", list(ci_files.asks()))
def test_the_files_are_the_golden_ones(name: str, here: Path) -> None:
    """Renewed by: python3 -m tests.ci_files"""
    assert ci_files.made(name, here) == (GOLDEN / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", list(ci_files.asks()))
def test_the_files_pass_the_schemas_and_broken_ones_do_not(name: str) -> None:
    system = name.partition(".")[0].partition("-")[0]
    text = (GOLDEN / name).read_text(encoding="utf-8")
    broken = text.replace("script:", "scripts:") if system == "gitlab" else text.replace("runs-on:", "runs_on:")
    for schema in SCHEMAS[system]:
        assert list(_wrong(schema, text)) == []
    assert list(_wrong(SCHEMAS[system][0], broken))


def _wrong(schema: str, text: str) -> Iterator[object]:
    from check_jsonschema.builtin_schemas import get_builtin_schema
    from jsonschema.validators import validator_for

    known = get_builtin_schema(schema)
    return validator_for(known)(known).iter_errors(read(text))


def test_a_workflow_may_read_and_nothing_more_and_its_actions_are_commits() -> None:
    for name in ("github.yml", "github-images.yml"):
        data = read((GOLDEN / name).read_text(encoding="utf-8"))
        assert data["permissions"] == {"contents": "read"}
        assert not any("permissions" in job for job in data["jobs"].values())
        used = [step["uses"] for job in data["jobs"].values() for step in job["steps"] if "uses" in step]
        assert {each.partition("@")[0] for each in used} == {"actions/checkout", "actions/cache"}
        assert all(len(each.partition("@")[2]) == 40 for each in used)


def test_every_image_is_pulled_by_its_digest_and_every_target_has_its_own_cache() -> None:
    data = read((GOLDEN / "github-images.yml").read_text(encoding="utf-8"))
    entries = data["jobs"]["verify"]["strategy"]["matrix"]["include"]
    assert [entry["IMAGE"] for entry in entries] == [IMAGE, ci_files.OTHER, ""]
    assert [entry["REGISTRY"] for entry in entries] == ["registry.example:5000", "", ""]
    assert [entry["RUNNER"] for entry in entries] == ["docker", "docker", "local"]
    assert [entry["TARGET"] for entry in entries] == ["x86", "arm", ""]  # a lock of one target needs no name
    assert len({entry["cache"] for entry in entries}) == 3
    assert all(entry["LOCK_SHA256"][:32] in entry["cache"] for entry in entries)


def test_what_is_said_for_all_jobs_gives_way_to_what_is_said_for_one() -> None:
    data = read((GOLDEN / "gitlab-images.yml").read_text(encoding="utf-8"))
    assert {name: job["tags"] for name, job in data.items() if "script" in job} == {
        "lock locks/openvino.lock": ["docker"],
        "lock locks/ort.lock": ["docker"],
        "verify x86": ["docker"],
        "verify arm": ["docker"],
        "verify py310": ["gpu"],
    }


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_the_scripts_pass_shellcheck(shell: str, tmp_path: Path) -> None:
    variables = ["FOLDER", "REQUIREMENTS", "MODEL", "LOCK", "LOCK_SHA256", "TARGET", "PYTHON", "RUNNER", "IMAGE"]
    variables.append("REGISTRY")
    secrets = ["REGISTRY_USER", "REGISTRY_PASSWORD"]
    given = "".join(f'{name}="${{{name}?}}"\n' for name in (*variables, *secrets))
    every = {*steps.check_steps(), *steps.verify_steps(image=True, login=True)}
    for number, step in enumerate(sorted(every, key=lambda step: step.name)):
        path = tmp_path / f"{number}.sh"
        path.write_text(f'#!/bin/{shell} -e\n: "{" ".join(f"${name}" for name in variables)}"\n{given}{step.script}')
        done = subprocess.run(
            [TOOLS / "shellcheck", "-s", shell, "-e", "SC2269", str(path)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


AWKWARD = [
    "yes", "on", "1.10", "0x1f", "1e5", ".5", ".inf", "~", "null", "2026-11-21", "17:30", "a: b", "a #b", "- a", "[a]",
    "{a}", "&a", "*a", "!a", "%a", "@a", "`a", "'", '"', "a\\b", "", " a", "a ", "é", "${{ matrix.a }}", "?", "|", ">",
    "_", "=", "<<", "a,b", "\t", "on:", "a:b", "-", "---", ".", "..", "$x", "a  b",
]  # fmt: skip


@pytest.mark.parametrize("version", [(1, 1), (1, 2)])
def test_whatever_is_written_is_read_back_the_same(version: tuple[int, int]) -> None:
    from ruamel.yaml import YAML

    reader = YAML(typ="safe", pure=True)
    reader.version = version  # type: ignore[assignment]
    value = {
        "texts": AWKWARD,
        "by key": {f"key {number}": text for number, text in enumerate(AWKWARD)},
        "nested": [{"a": [1, True, None], "b": {}}, {"c": [], "d": "one\n\n  two\n"}, "x\ny\n"],
    }
    assert reader.load(dump(value)) == value


STAND_IN = '''
"""Stands in for envctl and uv where a job installs them: it remembers what it was told, and ends as it should."""
import json, os, sys


def main():
    with open(os.environ["TOLD"], "a") as told:
        told.write(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]) + "\\n")
    sys.exit(int(os.environ["ENDS"]) if os.environ.get("FAILS") in sys.argv else 0)
'''


def installable(here: Path) -> Path:
    """The project with the stand-in as its requirements, by its hash."""
    house = Wheelhouse(here.parent / "house")
    path = house.add("envctl", "0.1.0")
    with zipfile.ZipFile(path) as archive:
        texts = {each: archive.read(each).decode() for each in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for each, text in texts.items():
            more = "uv = envctl:main\n" if each.endswith("entry_points.txt") else ""
            if not each.endswith("RECORD"):
                archive.writestr(each, STAND_IN if each == "envctl.py" else text + more)
        archive.writestr("envctl-0.1.0.dist-info/RECORD", "")
    (here / "envctl-requirements.txt").write_text(f"envctl==0.1.0 --hash=sha256:{sha256(path)}\n")
    return here


def scripts(text: str, job: str, entry: int = 0) -> tuple[dict[str, str], list[str]]:
    """The variables and the scripts of a job of a GitHub workflow, its expressions filled in as GitHub does."""
    data = read(text)
    found = data["jobs"][job]
    matrix = found["strategy"]["matrix"]["include"][entry]

    def filled(value: str) -> str:
        for name, given in matrix.items():
            value = value.replace(f"${{{{ matrix.{name} }}}}", str(given))
        return value.replace("${{ github.workspace }}", os.fspath(Path.cwd()))

    variables = {name: filled(str(value)) for name, value in (data["env"] | found["env"]).items()}
    on = [step for step in found["steps"] if "run" in step and (matrix.get("IMAGE") or "if" not in step)]
    return variables, [step["run"] for step in on]


def carried_out(folder: Path, variables: dict[str, str], each: list[str], **more: str) -> list[tuple[int, str]]:
    """Run scripts as GitHub does (bash --noprofile --norc -eo pipefail FILE) until one fails."""
    house = folder.parent / "house" / "files"
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(house), "PIP_CONFIG_FILE": os.devnull}
    environment = {**os.environ, **pip, "TOLD": str(folder / "told"), **variables, **more}
    ended = []
    for script in each:
        (folder / "step.sh").write_text(script)
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "step.sh"]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        ended.append((done.returncode, done.stdout + done.stderr))
        if done.returncode:
            break
    return ended


def told(folder: Path) -> list[list[str]]:
    return [json.loads(line) for line in (folder / "told").read_text().splitlines()]


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose check job has run: its tools are there."""
    folder = installable(ci_files.project(tmp_path_factory.mktemp("ci") / "project"))
    variables, each = scripts(ci_files.made("github.yml", folder), "check")
    assert [code for code, _ in carried_out(folder, variables, each)] == [0, 0, 0]
    return folder


@pytest.fixture
def equipped(here: Path, checked: Path) -> Path:
    """A project of the test's own with the tools that were installed in the other."""
    (here / steps.FOLDER).mkdir()
    (here / steps.FOLDER / "tools").symlink_to(checked / steps.FOLDER / "tools")
    return here


def without_install(each: list[str]) -> list[str]:
    """The scripts but the one that every job installs with; it has its turn in `checked`."""
    left = [script for script in each if "pip install" not in script]
    assert len(left) == len(each) - 1
    return left


def test_the_check_job_installs_by_hash_and_ends_as_the_lock_check_ends(checked: Path) -> None:
    assert told(checked) == [["envctl", "lock", "--check", "-o", "locks/openvino.lock"]]
    variables, each = scripts(ci_files.made("github.yml", checked), "check")
    found = carried_out(checked, variables, each[2:], FAILS="lock", ENDS="1", TOLD=os.devnull)
    assert [code for code, _ in found] == [1]


def test_the_verify_job_runs_the_lock_s_target_on_the_model(equipped: Path) -> None:
    text = ci_files.made("github.yml", equipped)
    variables, each = scripts(text, "verify", 1)
    ended = carried_out(equipped, variables, without_install(each), FAILS="find", ENDS="2")
    assert [code for code, _ in ended] == [0, 0, 0]
    variables, each = scripts(text, "verify", 2)
    assert carried_out(equipped, variables, each[3:], FAILS="run", ENDS="4")[-1][0] == 4
    find, install, arm, py310 = told(equipped)
    assert find == ["uv", "python", "find", "--system", "3.13"]
    assert install == ["uv", "python", "install", "--no-bin", "3.13"]  # only where there is none
    assert " ".join(arm) == "envctl run --lock locks/openvino.lock --target arm --runner local verify model.onnx"
    assert " ".join(py310) == "envctl run --lock locks/ort.lock --runner local verify model.onnx"


def test_a_changed_lock_ends_the_job_before_anything_is_installed(here: Path) -> None:
    text = ci_files.made("github.yml", here)
    (here / "locks/openvino.lock").write_text(lock_text(("x86", "3.12", X86)))
    for job in ("check", "verify"):
        variables, each = scripts(text, job)
        ((code, said),) = carried_out(here, variables, each)
        assert code == 1
        assert "locks/openvino.lock is not the lock that this job was written for" in said
    assert not (here / steps.FOLDER).exists()


def test_a_package_with_another_hash_ends_the_job(here: Path) -> None:
    installable(here)
    variables, each = scripts(ci_files.made("github.yml", here), "check")
    (here / "envctl-requirements.txt").write_text(REQUIREMENTS)
    ended = carried_out(here, variables, each)
    assert ended[-1][0] == 1
    assert "DO NOT MATCH THE HASHES" in ended[-1][1]
    assert not (here / "told").exists()


def test_gitlab_s_scripts_are_the_same_and_run_in_one_shell(equipped: Path) -> None:
    data = read(ci_files.made("gitlab.yml", equipped))
    job = data["verify arm"]
    variables = {name: value.replace("$CI_PROJECT_DIR", str(equipped)) for name, value in job["variables"].items()}
    whole = "".join(without_install(job["script"]))
    ((code, said),) = carried_out(equipped, data["variables"] | variables, [whole])
    assert code == 0, said
    assert [line[0] for line in told(equipped)] == ["uv", "envctl"]
    (equipped / "script.sh").write_text(whole)
    plain = {**os.environ, **data["variables"], **variables, "LOCK": "model.onnx"}
    assert (
        subprocess.run(["sh", "script.sh"], cwd=equipped, env=plain, capture_output=True, check=False).returncode == 1
    )


@pytest.mark.slow
@pytest.mark.engines
@pytest.mark.parametrize("pythons", [("3.11",), ("3.11", "3.12")])
def test_a_real_lock_and_model_pass_their_jobs(
    pythons: tuple[str, ...], envctl: Callable[..., Ran], zoo: dict[str, Path], tmp_path: Path
) -> None:
    """Everything but installing envctl is real: the tools are this checkout's own."""
    targets = [word for python in pythons for word in ("--target", f"python={python},platform=x86_64")]
    locked = envctl("lock", "--ort", "1.31", *targets, "--base", "none", "-o", "envctl.lock")
    assert locked.code == 0, locked.err
    (tmp_path / "envctl-requirements.txt").write_text(REQUIREMENTS)
    (tmp_path / "model.onnx").write_bytes(next(iter(zoo.values())).read_bytes())
    assert envctl("ci", "github", "--model", "model.onnx", "-o", "ci.yml").code == 0
    (tmp_path / steps.FOLDER / "tools").mkdir(parents=True)
    (tmp_path / steps.FOLDER / "tools/bin").symlink_to(TOOLS)
    jobs = [("check", 0), *(("verify", number) for number in range(len(pythons)))]
    for job, number in jobs:
        variables, each = scripts((tmp_path / "ci.yml").read_text(), job, number)
        mine = [script for script in each if "pip install" not in script and "uv" not in script]
        cache = {"ENVCTL_CACHE": os.environ["ENVCTL_CACHE"], "ENVCTL_EVIDENCE": "none"}
        ended = carried_out(tmp_path, variables, mine, **cache)
        assert [code for code, _ in ended] == [0] * len(mine), ended
        assert job == "check" or f"CPython {pythons[number]}," in ended[-1][1]


def test_the_command_writes_the_file_and_says_when_it_is_out_of_date(envctl: Callable[..., Ran], here: Path) -> None:
    options = ["--locks", "locks/ort.lock", "--model", "model.onnx", "-o", ".github/workflows/envctl.yml"]
    written = envctl("ci", "github", *options, cwd=here)
    assert (written.code, written.out) == (
        0,
        ".github/workflows/envctl.yml: 1 locks are checked, 1 targets verify model.onnx\n",
    )
    assert envctl("ci", "github", *options, "--check", cwd=here).code == 0
    (here / "locks/ort.lock").write_text(lock_text(("py312", "3.12", X86)))
    late = envctl("ci", "github", *options, "--check", cwd=here)
    assert late.code == 1
    assert "is out of date; write it again: envctl ci github" in late.out
    assert envctl("ci", "github", *options, "--json", cwd=here).json["jobs"][0]["python"] == "3.12"
    assert envctl("ci", "github", *options, "--check", cwd=here).code == 0


def test_the_command_in_the_file_writes_the_same_file(envctl: Callable[..., Ran], here: Path) -> None:
    import shlex

    for name in ci_files.asks():
        golden = (GOLDEN / name).read_text(encoding="utf-8")
        command = shlex.split(golden.splitlines()[1].removeprefix("#"))
        assert envctl(*command[1:], cwd=here).out == golden


def test_a_file_of_somebody_else_is_not_overwritten(envctl: Callable[..., Ran], here: Path) -> None:
    (here / "ci.yml").write_text("jobs: {}\n")
    options = ["ci", "gitlab", "--locks", "locks/ort.lock", "--model", "model.onnx", "-o", "ci.yml"]
    refused = envctl(*options, cwd=here)
    assert refused.code == 2
    assert "ci.yml was not written by envctl" in refused.err
    assert (here / "ci.yml").read_text() == "jobs: {}\n"
    assert envctl(*options, "--force", cwd=here).code == 0
    assert (here / "ci.yml").read_text().startswith("# Written by envctl")


BAD = [
    (["--model", "gone.onnx"], "the model gone.onnx is not there"),
    (["--model", "../model.onnx"], "the model '../model.onnx' cannot be named in a CI file"),
    (["--model", "${{ secrets.X }}"], "cannot be named in a CI file"),
    (["--model", "a\nb"], "cannot be named in a CI file"),
    (["--locks", "gone.lock"], "the lock gone.lock is not there"),
    (["--locks", "model.onnx"], "model.onnx is not a lock"),
    (["--requirements", "model.onnx"], "model.onnx does not pin envctl"),
    (["--requirements", "gone.txt"], "the hash-pinned requirements of envctl itself gone.txt is not there"),
    (["--image", "team/openvino:latest"], "--image 'team/openvino:latest' is not [JOB=]REFERENCE@sha256:DIGEST"),
    (["--image", f"team/x@{DIGEST}"], "which job is it for?"),
    (["--image", f"x86=team/x@{DIGEST}", "--image", f"x86=team/y@{DIGEST}"], "--image is said twice for x86"),
    (["--image", f"x87=team/x@{DIGEST}"], "is not [JOB=]REFERENCE@sha256:DIGEST"),
    (["--runs-on", "a b"], "--runs-on 'a b' is not [JOB=]LABEL[,LABEL]"),
    (["--job-image", f"team/x@{DIGEST}"], "--job-image is for GitLab"),
    (["--check"], "--check compares with a file, and none was named"),
]


@pytest.mark.parametrize(("options", "what"), BAD)
def test_what_cannot_be_pinned_is_refused_in_one_line(
    options: list[str], what: str, envctl: Callable[..., Ran], here: Path
) -> None:
    given = [] if "--model" in options else ["--model", "model.onnx"]
    given += [] if "--locks" in options else ["--locks", "locks/openvino.lock"]
    ran = envctl("ci", "github", *given, *options, cwd=here)
    assert (ran.code, ran.out) == (2, "")
    assert what in ran.err
    assert "Traceback" not in ran.err


def test_an_unknown_system_is_refused(envctl: Callable[..., Ran], here: Path) -> None:
    ran = envctl("ci", "circle", "--model", "model.onnx", cwd=here)
    assert (ran.code, "envctl writes no file for 'circle'" in ran.err) == (2, True)


def test_a_lock_of_one_environment_and_locks_of_the_same_name_are_told_apart(here: Path) -> None:
    from envctl.lock import Lock
    from envctl.workflow.ci import CiAsk, pipeline

    plain = Lock(python="3.11", platform=X86, packages=()).text()
    for folder in ("a", "b"):
        (here / folder).mkdir()
        (here / folder / "envctl.lock").write_text(plain)
    ask = CiAsk(
        system="github",
        locks=("a/envctl.lock", "b/envctl.lock", "a/envctl.lock"),
        images=(),
        labels=(),
        model="model.onnx",
        requirements="envctl-requirements.txt",
        login=False,
        job_image="",
    )
    assert [job.name for job in pipeline(ask, here).jobs] == ["1-envctl", "2-envctl"]
