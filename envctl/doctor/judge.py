"""Checks + facts -> verdicts: what is unknown is skipped, what follows from a failed check is folded under it. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from envctl.doctor.check import Check, Facts, Finding, Unknown, Verdict, skip

BROKE = "the check itself broke: "


def judge(checks: Iterable[Check], facts: Facts) -> list[Verdict]:
    """One verdict a check, in the order of the checks; a check stands behind those that can explain it."""
    verdicts: dict[str, Verdict] = {}
    for check in checks:
        finding = _finding(check, facts)
        root = _root(check, verdicts) if finding.level in ("WARN", "FAIL", "SKIP") else ""
        verdicts[check.id] = Verdict(id=check.id, title=check.title, finding=finding, follows=root, source=check.source)
    return list(verdicts.values())


def _finding(check: Check, facts: Facts) -> Finding:
    try:
        return check.rule(facts)
    except Unknown as error:
        return skip(str(error))
    except (LookupError, TypeError, ValueError, AttributeError) as error:  # a fact is not as the rule expects it
        return skip(f"{BROKE}{type(error).__name__}: {error}")


def _root(check: Check, verdicts: dict[str, Verdict]) -> str:
    """The failed check at the bottom of what explains this one."""
    for name in check.after:
        verdict = verdicts.get(name)
        if verdict and (verdict.follows or verdict.finding.level == "FAIL"):
            return verdict.follows or verdict.id
    return ""
