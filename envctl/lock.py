"""Stack -> Lock: the exact wheels of an environment, as canonical JSON that names no address and no time."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envctl.errors import BadInput, HostLacks, Reason
from envctl.package import LockedPackage
from envctl.tree import cache_root, canonical_json, touch, write_whole

if TYPE_CHECKING:
    from envctl.aliases import Indexes
    from envctl.index import Question
    from envctl.solver import Stack
    from envctl.spec import ImageSpec

FORMAT = 2
# Wheels are chosen for the oldest C library that today's engines are built for, not for this host's, so that the
# same lock comes out everywhere. openvino's aarch64 wheels start at 2.35 (../shared/images.md, section 5).
PLATFORMS = {"x86_64": ("x86_64-manylinux_2_28", (2, 28)), "aarch64": ("aarch64-manylinux_2_35", (2, 35))}

# a wheel's file name whose name and version are in their normal form: packaging has nothing to say about it
PLAINLY = re.compile(
    r"([a-z0-9]+(?:_[a-z0-9]+)*)-(\d+(?:\.\d+)*(?:(?:a|b|rc)\d+)?(?:\.post\d+)?(?:\.dev\d+)?)(?:-\d\w*)?(?:-[\w.]+){3}\.whl",
    re.ASCII,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Lock:
    """One environment: CPython's minor version, platform and wheels. `digest` is its identity."""

    python: str
    platform: str
    packages: tuple[LockedPackage, ...]

    @property
    def digest(self) -> str:
        """The SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.text().encode()).hexdigest()

    def text(self) -> str:
        """The lock as canonical JSON: the same bytes on every machine."""
        return canonical_json({"format": FORMAT, **asdict(self)})

    def version(self, name: str) -> str | None:
        """The locked version of a distribution."""
        return next((package.version for package in self.packages if package.name == name), None)


def parse(text: str) -> Lock:
    """The lock written in canonical JSON; raises `BadInput` for anything else."""
    try:
        data = json.loads(text)
        if data["format"] != FORMAT:
            raise BadInput(f"this lock has format {data['format']}; this envctl reads format {FORMAT}")
        return read(data)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput("this is not a lock of an environment", because=[Reason(text=repr(error))]) from error


def read(data: dict[str, Any]) -> Lock:
    """The lock in a JSON object. Raises `ValueError`, `KeyError` or `TypeError` where that is none."""
    packages = tuple(LockedPackage(**package) for package in data["packages"])
    for package in packages:
        _check(package)
    names = [package.name for package in packages]
    if names != sorted(set(names)):
        raise ValueError("packages are not sorted by name, or one stands there twice")
    if data["platform"] not in [platform for platform, _ in PLATFORMS.values()]:
        raise ValueError(f"platform {data['platform']!r}")
    if not re.fullmatch(r"3\.\d+", data["python"]):
        raise ValueError(f"python {data['python']!r}")
    return Lock(python=data["python"], platform=data["platform"], packages=packages)


def _check(package: LockedPackage) -> None:
    """Raise `ValueError` for a package that no lock of ours can hold: its words become requirements and paths."""
    if not _is_plainly(package):
        from packaging.utils import parse_wheel_filename
        from packaging.version import Version

        name, version, _, _ = parse_wheel_filename(package.file)
        if name != package.name or str(version) != str(Version(package.version)):
            raise ValueError(f"{package.file} is not {package.name} {package.version}")
    if not re.fullmatch(r"[0-9a-f]{64}", package.sha256):
        raise ValueError(f"sha256 of {package.name}")
    if type(package.size) is not int or package.size < 0 or not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", package.index):
        raise ValueError(f"size or index of {package.name}")


def _is_plainly(package: LockedPackage) -> bool:
    """Whether the file's name is that of the package, as most are; others take packaging, and its import's 30 ms."""
    found = PLAINLY.fullmatch(package.file)
    return found is not None and (found[1].replace("_", "-"), found[2]) == (package.name, package.version)


def platform_for(arch: str | None, glibc: str | None) -> str:
    """uv's name of the platform that wheels are chosen for; raises `HostLacks` where no such wheel can run."""
    if arch not in PLATFORMS:
        raise HostLacks(f"no engine wheels for {arch or 'an unknown architecture'}", do=[f"use {', '.join(PLATFORMS)}"])
    platform, floor = PLATFORMS[arch]
    if glibc is None or tuple(int(part) for part in glibc.split(".")[:2]) < floor:
        what = f"this host's C library ({'glibc ' + glibc if glibc else 'not glibc'}) is older than the wheels need"
        raise HostLacks(what, do=["use --runner docker, or a system with glibc >= " + ".".join(map(str, floor))])
    return platform


