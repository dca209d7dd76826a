"""Errors and verdicts in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from envctl import errors
from envctl.cli.result import print_sandbox
from envctl.job import Result
from envctl.report import error_text
from envctl.verify.compare import rounded_up
from envctl.workflow.outcome import Outcome


def test_an_error_says_what_because_with_sources_in_a_column_and_do() -> None:
    because = [errors.Reason(text="cuda 12.3 needs driver >=525", source="a page"), errors.Reason(text="no source")]
    lines = error_text(errors.NoStack("no stack", because=because, do=["this", "or that"])).splitlines()
    assert lines[0] == "error: no stack"
    assert lines[1].split("  ")[1:] == ["cuda 12.3 needs driver >=525", "a page"]
    assert lines[2] == "  no source"
    assert lines[3:] == ["hint: this", "hint: or that"]


def test_exit_codes_are_the_documented_ones() -> None:
    kinds = (errors.BadInput, errors.NoStack, errors.HostLacks, errors.JobFailed, errors.CannotStart)
    assert [kind.code for kind in kinds] == [2, 3, 4, 5, 127]


def test_an_error_is_the_same_as_data() -> None:
    data = errors.HostLacks("no disk", because=[errors.Reason(text="full", source="df")], do=["free some"]).as_data()
    assert data == {
        "what": "no disk",
        "because": [{"text": "full", "source": "df"}],
        "do": ["free some"],
        "exit_code": 4,
    }


@pytest.mark.parametrize("value", [1.23456e-4, 9.99e-3, 1e-4, 0.5, 3.0000001e-7, 123.4])
def test_a_tolerance_is_printed_with_two_digits_and_never_below_itself(value: float) -> None:
    printed = float(f"{rounded_up(value):.1e}")
    assert value <= printed * (1 + 1e-9)
    assert printed <= value * 1.11


def test_a_sandbox_that_is_open_somewhere_is_not_called_shut(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Landlock alone refuses TCP and nothing else: the screen must not say "no network"."""
    for network, shut in (("none (own namespace)", True), ("TCP refused (landlock); no network namespace: x", False)):
        result = Result(status="ok", message="", folder=tmp_path, sandbox={"network": network, "by": "worker"})
        print_sandbox(Console(soft_wrap=True), Outcome(task="verify", results={"convert": result}))
        assert ("no network, writes" in capsys.readouterr().out) == shut
