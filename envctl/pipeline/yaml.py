"""Dictionaries, lists and text -> YAML that reads back as the same in version 1.1 and 1.2; no anchors, no tags."""

from __future__ import annotations

import json
import re
from typing import Any

# what needs no quotes: words that are not also a number, a date, a truth value or a mark of YAML's own
PLAIN = re.compile(r"(?:[A-Za-z_$]|\.[A-Za-z])[\w./@$-]*(?: [\w./@()$-]+)*")
RESERVED = re.compile(r"(?i)(true|false|yes|no|on|off|y|n|null|none|\.nan|[+-]?\.inf)")


class Commented(str):
    """Text with a comment after it."""

    comment: str

    def __new__(cls, text: str, comment: str) -> Commented:
        made = super().__new__(cls, text)
        made.comment = comment
        return made


def dump(value: dict[str, Any]) -> str:
    """The YAML of a mapping, in its order."""
    return "\n".join(_mapping(value, "")) + "\n"


def _mapping(value: dict[str, Any], indent: str) -> list[str]:
    lines: list[str] = []
    for key, entry in value.items():
        lines += _entry(f"{indent}{_scalar(key, is_key=True)}:", entry, indent)
    return lines


def _entry(head: str, entry: Any, indent: str) -> list[str]:
    if isinstance(entry, dict):
        return [head, *_mapping(entry, f"{indent}  ")] if entry else [f"{head} {{}}"]
    if isinstance(entry, (list, tuple)):
        return [head, *_sequence(entry, f"{indent}  ")] if entry else [f"{head} []"]
    if isinstance(entry, str) and "\n" in entry:
        return [f"{head} |", *_block(entry, f"{indent}  ")]
    return [f"{head} {_scalar(entry)}"]


def _sequence(values: list[Any] | tuple[Any, ...], indent: str) -> list[str]:
    lines: list[str] = []
    for value in values:
        if isinstance(value, dict):
            first, *rest = _mapping(value, f"{indent}  ")
            lines += [f"{indent}- {first.strip()}", *rest]
        elif isinstance(value, str) and "\n" in value:
            lines += [f"{indent}- |", *_block(value, f"{indent}  ")]
        else:
            lines.append(f"{indent}- {_scalar(value)}")
    return lines


def _block(text: str, indent: str) -> list[str]:
    """A literal block; ours end with one line end, as `|` has it, and do not start with a blank."""
    assert text.endswith("\n") and not text.endswith("\n\n") and text[0] != " ", text
    return [f"{indent}{line}" if line else "" for line in text[:-1].split("\n")]


def _scalar(value: Any, *, is_key: bool = False) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    # GitHub's own key `on` is a truth value to YAML 1.1 and is written bare everywhere
    bare = PLAIN.fullmatch(value) and (is_key or not RESERVED.fullmatch(value))
    text = str(value) if bare else json.dumps(value, ensure_ascii=False)
    return f"{text}  # {value.comment}" if isinstance(value, Commented) else text
