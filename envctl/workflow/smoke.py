"""A look inside an image that is the lock's: the versions there are the lock's, and a model of one node really runs.

An import alone proves little: an engine can be imported and have nothing to run on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from envctl.environment import Environment
from envctl.errors import HostLacks, JobFailed, Reason
from envctl.job import Job, Limits, Result, Step
from envctl.lock import Lock
from envctl.model.one_node import SHAPE, C, one_node
from envctl.oci import daemon, load
from envctl.oci.assemble import Draft
from envctl.runner.docker import DockerRunner
from envctl.runner.gpu_request import device_request
from envctl.spec import ImageSpec, engines, read_spec
from envctl.workflow import steps
from envctl.workflow.job_folder import job_folder
from envctl.workflow.read_locked import Locked

if TYPE_CHECKING:
    from envctl.verify.inputs import Array

CAPS = Limits(memory=4 << 30, seconds=300)
NO_DEVICE = "no-device"
Status = Literal["passed", "incomplete", "failed"]
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Tried:
    """What became of the model of one node: the answer where it `ran`, what was `built` where that is all that can be
    done here, and `instead` why it did not run, or not where it should. `wrong` is empty when nothing was.
    """

    ran: str = ""
    built: str = ""
    instead: str = ""
    wrong: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Smoke:
    """What was found in the image, and what became of the model. `engine` is "" where envctl knows none in the lock."""

    packages: int
    engine: str
    imported: str
    tried: Tried

    @property
    def status(self) -> Status:
        """`incomplete`: nothing was wrong, and the engine did not do what it is for, as this machine cannot have it."""
        if self.tried.wrong:
            return "failed"
        return "incomplete" if self.engine and self.tried.instead else "passed"

    def as_data(self) -> dict[str, Any]:
        """The same for `--json`."""
        tried = {"ran": self.tried.ran, "built": self.tried.built, "instead": self.tried.instead}
        found = {"packages": self.packages, "engine": self.engine, "imported": self.imported}
        return {"status": self.status, **found, **tried, "wrong": list(self.tried.wrong)}


def smoke(draft: Draft, locked: Locked, say: Callable[[str], None]) -> Smoke:
    """Try the image in Docker, shut in as any worker is. One that is not there is loaded, and removed again."""
    config = draft.image().config_descriptor.digest
    there = daemon.image(config) or daemon.image(draft.image().digest)
    identifier = str(there["Id"]) if there else load.load(draft, [], say).identifier
    runner = DockerRunner()
    try:
        with job_folder("smoke") as made:
            return _Inside(runner, identifier, locked, made.path, say).look()
    finally:
        if not there:
            runner.client.api.remove_image(identifier)


class _Inside:
    """Workers in containers of one image."""

    def __init__(
        self, runner: DockerRunner, image: str, locked: Locked, folder: Path, say: Callable[[str], None]
    ) -> None:
        self.runner, self.lock, self.folder, self.say = runner, locked.lock, folder, say
        self.spec = spec_of(locked)
        self.environment = Environment(lock=self.lock, folder=self.folder, image=image)
        self.model = self.folder / "one.onnx"

    def look(self) -> Smoke:
        """What is there, and what runs."""
        self.model.write_bytes(one_node())
        self.model.chmod(0o644)
        self.say("asking the image for its versions")
        on_cpu = self.spec and self.spec.runs_on == "cpu"  # what runs was imported
        names = [] if on_cpu else distributions_of(self.spec, self.lock)
        seen = succeeded(self._do("convert", "installed", self.model, {"distributions": names}))
        wrong = tuple(differing(self.lock, seen.versions))
        return Smoke(
            packages=len(seen.versions),
            engine=self.spec.title if self.spec else "",
            imported=seen.read_back.get("imported", ""),
            tried=Tried(wrong=wrong) if wrong else self._try(),
        )

    def _try(self) -> Tried:
        if self.spec is None:
            return Tried(instead="no engine that envctl knows is in the lock")
        if self.spec.trial:
            self.say(f"trying {self.spec.title} in the image")
            return self._run(self.spec.trial, self.model)
        if not self.spec.adapter:
            return Tried(instead=f"envctl cannot run models with {self.spec.title} yet")
        self.say("converting and running a model of one node in the image")
        return self._convert_and_run(self.spec)

    def _convert_and_run(self, spec: ImageSpec) -> Tried:
        made = self._do("convert", spec.adapter, self.model, {"precision": "fp32"})
        if spec.runs_on == "cpu" or made.status != NO_DEVICE:
            artifact, *more = succeeded(made).artifacts
        else:
            return Tried(instead=made.message)
        if spec.runs_on == "cpu":
            return self._run(spec.adapter, artifact, tuple(more))
        built = f"{artifact.name}, {artifact.stat().st_size} bytes"
        return Tried(built=built, instead=f"{spec.title} runs what it built on a GPU only")

    @cached_property
    def device(self) -> dict[str, str]:
        """The GPU for an engine that runs on one, where Docker can give it; else the engine says what it lacks."""
        if self.spec is None or self.spec.runs_on == "cpu":
            return {}
        try:
            device_request(daemon.get("/info"))
        except HostLacks:
            return {}
        return {"device": "cuda"}

    def _run(self, adapter: str, source: Path, more: tuple[Path, ...] = ()) -> Tried:
        """The answers to one input; an engine whose device is not there says so, and nothing runs in its stead."""
        import numpy as np

        x = np.arange(1, 1 + SHAPE[1], dtype=np.float32).reshape(1, *SHAPE)
        steps.write_inputs(self.folder / "infer", {"x": x})
        options = {"precision": "fp32", "shape": list(SHAPE), "c": list(C)}
        result = self._do("infer", adapter, source, options, more)
        if result.status == NO_DEVICE:
            return Tried(instead=result.message)
        answers = steps.read_outputs(succeeded(result))
        expected = x + np.array(C, dtype=np.float32)
        words = answered(answers, x)
        right = bool(answers) and all(np.array_equal(y, expected) for y in answers.values())
        wrong = () if right else (f"a model of one node answers wrongly: {words}",)
        return Tried(ran=words, instead=result.read_back.get("lacks", ""), wrong=wrong)

    def _do(
        self, step: Step, adapter: str, source: Path, options: dict[str, Any], more: tuple[Path, ...] = ()
    ) -> Result:
        folder = self.folder / (step if adapter != "installed" else adapter)
        inputs = ("x",) if step == "infer" else ()
        options = {**options, **self.device} if adapter != "installed" else options
        job = Job(
            folder=folder, step=step, adapter=adapter, source=source.resolve(), companions=more, limits=CAPS,
            options=options, inputs=inputs,
        )  # fmt: skip
        job.write()
        return self.runner.run(job, self.environment)


def succeeded(result: Result) -> Result:
    """The result of a job that was done; raises `JobFailed` with the worker's words for another."""
    if not result.ok:
        because = [Reason(text=line[:300], source=result.status) for line in result.message.splitlines()[:6]]
        do = [f"read {result.folder / 'worker.log'}", f"do it again: {result.folder / 'reproduce.sh'}"]
        raise JobFailed(f"the image could not {result.folder.name} a model of one node", because=because, do=do)
    return result


