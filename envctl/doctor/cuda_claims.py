"""What the matrix says of driver and GPU libraries found here, as more facts: `cuda_runtimes`, `driver_limits` and
`driver_cuda`, the CUDA version that the driver offers.

Rules know no versions: which driver and GPU a CUDA runtime or a TensorRT needs stands in the matrix, with its source.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from envctl.doctor.check import Facts
from envctl.host import Fact, HostFacts
from envctl.matrix import Matrix
from envctl.release import Claim, Release
from envctl.versions import spans

COMPONENTS = {"libcudart": "cuda", "libnvinfer": "tensorrt"}


def with_cuda_claims(matrix: Matrix, host: HostFacts) -> HostFacts:
    """The same facts, and what each CUDA runtime and TensorRT found here lacks of driver and GPU."""
    runtimes = Fact(
        name="cuda_runtimes", value=list(_runtimes(matrix, host)), origin="matrices/cuda.toml, tensorrt.toml"
    )
    limits = Fact(name="driver_limits", value=list(_driver_limits(matrix, host)), origin="matrices/driver.toml")
    offered = _offered(matrix, host)
    return replace(host, facts={**host.facts, **{fact.name: fact for fact in (runtimes, limits, offered)}})


def _offered(matrix: Matrix, host: HostFacts) -> Fact:
    """The CUDA version that the driver offers: as it says, or by its branch where nobody can ask it."""
    nvml, driver = Facts(host=host).get("nvml") or {}, _known(Facts(host=host)).get("driver") or []
    row = matrix.component("driver").row(driver[0]) if driver else None
    branch = row.provides.get("cuda-umd") if row else None
    value, origin = (nvml["cuda"], "nvml") if nvml.get("cuda") else (branch, "matrices/driver.toml")
    return Fact(name="driver_cuda", value=value, origin=origin, error="" if value else "no driver's version is known")


def _runtimes(matrix: Matrix, host: HostFacts) -> Iterator[dict[str, Any]]:
    facts = Facts(host=host)
    for soname, found in (facts.get("libraries") or {}).items():
        component = COMPONENTS.get(soname.partition(".")[0])
        if component and found.get("version"):
            release = _release(matrix, component, found["version"])
            unmet = list(_unmet(release, facts)) if release else []
            yield {"component": component, "version": found["version"], "path": found["path"], "unmet": unmet}


def _release(matrix: Matrix, component: str, version: str) -> Release | None:
    """The row of a version, or the newest of its minor series: a library's patch number is not the toolkit's."""
    row = matrix.component(component).row(version)
    series = ".".join(version.split(".")[:2]) + "."
    return row or next((it for it in matrix.component(component).releases if it.version.startswith(series)), None)


def _unmet(release: Release, facts: Facts) -> Iterator[dict[str, Any]]:
    known = _known(facts)
    for kind, claims in (("needs", release.requires), ("ptx", release.ptx)):
        for claim in claims:
            for value in known.get(claim.name, ()):
                if not claim.condition.admits(value):
                    yield _said(claim, value, kind)


def _known(facts: Facts) -> dict[str, list[str]]:
    """Driver and GPUs as claims name them; WSL runs Windows' driver."""
    windows = (facts.get("nvml") or {}).get("driver") if facts.get("wsl_gpu") else None
    driver = "driver-windows" if windows else "driver"
    version = windows or facts.get("driver")
    if facts.get("tegra_gpu"):
        version = None  # its driver has numbers of its own
    return {driver: [version] if version else [], "gpu": str(facts.get("gpu") or "").split()}


def _said(claim: Claim, value: str, kind: str) -> dict[str, Any]:
    lowest = min((low for low, _ in spans(claim.condition)), default=None)
    older = lowest is not None and tuple(map(int, value.split(".")[:2])) < lowest.release[:2]
    return {
        "kind": kind,
        "name": claim.name,
        "wants": str(claim.condition),
        "has": value,
        "older": older,
        "source": claim.source,
    }


def _driver_limits(matrix: Matrix, host: HostFacts) -> Iterator[dict[str, str]]:
    row = matrix.component("driver").row(host.value("driver") or "0")
    for claim in row.requires if row else ():
        for value in (host.value("gpu") or "").split():
            if claim.name == "gpu" and not claim.condition.admits(value):
                yield {"gpu": value, "wants": str(claim.condition), "source": claim.source}
