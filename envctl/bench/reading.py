"""JSON -> the document of a comparison: by the types of its fields, and no others."""

from __future__ import annotations

import json
import types
from dataclasses import asdict, fields, is_dataclass
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from envctl.bench.document import FORMAT, Document
from envctl.errors import BadInput, Reason

MOST_BYTES = 256 << 20
WORDS = {"inf": float("inf"), "-inf": float("-inf"), "nan": float("nan")}


def as_data(document: Document) -> dict[str, Any]:
    """The document as plain data for JSON: infinities and NaN, which that lacks, are the words `inf`, `-inf`, `nan`."""
    return cast(dict[str, Any], _plain(asdict(document)))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, float) and not isfinite(value) else value


def load(path: Path) -> Document:
    """The document in a file; raises `BadInput` for a file that is none."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES >> 20} MiB")
        return from_data(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        do = ["give a file that envctl compare wrote (-o FILE)"]
        raise BadInput(f"{path} is not a comparison", because=[Reason(text=str(error)[:200])], do=do) from error


def from_data(data: Any) -> Document:
    """The document in plain data; raises `ValueError` or `TypeError` where it does not fit. Unknown names are left out:
    a later envctl may say more."""
    found = data.get("format") if isinstance(data, dict) else None
    if found != FORMAT:
        raise ValueError(f"format {found!r}, this envctl reads {FORMAT}")
    return cast(Document, _made(Document, data, "document"))


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _made(kind: Any, value: Any, at: str) -> Any:
    """`value` as a value of type `kind`; `at` is where it stands, for the error."""
    origin = get_origin(kind)
    if is_dataclass(kind):
        return _record(cast(type, kind), value, at)
    if origin in (Union, types.UnionType):
        return _any_of(get_args(kind), value, at)
    if origin is tuple:
        return _tuple(get_args(kind), value, at)
    if origin is dict and isinstance(value, dict):
        return {str(name): _made(get_args(kind)[1], each, f"{at}.{name}") for name, each in value.items()}
    if origin is Literal:
        if value not in get_args(kind):
            raise ValueError(f"{at} is {value!r}")
        return value
    return _plain_value(kind, value, at)


def _record(kind: type, value: Any, at: str) -> Any:
    if not isinstance(value, dict):
        raise TypeError(f"{at} is no object")
    hints = _hints(kind)
    known = [each.name for each in fields(kind) if each.name in value]
    try:
        return kind(**{name: _made(hints[name], value[name], f"{at}.{name}") for name in known})
    except TypeError as error:
        raise TypeError(f"{at}: {error}") from error


def _any_of(kinds: tuple[Any, ...], value: Any, at: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    for kind in kinds:
        if kind is not type(None):
            return _made(kind, value, at)
    raise TypeError(f"{at} is {value!r}")


def _tuple(kinds: tuple[Any, ...], value: Any, at: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise TypeError(f"{at} is no list")
    if kinds[1:] == (...,):
        return tuple(_made(kinds[0], each, f"{at}[{index}]") for index, each in enumerate(value))
    if len(kinds) != len(value):
        raise ValueError(f"{at} has {len(value)} entries")
    return tuple(
        _made(kind, each, f"{at}[{index}]") for index, (kind, each) in enumerate(zip(kinds, value, strict=True))
    )


def _plain_value(kind: Any, value: Any, at: str) -> Any:
    """A string, number or truth value, with the words for numbers that JSON lacks."""
    if kind is float and isinstance(value, str) and value in WORDS:
        return WORDS[value]
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise TypeError(f"{at} is {value!r}, not {kind.__name__}")
    return value
