"""The bytecode of wheels, compiled by the base's own interpreter without network, and kept.

Two patch releases of CPython write different bytecode under the same magic number, so the exact interpreter is part of
the key. It is run in the unpacked base (namespaces and chroot: no root, no daemon), or where the kernel forbids that,
in a container of the base. Both give the same bytes: it is the same program with the same libraries.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envctl.errors import HostLacks, Reason
from envctl.oci import BYTECODE_RULES, rootfs
from envctl.oci.base_image import BaseImage
from envctl.oci.content import compact_json
from envctl.oci.entry import Entry
from envctl.oci.install import Place, sources
from envctl.oci.store import checked, place, read_note, write_note
from envctl.oci.wheel import Wheel, read_zip
from envctl.tree import disk_errors, sha256_of

PART = 256  # modules compiled in one process
SCRIPT = Path(__file__).resolve().parent.parent / "worker" / "bytecode.py"


@dataclass(frozen=True, kw_only=True, slots=True)
class Compiler:
    """Where and by what a wheel's modules are compiled."""

    base: BaseImage
    place: Place

    def key(self, sha256: str) -> str:
        """Names the bytecode of a wheel."""
        parts = [BYTECODE_RULES, sha256, self.base.identity, self.place.prefix, self.place.python]
        return hashlib.sha256(compact_json(parts)).hexdigest()


def compiled(wheels: dict[str, Wheel], compiler: Compiler, say: Callable[[str], None]) -> dict[str, list[Entry]]:
    """The bytecode of each wheel (by its hash) as entries; what is not kept yet is made."""
    missing = {sha: wheel for sha, wheel in wheels.items() if read_note("bytecode", compiler.key(sha)) is None}
    plans = {sha: plan for sha, wheel in missing.items() if (plan := sources(wheel, compiler.place))}
    for sha in missing.keys() - plans.keys():
        write_note("bytecode", compiler.key(sha), {"parts": []})
    if plans:
        count = sum(len(plan) for plan in plans.values())
        say(f"compiling {count} modules with CPython {compiler.base.python} of the base")
        _compile({sha: missing[sha] for sha in plans}, plans, compiler)
    return {sha: list(_entries(compiler.key(sha), wheel)) for sha, wheel in wheels.items()}


def _entries(key: str, wheel: Wheel) -> Iterator[Entry]:
    note = read_note("bytecode", key)
    assert note is not None
    for number, sha256 in enumerate(note["parts"]):
        path = place("bytecode", f"{key}.{number}.zip")
        try:
            checked(path, sha256, f"the bytecode of {wheel.label}")
        except (HostLacks, FileNotFoundError):
            place("bytecode", f"{key}.json").unlink(missing_ok=True)  # made anew at the next call
            raise
        for name, data in read_zip(path).items():
            yield Entry(path=name, data=data, owner=wheel.label)


def _compile(wheels: dict[str, Wheel], plans: dict[str, dict[str, str]], compiler: Compiler) -> None:
    folder = place("bytecode", "")
    with disk_errors(folder), _job_folder(folder) as job:
        parts = list(_parts(wheels, plans, compiler, job))
        (job / "job.json").write_text(json.dumps(parts), encoding="utf-8")
        shutil.copyfile(SCRIPT, job / "bytecode.py")
        _run(job, compiler)
        for sha in plans:
            key = compiler.key(sha)
            made = [Path(job, Path(part["out"]).name) for part in parts if part["key"] == key]
            hashes = [sha256_of(path) for path in made]
            for number, path in enumerate(made):
                path.chmod(0o644)
                path.replace(folder / f"{key}.{number}.zip")
            write_note("bytecode", key, {"parts": hashes})


@contextmanager
def _job_folder(folder: Path) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as name:
        Path(name).chmod(0o755)
        yield Path(name)


def _parts(
    wheels: dict[str, Wheel], plans: dict[str, dict[str, str]], compiler: Compiler, job: Path
) -> Iterator[dict[str, Any]]:
    """What the script shall do; the wheels lie beside its job file."""
    for sha, plan in plans.items():
        try:
            (job / f"{sha}.whl").hardlink_to(wheels[sha].path)
        except OSError:
            shutil.copyfile(wheels[sha].path, job / f"{sha}.whl")
        modules = [[member, path, compiler.place.bytecode(path)] for member, path in plan.items()]
        for number, start in enumerate(range(0, len(modules), PART)):
            yield {
                "key": compiler.key(sha),
                "wheel": f"/mnt/{sha}.whl",
                "prefix": compiler.place.prefix,
                "modules": modules[start : start + PART],
                "out": f"/mnt/{sha}.{number}.zip",
            }


def _run(job: Path, compiler: Compiler) -> None:
    """Run the script in the base: unpacked here, else in a container."""
    python = f"{compiler.base.home}/python{compiler.place.python}"
    command = [python, "-s", "-S", "/mnt/bytecode.py", "/mnt/job.json", str(len(os.sched_getaffinity(0)))]
    forbidden = rootfs.why_not()
    if forbidden is None:
        done = rootfs.run(rootfs.unpacked(compiler.base), job, command)
        code, errors = done.returncode, done.stderr
    else:
        code, errors = in_container(job, compiler.base, command, forbidden)
    if code:
        lines = [line for line in errors.splitlines() if line.strip()][-4:]
        if "No space left" in errors:
            do = ["free some space, or choose another folder (ENVCTL_CACHE=DIR)"]
            raise HostLacks("could not compile the modules: no space left", do=do)
        because = [Reason(text=line[:300], source="the base's Python") for line in lines]
        raise HostLacks("the base's Python could not compile the modules", because=because)


def in_container(job: Path, base: BaseImage, command: list[str], forbidden: str) -> tuple[int, str]:
    """The same in a container of the base, without network; its exit code and what it said."""
    import docker
    from docker.errors import DockerException

    from envctl.oci import daemon
    from envctl.oci.load import load_image

    try:
        there = any(daemon.image(each) for each in (base.image.config_descriptor.digest, base.image.digest))
        names = [] if there else [f"envctl-base:{base.digest[7:19]}"]  # an image without a name is soon pruned
        image = load_image(base.image, names, _silent).identifier
    except HostLacks as error:
        raise cannot_run(forbidden, error.what) from error
    options: dict[str, Any] = {"network_mode": "none", "read_only": True, "cap_drop": ["ALL"]}
    options |= {"volumes": {str(job): {"bind": "/mnt", "mode": "rw"}}, "user": f"{os.getuid()}:{os.getgid()}"}
    options |= {"environment": {"PYTHONHASHSEED": "0", "LANG": "C.UTF-8"}, "entrypoint": command[:1]}
    try:
        container = docker.from_env().containers.create(image, command[1:], **options)
    except DockerException as error:
        raise cannot_run(forbidden, str(error)[:200]) from error
    try:
        container.start()
        return int(container.wait()["StatusCode"]), container.logs(stdout=False).decode(errors="replace")
    finally:
        container.remove(force=True)


def _silent(_text: str) -> None:
    """Say nothing: a base is there already, as a rule."""


def cannot_run(forbidden: str, docker: str) -> HostLacks:
    """The error where neither way to run the base's Python is open."""
    because = [Reason(text=forbidden, source="unshare"), Reason(text=docker, source="Docker")]
    do = ["allow user namespaces (sysctl kernel.unprivileged_userns_clone=1), or start Docker with this base in it"]
    return HostLacks("the base's Python cannot be run here", because=because, do=do)
