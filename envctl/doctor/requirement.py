"""What an image asks of the host: NVIDIA_REQUIRE_* parsed and evaluated as NVIDIA's container tools do it. Pure.

A requirement is alternatives with spaces between (any of them will do), each of them conditions with commas between
(all must hold); an image can have several requirements, and all must hold, for every GPU. Sources: `SOURCES`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

SOURCES = (
    "https://github.com/NVIDIA/libnvidia-container/blob/main/src/cli/dsl.c",
    "https://github.com/NVIDIA/nvidia-container-toolkit/blob/main/internal/config/image/cuda_image.go",
)
Name: TypeAlias = Literal["cuda", "driver", "arch", "brand"]
Known: TypeAlias = Mapping[str, "str | None"]
NAMES = ("cuda", "driver", "arch", "brand")
CONDITION = re.compile(r"([a-z]+)(>=|<=|!=|=|<|>)([^<>=!]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition: `driver`, `>=`, `470`."""

    name: Name
    operator: str
    value: str

    def __str__(self) -> str:
        return f"{self.name}{self.operator}{self.value}"


Alternatives: TypeAlias = "tuple[tuple[Condition, ...], ...]"


def required(environment: Mapping[str, str]) -> list[str]:
    """The texts of all requirements of an image, from its environment; none where it switches them off."""
    if environment.get("NVIDIA_DISABLE_REQUIRE", "").lower() in ("1", "t", "true"):
        return []
    found = [text for name, text in sorted(environment.items()) if _is_requirement(name) and text.strip()]
    legacy = re.match(r"\d+\.\d+", environment.get("CUDA_VERSION", ""))
    if legacy and not environment.get("NVIDIA_REQUIRE_CUDA"):
        found.append(f"cuda>={legacy.group()}")  # images older than NVIDIA_REQUIRE_CUDA
    return found


def _is_requirement(name: str) -> bool:
    return name.startswith("NVIDIA_REQUIRE_") and not name.startswith("NVIDIA_REQUIRE_JETPACK")


def parse(text: str) -> Alternatives:
    """The alternatives of a requirement; raises ValueError for what NVIDIA's tools refuse."""
    return tuple(tuple(_condition(part) for part in term.split(",") if part) for term in text.split())


def _condition(text: str) -> Condition:
    found = CONDITION.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is no condition")
    name, operator, value = found.group(1).lower(), found.group(2), found.group(3)
    if name not in NAMES:
        raise ValueError(f"{name!r} is none of {', '.join(NAMES)}")
    if name == "brand" and operator not in ("=", "!="):
        raise ValueError(f"{text!r}: brands have no order")
    if name != "brand" and not re.fullmatch(r"[\d.]+", value):
        raise ValueError(f"{value!r} is no version")
    return Condition(cast(Name, name), operator, value)


def holds(alternatives: Alternatives, known: Known) -> bool | None:
    """Whether a requirement holds for one GPU; None where what is not known decides it."""
    results = [_all(_holds(condition, known) for condition in term) for term in alternatives]
    return True if True in results or not results else None if None in results else False


def _all(results: Iterable[bool | None]) -> bool | None:
    found = list(results)
    return False if False in found else None if None in found else True


def _holds(condition: Condition, known: Known) -> bool | None:
    here = known.get(condition.name)
    if here is None:
        return None
    if condition.name == "brand":
        return (here.lower() == condition.value.lower()) == (condition.operator == "=")
    return compare(numbers(here), condition.operator, numbers(condition.value))


def numbers(version: str) -> tuple[int, ...]:
    """The numbers a version begins with, without zeros at the end: 20.10.24+dfsg1 -> (20, 10, 24)."""
    found = re.match(r"v?(\d+(?:\.\d+)*)", version.strip())
    parts = [int(part) for part in found.group(1).split(".")] if found else []
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def compare(left: tuple[int, ...], operator: str, right: tuple[int, ...]) -> bool:
    """Whether `left operator right`."""
    if operator in ("=", "!="):
        return (left == right) == (operator == "=")
    if left == right:
        return operator in ("<=", ">=")
    return (left < right) == (operator in ("<", "<="))
