"""Wheels of every shape, written member by member: what the specification allows, and what it does not."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.wheelhouse import SOME_DAY, record_hash

PLAIN = 0o100644


@dataclass(frozen=True)
class File:
    """A member: its text, its mode (with the kind of file), and what RECORD says of it (None: the truth)."""

    text: str | bytes
    mode: int = PLAIN
    record: str | None = None


def write(
    path: Path,
    members: Mapping[str, str | bytes | File],
    *,
    name: str = "odd",
    version: str = "1.0",
    deflate: bool = True,
) -> Path:
    """A wheel with METADATA, WHEEL and a RECORD that fits, unless a member says otherwise."""
    info = f"{name}-{version}.dist-info"
    base = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files = {at: each if isinstance(each, File) else File(each) for at, each in {**base, **members}.items()}
    record = f"{info}/RECORD"
    if record not in files:
        lines = [_line(at, file) for at, file in files.items()]
        files[record] = File("".join(lines) + f"{record},,\n")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED) as archive:
        for at, file in files.items():
            made = zipfile.ZipInfo(at, SOME_DAY)
            made.external_attr = file.mode << 16
            made.compress_type = archive.compression
            archive.writestr(made, file.text)
    return path


def _line(at: str, file: File) -> str:
    if file.record is not None:
        return file.record
    text = file.text.encode() if isinstance(file.text, str) else file.text
    return f"{at},{record_hash(text)},{len(text)}\n"


LINK = stat.S_IFLNK | 0o777
DEVICE = stat.S_IFCHR | 0o666
