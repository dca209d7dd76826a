"""Small worlds for the solver: a scenario file or a random draw -> matrix, request; and an answer by brute force."""

from __future__ import annotations

import itertools
import json
import random
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envctl import evidence
from envctl.matrix import Matrix, load
from envctl.release import Claim, Release
from envctl.request import Known, Pin, Request
from envctl.solver import Stack, with_provided
from envctl.versions import parse_pin

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TABLES = ("requires", "gpu", "ptx", "with", "provides", "vouches")
COMPONENT_KEYS = frozenset({"kind", "unless", "implies", "releases"})
REQUEST_KEYS = frozenset(
    {"engine", "pins", "known", "deferred", "foreign", "on_gpu", "ptx", "seen", "model", "precision", "prefer_proven"}
)
EXPECT_KEYS = frozenset({"choices", "constraints", "unmet", "why", "source", "what", "because", "do", "raises"})


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One file of tests/scenarios: a small matrix, a request, and what must come of it."""

    title: str
    matrix: Matrix
    request: Request
    expect: Mapping[str, Any]


def read(path: Path, folder: Path) -> Scenario:
    """The scenario in `path`; its matrix is written into `folder` and read by the real loader."""
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    write_matrix(folder, data["matrix"])
    asked, matrix = data["request"], load(folder)
    check_keys("request", asked, REQUEST_KEYS)
    check_keys("expect", data["expect"], EXPECT_KEYS)
    return Scenario(title=data["title"], matrix=matrix, request=request_of(matrix, asked), expect=data["expect"])


def request_of(matrix: Matrix, asked: Mapping[str, Any]) -> Request:
    """The question; what follows from its facts is known too, as on the command line."""
    known = {name: Known(values=tuple(fact["values"]), origin=fact["origin"]) for name, fact in known_of(asked)}
    seen = [observation(asked["engine"], each) for each in asked.get("seen", [])]
    return Request(
        engine=asked["engine"],
        pins=tuple(pins_of(asked)),
        known=with_provided(matrix, known),
        deferred=frozenset(asked.get("deferred", [])),
        foreign=frozenset(asked.get("foreign", [])),
        on_gpu=asked.get("on_gpu", False),
        ptx=asked.get("ptx", False),
        measured=evidence.refuted(seen, asked.get("model", ""), asked.get("precision", "fp32")),
        preferred=evidence.proven(seen) if asked.get("prefer_proven") else frozenset(),
    )


def known_of(asked: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The facts of a request."""
    yield from asked.get("known", {}).items()


def pins_of(asked: Mapping[str, Any]) -> Iterator[Pin]:
    """The pins of a request: a table, or a list of "NAME=SPEC" where one name is pinned twice."""
    pins = asked.get("pins", {})
    pairs = pins.items() if isinstance(pins, dict) else [text.split("=", 1) for text in pins]
    yield from (pin(name, spec) for name, spec in pairs)


def pin(name: str, spec: str) -> Pin:
    """The pin that `--pin NAME=SPEC` makes."""
    return Pin(name=name, condition=parse_pin(name, spec), said=f"--pin {name}={spec}")


def observation(engine: str, seen: Mapping[str, Any]) -> evidence.Observation:
    """A run that was seen before; a scenario names its day, verdict and stack, and what else matters."""
    plain = {"precision": "fp32", "reason": "", "task": "convert", "lock": "", "packages": {}} | dict(seen)
    plain["model"] = {"sha256": seen["model"]} if "model" in seen else {}
    return evidence.Observation(engine=engine, **plain)


def check_keys(where: str, table: Mapping[str, Any], known: frozenset[str]) -> None:
    """A misspelt key would be a rule that a scenario only seems to try."""
    assert set(table) <= known, f"{where}: unknown keys {sorted(set(table) - known)}"


def write_matrix(folder: Path, components: Mapping[str, Any]) -> None:
    """A file a component; a release without a source of its own is said to come from `page:NAME-VERSION`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in components.items():
        check_keys(name, table, COMPONENT_KEYS)
        lines = [f'component = "{name}"', f'title = "{name}"', f'kind = "{table["kind"]}"']
        lines += [f"unless = {inline(table['unless'])}"] if "unless" in table else []
        for release in table.get("releases", []):
            lines += ["", "[[release]]", *release_lines(name, release)]
        for word, implied in table.get("implies", {}).items():
            lines += ["", "[[isa]]", f'name = "{word}"', f"implies = {inline(implied)}"]
        (folder / f"{name}.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def release_lines(name: str, release: Mapping[str, Any]) -> Iterator[str]:
    """One release as TOML, below its heading."""
    plain = {"source": f"page:{name}-{release['version']}", "evidence": "documented"}
    plain |= {key: value for key, value in release.items() if key not in TABLES}
    yield "checked = 2026-11-21"
    yield from (f"{key} = {inline(value)}" for key, value in plain.items())
    for table in TABLES:
        yield f"[release.{table}]"
        yield from (f"{claim} = {inline(value)}" for claim, value in release.get(table, {}).items())


def inline(value: Any) -> str:
    """A list or a table as TOML writes it in one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {inline(entry)}" for key, entry in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    return json.dumps(value)


