"""A plain Dockerfile for the same lock: uv installs the wheels, a script of fifty lines removes what only that day and
that tool left behind. It shows what an image holds, and proves that envctl's own unpacker installs what uv installs."""

from __future__ import annotations

import shutil
from pathlib import Path

from envctl.errors import BadInput
from envctl.lock import Lock
from envctl.oci import PREFIX
from envctl.oci.base_image import BaseImage
from envctl.oci.store import new_folder
from envctl.package import export
from envctl.tree import disk_errors

WORKER = Path(__file__).resolve().parent.parent / "worker"
SCRIPTS = ("bytecode.py", "finish.py")
TEXT = """\
# The environment of the lock sha256:{digest}, made by uv in a container.
# Build it in the folder that `envctl build LOCK --emit dockerfile -o DIR` writes (wheels/, uv, finish.py, …):
#   docker build --network none -t NAME .
FROM {base} AS made
LABEL envctl.stage=made
COPY . /made
RUN ["/made/uv", "venv", "--quiet", "--python", "{home}/python{python}", "{prefix}"]
RUN ["/made/uv", "pip", "install", "--quiet", "--no-cache", "--offline", "--no-index", "--no-deps", \\
     "--require-hashes", "--link-mode", "copy", "--find-links", "/made/wheels", "--python", "{prefix}/bin/python", \\
     "--requirement", "/made/requirements.txt"]
RUN ["{home}/python{python}", "-s", "-S", "/made/finish.py", "{prefix}", "{home}"]

FROM {base}
COPY --from=made {prefix} {prefix}
ENV PATH={prefix}/bin:{path}
CMD ["{prefix}/bin/python"]
"""


def dockerfile(lock: Lock, base: BaseImage, name: str) -> str:
    """The Dockerfile's text. `name` is the base as Docker knows it."""
    variables = dict(entry.partition("=")[::2] for entry in (base.config.get("config") or {}).get("Env") or [])
    path = variables.get("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    named = {"digest": lock.digest, "base": name, "home": base.home, "python": lock.python}
    return TEXT.format(prefix=PREFIX, path=path, **named)


def write_context(text: str, lock: Lock, paths: dict[str, Path], folder: Path) -> None:
    """Write the folder to build in: Dockerfile, wheels, hash-pinned requirements, uv, and the script that finishes."""
    from uv import find_uv_bin

    with disk_errors(folder):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise BadInput(f"{folder} is not empty", do=["name a folder that is not there yet"])
        if folder.is_dir():
            folder.rmdir()
    with new_folder(folder) as partial:
        (partial / "Dockerfile").write_text(text, encoding="utf-8")
        (partial / "requirements.txt").write_text(export(list(lock.packages)), encoding="utf-8")
        (partial / "wheels").mkdir()
        for package in lock.packages:
            _copy(paths[package.sha256], partial / "wheels" / package.file)
        for name in SCRIPTS:
            shutil.copyfile(WORKER / name, partial / name)
        shutil.copy(find_uv_bin(), partial / "uv")


def _copy(path: Path, to: Path) -> None:
    try:
        to.hardlink_to(path)
    except OSError:
        shutil.copyfile(path, to)
