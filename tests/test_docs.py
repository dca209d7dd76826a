"""The documentation says what the program says."""

from __future__ import annotations

import re
from pathlib import Path

from tests.commands import PAGE, page

ROOT = Path(__file__).resolve().parent.parent


def test_commands_page_is_the_programs_own_help() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "renew it: python3 tasks.py docs"


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
