"""RECORD, the list of a distribution's files with their hashes, read and written (PEP 376, wheel specification)."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass

from envctl.oci.wheel import Wheel, bad_wheel

SAFE = ("sha256", "sha384", "sha512")
UNLISTED = ("RECORD", "RECORD.jws", "RECORD.p7s")  # files of .dist-info that need no hash


@dataclass(frozen=True, kw_only=True, slots=True)
class Hash:
    """A hash as RECORD has it: the algorithm and the digest in base64 for URLs, without padding."""

    algorithm: str
    digest: str

    @property
    def text(self) -> str:
        """As it is written."""
        return f"{self.algorithm}={self.digest}"


def hash_of(data: bytes) -> Hash:
    """The SHA-256 of bytes that are written here."""
    return Hash(algorithm="sha256", digest=encoded(hashlib.sha256(data).digest()))


def encoded(digest: bytes) -> str:
    """The digest as RECORD writes it."""
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def read_record(wheel: Wheel) -> dict[str, Hash]:
    """The hash of every member. Raises `BadInput` for one that is not listed, or not with a safe hash."""
    try:
        rows = list(csv.reader(io.StringIO(wheel.read("RECORD").decode())))
    except (csv.Error, UnicodeDecodeError) as error:
        raise bad_wheel(wheel.label, f"its RECORD cannot be read: {error}") from error
    listed = {row[0]: row[1] for row in rows if len(row) == 3}
    hashes = {}
    for name in wheel.members:
        algorithm, _, digest = listed.get(name, "").partition("=")
        if name in {f"{wheel.info}/{each}" for each in UNLISTED}:
            continue
        if algorithm not in SAFE or not digest:
            raise bad_wheel(wheel.label, f"its RECORD has no hash for {name}")
        hashes[name] = Hash(algorithm=algorithm, digest=digest.rstrip("="))
    return hashes


def write_record(rows: Iterable[tuple[str, str, str]]) -> bytes:
    """RECORD with its rows (path, hash, size) sorted, and plain line ends."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(sorted(rows))
    return text.getvalue().encode()
