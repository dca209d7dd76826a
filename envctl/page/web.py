"""A comparison as one page: no network, no clock, the same bytes for the same document."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envctl.bench.document import Document
from envctl.page import bars, heat, scatter, spread
from envctl.page.facts import cell_facts, host_facts, limits, setting_facts
from envctl.page.figures import BY_KEY, Column, best, columns, error_text, rate, seconds, shown, size
from envctl.page.rows import Row, ordered, printable, rows

HERE = Path(__file__).parent
SHAPES = ("circle", "square", "triangle", "diamond", "down", "hexagon", "cross", "bar")
CROWNS = (
    ("latency", "Fastest"),
    ("throughput", "Most throughput"),
    ("memory", "Least memory"),
    ("size", "Smallest artifact"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Crown:
    """The best cell in one figure among those that passed."""

    title: str
    text: str
    row: Row


def html(document: Document) -> str:
    """The page; whatever the document says is text in it, never markup."""
    code = (HERE / "page.js").read_text(encoding="utf-8")
    found = ordered(rows(document), "latency")
    return template_page("page.html.jinja", script=code, script_hash=_digest(code), **_content(document, found))


def template_page(name: str, **content: Any) -> str:
    """A page of one of the templates, with the style that all share, known to it by its digest."""
    css = (HERE / "page.css").read_text(encoding="utf-8")
    page: str = _template(name).render(css=css, css_hash=_digest(css), **content)
    return page


def _content(document: Document, found: tuple[Row, ...]) -> dict[str, Any]:
    engines = sorted({row.cell.engine for row in found})
    shapes = {engine: SHAPES[index % len(SHAPES)] for index, engine in enumerate(engines)}
    groups = _groups(found)
    return {
        "document": document,
        "model_name": printable(document.model.path),
        "groups": len(groups),
        "failing": [row for row in found if not row.passed],
        "rows": found,
        "statuses": _counted(found),
        "columns": columns(found),
        "texts": {
            column.key: dict(zip(_numbers(found), shown(column, found), strict=True)) for column in columns(found)
        },
        "best": {column.key: best(found, column) for column in columns(found)},
        "crowns": _crowns(found),
        "crown_group": _title(min(_keys(found))) if len(groups) > 1 else "",
        "shapes": shapes,
        "tints": {engine: index % len(SHAPES) for index, engine in enumerate(engines)},
        "engines": {row.cell.engine: printable(row.cell.title) for row in found},
        "scatters": scatter.scatters(groups, shapes),
        "spreads": spread.spreads(groups),
        "panels": bars.panels(found),
        "heats": {row.number: heat.heats(row.cell) for row in found},
        "facts": {row.number: cell_facts(row) for row in found},
        "limits": {row.number: limits(row.cell) for row in found},
        "host": host_facts(document),
        "settings": setting_facts(document),
    }


def _numbers(found: tuple[Row, ...]) -> list[int]:
    return [row.number for row in found]


def _groups(found: tuple[Row, ...]) -> list[tuple[str, tuple[Row, ...]]]:
    """The cells that did the same work together, with a title where there are several such groups."""
    keys = sorted({row.group for row in found})
    pairs = [(_title(key), tuple(row for row in found if row.group == key)) for key in keys]
    return pairs if len(pairs) > 1 else [("", rows) for _, rows in pairs]


def _keys(found: tuple[Row, ...]) -> list[tuple[int, int, int]]:
    return [row.group for row in found if row.passed] or [row.group for row in found]


def _title(key: tuple[int, int, int]) -> str:
    batch, threads, copies = key
    told = [f"batch {batch}", _many(threads, "thread"), *([_many(copies, "copy", "copies")] if copies > 1 else [])]
    return ", ".join(told)


def _many(count: int, one: str, more: str = "") -> str:
    if not count:
        return f"the engine's own {one}s"
    return f"{count} {one if count == 1 else more or f'{one}s'}"


def _counted(found: tuple[Row, ...]) -> list[tuple[str, int]]:
    names = dict.fromkeys(["passed", "failed", *(row.cell.status for row in found)])
    counts = ((name, sum(row.cell.status == name for row in found)) for name in names)
    return [(name, count) for name, count in counts if count]


def _crowns(found: tuple[Row, ...]) -> list[Crown]:
    """The winners among cells that passed, at the smallest load; where all of several are alike there is none."""
    first = min(_keys(found), default=None)
    able = [row for row in found if row.passed and row.group == first]
    return [crown for key, title in CROWNS if (crown := _crown(BY_KEY[key], title, able))]


def _crown(column: Column, title: str, able: list[Row]) -> Crown | None:
    known = [(value, row) for row in able if (value := column.value(row)) is not None]
    if not known or (len(known) > 1 and len({value for value, _ in known}) == 1):
        return None
    value, row = min(known, key=lambda pair: (-pair[0] if column.up else pair[0], pair[1].number))
    words = {"latency": seconds, "throughput": rate}.get(column.key, size)
    shaky = column.key == "latency" and not row.stable
    return Crown(title=title, text=f"{'~' if shaky else ''}{words(value)}", row=row)


def _digest(text: str) -> str:
    """The digest by which the page's own policy knows its style and script: no other runs."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _template(name: str) -> Any:
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    made.filters.update(text=printable, upfirst=_upfirst, seconds=seconds, size=size, error=error_text, link=_link)
    return made.get_template(name)


def _link(source: Any) -> str:
    """The source where it is a web page's address, else nothing: no other scheme is ever followed."""
    text = str(source)
    return text if text.startswith(("https://", "http://")) and text.isprintable() and " " not in text else ""


def _upfirst(text: str) -> str:
    return text[:1].upper() + text[1:]
