"""Several engines and versions on one command line: `--openvino 2026.4,2024.6 --litert --ort '>=1.20,<1.30'`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import typer
from typer.core import TyperCommand

from envctl.cli.options import PINS

SHARED = ("cuda", "cudnn", "python")  # one for all cells
ANY = "any"
VERSION = re.compile(r"any|v?[\d.,]+|[<>=!~].*")


class ListedCommand(TyperCommand):
    """Takes engines with several versions, or with none."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        return super().parse_args(ctx, listed(args))


def listed(arguments: list[str]) -> list[str]:
    """The arguments with each engine's option once: its versions with commas between, `any` where none was said."""
    said: dict[str, list[str]] = {}
    rest: list[str] = []
    left = list(arguments)
    while left:
        word = left.pop(0)
        option, given, value = word.partition("=")
        if word == "--":
            return [*_joined(said), *rest, word, *left]
        if option.removeprefix("--") not in PINS or option.removeprefix("--") in SHARED or not word.startswith("--"):
            rest.append(word)
            continue
        if not given:
            value = left.pop(0) if left and _is_value(left[0]) else ANY
        said.setdefault(option, []).append(value)
    return [*_joined(said), *rest]


def _is_value(word: str) -> bool:
    """Whether a word behind an engine is its version: no option, and no model that is there."""
    return bool(VERSION.fullmatch(word)) or not (word.startswith("-") or Path(word).exists())


def _joined(said: dict[str, list[str]]) -> Iterator[str]:
    return (f"{option}={','.join(values)}" for option, values in said.items())


def versions(text: str) -> list[str]:
    """The versions in a list; a range keeps its own commas: `2026.4,>=2024,<2025` are two. `any` is ""."""
    found: list[str] = []
    for part in (word.strip() for word in text.split(",")):
        if found and _compares(part) and _compares(found[-1]):
            found[-1] += f",{part}"
        else:
            found.append(part)
    return ["" if each == ANY else each for each in found]


def _compares(part: str) -> bool:
    return part[:1] in ("<", ">", "=", "!", "~")
