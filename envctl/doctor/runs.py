"""What runs on a machine: the newest version of every engine on GPU and CPU, or the one line why not. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from envctl.matrix import Matrix
from envctl.narrow import narrow
from envctl.proof import claims, minimal
from envctl.release import Claim
from envctl.request import Request
from envctl.solver import Conflict, Stack, solve_in
from envctl.world import World

GPU_FACTS = ("gpu", "driver")
# the matrix has no rows of those builds, so nothing can be said of their versions
JETSON = "on a Jetson engines for the GPU are NVIDIA's builds for its JetPack, not the releases for PCs and servers"


@dataclass(frozen=True, kw_only=True, slots=True)
class Runs:
    """The newest versions of an engine; "" where there is none, then `why` says it. `unknown` facts were not told."""

    engine: str
    gpu: str = ""
    cpu: str = ""
    why: str = ""
    unknown: tuple[str, ...] = ()


def runs_here(matrix: Matrix, request: Request) -> list[Runs]:
    """Every engine of the matrix, in the alphabet's order."""
    names = [name for name in matrix.names() if matrix.component(name).kind == "engine"]
    return [runs_of(matrix, replace(request, engine=name, pins=())) for name in names]


def runs_of(matrix: Matrix, request: Request) -> Runs:
    """The engine of the request, with its pins."""
    worlds = [World(matrix=matrix, request=replace(request, on_gpu=gpu)) for gpu in (True, False)]
    on_gpu, on_cpu = map(solve_in, worlds)
    found = {}
    jetson = "l4t" in request.known
    if not jetson and isinstance(on_gpu, Stack) and on_gpu.on_gpu and not _unmet_gpu(on_gpu):
        found["gpu"] = on_gpu.version(request.engine)
    if isinstance(on_cpu, Stack) and not on_cpu.on_gpu:
        found["cpu"] = on_cpu.version(request.engine)
    stacks = [stack for stack in (on_gpu, on_cpu) if isinstance(stack, Stack)]
    unknown = sorted({claim.name for stack in stacks for claim in stack.unmet})
    why = "" if found else JETSON if jetson else _why(worlds[0], on_gpu)
    return Runs(engine=request.engine, unknown=tuple(unknown), why=why, **found)


def _unmet_gpu(stack: Stack) -> bool:
    return any(claim.name in GPU_FACTS for claim in stack.unmet)


def _why(world: World, answer: Stack | Conflict) -> str:
    """The claim that a fact of this machine fails, or the last line of the proof."""
    if not isinstance(answer, Conflict):
        return f"nothing is known of its {' and '.join(GPU_FACTS)}"
    matrix, request, domains = world.matrix, world.request, narrow(world)
    failed = [need.cause for need in domains.failed.values() if need.name in request.known]
    own = [cause for cause in failed if isinstance(cause, Claim) and cause.owner.startswith(f"{request.engine} ")]
    proven = [] if own else claims(matrix, request, minimal(matrix, answer))
    blamed = [*own, *proven]
    if not blamed:
        return f"the matrix knows no {' '.join(str(pin.condition) for pin in request.pins)} of it"
    claim = next((each for each in blamed if each.name in request.known), proven[0] if proven else own[0])
    here = request.known[claim.name].values if claim.name in request.known else ()
    return f"{claim.owner} needs {claim.name} {claim.condition}; here {claim.name} is {' '.join(here) or 'none'}"
