"""A pipeline as a GitHub workflow. The two actions are GitHub's own, pinned by commit.

https://docs.github.com/actions/reference/workflow-syntax-for-github-actions
"""

from __future__ import annotations

from typing import Any

from envctl.pipeline.job import Job, LockedFile, Pipeline, registry_of
from envctl.pipeline.steps import CACHED, FOLDER, LOGIN, PULL, SAME_IMAGE, Step, check_steps, verify_steps
from envctl.pipeline.yaml import Commented

# commits of the tags that the comments name, looked up in the actions' own repositories on 2026-11-21
CHECKOUT = Commented("actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1", "v7.0.1")
CACHE = Commented("actions/cache@27d5ce7f107fe9357f9df03efb73ab90386fccae", "v5.0.5")
MINUTES = 60
WEEKLY = "17 4 * * 1"  # locks drift by themselves: what they rest on is published elsewhere


def workflow(pipeline: Pipeline) -> dict[str, Any]:
    """The workflow's data."""
    jobs: dict[str, Any] = {"check": _check(pipeline)}
    if pipeline.jobs:
        jobs["verify"] = _verify(pipeline)
    return {
        "name": "envctl",
        "on": {"push": None, "pull_request": None, "schedule": [{"cron": WEEKLY}], "workflow_dispatch": None},
        "permissions": {"contents": "read"},
        "defaults": {"run": {"shell": "bash"}},
        "env": {"FOLDER": FOLDER, "REQUIREMENTS": pipeline.requirements, "MODEL": pipeline.model},
        "jobs": jobs,
    }


def _check(pipeline: Pipeline) -> dict[str, Any]:
    include = [_lock(locked) for locked in pipeline.locks]
    return _job("lock", include, list(pipeline.labels), [_checkout(), *(_run(step) for step in check_steps())])


def _lock(locked: LockedFile) -> dict[str, Any]:
    return {"name": locked.path, "LOCK": locked.path, "LOCK_SHA256": locked.sha256}


def _verify(pipeline: Pipeline) -> dict[str, Any]:
    include = [_target(job) for job in pipeline.jobs]
    images = any(job.image for job in pipeline.jobs)
    steps = [_run(step) for step in verify_steps(image=images, login=images and pipeline.login)]
    return _job("verify", include, "${{ matrix.runs-on }}", [_checkout(), _cache(), *steps], cached=True)


def _target(job: Job) -> dict[str, Any]:
    variables = {**job.variables, "REGISTRY": registry_of(job.image)}
    return {"name": job.name, "runs-on": list(job.labels), "cache": job.cache, **variables}


def _job(
    kind: str, include: list[dict[str, Any]], runs_on: Any, steps: list[Any], cached: bool = False
) -> dict[str, Any]:
    """A job for each entry of a matrix; its variables are the entry's names in capitals."""
    variables = {name: f"${{{{ matrix.{name} }}}}" for name in include[0] if name.isupper()}
    if cached:
        variables["ENVCTL_CACHE"] = f"${{{{ github.workspace }}}}/{FOLDER}/cache"
        variables["UV_PYTHON_INSTALL_DIR"] = f"${{{{ github.workspace }}}}/{FOLDER}/pythons"
    return {
        "name": f"{kind} ${{{{ matrix.name }}}}",
        "runs-on": runs_on,
        "timeout-minutes": MINUTES,
        "strategy": {"fail-fast": False, "matrix": {"include": include}},
        "env": variables,
        "steps": steps,
    }


def _checkout() -> dict[str, Any]:
    return {"name": "Check out", "uses": CHECKOUT, "with": {"persist-credentials": False}}


def _cache() -> dict[str, Any]:
    key = "${{ matrix.cache }}-${{ runner.os }}-${{ runner.arch }}"
    path = "".join(f"{each}\n" for each in CACHED)
    return {"name": "Keep the environments of this lock", "uses": CACHE, "with": {"key": key, "path": path}}


def _run(step: Step) -> dict[str, Any]:
    made: dict[str, Any] = {"name": step.name}
    if step in (LOGIN, PULL, SAME_IMAGE):
        made["if"] = "matrix.IMAGE != ''"
    if step is LOGIN:
        names = ("REGISTRY_USER", "REGISTRY_PASSWORD")
        made["env"] = {name: f"${{{{ secrets.{name} }}}}" for name in names}
    return made | {"run": step.script}
