"""Image specs (`images/*.toml`): the Python packages of an engine's environment."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from envctl.errors import BadInput
from envctl.recipe import (
    Ends,
    GraphTypes,
    Kernels,
    Lacks,
    Operators,
    Packages,
    Passes,
    Provider,
    Refusal,
    Types,
    is_for,
    read_ends,
    read_graph_types,
    read_kernels,
    read_lacks,
    read_operators,
    read_packages,
    read_passes,
    read_provider,
    read_types,
)
from envctl.tree import payload

if TYPE_CHECKING:
    from envctl.request import Pin
    from envctl.solver import Stack

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CONFORMANCE = "conformance"
SAMPLES = "samples"
NO_ENGINES = ("base", "licences", "routes", CONFORMANCE, SAMPLES)  # files in images/ that are about something else


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageSpec:
    """One engine's file in `images/`. `variants` are (versions they are for, packages with {component} holes).

    Without an `adapter` its environment can be made, but no model converted or run with it; one that does not `convert`
    runs models as they are, one that works `ahead_of_time` writes engines that envctl does not execute. `reads` are
    formats that only some of its releases read: (versions, formats). `also` are components of the matrix that belong
    into every environment of it. Without `types` nothing is known of the element types it reads; with `ends` a model's
    inputs and outputs are of those types alone. `features` are those that its recipes rest on: a wheel's extra that
    pins more than the wheel itself. `trial` is the worker's module that a smoke run of its image tries it with, where
    that is not the adapter. `symmetric` is the source that says that it takes symmetric quantisation only; `refuses`
    says why it has not some precision. `provider` is the one of several ways to execute, `providers` those that can be
    asked for; with `on_gpu` it takes the packages for a GPU where it comes for both sides.
    """

    engine: str
    option: str
    title: str
    adapter: str
    runs_on: Literal["cpu", "nvidia-gpu"]
    formats: frozenset[str]
    precisions: tuple[str, ...]
    domains: frozenset[str]
    variants: tuple[tuple[str, Packages], ...]
    types: tuple[Types, ...] = ()
    also: tuple[str, ...] = ()
    converts: bool = True
    reads: tuple[tuple[str, frozenset[str]], ...] = ()
    ahead_of_time: bool = False
    ends: Ends | None = None
    kernels: tuple[Kernels, ...] = ()
    operators: tuple[Operators, ...] = ()
    lacks: tuple[Lacks, ...] = ()
    passes: Passes | None = None
    features: frozenset[str] = frozenset()
    trial: str = ""
    graph_types: tuple[GraphTypes, ...] = ()
    symmetric: str = ""
    refuses: tuple[Refusal, ...] = ()
    provider: str = ""
    on_gpu: bool = False
    providers: tuple[Provider, ...] = ()

    def every_format(self) -> frozenset[str]:
        """The formats that any release reads."""
        return self.formats.union(*(formats for _, formats in self.reads))

    def readable(self, version: str) -> frozenset[str]:
        """The formats that this release reads."""
        return self.formats.union(*(formats for when, formats in self.reads if is_for(when, version)))

    def typed(self, version: str, precision: str | None) -> GraphTypes | None:
        """How that release comes to a precision by types in the graph; None where it has a way of its own."""
        fitting = (it for it in self.graph_types if is_for(it.when, version))
        return next((it for it in fitting if precision in it.precisions), None)

    def with_tools(self, tools: GraphTypes) -> ImageSpec:
        """The same engine with the packages that write types into graphs beside it."""
        added = tuple(
            (when, replace(it, requirements=it.requirements + tools.requirements, alone=it.alone | tools.alone))
            for when, it in self.variants
        )
        return replace(self, variants=added)

    def with_provider(self, name: str) -> ImageSpec:
        """The same engine executing another way; raises `BadInput` where it has none of that name."""
        if name in ("", self.provider):
            return self
        found = next((each for each in self.providers if each.name == name), None)
        if found is None:
            do = [f"{self.title} has: {', '.join(each.name for each in self.providers) or 'no other than its own'}"]
            raise BadInput(f"--provider {name}: {self.title} has none of that name", do=do)
        added = tuple(
            (when, replace(it, requirements=it.requirements + found.requirements, index=it.index | found.index))
            for when, it in self.variants
        )
        return replace(
            self,
            title=found.title,
            adapter=found.adapter or self.adapter,
            runs_on=cast("Literal['cpu', 'nvidia-gpu']", found.runs_on or self.runs_on),
            converts=self.converts if found.converts is None else found.converts,
            also=self.also + found.also,
            features=self.features | found.features,
            variants=added,
            provider=name,
            on_gpu=found.on == "gpu",
        )

    def lacks_kernel(self, version: str, op: str, dtype: str) -> str:
        """The source that says that a release has no such operator for a type, "" where none does."""
        rows = [row for row in self.kernels if is_for(row.when, version)]
        return next((row.source for row in rows if dtype not in row.takes.get(op, (dtype,))), "")

    def lacking(self, version: str, ops: frozenset[tuple[str, str]]) -> tuple[list[str], str]:
        """Of (domain, operator) pairs those that a release does not read, and what says so; none where nothing does."""
        own = {op for domain, op in ops if domain == "ai.onnx"}
        rows = [row for row in self.operators if is_for(row.when, version)]
        found = [(sorted(own - row.names), row.source) for row in rows[:1]]
        found += [(sorted(own & row.names), row.source) for row in self.lacks if is_for(row.when, version)]
        return next(((names, source) for names, source in found if names), ([], ""))

    @property
    def quantises(self) -> bool:
        """Whether some release comes to int8 by a step of envctl's."""
        return any("int8" in each.precisions for each in self.graph_types)

    def with_company(self, pins: tuple[Pin, ...], also: tuple[str, ...] = ()) -> tuple[Pin, ...]:
        """The pins, and one that any version fits for each component that belongs beside the engine."""
        from envctl.request import Pin
        from envctl.versions import Condition

        said = {pin.name for pin in pins}
        any_version = Condition(any=(">=0",))
        origin = f"images/{self.engine}.toml"
        return pins + tuple(
            Pin(name=n, condition=any_version, said=origin) for n in (*self.also, *also) if n not in said
        )

    def packages(self, stack: Stack) -> Packages:
        """The distributions for a stack's versions."""
        version = stack.version(self.engine)
        versions = {choice.name: choice.version for choice in stack.choices.values()}
        for when, packages in self.variants:
            if packages.fits(stack) and is_for(when, version):
                return packages.filled(versions)
        served = [" ".join(filter(None, (when or "all", each.on and f"on {each.on}"))) for when, each in self.variants]
        what = f"images/{self.engine}.toml has no recipe for {self.engine} {version}"
        if any(each.on for _, each in self.variants):
            what += f" on {'gpu' if stack.on_gpu else 'cpu'}"
        raise BadInput(what, do=[f"versions it has a recipe for: {', '.join(served)}"])


