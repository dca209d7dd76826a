"""`.keras` archives: metadata.json tells Keras 2 from 3, config.json is the model, model.weights.h5 its weights."""

from __future__ import annotations

from pathlib import Path

from envctl.model.archive import Archive
from envctl.model.facts import ModelFacts
from envctl.model.keras_config import Net, net_of, parsed
from envctl.model.limits import Damaged, mapped

WEIGHTS = "model.weights.h5"
CONFIG_MAX = 16 << 20


def read(path: Path, archive: Archive) -> ModelFacts:
    """The facts of a .keras archive."""
    meta, config = parsed(archive.read("metadata.json", 1 << 16)), parsed(archive.read("config.json", CONFIG_MAX))
    if not isinstance(meta, dict) or not isinstance(config, dict):
        raise Damaged("metadata.json and config.json are no records")
    net = net_of(config)
    stored, notes = _weights(path, archive)
    return facts(path, "keras", str(meta.get("keras_version") or ""), net, stored, notes)


def facts(
    path: Path, kind: str, version: str, net: Net, stored: list[tuple[str, int, int]] | None, notes: list[str]
) -> ModelFacts:
    """The facts of a Keras model of either format; `stored` are type, elements and bytes of its weights."""
    return ModelFacts(
        path=path,
        format="keras" if kind == "keras" else "keras-h5",
        size=path.stat().st_size,
        producer="keras",
        producer_version=version[:80],
        inputs=tuple(net.inputs),
        outputs=tuple(net.outputs),
        op_counts=dict(net.layers),
        weights=frozenset(dtype for dtype, _, _ in stored or ()),
        parameters=None if stored is None else sum(count for _, count, _ in stored),
        parameter_bytes=None if stored is None else sum(size for _, _, size in stored),
        notes=tuple(dict.fromkeys([*net.notes, *notes])),
        risks=tuple(dict.fromkeys(net.risks)),
    )


def _weights(path: Path, archive: Archive) -> tuple[list[tuple[str, int, int]] | None, list[str]]:
    from envctl.model.hdf5 import Hdf5

    place = archive.where(WEIGHTS)
    if place is None:
        return None, ["its weights were not counted: they are compressed, or kept in another way than as " + WEIGHTS]
    try:
        with mapped(path) as data:
            inner = Hdf5(data[place[0] : place[0] + place[1]])
            return [each for name, each in inner.datasets() if not name.startswith("optimizer")], []
    except Damaged as error:
        return None, [f"its weights were not counted: {error}"]
