"""The Debian packages of a base, read once in the cache's life: going through its layers takes seconds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from envctl.oci.content import Layer, compact_json
from envctl.oci.store import read_note, write_note
from envctl.papers.debian import parts_of_base
from envctl.papers.part import Licence, Part

RULES = 1  # raised when envctl/papers/debian.py reads something else out of the same files


def kept_parts_of_base(layers: Sequence[Layer]) -> tuple[Part, ...]:
    """The same as `parts_of_base`; layers with the same digests have the same parts."""
    key = hashlib.sha256(compact_json([RULES, [layer.diff_id for layer in layers]])).hexdigest()
    try:
        return tuple(_part(each) for each in (read_note("parts", key) or {})["parts"])
    except (KeyError, TypeError):  # not there, or written by another version
        parts = parts_of_base(layers)
        write_note("parts", key, {"parts": [asdict(part) for part in parts]})
        return parts


def _part(data: dict[str, Any]) -> Part:
    licence = Licence(**data["licence"] | {"names": tuple(data["licence"]["names"])})
    vendor, codename = data["distro"]
    return Part(**data | {"licence": licence, "distro": (str(vendor), str(codename))})
