"""Pins on the command line: which engine, which component, which versions."""

from __future__ import annotations

import re

from envctl.errors import BadInput
from envctl.request import ENGINE_OPTIONS, Pin
from envctl.versions import parse_pin

# option -> name in the matrix; those of ENGINES name engines
ENGINES = {f"--{option}": name for option, name in ENGINE_OPTIONS.items()}
COMPONENTS = {"--cuda": "cuda", "--cudnn": "cudnn", "--python": "python"}


def engine_and_pins(given: dict[str, str | None], general: list[str]) -> tuple[str, tuple[Pin, ...]]:
    """The one engine that was named, and all pins. Raises `BadInput` for none, several, or one that cannot be read."""
    engines = [option for option, value in given.items() if value is not None and option in ENGINES]
    if len(engines) != 1:
        named = f"{' and '.join(engines)} were given" if engines else "no engine was named"
        do = [f"name one: {', '.join(ENGINES)}, for example --openvino 2026.4"]
        raise BadInput(f"{named}; one run has one engine", do=do)
    return ENGINES[engines[0]], read_pins(given, general)


def read_pins(given: dict[str, str | None], general: list[str], option: str = "--pin") -> tuple[Pin, ...]:
    """The pins of all options that were given, `general` those of `option`; contradictory ones are refused."""
    names = ENGINES | COMPONENTS
    pins = [_pin(names[option], value, f"{option} {value}") for option, value in given.items() if value is not None]
    pins += [_general(text, option) for text in general]
    _refuse_doubles(pins)
    return tuple(pins)


def _pin(name: str, value: str, said: str) -> Pin:
    return Pin(name=name, condition=parse_pin(name, value), said=said)


def _general(text: str, option: str) -> Pin:
    """NAME=SPEC; as people write them, NAME==1.2 (the same as NAME=1.2) and NAME>=1.2 are read too."""
    from packaging.utils import canonicalize_name

    found = re.fullmatch(r"\s*([A-Za-z0-9][\w.-]*?)\s*([=<>!~].*)", text)
    if not found:
        raise BadInput(
            f"{option} {text!r} is not NAME=SPEC", do=[f"for example {option} numpy=1.26 or {option} 'numpy=<2'"]
        )
    name, spec = found.groups()
    spec = spec.removeprefix("=")
    spec = spec if spec.startswith("==") else spec.removeprefix("=")
    return _pin(canonicalize_name(name), spec, f"{option} {text}")


def _refuse_doubles(pins: list[Pin]) -> None:
    for index, pin in enumerate(pins):
        for other in pins[:index]:
            if other.name == pin.name:
                raise BadInput(f"{pin.name} is pinned twice: {other.said} and {pin.said}", do=["keep one of them"])
