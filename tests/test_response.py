"""A reference that proves nothing is refused: constant, all but constant, blind to order, all NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from envctl.verify.compare import judge
from envctl.verify.response import Response, responses, telling, with_probes
from envctl.verify.tolerance import FP32
from tests.verdicts import BF16, INT8, PROBES, Array, scores, verdict


def answers(model: Any, inputs: Array) -> tuple[dict[str, Array], list[Response]]:
    """What a model (a function of one sample) answers to the inputs, and how it responded to their probes."""
    outputs = {"y": np.stack([model(sample) for sample in with_probes({"x": inputs}, 0)["x"]])}
    return {"y": outputs["y"][: len(inputs)]}, responses(outputs, len(inputs), telling({"x": inputs}))


def dense(x: Array) -> Array:
    """An honest model: [3,8,8] -> [1,10], each at most 1."""
    return np.tanh(x.reshape(1, -1) @ np.random.default_rng(1).standard_normal((x.size, 10)))


X = np.random.default_rng(5).standard_normal((6, 3, 8, 8))


@pytest.mark.parametrize(
    ("model", "probes"),
    [
        (lambda x: np.ones((1, 10)) + 0 * x.max(), list(PROBES)),
        (lambda x: np.ones((1, 10)) + 1e-6 * x.mean(), list(PROBES)),
        (lambda x: np.sort(x.reshape(1, -1)), ["permuted"]),
        (lambda x: np.full((1, 4), float(x.any())), ["permuted", "another sample"]),
    ],
    ids=["constant", "all but constant", "blind to order", "any input but zero"],
)
def test_a_reference_that_does_not_respond_certifies_nothing(model: Any, probes: list[str]) -> None:
    """Every wrong layout passes on such a model: the verdict is "refused", though the outputs are equal."""
    outputs, responded = answers(model, X)
    found = judge(outputs, outputs, FP32, responded)
    assert found.status == "refused"
    assert "the reference's output y does not respond to its input" in found.reasons[0]
    assert [probe for probe in PROBES if f"{probe} " in found.reasons[0]] == probes


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_an_honest_reference_is_accepted_at_any_scale(scale: float) -> None:
    outputs, responded = answers(lambda x: scale * dense(x), X)
    assert judge(outputs, outputs, FP32, responded).status == "passed"


def test_an_honest_reference_is_accepted_with_a_single_sample() -> None:
    outputs, responded = answers(dense, X[:1])
    assert judge(outputs, outputs, FP32, responded).status == "passed"


def test_a_probe_that_equals_its_sample_is_no_probe() -> None:
    """A single number has no other order, and zeros are not told from zeros: an honest model is not blamed for that."""
    numbers = np.random.default_rng(1).standard_normal((6, 1))
    assert telling({"x": numbers}) == {"zeros", "another sample"}
    outputs, responded = answers(np.tanh, numbers)
    assert judge(outputs, outputs, FP32, responded).status == "passed"
    assert "zeros" not in telling({"x": np.zeros((2, 3))})


def test_inputs_that_are_all_alike_prove_nothing() -> None:
    outputs, responded = answers(dense, np.zeros((3, 3, 8, 8)))
    found = judge(outputs, outputs, FP32, responded)
    assert found.status == "refused"
    assert "all alike" in found.reasons[0]


def test_a_sure_classifier_that_repeats_itself_is_accepted() -> None:
    """Two samples of six are called the same: another one's answer differs."""
    outputs, responded = answers(lambda x: np.eye(3)[[int(x.sum() > 0) + int(x[0, 0, 0] > 0)]], X)
    assert judge(outputs, outputs, INT8, responded).status == "passed"


def test_one_constant_output_beside_an_honest_one_is_no_reason_to_refuse() -> None:
    """Anchor boxes, say. They are compared all the same."""
    outputs, responded = answers(dense, X)
    fixed, responded_not = answers(lambda x: np.ones((1, 4)) + 0 * x.max(), X)
    both = outputs | {"anchors": fixed["y"]}
    assert judge(both, both, FP32, [*responded, *responded_not]).status == "passed"
    wrong = outputs | {"anchors": fixed["y"] * 1.1}
    assert judge(both, wrong, FP32, [*responded, *responded_not]).status == "failed"


def test_infinities_that_never_move_hide_no_response() -> None:
    outputs, responded = answers(lambda x: np.append(dense(x), [[-np.inf]], axis=1), X)
    assert judge(outputs, outputs, FP32, responded).status == "passed"


def test_the_wider_the_tolerance_the_more_a_reference_must_move() -> None:
    """Answers that move by 0.3 of their scale prove nothing when errors of 0.2 are let through."""
    little = [Response(output="y", moved=dict.fromkeys(PROBES, 0.3))]
    assert verdict(scores(), scores(), FP32, little).status == "passed"
    assert verdict(scores(), scores(), BF16, little).status == "refused"


def test_an_all_nan_reference_is_refused() -> None:
    found = verdict(scores() * np.nan, scores() * np.nan)
    assert found.status == "refused"
    assert found.reasons == ("the reference's output y is all NaN",)


@pytest.mark.parametrize("samples", [1, 2, 6])
def test_probes_follow_the_samples_and_change_none_of_them(samples: int) -> None:
    inputs = {"x": X[:samples], "t": np.arange(12).reshape(6, 2)[:samples]}
    probed = with_probes(inputs, 0)
    assert len({len(array) for array in probed.values()}) == 1
    for name, array in inputs.items():
        assert np.array_equal(probed[name][:samples], array)
        assert probed[name].dtype == array.dtype
        zeros, *rest = probed[name][samples:]
        assert not zeros.any()
        assert [sorted(probe.ravel()) for probe in rest[: min(samples, 4)]] == [sorted(a.ravel()) for a in array[:4]]
    assert not np.array_equal(probed["x"][samples + 1], X[0])
    assert not np.array_equal(probed["x"][-1], X[0])
