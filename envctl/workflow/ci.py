"""What was said on the command line -> a pipeline -> the file's text. Nothing is resolved, pulled or run here."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from envctl.errors import BadInput, Reason
from envctl.pipeline import github, gitlab
from envctl.pipeline.job import RUNNERS, Job, LockedFile, LockedTarget, Pipeline
from envctl.pipeline.yaml import dump
from envctl.tree import sha256_of, write_whole
from envctl.workflow.read_locked import read_locked

System = Literal["github", "gitlab"]
SYSTEMS = {"github": github.workflow, "gitlab": gitlab.workflow}
MARK = "# Written by envctl"
# what neither a shell nor GitHub's expressions nor YAML take for something else
SAFE = re.compile(r"[\w.@+=][\w./@+= -]*")
PINNED = re.compile(r"[A-Za-z0-9][\w.:/-]*@sha256:[0-9a-f]{64}")
LABEL = re.compile(r"[\w.-]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class CiAsk:
    """What was asked for, as it was said. `images` and `labels` may begin with the name of a job and `=`."""

    system: System
    locks: tuple[str, ...]
    images: tuple[str, ...]
    labels: tuple[str, ...]
    model: str
    requirements: str
    login: bool
    job_image: str


def pipeline(ask: CiAsk, folder: Path) -> Pipeline:
    """The pipeline for the files in a folder. Raises `BadInput` for whatever is not there or could not be pinned."""
    locks = tuple(_read_lock(path, folder) for path in dict.fromkeys(ask.locks))
    names = _names(locks)
    _file(ask.model, "the model", folder, ["--model PATH of the model in the repository"])
    _requirements(ask.requirements, folder)
    images = _by_job(ask.images, list(names), "--image", PINNED, "REFERENCE@sha256:DIGEST")
    labels = _by_job(ask.labels, list(names), "--runs-on", re.compile(r"[\w.-]+(,[\w.-]+)*"), "LABEL[,LABEL]")
    jobs = tuple(
        Job(
            name=name, lock=locked, target=target, image=images.get(name, ""), labels=_labels(ask, name, target, labels)
        )
        for name, (locked, target) in names.items()
    )
    if ask.job_image and not PINNED.fullmatch(ask.job_image):
        raise BadInput(f"--job-image {ask.job_image!r} is not REFERENCE@sha256:DIGEST")
    common = _split(labels.get("", "")) or ((RUNNERS["x86_64"],) if ask.system == "github" else ())
    return Pipeline(
        command=_command(ask),
        locks=locks,
        jobs=jobs,
        model=ask.model,
        requirements=ask.requirements,
        login=ask.login,
        labels=common,
        job_image=ask.job_image,
    )


def text(found: Pipeline, system: System) -> str:
    """The CI file."""
    head = [f"{MARK}; change the command and run it again, not this file:", f"#   {found.command}"]
    return "\n".join(head) + "\n" + dump(SYSTEMS[system](found))


def write(content: str, path: Path, *, force: bool) -> None:
    """Write the file, over one that envctl wrote; another is not overwritten unless `force`."""
    if not force and path.exists() and not path.read_text(encoding="utf-8", errors="replace").startswith(MARK):
        raise BadInput(f"{path} was not written by envctl", do=["another file: -o FILE", "or overwrite it: --force"])
    write_whole(path, content)


def is_current(content: str, path: Path) -> bool:
    """Whether the file is what would be written now."""
    return path.is_file() and path.read_bytes() == content.encode()


def _command(ask: CiAsk) -> str:
    words = ["envctl", "ci", ask.system, "--model", ask.model]
    for option, values in (("--locks", ask.locks), ("--image", ask.images), ("--runs-on", ask.labels)):
        words += [word for value in values for word in (option, value)]
    words += ["--requirements", ask.requirements]
    words += ["--job-image", ask.job_image] if ask.job_image else []
    return shlex.join([*words, "--login"] if ask.login else words)


def _file(said: str, what: str, folder: Path, do: list[str]) -> Path:
    """A file of the repository; its name ends up in scripts and expressions."""
    if not SAFE.fullmatch(said) or PurePosixPath(said).is_absolute() or ".." in PurePosixPath(said).parts:
        why = "CI reads it from the repository: a path below this folder, of letters, digits and ./@+=_- and blanks"
        raise BadInput(f"{what} {said!r} cannot be named in a CI file", because=[Reason(text=why)])
    if not (folder / said).is_file():
        raise BadInput(f"{what} {said} is not there", do=do)
    return folder / said


def _read_lock(said: str, folder: Path) -> LockedFile:
    path = _file(said, "the lock", folder, ["make it: envctl lock", "or name another: --locks FILE"])
    locked = read_locked(path)
    found = tuple(LockedTarget(name=each.name, python=each.lock.python, platform=each.lock.platform) for each in locked)
    wrong = [each.name for each in found if each.name and not SAFE.fullmatch(each.name)]
    if wrong:
        raise BadInput(f"the target {wrong[0]!r} of {said} cannot be named in a CI file", do=["name it otherwise"])
    return LockedFile(path=said, sha256=sha256_of(path), targets=found)


def _names(locks: tuple[LockedFile, ...]) -> dict[str, tuple[LockedFile, LockedTarget]]:
    """A name for each target's job: the target's where that is enough, else with its lock's before it."""
    pairs = [(locked, target) for locked in locks for target in locked.targets]
    if not pairs:
        raise BadInput("no lock was named", do=["--locks FILE, made by envctl lock"])
    short = [target.name or _stem(locked) for locked, target in pairs]
    full = [f"{_stem(locked)}-{target.name}" if target.name else _stem(locked) for locked, target in pairs]
    names = short if len(set(short)) == len(short) else full
    if len(set(names)) < len(names):  # locks of the same name in several folders
        names = [f"{index}-{name}" for index, name in enumerate(names, 1)]
    return dict(zip(names, pairs, strict=True))


