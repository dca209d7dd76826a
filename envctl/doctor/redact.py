"""A report that can be pasted anywhere: no names of people or hosts, no serials, no credentials. Pure."""

from __future__ import annotations

import re

RULES = (
    (re.compile(r"(?i)\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "<uuid>"),
    (re.compile(r"(?i)(\w+://)[^/\s:@]+:[^/\s@]+@"), r"\1<credentials>@"),
    (re.compile(r"(?i)\b(token|password|passwd|secret|authorization|api[-_]?key)(\s*[=:]\s*)\S+"), r"\1\2<hidden>"),
    (re.compile(r"(?i)\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b"), "<mac>"),
    (
        re.compile(r"\b(?!127\.|0\.0\.0\.0|255\.)(\d{1,3}\.){3}\d{1,3}\b(?!\.\d|[-+]\w)(?=[:/\s\"',;)\]]|$)"),
        "<address>",
    ),
    (re.compile(r"/home/[^/\s\"']+|/Users/[^/\s\"']+"), "~"),
)


def redacted(text: str, names: tuple[str, ...] = ()) -> str:
    """The text without what identifies a person or a machine; `names` are those of the user and the host."""
    for pattern, instead in RULES:
        text = pattern.sub(instead, text)
    for name in sorted((name for name in names if len(name) > 2 and name != "root"), key=len, reverse=True):
        text = re.sub(rf"\b{re.escape(name)}\b", "<name>", text)
    return text
