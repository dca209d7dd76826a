"""A base that the local daemon has: its layers are saved once, and kept by digest."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from envctl.errors import HostLacks, Reason
from envctl.oci import daemon
from envctl.oci.base_image import BaseImage, blob_path, kept_layer, look_into
from envctl.oci.content import compact_json, digest_of
from envctl.oci.store import checked, place, read_note, write_note
from envctl.tree import disk_errors

LARGEST_DOCUMENT = 1 << 20
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def from_daemon(name: str, python: str, say: Callable[[str], None]) -> BaseImage:
    """The daemon's image as a base for that minor version of CPython; raises `HostLacks` when there is none.

    Where `name` is the digest of a base that was read before, no daemon is asked.
    """
    kept = read_note("base", _key(name, python)) if DIGEST.fullmatch(name) else None
    if kept and _is_kept(kept):
        return _as_base(kept)
    found = daemon.image(name)
    if found is None:
        do = ["make it: envctl base debian:bookworm (or debian:trixie, debian:bullseye)", "or name one it has: --base"]
        raise HostLacks(f"Docker has no image {name}", do=do)
    note = read_note("base", _key(found["Id"], python))
    if note is None or not _is_kept(note):
        say(f"reading the base {name} from Docker (once)")
        note = _read(found["Id"], python)
        write_note("base", _key(found["Id"], python), note)
    if read_note("base", _key(note["digest"], python)) is None:
        write_note("base", _key(note["digest"], python), note)
    return _as_base(note)


def _key(digest: str, python: str) -> str:
    return f"{digest.removeprefix('sha256:')}-{python}"


def _is_kept(note: dict[str, Any]) -> bool:
    return all(blob_path(digest).is_file() for digest, _ in note["layers"])


def _as_base(note: dict[str, Any]) -> BaseImage:
    names = ("config", "digest", "python", "interpreter", "home", "image")
    layers = tuple(kept_layer(digest, size) for digest, size in note["layers"])
    return BaseImage(layers=layers, folders=frozenset(note["folders"]), **{name: note[name] for name in names})


def _read(identifier: str, python: str) -> dict[str, Any]:
    config, digests = _save(identifier)
    paths = [blob_path(digest) for digest in digests]
    seen = look_into(paths, python)
    layers = [[digest, path.stat().st_size] for digest, path in zip(digests, paths, strict=True)]
    note = {"config": config, "digest": _identity(digests), "image": identifier, "layers": layers}
    note |= {"interpreter": seen.interpreter}
    note |= {"home": seen.home, "python": python, "folders": sorted(seen.folders)}
    return note | {"python": exact_version(_as_base(note), python)}


def _identity(digests: list[str]) -> str:
    """A digest that is the same whenever the same files are imported: an image's id holds the time of its import."""
    return digests[0] if len(digests) == 1 else digest_of(compact_json(digests))


def exact_version(base: BaseImage, python: str) -> str:
    """The patch release of the base's CPython, as it says itself."""
    from envctl.oci import rootfs

    command = [f"{base.home}/python{python}", "-V"]
    forbidden = rootfs.why_not()
    with tempfile.TemporaryDirectory(prefix="envctl-version-") as job:
        if forbidden is None:
            said = rootfs.run(rootfs.unpacked(base), Path(job), command).stdout
        else:
            from envctl.oci.bytecode import in_container

            ask = ["-c", "import sys; print(sys.version.split()[0], file=sys.stderr)"]
            said = in_container(Path(job), base, [command[0], *ask], forbidden)[1]
    version = re.search(r"\d+\.\d+\.\d+\S*", said)
    if not version or not version[0].startswith(f"{python}."):
        raise HostLacks(f"the base's CPython {python} does not run here", because=[Reason(text=said.strip()[:200])])
    return version[0]


def _save(identifier: str) -> tuple[dict[str, Any], list[str]]:
    """The image's configuration and the digests of its layers, whose tars are kept."""
    folder = place("blobs", "")
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as scratch:
            hashes, documents = _take_apart(identifier, Path(scratch))
            manifest = documents["manifest.json"][0]
            config = documents[manifest["Config"]]
            digests = list(config["rootfs"]["diff_ids"])
            for name, digest in zip(manifest["Layers"], digests, strict=True):
                path, found = hashes[name]
                if found != digest:
                    because = [Reason(text=f"{name} has sha256 {found}, its configuration says {digest}")]
                    raise HostLacks(f"Docker's copy of {identifier} is damaged", because=because)
                path.chmod(0o644)
                if path.exists():
                    path.replace(blob_path(digest))
                checked(blob_path(digest), digest.removeprefix("sha256:"), f"the layer {digest}")
    return config, digests


def _take_apart(identifier: str, scratch: Path) -> tuple[dict[str, tuple[Path, str]], dict[str, Any]]:
    """The layers of a saved image (name -> file here, digest) and its JSON documents, read from the daemon's stream."""
    import tarfile

    files: dict[str, tuple[Path, str]] = {}
    documents: dict[str, Any] = {}
    links: dict[str, str] = {}
    with daemon.asked("GET", f"/images/{identifier}/get") as answer:
        if answer.status >= 400:
            raise daemon.refused(answer.read())
        with tarfile.open(fileobj=answer, mode="r|", bufsize=1 << 20) as archive:
            for number, member in enumerate(archive):
                if member.issym():  # a layer that is there twice
                    links[member.name] = posixpath.normpath(posixpath.join(member.name, "..", member.linkname))
                elif stream := archive.extractfile(member):
                    files[member.name] = _copy(stream, scratch / str(number))
                    documents |= _document(member.name, files[member.name][0])
    return files | {name: files[target] for name, target in links.items() if target in files}, documents


def _document(name: str, path: Path) -> dict[str, Any]:
    """A small file that is JSON."""
    try:
        return {name: json.loads(path.read_bytes())} if path.stat().st_size < LARGEST_DOCUMENT else {}
    except ValueError:
        return {}


def _copy(stream: IO[bytes], path: Path) -> tuple[Path, str]:
    digest = hashlib.sha256()
    with path.open("wb") as out:
        while block := stream.read(1 << 20):
            digest.update(block)
            out.write(block)
    return path, f"sha256:{digest.hexdigest()}"
