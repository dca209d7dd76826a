"""Random worlds with all that a matrix and a question can hold; claims point in any direction, in cycles too."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from envctl.matrix import Matrix, load
from envctl.release import Claim
from envctl.request import Known, Request, line_of
from tests.solver_worlds import pin

NAMES = ("abacus", "cuda", "cudnn", "driver", "gpu", "numpy", "opset", "python", "wheel", "zlib")
KINDS = {"component": 12, "engine": 2, "host": 4, "model": 1, "package": 3}
KNOWN = {"component": 0.12, "engine": 0.0, "host": 0.75, "model": 0.75, "package": 0.0}


def draw(seed: int, folder: Path) -> tuple[Matrix, Request]:
    """A world of five to nine components of all kinds with up to eight releases each, and a question about it.

    Its claims point in any direction, so that some need each other.
    """
    random_ = random.Random(seed)
    names = random_.sample(NAMES, random_.randint(4, 8))
    kinds = {name: random_.choices(list(KINDS), list(KINDS.values()))[0] for name in names} | {"engine": "engine"}
    request = ask(random_, kinds)
    density = random_.choice([0.12, 0.2, 0.3])
    folder.mkdir(parents=True, exist_ok=True)
    for name in sorted(kinds):
        claimed = [other for other in sorted(kinds) if other != name]
        text = file(random_, name, kinds, claimed, density)
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    matrix = load(folder)
    return matrix, with_exceptions(random_, matrix, request)


def ask(random_: random.Random, kinds: Mapping[str, str]) -> Request:
    """A question: facts with none, one or several values, open ones, and pins on anything."""
    known = {name: fact(random_) for name, kind in kinds.items() if random_.random() < KNOWN[kind] and name != "engine"}
    hosts = [name for name, kind in kinds.items() if kind in ("host", "model")]
    open_ = frozenset(name for name in hosts if name not in known or random_.random() < 0.5)
    able = [name for name in kinds if name not in known or known[name].values]
    pinned = random_.sample(able, min(len(able), random_.choice([0, 1, 1, 2, 3])))
    pins = tuple(pin(name, specifiers(random_, 1)[0]) for name in pinned)
    on_gpu, ptx = random_.random() < 0.5, random_.random() < 0.3
    return Request(engine="engine", pins=pins, known=known, deferred=open_, on_gpu=on_gpu, ptx=ptx)


def fact(random_: random.Random) -> Known:
    """What is known of a component: mostly one value, sometimes several or that there is none."""
    values = random_.sample(range(1, 10), random_.choice([1, 1, 1, 2, 3, 0]))
    return Known(values=tuple(f"{value}.0{random_.choice(['', '.7'])}" for value in values), origin="drawn")


def file(random_: random.Random, name: str, kinds: Mapping[str, str], claimed: Sequence[str], density: float) -> str:
    """One file as TOML."""
    lines = [f'component = "{name}"', f'title = "{name}"', f'kind = "{kinds[name]}"']
    stand_ins = [other for other in claimed if kinds[other] == "component"]
    if stand_ins and random_.random() < 0.15:
        lines.append(f"unless = {{ {random_.choice(claimed)} = {json.dumps(random_.choice(stand_ins))} }}")
    partners = random_.sample(list(claimed), 2) if len(claimed) > 1 and random_.random() < 0.15 else []
    for version in sorted(random_.sample(range(1, 10), random_.randint(1, 8)), reverse=True):
        evidence = random_.choice(["documented"] * 9 + ["unverified"])
        lines += ["", "[[release]]", f'version = "{version}.0"', "checked = 2026-11-21", f'evidence = "{evidence}"']
        lines += [f'source = "page:{version}"', *claims(random_, kinds, claimed, density)]
        lines += ["[release.vouches]", *(f"{name} = {json.dumps(partners)}" for name in partners)]
    return "\n".join(lines) + "\n"


def claims(random_: random.Random, kinds: Mapping[str, str], claimed: Sequence[str], density: float) -> Iterator[str]:
    """The tables of one release; a claim on a Python package has no alternatives, because uv knows no "or"."""
    for table, share in (("requires", 1.0), ("gpu", 0.3), ("ptx", 0.3), ("with", 0.4)):
        yield f"[release.{table}]"
        for name in [name for name in claimed if random_.random() < density * share]:
            yield f"{name} = {json.dumps(specifiers(random_, 1 if kinds[name] == 'package' else 3))}"
    yield "[release.provides]"
    yield from (f'{name} = "{random_.randint(1, 9)}.0"' for name in claimed if random_.random() < density * 0.1)


def specifiers(random_: random.Random, most: int) -> list[str]:
    """One specifier, or up to `most` alternatives, over 1 … 9."""
    low, width = random_.randint(1, 7), random_.randint(1, 5)
    ranges = [f">={low},<{low + width}", f">={low}", f"<{low + width}", f"=={low}.*", f"!={low}.0"]
    more = specifiers(random_, most - 1) if most > 1 and random_.random() < 0.4 else []
    return [random_.choices(ranges, [3, 1, 1, 1, 1])[0], *more]


def with_exceptions(random_: random.Random, matrix: Matrix, request: Request) -> Request:
    """The question with a few lines passed over, a release tried first, and a failure seen before."""
    releases = [release for name in matrix.names() for release in matrix.component(name).releases]
    found = [claim for release in releases for claim in (*release.requires, *release.beside)]
    lines = frozenset(line_of(claim) for claim in found if random_.random() < random_.choice([0, 0, 0.05]))
    best = random_.choice(releases)
    preferred = frozenset({(best.component, best.version)} if random_.random() < 0.3 else ())
    seen = random_.choice(found) if found and random_.random() < 0.2 else None
    measured = {(seen.owner.split()[0], seen.owner.split()[1]): (random_.choice(same(found, seen)),)} if seen else {}
    return replace(request, ignored=lines, preferred=preferred, measured=measured)


def same(claims: Sequence[Claim], claim: Claim) -> list[Claim]:
    """The claims of the same component."""
    return [other for other in claims if other.owner.split()[0] == claim.owner.split()[0]]
