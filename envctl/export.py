"""A locked environment in the forms that other tools read: hash-pinned requirements, and PEP 751's pylock.toml.

pylock.toml wants an address for every wheel. A lock has none, so the indexes behind the aliases are asked where the
file with that hash lies; the addresses stand in the export only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from envctl.aliases import Indexes, ways_out
from envctl.errors import HostLacks
from envctl.lock import Lock
from envctl.package import LockedPackage
from envctl.upstream.simple import Simple

AT_ONCE = 8


def requirements(lock: Lock, digest: str) -> str:
    """Requirements for pip and uv: one wheel each, by its hash, and where they may come from in comments."""
    lines = [f"# CPython {lock.python}, {lock.platform}; from the lock {digest}"]
    for package in lock.packages:
        lines.append(f"{package.name}=={package.version} --hash=sha256:{package.sha256}  # index: {package.index}")
    return "\n".join(lines) + "\n"


def addresses(lock: Lock, indexes: Indexes) -> dict[str, str]:
    """Where each locked wheel lies, by its hash; raises `HostLacks` for one that its index does not have any more."""
    simple = Simple(indexes=indexes)
    for package in lock.packages:  # uv is asked for the default one, and not by several threads at once
        simple.address(package.index, package.name)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(lambda package: _address(simple, package), lock.packages)
        return {package.sha256: url for package, url in zip(lock.packages, found, strict=True)}


def _address(simple: Simple, package: LockedPackage) -> str:
    published = simple.published(package.index, package.name)
    files = [file for of_release in (published.releases.values() if published else ()) for file in of_release]
    for file in files:
        # a plain folder of wheels says no hashes; whoever installs checks them
        if file.name == package.file and file.sha256 in ("", package.sha256):
            return file.url
    what = f"the index ({package.index}) does not have {package.file} with the hash in the lock"
    raise HostLacks(what, do=ways_out(package.index))


def pylock(lock: Lock, urls: Mapping[str, str]) -> str:
    """The environment as a lock by PEP 751, for one Python and platform."""
    arch = lock.platform.partition("-")[0]
    marker = f"python_version == '{lock.python}' and sys_platform == 'linux' and platform_machine == '{arch}'"
    lines = ['lock-version = "1.0"', f"environments = [{json.dumps(marker)}]"]
    lines += [f'requires-python = "=={lock.python}.*"', 'created-by = "envctl"']
    for package in lock.packages:
        lines += ["", "[[packages]]", f"name = {json.dumps(package.name)}", f"version = {json.dumps(package.version)}"]
        lines += ["", "[[packages.wheels]]", f"name = {json.dumps(package.file)}"]
        lines += [f"url = {json.dumps(urls[package.sha256])}", f"size = {package.size}"]
        lines += [f'hashes = {{ sha256 = "{package.sha256}" }}']
    return "\n".join(lines) + "\n"
