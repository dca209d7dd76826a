"""Compiling the modules of wheels with a base's own interpreter, in the background, wheel by wheel.

It is run in the unpacked base (namespaces and chroot: no root, no daemon), or where the kernel forbids that, in a
container of the base. Both give the same bytes: it is the same program with the same libraries.
"""

from __future__ import annotations

import marshal
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Thread
from typing import IO, Any

from envctl.errors import HostLacks, Reason
from envctl.oci import rootfs
from envctl.oci.base_image import BaseImage
from envctl.oci.recipe import Place
from envctl.oci.store import place, write_note
from envctl.oci.wheel import STORED, Packed
from envctl.tree import disk_errors, sha256_of

PART = 128  # modules compiled in one process
SCRIPT = Path(__file__).resolve().parent.parent / "worker" / "bytecode.py"


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A wheel's modules (path below the prefix -> where the wheel has it), and the key that names their bytecode."""

    key: str
    wheel: Path
    modules: dict[str, Packed]

    def parts(self, to: Place) -> list[dict[str, Any]]:
        """What the script shall do; the wheel lies beside its job file."""
        modules = [
            (path, to.bytecode(path), data.offset, data.packed, data.size, data.method != STORED, data.crc)
            for path, data in self.modules.items()
        ]
        return [
            {
                "wheel": f"/mnt/{self.key}.whl",
                "prefix": to.prefix,
                "modules": modules[start : start + PART],
                "out": f"/mnt/{self.key}.{number}.part",
            }
            for number, start in enumerate(range(0, len(modules), PART))
        ]


class CompileJob:
    """A run of the script. Its folder goes away with it."""

    def __init__(self, plans: list[Plan], base: BaseImage, to: Place) -> None:
        self.plans, self.base, self.to, self.store = plans, base, to, place("bytecode", "")
        self.missing = {plan.key: len(plan.parts(to)) for plan in plans}
        self.made: dict[str, list[str]] = {plan.key: [""] * len(plan.parts(to)) for plan in plans}
        self.failure: BaseException | None = None
        self.news = Condition()
        self.process: subprocess.Popen[str] | None = None
        self.forbidden = ""  # what the kernel says that keeps the unpacked base's program from running
        self.folder: tempfile.TemporaryDirectory[str] | None = None
        self.thread: Thread | None = None

    def start(self) -> None:
        """Begin. Whoever made it stops it, even where this was interrupted half-way."""
        with disk_errors(self.store):
            self.store.mkdir(parents=True, exist_ok=True)
            self.folder = tempfile.TemporaryDirectory(prefix=".partial-", dir=self.store)
            self.job = Path(self.folder.name)
            self._fill(self.plans, self.to)
        python = f"{self.base.home}/python{self.to.python}"
        self.command = [python, "-s", "-S", "/mnt/bytecode.py", "/mnt/job", str(len(os.sched_getaffinity(0)))]
        self.errors: IO[str] = (self.job / "errors").open("w+", encoding="utf-8")
        root = rootfs.unpacked(self.base)
        try:  # here and not in the thread: the program ends with the one that started it
            self.process = rootfs.start(root, self.job, self.command, self.errors)
        except FileNotFoundError as error:
            self.forbidden = str(error)
        self.thread = Thread(target=self._work, daemon=True)
        self.thread.start()

    def wait(self, key: str) -> None:
        """Until that bytecode is kept, if it is made here; raises what went wrong."""
        with self.news:
            self.news.wait_for(lambda: self.failure or not self.missing.get(key))
        if self.failure and self.missing.get(key):
            raise self.failure

    def stop(self) -> None:
        """End it, whether it is done or not."""
        if self.process:
            self.process.kill()
        if self.thread and self.thread.ident:
            self.thread.join()
        if self.folder:
            self.folder.cleanup()

    def _fill(self, plans: list[Plan], to: Place) -> None:
        self.job.chmod(0o755)
        for plan in plans:
            try:
                (self.job / f"{plan.key}.whl").hardlink_to(plan.wheel)
            except OSError:
                shutil.copyfile(plan.wheel, self.job / f"{plan.key}.whl")
        parts = [part for plan in plans for part in plan.parts(to)]
        (self.job / "job").write_bytes(marshal.dumps(parts, 2))
        shutil.copyfile(SCRIPT, self.job / "bytecode.py")

    def _work(self) -> None:
        try:
            assert self.folder
            with disk_errors(self.store), self.folder, self.errors:
                self._run()
        except BaseException as error:
            with self.news:
                self.failure = error
                self.news.notify_all()

    def _run(self) -> None:
        code, words = self._followed(self.process) if self.process else (1, "")
        self.forbidden = self.forbidden or (rootfs.refusal(words) if code else "")
        if self.forbidden:
            code, words = in_container(self.job, self.base, self.command, self.forbidden)
            for path in sorted(self.job.glob("*.part")) if code == 0 else ():
                self._keep(path.name)
        if code or any(self.missing.values()):
            raise _failed(words)

    def _followed(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        """Keep each part as soon as it is written; the exit code, and what was said, in the end."""
        for line in process.stdout or ():
            self._keep(Path(line.strip()).name)
        code = process.wait()
        self.errors.seek(0)
        return code, self.errors.read()

    def _keep(self, name: str) -> None:
        """A part was written: `KEY.NUMBER.part`. With the last one of a wheel, its bytecode is there."""
        key, number, _ = name.split(".")
        path = self.job / name
        self.made[key][int(number)] = sha256_of(path)
        path.chmod(0o644)
        path.replace(self.store / name)
        if self.missing[key] == 1:
            write_note("bytecode", key, {"parts": self.made[key]})
        with self.news:
            self.missing[key] -= 1
            self.news.notify_all()


def _failed(words: str) -> HostLacks:
    lines = [line for line in words.splitlines() if line.strip()][-4:]
    if "No space left" in words:
        do = ["free some space, or choose another folder (ENVCTL_CACHE=DIR)"]
        return HostLacks("could not compile the modules: no space left", do=do)
    because = [Reason(text=line[:300], source="the base's Python") for line in lines]
    return HostLacks("the base's Python could not compile the modules", because=because)


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
