"""A pipeline as GitLab's CI file: the same scripts as on GitHub. https://docs.gitlab.com/ci/yaml"""

from __future__ import annotations

from typing import Any

from envctl.pipeline.job import Job, LockedFile, Pipeline, registry_of
from envctl.pipeline.steps import CACHED, FOLDER, Step, check_steps, verify_steps

TIMEOUT = "60 minutes"
STRICT = "set -eu\n"


def workflow(pipeline: Pipeline) -> dict[str, Any]:
    """The file's data: a job for each lock, and one for each target."""
    common: dict[str, Any] = {"timeout": TIMEOUT}
    if pipeline.job_image:
        common["image"] = pipeline.job_image
    variables = {"FOLDER": FOLDER, "REQUIREMENTS": pipeline.requirements, "MODEL": pipeline.model}
    jobs = {f"lock {locked.path}": _check(locked, pipeline) for locked in pipeline.locks}
    jobs |= {f"verify {job.name}": _verify(job, pipeline) for job in pipeline.jobs}
    return {"default": common, "variables": variables, **jobs}


def _check(locked: LockedFile, pipeline: Pipeline) -> dict[str, Any]:
    variables = {"LOCK": locked.path, "LOCK_SHA256": locked.sha256}
    return {**_tags(pipeline.labels), "variables": variables, "script": _scripts(check_steps())}


def _verify(job: Job, pipeline: Pipeline) -> dict[str, Any]:
    folders = {
        "ENVCTL_CACHE": f"$CI_PROJECT_DIR/{FOLDER}/cache",
        "UV_PYTHON_INSTALL_DIR": f"$CI_PROJECT_DIR/{FOLDER}/pythons",
    }
    variables = {**job.variables, "REGISTRY": registry_of(job.image), **folders}
    steps = verify_steps(image=bool(job.image), login=bool(job.image) and pipeline.login)
    return {
        **_tags(job.labels),
        "variables": variables,
        "cache": {"key": job.cache, "paths": list(CACHED)},
        "script": _scripts(steps),
    }


def _tags(labels: tuple[str, ...]) -> dict[str, Any]:
    return {"tags": list(labels)} if labels else {}


def _scripts(steps: tuple[Step, ...]) -> list[str]:
    """One entry a step: a line that fails ends the job."""
    return [STRICT, *(f"# {step.name}\n{step.script}" for step in steps)]
