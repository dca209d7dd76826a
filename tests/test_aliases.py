"""Index aliases: where their addresses come from, and what is said when there is none."""

from __future__ import annotations

import pytest

from envctl.aliases import Indexes, config_file, read_indexes
from envctl.errors import BadInput, HostLacks

pytestmark = pytest.mark.usefixtures("stand_ins")


def configure(text: str) -> None:
    """Write the user's configuration file."""
    config_file().parent.mkdir(parents=True)
    config_file().write_text(text, encoding="utf-8")


def test_option_beats_environment_beats_file(monkeypatch: pytest.MonkeyPatch) -> None:
    configure('[index]\na = "file"\nb = "file"\nc = "file"\n')
    monkeypatch.setenv("ENVCTL_INDEX_B", "environment")
    monkeypatch.setenv("ENVCTL_INDEX_C", "environment")
    monkeypatch.setenv("ENVCTL_INDEX_D", "environment")
    found = read_indexes(["c=option", "e=https://host/simple?a=b"]).addresses
    assert {alias: found[alias] for alias in "abcde"} == {
        "a": "file",
        "b": "environment",
        "c": "option",
        "d": "environment",
        "e": "https://host/simple?a=b",
    }


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    configure('[index]\na = "file"\n')
    monkeypatch.setenv("ENVCTL_INDEX_A", "")
    assert read_indexes([]).addresses == {"a": "file"}


def test_without_any_configuration_there_is_no_address() -> None:
    assert read_indexes([]).addresses == {}


@pytest.mark.parametrize("option", ["nvidia", "=https://host", "nvidia=", ""])
def test_an_option_that_is_no_pair_is_refused(option: str) -> None:
    with pytest.raises(BadInput, match="is not ALIAS=URL") as caught:
        read_indexes([option])
    assert repr(option) in caught.value.what and caught.value.do


@pytest.mark.parametrize("text", ["[index\n", 'index = "nvidia"\n', "[index]\nnvidia = 5\n"])
def test_a_broken_configuration_file_is_named(text: str) -> None:
    configure(text)
    with pytest.raises(BadInput) as caught:
        read_indexes([])
    assert str(config_file()) in caught.value.what


def test_an_alias_without_address_is_an_error_with_the_ways_out() -> None:
    with pytest.raises(HostLacks, match="cannot reach the package index 'nvidia'") as caught:
        Indexes(addresses={"other": "x"}).address("nvidia", "tensorrt-libs")
    said = str(caught.value.as_data())
    words = ("tensorrt-libs", "--index nvidia=URL", "--index nvidia=file:///", "ENVCTL_INDEX_NVIDIA", "config.toml")
    assert [word for word in words if word not in said] == []


def test_the_default_alias_needs_no_address() -> None:
    assert Indexes(addresses={}).address("pypi", "numpy") is None
    assert Indexes(addresses={"pypi": "mirror"}).address("pypi", "numpy") == "mirror"
