"""`envctl ci github|gitlab`: a CI file that verifies the project's model in every locked environment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from envctl.cli import options
from envctl.cli.screen import Screen, guarded
from envctl.errors import BadInput

if TYPE_CHECKING:
    from envctl.pipeline.job import Pipeline

app = typer.Typer(rich_markup_mode=None, add_completion=False)

OUTDATED = 1
Kind = Annotated[str, typer.Argument(metavar="github|gitlab", help="Whose file to write.", show_default=False)]
Locks = Annotated[list[str], typer.Option("--locks", metavar="FILE", help="A lock file; may be repeated.")]
Image = Annotated[
    list[str],
    typer.Option("--image", metavar="[JOB=]REF@DIGEST", help="Run a target's job in this image; may be repeated."),
]
RunsOn = Annotated[
    list[str],
    typer.Option("--runs-on", metavar="[JOB=]LABEL[,LABEL]", help="Machines for the jobs (GitLab: tags)."),
]
Model = Annotated[str, typer.Option("--model", metavar="PATH", help="The model to verify.", show_default=False)]
Requirements = Annotated[str, typer.Option("--requirements", metavar="FILE", help="Pins envctl itself by hashes.")]
Login = Annotated[bool, typer.Option("--login", help="Log in to the images' registries with the CI's secrets.")]
JobImage = Annotated[str, typer.Option("--job-image", metavar="REF@DIGEST", help="GitLab: what the jobs start in.")]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="The file; without it, it is printed.")]
Check = Annotated[bool, typer.Option("--check", help="Only say whether FILE is up to date (exit code 1 if not).")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite a file envctl did not write.")]


@app.command()
def ci(
    kind: Kind,
    model: Model,
    locks: Locks = ["envctl.lock"],  # noqa: B006
    image: Image = [],  # noqa: B006
    runs_on: RunsOn = [],  # noqa: B006
    requirements: Requirements = "envctl-requirements.txt",
    login: Login = False,
    job_image: JobImage = "",
    output: Output = None,
    check: Check = False,
    force: Force = False,
    as_json: options.Json = False,
) -> None:
    """Write a CI file: a job checks each lock for drift, and one for each target verifies the model in it."""
    screen = Screen(as_json)
    with guarded(screen):
        from envctl.workflow import ci as work

        if kind not in ("github", "gitlab"):
            raise BadInput(f"envctl writes no file for {kind!r}", do=["one of: github, gitlab"])
        if job_image and kind != "gitlab":
            raise BadInput("--job-image is for GitLab; GitHub's jobs start on the machine", do=["leave it out"])
        if check and output is None:
            raise BadInput("--check compares with a file, and none was named", do=["-o FILE"])
        said = {"locks": tuple(locks), "images": tuple(image), "labels": tuple(runs_on)}
        plain = {"model": model, "requirements": requirements, "login": login, "job_image": job_image}
        ask = work.CiAsk(system=kind, **said, **plain)  # type: ignore[arg-type]
        found = work.pipeline(ask, Path())
        content = work.text(found, ask.system)
        current = output is not None and work.is_current(content, output)
        if output is not None and not check:
            work.write(content, output, force=force)
        _print(screen, found, content, output, current, check)
    raise typer.Exit(OUTDATED if check and not current else 0)


def _print(screen: Screen, found: Pipeline, content: str, output: Path | None, current: bool, check: bool) -> None:
    if screen.as_json:
        written = {"file": str(output), "up_to_date": current or not check} if output else {"text": content}
        screen.print_json({"jobs": [job.as_data() for job in found.jobs], "command": found.command, **written})
    elif output is None:
        print(content, end="")
    elif check:
        print(f"{output} is up to date" if current else f"{output} is out of date; write it again: {found.command}")
    else:
        print(f"{output}: {len(found.locks)} locks are checked, {len(found.jobs)} targets verify {found.model}")