def draw(seed: int, folder: Path) -> tuple[Matrix, Request]:
    """A random world: four components with one to four releases, claims that point downwards, pins and a fact."""
    random_ = random.Random(seed)
    names = ["engine", "cuda", "cudnn", "python"]
    components = {
        name: {"kind": "engine" if name == "engine" else "component", "releases": releases(random_, names[index + 1 :])}
        for index, name in enumerate(names)
    }
    write_matrix(folder, components)
    pins = tuple(pin(name, str(random_.randint(1, 4))) for name in names if random_.random() < 0.25)
    facts = {"driver": Known(values=(f"{random_.randint(1, 4)}.0",), origin="nvml")} if random_.random() < 0.8 else {}
    return load(folder), Request(engine="engine", pins=pins, known=facts, deferred=frozenset({"driver"} - set(facts)))


def releases(random_: random.Random, below: list[str]) -> list[dict[str, Any]]:
    """Releases N.0 … 1.0, each with claims on some of what stands below, and on the driver."""
    made = []
    for version in range(random_.randint(1, 4), 0, -1):
        claims = {name: bounds(random_) for name in [*below, "driver"] if random_.random() < 0.55}
        made.append({"version": f"{version}.0", "requires": claims})
    return made


def bounds(random_: random.Random) -> list[str]:
    """One or two ranges over 1 … 5."""
    ranges = []
    for _ in range(random_.choice([1, 1, 2])):
        low = random_.randint(1, 4)
        ranges.append(f">={low},<{low + random_.randint(1, 2)}")
    return ranges


def best_by_force(matrix: Matrix, request: Request) -> str | None:
    """The newest engine version that any choice of releases and absences allows; None when there is none."""
    names = [name for name in matrix.names() if name != request.engine]
    for engine in matrix.component(request.engine).releases:
        options = [[None, *matrix.component(name).releases] for name in names]
        for chosen in itertools.product(*options):
            picked = {release.component: release for release in (engine, *chosen) if release}
            if holds(picked, request):
                return engine.version
    return None


def holds(picked: Mapping[str, Any], request: Request) -> bool:
    """Whether a choice of releases satisfies every pin, claim and fact."""
    versions = {name: release.version for name, release in picked.items()}
    versions |= {name: known.values[0] for name, known in request.known.items()}
    needs = [(p.name, p.condition) for p in request.pins]
    needs += [(claim.name, claim.condition) for release in picked.values() for claim in release.requires]
    needs = [(name, condition) for name, condition in needs if name not in request.deferred]
    return all(name in versions and condition.admits(versions[name]) for name, condition in needs)


def broken_needs(matrix: Matrix, request: Request, stack: Stack) -> list[str]:
    """Every pin and claim on what is in the stack that the stack does not satisfy: must be empty."""
    chosen = {name: stack.version(name) for name in stack.choices}
    needs = [(p.said, p.name, p.condition) for p in request.pins]
    for name, version in chosen.items():
        row = matrix.component(name).row(version) if matrix.has(name) else None
        needs += [(claim.owner, claim.name, claim.condition) for claim in said_by(row, request)] if row else []
    excused = stood_in_for(matrix, stack) | brought_together(matrix, request) | vouched_for(matrix, chosen)
    needs = [need for need in needs if (need[0].split()[0], need[1]) not in excused]
    return [f"{who}: {name} {c}" for who, name, c in needs if name in chosen and not c.admits(chosen[name])]


def said_by(row: Release, request: Request) -> Iterator[Claim]:
    """The claims of a release that count for such a request."""
    yield from (*row.requires, *row.beside)
    yield from (*(row.gpu if request.on_gpu else ()), *(row.ptx if request.ptx else ()))


def stood_in_for(matrix: Matrix, stack: Stack) -> set[tuple[str, str]]:
    """(who claims, on what) where something in the stack may stand in for what is claimed."""
    files = [matrix.component(name) for name in stack.choices if matrix.has(name)]
    return {(each.name, name) for each in files for name, other in each.unless.items() if other in stack.choices}


def brought_together(matrix: Matrix, request: Request) -> set[tuple[str, str]]:
    """Every two parts of a pinned image: its vendor has put them together whatever they claim of each other."""
    files = [matrix.component(p.name) for p in request.pins if matrix.has(p.name)]
    images = [release for each in files if each.kind == "component" for release in each.releases]
    return {(one, other) for image in images for one in image.provides for other in image.provides}


def vouched_for(matrix: Matrix, chosen: Mapping[str, str]) -> set[tuple[str, str]]:
    """(partner, on what) where a chosen release was put together with the partner, whatever that claims."""
    rows = [matrix.component(name).row(version) for name, version in chosen.items() if matrix.has(name)]
    said = [item for row in rows if row for item in row.vouches.items()]
    return {(partner, name) for partner, names in said for name in names}
