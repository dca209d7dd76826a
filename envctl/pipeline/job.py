"""What CI does: one job that checks the locks for drift, and one for each target that verifies the model in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# the label of a machine that GitHub has for a platform
RUNNERS = {"x86_64": "ubuntu-24.04", "aarch64": "ubuntu-24.04-arm"}


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedTarget:
    """A target of a lock: its name (empty where the file has none), CPython and platform."""

    name: str
    python: str
    platform: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedFile:
    """A lock as CI sees it: where it lies in the repository, the SHA-256 of its bytes, its targets."""

    path: str
    sha256: str
    targets: tuple[LockedTarget, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One target's job. `image` is a reference by digest, or empty: then the environment is made on the runner."""

    name: str
    lock: LockedFile
    target: LockedTarget
    image: str
    labels: tuple[str, ...]

    @property
    def variables(self) -> dict[str, str]:
        """What the scripts of `steps` read. The target is left out where the lock has one only."""
        return {
            "LOCK": self.lock.path,
            "LOCK_SHA256": self.lock.sha256,
            "TARGET": self.target.name if len(self.lock.targets) > 1 else "",
            "PYTHON": self.target.python,
            "RUNNER": "docker" if self.image else "local",
            "IMAGE": self.image,
        }

    @property
    def cache(self) -> str:
        """The key of what the job keeps: the lock's digest and the target."""
        return f"envctl-{self.lock.sha256[:32]}-{self.name}"

    def as_data(self) -> dict[str, Any]:
        """The job for `--json`."""
        plain = {"lock": self.lock.path, "lock_sha256": self.lock.sha256, "target": self.target.name}
        machine = {"python": self.target.python, "platform": self.target.platform, "runs_on": list(self.labels)}
        return {"name": self.name, "image": self.image or None, "cache": self.cache, **plain, **machine}


@dataclass(frozen=True, kw_only=True, slots=True)
class Pipeline:
    """Everything that a CI file says. `command` wrote it; `requirements` is where envctl itself is pinned by hash."""

    command: str
    locks: tuple[LockedFile, ...]
    jobs: tuple[Job, ...]
    model: str
    requirements: str
    login: bool
    labels: tuple[str, ...]
    job_image: str


def registry_of(image: str) -> str:
    """The host in a reference, or nothing where it names none."""
    first, slash, _ = image.partition("/")
    return first if slash and (set(first) & set(".:") or first == "localhost") else ""
