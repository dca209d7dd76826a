"""A wheel's members, and nothing that an installer must not trust: https://packaging.python.org/specifications/binary-distribution-format/

The bytes of a member are not read here: its place in the file is enough to copy its compressed form, or to inflate it.
"""

from __future__ import annotations

import stat
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from isal import isal_zlib

from envctl.errors import BadInput, Reason

BLOCK = 1 << 20
LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, …, lengths of name and extra field
MOST_MEMBERS = 500_000
LARGEST_MEMBER = (8 << 30) - 1  # what a ustar header can say
LARGEST_WHEEL = 64 << 30  # bytes when unpacked
STEEPEST, HARMLESS = 200, 100 << 20  # a wheel that grows more than this, and to more than that, is a bomb
STORED, DEFLATED = 0, 8
NOT_DEFLATE: type[Exception] = isal_zlib.error  # type: ignore[assignment]  # the stub has a variable there


@dataclass(frozen=True, kw_only=True, slots=True)
class Packed:
    """Bytes inside a zip file: `size` of them, `packed` as they lie there, raw deflate or (method 0) as they are."""

    archive: Path
    offset: int
    packed: int
    size: int
    crc: int
    method: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One file of a wheel."""

    name: str
    executable: bool
    data: Packed


@dataclass(frozen=True, kw_only=True, slots=True)
class Wheel:
    """A wheel's members by name, and the name of its `.dist-info` folder."""

    path: Path
    label: str
    info: str
    members: dict[str, Member]

    @property
    def data(self) -> str:
        """The folder with files for other places than site-packages."""
        return self.info.removesuffix(".dist-info") + ".data"

    def read(self, name: str) -> bytes:
        """The bytes of a small member, b"" when there is none."""
        member = self.members.get(f"{self.info}/{name}")
        if member is None:
            return b""
        with self.path.open("rb") as stream:
            return b"".join(inflated(stream, member.data, self.label))


def bad_wheel(label: str, why: str) -> BadInput:
    """The error for a wheel that cannot be installed."""
    do = ["lock another version of it, or tell its authors"]
    return BadInput(f"{label} is not a wheel that can be installed", because=[Reason(text=why, source=label)], do=do)


def read_wheel(path: Path, label: str) -> Wheel:
    """The members of the wheel; raises `BadInput` for what no wheel may hold. `label` is its file name in messages."""
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as stream:
            infos = archive.infolist()
            _check_sizes(infos, path.stat().st_size, label)
            members = [_member(info, stream, path, label) for info in infos if not info.is_dir()]
    except (zipfile.BadZipFile, NotImplementedError, struct.error, UnicodeDecodeError, OverflowError) as error:
        raise bad_wheel(label, f"its directory cannot be read: {error}") from error
    _check_apart(members, label)
    return Wheel(path=path, label=label, info=_info(members, label), members={each.name: each for each in members})


def raw(stream: BinaryIO, data: Packed) -> Iterator[bytes]:
    """The bytes as they lie in the zip file, in blocks."""
    left, at = data.packed, data.offset
    while left:
        stream.seek(at)
        block = stream.read(min(BLOCK, left))
        if not block:
            raise zipfile.BadZipFile("it ends too early")
        yield block
        left, at = left - len(block), at + len(block)


def inflated(stream: BinaryIO, data: Packed, label: str) -> Iterator[bytes]:
    """The bytes themselves, in blocks; raises `BadInput` when they are not those that the directory announced."""
    seen = crc = 0
    try:
        for block in _inflate(stream, data):
            seen, crc = seen + len(block), isal_zlib.crc32(block, crc)
            if seen > data.size:
                raise zipfile.BadZipFile("it is larger than it says")
            yield block
    except (NOT_DEFLATE, zipfile.BadZipFile) as error:
        raise bad_wheel(label, f"a member is damaged: {error}") from error
    if (seen, crc) != (data.size, data.crc):
        raise bad_wheel(label, "a member's bytes are not those that its directory announces")


def _inflate(stream: BinaryIO, data: Packed) -> Iterator[bytes]:
    if data.method == STORED:
        yield from raw(stream, data)
        return
    engine = isal_zlib.decompressobj(-isal_zlib.MAX_WBITS)  # twice as fast as zlib
    for block in raw(stream, data):
        rest = block
        while rest:
            if inflated := engine.decompress(rest, BLOCK):
                yield inflated
            rest = engine.unconsumed_tail
        if engine.eof and engine.unused_data:
            break
    while not engine.eof and (rest := engine.decompress(engine.unconsumed_tail, BLOCK)):
        yield rest
    if not engine.eof or engine.unused_data:  # a copy of the stream would not be one whole deflate stream
        raise zipfile.BadZipFile("its compressed bytes do not end where they should")


def _check_sizes(infos: list[zipfile.ZipInfo], packed: int, label: str) -> None:
    total = sum(info.file_size for info in infos)
    if len(infos) > MOST_MEMBERS or total > LARGEST_WHEEL or any(info.file_size > LARGEST_MEMBER for info in infos):
        raise bad_wheel(label, f"it would unpack to {len(infos)} files of {total} bytes together")
    if total > HARMLESS and total > STEEPEST * packed:
        raise bad_wheel(label, f"its {packed} bytes would unpack to {total}: a zip bomb")


def _check_apart(members: list[Member], label: str) -> None:
    """Two members on the same bytes are a zip bomb's way; a name twice leaves open what is installed."""
    end, seen = 0, set()
    for member in sorted(members, key=lambda each: each.data.offset):
        if member.data.offset < end:
            raise bad_wheel(label, f"{member.name} overlaps another member")
        if member.name in seen:
            raise bad_wheel(label, f"it holds {member.name} twice")
        seen.add(member.name)
        end = member.data.offset + member.data.packed


def _member(info: zipfile.ZipInfo, stream: BinaryIO, path: Path, label: str) -> Member:
    mode = info.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise bad_wheel(label, f"{info.filename} is a link or a device; wheels hold files only")
    if info.flag_bits & 1 or info.compress_type not in (STORED, DEFLATED):
        raise bad_wheel(label, f"{info.filename} is encrypted, or packed in a way that wheels do not use")
    parts = info.filename.split("/")
    if not all(part not in ("", ".", "..") for part in parts) or "\\" in info.filename or "\n" in info.filename:
        raise bad_wheel(label, f"{info.filename!r} is not a path inside the environment")
    return Member(name=info.filename, executable=bool(mode & 0o111), data=_packed(info, stream, path))


def _packed(info: zipfile.ZipInfo, stream: BinaryIO, path: Path) -> Packed:
    stream.seek(info.header_offset)
    signature, name, extra = LOCAL_HEADER.unpack(stream.read(LOCAL_HEADER.size))
    if signature != b"PK\x03\x04":
        raise zipfile.BadZipFile(f"no header for {info.filename}")
    return Packed(
        archive=path,
        offset=info.header_offset + LOCAL_HEADER.size + name + extra,
        packed=info.compress_size,
        size=info.file_size,
        crc=info.CRC,
        method=info.compress_type,
    )


def _info(members: list[Member], label: str) -> str:
    folders = {each.name.split("/")[0] for each in members if each.name.split("/")[0].endswith(".dist-info")}
    if len(folders) != 1:
        raise bad_wheel(label, f"it has {len(folders)} .dist-info folders instead of one")
    return folders.pop()
