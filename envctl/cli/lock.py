"""`envctl lock [pins]`, `envctl lock diff A B`, `envctl lock export LOCK`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from envctl.cli import groups, options
from envctl.cli.screen import Screen, guarded
from envctl.errors import BadInput

if TYPE_CHECKING:
    from envctl.lockdiff import Difference
    from envctl.lockfile import Asked, LockFile, Target
    from envctl.workflow.lock import LockOptions

DRIFTED = 1
EVERYTHING = "everything"


class _LockGroup(TyperGroup):
    """Takes `--upgrade` with a name and without."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        written: list[str] = []
        for index, word in enumerate(args):
            written.append(word)
            if word == "--upgrade" and (index + 1 == len(args) or args[index + 1].startswith("-")):
                written.append(EVERYTHING)
        return super().parse_args(ctx, written)


app = typer.Typer(
    cls=_LockGroup,
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
    subcommand_metavar="[diff|export]",
)

Output = Annotated[Path, typer.Option("-o", "--output", help="The lock file.")]
Host = Annotated[
    list[str], typer.Option("--host", metavar="this|FILE|'gpu=8.6 …'", help="A machine to lock for; may be repeated.")
]
Targets = Annotated[
    list[str],
    typer.Option("--target", metavar="python=3.11,platform=x86_64,…", help="A target in words; may be repeated."),
]
Base = Annotated[str, typer.Option("--base", help="auto, none, debian:SUITE, or REFERENCE@sha256:DIGEST.")]
Check = Annotated[bool, typer.Option("--check", help="Name what drifted (exit code 1); write nothing.")]
Upgrade = Annotated[list[str], typer.Option("--upgrade", metavar="[NAME]", help="Choose NAME, or everything, anew.")]
Newer = Annotated[str, typer.Option("--exclude-newer", metavar="DATE", help="Nothing uploaded after that day (UTC).")]


@app.callback()
@groups.grouped
def lock(
    *,
    ctx: typer.Context,
    pinned: groups.Pinned,
    pin: options.Pins = [],  # noqa: B006
    host: Host = [],  # noqa: B006
    target: Targets = [],  # noqa: B006
    base: Base = "auto",
    output: Output = Path("envctl.lock"),
    check: Check = False,
    upgrade: Upgrade = [],  # noqa: B006
    exclude_newer: Newer = "",
    index: options.Index = [],  # noqa: B006
    offline: options.Offline = False,
    as_json: options.Json = False,
) -> None:
    """Lock environments: stack, base and every package with its hash, for one target or several, in one file.

    Without any pin what the file was asked for is asked again.
    """
    if ctx.invoked_subcommand:
        return
    screen = Screen(as_json)
    with guarded(screen):
        from envctl.workflow import lock as work

        old = work.read_old(output)
        asked = _asked(pinned, pin, host, target, base, exclude_newer, old)
        chosen = work.LockOptions(upgrade=frozenset(upgrade), index=tuple(index), offline=offline)
        if check:
            _check(screen, output, asked, old, chosen)
        found = work.make(asked, old, chosen, screen.say)
        work.write(found, output)
        screen.quiet()
        _print(screen, output, found, old)


def _asked(
    given: dict[str, str | None],
    pin: list[str],
    host: list[str],
    target: list[str],
    base: str,
    exclude_newer: str,
    old: LockFile | None,
) -> Asked:
    """What is asked: what was said, else what the file was asked for."""
    from envctl.cli.pins import engine_and_pins
    from envctl.workflow import lock_wish

    if old and not (any(given.values()) or pin or host or target or exclude_newer or base != "auto"):
        return old.request
    if old and not any(given.values()):
        do = ["say the whole request, for example: envctl lock --ort 1.31 --target …", "or nothing of it"]
        raise BadInput("a part of a request does not change the file's own", do=do)
    engine, pins = engine_and_pins(given, pin)
    return lock_wish.asked(engine, pins, host, target, base, exclude_newer)


