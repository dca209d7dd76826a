"""Jobs made from prepared environments, and their results read back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envctl.errors import EnvctlError, HostLacks, JobFailed, Reason
from envctl.job import Job, Limits, Result, Step
from envctl.model import ModelFacts
from envctl.runner import Runner
from envctl.runner.outcome import tail
from envctl.tree import disk_errors, write_whole
from envctl.workflow import lacking, remedies
from envctl.workflow.ask import Ask
from envctl.workflow.explain import told_by
from envctl.workflow.prepare import Prepared, check_versions
from envctl.workflow.target import device_of

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

FRAMEWORKS = ("saved-model", "graph-def")  # formats that OpenVINO reads as well as TensorFlow
WAYS_OUT = {
    "out-of-memory": "raise the cap: --memory 16g (or use a smaller shape)",
    "timeout": "raise the cap: --timeout SECONDS",
    "disk-full": "free some space, or set ENVCTL_CACHE to a folder on a larger disk",
    "unsupported": "try another version or engine; the message names the operator",
}


def limits(ask: Ask, total_memory: int) -> Limits:
    """The caps on one worker: by default three quarters of this machine's memory, 8 GiB at most."""
    memory = ask.memory or min(8 << 30, total_memory * 3 // 4)
    return Limits(memory=memory, seconds=ask.seconds)


def job(
    folder: Path, step: Step, prepared: Prepared, source: Path, companions: list[Path], ask: Ask, caps: Limits
) -> Job:
    """A job for a step of a prepared engine."""
    options: dict[str, Any] = {
        "precision": ask.precision or "fp32",
        "threads": ask.threads,
        "shapes": {name: list(shape) for name, shape in ask.shapes.items()},
        "ranges": {name: [list(shape) for shape in three] for name, three in ask.ranges.items()},
        "gpu": [ask.gpu] if ask.gpu else [],
        "device": device_of(prepared.plan.spec),
        "provider": prepared.plan.spec.provider,
        "allow_fallback": ask.allow_fallback,
    }
    return Job(
        folder=folder,
        step=step,
        adapter=prepared.plan.spec.adapter,
        source=source.resolve(),
        companions=() if source.is_dir() else tuple(path.resolve() for path in companions),  # a folder holds them
        limits=caps,
        options=options,
    )


def write_inputs(folder: Path, inputs: Mapping[str, Array]) -> None:
    """Write a job's arrays into its folder, readable for a container's user whatever the umask is."""
    import numpy as np

    with disk_errors(folder):
        (folder / "inputs").mkdir(parents=True, exist_ok=True)
        (folder / "inputs").chmod(0o755)
        for index, array in enumerate(inputs.values()):
            path = folder / "inputs" / f"{index}.npy"
            np.save(path, array, allow_pickle=False)
            path.chmod(0o644)


def go(folder: Path, made: str = "") -> None:
    """Tell the job that waits in `folder` that its inputs are there, and the name of its source where that was made."""
    write_whole(folder / "go", made)


def run(job: Job, prepared: Prepared, runner: Runner) -> Result:
    """The result of a step that worked; raises `JobFailed` otherwise (the job's folder stays), `HostLacks` for disk."""
    job.write()
    result = runner.run(job, prepared.environment)
    if not result.ok:
        raise failure(job, prepared, result)
    check_versions(prepared, result)
    return result


def failure(job: Job, prepared: Prepared, result: Result) -> EnvctlError:
    """The error for a failed step: the worker's own words, the end of the log, how to do it again."""
    step = "run what was made" if job.source.name == "artifact" else f"{job.step} {job.source.name}"
    what = f"{prepared.plan.title} could not {step}"
    if result.status == "disk-full":
        reason = Reason(text=result.message[:300], source=result.status)
        return HostLacks(f"{what}: no space left", because=[reason], do=[WAYS_OUT[result.status]])
    if result.lacking:
        return _lacks(job, prepared, result)
    lines = [line for line in (result.message or tail(job.folder, 5)).splitlines() if line.strip()]
    because = [Reason(text=line[:300], source=result.status if i == 0 else "") for i, line in enumerate(lines[:6])]
    cause, remedies = _explained(job, result)
    do = [*remedies, *([WAYS_OUT[result.status]] if result.status in WAYS_OUT else []), *_other_way(job)]
    do += [f"read {job.folder / 'worker.log'}", f"do it again: {job.folder / 'reproduce.sh'}"]
    because += cause
    error = JobFailed(what, because=because, do=do)
    error.kind = result.status
    return error


def _lacks(job: Job, prepared: Prepared, result: Result) -> EnvctlError:
    """The error of an engine that named what it lacks."""
    form, engine = str(job.options.get("format", "")), prepared.plan.spec
    found = lacking.located(job.source, form, result.lacking)
    step = "convert" if job.step == "ask" else job.step
    what = f"{prepared.plan.title} could not {step} {job.source.name}: it has no way for {lacking.names(found)}"
    error = JobFailed(what, because=lacking.reasons(found, result.status))
    error.kind = result.status
    cause, known = _explained(job, result, sure=True)
    error.because += cause
    ways = remedies.ways_out(found, form, engine, routed="to" in job.options)
    error.do = [*known, *(way for way in ways if not (known and "--via onnx" in way))]
    error.do += [f"read {job.folder / 'worker.log'}", f"do it again: {job.folder / 'reproduce.sh'}"]
    lacking.attach(error, found)
    return error


def _other_way(job: Job) -> list[str]:
    """An engine that reads a framework's model itself knows less of it than the framework."""
    direct = job.step == "convert" and "to" not in job.options and job.options.get("format") in FRAMEWORKS
    return ["let the model pass its framework first: --via onnx"] if direct else []


def _explained(job: Job, result: Result, *, sure: bool = False) -> tuple[list[Reason], list[str]]:
    """What `envctl explain` would say of a failure whose cause the worker could not name itself; with `sure`, only what
    it does not guess."""
    if result.status not in ("engine-error", "engine-missing", "killed", "bad-result", "no-device", "unsupported"):
        return [], []
    return told_by(f"{tail(job.folder, 400)}\n{result.message}", sure=sure)


def read_outputs(result: Result) -> dict[str, Array]:
    """The arrays a worker wrote, by name; no pickles, and only files in its own folder (job.read_result)."""
    import numpy as np

    try:
        return {output.name: np.load(output.file, allow_pickle=False) for output in result.outputs}
    except (ValueError, OSError, EOFError, MemoryError) as error:
        raise JobFailed(f"the arrays in {result.folder} cannot be read", because=[Reason(text=str(error))]) from error


def precision_that_ran(result: Result, artifact: ModelFacts | None, ask: Ask, source: ModelFacts) -> str:
    """The precision read back from the engine, or from the graph that it wrote and computes as it stands.

    Raises `HostLacks` when it is not the one asked for, or lower than anybody asked for.
    """
    ran = result.read_back.get("precision") or (artifact.precision() if artifact else "unknown")
    if ask.precision == "int8" and result.read_back.get("int8_layers") == "0":
        ran = "fp32"  # rounded as int8, and computed in float32
    order = ["int8", "bf16", "fp16", "fp32"]
    allowed = min(ask.precision or "fp32", source.precision(), key=order.index)
    if ran not in order or order.index(ran) < order.index(allowed) or (ask.precision and ran != allowed):
        because = [Reason(text=f"{name}: {value}", source="read back") for name, value in result.read_back.items()]
        do = ["leave --precision out, or use a machine whose CPU has that type (bf16: avx512_bf16 or amx_bf16)"]
        raise HostLacks(f"asked for {ask.precision or 'fp32'}, but {ran} ran", because=because, do=do)
    return ran
