"""Checks of the places that are written to: room, inodes, rights, and whether programs may be run from them."""

from __future__ import annotations

from typing import Any

from envctl.doctor.check import Check, Facts, Finding, Level, Unknown, ok
from envctl.doctor.checks.sizes import INODES_FAIL, INODES_WARN, ROOM, WORK, size

ROOM_SOURCE = "https://github.com/NVIDIA-NeMo/Speech/issues/1029"
EXEC_SOURCE = "https://github.com/pypa/pip-audit/issues/732"
# place -> variable that moves it
VARIABLES = {
    "temporary files": "TMPDIR",
    "envctl's cache": "ENVCTL_CACHE",
    "uv's cache": "UV_CACHE_DIR",
    "pip's cache": "PIP_CACHE_DIR",
}
FREE = {  # place -> how it is emptied
    "temporary files": "export TMPDIR=/path/with/room",
    "uv's cache": "uv cache prune",
    "pip's cache": "pip cache purge",
    "Docker's images": "docker system prune (or move data-root in /etc/docker/daemon.json)",
}
IMAGES = "Docker's images"
MUST_WRITE = ("temporary files", "envctl's cache")
SILENT = "no answer within"  # the probe's words
Place = dict[str, Any]


def _places(facts: Facts) -> dict[str, Place]:
    """What could be looked at, by what is written there; raises `Unknown` where that is nothing."""
    disks = facts.need("disks")
    known = {name: place for name, place in disks.items() if not place["error"]}
    if not known:
        raise Unknown(f"no disk could be looked at: {next((p['error'] for p in disks.values()), 'none was named')}")
    return known


def answers(facts: Facts) -> Finding:
    """Whether every place answers: a network disk that is gone hangs whoever touches it."""
    silent = {name: place for name, place in facts.need("disks").items() if SILENT in (place["error"] or "")}
    if not silent:
        return ok("every place that is written to answers", *(f"{p['path']} = answers" for p in _distinct(facts)))
    name, place = next(iter(silent.items()))
    return Finding(
        level="FAIL",
        said=f"the disk under {place['path']} ({name}) does not answer: programs that touch it hang",
        evidence=tuple(f"{place['path']} = {place['error']}" for place in silent.values()),
        affects=tuple(WORK[name] for name in silent),
        fix=(f"umount -l {place['path']} and mount it again", *_elsewhere(name)),
        needs_root=True,
    )


def _distinct(facts: Facts) -> list[Place]:
    return list({place["at"]: place for place in _places(facts).values()}.values())


def _elsewhere(name: str) -> tuple[str, ...]:
    return (f"export {VARIABLES[name]}=/path/elsewhere",) if name in VARIABLES else ()


def room(facts: Facts) -> Finding:
    """Whether there is room for environments, packages and images."""
    places = _places(facts)
    if facts.get("docker_disk"):  # the engine itself says where its images are: dk.disk
        places = {name: place for name, place in places.items() if name != IMAGES}
    short = {name: place for name, place in places.items() if place["free"] < ROOM[name][1]}
    full = {name: place for name, place in short.items() if place["free"] < ROOM[name][0]}
    if not short:
        least = min(place["free"] for place in places.values())
        return ok(
            f"at least {size(least)} are free everywhere", *(_free(name, place) for name, place in places.items())
        )
    first = next(iter(full or short))
    return Finding(
        level="FAIL" if full else "WARN",
        said=f"{size(short[first]['free'])} are free for {first} ({short[first]['path']})"
        + (", too little for any engine" if full else f": the largest need {size(ROOM[first][1])}"),
        evidence=tuple(_free(name, place) for name, place in short.items()),
        affects=tuple(dict.fromkeys(WORK[name] for name in full or short)),
        fix=tuple(dict.fromkeys(_more_room(name, place) for name, place in (full or short).items())),
    )


def _free(name: str, place: Place) -> str:
    return f"statvfs {place['at']} = {size(place['free'])} free of {size(place['total'])} ({name})"


def _more_room(name: str, place: Place) -> str:
    move = f"export {VARIABLES[name]}=/path/with/room" if name in VARIABLES else ""
    return FREE.get(name) or move or f"find what fills it: du -xh {place['at']} | sort -h | tail"


