"""What a document says beside its cells: the model, the machine, the settings, the reference."""

from __future__ import annotations

from envctl import __version__
from envctl.bench.document import Document, Host, Model, Noise, Reference, Settings, TensorShape
from envctl.host import HostFacts
from envctl.model import ModelFacts
from envctl.workflow import gpu_counters, surroundings
from envctl.workflow.cells import own_batch
from envctl.workflow.comparison import Comparison
from envctl.workflow.prepare import Prepared


def begun(wanted: Comparison, facts: ModelFacts, host: HostFacts, runner: str) -> Document:
    """The document before anything is measured."""
    matrix, base = wanted.matrix, wanted.base
    settings = Settings(
        rounds=wanted.rounds,
        seconds=wanted.seconds,
        seed=base.seed,
        samples=base.samples,
        batch=matrix.batches or (own_batch(facts, base.shapes),),
        threads=matrix.threads,
        precision=tuple(matrix.precisions),
        colocate=matrix.colocate,
    )
    return Document(
        kind=wanted.kind,
        envctl=__version__,
        command=wanted.command,
        model=_model(facts),
        host=_host(host, runner),
        settings=settings,
        noise=_noise(host),
    )


def _noise(host: HostFacts) -> Noise:
    """What the machine is doing before any cell does something."""
    busy = gpu_counters.busy() if host.value("gpu") else None
    notes = (f"other work took {busy:.0%} of the GPU before this began",) if busy else ()
    return Noise(load_before=surroundings.load(), foreign_cpu=None, foreign_gpu=busy, notes=notes)


def _model(facts: ModelFacts) -> Model:
    files = [inner for path in facts.files() for inner in ([path] if path.is_file() else path.rglob("*"))]
    inputs = tuple(TensorShape(name=it.name, dtype=it.dtype, shape=it.shape) for it in facts.inputs)
    size = sum(path.stat().st_size for path in files if path.is_file())
    return Model(path=str(facts.path), digest=facts.sha256, format=facts.format, bytes=size, inputs=inputs)


def _host(host: HostFacts, runner: str) -> Host:
    cores, memory = host.value("cores"), host.value("memory")
    return Host(
        cpu=host.value("cpu_model"),
        cores=int(cores) if cores else None,
        memory=int(memory) if memory else None,
        os=host.value("os"),
        kernel=host.value("kernel"),
        gpu=tuple((host.value("gpu") or "").split()),
        driver=host.value("driver"),
        governor=surroundings.governor(),
        runner=runner,
    )


def reference(prepared: Prepared) -> Reference:
    """The engine that said what is right."""
    engine = prepared.plan.spec.engine
    return Reference(engine=engine, version=prepared.plan.stack.version(engine), lock=prepared.environment.lock.digest)
