"""Components of the matrix beside what the index publishes of them: what `check --index` and `update` look at."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from packaging.version import Version

from envctl.errors import HostLacks, Reason
from envctl.matrix import Matrix
from envctl.release import Component
from envctl.upstream.cited import BY_TAGS, Name, distribution, new_versions, others, row_version, suspicions
from envctl.upstream.drift import Difference, Seen, differences
from envctl.upstream.published import Published
from envctl.upstream.simple import Simple

Say = Callable[[str], None]
Readings = dict[Version, tuple[tuple[str, ...], ...]]
AT_ONCE = 6  # metadata files that are asked for at the same time


@dataclass(kw_only=True, slots=True)
class Report:
    """What was compared, what differs, what may differ as a better source says so; what was not compared, and why."""

    compared: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    kept: list[Difference] = field(default_factory=list)
    not_compared: dict[str, str] = field(default_factory=dict)


def components(matrix: Matrix, only: str | None) -> list[Component]:
    """All components, or the one that was named; raises `BadInput` for a name that nobody knows."""
    return [matrix.component(name) for name in ([only] if only else matrix.names())]


def note(report: Report, seen: Seen) -> list[Difference]:
    """The differences of a component that was compared; the kept ones go to the report at once."""
    report.compared.append(seen.component.name)
    found = list(differences(seen))
    report.kept += [difference for difference in found if difference.kind == "kept"]
    return [difference for difference in found if difference.kind != "kept"]


def look(
    matrix: Matrix, component: Component, simple: Simple, say: Say, report: Report, *, doubting: bool = False
) -> Seen | None:
    """A component beside what is published of it, None where nothing is to be compared."""
    name, besides = distribution(component), others(component)
    answers = {each: _ask(each, simple, say) for each in ([name] if name else []) + besides}
    if doubting:
        _refuse(component, answers)
    if name is None:
        report.not_compared[component.name] = "no distribution of its name is cited, and the file names none"
        nothing = Published(distribution="", alias="", releases={})
        return Seen(matrix=matrix, component=component, main=nothing, others=answers) if answers else None
    published = answers[name]
    if published is None or not published.releases:
        report.not_compared[component.name] = f"the index ({name[0]}) has no {name[1]}"
        report.differences.append(Difference(kind="not on the index", component=component.name, release=""))
        return None
    read = _with_requires(component, published, simple)
    rows = {row_version(release, read) for release in component.releases}
    lacking = [str(row) for row in sorted(set(read.releases) - set(read.requires), reverse=True) if row in rows]
    if lacking:
        why = f"there is no wheel for Linux x86-64, or no way to its metadata: {', '.join(lacking)}"
        report.not_compared[f"{component.name}: Requires-Dist"] = why
    return _doubly_read(Seen(matrix=matrix, component=component, main=read, others=answers), simple)


def _ask(name: Name, simple: Simple, say: Say) -> Published | None:
    say(f"asking the index ({name[0]}) about {name[1]}")
    return simple.published(*name)


def _with_requires(component: Component, published: Published, simple: Simple) -> Published:
    """The same with the Requires-Dist of every row and of every new release."""
    new = new_versions(component, published)
    rows = [row_version(release, published) for release in component.releases]
    found = _read(published, [row for row in rows if row in published.releases and row], simple, both=False)
    return replace(published, requires=found | _read(published, new, simple, both=True))


def _doubly_read(seen: Seen, simple: Simple) -> Seen:
    """The same, with a second wheel of each release whose requirements seem to differ: not all wheels say the same."""
    keys = {(each.release, each.key) for each in differences(seen) if each.kind not in ("new release", "kept")}
    unsure = {release for release, key in keys if key.startswith("requires.") and key[9:] not in BY_TAGS}
    rows = [row_version(release, seen.main) for release in seen.component.releases if release.version in unsure]
    again = _read(seen.main, [row for row in rows if row in seen.main.releases and row], simple, both=True)
    return replace(seen, main=replace(seen.main, requires={**seen.main.requires, **again}))


def _read(published: Published, wanted: list[Version], simple: Simple, *, both: bool) -> Readings:
    """The Requires-Dist of those releases for which there is a way to it."""
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        lines = pool.map(lambda v: simple.requires(published, published.releases[v], both=both), wanted)
        return {version: readings for version, readings in zip(wanted, lines, strict=True) if readings}
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # Ctrl-C must not wait for what is still queued


def _refuse(component: Component, answers: dict[Name, Published | None]) -> None:
    doubts = [(name, doubt) for name, given in answers.items() for doubt in suspicions(component, name, given)]
    if doubts:
        alias = doubts[0][0][0]
        because = [Reason(text=doubt, source=f"index ({alias})") for (alias, _), doubt in doubts]
        do = [f"check the address of the index (ENVCTL_INDEX_{alias.upper()}); or name the components to update"]
        what = f"the index ({alias}) says suspiciously little about {component.name}; nothing was written"
        raise HostLacks(what, because=because, do=do)
