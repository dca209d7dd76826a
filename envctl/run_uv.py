"""uv as a program, and what its failures mean."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from pathlib import Path
from urllib.parse import unquote, urlsplit

from envctl.aliases import DEFAULT, Indexes, ways_out
from envctl.child import die_with_parent
from envctl.errors import HostLacks, NoStack, Reason
from envctl.recipe import Packages

# a person's settings that would choose other versions than the lock's own words say
NOT_FOR_LOCKS = frozenset({
    "VIRTUAL_ENV", "UV_EXCLUDE_NEWER", "UV_RESOLUTION", "UV_PRERELEASE", "UV_CONSTRAINT", "UV_OVERRIDE", "UV_EXCLUDE",
    "UV_INDEX_STRATEGY", "UV_FORK_STRATEGY", "UV_NO_BINARY", "UV_TORCH_BACKEND", "UV_BUILD_CONSTRAINT",
})  # fmt: skip
# indexes of a person's own; they do not count where the default alias has an address
OWN_INDEXES = frozenset({
    "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_FIND_LINKS", "UV_NO_INDEX",
})  # fmt: skip
# PYTHONPATH, PYTHONHOME: uv's compiler of bytecode starts the interpreter with them, which may end it. A keyring's
# PYTHON_KEYRING_BACKEND stays: uv asks keyring for credentials
OF_PYTHON = re.compile("PYTHON[A-Z]+")
LACKING = (
    "was not found in the package registry",
    "failed to read `--find-links`",
    "distribution not found at",
    "404 not found",
)
# the package that uv found nowhere, or in no version that was asked for
LACKED = re.compile(r"(?:there (?:is|are) no versions? of (?P<there>[\w.-]+)|(?P<found>[\w.-]+) was not found in the)")
UNREACHABLE = (
    "dns error",
    "error sending request",
    "connection refused",
    "failed to fetch",
    "timed out",
    "tls",
)
FINDING = threading.Lock()  # find_uv_bin asks sysconfig, which several threads cannot fill at once


def uv(arguments: list[str], cwd: Path, without: frozenset[str] = frozenset()) -> subprocess.CompletedProcess[str]:
    """Run uv to its end, `without` some variables. It ends with us: Ctrl-C reaches it too, as it shares the terminal's
    process group."""
    from uv import find_uv_bin

    strays = NOT_FOR_LOCKS | without
    environment = {
        key: value for key, value in os.environ.items() if key not in strays and not OF_PYTHON.fullmatch(key)
    }
    # the lock says which interpreter and files; nothing may be fetched that it does not name
    environment |= {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"}
    with FINDING:
        program = find_uv_bin()
    return subprocess.run(
        [program, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=die_with_parent,
    )


CARRY = "or carry it over from a machine with network: envctl bundle there, envctl unbundle here"
NOTHING = Packages(requirements=(), index={})


def uv_error(
    step: str, done: subprocess.CompletedProcess[str], indexes: Indexes, packages: Packages = NOTHING
) -> Exception:
    """uv's failure as one of ours: no solution (3), or an index that gave no answer or not the locked file (4)."""
    lines = [line.strip(" ×├╰─▶│") for line in done.stderr.splitlines() if line.strip()]
    because = [Reason(text=line, source="uv") for line in lines[:8]]
    text = done.stderr.lower()
    alias = _guilty(text, indexes, packages)
    if "no space left" in text:
        do = ["free some space, or choose another cache folder (ENVCTL_CACHE, UV_CACHE_DIR)"]
        return HostLacks(f"could not {step} the packages: no space left", because=because, do=do)
    if "network was disabled" in text:
        do = ["leave --offline out once: what was fetched is kept", CARRY]
        return HostLacks(f"could not {step} the packages without network", because=because, do=do)
    lacks = [*LACKING, *(f"there is no version of {requirement}" for requirement in packages.requirements)]
    if any(mark in text for mark in lacks):
        what = f"could not {step} the packages: the index ({alias}) does not have them"
        return HostLacks(what, because=because, do=ways_out(alias))
    if any(mark in text for mark in UNREACHABLE):
        do = ["check network, proxy and certificate settings", *ways_out(alias)]
        return HostLacks(f"could not {step} the packages: the index ({alias}) gave no answer", because=because, do=do)
    if step == "lock" and "no solution found" in text:
        do = ["pin one of the versions that exclude each other: --pin NAME=VERSION, or for example --cudnn 9.3"]
        return NoStack("the Python packages of this stack cannot stand together", because=because, do=do)
    return HostLacks(f"could not {step} the packages", because=because)


def _guilty(text: str, indexes: Indexes, packages: Packages) -> str:
    """The alias of the index that uv complains of: by its address, else by a package it serves, else the default."""
    for alias, address in indexes.addresses.items():
        parts = urlsplit(address)
        if (parts.netloc.rpartition("@")[2] or unquote(parts.path)).lower() in text:
            return alias
    if lacked := LACKED.search(text):
        return packages.index.get(lacked["there"] or lacked["found"], DEFAULT)
    named = [alias for name, alias in packages.index.items() if re.search(rf"\b{re.escape(name)}\b", text)]
    return named[0] if named else DEFAULT
