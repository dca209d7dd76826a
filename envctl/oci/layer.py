"""Wheels -> layers: which wheel goes into which, and what each layer comes to, remembered by what it is made of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from envctl.oci import RULES
from envctl.oci.content import LAYER_GZIP, Descriptor, Layer, compact_json
from envctl.oci.contents import Contents
from envctl.oci.entry import FOLDER, Entry, with_folders
from envctl.oci.store import read_note, write_note
from envctl.oci.stream import Measured, gzip_bytes, measuring, tar_bytes, tar_size
from envctl.package import LockedPackage

HEAVY = 1 << 20  # bytes of a wheel that gets a layer of its own
MOST = 40  # layers; Docker's limit is 125 with the base's


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """The wheels of one layer. The last one holds the environment's skeleton too, and folders that the base lacks."""

    packages: tuple[LockedPackage, ...]
    last: bool = False
    lacking: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What is in it, in a few words."""
        names = [f"{each.name} {each.version}" for each in self.packages]
        return ", ".join([*names[:4], *([f"{len(names) - 4} more"] if len(names) > 4 else [])]) or "no packages"


def groups(packages: tuple[LockedPackage, ...], sizes: dict[str, int], lacking: tuple[str, ...]) -> list[Group]:
    """The layers of an environment: heavy wheels each alone, the heaviest first, and all others together last."""
    ranked = sorted(packages, key=lambda each: (-sizes[each.sha256], each.name))
    alone = [each for each in ranked if sizes[each.sha256] >= HEAVY][: MOST - 1]
    rest = sorted((each for each in packages if each not in alone), key=lambda each: each.name)
    return [*(Group(packages=(each,)) for each in alone), Group(packages=tuple(rest), last=True, lacking=lacking)]


class Part:
    """A layer to be: `measured` is what it comes to, as soon as that is known; its bytes are made when asked for."""

    def __init__(self, group: Group, contents: Contents, measured: Measured | None = None) -> None:
        self.group, self.contents = group, contents
        self.below = contents.place.prefix.strip("/")
        self.measured = measured or self._remembered()

    @property
    def key(self) -> str:
        """Names the layer by everything that its bytes depend on."""
        base, place = self.contents.base, self.contents.place
        wheels = [each.sha256 for each in self.group.packages]
        parts = [RULES, place.prefix, place.python, base.identity, base.home, wheels]
        return hashlib.sha256(compact_json([*parts, self.group.last, list(self.group.lacking)])).hexdigest()

    def _remembered(self) -> Measured | None:
        note = read_note("layers", self.key)
        return Measured(**note) if note else None

    def entries(self) -> list[Entry]:
        """Everything in the layer, sorted: folders the base lacks, the prefix, and what stands below it."""
        above = [Entry(path=f"/{path}", kind="folder", mode=FOLDER) for path in sorted(self.group.lacking)]
        own = self.contents.of(self.group.packages, last=self.group.last)
        return [*above, Entry(path="", kind="folder", mode=FOLDER), *with_folders(own)]

    def tar_size(self) -> int:
        """The size of the tar, before it is made."""
        return self.measured.tar_size if self.measured else tar_size(self.entries(), self.below)

    def tar(self) -> Iterator[bytes]:
        """The layer's tar, in blocks. It is measured on the way if it was not yet."""
        if self.measured:
            yield from tar_bytes(self.entries(), self.below)
            return
        measured = yield from measuring(self.entries(), self.below)
        write_note("layers", self.key, asdict(measured))
        self.measured = measured

    def gzip(self) -> Iterator[bytes]:
        """The layer's gzip, in blocks."""
        return gzip_bytes(self.entries(), self.below)

    def layer(self) -> Layer:
        """The measured layer."""
        measured = self.measured
        assert measured
        blob = Descriptor(media_type=LAYER_GZIP, digest=measured.gzip_digest, size=measured.gzip_size)
        return Layer(diff_id=measured.diff_id, tar_size=measured.tar_size, tar=self.tar, blob=blob, chunks=self.gzip)
