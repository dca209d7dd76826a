"""The search for the first node that parts, without any engine: graphs and errors are made up."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from envctl.debug.error import SCALES, error, worst_samples
from envctl.debug.graph import Flow
from envctl.debug.hunt import Finding, hunt
from envctl.debug.layers import Layers
from envctl.debug.search import Probe, Room, Search

HEALTHY, PARTS = 1e-7, 1e-4


def chain(count: int) -> Flow:
    """x -> t0 -> t1 … in a row."""
    nodes = [((f"t{i - 1}" if i else "x",), (f"t{i}",)) for i in range(count)]
    return Flow(nodes=nodes, ends=(f"t{count - 1}",))


def branching(count: int, seed: int) -> Flow:
    """Nodes that read one or two of those shortly before them; the last is the output."""
    pick = random.Random(seed)
    nodes = []
    for index in range(count):
        reads = {max(0, index - 1 - int(pick.expovariate(0.5))) for _ in range(pick.choice([1, 1, 1, 2]))}
        nodes.append((tuple(f"t{each}" for each in sorted(reads) if each < index) or ("x",), (f"t{index}",)))
    return Flow(nodes=nodes, ends=(f"t{count - 1}",))


def spread(flow: Flow, guilty: str, seed: int, hidden: float) -> dict[str, float]:
    """Errors of all tensors when one node is wrong; some nodes behind it hide it, as a Relu may."""
    pick, errors = random.Random(seed), dict[str, float]()
    for reads, (made,) in flow.nodes:
        behind = max(errors.get(name, HEALTHY) for name in reads)
        hides = behind > PARTS and made not in flow.ends and pick.random() < hidden
        errors[made] = 0.1 if made == guilty else HEALTHY if hides else behind
    return errors


def searching(flow: Flow, errors: dict[str, float], **room: int) -> Search:
    """A search that is told these errors, and knows that the outputs part."""
    limits = {"bytes": 24, "most": 48, "runs": 12} | room

    def probe(names: Sequence[str]) -> Probe:
        assert len(names) <= limits["most"] and (len(names) == 1 or len(names) <= limits["bytes"])
        return Probe(errors={name: errors[name] for name in names})

    sizes = dict.fromkeys(errors, 1)
    found = Search(flow=flow, room=Room(sizes=sizes, **limits), measurable=frozenset(errors), probe=probe)
    found.errors.update({name: errors[name] for name in flow.ends})
    return found


@pytest.mark.parametrize("seed", range(60))
def test_the_guilty_node_is_found_in_few_runs_also_where_others_hide_it(seed: int) -> None:
    flow = branching(random.Random(seed).randint(3, 400), seed)
    guilty = random.Random(seed).choice(flow.upstream(flow.ends[0]))
    shares = (0.3, 0.15, 0.05, 0.0)  # as many nodes hide it as leave it to be seen at the end
    errors = next(found for it in shares if (found := spread(flow, guilty, seed, it))[flow.ends[0]] > PARTS)
    search = searching(flow, errors)
    assert search.first(PARTS) == guilty
    assert search.runs <= 5


def test_a_thousand_nodes_with_room_for_two_tensors_a_run() -> None:
    flow = chain(1000)
    search = searching(flow, spread(flow, "t617", 0, hidden=0), bytes=2)
    assert search.first(PARTS) == "t617" and search.runs <= 11


def test_the_runs_are_used_up_and_no_node_is_named() -> None:
    flow = chain(1000)
    search = searching(flow, spread(flow, "t617", 0, hidden=0), bytes=1, runs=3)
    assert search.first(PARTS) is None and search.runs == 3


def test_a_tensor_that_hides_the_fault_when_it_is_an_output_is_passed_by() -> None:
    """As where an engine joins two nodes and is wrong: marked between them, it does not join them."""
    flow = chain(40)
    errors = spread(flow, "t20", 0, hidden=0)
    search = searching(flow, errors, runs=30)
    plain = search.probe
    search.probe = lambda names: Probe(errors=plain(names).errors, still_parts="t19" not in names)
    assert search.first(PARTS) == "t20"
    assert search.unmeasured == {"t19": "with it as an output the fault is gone"}


def test_a_tensor_that_the_engine_does_not_give_out_is_passed_by() -> None:
    flow = chain(9)
    search = searching(flow, spread(flow, "t4", 0, hidden=0), runs=30)
    plain = search.probe
    search.probe = lambda names: Probe(errors=None) if "t4" in names else plain(names)
    assert search.first(PARTS) == "t5"
    assert search.unmeasured == {"t4": "the engine does not give it out"}


def hunted(flow: Flow, errors: dict[str, float], alone: Callable[[str], float | None]) -> Finding:
    return hunt(searching(flow, errors, runs=30), SCALES["fp32"], alone)


def test_a_fault_below_the_limit_that_grows_later_is_found_where_it_is() -> None:
    flow = chain(60)
    errors = {f"t{i}": HEALTHY if i < 30 else 5e-5 * 1.2 ** (i - 30) for i in range(60)}
    found = hunted(flow, errors, lambda name: 5e-5 if name == "t30" else HEALTHY)
    assert (found.kind, found.tensor) == ("node", "t30")


def test_an_error_that_grows_by_itself_has_no_guilty_node() -> None:
    flow = chain(60)
    errors = {f"t{i}": HEALTHY * 1.3**i for i in range(60)}
    asked: list[str] = []
    found = hunted(flow, errors, lambda name: asked.append(name) or HEALTHY)  # type: ignore[func-returns-value]
    assert (found.kind, asked) == ("gradual", [])


def test_a_node_that_is_right_alone_is_wrong_in_company() -> None:
    flow = chain(20)
    found = hunted(flow, spread(flow, "t9", 0, hidden=0), lambda _: HEALTHY)
    assert (found.kind, found.tensor, found.alone) == ("company", "t9", HEALTHY)


def test_errors_are_in_units_of_the_scale_and_not_a_number_is_infinite() -> None:
    before = np.array([[1.0, -4.0], [2.0, np.inf]])
    assert error(before, before) == 0.0
    assert error(before, np.array([[1.0, -4.0], [2.2, np.inf]])) == pytest.approx(0.05)
    assert error(before, np.array([[1.0, np.nan], [2.0, np.inf]])) == np.inf
    assert error(before, before[:, :1]) == np.inf


def test_the_samples_that_differ_most_come_first() -> None:
    before = np.ones((3, 2))
    assert worst_samples(before, before + np.array([[0.1], [0.0], [0.3]]), 2) == [2, 0]


def kept(needed: frozenset[str], count: int, **limits: int) -> tuple[tuple[str, ...] | None, Layers]:
    ranked = [f"layer{index}" for index in range(count)]
    layers = Layers(ranked=ranked, passes=lambda chosen: needed <= frozenset(chosen), **limits)
    return layers.fewest(), layers


def test_the_layers_that_are_needed_are_kept_and_no_others() -> None:
    found, layers = kept(frozenset({"layer2", "layer9", "layer11"}), 150)
    assert set(found or ()) == {"layer2", "layer9", "layer11"}
    assert layers.minimal and len(layers.trials) < 25


def test_layers_that_do_not_help_are_said_not_to() -> None:
    assert kept(frozenset({"another"}), 10)[0] is None


def test_when_the_trials_are_used_up_what_passed_is_kept() -> None:
    found, layers = kept(frozenset({"layer0", "layer63"}), 64, most=9)
    assert found and {"layer0", "layer63"} <= set(found) and not layers.minimal
