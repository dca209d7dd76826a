"""Zip archives of models: their members by name, each read up to a cap, nothing unpacked to disk."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from envctl.errors import BadInput
from envctl.model.facts import ModelFacts
from envctl.model.limits import MAX_MEMBERS, MAX_STRUCTURE, Damaged, TooMuch, small_enough

DIRECTORY_MAX = 16 << 20  # of the list of members, which zipfile reads whole
LOCAL_HEADER = 30
IN_ZIP64 = 0xFFFFFFFF  # the size is told in another record
MARKS = ("saved_model.pb", "saved_model.pbtxt", ".onnx", ".pb", ".tflite", ".keras", ".h5", ".xml", ".pt", ".param")


class Archive:
    """An open archive: `read` gives a member whole, `where` its place in the file when it is stored as it is."""

    def __init__(self, opened: zipfile.ZipFile) -> None:
        self.zip = opened
        self.members = {info.filename: info for info in opened.infolist()}
        # torch writes everything into one folder of any name
        self.root = next(iter(self.members), "").partition("/")[0]

    def inside(self, name: str) -> bool:
        """Whether there is such a member below the archive's one folder."""
        return f"{self.root}/{name}" in self.members

    def read(self, name: str, limit: int = MAX_STRUCTURE) -> bytes:
        """A member's bytes; raises `Damaged` where they are too many, not what was promised, or not there."""
        info = self.members.get(name)
        if info is None:
            raise Damaged(f"it has no {name}")
        small_enough(info.file_size, name, limit)
        try:
            with self.zip.open(info) as stream:
                content = stream.read(limit + 1)  # whatever the directory says: a bomb stops here
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            OSError,
            RuntimeError,
            NotImplementedError,
            ValueError,
        ) as error:
            raise Damaged(f"{name} cannot be unpacked: {error}") from None
        small_enough(len(content), name, limit)
        return content

    def where(self, name: str) -> tuple[int, int] | None:
        """Offset and length of a member that is not compressed; None for others."""
        info = self.members.get(name)
        if info is None or info.compress_type != zipfile.ZIP_STORED or not self.zip.fp:
            return None
        self.zip.fp.seek(info.header_offset)
        header = self.zip.fp.read(LOCAL_HEADER)
        if len(header) < LOCAL_HEADER:
            return None
        names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        return info.header_offset + LOCAL_HEADER + names, info.file_size

    def sizes(self, prefix: str) -> int:
        """The bytes of all members below a folder."""
        return sum(info.file_size for name, info in self.members.items() if name.startswith(prefix))


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """The archive at a path; raises `Damaged` for one that cannot be listed."""
    try:
        with path.open("rb") as stream:
            _refuse_endless(stream.seek(0, 2), path)
            with zipfile.ZipFile(stream) as archive:
                if len(archive.filelist) > MAX_MEMBERS:
                    raise TooMuch(f"more than {MAX_MEMBERS:,} members")
                yield Archive(archive)
    except (zipfile.BadZipFile, OverflowError, UnicodeDecodeError, NotImplementedError, EOFError) as error:
        raise Damaged(f"the archive is cut off or damaged: {error}") from None


def _refuse_endless(size: int, path: Path) -> None:
    """Raise where the list of members alone, which zipfile reads whole, is larger than any honest one."""
    with path.open("rb") as stream:
        stream.seek(max(0, size - (1 << 16) - 22))
        end = stream.read()
        at = end.rfind(b"PK\5\6")
        said = int.from_bytes(end[at + 12 : at + 16], "little") if at >= 0 else 0
        locator = end[at - 20 : at] if at >= 20 else b""
        if said == IN_ZIP64 and locator[:4] == b"PK\6\7":
            stream.seek(min(size, int.from_bytes(locator[8:16], "little")))
            said = int.from_bytes(stream.read(48)[40:48], "little")
    small_enough(said, "a list of members", DIRECTORY_MAX)


def read_zip(path: Path) -> ModelFacts:
    """The facts of a zip archive that is a model of Keras or torch; raises `BadInput` that says what another is."""
    from envctl.model import keras_zip, torch_zip

    with opened(path) as archive:
        if "config.json" in archive.members and "metadata.json" in archive.members:
            return keras_zip.read(path, archive)
        if torch_zip.is_export(archive):
            return torch_zip.read_export(path, archive)
        if archive.inside("data.pkl"):
            if archive.inside("constants.pkl"):
                return torch_zip.read_script(path, archive)
            return torch_zip.read_checkpoint(path, archive)
        inner = next((name for mark in MARKS for name in archive.members if name.endswith(mark)), "")
    do = [f"unpack it first: it holds {inner[:80]}"] if inner else ["give the model file"]
    raise BadInput(f"{path} is a zip archive that is no model of Keras or torch", do=do)
