"""What `--fix` may do by itself: commands that change nothing but what the check is about, and can be undone."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from envctl.doctor.check import Facts, Verdict
from envctl.doctor.checks.cdi import OWN, cdi_enabled

Commands = tuple[tuple[str, ...], ...]
UVM: Commands = (("nvidia-modprobe", "-u", "-c=0"),)
CDI: Commands = (("nvidia-ctk", "cdi", "generate", "--output=/etc/cdi/nvidia.yaml"),)


def safe_fixes(verdicts: Iterable[Verdict], facts: Facts) -> list[tuple[Verdict, Commands]]:
    """The failed checks that are no consequence of another, with the commands that mend them."""
    roots = [each for each in verdicts if each.finding.level in ("FAIL", "WARN") and not each.follows]
    return [(verdict, found) for verdict in roots if (found := _commands(verdict.id, facts))]


def _commands(check: str, facts: Facts) -> Commands:
    """Everything else is printed for a person."""
    if check == "drv.uvm":
        return UVM
    if check == "dk.cdi" and "nvidia-ctk" in (facts.get("toolkit_programs") or {}):
        return CDI
    if check in ("dk.cdi", "dk.toolkit") and cdi_enabled(facts) and not facts.get("cdi_specs"):
        return ((sys.executable, "-m", "envctl", "cdi", "--output", OWN),)
    return ()
