"""envctl itself as a wheel, made from the files that run now: the same bytes from a checkout and from an installation.

No build tool and no source tree is needed; the metadata are those of this installation.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from envctl import __version__
from envctl.errors import HostLacks
from envctl.tree import payload

DATA = ("matrices", "images", "probes", "symptoms")
SOME_DAY = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can say
LEFT_OUT = ("__pycache__",)
WHEEL = "Wheel-Version: 1.0\nGenerator: envctl\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def file_name() -> str:
    """The wheel's name."""
    return f"envctl-{__version__}-py3-none-any.whl"


def requirements() -> tuple[str, ...]:
    """What envctl needs to run, as this installation's metadata say; extras are for its developers."""
    return tuple(line for line in _installed().requires or [] if "extra ==" not in line)


def make() -> bytes:
    """The wheel's bytes."""
    info = f"envctl-{__version__}.dist-info"
    files = dict(_package_files())
    found = _installed()
    files[f"{info}/METADATA"] = _metadata(found).encode()
    files[f"{info}/WHEEL"] = WHEEL.encode()
    files[f"{info}/entry_points.txt"] = b"[console_scripts]\nenvctl = envctl.cli:main\n"
    record = "".join(f"{path},{_hash(data)},{len(data)}\n" for path, data in sorted(files.items()))
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    return _zip(files)


def _installed() -> Distribution:
    try:
        return distribution("envctl")
    except PackageNotFoundError as error:
        do = ["install it: pip install -e . in the checkout, or pip install its wheel"]
        raise HostLacks("this envctl is not installed: nothing says what it needs", do=do) from error


def _metadata(found: Distribution) -> str:
    """The metadata without the long description, with the version that runs: an editable installation may be behind."""
    head = (found.read_text("METADATA") or "").partition("\n\n")[0]
    lines = [line for line in head.splitlines() if not line.startswith(("Description", "License-File"))]
    return "\n".join(f"Version: {__version__}" if line.startswith("Version:") else line for line in lines) + "\n"


def _package_files() -> Iterator[tuple[str, bytes]]:
    package = Path(__file__).resolve().parent.parent
    inside = [(path, f"envctl/{path.relative_to(package).as_posix()}") for path in _files(package)]
    beside = [
        (path, f"envctl/{name}/{path.relative_to(payload(name)).as_posix()}")
        for name in DATA
        for path in _files(payload(name))
    ]
    for name, path in {name: path for path, name in [*inside, *beside]}.items():
        yield name, path.read_bytes()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not _is_left_out(path.relative_to(folder)))


def _is_left_out(path: Path) -> bool:
    return path.suffix == ".pyc" or any(part in LEFT_OUT or part.startswith(".") for part in path.parts)


def _hash(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _zip(files: dict[str, bytes]) -> bytes:
    """Stored, not deflated: what zlib makes of the same bytes depends on its version."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, data in sorted(files.items(), key=lambda each: (".dist-info/" in each[0], each[0])):
            entry = zipfile.ZipInfo(name, SOME_DAY)
            entry.external_attr = 0o100644 << 16
            entry.create_system = 3
            archive.writestr(entry, data)
    return out.getvalue()
