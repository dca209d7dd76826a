"""The matrix beside a package index: `envctl matrix check --index` and `envctl matrix update`."""

from __future__ import annotations

import difflib
import tempfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from packaging.version import Version

from envctl.compiled import read_component
from envctl.errors import BadInput, JobFailed, Reason
from envctl.matrix import Matrix
from envctl.release import Component, Release
from envctl.tree import payload, write_whole
from envctl.upstream.cited import BY_TAGS, OPEN
from envctl.upstream.drift import Difference, Seen
from envctl.upstream.published import linux_wheels
from envctl.upstream.rewrite import CannotEdit, claim_line, release_block, with_claim, with_more, with_release
from envctl.upstream.simple import Simple
from envctl.workflow.beside import Report, Say, components, look, note


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
    for component in components(matrix, only):
        seen = look(matrix, component, simple, say, report)
        if seen:
            report.differences += note(report, seen)
    return report


def update(matrix: Matrix, only: str | None, simple: Simple, today: date, say: Say) -> tuple[Report, list[Edit]]:
    """The differences that stay for a person, and the new texts of files. Raises `HostLacks` for a doubtful answer."""
    report, edits = Report(), []
    for component in components(matrix, only):
        seen = look(matrix, component, simple, say, report, doubting=True)
        if seen:
            found = note(report, seen)
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
    version = Version(difference.source.partition("==")[2])
    wheels, read = bool(linux_wheels(seen.main.releases[version])), version in seen.main.requires
    dropped = set(difference.claims) | set(seen.component.packages)
    for claim in below.requires if below else ():
        if claim.evidence in OPEN and (wheels if claim.name in BY_TAGS else read and seen.knows(claim.name)):
            dropped.add(claim.name)
    return dropped


def _prove(old: Component, name: str, text: str, done: list[Difference]) -> None:
    """Read the new text and see that it says what was meant and nothing else."""
    with tempfile.TemporaryDirectory(prefix="envctl-matrix-") as folder:
        path = Path(folder) / name
        path.write_text(text, encoding="utf-8")
        new = {release.version: _facts(release) for release in read_component(path).releases}
    wanted = {release.version: _facts(release) for release in old.releases}
    for each in done:
        if each.kind == "new release":
            wanted[each.release] = new.get(each.release, {})
        else:
            _, *rest = wanted[each.release].get(each.key, ("", each.source, "metadata", ""))
            wanted[each.release][each.key] = (each.theirs, *rest)
    if new != wanted:
        raise JobFailed(f"{name}: the edited text does not say what was meant; nothing was written")


def _facts(release: Release) -> dict[str, tuple[object, ...]]:
    """What a release says: its claims by table and name, and the rest."""
    tables = {"requires": release.requires, "gpu": release.gpu, "ptx": release.ptx, "with": release.beside}
    claims = [(f"{table}.{claim.name}", claim) for table, found in tables.items() for claim in found]
    facts: dict[str, tuple[object, ...]] = {
        key: (claim.condition.any, claim.source, claim.evidence, claim.note) for key, claim in claims
    }
    rest = (release.source, release.evidence, release.note, dict(release.provides), release.contradicts)
    return facts | {"": rest}