def _stem(locked: LockedFile) -> str:
    return PurePosixPath(locked.path).name.removesuffix(".lock").replace(" ", "-")


def _by_job(said: tuple[str, ...], names: list[str], option: str, form: re.Pattern[str], shape: str) -> dict[str, str]:
    """Values by the name of the job they are for; one for no job by name is for all others, and kept under ""."""
    found: dict[str, str] = {}
    for text in said:
        first, _, rest = text.partition("=")
        name, value = (first, rest) if first in names else ("", text)
        if not form.fullmatch(value):
            raise BadInput(f"{option} {text!r} is not [JOB=]{shape}", do=_forms(option, names))
        if option == "--image" and not name and len(names) > 1:
            raise BadInput(f"{option} {text!r}: which job is it for?", do=_forms(option, names))
        if name in found:
            raise BadInput(f"{option} is said twice for {name or 'all jobs'}", do=["keep one of them"])
        found[name] = value
    common = {name: found[""] for name in names if "" in found}
    return common | found


def _forms(option: str, names: list[str]) -> list[str]:
    return [f"{option} JOB=…, where JOB is one of: {', '.join(names)}"]


def _labels(ask: CiAsk, name: str, target: LockedTarget, labels: dict[str, str]) -> tuple[str, ...]:
    """The labels of the machine for a job: what was said, else GitHub's machine of that architecture."""
    if name in labels:
        return _split(labels[name])
    if ask.system == "gitlab":
        return ()
    arch = target.platform.partition("-")[0]
    if arch not in RUNNERS:
        do = [f"--runs-on {name}=LABEL names a machine of yours"]
        raise BadInput(f"GitHub has no machine for {target.platform}", do=do)
    return (RUNNERS[arch],)


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


def _requirements(said: str, folder: Path) -> None:
    """Check that the file pins every package by hash, or its installation would end in CI."""
    do = [
        "make envctl's wheel once, and whenever it changes: pip wheel --no-deps -w wheels FOLDER_OF_ENVCTL",
        f"then pin it and what it needs: echo ./wheels/envctl-*.whl | uv pip compile --generate-hashes -o {said} -",
        "or name another: --requirements FILE",
    ]
    path = _file(said, "the hash-pinned requirements of envctl itself", folder, do)
    lines = path.read_text(encoding="utf-8", errors="replace").replace("\\\n", " ").splitlines()
    pinned = [line for line in lines if line.strip() and not line.lstrip().startswith(("#", "-"))]
    bare = [line.split()[0] for line in pinned if "--hash=sha256:" not in line]
    if bare or not pinned:
        what = f"no hash for {', '.join(bare[:3])}" if bare else "it names no package"
        raise BadInput(f"{said} does not pin envctl", because=[Reason(text=what, source=said)], do=do)
