"""The inputs of a run: made from a seed, or read from the user's file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from envctl.errors import BadInput, Reason
from envctl.model import ModelFacts
from envctl.verify import inputs
from envctl.workflow.ask import Ask
from envctl.workflow.outcome import Outcome

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]


def described(name: str, array: Array) -> str:
    """An output in a line: element type, shape with the samples first, and its range."""
    shape = ",".join(map(str, array.shape))
    span = f"{array.min():.4g} … {array.max():.4g}" if array.size else "empty"
    return f"{name} {array.dtype}[{shape}]  {span}"


def make_feeds(ask: Ask, source: ModelFacts, outcome: Outcome) -> dict[str, Array]:
    """The inputs that were asked for, [samples, ...] each, in the order of the model's inputs."""
    if outcome.dataset:
        outcome.inputs = outcome.dataset.said
        return outcome.dataset.arrays
    if ask.input is None:
        outcome.inputs = f"{ask.samples} sample{'s' if ask.samples > 1 else ''} from seed {ask.seed}"
        return inputs.seeded(source.inputs, ask.shapes, seed=ask.seed, samples=ask.samples)
    feeds = inputs.checked(load_arrays(ask.input), source.inputs)
    count = len(next(iter(feeds.values())))
    outcome.inputs = f"{count} sample{'s' if count > 1 else ''} from {ask.input}"
    return feeds


def load_arrays(path: Path) -> dict[str, Array]:
    """The arrays of an .npz file; raises `BadInput` for anything else."""
    import zipfile
    import zlib

    import numpy as np

    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise ValueError("it is a single array without a name (.npy)")
        with loaded as archive:
            # what is not an .npy file inside comes back as bytes
            return {name: np.asarray(archive[name]) for name in archive.files}
    except FileNotFoundError as error:
        raise BadInput(f"no such file: {path}", do=["give an .npz file, or 'seeded'"]) from error
    except (ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        do = ["save the inputs with numpy.savez(FILE, name=array, …)"]
        raise BadInput(f"{path} is not an .npz file", because=[Reason(text=str(error)[:200])], do=do) from error