def engines() -> list[str]:
    """Every engine that has an image spec, sorted."""
    return sorted(path.stem for path in payload("images").glob("*.toml") if path.stem not in NO_ENGINES)


def read_spec(engine: str) -> ImageSpec:
    """The spec of an engine; raises `BadInput` when envctl has none."""
    path = payload("images") / f"{engine}.toml"
    if engine in NO_ENGINES or not path.is_file():
        do = [f"engines of this version: {', '.join(engines())}"]
        raise BadInput(f"envctl cannot make an environment for {engine} yet", do=do)
    return _spec(_load(path))


def _load(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _spec(data: dict[str, Any]) -> ImageSpec:
    variants = tuple((table.get("when", ""), read_packages(table)) for table in data["packages"])
    return ImageSpec(
        engine=data["engine"],
        option=data["option"],
        title=data["title"],
        adapter=data["adapter"],
        runs_on=data["runs_on"],
        formats=frozenset(data["formats"]),
        precisions=tuple(data["precisions"]),
        domains=frozenset(data["domains"]),
        variants=variants,
        types=tuple(read_types(table) for table in data.get("types", ())),
        also=tuple(data.get("also", ())),
        converts=data.get("converts", True),
        ahead_of_time=data.get("ahead_of_time", False),
        reads=tuple((it["when"], frozenset(it["formats"])) for it in data.get("reads", ())),
        ends=read_ends(data["ends"]) if "ends" in data else None,
        kernels=tuple(read_kernels(table) for table in data.get("kernels", ())),
        operators=tuple(read_operators(table) for table in data.get("operators", ())),
        lacks=tuple(read_lacks(table) for table in data.get("lacks", ())),
        passes=read_passes(data["passes"]) if "passes" in data else None,
        features=frozenset(data.get("features", ())),
        trial=data.get("trial", ""),
        graph_types=tuple(read_graph_types(table) for table in data.get("graph_types", ())),
        symmetric=data.get("symmetric", ""),
        provider=data.get("provider", ""),
        providers=tuple(read_provider(table) for table in data.get("providers", ())),
        refuses=tuple(Refusal(**table) for table in data.get("refuses", ())),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeTests:
    """The test data that a release brings: the folder in its wheel, and how far answers may differ."""

    distribution: str
    version: str
    python: str
    folder: str
    rtol: float
    atol: float


def node_tests() -> NodeTests:
    """ONNX's node tests (images/conformance.toml)."""
    table = _load(payload("images") / f"{CONFORMANCE}.toml")
    names = ("distribution", "version", "python", "folder", "rtol", "atol")
    return NodeTests(**{name: table[name] for name in names})


def sample_packages() -> Packages:
    """The distributions that read samples (images/samples.toml)."""
    return Packages(requirements=tuple(_load(payload("images") / f"{SAMPLES}.toml")["requirements"]), index={})
