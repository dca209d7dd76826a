"""Wheels and a base with the licences of real ones, and an image of them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from envctl.lock import Lock
from envctl.oci.content import LAYER_TAR, Chunks, Descriptor, Image, Layer, compact_json, digest_of
from envctl.package import LockedPackage
from envctl.papers.built import Built
from envctl.papers.debian import parts_of_base
from envctl.papers.part import Part
from envctl.papers.wheels import parts_of_lock
from tests.wheelhouse import sha256, wheel

STATUS = """Package: zlib1g
Status: install ok installed
Version: 1:1.2.13.dfsg-1
Architecture: amd64

Package: gone
Status: deinstall ok config-files
Version: 1
Architecture: all

Package: libstdc++6
Status: install ok installed
Version: 12.2.0-14
Architecture: amd64
"""
MACHINE_READABLE = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
License: Zlib

Files: debian/*
License:  GPL-2+ or
 more words

License: Zlib
 the text
"""


def layer_of(files: dict[str, str], links: dict[str, str] | None = None, block: int = 1000) -> Layer:
    """A layer with these files, its bytes in odd blocks."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for path, text in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
        for path, to in (links or {}).items():
            member = tarfile.TarInfo(path)
            member.type, member.linkname = tarfile.SYMTYPE, to
            archive.addfile(member)
    return layer(target.getvalue(), block)


def layer(data: bytes, block: int) -> Layer:
    def blocks() -> Iterator[bytes]:
        return (data[at : at + block] for at in range(0, len(data), block))

    chunks: Chunks = blocks
    digest = digest_of(data)
    blob = Descriptor(media_type=LAYER_TAR, digest=digest, size=len(data))
    return Layer(diff_id=digest, tar_size=len(data), tar=chunks, blob=blob, chunks=chunks)


def base_layer() -> Layer:
    return layer_of(
        {
            "./etc/os-release": 'NAME="Debian"\nID=debian\nVERSION_CODENAME=bookworm\n',
            "./var/lib/dpkg/status": STATUS,
            "./usr/share/doc/zlib1g/copyright": MACHINE_READABLE,
            "./usr/share/doc/gcc-12-base/copyright": "GCC is under /usr/share/common-licenses/GPL-3.\n",
        },
        {"./usr/share/doc/libstdc++6": "gcc-12-base"},
    )


def made(folder: Path, name: str, *lines: str) -> Path:
    """A wheel whose METADATA has these lines too."""
    path = wheel(folder, name, "1.0")
    with zipfile.ZipFile(path) as archive:
        texts = {each: archive.read(each).decode() for each in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for each, text in texts.items():
            more = "".join(f"{line}\n" for line in lines) if each.endswith("METADATA") else ""
            archive.writestr(zipfile.ZipInfo(each), text + more)
    return path


def real_wheels(folder: Path) -> dict[str, Path]:
    """Wheels by their hash, with the licence lines of real ones."""
    files = [
        made(folder, "numpy", "License-Expression: BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0"),
        made(folder, "onnxruntime", "License: MIT License", "Classifier: License :: OSI Approved :: MIT License"),
        made(folder, "sympy", "License: BSD", "Classifier: License :: OSI Approved :: BSD License"),
        made(folder, "nvidia-cudnn-cu12", "License-Expression: LicenseRef-NVIDIA-Proprietary"),
        made(folder, "nvidia-nccl-cu12", "License-Expression: LicenseRef-NVIDIA-Proprietary"),
        made(folder, "tensorrt-cu12-libs", "License: Proprietary", "Classifier: License :: Other/Proprietary License"),
        made(folder, "secret", "Classifier: License :: Other/Proprietary License"),
        made(folder, "silent"),
    ]
    return {sha256(path): path for path in files}


def lock_of(wheels: dict[str, Path]) -> Lock:
    return Lock(
        python="3.11",
        platform="x86_64-manylinux_2_28",
        packages=tuple(_locked(digest, path) for digest, path in wheels.items()),
    )


def _locked(digest: str, path: Path) -> LockedPackage:
    name = path.name.split("-")[0].replace("_", "-")
    # a lock of format 2 has sizes, which papers do not look at
    size = {"size": path.stat().st_size} if "size" in LockedPackage.__dataclass_fields__ else {}
    return LockedPackage(name=name, version="1.0", file=path.name, sha256=digest, index="pypi", **size)


def built_of(lock: Lock, **changed: str) -> Built:
    image = Image(config=compact_json({"architecture": "amd64"}), layers=(base_layer(),))
    digests = {"lock_digest": f"sha256:{lock.digest}", "base_digest": digest_of(b"base")}
    words = {"name": "openvino", "base": "debian:bookworm", "rules": "1", "envctl": "0.1.0", **digests, **changed}
    return Built(image=image, lock=lock, **words)  # type: ignore[arg-type]


def all_parts(lock: Lock, wheels: dict[str, Path]) -> tuple[Part, ...]:
    return (*parts_of_lock(lock, wheels), *parts_of_base([base_layer()]))
