"""A model that is no ONNX, as a fact for the doctor: what its file says, and the way that it takes to each engine."""

from __future__ import annotations

from typing import Any

from envctl import routes
from envctl.errors import BadInput
from envctl.model import ModelFacts
from envctl.spec import engines, read_spec


def described(facts: ModelFacts, named: tuple[str, ...]) -> dict[str, Any]:
    """The header as plain data, with the way to each engine that was named, or to every one that takes it."""
    ways = [_way(facts, name) for name in named or engines() if name in engines() and read_spec(name).adapter]
    return {
        "name": facts.path.name,
        "format": facts.format,
        "written_by": " ".join(filter(None, (facts.producer, facts.producer_version))),
        "inputs": [str(tensor) for tensor in facts.inputs],
        "ways": ways if named else [way for way in ways if not way["why"]],
        "do": next((way["do"] for way in ways if way["why"]), []),
    }


def _way(facts: ModelFacts, name: str) -> dict[str, Any]:
    """How an engine comes to the model: `through` a format in a framework's environment, or `why` it does not."""
    found = {"engine": name, "through": "", "why": "", "do": list[str]()}
    try:
        route = routes.find(facts.format, read_spec(name).every_format())
    except BadInput as error:
        return found | {"why": error.what, "do": error.do}
    return found | {"through": f"{route.to} in {route.engine}" if route else ""}
