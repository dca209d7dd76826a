"""The documentation says what the program says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.commands import DOCTOR, PAGE, page, with_checks
from tests.conftest import run_envctl

ROOT = Path(__file__).resolve().parent.parent


def test_commands_page_is_the_programs_own_help() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "renew it: python3 tasks.py docs"


def test_the_table_of_checks_is_the_programs_own_list() -> None:
    text = DOCTOR.read_text(encoding="utf-8")
    assert text.count("\n| `") >= 100
    assert text == with_checks(text), "renew it: python3 tasks.py docs"


def shown(start: str) -> tuple[list[str], list[str]]:
    """A command of the README that begins like this, as arguments, and the lines shown below it."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = next(block for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL) if block.startswith(start))
    command, *lines = block.rstrip().splitlines()
    return shlex.split(command.removeprefix("$ envctl ")), lines


def test_the_proof_in_the_readme_is_what_the_program_prints() -> None:
    arguments, lines = shown("$ envctl resolve")
    assert run_envctl(*arguments).err.splitlines() == lines


def test_the_question_in_the_readme_is_answered_so() -> None:
    arguments, lines = shown("$ envctl matrix ask")
    assert run_envctl(*arguments).out.splitlines() == lines


@pytest.mark.engines
def test_the_main_job_in_the_readme_is_what_the_program_prints(digits: Path, tmp_path: Path) -> None:
    """Line for line, but for paths, digests of the machine and times."""
    arguments, lines = shown("$ envctl run")
    (tmp_path / "envctl-out").mkdir()
    (tmp_path / "envctl-out" / "digits.onnx").write_bytes(digits.read_bytes())
    printed = run_envctl(*arguments, cwd=tmp_path).out.splitlines()
    volatile = re.compile(r"^  (time|worst|target|reference|layers) .*")
    assert [volatile.sub(r"\1", line) for line in printed] == [volatile.sub(r"\1", line) for line in lines]


def test_every_link_between_our_pages_leads_somewhere() -> None:
    for source in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)", source.read_text(encoding="utf-8")):
            assert (source.parent / target).is_file(), f"{source.name} links to {target}"


def test_every_exit_code_of_the_program_is_in_the_readme() -> None:
    from envctl import errors
    from envctl.workflow.outcome import EXIT

    codes = {
        *EXIT.values(),
        *(cls.code for cls in vars(errors).values() if isinstance(cls, type) and hasattr(cls, "code")),
    }
    table = re.findall(r"^\| (\d+) \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert codes <= {int(code) for code in table}


def test_every_module_of_the_package_is_in_the_architecture() -> None:
    """And no other: the first column of its list, below `envctl/`."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    inside = text.split("\nenvctl/\n")[1].split("\ntests/")[0]
    listed = {word.strip("/") for line in inside.splitlines() for word in re.split(r"\s{2,}", line.strip())[0].split()}
    there = {path.stem for path in (ROOT / "envctl").iterdir() if path.is_dir() or path.suffix == ".py"}
    assert listed == {name for name in there if not name.startswith("__")}
