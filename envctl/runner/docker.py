"""Workers in containers: no network, read-only root, no capabilities, an ordinary user, caps; the environment's image
where it was built, else its files mounted read-only into a base, so that nothing has to be baked to run it once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envctl.aliases import Indexes
from envctl.base import Base, base_for, bases
from envctl.environment import Environment, find_or_stage
from envctl.errors import HostLacks, Reason
from envctl.job import Job, Result
from envctl.lock import Lock
from envctl.oci import PREFIX
from envctl.runner.container import (
    as_bind,
    as_command,
    check_readable,
    environment_mounts,
    hand_over,
    mounts,
    shared_folder,
    shut_in,
)
from envctl.runner.gpu_request import as_flags, device_request
from envctl.runner.outcome import outcome, write_reproduce

if TYPE_CHECKING:
    from envctl.oci.base_image import BaseImage

PING_SECONDS = 3
CALL_SECONDS = 120  # a busy daemon takes its time to make a container
LABEL = "envctl.job"
DENIED = "Permission denied"


class DockerRunner:
    """Makes containers through the Docker SDK, and asks the daemon all else directly: the SDK takes 0.2 s to import."""

    name = "docker"

    def __init__(self) -> None:
        self.running: set[str] = set()  # names of containers
        self.stopped = False
        self.loading = threading.Lock()  # target and reference want the same base at the same time
        self.images: dict[str, str] = {}  # Python -> id of the base that environments for it stand on
        self.given: dict[Path, str] = {}  # an environment's folder -> id of the base that was given for it

    @cached_property
    def client(self) -> Any:
        import docker

        return docker.from_env(timeout=CALL_SECONDS)

    @cached_property
    def present(self) -> frozenset[str]:
        """The names of the bases that are here: in the store, or in this daemon under their tags."""
        from envctl.oci import daemon
        from envctl.oci.bases import newest, stored_base

        tags = {tag for image in daemon.get("/images/json") for tag in image["RepoTags"] or ()}
        return frozenset(each.name for each in bases() if each.tag in tags or stored_base(newest(each.name)))

    def why_not(self) -> str | None:
        from envctl.oci import daemon

        if not _may_answer():
            return "no Docker socket"
        try:
            daemon.ping(PING_SECONDS)
        except HostLacks as error:
            why = "; ".join([error.what, *(reason.text for reason in error.because)])
            return "this user may not talk to Docker (is it in the group docker?)" if DENIED in why else why
        if not self.present:
            return f"Docker answers, but has no base image yet (envctl base {bases()[0].name})"
        return None

    def pythons(self) -> dict[str, str]:
        return {base.python: base.tag for base in bases() if base.name in self.present}

    def glibc(self, python: str) -> str | None:
        base = base_for(python)
        return base.glibc if base else None

    def environment(
        self, lock: Lock, indexes: Indexes, base: BaseImage | None, *, offline: bool, say: Callable[[str], None]
    ) -> Environment:
        if base is None:
            return find_or_stage(lock, self._base_in_docker(_base(lock), say), indexes, offline=offline, say=say)
        from envctl.image import given_to_docker

        made = find_or_stage(lock, base, indexes, offline=offline, say=say)
        if not made.image:
            with self.loading:
                self.given[made.folder] = given_to_docker(base, say)
        return made

    def has(self, lock: Lock) -> bool | None:
        return None

    def _base_in_docker(self, base: Base, say: Callable[[str], None]) -> BaseImage:
        """The base that is here; the daemon has it afterwards, without being asked to save what the store has."""
        from envctl.image import here, in_docker

        with self.loading:
            found = here(base, say)
            if base.python not in self.images:
                self.images[base.python] = in_docker(base, found, say)
        return found

    def run(self, job: Job, environment: Environment) -> Result:
        from docker.errors import APIError

        image = self._image(environment)
        hand_over(job.folder)
        source = f"/source/{job.source.name}"
        inside = [f"{PREFIX}/bin/python", "-I", "/opt/worker", "/job", source, "--contained"]
        check_readable(job)
        seen = mounts(job, environment)
        gpus = self._gpus(job.options.get("device"))
        write_reproduce(job, as_command(image, inside, seen, job, gpus), {})
        options = shut_in(job, seen) | {"device_requests": gpus}
        name = f"envctl-{os.urandom(8).hex()}"
        self.running.add(name)
        try:
            return self._to_its_end(job, self._start(name, image, inside, options))
        except APIError:
            if not self.stopped:
                raise
            return outcome(job, 128 + signal.SIGKILL, timed_out=False)  # `stop` took the container away
        finally:
            self.running.discard(name)
            self._remove(name)

    def _gpus(self, device: object) -> list[Any]:
        """What a container is given beside its files; raises `HostLacks` where it needs a GPU and cannot have one."""
        from envctl.oci import daemon

        return [device_request(daemon.get("/info"))] if device == "cuda" else []

    def _image(self, environment: Environment) -> str:
        """The image to start: the environment's own, else the base that it is mounted into."""
        python, image = environment.lock.python, environment.image or self.given.get(environment.folder)
        if not image and python not in self.images:
            self._base_in_docker(_base(environment.lock), _silent)
        return image or self.images[python]

    def _start(self, name: str, image: str, inside: list[str], options: dict[str, Any]) -> Any:
        from docker.errors import APIError

        labels = {LABEL: str(os.getpid())}
        try:
            container = self.client.containers.create(image, inside, name=name, labels=labels, **options)
            if not self.stopped:
                container.start()
        except APIError as error:
            if self.stopped:
                raise
            because = [Reason(text=str(error.explanation or error)[:300], source="Docker")]
            raise HostLacks("Docker could not start the worker", because=because, do=["try --runner local"]) from error
        return container

    def _to_its_end(self, job: Job, container: Any) -> Result:
        import requests

        try:
            # the SDK waits in an HTTP request: its time-out is the job's
            code = container.wait(timeout=job.limits.seconds)["StatusCode"]
        except (requests.exceptions.ConnectionError, requests.exceptions.Timeout):
            return outcome(job, 0, timed_out=True)
        container.reload()
        _keep_log(job, container)
        return outcome(job, code, timed_out=False, killed_for_memory=container.attrs["State"]["OOMKilled"])

    def command(self, arguments: list[str], environment: Environment, device: str) -> int:
        """Through the docker program, which handles terminals; the current folder is writable, the network is off."""
        docker = shutil.which("docker")
        if docker is None:
            raise HostLacks("the docker program is not installed", do=["install it, or use --runner local"])
        flags = ["--rm", "--init", "-i", "--network", "none", "--read-only", *shared_folder(Path.cwd())]
        flags += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--user", f"{os.getuid()}:{os.getgid()}"]
        flags += ["-t"] if os.isatty(0) and os.isatty(1) else []
        flags += [flag for each in self._gpus(device) for flag in as_flags(each)]
        flags += ["-e", f"PATH={PREFIX}/bin:/usr/bin:/bin", "-e", "HOME=/tmp"]
        flags += [as_bind(host, target, "readonly") for host, target in environment_mounts(environment)]
        name = f"envctl-{os.urandom(8).hex()}"
        flags += ["--name", name, "--label", f"{LABEL}={os.getpid()}"]
        try:
            return subprocess.run([docker, "run", *flags, self._image(environment), *arguments], check=False).returncode
        except BaseException:  # Ctrl-C ends the program `docker`, not the container
            self._remove(name)
            raise

    def stop(self) -> None:
        self.stopped = True
        for name in list(self.running):
            self._remove(name)

    def _remove(self, name: str) -> None:
        from docker.errors import APIError

        try:
            self.client.api.remove_container(name, force=True)
        except APIError as error:  # gone already, or another thread is at it
            if error.response is not None and error.response.status_code not in (404, 409):
                raise


def _may_answer() -> bool:
    """Whether there is somebody to ask: an address is set, or the usual socket is there."""
    if os.environ.get("DOCKER_HOST"):
        return True
    rootless = Path(os.environ.get("XDG_RUNTIME_DIR", "/nowhere")) / "docker.sock"
    return Path("/var/run/docker.sock").exists() or rootless.exists()


def _base(lock: Lock) -> Base:
    base = base_for(lock.python)
    if base is None:
        raise HostLacks(f"no base image brings CPython {lock.python}", do=["use --runner local"])
    return base


def _silent(_text: str) -> None:
    """Say nothing."""


def _keep_log(job: Job, container: Any) -> None:
    """What the process printed before it opened its own log: a loader's message, say."""
    text = container.logs(tail=200)
    if text:
        with (job.folder / "container.log").open("wb") as stream:
            stream.write(text)