def find_or_make(
    stack: Stack,
    spec: ImageSpec,
    platform: str,
    indexes: Indexes,
    *,
    offline: bool,
    refresh: bool,
    say: Callable[[str], None],
) -> Lock:
    """The lock for a stack: the one kept from the last time the same was asked, or a new one from the index."""
    question = question_for(stack, spec, platform, indexes.addresses)
    what = f"{spec.title} {stack.version(spec.engine)}"
    return answer(question, what, indexes, offline=offline, refresh=refresh, say=say)


def answer(
    question: Question, what: str, indexes: Indexes, *, offline: bool, refresh: bool, say: Callable[[str], None]
) -> Lock:
    """The kept answer to a question, or a new one from the index, which is kept."""
    if not refresh and (found := _kept(kept_path(question))):
        return found
    say(f"choosing and locking the packages of {what}")
    try:
        lock = make(question, indexes, offline=offline, say=say)
    except HostLacks as error:
        error.because += _kept_instead(question) if offline else []
        raise
    write_whole(kept_path(question), lock.text())
    return lock


def _kept_instead(question: Question) -> list[Reason]:
    """What is kept of the same package: without network only what was locked before can be had."""
    from packaging.requirements import Requirement

    name = Requirement(question.packages.requirements[0]).name
    kept = filter(None, (_read_kept(path) for path in sorted((cache_root() / "locks").glob("*.json"))))
    pairs = {(version, each.python) for each in kept if (version := each.version(name))}
    texts = [f"kept: {name} {version} for CPython {python}" for version, python in sorted(pairs)]
    return [Reason(text=text, source=str(cache_root() / "locks")) for text in texts]


def kept(question: Question) -> Lock | None:
    """The kept answer to a question, if there is one; nothing is asked or marked as used."""
    return _read_kept(kept_path(question))


def kept_path(question: Question) -> Path:
    """Where the answer to a question is kept, or would be."""
    return cache_root() / "locks" / f"{_digest(question)}.json"


def question_for(stack: Stack, spec: ImageSpec, platform: str, aliases: Collection[str] = ()) -> Question:
    """What the index is asked for a stack, where these aliases have addresses."""
    from envctl.index import Question

    constraints = tuple(name + ",".join(specs) for name, specs in sorted(stack.constraints.items()))
    packages = spec.packages(stack).served_by(aliases)
    return Question(packages=packages, constraints=constraints, python=stack.version("python"), platform=platform)


def make(question: Question, indexes: Indexes, *, offline: bool, say: Callable[[str], None]) -> Lock:
    """The index's answer to a question."""
    from envctl.index import resolve
    from envctl.upstream.sizes import with_sizes

    wheels = resolve(question, indexes, offline)
    packages = with_sizes(wheels, indexes, offline, say)
    return Lock(python=question.python, platform=question.platform, packages=packages)


def _kept(path: Path) -> Lock | None:
    """The lock that was kept; one that is damaged or of another format is made anew."""
    found = _read_kept(path)
    if found:
        touch(path)
    return found


def _read_kept(path: Path) -> Lock | None:
    with suppress(OSError, UnicodeDecodeError, BadInput):
        return parse(path.read_text(encoding="utf-8"))
    return None


def _digest(question: Question) -> str:
    """What the index is asked, as a digest: the same question is answered from the kept lock, without network."""
    packages = question.packages
    asked = [FORMAT, packages.requirements, packages.index, question.constraints, question.python, question.platform]
    asked += [sorted(packages.alone)] if packages.alone else []
    return hashlib.sha256(canonical_json(asked).encode()).hexdigest()[:32]


def write(lock: Lock, path: Path) -> None:
    """Write the lock as a file."""
    write_whole(path, lock.text())
