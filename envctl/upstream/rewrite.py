"""Small edits of a matrix file's text that leave all the rest as it was written. Pure: text in, text out."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from datetime import date

from packaging.version import Version

from envctl.release import Claim, Release

Claims = Mapping[str, tuple[str, ...]]
HEADER = re.compile(r"\s*\[\[?[^\[\]]+\]\]?\s*(#.*)?$")
RELEASE = re.compile(r"\s*\[\[release\]\]")
VERSION = re.compile(r'\s*version\s*=\s*"([^"]*)"')
ARRAY = re.compile(r"\[[^\[\]]*\]")
CHECKED = re.compile(r"\bchecked\s*=\s*\d{4}-\d\d-\d\d")
TABLES = {"requires": "requires", "gpu": "gpu", "ptx": "ptx", "beside": "with"}


class CannotEdit(ValueError):
    """The text is written in a way that is not edited by machine."""


def with_claim(text: str, version: str, name: str, specs: tuple[str, ...], today: date, row_too: bool) -> str:
    """The text with other specifiers in a release's claim, and the day: the row's, or (not `row_too`) the claim's."""
    lines = text.splitlines(keepends=True)
    start, end = _release(lines, version)
    at = _claim_line(lines, start, end, name)
    lines[at] = _with_array(lines[at], specs)
    if not row_too or CHECKED.search(lines[at]):
        lines[at] = _with_day(lines[at], today)
    if row_too:
        _stamp(lines, start, end, today)
    return "".join(lines)


def with_more(text: str, version: str, line: str) -> str:
    """The text with one more claim at the end of a release's `requires`."""
    lines = text.splitlines(keepends=True)
    start, end = _release(lines, version)
    headers = [at for at in range(start, end) if re.match(r"\s*\[release\.requires\]", lines[at])]
    at = _section_end(lines, headers[0], end) if headers else _last(lines, start, end)
    lines[at:at] = [f"{line}\n"] if headers else ["[release.requires]\n", f"{line}\n"]
    return "".join(lines)


def with_release(text: str, version: str, block: str) -> str:
    """The text with one more release, before the first older one."""
    lines = text.splitlines(keepends=True)
    starts = [at for at, line in enumerate(lines) if RELEASE.match(line)]
    at = next((at for at in starts if Version(_version(lines, at)) < Version(version)), None)
    if at is None:
        return text.rstrip("\n") + f"\n\n{block}"
    while lines[at - 1].lstrip().startswith("#"):  # what is said right above a release is about it
        at -= 1
    lines[at:at] = [f"{block}\n"]
    return "".join(lines)


# --- what is written


def claim_line(name: str, specs: tuple[str, ...], **more: str) -> str:
    """A claim as one line: a list, or a table when it has a source of its own."""
    key = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _quoted(name)
    if not more:
        return f"{key} = {_array(specs)}"
    rest = "".join(f", {each} = {_quoted(value)}" for each, value in more.items() if value)
    return f"{key} = {{ any = {_array(specs)}{rest} }}"


def release_block(
    version: str, source: str, today: date, claims: Claims, below: Release | None, dropped: Collection[str]
) -> str:
    """A new row: what the index says, and what else the row below claims (less `dropped`), marked as taken over."""
    lines = ["[[release]]", f"version = {_quoted(version)}", f"source = {_quoted(source)}"]
    lines += [f"checked = {today.isoformat()}", 'evidence = "unverified"']
    for attribute, table in TABLES.items():
        own = [claim_line(name, specs) for name, specs in claims.items()] if table == "requires" else []
        kept: tuple[Claim, ...] = getattr(below, attribute) if below else ()
        out = dropped if table == "requires" else ()
        own += [_taken_over(claim, below) for claim in kept if claim.name not in out]
        lines += [f"[release.{table}]", *own] if own else []
    return "\n".join(lines) + "\n"


def _taken_over(claim: Claim, below: Release | None) -> str:
    said = f"taken over from {below.version if below else '?'}" + (f"; {claim.note}" if claim.note else "")
    return claim_line(claim.name, claim.condition.any, source=claim.source, evidence="unverified", note=said)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _array(specs: tuple[str, ...]) -> str:
    return "[" + ", ".join(map(_quoted, specs)) + "]"


# --- where it stands


def _release(lines: list[str], version: str) -> tuple[int, int]:
    """Where a release begins and ends."""
    starts = [at for at, line in enumerate(lines) if RELEASE.match(line)]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        if _version(lines, start) == version:
            return start, end
    raise CannotEdit(f"release {version} was not found")


def _version(lines: list[str], start: int) -> str:
    for line in lines[start + 1 :]:
        match = VERSION.match(line)
        if match:
            return match[1]
        if HEADER.match(line):
            break
    raise CannotEdit(f"line {start + 1}: a release without a version")


def _section_end(lines: list[str], header: int, end: int) -> int:
    """Behind the last line of a table."""
    at = header + 1
    while at < end and not HEADER.match(lines[at]):
        at += 1
    return _last(lines, header, at)


def _last(lines: list[str], start: int, end: int) -> int:
    """Behind the last line that says something."""
    while end > start + 1 and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    return end


def _claim_line(lines: list[str], start: int, end: int, name: str) -> int:
    """The line of a claim in a release's `requires`."""
    inside = False
    for at in range(start + 1, end):
        if HEADER.match(lines[at]):
            inside = "release.requires" in lines[at]
        elif inside and re.match(rf'\s*"?{re.escape(name)}"?\s*=', lines[at]):
            return at
    raise CannotEdit(f"claim {name} was not found")


def _with_array(line: str, specs: tuple[str, ...]) -> str:
    key, _, value = line.partition("=")
    table = re.match(r"\s*\{.*?\bany\s*=\s*", value)
    head = table.end() if table else len(value) - len(value.lstrip())
    array = ARRAY.match(value, head)
    if array is None:
        raise CannotEdit(f"{key.strip()} is not on one line")
    return f"{key}={value[:head]}{_array(specs)}{value[array.end() :]}"


def _with_day(line: str, today: date) -> str:
    """A claim's table with the day of today."""
    changed, count = CHECKED.subn(f"checked = {today.isoformat()}", line, count=1)
    body, brace, rest = line.rpartition("}")
    if not count and not brace:
        raise CannotEdit("a claim in a list has no day of its own")
    return changed if count else f"{body.rstrip()}, checked = {today.isoformat()} }}{rest}"


def _stamp(lines: list[str], start: int, end: int, today: date) -> None:
    """Give a row the day of today."""
    for at in range(start + 1, end):
        if HEADER.match(lines[at]):
            return
        lines[at] = re.sub(r"^(\s*checked\s*=\s*)\d{4}-\d\d-\d\d", rf"\g<1>{today.isoformat()}", lines[at])
