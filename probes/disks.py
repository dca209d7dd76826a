"""Print one JSON document: room, inodes and rights where envctl, pip, uv and Docker write.

Each place is asked in a child of its own: a network disk that is gone hangs whoever looks at it.
"""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from machine import Child, fact, main

SECONDS = 0.8
VARIABLES = (
    "HOME", "TMPDIR", "TEMP", "TMP", "ENVCTL_CACHE", "XDG_CACHE_HOME", "UV_CACHE_DIR", "PIP_CACHE_DIR",
)  # fmt: skip
DAEMON = "/etc/docker/daemon.json"


def variables():
    found = {name: os.environ[name] for name in VARIABLES if os.environ.get(name)}
    found.setdefault("HOME", os.path.expanduser("~"))
    return found


def docker_root(machine):
    """Where Docker keeps images; None where there is no Docker."""
    try:
        chosen = json.loads(machine.read(DAEMON)).get("data-root")
    except (OSError, ValueError, AttributeError):
        chosen = None
    return chosen or ("/var/lib/docker" if machine.stat("/var/lib/docker") or machine.stat("/etc/docker") else None)


def places(machine, known):
    """What is written there -> folder."""
    home = known.get("HOME", "/")
    caches = known.get("XDG_CACHE_HOME", home + "/.cache")
    found = {
        "system": "/",
        "temporary files": known.get("TMPDIR") or known.get("TEMP") or known.get("TMP") or "/tmp",
        "envctl's cache": known.get("ENVCTL_CACHE", caches + "/envctl"),
        "uv's cache": known.get("UV_CACHE_DIR", caches + "/uv"),
        "pip's cache": known.get("PIP_CACHE_DIR", caches + "/pip"),
        "Docker's images": docker_root(machine),
    }
    return {name: os.path.expanduser(path) for name, path in found.items() if path}


def disk(path):
    """Room and rights at a folder, or at the nearest one above it that is there."""
    there = path
    while not os.path.exists(there) and os.path.dirname(there) != there:
        there = os.path.dirname(there)
    room = os.statvfs(there)
    return {
        "at": there,
        "there": there == path,
        "folder": os.path.isdir(there),
        "total": room.f_blocks * room.f_frsize,
        "free": room.f_bavail * room.f_frsize,
        "inodes": room.f_files,
        "inodes_free": room.f_favail,
        "read_only": bool(room.f_flag & os.ST_RDONLY),
        "noexec": bool(room.f_flag & os.ST_NOEXEC),
        "writable": os.access(there, os.W_OK | os.X_OK),
        "owner": os.stat(there).st_uid,
        "mine": os.stat(there).st_uid == os.getuid(),
        "device": os.stat(there).st_dev,
    }


def facts(machine):
    known, error = machine.call("disk variables", variables)
    if error:
        yield fact("disks", None, "environ", error)
        yield fact("tmpdir", None, "TMPDIR", error)
        return
    wanted = places(machine, known)
    paths = sorted(set(wanted.values()))
    asked = {} if machine.root else {path: Child(lambda path=path: disk(path)) for path in paths}
    answers = {path: machine.call("disk:" + path, lambda path=path: asked[path].answer(SECONDS)) for path in paths}
    disks = {name: dict(answers[path][0] or {}, path=path, error=answers[path][1]) for name, path in wanted.items()}
    yield fact("disks", disks, "statvfs")
    yield fact("tmpdir", known.get("TMPDIR", ""), "TMPDIR")


if __name__ == "__main__":
    main(facts)
