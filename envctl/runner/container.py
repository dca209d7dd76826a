"""The container of a worker: what it sees, who it is, what it may have; as the SDK's options and as a command."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from envctl.environment import Environment
from envctl.errors import BadInput, HostLacks, Reason
from envctl.job import Job
from envctl.oci import PREFIX
from envctl.runner import VARIABLES, WORKER
from envctl.runner.gpu_request import as_flags

NOBODY = 65534
# what a container brings itself, and cannot do its work with another one's
OWN = (PREFIX, "/bin", "/dev", "/etc", "/lib", "/lib64", "/proc", "/sbin", "/sys", "/usr/bin", "/usr/lib", "/usr/sbin")


def user() -> str:
    """The caller, or nobody when the caller is root."""
    return f"{os.getuid()}:{os.getgid()}" if os.getuid() else f"{NOBODY}:{NOBODY}"


def hand_over(folder: Path) -> None:
    """Give the job folder to the user the container runs as."""
    if os.getuid() == 0:
        for path in [folder, *folder.rglob("*")]:
            with suppress(FileNotFoundError):  # inputs are being written meanwhile, under other names first
                os.chown(path, NOBODY, NOBODY)


def check_readable(job: Job) -> None:
    """Raise when the container's user, who is not root, could not read the model."""
    models = [path for path in (job.source, *job.companions) if path.is_file() and path.stat().st_uid != NOBODY]
    closed = [path for path in models if not path.stat().st_mode & 0o004]
    if os.getuid() == 0 and closed:
        because = [Reason(text=f"root's containers run as nobody, and {closed[0].name} is readable for its owner only")]
        do = [f"chmod o+r {closed[0]}", "or use --runner local"]
        raise HostLacks(f"a container may not read {closed[0]}", because=because, do=do)


def shared_folder(here: Path) -> list[str]:
    """The options that make a folder of this machine writable at the same place in a container. Raises `BadInput` where
    the container has its own things."""
    if Path(PREFIX).is_relative_to(here) or here == Path("/usr") or any(here.is_relative_to(own) for own in OWN):
        because = [Reason(text="programs and libraries in the container would be hidden by this machine's")]
        do = ["go to your project's folder first", "or take the local runner: --runner local"]
        raise BadInput(f"a container cannot share the folder {here}", because=because, do=do)
    temporary = [] if here == Path("/tmp") else ["--tmpfs=/tmp"]
    return [*temporary, as_bind(str(here), str(here)), f"--workdir={here}"]


def as_bind(source: str, target: str, more: str = "") -> str:
    """The option of `docker run` for a bind mount (`--volume` takes no path with a colon): comma-separated values."""
    fields = ["type=bind", f"source={source}", f"target={target}", *([more] if more else [])]
    return "--mount=" + ",".join(map(_csv, fields))


def _csv(field: str) -> str:
    return '"' + field.replace('"', '""') + '"' if set(field) & set(',"') else field


def environment_mounts(environment: Environment) -> list[tuple[str, str]]:
    """The staged folder and its parts where the image would have them; nothing where the image itself is there."""
    if environment.image:
        return []
    parts = [(str(part), f"{PREFIX}/{path}") for path, part in environment.parts.items()]
    return [(str(environment.prefix), PREFIX), *parts]


def mounts(job: Job, environment: Environment) -> list[tuple[str, str]]:
    """What a worker may read: (path here, path inside)."""
    beside = [(path, path.relative_to(job.source.parent)) for path in (job.source, *job.companions)]
    sources = [(str(path.resolve()), f"/source/{relative}") for path, relative in beside]
    return [*environment_mounts(environment), (str(WORKER), "/opt/worker"), *sources]


def shut_in(job: Job, mounts: list[tuple[str, str]]) -> dict[str, Any]:
    """The SDK's options: no network, nothing to write but the job's folder, no rights, and the job's limits."""
    from docker.types import Mount

    binds = [Mount(target, here, type="bind", read_only=True) for here, target in mounts]
    return {
        "mounts": [*binds, Mount("/job", str(job.folder), type="bind")],
        "network_mode": "none",
        "read_only": True,
        "init": True,  # as process 1 the worker would not die by its own signals, its alarm among them
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "user": user(),
        "working_dir": "/job",
        "mem_limit": job.limits.memory,
        "memswap_limit": job.limits.memory,
        "pids_limit": job.limits.processes,
        "environment": VARIABLES,
    }


def as_command(image: str, inside: list[str], mounts: list[tuple[str, str]], job: Job, gpus: list[Any]) -> list[str]:
    """The same container as a command line, for reproduce.sh."""
    flags = ["--init", "--network=none", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
    flags += [f"--user={user()}", f"--memory={job.limits.memory}", f"--memory-swap={job.limits.memory}"]
    flags += [f"--pids-limit={job.limits.processes}", "--workdir=/job", as_bind(str(job.folder), "/job")]
    flags += [f"--env={name}={value}" for name, value in VARIABLES.items()]
    flags += [flag for each in gpus for flag in as_flags(each)]
    flags += [as_bind(here, target, "readonly") for here, target in mounts]
    return ["docker", "run", "--rm", *flags, image, *inside]
