"""`envctl unbundle`: a bundle -> the cache: wheels by hash, kept locks, bases and images. What is there stays."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from envctl import lock, lockfile
from envctl.base import bases
from envctl.bundle.manifest import File, Manifest, Picture, load
from envctl.bundle.reading import blocks, check_there
from envctl.errors import BadInput, HostLacks, Reason
from envctl.oci.bases import point_to
from envctl.oci.store import checked, new_file, new_folder, place
from envctl.tree import cache_root, write_whole

Say = Callable[[str], None]
NEEDED = ("wheel", "lock", "answer", "oci")
LOCKFILES = "lockfiles"
FOLDERS = {"base": "bases", "image": "built"}
ANSWER = re.compile(r"[0-9a-f]{32}\.json")


@dataclass(kw_only=True)
class Unbundled:
    """What came of it: the bundle, how many files were new to the cache and how many it had, where the lock files are,
    kept answers that were replaced by other ones, and the names that Docker got."""

    manifest: Manifest
    new: int = 0
    there: int = 0
    locks: list[Path] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)


def unbundle(folder: Path, to_docker: bool, say: Say) -> Unbundled:
    """Fill the cache from a bundle; `to_docker` gives bases and images to the local daemon as well."""
    manifest = load(folder)
    files = tuple(file for file in manifest.files if set(file.roles) & set(NEEDED))
    check_there(folder, files)
    done = Unbundled(manifest=manifest)
    _wheels(folder, done, say)
    _pictures(folder, done, say)
    for file in manifest.of("answer"):
        _answer(folder, file, done)
    for file in manifest.of("lock"):
        _lock(folder, file, done)
    if to_docker:
        from envctl.workflow.bundle_load import into_docker

        done.loaded = into_docker([(each, layout_of(each)) for each in manifest.pictures], say)
    say("")
    return done


def layout_of(picture: Picture) -> Path:
    """Where the cache keeps the OCI layout of a base or an image."""
    return place(FOLDERS[picture.kind], picture.digest)


# --- wheels


def _wheels(folder: Path, done: Unbundled, say: Say) -> None:
    files = done.manifest.of("wheel")
    total, size = sum(file.size for file in files), 0
    for file in files:
        say(f"taking wheels: {size >> 20} of {total >> 20} MiB ({PurePosixPath(file.path).name})")
        final = place("wheels", f"{file.sha256}.whl")
        if _is_there(final, file):
            done.there += 1
        else:
            _copy(folder, file, final)
            done.new += 1
        size += file.size


def _is_there(final: Path, file: File) -> bool:
    """Whether the cache has it; a damaged one is taken away, to be copied anew."""
    if not final.is_file():
        return False
    try:
        checked(final, file.sha256, file.path)
    except HostLacks:
        return False
    return True


def _copy(folder: Path, file: File, final: Path) -> None:
    with new_file(final) as partial, partial.open("wb") as stream:
        for block in blocks(folder, file):
            stream.write(block)


# --- locks


def _text(folder: Path, file: File) -> str:
    return b"".join(blocks(folder, file)).decode("utf-8")


def _answer(folder: Path, file: File, done: Unbundled) -> None:
    """Keep an environment as the answer to its question."""
    name = PurePosixPath(file.path).name
    if not ANSWER.fullmatch(name):
        raise BadInput(f"{file.path} of the bundle is no answer's name")
    found = lock.parse(_text(folder, file))
    final = cache_root() / "locks" / name
    old = final.read_bytes() if final.is_file() else b""
    if old == found.text().encode():
        done.there += 1
        return
    write_whole(final, found.text())
    done.new += 1
    if old:
        done.replaced.append(name)


def _lock(folder: Path, file: File, done: Unbundled) -> None:
    """Keep a lock file, so that it is there when the bundle is not any more; under another name beside another one."""
    found = lockfile.parse(_text(folder, file), file.path)
    path = PurePosixPath(file.path)
    final = cache_root() / LOCKFILES / path.name
    if final.is_file() and final.read_bytes() != found.text().encode():
        final = final.with_name(f"{path.stem}-{found.digest[:12]}{path.suffix}")
    done.there += final.is_file()
    done.new += not final.is_file()
    write_whole(final, found.text())
    done.locks.append(final)


# --- bases and images


def _pictures(folder: Path, done: Unbundled, say: Say) -> None:
    blobs = {PurePosixPath(file.path).name: file for file in done.manifest.of("oci")}
    for picture in done.manifest.pictures:
        final = layout_of(picture)
        if (final / "index.json").is_file():
            done.there += 1
            continue
        say(f"taking the {picture.kind} {', '.join(picture.names) or picture.digest[:12]}")
        missing = [each for each in (*picture.blobs, picture.digest) if each not in blobs]
        if missing:
            because = [Reason(text=f"the bundle has no blob {missing[0]}")]
            raise BadInput(f"the {picture.kind} {picture.digest} is not whole", because=because)
        with new_folder(final) as partial:
            _layout(folder, picture, blobs, partial, done)
        for name in picture.names if picture.kind == "base" else ():
            point_to(_called(name), f"sha256:{picture.digest}")
        done.new += 1


def _layout(folder: Path, picture: Picture, blobs: dict[str, File], into: Path, done: Unbundled) -> None:
    """Fill a layout of one image; a blob that another layout has is linked."""
    from envctl.oci.archive import descriptor_index
    from envctl.oci.content import compact_json

    (into / "blobs/sha256").mkdir(parents=True)
    for name in picture.blobs:
        final = into / "blobs/sha256" / name
        kept = _kept_blob(name, done.manifest)
        if kept:
            _link(kept, final)
            continue
        with final.open("wb") as stream:
            for block in blocks(folder, blobs[name]):
                stream.write(block)
        final.chmod(0o444)
    size = (into / "blobs/sha256" / picture.digest).stat().st_size
    index = descriptor_index(f"sha256:{picture.digest}", size, [_called(name) for name in picture.names])
    (into / "oci-layout").write_bytes(compact_json({"imageLayoutVersion": "1.0.0"}))
    (into / "index.json").write_bytes(index)


def _called(name: str) -> str:
    """What envctl calls the base that Docker has under that name; other images keep theirs."""
    return next((base.name for base in bases() if base.tag == name), name)


def _kept_blob(name: str, manifest: Manifest) -> Path | None:
    """The blob in a layout of this bundle that is there already, as it was checked when it was written."""
    for picture in manifest.pictures:
        path = layout_of(picture) / "blobs/sha256" / name
        if path.is_file():
            return checked(path, name, f"the blob {name}")
    return None


def _link(kept: Path, final: Path) -> None:
    try:
        final.hardlink_to(kept)
    except OSError:
        shutil.copyfile(kept, final)
