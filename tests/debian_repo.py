"""A stand-in for a Debian mirror: a folder with a Release file and one Packages index, read by the real apt.

Nothing is installed when a base is locked, so that its packages need no files.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

NEEDED = ("apt", "base-files", "dpkg", "python3-minimal", "libpython3-stdlib", "libstdc++6", "libgomp1")
ARCHITECTURES = ("amd64", "arm64")


def publish(root: Path, versions: dict[str, str], suite: str = "bookworm") -> str:
    """Write the mirror anew, and return the line that names it for apt."""
    release = root / "dists" / suite
    listed = []
    for arch in ARCHITECTURES:
        index = release / "main" / f"binary-{arch}" / "Packages"
        index.parent.mkdir(parents=True, exist_ok=True)
        index.write_text("\n".join(_stanza(name, version, arch) for name, version in sorted(versions.items())))
        data = index.read_bytes()
        listed.append(f" {hashlib.sha256(data).hexdigest()} {len(data)} {index.relative_to(release)}")
    head = ["Origin: Debian", f"Suite: {suite}", f"Codename: {suite}", f"Architectures: {' '.join(ARCHITECTURES)}"]
    lines = [*head, "Components: main", "Date: Sat, 21 Nov 2026 00:00:00 UTC", "SHA256:", *listed]
    (release / "Release").write_text("\n".join(lines) + "\n")
    return f"deb [trusted=yes] copy://{root} {suite} main"


def sha256_of(name: str, version: str, arch: str) -> str:
    """The hash that the mirror gives for a package."""
    return hashlib.sha256(f"{name} {version} {arch}".encode()).hexdigest()


def _stanza(name: str, version: str, arch: str) -> str:
    essential = "Essential: yes\n" if name in ("base-files", "dpkg") else ""
    return (
        f"Package: {name}\nVersion: {version}\nArchitecture: {arch}\nMaintainer: tests\n{essential}Priority: optional\n"
        f"Filename: pool/{name}_{version}_{arch}.deb\nSize: 1000\nSHA256: {sha256_of(name, version, arch)}\n"
        f"Description: {name}\n"
    )
