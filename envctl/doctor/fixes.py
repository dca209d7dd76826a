"""What `--fix` may do by itself: commands that change nothing but what the check is about, and can be undone."""

from __future__ import annotations

from collections.abc import Iterable

from envctl.doctor.check import Verdict

# check id -> commands; everything else is printed for a person
SAFE: dict[str, tuple[tuple[str, ...], ...]] = {
    "drv.uvm": (("nvidia-modprobe", "-u", "-c=0"),),
    "dk.cdi": (("nvidia-ctk", "cdi", "generate", "--output=/etc/cdi/nvidia.yaml"),),
}


def safe_fixes(verdicts: Iterable[Verdict]) -> list[tuple[Verdict, tuple[tuple[str, ...], ...]]]:
    """The failed checks that are no consequence of another, with the commands that mend them."""
    roots = [each for each in verdicts if each.finding.level in ("FAIL", "WARN") and not each.follows]
    return [(verdict, SAFE[verdict.id]) for verdict in roots if verdict.id in SAFE]
