"""What the header of a TensorRT engine file says without TensorRT: which release built it, and whether it is whole.

Offsets: trtexec's own `--getPlanVersionOnly` reads the tag, the version of the serialisation and, at byte 24, the four
numbers of the release: github.com/NVIDIA/TensorRT, samples/common/sampleEngines.cpp (printPlanVersion). TensorRT for
RTX has another tag and keeps the same places, and at byte 16 the length of the file (measured:
docs/evidence.md#tensorrt-rtx-file-header).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from envctl.errors import BadInput

TAGS = {b"ftrt": "tensorrt", b"ptrt": "tensorrt", b"vtrt": "tensorrt-rtx"}
OLD, RTX = b"ptrt", b"vtrt"
LENGTH_AT, VERSION_AT, HEADER = 16, 24, 28
# the serialisation number of releases before 8.6, whose files do not name the release
# (second-hand: https://github.com/NVIDIA/TensorRT/issues/3073)
SERIALISATIONS = {205: "8.2", 213: "8.4", 232: "8.5"}
NOTES_MAX = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanFacts:
    """One engine file. `version` is "" where the header does not tell it; `said` is the length that it says it has
    (0: not told), `before` how many bytes of other notes stand before the plan."""

    name: str
    engine: str
    version: str
    size: int
    said: int = 0
    before: int = 0


def read(path: Path) -> PlanFacts:
    """The header's facts; raises `BadInput` for a file that is no engine, or whose header is cut off or empty."""
    with path.open("rb") as stream:
        before = _notes(stream.read(4), stream.read(1))
        stream.seek(before)
        header = stream.read(HEADER)
    do = ["copy it again in binary mode, or build it again: trtexec --onnx=MODEL --saveEngine=FILE"]
    if header[:4] not in TAGS:
        raise BadInput(f"{path} has no tag of a TensorRT engine", do=do)
    if len(header) < HEADER:
        raise BadInput(f"{path} ends inside its header", do=do)
    if not any(header[4:]) or (header[:4] != OLD and not any(header[VERSION_AT:HEADER])):
        raise BadInput(f"{path} is damaged: the version in its header is 0.0.0", do=do)
    said = int.from_bytes(header[LENGTH_AT : LENGTH_AT + 8], "little") if header[:4] == RTX else 0
    size = path.stat().st_size - before
    return PlanFacts(
        name=path.name, engine=TAGS[header[:4]], version=_version(header), size=size, said=said, before=before
    )


def _notes(length: bytes, mark: bytes) -> int:
    """How long the notes before the plan are, their length included; 0 without any."""
    count = int.from_bytes(length, "little")
    return 4 + count if mark == b"{" and 0 < count < NOTES_MAX else 0


def _version(header: bytes) -> str:
    if header[:4] == OLD:
        return SERIALISATIONS.get(header[8], "")
    return ".".join(map(str, header[VERSION_AT:HEADER]))