def answered(answers: Mapping[str, Array], x: Array) -> str:
    """Input, constant and answers in words."""
    said = "; ".join(f"{name} = {y.ravel().tolist()}" for name, y in answers.items())
    return f"x + c: {said} for x = {x.ravel().tolist()}, c = {list(C)}"


def spec_of(locked: Locked) -> ImageSpec | None:
    """The spec of the lock's engine; for a lock that names none, the first whose first distribution is in it."""
    if locked.engine:
        return read_spec(locked.engine)
    specs = [read_spec(engine) for engine in engines()]
    known = {package.name for package in locked.lock.packages}
    return next((spec for spec in specs if {_names(each)[0] for _, each in _recipes(spec)} & known), None)


def distributions_of(spec: ImageSpec | None, lock: Lock) -> list[str]:
    """The distributions that the engine's environment is for, in the order of its spec."""
    known = {package.name for package in lock.packages}
    names = [name for _, each in _recipes(spec) for name in _names(each)] if spec else []
    return list(dict.fromkeys(name for name in names if name in known))


def _recipes(spec: ImageSpec) -> list[tuple[str, tuple[str, ...]]]:
    return [(when, packages.requirements) for when, packages in spec.variants]


def _names(requirements: tuple[str, ...]) -> list[str]:
    """The names of requirements that have holes for versions."""
    return [re.sub(r"[-_.]+", "-", found[0]).lower() for each in requirements if (found := NAME.match(each))]


def differing(lock: Lock, versions: dict[str, str]) -> list[str]:
    """Every distribution whose version in the image is not the lock's, in words."""
    locked = {package.name: package.version for package in lock.packages}
    words = []
    for name in sorted(locked.keys() | versions.keys()):
        ours, theirs = locked.get(name, "nothing"), versions.get(name, "nothing")
        if ours != theirs:
            words.append(f"{name}: the lock has {ours}, the image {theirs}")
    return words
