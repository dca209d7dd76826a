"""Locked wheels as files, every one checked against its hash before it gets its name.

uv says where a wheel lies (its configuration, indexes and credentials apply), pip brings it: it knows proxies,
certificates, netrc and keyrings, continues a transfer that broke off, and checks the hash itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from envctl.aliases import Indexes, ways_out
from envctl.child import die_with_parent
from envctl.errors import BadInput, HostLacks, Reason
from envctl.package import LockedPackage
from envctl.tree import disk_errors, sha256_of

AT_ONCE = 4


def fetch(
    packages: list[LockedPackage],
    python: str,
    platform: str,
    indexes: Indexes,
    keep: Callable[[LockedPackage, Path], None],
    *,
    scratch: Path,
    offline: bool,
    say: Callable[[str], None],
) -> None:
    """Bring the wheels; `keep` is called with each, as a file that has the locked hash and that it may move away.

    `scratch` is a folder on the disk where they will stay. Those that came before another one failed are kept.
    """
    from concurrent.futures import ThreadPoolExecutor

    from envctl.index import links

    say(f"asking the index where {len(packages)} wheels are")
    found = links(packages, python, platform, indexes, offline)
    running: set[subprocess.Popen[str]] = set()
    with (
        disk_errors(scratch),
        tempfile.TemporaryDirectory(prefix=".partial-wheels-", dir=scratch) as folder,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        jobs = []
        for number, package in enumerate(packages):
            own = Path(folder, str(number))
            own.mkdir()
            jobs.append(pool.submit(_bring, package, found[package.sha256], own, python, indexes, offline, running))
        try:
            for number, (package, job) in enumerate(zip(packages, jobs, strict=True), 1):
                say(f"fetching wheels: {number} of {len(packages)} ({package.file})")
                keep(package, job.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in list(running):
                process.kill()
            raise


def from_folders(packages: Iterable[LockedPackage], folders: Iterable[Path]) -> Iterable[tuple[LockedPackage, Path]]:
    """The wheels that lie in one of the folders under their own names; raises `BadInput` for one with another hash."""
    listed = list(folders)
    for package in packages:
        for path in (folder / package.file for folder in listed):
            if path.is_file():
                _check(path, package)
                yield package, path
                break


def _bring(
    package: LockedPackage,
    link: str,
    folder: Path,
    python: str,
    indexes: Indexes,
    offline: bool,
    running: set[subprocess.Popen[str]],
) -> Path:
    parts = urlsplit(link)
    path = folder / package.file
    if parts.scheme in ("", "file"):
        local = Path(unquote(parts.path))
        if not local.is_file():
            because = [Reason(text=f"{local} is not there", source=package.index)]
            raise HostLacks(f"the wheel {package.file} is missing", because=because, do=ways_out(package.index))
        with disk_errors(folder):
            shutil.copyfile(local, path)
    else:
        if offline:
            do = ["leave --offline out once: what was fetched is kept"]
            raise HostLacks(f"the wheel {package.file} is not in the cache, and may not be fetched", do=do)
        _with_pip(package, link, folder, python, indexes, running)
    _check(path, package)
    return path


def _with_pip(
    package: LockedPackage,
    link: str,
    folder: Path,
    python: str,
    indexes: Indexes,
    running: set[subprocess.Popen[str]],
) -> None:
    """One wheel by pip, for whatever Python and platform it is."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input", "--require-hashes"]
    command += ["--only-binary", ":all:", "--disable-pip-version-check", "--no-cache-dir", "--progress-bar", "off"]
    # uv resolves past an upper bound of Requires-Python, and the lock is what was asked for
    command += ["--ignore-requires-python"]
    command += ["--dest", str(folder), *_tags(package.file, python)]
    address = indexes.addresses.get(package.index)
    command += ["--index-url", address] if address else []  # its user and password are good for its files too
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{package.name} @ {link} --hash=sha256:{package.sha256}\n", encoding="utf-8")
    process = subprocess.Popen(
        [*command, "-r", str(wanted)],
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509 – one system call, no Python lock is taken
    )
    running.add(process)
    try:
        errors = process.communicate()[1]
    finally:
        running.discard(process)
    if process.returncode or not (folder / package.file).is_file():
        raise _pip_error(package, errors)


def _tags(file: str, python: str) -> list[str]:
    """pip's options for a wheel that need not fit the Python and the machine that pip runs on."""
    from packaging.utils import parse_wheel_filename

    tags = parse_wheel_filename(file)[3]
    abis = sorted({tag.abi for tag in tags} | {"none"})
    platforms = sorted({tag.platform for tag in tags} - {"any"})
    options = ["--python-version", python, "--implementation", "cp"]
    options += [part for abi in abis for part in ("--abi", abi)]
    return options + [part for platform in platforms for part in ("--platform", platform)]


def _pip_error(package: LockedPackage, errors: str) -> HostLacks:
    lines = [line.removeprefix("ERROR: ") for line in errors.splitlines() if line.strip()]
    because = [Reason(text=_without_addresses(line)[:300], source="pip") for line in lines[-4:]]
    if "no space left" in errors.lower():
        do = ["free some space, or choose another folder (ENVCTL_CACHE, TMPDIR)"]
        return HostLacks(f"could not fetch {package.file}: no space left", because=because, do=do)
    do = ["check network, proxy and certificate settings", *ways_out(package.index)]
    if "hash" in errors.lower():
        do = [f"the index ({package.index}) serves another file under this name than the one locked: do not trust it"]
    return HostLacks(f"could not fetch {package.file}", because=because, do=do)


def _without_addresses(line: str) -> str:
    """The line without users and passwords."""
    return " ".join(
        urlsplit(word)._replace(netloc=urlsplit(word).netloc.rpartition("@")[2]).geturl() if "://" in word else word
        for word in line.split()
    )


def _check(path: Path, package: LockedPackage) -> None:
    found = sha256_of(path)
    if found != package.sha256:
        because = [
            Reason(text=f"the lock has sha256 {package.sha256}", source="lock"),
            Reason(text=f"the file has sha256 {found}, and {path.stat().st_size} bytes", source=package.file),
        ]
        do = ["get the file anew: it was cut off, or is another one", "or lock again if the new file is wanted"]
        raise BadInput(f"{package.file} is not the wheel that was locked", because=because, do=do)