def inodes(facts: Facts) -> Finding:
    """Whether files can still be made: a disk without inodes is full, whatever room is left."""
    shares = {name: _share(place) for name, place in _places(facts).items() if place["inodes"]}
    short = {name: share for name, share in shares.items() if share < INODES_WARN}
    if not short:
        return ok("inodes are left everywhere", f"statvfs = {min(shares.values(), default=1):.0%} of the inodes free")
    places = facts.need("disks")
    worst = min(short, key=lambda name: short[name])
    said = f"{short[worst]:.1%} of the inodes are left for {worst}: new files fail with `No space left on device`"
    level: Level = "FAIL" if short[worst] < INODES_FAIL else "WARN"
    evidence = tuple(f"statvfs {places[name]['at']} = {share:.1%} of the inodes free" for name, share in short.items())
    fix = (f"delete many small files: du --inodes -x {places[worst]['at']} | sort -n | tail",)
    affects = tuple(dict.fromkeys(WORK[name] for name in short))
    return Finding(level=level, said=said, evidence=evidence, affects=affects, fix=fix)


def _share(place: Place) -> float:
    return float(place["inodes_free"]) / float(place["inodes"])


def rights(facts: Facts) -> Finding:
    """Whether this user may write where envctl, pip and uv write."""
    places = {name: place for name, place in _places(facts).items() if name in VARIABLES}
    shut = {name: place for name, place in places.items() if not place["writable"] or not place["folder"]}
    if not shut:
        return ok("caches and temporary folders can be written", *(f"{p['at']} = writable" for p in places.values()))
    name, place = next(iter(shut.items()))
    return Finding(
        level="FAIL" if set(MUST_WRITE) & set(shut) else "WARN",
        said=f"{place['path']} ({name}) cannot be written: {_why(place)}",
        evidence=tuple(f"{place['at']} = {_why(place)}" for place in shut.values()),
        affects=tuple(dict.fromkeys(WORK[name] for name in shut)),
        fix=tuple(_give_back(name, place) for name, place in shut.items()),
        needs_root=any(not place["read_only"] and not place["mine"] for place in shut.values()),
    )


def _why(place: Place) -> str:
    if not place["folder"]:
        return f"{place['at']} is a file"
    if place["read_only"]:
        return "mounted read-only"
    return "another user's" if not place["mine"] else "its rights forbid it"


def _give_back(name: str, place: Place) -> str:
    if not place["folder"] or place["read_only"]:
        return f"export {VARIABLES[name]}=/path/elsewhere"
    return f"chmod u+rwx {place['at']}" if place["mine"] else f"sudo chown -R $(id -u):$(id -g) {place['at']}"


def temporary(facts: Facts) -> Finding:
    """Whether TMPDIR names a folder: one that is not there is passed over without a word, by some programs."""
    chosen = facts.need("tmpdir")
    place = facts.need("disks")["temporary files"]
    if not chosen or place["error"] or place["there"]:
        return ok("the folder for temporary files is there", f"TMPDIR = {chosen or 'not set'}")
    said = f"TMPDIR is {chosen}, which is not there: pip and engines take another folder, or fail"
    evidence = (f"TMPDIR = {chosen}", f"stat {chosen} = not there")
    affects = ("installing packages", "engines that write kernels to disk")
    return Finding(level="WARN", said=said, evidence=evidence, affects=affects, fix=(f"mkdir -p {chosen}",))


def execution(facts: Facts) -> Finding:
    """Whether libraries can be loaded from where environments are made."""
    places = {name: place for name, place in _places(facts).items() if name in MUST_WRITE}
    closed = {name: place for name, place in places.items() if place["noexec"]}
    if not closed:
        return ok("libraries can be loaded from caches", *(f"{p['at']} = without noexec" for p in places.values()))
    name, place = next(reversed(closed.items()))
    cache = "envctl's cache" in closed
    return Finding(
        level="FAIL" if cache else "WARN",
        said=f"{place['at']} ({name}) is mounted noexec: libraries there fail to load "
        "(`failed to map segment from shared object`)",
        evidence=tuple(f"statvfs {place['at']} = noexec" for place in closed.values()),
        affects=("the local runner",) if cache else ("building packages",),
        fix=(f"export {VARIABLES[name]}=/path/elsewhere", f"sudo mount -o remount,exec {place['at']}"),
        needs_root=False,
    )


CHECKS: tuple[Check, ...] = (
    Check(id="disk.answers", title="Disks answer", rule=answers),
    Check(id="disk", title="Room on disks", rule=room, after=("disk.answers",), source=ROOM_SOURCE),
    Check(id="disk.inodes", title="Inodes", rule=inodes, after=("disk.answers",)),
    Check(id="disk.rights", title="Rights to write", rule=rights, after=("disk.answers",)),
    Check(id="disk.tmpdir", title="TMPDIR", rule=temporary, after=("disk.answers",)),
    Check(id="disk.exec", title="Programs on disks", rule=execution, after=("disk.answers",), source=EXEC_SOURCE),
)
