"""What is shown of an image's papers, and the warning that comes with vendors' libraries."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from envctl.workflow.attach import Attached


def attached_lines(attached: Attached | None) -> list[tuple[str, str]]:
    """Where the papers lie, as labelled lines."""
    return [("papers", where) for where in attached.where] if attached else []


def attached_data(attached: Attached | None) -> dict[str, Any]:
    """The same for `--json`, with the cautions."""
    where, cautions = (attached.where, attached.cautions) if attached else ((), ())
    return {"papers": list(where), "cautions": [each.as_data() for each in cautions]}


def warn(attached: Attached | None) -> None:
    """Say on standard error what to know before others can pull the image."""
    for caution in attached.cautions if attached else ():
        first, *more = caution.lines()
        print(f"warning: passing this image on has conditions: {first}", *more, sep="\n  ", file=sys.stderr)
