"""`envctl bundle [LOCK…] -o DIR`: everything that runs these environments without network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from envctl.cli import options
from envctl.cli.screen import Screen, guarded
from envctl.errors import BadInput

if TYPE_CHECKING:
    from envctl.bundle.manifest import Manifest

app = typer.Typer(rich_markup_mode=None, add_completion=False)

Locks = Annotated[list[Path] | None, typer.Argument(metavar="[LOCK]...", help="Lock files. Default: envctl.lock.")]
Output = Annotated[Path, typer.Option("-o", "--output", help="The folder; what it has already is not made again.")]
Split = Annotated[str, typer.Option("--split", metavar="60M", help="Cut larger files into parts of that many bytes.")]
Images = Annotated[bool, typer.Option("--image", help="Bring the images of the targets too (OCI layout).")]
Pythons = Annotated[
    str, typer.Option("--python", metavar="3.11,3.12", help="CPythons that envctl itself shall be installed on.")
]
Bases = Annotated[bool, typer.Option("--base/--no-base", help="Bring the bases of the targets, for containers.")]
References = Annotated[
    bool, typer.Option("--reference/--no-reference", help="Bring ONNX Runtime, which outputs are compared with.")
]
UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
SMALLEST = 100_000


@app.command()
def bundle(
    locks: Locks = None,
    output: Output = Path("envctl-bundle"),
    image: Images = False,
    split: Split = "",
    python: Pythons = "",
    base: Bases = True,
    reference: References = True,
    wheels: options.Wheels = [],  # noqa: B006
    index: options.Index = [],  # noqa: B006
    offline: options.Offline = False,
    as_json: options.Json = False,
) -> None:
    """Write a folder with everything to run locked environments without network: wheels, bases, envctl itself."""
    screen = Screen(as_json)
    with guarded(screen):
        from envctl.workflow import bundle as work

        order = work.BundleOrder(
            locks=tuple(locks or [Path("envctl.lock")]),
            folder=output,
            split=_bytes(split),
            pythons=_pythons(python),
            images=image,
            bases=base,
            references=reference,
            folders=tuple(wheels),
            index=tuple(index),
            offline=offline,
        )
        found = work.bundle(order, screen)
        screen.quiet()
        if as_json:
            screen.print_json({"status": "bundled", **work.as_data(found, output)})
        else:
            _print(found, output, work.sizes(found))


def _bytes(text: str) -> int:
    """Bytes in `60M`; M is a million, so that a limit is kept whatever its M is."""
    found = re.fullmatch(r"(\d+)([KMG]?)", text.upper())
    if text and (not found or int(found[1]) * UNITS[found[2]] < SMALLEST):
        raise BadInput(f"--split {text!r} is no size of 100K or more", do=["for example --split 60M"])
    return int(found[1]) * UNITS[found[2]] if found else 0


def _pythons(text: str) -> tuple[str, ...]:
    given = tuple(part.strip() for part in text.split(",") if part.strip())
    for python in given:
        if not re.fullmatch(r"3\.\d+", python):
            raise BadInput(f"--python {python!r} is not a minor version", do=["for example --python 3.11,3.12"])
    return given


def _print(found: Manifest, folder: Path, sizes: dict[str, tuple[int, int]]) -> None:
    for kind, (count, size) in sorted(sizes.items(), key=lambda each: -each[1][1]):
        print(f"  {kind:<18} {count:>4} files {size / 1e6:>10.1f} MB")
    for file in sorted(found.files, key=lambda file: -file.size)[:8]:
        parts = f" in {len(file.parts)} parts" if file.parts else ""
        print(f"    {file.size / 1e6:>9.1f} MB  {file.path}{parts}")
    pythons = ", ".join(f"CPython {own.python} ({own.arch})" for own in found.own)
    total = sum(file.size for file in found.files)
    print(f"{folder}: {total / 1e6:.1f} MB in {len(found.lying) + 2} files; envctl for {pythons}")
    print(f"bundle.json has sha256 {found.digest}")
    print("there: sh install.sh in that folder, or envctl unbundle DIR")
