"""The bytecode of wheels, compiled by the base's own interpreter without network, and kept.

Two patch releases of CPython write different bytecode under the same magic number, so the exact interpreter is part of
the key. The compiler works in the background (envctl/oci/compile_job.py): a wheel's bytecode is waited for when its
files are wanted, while those of the others are still being made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from envctl.errors import HostLacks
from envctl.oci import RULES
from envctl.oci.base_image import BaseImage
from envctl.oci.compile_job import CompileJob, Plan
from envctl.oci.content import compact_json
from envctl.oci.entry import Entry
from envctl.oci.install import sources
from envctl.oci.recipe import Place
from envctl.oci.store import checked, place, read_note, write_note
from envctl.oci.wheel import DEFLATED, Packed, Wheel


@dataclass(frozen=True, kw_only=True, slots=True)
class Compiler:
    """Where and by what a wheel's modules are compiled."""

    base: BaseImage
    place: Place

    def key(self, sha256: str) -> str:
        """Names the bytecode of a wheel."""
        parts = [RULES, sha256, self.base.identity, self.place.prefix, self.place.python]
        return hashlib.sha256(compact_json(parts)).hexdigest()

    def is_kept(self, sha256: str) -> bool:
        """Whether a wheel was compiled before."""
        return read_note("bytecode", self.key(sha256)) is not None


class Bytecode:
    """The bytecode of wheels: kept, or being made."""

    def __init__(self, compiler: Compiler, say: Callable[[str], None]) -> None:
        self.compiler, self.say = compiler, say
        self.jobs: list[CompileJob] = []

    def begin(self, wheels: dict[str, Wheel]) -> None:
        """Start to compile these wheels (by their hashes), none of which is kept, the first ones first."""
        keys = {sha: self.compiler.key(sha) for sha in wheels}
        modules = {sha: sources(wheel, self.compiler.place) for sha, wheel in wheels.items()}
        for sha in wheels:
            if not modules[sha]:
                write_note("bytecode", keys[sha], {"parts": []})
        plans = [_plan(keys[sha], wheels[sha], modules[sha]) for sha in wheels if modules[sha]]
        if plans:
            count = sum(len(plan.modules) for plan in plans)
            self.say(f"compiling {count} modules with CPython {self.compiler.base.python} of the base")
            self.jobs.append(CompileJob(plans, self.compiler.base, self.compiler.place))
            self.jobs[-1].start()

    def of(self, sha256: str, wheel: Wheel) -> list[Entry]:
        """A wheel's bytecode as entries, as soon as it is there; raises what went wrong when it was made."""
        key = self.compiler.key(sha256)
        for job in self.jobs:
            job.wait(key)
        return list(_entries(key, wheel))

    def stop(self) -> None:
        """End what is still being compiled."""
        for job in self.jobs:
            job.stop()


def _plan(key: str, wheel: Wheel, modules: dict[str, str]) -> Plan:
    places = {path: wheel.members[member].data for member, path in modules.items()}
    return Plan(key=key, wheel=wheel.path, modules=places)


def _entries(key: str, wheel: Wheel) -> Iterator[Entry]:
    note = read_note("bytecode", key)
    assert note is not None
    for number, sha256 in enumerate(note["parts"]):
        path = place("bytecode", f"{key}.{number}.part")
        try:
            checked(path, sha256, f"the bytecode of {wheel.label}")
        except (HostLacks, FileNotFoundError):
            place("bytecode", f"{key}.json").unlink(missing_ok=True)  # made anew at the next call
            raise
        for name, data in read_part(path).items():
            yield Entry(path=name, data=data, owner=wheel.label)


def read_part(path: Path) -> dict[str, Packed]:
    """What the compiler (envctl/worker/bytecode.py) wrote, by its path in the environment."""
    with path.open("rb") as stream:
        rows = [stream.readline()[:-1].split(b" ", 3) for _ in range(int(stream.readline()))]
        offset, found = stream.tell(), {}
    for packed, size, crc, name in rows:
        found[name.decode()] = Packed(
            archive=path, offset=offset, packed=int(packed), size=int(size), crc=int(crc), method=DEFLATED
        )
        offset += int(packed)
    return found
