"""What a model's file asks of its framework's environment, beside what the person said."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from packaging.version import Version

from envctl.errors import NoStack
from envctl.model import ModelFacts
from envctl.request import Pin
from envctl.versions import Condition

if TYPE_CHECKING:
    from envctl.workflow.plan import Plan

KERAS, LEGACY = "keras", "tf-keras"


def with_file(facts: ModelFacts | None, said: tuple[Pin, ...], make: Callable[[tuple[Pin, ...]], Plan]) -> Plan:
    """The first plan that stands, of those with each way to read the file; raises `NoStack` of the first way."""
    ways = _ways(facts, said) if facts else [()]
    try:
        return make(said + ways[0])
    except NoStack:
        for way in ways[1:]:
            with suppress(NoStack):
                return make(said + way)
        raise


def _ways(facts: ModelFacts, said: tuple[Pin, ...]) -> list[tuple[Pin, ...]]:
    """A Keras file is read by the Keras of its major version that is not older than the one that wrote it: an older one
    fails in words about layers and variables (docs/evidence.md#keras-files). Keras 2 comes with TensorFlow up to 2.15,
    and beside a newer one as tf-keras."""
    named = {pin.name for pin in said}
    if facts.format not in ("keras", "keras-h5") or not facts.producer_version or named & {KERAS, LEGACY}:
        return [()]
    written = Version(facts.producer_version)
    condition = Condition(any=(f">={written.major}.{written.minor},<{written.major + 1}",))
    origin = f"{facts.path.name} was written by Keras {written}"
    names = [KERAS, LEGACY] if written.major == 2 else [KERAS]
    return [(Pin(name=name, condition=condition, said=origin),) for name in names]
