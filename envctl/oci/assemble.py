"""Lock + base -> image: the same bytes for the same lock, base and rules, whoever makes it, when and where."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from envctl.oci import PREFIX, RULES
from envctl.oci.content import Image, Layer, compact_json
from envctl.oci.contents import Contents
from envctl.oci.layer import Group, Part, groups
from envctl.oci.recipe import Recipe
from envctl.oci.store import read_note, write_note
from envctl.oci.stream import Measured

BEGINNING = "1970-01-01T00:00:00Z"
LOCK, STACK, BASE, RULE, REVISION = (
    "envctl.lock", "envctl.stack", "org.opencontainers.image.base.digest", "envctl.rules",
    "org.opencontainers.image.revision",
)  # fmt: skip
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Draft:
    """An image to be: the base's layers and the environment's parts, each of which may be measured already."""

    def __init__(self, recipe: Recipe, bring: Callable[[], dict[str, Path]], say: Callable[[str], None]) -> None:
        self.recipe, self.say = recipe, say
        self.contents = Contents(recipe.lock, recipe.base, recipe.place, bring, say)
        try:
            self.parts = self._remembered() or self._grouped()
        except BaseException:
            self.close()
            raise

    def _remembered(self) -> list[Part]:
        """The parts as they were measured before: neither wheels nor base are opened."""
        note = read_note("images", self.recipe.key)
        named = {package.sha256: package for package in self.recipe.lock.packages}
        parts = []
        for layer in note["layers"] if note else []:
            packages = tuple(named[sha] for sha in layer["wheels"])
            group = Group(packages=packages, last=layer["last"], lacking=self.recipe.lacking if layer["last"] else ())
            parts.append(Part(group, self.contents, Measured(**layer["measured"])))
        return parts

    def _grouped(self) -> list[Part]:
        sizes = {sha: path.stat().st_size for sha, path in self.contents.paths.items()}
        made = [Part(each, self.contents) for each in groups(self.recipe.lock.packages, sizes, self.recipe.lacking)]
        self.contents.check()  # what cannot be installed ends here, before anything is written
        if any(part.measured is None for part in made):
            assert self.contents.bytecode  # the compiler works from here on
        return made

    def close(self) -> None:
        """Nobody wants its bytes any more: end what is being made."""
        self.contents.close()

    def measure(self) -> None:
        """Have every part measured."""
        if wanted := sum(part.measured is None for part in self.parts):
            self.say(f"assembling {wanted} layers")
            try:
                list(self.layers())
            except BaseException:
                self.close()
                raise

    def layers(self) -> Iterator[Layer]:
        """The layers in their order, each as soon as it is measured, two at a time: inflating and hashing leave
        Python's lock alone."""
        from concurrent.futures import ThreadPoolExecutor

        yield from self.recipe.base.layers
        pool = ThreadPoolExecutor(2)
        try:
            yield from pool.map(_measured, self.parts)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def image(self) -> Image:
        """The image; its parts must be measured. What they come to is kept."""
        layers = tuple(part.layer() for part in self.parts)
        self._remember()
        return Image(config=compact_json(_config(self)), layers=(*self.recipe.base.layers, *layers))

    def finished(self) -> Image:
        """The image; what is not measured yet is."""
        self.measure()
        return self.image()

    def _remember(self) -> None:
        if read_note("images", self.recipe.key) is None:
            layers = [
                {
                    "wheels": [package.sha256 for package in part.group.packages],
                    "last": part.group.last,
                    "measured": asdict(part.measured) if part.measured else None,
                }
                for part in self.parts
            ]
            write_note("images", self.recipe.key, {"layers": layers})


def _measured(part: Part) -> Layer:
    for _ in part.tar() if part.measured is None else ():
        pass
    return part.layer()


def assemble(recipe: Recipe, bring: Callable[[], dict[str, Path]], say: Callable[[str], None]) -> Image:
    """The image of a recipe. `bring` is called for the wheels only when their bytes are needed."""
    with closing(Draft(recipe, bring, say)) as draft:
        return draft.finished()


def known(recipe: Recipe) -> Image | None:
    """The image when all of it was measured before, without its layers' bytes; None otherwise."""
    return assemble(recipe, _none, _silent) if recipe.was_measured else None


def _none() -> dict[str, Path]:
    raise AssertionError("a measured image needs no wheels")


def _silent(_text: str) -> None:
    """Say nothing."""


def _config(draft: Draft) -> dict[str, Any]:
    """The configuration: the base's, with the environment first on PATH, its layers, and labels that say what it is."""
    base = draft.recipe.base.config
    diff_ids = [layer.diff_id for layer in draft.recipe.base.layers]
    ours = [part.layer().diff_id for part in draft.parts]
    history = [{"created": BEGINNING, "created_by": f"envctl {part.group.title}"} for part in draft.parts]
    made = {
        "created": BEGINNING,
        "architecture": base.get("architecture", "amd64"),
        "os": base.get("os", "linux"),
        "config": _run_config(draft.recipe),
        "rootfs": {"type": "layers", "diff_ids": [*diff_ids, *ours]},
        # the base's own history would bring the time at which somebody imported it
        "history": [
            *[{"created": BEGINNING, "created_by": f"base {draft.recipe.base.digest}"}] * len(diff_ids),
            *history,
        ],
    }
    return made | ({"variant": base["variant"]} if base.get("variant") else {})


def _run_config(recipe: Recipe) -> dict[str, Any]:
    base = {name: value for name, value in (recipe.base.config.get("config") or {}).items() if name in KEPT and value}
    variables = dict(entry.partition("=")[::2] for entry in base.get("Env", []))
    variables["PATH"] = f"{PREFIX}/bin:{variables.get('PATH', PATH)}"
    own = {"Env": [f"{name}={value}" for name, value in variables.items()], "Labels": _labels(recipe)}
    return base | {"Cmd": [f"{PREFIX}/bin/python"]} | own


KEPT = ("User", "Env", "WorkingDir", "Labels", "ExposedPorts", "Volumes", "StopSignal", "Entrypoint")


def _labels(recipe: Recipe) -> dict[str, str]:
    """What the image says of itself; nothing of it depends on this machine."""
    packages = [f"{package.name} {package.version}" for package in recipe.lock.packages]
    labels = dict((recipe.base.config.get("config") or {}).get("Labels") or {})
    labels |= {LOCK: f"sha256:{recipe.lock.digest}", BASE: recipe.base.digest, RULE: str(RULES)}
    labels[STACK] = "; ".join([f"python {recipe.base.python}", *packages])
    return labels | ({REVISION: recipe.revision} if recipe.revision else {})
