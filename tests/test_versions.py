"""Pins as people write them, conditions as the matrix writes them."""

from __future__ import annotations

import pytest

from envctl.errors import BadInput
from envctl.versions import Condition, newest_first, parse_condition, parse_pin

PINS = [
    ("8.6", ["8.6", "8.6.0", "8.6.1", "8.6.1.6", "8.6.1rc1"], ["8.5.9", "8.60", "8.7", "86"]),
    ("8", ["8.0", "8.6.1", "8.99"], ["9.0", "80.1"]),
    ("v2024.6", ["2024.6.0"], ["2024.7"]),
    ("  8.6 ", ["8.6.1"], ["8.7"]),
    (">=8,<9", ["8.0", "8.6.1"], ["7.9", "9.0", "9"]),
    ("~=1.17.1", ["1.17.3"], ["1.17.0", "1.18"]),
    ("!=1.17.2", ["1.17.3"], ["1.17.2"]),
    ("==1.17.3", ["1.17.3"], ["1.17.3.1", "1.17.4"]),
    ("1!2.0", ["1!2.0.1"], ["2.0.1"]),
    ("8.6rc1", ["8.6rc1"], ["8.6", "8.6rc2"]),
    ("8.6.post1", ["8.6.post1"], ["8.6", "8.6.1"]),
    ("2.12+cu12", ["2.12+cu12"], ["2.12", "2.12+cu11"]),
]


@pytest.mark.parametrize(("text", "admitted", "refused"), PINS, ids=[pin[0] for pin in PINS])
def test_a_pin_admits_what_a_person_means(text: str, admitted: list[str], refused: list[str]) -> None:
    condition = parse_pin("engine", text)
    assert [version for version in admitted if not condition.admits(version)] == []
    assert [version for version in refused if condition.admits(version)] == []


@pytest.mark.parametrize("version", ["8", "8.6.1.6", "2026.4.1", "1.0a1", "1.0b2.post3", "1.0.dev4", "v1.2", "3.11"])
def test_a_version_admits_itself(version: str) -> None:
    assert parse_pin("engine", version).admits(version.removeprefix("v"))


@pytest.mark.parametrize(
    "text", ["latest", ">=x", "8.6.", "8,6", "8.6 or 9", "=>8", "8.6;rm", "\N{FULLWIDTH DIGIT EIGHT}.6"]
)
def test_what_is_no_version_is_named(text: str) -> None:
    with pytest.raises(BadInput, match="cudnn .* is not a version") as caught:
        parse_pin("cudnn", text)
    assert text in caught.value.what
    assert "--pin cudnn=8.6" in caught.value.do[0]


@pytest.mark.parametrize("text", ["", "   ", ",", " , "])
def test_an_empty_pin_is_refused_and_does_not_admit_everything(text: str) -> None:
    with pytest.raises(BadInput, match="the pin for cuda is empty"):
        parse_pin("cuda", text)


def test_any_alternative_is_enough() -> None:
    condition = parse_condition([">=11.0,<11.9", ">=12.0,<12.2"])
    assert [condition.admits(version) for version in ("10.2", "11.8", "11.9", "12.1.1", "12.2")] == [
        False,
        True,
        False,
        True,
        False,
    ]
    assert str(condition) == ">=11.0,<11.9 or >=12.0,<12.2"


def test_a_prerelease_counts_in_a_claim() -> None:
    """A vendor's 1.18.0rc2 is inside >=1.17: PEP 440's habit of hiding prereleases would lose it."""
    assert parse_condition([">=1.17"]).admits("1.18.0rc2")


def test_bits_are_sets_not_versions() -> None:
    condition = parse_condition(["avx2,fma", "asimd"])
    assert condition.admits("fpu sse avx2 fma")
    assert condition.admits("fp asimd")
    assert not condition.admits("avx2 sse")
    assert not condition.admits("avx512 avx2x fma")


@pytest.mark.parametrize("broken", ["=>8", "8.6", ">= eight", "==8.6rc1.*"])
def test_a_broken_specifier_is_named(broken: str) -> None:
    with pytest.raises(ValueError, match=r"is not a version specifier") as caught:
        parse_condition([">=1", broken])
    assert repr(broken) in str(caught.value)


def test_newest_first_orders_by_number_not_by_letter() -> None:
    assert newest_first(["1.9", "1.31.1", "1.17.3", "1.31.1rc1"]) == ["1.31.1", "1.31.1rc1", "1.17.3", "1.9"]


def test_no_alternative_admits_nothing() -> None:
    assert not Condition(any=()).admits("1.0")
