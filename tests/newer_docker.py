"""A real Docker of Debian 13 whose images lie in containerd's store, beside this host's daemon and apart from it.

mmdebstrap makes its tree; it runs with that tree as its root, in mount and PID namespaces of its own: whatever ends it,
its mounts and processes end with it. By hand: docs/images.md.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

APART = ["unshare", "--mount", "--propagation=private"]
PACKAGES = "docker.io,iptables,ca-certificates"
CONTAINERD = """version = 2
root = "/daemon/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "/run/containerd.sock"
"""
# runc wants a root that is a mount; `$2` and what follows it are folders that containers may be given
START = """set -e
mount --bind "$1" "$1"; cd "$1"
mount -t proc proc proc; mount --rbind /sys sys; mount --rbind /dev dev; mount -t tmpfs tmpfs run
tree=$1; shift
for shared; do mkdir -p "$tree$shared"; mount --bind "$shared" "$tree$shared"; done
pivot_root . mnt; umount -l /mnt
containerd --config /daemon/containerd.toml &
until [ -S /run/containerd.sock ]; do sleep 0.1; done
exec dockerd --config-file /daemon/docker.json
"""


@contextmanager
def newer_docker(folder: Path, shared: list[Path], cdi: Path | None = None) -> Iterator[str]:
    """The address of a daemon that sees the `shared` folders, and CDI specifications in `cdi`.

    Fails, with its log, where none can be had.
    """
    tree, log = folder / "tree", folder / "log"
    command = [*APART, "mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", "--format=directory", "trixie"]
    made = subprocess.run([*command, str(tree)], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr[-2000:]
    _configure(tree, folder, cdi)
    start = [*APART, "--pid", "--fork", "--kill-child", "sh", "-c", START, "sh", str(tree)]
    with log.open("wb") as stream:
        process = subprocess.Popen([*start, str(folder), *map(str, shared)], stdout=stream, stderr=stream)
    try:
        _await(folder / "docker.sock", process, log)
        yield f"unix://{folder}/docker.sock"
    finally:
        process.kill()
        process.wait()
        _remove(tree)


def _configure(tree: Path, folder: Path, cdi: Path | None) -> None:
    (tree / "daemon").mkdir()
    (tree / "daemon/containerd.toml").write_text(CONTAINERD)
    options: dict[str, object] = {
        "features": {"containerd-snapshotter": True, "cdi": cdi is not None},
        "cdi-spec-dirs": [str(cdi)] if cdi else [],
        "containerd": "/run/containerd.sock",
        "data-root": "/daemon/docker",
        "exec-root": "/run/docker",
        "pidfile": "/run/docker.pid",
        "hosts": [f"unix://{folder}/docker.sock"],
        "bridge": "none",
        "iptables": False,
    }
    (tree / "daemon/docker.json").write_text(json.dumps(options))


def _await(socket: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    variables = {**os.environ, "DOCKER_HOST": f"unix://{socket}"}
    for _ in range(600):
        done = subprocess.run(["docker", "version"], env=variables, capture_output=True, check=False)
        if done.returncode == 0:
            return
        assert process.poll() is None, log.read_text()[-3000:]
        time.sleep(0.1)
    raise AssertionError(log.read_text()[-3000:])


def _remove(tree: Path) -> None:
    """Take the tree away; its mounts were never this host's."""
    assert str(tree) not in Path("/proc/mounts").read_text()
    for _ in range(100):  # the last processes of the namespace may be ending
        shutil.rmtree(tree, ignore_errors=True)
        if not tree.exists():
            return
        time.sleep(0.1)
    raise AssertionError(f"{tree} is still there")
