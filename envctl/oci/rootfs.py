"""A base unpacked into a folder, so that its own interpreter can run without a daemon."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import IO, TYPE_CHECKING

from envctl.child import die_with_parent
from envctl.errors import HostLacks, Reason
from envctl.oci.base_image import BaseImage
from envctl.oci.content import Layer
from envctl.oci.store import new_folder, place

if TYPE_CHECKING:
    import tarfile

WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"
MOST_LINKS = 40
STARTING = ("unshare: ", "mount: ", "chroot: ")


def unpacked(base: BaseImage) -> Path:
    """The folder with the base's files, made at the first call."""
    folder = place("rootfs", base.identity)
    if not folder.is_dir():
        with new_folder(folder) as partial:
            for layer in base.layers:
                _unpack(layer, partial)
            (partial / "mnt").mkdir(exist_ok=True)
    return folder


def start(root: Path, job: Path, command: list[str], errors: IO[str]) -> subprocess.Popen[str]:
    """Run a program of the base with its folder as root: no network, the folder `job` at /mnt, nothing else to see.

    Raises `FileNotFoundError` where there is no program for that.
    """
    script = 'mount --bind "$1" "$2/mnt" && root=$2 && shift 2 && exec chroot "$root" "$@"'
    return subprocess.Popen(
        [*_namespaces(), "sh", "-c", script, "sh", str(job), str(root), *command],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONHASHSEED": "0", "LANG": "C.UTF-8"},
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509  # two system calls, and no lock of Python's
    )


def refusal(words: str) -> str:
    """What kept a program of the base from being started, of all that was written to `errors`; "" when nothing did."""
    lines = [line for line in words.splitlines() if line.startswith(STARTING)]
    return lines[-1] if lines else ""


def _namespaces() -> list[str]:
    program = shutil.which("unshare")
    if program is None:
        raise FileNotFoundError("there is no unshare on PATH (util-linux)")
    spaces = [program, "--mount", "--net", "--pid", "--fork", "--kill-child"]
    return spaces if os.getuid() == 0 else [*spaces, "--map-root-user"]


def _unpack(layer: Layer, root: Path) -> None:
    """Put a layer's files over those that are there. Devices are left out, owners are the caller."""
    from envctl.oci.survey import TarStream, members  # not wanted where the base is unpacked

    stream = TarStream(layer.tar())
    for member, content in members(stream):
        _put(member, content, root)
    stream.finish(layer.diff_id)


def _put(member: tarfile.TarInfo, content: IO[bytes] | None, root: Path) -> None:
    folder, name = _inside(root, os.path.dirname(member.name)), os.path.basename(member.name.rstrip("/"))  # noqa: PTH119, PTH120
    if member.name.rstrip("/") in ("", "."):
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    if name == OPAQUE:
        for old in folder.iterdir():
            _remove(old)
    elif name.startswith(WHITEOUT):
        _remove(folder / name.removeprefix(WHITEOUT))
    elif member.isdir():
        if path.is_symlink() or not path.is_dir():
            _remove(path)
            path.mkdir()
    elif member.issym() or member.islnk() or member.isreg():
        _remove(path)
        if member.issym():
            path.symlink_to(member.linkname)
        elif member.islnk():
            linked = member.linkname
            path.hardlink_to(_inside(root, os.path.dirname(linked)) / os.path.basename(linked))  # noqa: PTH119, PTH120
        else:
            assert content
            with path.open("wb") as out:
                shutil.copyfileobj(content, out)
            path.chmod(0o755 if member.mode & 0o111 else 0o644)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _inside(root: Path, name: str) -> Path:
    """A folder of the base as a path here; its links lead where they would with `root` as the root."""
    parts, at, links = [part for part in name.split("/") if part not in ("", ".")][::-1], root, 0
    while parts:
        part = parts.pop()
        if part == "..":
            at = at.parent if at != root else root
        elif (at / part).is_symlink():
            links += 1
            if links > MOST_LINKS:
                because = [Reason(text=f"{name} leads in a circle")]
                raise HostLacks("the base cannot be unpacked", because=because)
            target = os.readlink(at / part)  # noqa: PTH115
            at = root if target.startswith("/") else at
            parts += [each for each in target.split("/") if each not in ("", ".")][::-1]
        else:
            at = at / part
    return at
