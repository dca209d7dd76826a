"""`envctl matrix show | check`; ask, range and update stand in files of their own."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from envctl.cli import ask, matrix_index, options
from envctl.cli.screen import Screen, guarded

if TYPE_CHECKING:
    from envctl.evidence import Observation
    from envctl.matrix import Matrix
    from envctl.release import Claim, Component, Release

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)

Folder = options.Matrices
Json = options.Json

app.command(name="ask")(ask.ask)
app.command(name="range")(ask.range_)
app.command()(matrix_index.update)


@app.callback()
def matrix() -> None:
    """Show and check the facts that envctl knows, each with its source."""


@app.command()
def check(
    component: matrix_index.Only = None,
    index: matrix_index.Compare = False,
    verbose: matrix_index.Verbose = False,
    matrices: Folder = None,
    as_json: Json = False,
) -> None:
    """Check all files: format, names, claims that nothing satisfies, releases that nothing reaches (exit code 1).

    With --index, compare with the package index too: releases, wheel tags, Requires-Python, Requires-Dist."""
    from envctl.audit import audit
    from envctl.matrix import load

    screen = Screen(as_json)
    with guarded(screen):
        loaded = load(matrices)
        findings = [each for each in audit(loaded) if not component or each.where.startswith(f"{component}.toml")]
        report = matrix_index.compare(screen, loaded, component) if index else None
        screen.quiet()
        if as_json:
            more = {"index": matrix_index.report_data(report)} if report else {}
            screen.print_json({"findings": [asdict(finding) for finding in findings]} | more)
        else:
            print("\n".join(f"{finding.where}: {finding.what}" for finding in findings) or _counts(loaded))
            if report:
                matrix_index.print_report(report, verbose)
    raise typer.Exit(1 if findings or (report and report.differences) else 0)


@app.command()
def show(
    component: Annotated[str | None, typer.Argument(help="For example onnxruntime.")] = None,
    version: Annotated[str | None, typer.Argument(help="For example 1.17.3, or 1.17.")] = None,
    matrices: Folder = None,
    as_json: Json = False,
) -> None:
    """Print the components, the releases of one, or the claims of a release with their sources."""
    from envctl.matrix import load

    screen = Screen(as_json)
    with guarded(screen):
        loaded = load(matrices)
        if component is None:
            _show_components(screen, [loaded.component(name) for name in loaded.names()])
        elif version is None:
            _show_releases(screen, loaded.component(component))
        else:
            _show_claims(screen, _matching(loaded, component, version))


def _counts(loaded: Matrix) -> str:
    components = [loaded.component(name) for name in loaded.names()]
    releases = [release for component in components for release in component.releases]
    claims = sum(len(release.requires) + len(release.gpu) for release in releases)
    return f"{len(components)} components, {len(releases)} releases, {claims} claims: nothing to mend"


def _matching(loaded: Matrix, name: str, version: str) -> list[Release]:
    from envctl.errors import BadInput
    from envctl.versions import parse_pin

    pin = parse_pin(name, version)
    releases = loaded.component(name).releases
    found = [release for release in releases if pin.admits(release.version)]
    if not found:
        newest = ", ".join(release.version for release in releases[:5])
        raise BadInput(f"the matrix knows no {name} {version}", do=[f"newest: {newest}"])
    return found


def _show_components(screen: Screen, components: list[Component]) -> None:
    if screen.as_json:
        rows = [{"name": c.name, "title": c.title, "kind": c.kind, "releases": len(c.releases)} for c in components]
        screen.print_json({"components": rows})
        return
    for c in components:
        span = f"{c.releases[-1].version} … {c.releases[0].version}" if c.releases else ""
        print(f"{c.name:<26}{c.kind:<11}{len(c.releases):>4} releases  {span}")


def _show_releases(screen: Screen, component: Component) -> None:
    if screen.as_json:
        screen.print_json({"component": component.name, "releases": [_release_data(r) for r in component.releases]})
        return
    print(f"{component.title} ({component.kind})")
    for release in component.releases:
        claims = ", ".join(f"{claim.name} {claim.condition}" for claim in release.requires)
        print(f"  {release.version:<14}{claims}")


def _show_claims(screen: Screen, releases: list[Release]) -> None:
    if screen.as_json:
        screen.print_json({"releases": [_release_data(release) for release in releases]})
        return
    from envctl import evidence

    observations = evidence.read()
    for release in releases:
        print(f"{release.component} {release.version}  [{release.evidence}] {release.source}")
        for claim, when in _tables(release):
            note = f"  ({when})" if when else ""
            note += f"  ({claim.note})" if claim.note else ""
            print(f"  {claim.name} {claim.condition}  [{claim.evidence}] {claim.source}{note}")
        for claim in release.contradicts:
            print(f"  another source: {claim.name} {claim.condition}  [{claim.evidence}] {claim.source}")
        for seen in evidence.about(observations, release.component, release.version):
            print(f"  observed here: {_observed(seen)}  [measured] {evidence.store()}")


def _tables(release: Release) -> list[tuple[Claim, str]]:
    """Every claim of a release, with the case that it is about."""
    tables = ((release.requires, ""), (release.gpu, "on a GPU"), (release.ptx, "where the driver compiles PTX"))
    return [(claim, when) for claims, when in (*tables, (release.beside, "if it is there")) for claim in claims]


def _observed(seen: Observation) -> str:
    """An observation in a line: what came of which task with which model."""
    model = f"{seen.model.get('format', 'model')} {str(seen.model.get('sha256', ''))[:12]}"
    beside = ", ".join(f"{name} {version}" for name, version in seen.stack.items() if name in (seen.engine, "python"))
    reason = f" ({seen.reason})" if seen.reason else ""
    return f"{seen.verdict} on {seen.day}: {seen.task} of {model} in {seen.precision} with {beside}{reason}"


def _release_data(release: Release) -> dict[str, Any]:
    from envctl import evidence

    tables = {"requires": release.requires, "gpu": release.gpu, "ptx": release.ptx, "with": release.beside}
    data = {name: value for name, value in asdict(release).items() if name != "beside"}
    data |= {name: _claims_data(claims) for name, claims in tables.items()}
    data["contradicts"] = [asdict(claim) | {"condition": list(claim.condition.any)} for claim in release.contradicts]
    observed = evidence.about(evidence.read(), release.component, release.version)
    return data | {"observed": [asdict(seen) for seen in observed]}


def _claims_data(claims: tuple[Claim, ...]) -> dict[str, Any]:
    return {claim.name: asdict(claim) | {"condition": list(claim.condition.any)} for claim in claims}
