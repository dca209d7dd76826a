"""Runners: where a worker's process is started. One protocol, and a list that can be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from envctl.aliases import Indexes
from envctl.environment import Environment
from envctl.job import Job, Result
from envctl.lock import Lock

if TYPE_CHECKING:
    from envctl.oci.base_image import BaseImage

# What every worker's environment variables are. Nothing of the caller's shell reaches an engine: a stray
# LD_LIBRARY_PATH would change what was pinned. numpy does no algebra here: without the cap its import starts a thread
# a core, which costs more than all the rest of the import.
VARIABLES = {"LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1"}
WORKER = Path(__file__).resolve().parent.parent / "worker"


class Runner(Protocol):
    """Starts jobs and commands inside environments. `stop` ends whatever is running, from any thread."""

    name: str

    def why_not(self) -> str | None:
        """Why this runner cannot be used here, or None when it can."""

    def pythons(self) -> dict[str, str]:
        """The minor versions of CPython that environments can have here, best first, with what brings each."""

    def glibc(self, python: str) -> str | None:
        """The C library under an environment of that Python; None: the host's."""

    def environment(
        self, lock: Lock, indexes: Indexes, base: BaseImage | None, *, offline: bool, say: Callable[[str], None]
    ) -> Environment:
        """The environment of a lock in the form this runner needs, found or made. A container stands on `base`; None:
        on the newest that is here of its Python."""

    def has(self, lock: Lock) -> bool | None:
        """Whether the environment of a lock is there; None where that is not told without making it."""

    def run(self, job: Job, environment: Environment) -> Result:
        """Do a job to its end: also death and time-out are results."""

    def command(self, arguments: list[str], environment: Environment, device: str) -> int:
        """Run a program of the user's choice inside the environment, in the current folder; its exit code. With the
        device "cuda" it gets the GPUs."""

    def stop(self) -> None:
        """Kill what is running, and whatever is started from now on."""


def runners() -> list[Runner]:
    """All runners, in the order in which `auto` tries them."""
    from envctl.runner.docker import DockerRunner
    from envctl.runner.local import LocalRunner

    return [DockerRunner(), LocalRunner()]
