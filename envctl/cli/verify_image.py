"""`envctl verify-image IMAGE --lock FILE`: is this the image that the lock describes?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from envctl.cli import options
from envctl.cli.screen import Screen, guarded
from envctl.oci import RULES

if TYPE_CHECKING:
    from envctl.workflow.smoke import Smoke
    from envctl.workflow.verify_image import Answer

app = typer.Typer(rich_markup_mode=None, add_completion=False)

EXITS = {"passed": 0, "failed": 1, "incomplete": 4}  # README: 4, this machine lacks something
PACKING = {
    "same": "as envctl packs it: the digest is the lock's",
    "other": "the same files, compressed by another program: the digest is not the lock's",
    "unknown": "not kept where it was found",
}
Image = Annotated[
    str,
    typer.Argument(metavar="REF|docker-daemon:NAME|oci:DIR|docker-archive:FILE", help="The image.", show_default=False),
]
LockFile = Annotated[Path, typer.Option("--lock", metavar="FILE", help="The lock it should be made from.")]
Target = Annotated[str, typer.Option("--target", metavar="NAME", help="The target, where the lock has several.")]
Try = Annotated[bool, typer.Option("--smoke", help="Also run a model of one node in it (Docker).")]
BaseName = Annotated[str, typer.Option("--base", help="The base it is built upon.", show_default=False)]
Revision = Annotated[str, typer.Option("--revision", help="The revision it must be labelled with.", show_default=False)]
Insecure = Annotated[bool, typer.Option("--insecure", help="Plain HTTP for a registry on another machine.")]


@app.command("verify-image")
def verify_image(
    image: Image,
    lock: LockFile = Path("envctl.lock"),
    target: Target = "",
    smoke: Try = False,
    base: BaseName = "",
    revision: Revision = "",
    wheels: options.Wheels = [],  # noqa: B006
    insecure: Insecure = False,
    index: options.Index = [],  # noqa: B006
    offline: options.Offline = False,
    as_json: options.Json = False,
) -> None:
    """Say whether an image is the one that the lock describes, and name the first difference (exit code 1) if not.

    The expected image is computed from the lock; nothing that the image says of itself is believed.
    """
    screen = Screen(as_json)
    with guarded(screen):
        from envctl.workflow import verify_image as work
        from envctl.workflow.build import Order

        given = {"base": base, "revision": revision, "insecure": insecure, "offline": offline}
        order = Order(folders=tuple(wheels), index=tuple(index), **given)  # type: ignore[arg-type]
        question = work.Question(
            image=image, lock=lock, target=target, order=order, insecure=insecure, smoke=smoke
        )  # fmt: skip
        answer = work.verify_image(question, screen)
        screen.quiet()
        if as_json:
            screen.print_json(work.as_data(answer))
        else:
            _print(answer)
    raise typer.Exit(EXITS[answer.status])


def _print(answer: Answer) -> None:
    print(
        "same: this is the image that the lock describes" if answer.same else "other: the lock describes another image"
    )
    lines = [("image", answer.found), ("expected", f"{answer.manifest} (image id {answer.config})")]
    name = f" (target {answer.locked.name})" if answer.locked.name else ""
    lines += [("lock", f"sha256:{answer.locked.lock.digest}{name}"), ("shown by", f"the {answer.compared.by}")]
    if answer.compared.difference:
        lines += [("first", str(answer.compared.difference))]
    else:
        lines += [("packing", PACKING[answer.compared.packing])]
    if answer.other_rules:
        words = f"it says it was made by rules {answer.rules}, and these are {RULES}: build it again"
        lines += [("rules", f"{words}, or verify it with the envctl that made it")]
    if answer.revision:
        lines += [("revision", f"{answer.revision} (what the image says: no lock has it)")]
    for label, text in [*lines, *_smoke(answer.smoke), ("time", f"{answer.seconds:.2f} s")]:
        print(f"  {label:<9} {text}")


def _smoke(smoke: Smoke | None) -> list[tuple[str, str]]:
    if smoke is None:
        return []
    tried = smoke.tried
    same = "something is wrong" if tried.wrong else "versions equal the lock"
    lines = [("smoke", f"{smoke.status}: {same}, {smoke.packages} packages")]
    lines += [("ran", f"{smoke.engine}: {tried.ran}")] if tried.ran else []
    lines += [("built", f"{smoke.engine}: {tried.built}")] if tried.built else []
    lines += [("not run", tried.instead)] if tried.instead else []
    lines += [("imported", smoke.imported)] if smoke.imported else []
    return [*lines, *(("wrong", each) for each in tried.wrong)]
