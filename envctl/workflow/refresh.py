"""The matrix beside a package index: `envctl matrix check --index` and `envctl matrix update`."""

from __future__ import annotations

import difflib
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from packaging.version import Version

from envctl.cited import BY_TAGS, OPEN, Name, distribution, new_versions, others, row_version, suspicions
from envctl.compiled import read_component
from envctl.drift import Difference, Seen, differences
from envctl.errors import BadInput, HostLacks, JobFailed, Reason
from envctl.matrix import Matrix
from envctl.published import Published
from envctl.release import Component, Release
from envctl.rewrite import CannotEdit, claim_line, release_block, with_claim, with_more, with_release
from envctl.simple import Simple
from envctl.tree import payload, write_whole

Say = Callable[[str], None]
AT_ONCE = 6  # metadata files that are asked for at the same time


@dataclass(kw_only=True, slots=True)
class Report:
    """What was compared, what differs, what may differ as a better source says so; what was not compared, and why."""

    compared: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    kept: list[Difference] = field(default_factory=list)
    not_compared: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Edit:
    """A file, its text and the one it should have."""

    path: Path
    old: str
    new: str

    @property
    def diff(self) -> str:
        """Both texts as a unified diff."""
        old, new = self.old.splitlines(keepends=True), self.new.splitlines(keepends=True)
        return "".join(difflib.unified_diff(old, new, f"a/{self.path.name}", f"b/{self.path.name}"))


def compare(matrix: Matrix, only: str | None, simple: Simple, say: Say) -> Report:
    """Every difference between the matrix (or one component) and the index; raises `HostLacks` without an answer."""
    report = Report()
    for component in _components(matrix, only):
        seen = _look(matrix, component, simple, say, report)
        if seen:
            report.differences += _note(report, seen)
    return report


def update(matrix: Matrix, only: str | None, simple: Simple, today: date, say: Say) -> tuple[Report, list[Edit]]:
    """The differences that stay for a person, and the new texts of files. Raises `HostLacks` for a doubtful answer."""
    report, edits = Report(), []
    for component in _components(matrix, only):
        seen = _look(matrix, component, simple, say, report, doubting=True)
        if seen:
            found = _note(report, seen)
            edit, by_hand = _edit(seen, today, found)
            report.differences += by_hand
            edits += [edit] if edit else []
    return report, edits


def write(edits: list[Edit]) -> None:
    """Write all texts, each whole; the last step of an update, so that whatever fails before leaves all as it was."""
    for edit in edits:
        write_whole(edit.path, edit.new)


def writable(folder: Path | None) -> Path:
    """The folder to write to; raises `BadInput` for the one inside an installed envctl."""
    if folder is None and payload("matrices").parent.joinpath("__main__.py").exists():
        because = [Reason(text=f"{payload('matrices')} belongs to an installed envctl", source="envctl")]
        do = ["work in a checkout, or name a folder: --matrices DIR"]
        raise BadInput("an installed matrix is not updated", because=because, do=do)
    return folder or payload("matrices")


# --- reading


def _components(matrix: Matrix, only: str | None) -> list[Component]:
    return [matrix.component(name) for name in ([only] if only else matrix.names())]


def _note(report: Report, seen: Seen) -> list[Difference]:
    """The differences of a component that was compared; the kept ones go to the report at once."""
    report.compared.append(seen.component.name)
    found = list(differences(seen))
    report.kept += [difference for difference in found if difference.kind == "kept"]
    return [difference for difference in found if difference.kind != "kept"]


