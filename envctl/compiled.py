"""A component kept as JSON, read in a tenth of the time that its TOML takes.

It lies under the digest of the file's bytes and of the modules that read them, so it can never be stale.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from envctl import matrix_file, release, versions
from envctl.errors import HostLacks
from envctl.matrix_file import parse_component
from envctl.release import Claim, Component, Release
from envctl.tree import cache_root, write_whole
from envctl.versions import Condition

TABLES = ("requires", "gpu", "ptx", "beside", "contradicts")
KEPT = 50  # compilations of each component
PLAIN = ("name", "title", "kind", "packages", "unless", "implies", "distribution")


def read_component(path: Path) -> Component:
    """The component described by one TOML file; raises `MatrixError` when the file breaks the format."""
    content = path.read_bytes()
    key = hashlib.sha256(_readers() + path.name.encode() + content).hexdigest()
    kept = cache_root() / "matrix" / path.stem / f"{key}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):  # not there, or not whole: the file itself is read
        return _component(json.loads(kept.read_bytes()))
    component = parse_component(path, content)
    with suppress(HostLacks):  # no room or no right to keep it: then it is read again next time
        write_whole(kept, json.dumps(_data(component)))
        _forget_old(kept.parent)
    return component


def _forget_old(folder: Path) -> None:
    """Keep the newest compilations of a component; nothing else would ever remove what an edit left behind.

    Each component has a folder of its own: to list some dozens costs nothing. Files beside them are an older envctl's.
    """
    with suppress(OSError):  # another envctl is at it too
        own = sorted((each.stat().st_mtime, each.path) for each in os.scandir(folder))
        older = [each.path for each in os.scandir(folder.parent) if each.is_file() and each.name.endswith(".json")]
        for path in [*(path for _, path in own[:-KEPT]), *older]:
            Path(path).unlink()


@cache
def _readers() -> bytes:
    """The digest of the code that makes a component of a file's bytes."""
    files = [Path(module.__file__) for module in (matrix_file, release, versions) if module.__file__]
    sources = b"".join(file.read_bytes() for file in [*files, Path(__file__)])
    return hashlib.sha256(sources).digest()


def _data(component: Component) -> dict[str, Any]:
    plain = {name: getattr(component, name) for name in PLAIN}
    return plain | {"releases": [_release_data(release) for release in component.releases]}


def _release_data(release: Release) -> list[Any]:
    claims = [[_claim_data(claim) for claim in getattr(release, table)] for table in TABLES]
    plain = [release.version, release.source, release.evidence, release.note]
    return [*plain, release.provides, release.vouches, claims]


def _claim_data(claim: Claim) -> list[Any]:
    return [claim.name, claim.condition.any, claim.source, claim.evidence, claim.note, claim.feature]


def _component(data: dict[str, Any]) -> Component:
    releases = tuple(_release(data["name"], row) for row in data.pop("releases"))
    data["implies"] = {word: tuple(others) for word, others in data["implies"].items()}
    return Component(**data | {"packages": tuple(data["packages"])}, releases=releases)


def _release(component: str, row: list[Any]) -> Release:
    version, source, evidence, note, provides, vouches, tables = row
    owner = f"{component} {version}"
    requires, gpu, ptx, beside, contradicts = [tuple(_claim(owner, claim) for claim in table) for table in tables]
    return Release(
        component=component,
        version=version,
        source=source,
        evidence=evidence,
        note=note,
        provides=provides,
        vouches={partner: tuple(names) for partner, names in vouches.items()},
        requires=requires,
        gpu=gpu,
        ptx=ptx,
        beside=beside,
        contradicts=contradicts,
    )


def _claim(owner: str, row: list[Any]) -> Claim:
    name, alternatives, source, evidence, note, feature = row
    said = {"source": source, "evidence": evidence, "note": note, "feature": feature}
    return Claim(owner=owner, name=name, condition=_condition(tuple(alternatives)), **said)


@cache
def _condition(alternatives: tuple[str, ...]) -> Condition:
    """The matrix says the same few hundred conditions thousands of times."""
    return Condition(any=alternatives)
