"""Places of patterns and facts of a host -> causes, the likeliest first; or none, when nothing tells. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from envctl.diagnose.rules import Rule, Weigh
from envctl.diagnose.scan import WINDOW, Hit

KNOWN = 20  # below this nothing is said
SURE = 70
LIKELY = 45
RIVAL = 12  # causes this close are not told apart
MOST = 4
CERTAIN = 95  # no sum of hints makes a cause more certain than this
MESSAGE = 5  # lines that one message is spread over, at most
ONLY_A_WARNING = 12  # what a rule loses when its line is a warning and errors stand elsewhere
NOUNS = {"lib": "library", "op": "operator", "what": "fault", "wheel": "file", "needed": "program", "sm": "GPU"}
WARNING = re.compile(r"\[W(?:ARN\w*)?[\]:]|^\W*W\d* |[: ]W tensorflow|\bWARN(?:ING)?\b|Warning: |\[I\]|\bINFO\b")
ERROR = re.compile(r"error|fatal|fail|abort|exception|\[E\]", re.IGNORECASE)
Confidence = Literal["sure", "likely", "possible"]
Hits = Mapping[str, Sequence[Hit]]
Facts = Mapping[str, str | None]
_Weighed: TypeAlias = "tuple[int, Rule, Hit, tuple[str, ...]]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """One explanation: what it is, the line that tells, how sure that is and what made it more or less so."""

    rule: Rule
    cause: str
    fix: tuple[str, ...]
    hit: Hit
    score: int
    confidence: Confidence
    because: tuple[str, ...]


def causes(rules: Iterable[Rule], hits: Hits, facts: Facts) -> list[Cause]:
    """The causes that fit, the likeliest first; equal ones in the order of their lines. Empty: not known."""
    found = []
    for rule in rules:
        place = _place(rule, hits)
        if place:
            found.append(_weighed(rule, place, hits, facts))
    found = [each for each in found if each[0] >= KNOWN]
    found.sort(key=lambda each: (-each[0], each[2].number))
    strong = [each for each in _told_apart(found) if each[0] >= found[0][0] - 45][:MOST]
    return [_cause(each, strong) for each in strong]


def _told_apart(found: Sequence[_Weighed]) -> list[_Weighed]:
    """The causes without families of whose line a better one already speaks."""
    lines: set[int] = set()
    kept = []
    for each in found:
        if not (each[1].generic and each[2].number in lines):
            kept.append(each)
        lines.add(each[2].number)
    return kept


def _place(rule: Rule, hits: Hits) -> Hit | None:
    """The line that tells, when all that the rule asks for is near it and nothing speaks against it."""
    if any(hits.get(pattern) for pattern in rule.absent):
        return None
    places = [hit for pattern in rule.line for hit in hits.get(pattern, ())]
    fitting = [hit for hit in places if all(_is_near(hit, hits.get(pattern, ())) for pattern in rule.near)]
    first = min(fitting, key=lambda hit: (-len(hit.groups), hit.number), default=None)
    return _completed(first, fitting) if first else None


def _completed(first: Hit, others: Iterable[Hit]) -> Hit:
    """The hit, with what lines of the same message say that it does not."""
    groups = dict(first.groups)
    for hit in others:
        if abs(hit.number - first.number) <= MESSAGE:
            groups = dict(hit.groups) | groups
    return replace(first, groups=groups)


def _is_near(hit: Hit, others: Sequence[Hit]) -> bool:
    return any(abs(hit.number - other.number) <= WINDOW for other in others)


def _weighed(rule: Rule, place: Hit, hits: Hits, facts: Facts) -> _Weighed:
    """The rule's score with all that speaks for and against it, in words."""
    score, because = rule.score, []
    if WARNING.search(place.text) and not ERROR.search(place.text):
        score -= ONLY_A_WARNING
    for weigh in rule.weigh:
        word = _holds(weigh, hits, facts)
        if word:
            score += weigh.by
            because.append(f"{'more' if weigh.by > 0 else 'less'} likely: {word}")
    return min(score, CERTAIN), rule, place, tuple(because)


def _holds(weigh: Weigh, hits: Hits, facts: Facts) -> str:
    """What holds, in words; "" when it does not or is not known."""
    if weigh.seen:
        places = hits.get(weigh.seen)
        return f"line {places[0].number} says {places[0].text[:80]!r}" if places else ""
    value = facts.get(weigh.fact)
    if value is None or not _compares(value, weigh.operator, weigh.value):
        return ""
    return f"this host has {weigh.fact} {value[:40]}"


def _compares(value: str, operator: str, wanted: str) -> bool:
    if operator == "is":
        return value.lower() == wanted.lower()
    if operator == "has":
        return wanted.lower() in value.lower()
    lower = _numbers(value) < _numbers(wanted)
    return lower if operator == "below" else not lower


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text)[:4])


def _cause(each: _Weighed, all_of_them: Sequence[_Weighed]) -> Cause:
    score, rule, hit, because = each
    return Cause(
        rule=rule,
        cause=_filled(rule.cause, hit.groups),
        fix=tuple(_filled(step, hit.groups) for step in rule.fix),
        hit=hit,
        score=score,
        confidence=_confidence(each, all_of_them),
        because=because,
    )


def _filled(text: str, words: Mapping[str, str]) -> str:
    """The text with its names filled in; what the log does not tell is left out in brackets, else `some file`."""
    filled = re.sub(r"\{(\w+)\}", lambda found: words.get(found[1]) or f"\0{NOUNS.get(found[1], found[1])}\0", text)
    filled = re.sub(r" \(\0[^)\0]*\0\)|: \0\w+\0(?=$|[;,])", "", filled)
    return re.sub(r"(?:\b(\w+) )?\0(\w+)\0", _some, filled)


def _some(found: re.Match[str]) -> str:
    before, noun = found[1], found[2]
    return f"some {noun}" if before in (None, noun) else f"{before} some {noun}"


def _confidence(each: _Weighed, all_of_them: Sequence[_Weighed]) -> Confidence:
    """Sure is only the first, when it is specific, has no rival and its line no other known causes."""
    score, rule = each[0], each[1]
    if rule.at_most == "possible" or score < LIKELY:
        return "possible"
    rivals = [other for other in all_of_them if other is not each and other[0] >= score - RIVAL]
    return "sure" if score >= SURE and not rivals and not rule.at_most else "likely"
