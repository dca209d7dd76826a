"""What a check is, and what it says: a finding about some facts. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from envctl.host import HostFacts

Level = Literal["OK", "INFO", "WARN", "FAIL", "SKIP"]
WORDS = {True: "yes", False: "no", None: "unknown"}
GPU_ENGINES = ("tensorrt", "tensorrt-rtx", "tensorflow (GPU)", "onnxruntime-gpu")


class Unknown(Exception):
    """A rule needs a fact that nobody could tell; the check is skipped with this reason, and never OK."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What a rule found. `said` is one sentence; `evidence` are `path = value`; `fix` are exact commands or steps."""

    level: Level
    said: str
    evidence: tuple[str, ...] = ()
    affects: tuple[str, ...] = ()
    fix: tuple[str, ...] = ()
    needs_root: bool = False
    needs_reboot: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One check. `after` are the ids of checks whose failure explains a failure of this one; `source` says why."""

    id: str
    title: str
    rule: Callable[[Facts], Finding]
    after: tuple[str, ...] = ()
    source: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """A check's finding; `follows` names the failed check that it is a consequence of."""

    id: str
    title: str
    finding: Finding
    follows: str = ""
    source: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """The facts of a machine as rules ask for them."""

    host: HostFacts

    def get(self, name: str) -> Any:
        """The value of a fact, None where it is not known."""
        fact = self.host.facts.get(name)
        return fact.value if fact else None

    def need(self, name: str) -> Any:
        """The value of a fact; raises `Unknown` with the probe's reason where it is not known."""
        fact = self.host.facts.get(name)
        if fact is None or fact.value is None:
            why = f": {fact.error}" if fact and fact.error else ""
            raise Unknown(f"{name} is not known{why}")
        return fact.value

    def why_unknown(self, name: str) -> str:
        """Why a fact is not known, in the probe's words."""
        fact = self.host.facts.get(name)
        return fact.error if fact else "no probe told it"

    def shown(self, name: str) -> str:
        """A fact as evidence: `origin = value`."""
        fact = self.host.facts.get(name)
        return (
            f"{fact.origin} = {_words(fact.value) if fact.value is not None else fact.error}" if fact else f"{name} = ?"
        )


def _words(value: Any) -> str:
    """A value as a person reads it: lists and tables without Python's quotes and braces."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(each)}".rstrip() for name, each in value.items() if each != "") or "nothing"
    if isinstance(value, list):
        return ", ".join(map(_words, value)) or "nothing"
    return WORDS[value] if value is None or isinstance(value, bool) else str(value)


def ok(said: str, *evidence: str) -> Finding:
    """All is well."""
    return Finding(level="OK", said=said, evidence=evidence)


def skip(why: str) -> Finding:
    """The check does not apply here, or cannot be made."""
    return Finding(level="SKIP", said=why)
