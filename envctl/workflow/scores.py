"""A person's own metric: a function of theirs gives each sample a score, in a worker with numpy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from envctl import samples
from envctl.errors import BadInput, JobFailed, Reason
from envctl.job import Job
from envctl.runner.outcome import tail
from envctl.workflow import steps

if TYPE_CHECKING:
    import numpy as np

    from envctl.workflow.work import Work

    Array = np.ndarray[Any, np.dtype[Any]]

FOLDER = "metric"


def of(work: Work, expected: dict[str, Array], answers: dict[str, Array], labels: Array) -> list[Array]:
    """The scores [samples] of the reference and of the target: FUNCTION(outputs by name, labels), more is better."""
    import numpy as np

    entry, reader = samples.ENTRY.fullmatch(work.ask.metric), work.outcome.reader
    assert entry and reader
    folder, source = work.folder / FOLDER, Path(entry["file"])
    names = list(expected)
    arrays = [*expected.values(), *(answers[name] for name in names), labels]
    steps.write_inputs(folder, {str(index): array for index, array in enumerate(arrays)})
    options = {"function": entry["function"], "outputs": names}
    job = Job(
        folder=folder, step="convert", adapter="scores", source=source.resolve(), companions=(), limits=work.limits,
        options=options,
    )  # fmt: skip
    job.write()
    result = work.runner.run(job, reader)
    if result.status == "unsupported":
        raise BadInput(f"--metric {work.ask.metric}", because=[Reason(text=result.message)])
    if not result.ok:
        lines = [line for line in (result.message or tail(folder, 5)).splitlines() if line.strip()]
        because = [Reason(text=line[:300], source=result.status if i == 0 else "") for i, line in enumerate(lines[:6])]
        raise JobFailed(f"{work.ask.metric} gave no scores", because=because, do=[f"read {folder / 'worker.log'}"])
    return [np.asarray(np.load(path, allow_pickle=False), np.float64) for path in result.artifacts]
