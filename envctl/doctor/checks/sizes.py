"""How much room and memory work takes, as a table with sources, and sizes in words."""

from __future__ import annotations

GB = 1 << 30
# place -> (without this it fails, below this it is tight), in bytes. The largest environment measured is 3.2 GB
# (docs/evidence.md#nvidia-tensorrt-8-4-1), small engines take 0.2 GB; wheel, unpacked files and copy are three times
# that. Images unpack to 10 to 25 GB (second-hand: the issue that the check names).
ROOM = {
    "system": (GB // 10, GB),
    "temporary files": (GB // 4, 2 * GB),
    "envctl's cache": (GB // 2, 10 * GB),
    "uv's cache": (GB // 2, 5 * GB),
    "pip's cache": (GB // 10, 3 * GB),
    "Docker's images": (3 * GB, 25 * GB),
}
WORK = {  # what stops when a place is full
    "system": "the whole machine",
    "temporary files": "installing packages",
    "envctl's cache": "environments of the local runner",
    "uv's cache": "installing packages",
    "pip's cache": "installing packages",
    "Docker's images": "engines in containers",
}
INODES_FAIL, INODES_WARN = 0.05, 0.10  # share that is free
MEMORY_TIGHT = 1 * GB  # importing TensorFlow alone holds 0.6 GB (measured)
MEMORY_TIGHT_TEGRA = 3 * GB // 2  # before a TensorRT build; memory is shared with the GPU
THREADS_TIGHT = 128  # an engine starts a thread a core and its libraries some more


def size(count: float) -> str:
    """A number of bytes in words: `1.5 GB`, `300 MB`."""
    return f"{count / GB:.1f} GB" if count >= GB else f"{count / (1 << 20):.0f} MB"
