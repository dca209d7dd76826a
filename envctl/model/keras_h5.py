"""`.h5` files of Keras: the attributes `model_config` and `keras_version`, and the weights' types and shapes."""

from __future__ import annotations

from pathlib import Path

from envctl.model.facts import ModelFacts
from envctl.model.hdf5 import Hdf5
from envctl.model.keras_config import net_of, parsed
from envctl.model.keras_zip import facts
from envctl.model.limits import mapped

WEIGHTS = "model_weights/"


def read(path: Path) -> ModelFacts:
    """The facts of an HDF5 file: a Keras model, or weights alone."""
    with mapped(path) as data:
        file = Hdf5(data)
        said = file.attributes(file.object(file.root))
        stored = dict(file.datasets())
    version = said.get("keras_version", "")
    if "model_config" in said:
        own = [each for name, each in stored.items() if name.startswith(WEIGHTS)]
        return facts(path, "keras-h5", version, net_of(parsed(said["model_config"])), own, [])
    return ModelFacts(
        path=path,
        format="keras-weights",
        size=path.stat().st_size,
        producer="keras"
        if version or "layer_names" in said or "layers" in {name.split("/")[0] for name in stored}
        else "",
        producer_version=version[:80],
        weights=frozenset(dtype for dtype, _, _ in stored.values()),
        parameters=sum(count for _, count, _ in stored.values()),
        parameter_bytes=sum(size for _, _, size in stored.values()),
        notes=("HDF5 with weights and without a model: the code that builds the model is needed",),
    )
