"""The store of bases: those that were made here, fetched from a registry, or read from the local daemon.

`store/bases` in the cache has an OCI layout for each digest and `DIGEST.json` beside it (what stands in the image).
`NAME.json` points to the newest base of a name that is made here, to what an index's digest led to, or to what a
daemon's image became.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from envctl.oci.base_image import BaseImage
from envctl.oci.blobs import Packed, read_all
from envctl.oci.content import IMAGE_NAME, NAME, digest_of
from envctl.oci.layout import image_of, read_layout
from envctl.oci.surveyed import InstalledPackage, Interpreter, Survey
from envctl.tree import cache_root, canonical_json, disk_errors, write_whole

HEX = 64


def store() -> Path:
    """The folder of all bases."""
    return cache_root() / "store" / "bases"


def folder_of(digest: str) -> Path:
    """Where the layout of a base is, once it is whole."""
    return store() / digest.removeprefix("sha256:")


def base_image(stored: Packed, name: str) -> BaseImage:
    """The base that a stored image is; its layers are read once in the cache's life, to see what stands in them."""
    digest = digest_of(stored.manifest)
    record = folder_of(digest).with_suffix(".json")
    found = _recorded(record)
    if found is None:
        from envctl.oci.survey import survey

        found = survey(image_of(stored).layers, json.loads(read_all(stored.config)))
        write_whole(record, canonical_json(asdict(found)))
    return BaseImage(
        image=image_of(stored, found.tar_sizes),
        digest=digest,
        name=name,
        interpreters=found.interpreters,
        packages=found.packages,
        folders=frozenset(found.folders),
    )


def _recorded(path: Path) -> Survey | None:
    try:
        data = json.loads(path.read_bytes())
        packages = tuple(InstalledPackage(**each) for each in data.pop("packages"))
        interpreters = tuple(Interpreter(**each) for each in data.pop("interpreters"))
        folders = tuple(data.pop("folders"))
        return Survey(packages=packages, interpreters=interpreters, folders=folders, **data)
    except (OSError, ValueError, TypeError, KeyError):  # not there, or written by another version: read them again
        return None


def stored_base(digest: str, name: str = "") -> BaseImage | None:
    """The base of that digest, when the store has it."""
    folder = folder_of(digest)
    return base_image(read_layout(folder, digest), name or digest) if digest and folder.is_dir() else None


def newest(name: str) -> str:
    """The digest that a name points to (the newest base that was made here under it); "" for none."""
    try:
        return str(json.loads(_pointer(name).read_bytes())["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def point_to(name: str, digest: str) -> None:
    """Say which base is the newest of a name."""
    write_whole(_pointer(name), canonical_json({"name": name, "digest": digest}))


def _pointer(name: str) -> Path:
    return store() / f"{re.sub('[^A-Za-z0-9.]', '-', name)}.json"


def stored_bases() -> list[tuple[str, str]]:
    """Every base in the store as (digest, name it was made or fetched under), sorted by name."""
    found = []
    for folder in store().glob("*/"):
        if len(folder.name) == HEX and (folder / "index.json").is_file():
            entry = json.loads((folder / "index.json").read_bytes())["manifests"][0]
            named = entry.get("annotations", {})
            found.append((f"sha256:{folder.name}", named.get(IMAGE_NAME) or named.get(NAME, "")))
    return sorted(found, key=lambda each: (each[1], each[0]))


@contextmanager
def being_made(key: str) -> Iterator[Path]:
    """A folder to make a layout in, alone; what an earlier, killed attempt left in it is still there."""
    from filelock import FileLock

    with disk_errors(store()):
        store().mkdir(parents=True, exist_ok=True)
    with FileLock(store() / f".lock-{key}"):
        folder = store() / f".partial-{key}"
        with disk_errors(folder):
            folder.mkdir(exist_ok=True)
            yield folder


def publish(folder: Path, digest: str) -> None:
    """Make a finished layout the base of that digest, in one step."""
    target = folder_of(digest)
    if target.is_dir():  # the same bytes were made before
        shutil.rmtree(folder)
        return
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o444)
    folder.rename(target)
