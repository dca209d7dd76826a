"""Options with a grammar of their own: shapes and sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envctl.errors import BadInput

if TYPE_CHECKING:
    from envctl.workflow.ask import Sizes


def shape(text: str) -> tuple[str, tuple[Sizes, Sizes, Sizes]]:
    """The input's name with its least, usual and largest shape, which are the same where one was given."""
    name, found, sizes = text.rpartition("=")
    parts = [_sizes(part) for part in sizes.split(":")]
    three = parts * 3 if len(parts) == 1 else parts
    if not (found and name and len(three) == 3 and all(three)):
        do = [
            "for example --shape image=1x3x224x224, or --shape image=1x3x224x224:4x3x224x224:8x3x224x224",
            "without it the free sizes are 1",
        ]
        raise BadInput(f"--shape {text!r} is not NAME=1x3x224x224 or NAME=MIN:OPT:MAX with positive sizes", do=do)
    return name, (three[0], three[1], three[2])


def _sizes(text: str) -> Sizes:
    """The sizes of `1x3x8x8` or `1,3,8,8`; none when they cannot be read."""
    numbers = text.replace("x", ",").split(",")
    sizes = tuple(int(number) if number.isdigit() else 0 for number in numbers)
    return sizes if min(sizes) > 0 else ()


def size(text: str) -> int:
    """Bytes in `512m`, `8g`, `1t` or a plain number."""
    units = {"k": 10, "m": 20, "g": 30, "t": 40}
    digits, unit = (text[:-1], text[-1].lower()) if text[-1:].isalpha() else (text, "")
    if not digits.isdigit() or (unit and unit not in units) or int(digits) == 0:
        raise BadInput(f"--memory {text!r} is not a size", do=["for example --memory 8g"])
    return int(digits) << units.get(unit, 0)
