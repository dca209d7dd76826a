"""A look inside an image that is the lock's: the versions there are the lock's, and a model of one node really runs.

An import alone proves little: an engine can be imported and have nothing to run on.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envctl.environment import Environment
from envctl.errors import JobFailed, Reason
from envctl.job import Job, Limits, Result, Step
from envctl.lock import Lock
from envctl.model.one_node import SHAPE, C, one_node
from envctl.oci import daemon, load
from envctl.oci.assemble import Draft
from envctl.runner.docker import DockerRunner
from envctl.spec import ImageSpec, engines, read_spec
from envctl.tree import cache_root, disk_errors
from envctl.workflow import steps
from envctl.workflow.read_locked import Locked

CAPS = Limits(memory=4 << 30, seconds=300)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Smoke:
    """What was tried and what came of it. `wrong` is empty when all went well.

    `ran` is the answer of the model; where there is none, `instead` says why, and what was imported instead.
    """

    packages: int
    engine: str
    ran: str
    instead: str
    wrong: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing was wrong."""
        return not self.wrong

    def as_data(self) -> dict[str, Any]:
        """The same for `--json`."""
        said = {"engine": self.engine, "ran": self.ran, "instead": self.instead, "wrong": list(self.wrong)}
        return {"status": "passed" if self.ok else "failed", "packages": self.packages, **said}


def smoke(draft: Draft, locked: Locked, say: Callable[[str], None]) -> Smoke:
    """Try the image in Docker, shut in as any worker is. One that is not there is loaded, and removed again."""
    config = draft.image().config_descriptor.digest
    there = daemon.image(config) or daemon.image(draft.image().digest)
    identifier = str(there["Id"]) if there else load.load(draft, [], say).identifier
    runner = DockerRunner()
    runner.why_not()  # asks with a short patience, and takes a long one for what follows
    try:
        return _Inside(runner, identifier, locked, say).look()
    finally:
        if not there:
            runner.client.api.remove_image(identifier)


class _Inside:
    """Workers in containers of one image."""

    def __init__(self, runner: DockerRunner, image: str, locked: Locked, say: Callable[[str], None]) -> None:
        self.runner, self.lock, self.say = runner, locked.lock, say
        self.spec = spec_of(locked)
        jobs = cache_root() / "jobs"
        with disk_errors(jobs):
            jobs.mkdir(parents=True, exist_ok=True)
            self.folder = Path(tempfile.mkdtemp(prefix="smoke-", dir=jobs))
        self.environment = Environment(lock=self.lock, folder=self.folder, image=image)
        self.model = self.folder / "one.onnx"

    def look(self) -> Smoke:
        """What is there, and what runs. A failed job's folder stays."""
        try:
            self.model.write_bytes(one_node())
            self.model.chmod(0o644)
            found = self._look()
        except JobFailed:
            raise
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        shutil.rmtree(self.folder, ignore_errors=True)
        return found

    def _look(self) -> Smoke:
        instead = why_no_model(self.spec)
        self.say("asking the image for its versions")
        names = distributions_of(self.spec, self.lock) if instead else []
        seen = self._do("convert", "installed", self.model, {"distributions": names})
        wrong = tuple(differing(self.lock, seen.versions))
        ran = ""
        if instead:
            imported = seen.read_back.get("imported") or "nothing"
            instead = f"{instead}; imported: {imported}"
        elif not wrong:
            self.say("running a model of one node in the image")
            ran, wrong = self._run_model()
        title = self.spec.title if self.spec else ""
        return Smoke(packages=len(seen.versions), engine=title, ran=ran, instead=instead, wrong=wrong)

    def _run_model(self) -> tuple[str, tuple[str, ...]]:
        """The answer of the model in words, and what is wrong about it."""
        import numpy as np

        assert self.spec
        made = self._do("convert", self.spec.adapter, self.model, {"precision": "fp32"}).artifacts
        x = np.arange(1, 1 + SHAPE[1], dtype=np.float32).reshape(1, *SHAPE)
        steps.write_inputs(self.folder / "infer", {"x": x})
        result = self._do("infer", self.spec.adapter, made[0], {"precision": "fp32"}, made[1:])
        (y,) = steps.read_outputs(result).values()
        expected = x + np.array(C, dtype=np.float32)
        words = f"x + c = {y.ravel().tolist()} for x = {x.ravel().tolist()}, c = {list(C)}"
        return words, () if np.array_equal(y, expected) else (f"a model of one node answers wrongly: {words}",)

    def _do(
        self, step: Step, adapter: str, source: Path, options: dict[str, Any], more: tuple[Path, ...] = ()
    ) -> Result:
        folder = self.folder / (step if adapter != "installed" else adapter)
        inputs = ("x",) if step == "infer" else ()
        job = Job(
            folder=folder, step=step, adapter=adapter, source=source.resolve(), companions=more, limits=CAPS,
            options=options, inputs=inputs,
        )  # fmt: skip
        job.write()
        result = self.runner.run(job, self.environment)
        if not result.ok:
            because = [Reason(text=line[:300], source=result.status) for line in result.message.splitlines()[:6]]
            do = [f"read {folder / 'worker.log'}", f"do it again: {folder / 'reproduce.sh'}"]
            raise JobFailed(f"the image could not {step} a model of one node", because=because, do=do)
        return result


def spec_of(locked: Locked) -> ImageSpec | None:
    """The spec of the lock's engine; for a lock that names none, the first whose first distribution is in it."""
    if locked.engine:
        return read_spec(locked.engine)
    specs = [read_spec(engine) for engine in engines()]
    known = {package.name for package in locked.lock.packages}
    return next((spec for spec in specs if {_names(each)[0] for _, each in _recipes(spec)} & known), None)


def why_no_model(spec: ImageSpec | None) -> str:
    """Why no model can be run in the image ("" when one can)."""
    if spec is None:
        return "no engine that envctl knows is in the lock"
    if not spec.adapter:
        return f"envctl cannot run models with {spec.title} yet"
    return f"{spec.title} runs on a GPU only" if spec.runs_on != "cpu" else ""


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
