"""`envctl build --licences`: every part of an image with its licence, and what to know before others can pull it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envctl.cli.attached import warn

if TYPE_CHECKING:
    from envctl.cli.screen import Screen
    from envctl.lock import Lock
    from envctl.workflow.build import Order


def print_licences(lock: Lock, order: Order, screen: Screen) -> None:
    """Show the table; nothing is built for it."""
    from envctl.papers.licences import rows, table, warnings
    from envctl.workflow.attach import Attached, parts_of
    from envctl.workflow.build import base_of

    parts = parts_of(lock, base_of(lock, order, screen), order, screen)
    screen.quiet()
    cautions = warnings(parts)
    if screen.as_json:
        screen.print_json({"status": "ok", "parts": rows(parts), "cautions": [each.as_data() for each in cautions]})
        return
    print(table(parts))
    warn(Attached(cautions=cautions))
