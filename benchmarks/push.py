"""Pushing against `docker push`, in turns, each into an empty registry: push.py IMAGE [--lock LOCK] [--rounds N]

IMAGE is an image of the local daemon. Ours is pushed from an OCI layout with gzip blobs that were made before (the
making is timed apart); Docker compresses while it pushes, and each time anew, as its record of what a registry has is
of no use for a new repository in a new registry. With --lock it is `envctl build LOCK --push`, the first push of an
image that was built and loaded before: its blobs are made of the wheels on their way.
"""

from __future__ import annotations

import argparse
import gzip
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from installed import compile_envctl  # noqa: E402

BLOCK = 1 << 20

if TYPE_CHECKING:
    from envctl.oci.content import Layer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image")
    parser.add_argument("--lock", help="a lock that IMAGE was built of, by `envctl build LOCK --load --tag IMAGE`")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    compile_envctl()
    with tempfile.TemporaryDirectory(prefix="envctl-push-") as name:
        folder = Path(name)
        packing = 0.0 if options.lock else seconds(lambda: pack(options.image, folder))
        source = ["build", options.lock, "--push"] if options.lock else ["push", f"oci:{folder / 'layout'}"]
        pairs = [one_round(options.image, source, folder, number) for number in range(options.rounds)]
    ours, theirs = ([pair[side] for pair in pairs] for side in (0, 1))
    ratio = statistics.median(b / a for a, b in pairs)
    medians = f"{statistics.median(ours):.2f} s, docker push {statistics.median(theirs):.2f} s"
    print(f"envctl {source[0]} {medians}: {ratio:.1f} x faster (packing, once: {packing:.2f} s)")


def pack(image: str, folder: Path) -> None:
    """The image as a layout with gzip blobs, in `folder`/layout."""
    from envctl.oci.content import Image
    from envctl.oci.docker_archive import read_archive
    from envctl.oci.written import write_layout

    subprocess.run(["docker", "save", "-o", str(folder / "image.tar"), image], check=True)
    saved = read_archive(folder / "image.tar")
    layers = tuple(packed(layer, folder / f"{number}.gz") for number, layer in enumerate(saved.layers))
    write_layout(Image(config=saved.config, layers=layers), folder / "layout", ["benchmark"], print)


def packed(layer: Layer, path: Path) -> Layer:
    """The layer with a gzip blob, which is written to a file."""
    from dataclasses import replace

    from envctl.oci.content import LAYER_GZIP, Descriptor
    from envctl.tree import sha256_of

    with path.open("wb") as stream, gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=1, mtime=0) as target:
        for chunk in layer.tar():
            target.write(chunk)
    blob = Descriptor(media_type=LAYER_GZIP, digest=f"sha256:{sha256_of(path)}", size=path.stat().st_size)
    return replace(layer, blob=blob, chunks=lambda: blocks(path))


def blocks(path: Path) -> Iterator[bytes]:
    """A file's bytes."""
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            yield block


def one_round(image: str, source: list[str], folder: Path, number: int) -> tuple[float, float]:
    """Seconds of one push each, both into registries that have nothing."""
    from tests.registry_server import registry

    times = []
    for side in ("ours", "theirs"):
        place = folder / f"{side}-{number}"
        place.mkdir()
        with registry(place) as server:
            name = f"{server.host}/benchmark/image:1"
            times.append(seconds(lambda: ours(source, name) if side == "ours" else theirs(image, name)))  # noqa: B023
    return times[0], times[1]


def ours(source: list[str], name: str) -> None:
    command = [sys.executable, "-m", "envctl", *source, name]
    subprocess.run(command, check=True, capture_output=True)


def theirs(image: str, name: str) -> None:
    subprocess.run(["docker", "tag", image, name], check=True)
    try:
        subprocess.run(["docker", "push", "-q", name], check=True, capture_output=True)
    finally:
        subprocess.run(["docker", "rmi", name], check=False, capture_output=True)


def seconds(work: Callable[[], object]) -> float:
    """The wall time of a call; what was written before is on the disk."""
    os.sync()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
