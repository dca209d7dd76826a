"""Element types of a model's inputs and outputs, looked at before anything is made for it."""

from __future__ import annotations

from envctl.errors import NoStack, Reason
from envctl.model import ModelFacts, Tensor
from envctl.spec import ImageSpec


def check_ends(spec: ImageSpec, facts: ModelFacts) -> None:
    """Raise `NoStack` for an input or output of a type that the engine has no numbers for."""
    wrong = wrong_ends(spec, facts)
    if spec.ends is None or not wrong:
        return
    because = [Reason(text=f"{facts.path.name} has {tensor}", source="its header") for tensor in wrong]
    allowed = " and ".join(sorted({*spec.ends.inputs, *spec.ends.outputs}))
    because.append(Reason(text=f"{spec.title} takes and gives {allowed}", source=spec.ends.source))
    do = ["cut the model where its numbers are of that type (the embedding of token ids, say, before it)"]
    do += ["or use an engine that has the type: --openvino, --ort"]
    raise NoStack(f"{spec.title} cannot take or give {wrong[0].dtype} ({wrong[0].name})", because=because, do=do)


def wrong_ends(spec: ImageSpec, facts: ModelFacts) -> list[Tensor]:
    """The inputs and outputs whose element type the engine does not have; none where nothing is known of it."""
    if spec.ends is None:
        return []
    wrong = [tensor for tensor in facts.inputs if tensor.dtype not in ("", *spec.ends.inputs)]
    return wrong + [tensor for tensor in facts.outputs if tensor.dtype not in ("", *spec.ends.outputs)]
