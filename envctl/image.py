"""Base images: made here from Debian packages, so that neither a registry nor anybody's tag is trusted."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from envctl.errors import BadInput, HostLacks, Reason
from envctl.spec import Base, bases


def base_named(name: str) -> Base:
    """The base of that name; raises `BadInput` with the names there are."""
    for base in bases():
        if base.name == name:
            return base
    raise BadInput(f"unknown base {name!r}", do=[f"one of: {', '.join(base.name for base in bases())}"])


def make_base(base: Base, say: Callable[[str], None]) -> str:
    """Make a base with mmdebstrap and import it into the Docker daemon; the image's id comes back."""
    for tool, package in (("mmdebstrap", "mmdebstrap"), ("docker", "docker.io")):
        if not shutil.which(tool):
            raise HostLacks(f"{tool} is not installed", do=[f"apt-get install {package}"])
    with tempfile.TemporaryDirectory(prefix="envctl-base-") as folder:
        archive = Path(folder) / "base.tar"
        say(f"making {base.name} with CPython {base.python} (about half a minute)")
        include = f"--include={','.join(base.packages)}"
        _run(["mmdebstrap", "--variant=minbase", include, base.suite, str(archive)], "make the base")
        say("importing it into Docker")
        return _run(["docker", "import", str(archive), base.tag], "import the base").strip()


def _run(command: list[str], step: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()][-4:]
        raise HostLacks(f"could not {step}", because=[Reason(text=line, source=command[0]) for line in lines])
    return done.stdout
