"""All checks, in the order in which they are made: each stands behind those that can explain it."""

from __future__ import annotations

from envctl.doctor.check import Check

CHECKS: tuple[Check, ...] = ()