def _look(
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
    read, lacking = _with_requires(component, published, simple)
    if lacking:
        report.not_compared[f"{component.name}: Requires-Dist"] = f"the index offers no metadata of {lacking} releases"
    return Seen(matrix=matrix, component=component, main=read, others=answers)


def _ask(name: Name, simple: Simple, say: Say) -> Published | None:
    say(f"asking the index ({name[0]}) about {name[1]}")
    return simple.published(*name)


def _with_requires(component: Component, published: Published, simple: Simple) -> tuple[Published, int]:
    """The same with the Requires-Dist of every row and of every new release; and how many offer none."""
    rows = [row_version(release, published) for release in component.releases]
    wanted = [*new_versions(component, published), *(row for row in rows if row in published.releases and row)]
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        lines = pool.map(lambda version: simple.requires(published, published.releases[version]), wanted)
        found = dict(zip(wanted, lines, strict=True))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # Ctrl-C must not wait for what is still queued
    known = {version: needs for version, needs in found.items() if needs is not None}
    return replace(published, requires=known), len(found) - len(known)


def _refuse(component: Component, answers: dict[Name, Published | None]) -> None:
    doubts = [(name, doubt) for name, given in answers.items() for doubt in suspicions(component, name, given)]
    if doubts:
        alias = doubts[0][0][0]
        because = [Reason(text=doubt, source=f"index ({alias})") for (alias, _), doubt in doubts]
        do = [f"check the address of the index (ENVCTL_INDEX_{alias.upper()}); or name the components to update"]
        what = f"the index ({alias}) says suspiciously little about {component.name}; nothing was written"
        raise HostLacks(what, because=because, do=do)


# --- writing


def _edit(seen: Seen, today: date, found: list[Difference]) -> tuple[Edit | None, list[Difference]]:
    """A file's new text, and the differences that it leaves to a person."""
    path = seen.matrix.folder / f"{seen.component.name}.toml"
    old = path.read_bytes().decode("utf-8")
    text = old
    done: list[Difference] = []
    left: list[Difference] = []
    for difference in found:
        try:
            text = _apply(seen, text, difference, today) if difference.mendable else text
        except CannotEdit:
            left.append(difference)
            continue
        (done if difference.mendable else left).append(difference)
    if text == old:
        return None, left
    _prove(seen.component, path.name, text, done)
    return Edit(path=path, old=old, new=text), left


def _apply(seen: Seen, text: str, difference: Difference, today: date) -> str:
    """The text with one difference mended."""
    version, name = difference.release, difference.key.partition(".")[2]
    if difference.kind == "new release":
        below = next((r for r in seen.component.releases if Version(r.version) < Version(version)), None)
        dropped = _not_taken_over(seen, difference, below)
        block = release_block(version, difference.source, today, difference.claims, below, dropped)
        return with_release(text, version, block)
    if difference.kind == "no claim":
        line = claim_line(name, difference.theirs, source=difference.source, evidence="metadata")
        return with_more(text, version, line)
    row = next(release for release in seen.component.releases if release.version == version)
    return with_claim(text, version, name, difference.theirs, today, row_too=row.evidence in OPEN)


def _not_taken_over(seen: Seen, difference: Difference, below: Release | None) -> set[str]:
    """Claims of the row below that the index speaks about itself, and pins that belong to that row alone."""
    dropped = set(difference.claims) | set(seen.component.packages)
    for claim in below.requires if below else ():
        if claim.evidence in OPEN and (claim.name in BY_TAGS or seen.knows(claim.name)):
            dropped.add(claim.name)
    return dropped


def _prove(old: Component, name: str, text: str, done: list[Difference]) -> None:
    """Read the new text and see that it says what was meant and nothing else."""
    with tempfile.TemporaryDirectory(prefix="envctl-matrix-") as folder:
        path = Path(folder) / name
        path.write_text(text, encoding="utf-8")
        new = {release.version: _facts(release) for release in read_component(path).releases}
    wanted = {release.version: _facts(release) for release in old.releases}
    for difference in done:
        if difference.kind == "new release":
            wanted[difference.release] = new.get(difference.release, {})
        else:
            key = difference.key
            wanted[difference.release][key] = difference.theirs
    if new != wanted:
        raise JobFailed(f"{name}: the edited text does not say what was meant; nothing was written")


def _facts(release: Release) -> dict[str, object]:
    """What a release says: claims by table and name, and the rest as it is."""
    tables = {"requires": release.requires, "gpu": release.gpu, "ptx": release.ptx, "with": release.beside}
    found: dict[str, object] = {f"{key}.{c.name}": c.condition.any for key, claims in tables.items() for c in claims}
    rest = (release.source, release.evidence, release.note, dict(release.provides), release.contradicts)
    return found | {"": rest}
