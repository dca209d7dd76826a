"""A base made of Debian packages by mmdebstrap: the same packages give the same bytes, on any host, root or not.

What mmdebstrap leaves of this host (its name and resolver, mirrors, logs, locks, device files) is taken out, every
time is 1970, and bytecode is compiled anew with a fixed hash seed: with a random one, CPython 3.9 writes sets in
another order each time, and bytecode that names its source's time would be stale at once.

As root, mmdebstrap mounts /sys, /proc and /dev of this host below its folder, in a mount namespace of its own:
however it ends, the mounts end with it, and removing the folder never walks into the host.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from envctl.base import Base
from envctl.errors import HostLacks, Reason
from envctl.oci.surveyed import InstalledPackage
from envctl.tree import disk_errors

STOP_SECONDS = 60  # that mmdebstrap is given to take its folder away
COMPILE = (
    'env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 PYTHONHASHSEED=0 chroot "$1" '
    "/usr/bin/python{python} -s -m compileall -q -f --invalidation-mode unchecked-hash "
    "/usr/lib/python{python} /usr/share/python3"
)
VARIABLES = {"SOURCE_DATE_EPOCH": "0", "LC_ALL": "C.UTF-8", "TZ": "UTC", "DEBIAN_FRONTEND": "noninteractive"}
# a pattern takes out what it matches whole, in paths without a leading slash
REMOVED = re.compile(
    r"(dev|proc|sys|run|tmp|var/tmp|var/log|var/lib/apt/lists|var/cache/(?!debconf)[^/]+|etc/apt/sources\.list\.d)/.+"
    r"|etc/(hostname|resolv\.conf|machine-id|\.pwd\.lock|apt/sources\.list|apt/apt\.conf\.d/99mmdebstrap)"
    r"|etc/(passwd|group|shadow|gshadow|subuid|subgid)-"
    r"|var/lib/(dbus/machine-id|(systemd|urandom)/random-seed)"
    r"|var/lib/dpkg/(lock.*|.*-old|triggers/Lock)|var/cache/debconf/(.*-old|passwords\.dat)"
)
# deb-control and dpkg's status: https://www.debian.org/doc/debian-policy/ch-controlfields.html
STATUS = "var/lib/dpkg/status"
STATUSES = "var/lib/dpkg/status.d/"  # a file a package, in images that have no dpkg
FIELD = re.compile(r"^(Package|Status|Version|Architecture): (.*)$", re.MULTILINE)
NEEDS = [
    "run it as root,",
    "or as a user with subordinate ids (apt-get install uidmap; a line in /etc/subuid and in /etc/subgid) where the "
    "kernel allows user namespaces",
]


def bootstrap(base: Base, archive: Path, mirrors: Iterable[str], say: Callable[[str], None]) -> None:
    """Write the release's tree, as mmdebstrap makes it, to a tar. Raises `HostLacks` with its last words."""
    if not shutil.which("mmdebstrap"):
        raise HostLacks("mmdebstrap is not installed", do=["apt-get install mmdebstrap"])
    command = ["mmdebstrap", "--variant=minbase", "--format=tar", f"--include={','.join(base.packages)}"]
    command += [f"--customize-hook={COMPILE.format(python=base.python)}", base.suite, "-", *mirrors]
    lines: deque[str] = deque(maxlen=200)
    command = _shut_in(command)
    # the tar comes through a pipe of ours: without root, mmdebstrap's own user could not write to this folder
    with disk_errors(archive), archive.open("wb") as stream, _running(command, stream.fileno()) as process:
        for line in process.stderr or ():
            lines.append(line.rstrip())
            if line.startswith("I: ") and "chosen" not in line:
                say(f"{base.name}: {line[3:].strip()}")
        process.wait()
    if process.returncode:
        raise _failed(base, list(lines))


def _shut_in(command: list[str]) -> list[str]:
    """The command in a mount namespace of its own. Raises `HostLacks` where its mounts would be this host's.

    A user's mmdebstrap makes namespaces itself; root's does not, and where unshare fails, as in most containers,
    it sees that nothing can be mounted.
    """
    if os.geteuid() != 0:
        return command
    if not (refusal := _unshare_fails("private")):
        return ["unshare", "--mount", "--propagation=private", "--", *command]
    if _unshare_fails("unchanged"):
        return command
    do = ["run it outside of this chroot, or as a user other than root"]
    raise HostLacks("mmdebstrap's mounts cannot be kept apart from this host's", because=[refusal], do=do)


def _unshare_fails(propagation: str) -> Reason | None:
    command = ["unshare", "--mount", f"--propagation={propagation}", "--", "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return Reason(text=done.stderr.strip(), source=" ".join(command)) if done.returncode else None


@contextmanager
def _running(command: list[str], output: int) -> Iterator[subprocess.Popen[str]]:
    """A child with a fixed environment and a process group of its own; when we leave early it is ended with all in it.

    It is asked first, as it tidies up when the signal reaches its children too.
    """
    with _folder() as variables:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=_kept_variables() | VARIABLES | variables,
            umask=0o022,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=STOP_SECONDS)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def _folder() -> Iterator[dict[str, str]]:
    """The variable that names a folder for mmdebstrap, which is gone afterwards whatever mmdebstrap left in it.

    Root's only: what mmdebstrap writes for another user belongs to ids that this user is not.
    """
    if os.geteuid() != 0:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="envctl-base-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)  # apt fetches as the user _apt
        yield {"TMPDIR": name}


def _kept_variables() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "TMPDIR") or _is_proxy(key)}


def _is_proxy(key: str) -> bool:
    return key.lower() in ("http_proxy", "https_proxy", "no_proxy")


def _failed(base: Base, lines: list[str]) -> HostLacks:
    errors = [line for line in lines if line.startswith(("E:", "W:"))] or lines
    because = [Reason(text=line, source="mmdebstrap") for line in errors[-4:]]
    text = "\n".join(lines)
    do = ["the answer of the mirror is above; another one: --mirror URL"]
    if "unable to pick chroot mode" in text or re.search(r"unshare|newuidmap|subuid|superuser", text):
        do = NEEDS
    elif "No space left" in text:
        do = [f"about 1 GB is needed in {os.environ.get('TMPDIR', '/tmp')}; TMPDIR=DIR chooses another folder"]
    return HostLacks(f"could not make {base.name}", because=because, do=do)


def is_removed(path: str) -> bool:
    """Whether a base does not carry this path: it tells of the host or of the moment, or is remade by whoever runs."""
    return bool(REMOVED.fullmatch(path))


def tells_packages(path: str) -> bool:
    """Whether a file says which packages are installed."""
    return path == STATUS or path.startswith(STATUSES)


def installed(files: Mapping[str, str]) -> tuple[InstalledPackage, ...]:
    """The packages that these files (path -> text) say are installed, sorted by name; other files are passed over."""
    found = set()
    for path, text in files.items():
        for paragraph in text.split("\n\n") if tells_packages(path) else ():
            fields: dict[str, str] = dict(FIELD.findall(paragraph))
            whole = {"Package", "Version", "Architecture"} <= fields.keys()
            if whole and (path != STATUS or fields.get("Status", "").endswith(" installed")):
                names = {"name": fields["Package"], "version": fields["Version"], "arch": fields["Architecture"]}
                found.add(InstalledPackage(**names))
    return tuple(sorted(found, key=lambda package: (package.name, package.arch, package.version)))
