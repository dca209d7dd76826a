"""An environment staged, mounted and a module imported in it, as `envctl run` does it: stage.py LOCK MODULE

A program of its own, for build.py: that one imports pytest, which no user of envctl waits for.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from envctl import environment, image, lock
from envctl.aliases import Indexes
from envctl.runner.container import as_bind, environment_mounts


def main(path: Path, module: str) -> None:
    locked = lock.parse(path.read_text())
    known = image.base_bringing(locked.python)
    base = image.here(known, print)
    made = environment.find_or_stage(locked, base, Indexes(addresses={}), offline=True, say=print)
    command = ["docker", "run", "--rm", "--network", "none", "--read-only", "--tmpfs", "/tmp"]
    command += [as_bind(host, target, "readonly") for host, target in environment_mounts(made)]
    command += [image.in_docker(known, base, print)]
    subprocess.run([*command, "/opt/env/bin/python", "-c", f"import {module}"], check=True)


main(Path(sys.argv[1]), sys.argv[2])
