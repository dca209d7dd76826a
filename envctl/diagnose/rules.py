"""Rules as data: one TOML file a component in `symptoms/`; a break of the format names file, rule and key."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from envctl.diagnose.literal import literals_of
from envctl.errors import EnvctlError
from envctl.tree import payload

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SEVERITIES = ("blocker", "error", "degraded", "warning")
EVIDENCE = ("documented", "measured", "second-hand", "unverified")
OPERATORS = ("is", "below", "from", "has")
CEILINGS = ("likely", "possible")
LISTS = ("fix", "line", "near", "not", "examples")
WORDS = ("id", "cause", "check", "severity", "source", "evidence")
KEYS = frozenset({*LISTS, *WORDS, "score", "weigh", "generic", "at_most"})


class RuleError(EnvctlError):
    """A file of rules breaks the format."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Weigh:
    """What makes a cause more or less likely: a pattern seen anywhere in the log, or a fact of the host."""

    by: int
    seen: str = ""
    fact: str = ""
    operator: str = ""
    value: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One cause of one family of lines. `{name}` in cause and fix is what the pattern's group of that name caught."""

    id: str
    component: str
    cause: str
    fix: tuple[str, ...]
    line: tuple[str, ...]
    near: tuple[str, ...]
    absent: tuple[str, ...]
    weigh: tuple[Weigh, ...]
    check: str
    severity: str
    score: int
    source: str
    evidence: str
    examples: tuple[str, ...]
    generic: bool = False  # a family: not shown where a rule with a higher score tells the same line
    at_most: str = ""  # "likely": the line has other causes too; "possible": the program or its data may be at fault

    def anywhere(self) -> tuple[str, ...]:
        """The patterns that count wherever in the log they are."""
        return (*self.line, *self.absent, *(weigh.seen for weigh in self.weigh if weigh.seen))

    def patterns(self) -> tuple[str, ...]:
        """Every pattern of this rule."""
        return (*self.anywhere(), *self.near)


@cache
def load_rules(folder: Path | None = None) -> tuple[Rule, ...]:
    """All rules of a folder (envctl's own unless given), in the order of their files."""
    rules = [rule for path in sorted((folder or payload("symptoms")).glob("*.toml")) for rule in parse_rules(path)]
    seen: set[str] = set()
    for rule in rules:
        if rule.id in seen:
            raise RuleError(f"{rule.component}.toml: rule {rule.id} is there twice")
        seen.add(rule.id)
    return tuple(rules)


def parse_rules(path: Path) -> list[Rule]:
    """The rules in one file; raises `RuleError` when it breaks the format."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RuleError(f"{path.name}: not valid TOML: {error}") from error
    if data.get("component") != path.stem:
        raise RuleError(f"{path.name}: key component must be {path.stem!r}, is {data.get('component')!r}")
    return [_rule(path, index, table) for index, table in enumerate(data.get("rule", []))]


def _rule(path: Path, index: int, table: dict[str, Any]) -> Rule:
    where = f"{path.name}: rule {table.get('id', index)}"
    _check(where, table)
    lists = {name: tuple(table.get(name, ())) for name in LISTS}
    return Rule(
        id=table["id"],
        component=path.stem,
        cause=table["cause"],
        fix=lists["fix"],
        line=lists["line"],
        near=lists["near"],
        absent=lists["not"],
        weigh=tuple(_weigh(where, entry) for entry in table.get("weigh", [])),
        check=table.get("check", ""),
        severity=table["severity"],
        score=table["score"],
        source=table.get("source", ""),
        evidence=table["evidence"],
        examples=lists["examples"],
        generic=bool(table.get("generic")),
        at_most=table.get("at_most", ""),
    )


def _check(where: str, table: dict[str, Any]) -> None:
    if unknown := set(table) - KEYS:
        raise RuleError(f"{where}: unknown key {', '.join(sorted(unknown))}")
    for key in ("id", "cause", "severity", "evidence", "fix", "line", "score", "examples"):
        if not table.get(key):
            raise RuleError(f"{where}: key {key} is missing")
    for key in LISTS:
        if not isinstance(table.get(key, []), list) or not all(isinstance(word, str) for word in table.get(key, [])):
            raise RuleError(f"{where}: key {key} must be a list of strings")
    if table["severity"] not in SEVERITIES or table["evidence"] not in EVIDENCE:
        raise RuleError(f"{where}: severity is one of {', '.join(SEVERITIES)}, evidence of {', '.join(EVIDENCE)}")
    if table.get("at_most", "likely") not in CEILINGS:
        raise RuleError(f"{where}: at_most is one of {', '.join(CEILINGS)}")
    if not table.get("source") and table["evidence"] != "unverified":
        raise RuleError(f"{where}: key source is missing (or evidence is unverified)")


def _weigh(where: str, entry: dict[str, Any]) -> Weigh:
    operators = [name for name in OPERATORS if name in entry]
    if not isinstance(entry.get("by"), int) or ("seen" in entry) == ("fact" in entry and len(operators) == 1):
        raise RuleError(f"{where}: weigh takes by, and seen or fact with one of {', '.join(OPERATORS)}")
    operator = operators[0] if operators else ""
    value = str(entry.get(operator, ""))
    return Weigh(by=entry["by"], seen=entry.get("seen", ""), fact=entry.get("fact", ""), operator=operator, value=value)


def faults(rules: tuple[Rule, ...]) -> list[str]:
    """What reading does not look at, since it takes time: patterns that are wrong or have no plain text to look for."""
    found = []
    for rule in rules:
        for pattern in rule.patterns():
            try:
                re.compile(pattern, re.IGNORECASE)
            except re.error as error:
                found.append(f"{rule.component}.toml: rule {rule.id}: pattern {pattern!r}: {error}")
                continue
            if not literals_of(pattern):
                found.append(f"{rule.component}.toml: rule {rule.id}: pattern {pattern!r} has no text of its own")
    return found
