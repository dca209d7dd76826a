"""What an engine lacks for a model, in one form whatever engine said it: node, operator, attribute, layer, its words.

Engines tell different parts of that: OpenVINO's TensorFlow front end nodes without operators, ONNX Runtime operators
without nodes, TensorRT both. What a worker left open is found in the model's file (envctl/model/places.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from envctl.errors import BadInput, EnvctlError, Reason
from envctl.job import Lacking
from envctl.model import places
from envctl.model.limits import Damaged
from envctl.model.places import Place

LINES, NODES = 6, 3  # shown of the kinds of failure, and of the nodes of each
LONG = 260
WORD = re.compile(r"[A-Za-z_]{4,}")
OWN = "ai.onnx"


def located(path: Path, form: str, said: Iterable[Lacking]) -> tuple[Lacking, ...]:
    """What a worker said, completed from the file: one entry a node, as far as nodes can be told."""
    entries = list(dict.fromkeys(said))
    try:
        every = places.read(path, form)
    except (Damaged, BadInput, OSError, ValueError):
        every = []  # the engine has read it; what it said stands for itself
    found = [_at(entry, every) for entry in entries if entry.node]
    reasons = {(each.domain, each.op): each.why for each in entries if each.op and not each.node}
    found = [replace(it, why=it.why or reasons.get((it.domain, it.op), "")) for it in found]
    there = {(each.domain, each.op) for each in found}
    for entry in entries:
        if not entry.node and (entry.domain, entry.op) not in there:
            found += _every(entry, every)
    return tuple(_once(found))


def _once(found: Sequence[Lacking]) -> list[Lacking]:
    """The entries without those that say of a node again what another one says."""
    return list({(each.domain, each.op, each.node, each.attribute): each for each in found}.values())


def _at(entry: Lacking, every: Sequence[Place]) -> Lacking:
    """An entry whose node is named, by its own name, that of what it makes, or its number."""
    place = _place(entry.node, [each for each in every if entry.op in ("", each.op)], every)
    if place is None:
        return entry
    known = replace(entry, op=place.op, domain=place.domain, node=place.name or place.outputs[0], layer=place.layer)
    return replace(known, attribute=entry.attribute or _attribute(entry.why, place))


def _place(name: str, fitting: Sequence[Place], every: Sequence[Place]) -> Place | None:
    if re.fullmatch(r"#\d+", name):
        outermost = [place for place in every if not place.inner]
        return outermost[int(name[1:])] if int(name[1:]) < len(outermost) else None
    for place in fitting:
        if name == place.name or name in place.outputs:
            return place
    ending = [place for place in fitting if place.name and name.endswith("/" + place.name)]
    return max(ending, key=lambda place: len(place.name), default=None)


def _every(entry: Lacking, every: Sequence[Place]) -> list[Lacking]:
    """An entry for each node of an operator; the entry itself where there is none to be found."""
    here = [each for each in every if (each.domain, each.op) == (entry.domain, entry.op)]
    found = [replace(entry, domain=it.domain, node=it.name or it.outputs[0], layer=it.layer) for it in here if _is(it)]
    return found or [entry]


def _is(place: Place) -> bool:
    return bool(place.name or place.outputs)


def _attribute(why: str, place: Place) -> str:
    """The attribute that an engine speaks of: it says its value, or a name like its own (transformationMode)."""
    words = [_plain(word) for word in WORD.findall(why)]
    weighed = [(_weight(name, value, words, why), name, value) for name, value in place.attributes.items()]
    weight, name, value = max(weighed, default=(0, "", ""))
    return f"{name}={value}" if weight else ""


def _weight(name: str, value: str, words: Sequence[str], why: str) -> int:
    if len(value) > 3 and not value.isdigit() and re.search(rf"\b{re.escape(value)}\b", why):
        return 1000
    own = _plain(name)
    return max((len(word) for word in words if word == own or own.endswith(word) or word == own + "s"), default=0)


def _plain(word: str) -> str:
    return word.replace("_", "").lower()


def reasons(found: Sequence[Lacking], source: str) -> list[Reason]:
    """A line for each kind of failure, with its nodes, attribute and layers."""
    kinds: dict[tuple[str, str, str, str], list[Lacking]] = {}
    for each in found:
        kinds.setdefault((each.domain, each.op, each.attribute, each.why), []).append(each)
    lines = [Reason(text=_line(group), source=source) for group in kinds.values()]
    more = [Reason(text=f"and {len(lines) - LINES} more kinds: --json has them all")] if len(lines) > LINES else []
    return lines[:LINES] + more


def _line(group: Sequence[Lacking]) -> str:
    first = group[0]
    nodes = ", ".join(f"{it.node}{f' (layer {it.layer})' if it.layer else ''}" for it in group[:NODES] if it.node)
    more = f" and {len(group) - NODES} more" if len(group) > NODES else ""
    said = f", attribute {first.attribute}" if first.attribute else ""
    why = first.why if len(first.why) <= LONG else first.why[:LONG] + "…"
    return f"{operator(first)}{f' {nodes}{more}' if nodes else ''}{said}{': ' if why else ''}{why}"


def operator(lacking: Lacking) -> str:
    """The operator's name, with its domain where that is not the format's own."""
    return f"{lacking.domain}:{lacking.op}" if lacking.domain not in ("", OWN) else lacking.op or "node"


def names(found: Sequence[Lacking]) -> str:
    """The operators, each once: `Det (2), MaxUnpool`."""
    counts: dict[str, int] = {}
    for each in found:
        counts[operator(each)] = counts.get(operator(each), 0) + 1
    shown = [f"{name} ({count})" if count > 1 else name for name, count in counts.items()]
    return ", ".join(shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")


def attach(error: EnvctlError, found: Sequence[Lacking]) -> None:
    """Give the error all of it as data, for `--json`."""
    error.lacking = tuple(asdict(each) for each in found)
