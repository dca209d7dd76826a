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

from envctl.matrix import Matrix, load
from envctl.request import Known, Pin, Request
from envctl.solver import Stack
from envctl.versions import parse_pin

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


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
    asked = data["request"]
    pins = tuple(pin(name, spec) for name, spec in asked.get("pins", {}).items())
    known = {name: Known(values=tuple(fact["values"]), origin=fact["origin"]) for name, fact in known_of(asked)}
    sets = {key: frozenset(asked.get(key, [])) for key in ("deferred", "foreign")}
    request = Request(engine=asked["engine"], pins=pins, known=known, **sets)
    return Scenario(title=data["title"], matrix=load(folder), request=request, expect=data["expect"])


def known_of(asked: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The facts of a request."""
    yield from asked.get("known", {}).items()


def pin(name: str, spec: str) -> Pin:
    """The pin that `--pin NAME=SPEC` makes."""
    return Pin(name=name, condition=parse_pin(name, spec), said=f"--pin {name}={spec}")


def write_matrix(folder: Path, components: Mapping[str, Any]) -> None:
    """A file a component; a release without a source of its own is said to come from `page:NAME-VERSION`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in components.items():
        lines = [f'component = "{name}"', f'title = "{name}"', f'kind = "{table["kind"]}"']
        for release in table.get("releases", []):
            lines += ["", "[[release]]", f'version = "{release["version"]}"', "checked = 2026-11-21"]
            lines += ['evidence = "documented"', f'source = "page:{name}-{release["version"]}"', "[release.requires]"]
            lines += [f"{claim} = {inline(value)}" for claim, value in release.get("requires", {}).items()]
        (folder / f"{name}.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def inline(value: Any) -> str:
    """A list or a flat table as TOML writes it."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {json.dumps(entry)}" for key, entry in value.items()) + " }"
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
    """Every pin and claim on a chosen component that the stack does not satisfy: must be empty."""
    needs = [(p.said, p.name, p.condition) for p in request.pins]
    for choice in stack.choices.values():
        if choice.name in request.known or not matrix.has(choice.name):
            continue
        release = next(r for r in matrix.component(choice.name).releases if r.version == choice.version)
        needs += [(claim.owner, claim.name, claim.condition) for claim in release.requires]
    chosen = {name: stack.version(name) for name in stack.choices}
    return [f"{who}: {name} {c}" for who, name, c in needs if name in chosen and not c.admits(chosen[name])]