def _check(screen: Screen, path: Path, asked: Asked, old: LockFile | None, chosen: LockOptions) -> None:
    """Print what drifted and end the command."""
    from envctl.workflow import lock as work

    if old is None:
        raise BadInput(f"there is no lock {path} to check", do=["make it: the same command without --check"])
    drifted, _ = work.check(asked, old, chosen, screen.say)
    screen.quiet()
    if screen.as_json:
        status = "drifted" if drifted else "current"
        screen.print_json({"status": status, "lock": str(path), "digest": old.digest, "drifted": _data(drifted)})
    elif drifted:
        print_differences(drifted)
    else:
        print(f"{path} is current: locking again gives the same file")
    raise typer.Exit(DRIFTED if drifted else 0)


def _data(found: list[Difference]) -> list[dict[str, str]]:
    return [asdict(each) for each in found]


def print_differences(found: list[Difference]) -> None:
    """Differences as lines, those of a target below its name."""
    last = None
    for each in found:
        if each.target != last:
            print(f"target {each.target}" if each.target else "for all targets")
            last = each.target
        print(f"  {each.kind:<14} {each.name:<28} {_shortened(each.old)} -> {_shortened(each.new)}")


def _shortened(text: str) -> str:
    return text if len(text) <= 70 else f"{text[:67]}…"


def _print(screen: Screen, path: Path, found: LockFile, old: LockFile | None) -> None:
    from envctl.lockdiff import differences

    changed = differences(old, found) if old else []
    if screen.as_json:
        data = {"lock": str(path), "digest": found.digest, "targets": [_summary(each) for each in found.targets]}
        screen.print_json({"status": "locked", **data, "changed": _data(changed)})
        return
    for target in found.targets:
        data = _summary(target)
        stack = ", ".join(f"{line.component} {line.version}" for line in target.stack if len(line.version) <= 20)
        print(f"{target.name}: {stack}")
        size = sum(package.size for package in target.environment.packages) / 1e6
        base = f"{data['base']}, {data['debian']} Debian packages" if data["debian"] else data["base"] or "no base"
        print(f"  {len(target.environment.packages)} Python packages, {size:.1f} MB; {base}")
        for need in target.open:
            print(f"  not known of the target: {need}")
    if changed:
        print_differences(changed)
    print(f"{path} {'is as it was' if old and not changed else 'written'} ({found.digest[:12]})")


def _summary(target: Target) -> dict[str, Any]:
    packages = target.environment.packages
    return {
        "name": target.name,
        "environment": target.environment.digest,
        "stack": {line.component: line.version for line in target.stack},
        "packages": {package.name: package.version for package in packages},
        "size": sum(package.size for package in packages),
        "base": target.base.name if target.base else None,
        "debian": len(target.base.packages) if target.base else 0,
        "open": list(target.open),
    }


@app.command()
def export(
    path: Annotated[Path, typer.Argument(metavar="LOCK", help="A lock file.")],
    form: Annotated[str, typer.Option("--format", help="requirements or pylock (PEP 751).")] = "requirements",
    target: Annotated[
        str, typer.Option("--target", metavar="NAME", help="Which target, where there are several.")
    ] = "",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="FILE; without it, print.")] = None,
    index: options.Index = [],  # noqa: B006
    as_json: options.Json = False,
) -> None:
    """Write one target's packages as hash-pinned requirements or as pylock.toml, for pip, uv and others."""
    from envctl.workflow import lock as work

    screen = Screen(as_json)
    with guarded(screen):
        text = work.export(path, target, form, list(index), screen.say)
        screen.quiet()
        if output:
            work.write_export(text, output, form)
        if as_json:
            screen.print_json(
                {"status": "exported", "format": form, "file": str(output) if output else None, "text": text}
            )
        elif not output:
            print(text, end="")


@app.command("diff")
def diff(
    one: Annotated[Path, typer.Argument(metavar="A", help="A lock file.")],
    other: Annotated[Path, typer.Argument(metavar="B", help="Another.")],
    as_json: options.Json = False,
) -> None:
    """Say what differs between two lock files (exit code 1: something does)."""
    from envctl import lockfile
    from envctl.lockdiff import differences

    screen = Screen(as_json)
    with guarded(screen):
        found = differences(lockfile.load(one), lockfile.load(other))
        if as_json:
            screen.print_json({"status": "different" if found else "equal", "differences": _data(found)})
        elif found:
            print_differences(found)
        else:
            print("nothing differs")
    raise typer.Exit(DRIFTED if found else 0)
