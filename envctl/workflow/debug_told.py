"""What is said of the node that was found: where its framework had it, and what two files say of it differently."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from envctl.debug.graph import Flow
from envctl.model.onnx_graph import Node, OnnxGraph
from envctl.model.onnx_marks import part
from envctl.model.protobuf import fields, message, numbers, text

# what frameworks write beside a node: https://pytorch.org/docs/stable/onnx_dynamo.html (metadata_props)
SCOPES = ("pkg.torch.onnx.name_scopes", "namespace", "pkg.torch.onnx.stack_trace")
WRAPPERS = re.compile(r"^(StatefulPartitionedCall|PartitionedCall|model|functional)(_\d+)?/")


@dataclass(frozen=True, kw_only=True, slots=True)
class Suspect:
    """A node that may be guilty: its name and operator, the layer of its framework, and how the target's file differs
    there ("" for one and the same file, or where nothing does)."""

    node: str
    op: str
    output: str
    layer: str
    differs: str = ""


def feeds_of(graph: OnnxGraph, flow: Flow, tensor: str, measured: set[str]) -> list[str]:
    """The measured tensors and inputs of the model that this one is made from, but those that are constants."""
    varying = _varying(graph)
    left, seen, found = [tensor], set[str](), list[str]()
    while left:
        for name in graph.nodes[flow.made_by[left.pop()]].inputs:
            if name in seen or name not in varying:
                continue
            seen.add(name)
            if name in measured or name not in flow.made_by:
                found.append(name)
            else:
                left.append(name)
    return sorted(found)


def _varying(graph: OnnxGraph) -> set[str]:
    """All tensors that depend on the model's inputs."""
    found = set(graph.inputs)
    for node in graph.nodes:
        if found.intersection(node.inputs):
            found.update(node.outputs)
    return found


def suspects(source: OnnxGraph, target: OnnxGraph, tensor: str, agree: Iterable[str]) -> list[Suspect]:
    """The nodes between what agrees and the tensor that parts, without those that both files have alike."""
    feeds = frozenset(agree)
    mine = [source.nodes[index] for index in sorted(part(source, feeds, [tensor]))]
    mine = [node for node in mine if node.op != "Constant"] or mine
    if target.path == source.path:
        return [_suspect(node, "") for node in mine]
    theirs = [target.nodes[index] for index in sorted(part(target, feeds, [tensor]))]
    twins = _twins(source, mine, target, theirs)
    free = [other for index, other in enumerate(theirs) if index not in twins.values()]
    changed = [(node, _differs(source, node, target, free)) for index, node in enumerate(mine) if index not in twins]
    return [_suspect(node, how) for node, how in changed or [(node, "") for node in mine]]


def _twins(source: OnnxGraph, mine: list[Node], target: OnnxGraph, theirs: list[Node]) -> dict[int, int]:
    """Which nodes of the two files are alike, each used once; those that make the same tensor first."""
    found: dict[int, int] = {}
    for same_name in (True, False):
        for here, node in enumerate(mine):
            for there, other in enumerate(theirs):
                taken = here in found or there in found.values()
                named = not same_name or bool(set(node.outputs) & set(other.outputs))
                if not taken and named and not list(_others(source, node, target, other)):
                    found[here] = there
    return found


def _suspect(node: Node, differs: str) -> Suspect:
    return Suspect(node=node.name, op=node.op, output=node.outputs[0], layer=layer(node), differs=differs)


def layer(node: Node) -> str:
    """What its framework calls the layer: torch's scope, or the path that TensorFlow's graph had; "" without one."""
    for key in SCOPES:
        if said := node.metadata.get(key, ""):
            return said.splitlines()[0][:200]
    # converters that put nodes together name them anew: what they read and make still has the old names
    name = next((each for each in (node.name, *node.outputs, *node.inputs[1:]) if "/" in each), "")
    while found := WRAPPERS.match(name):
        name = name[found.end() :]
    return name.rsplit("/", 1)[0].lstrip("/") if "/" in name else ""


def _differs(source: OnnxGraph, node: Node, target: OnnxGraph, free: list[Node]) -> str:
    """What is other in the target's file, where `free` are the nodes that are like none of the source's."""
    same = [each for each in free if set(each.outputs) & set(node.outputs)]
    same = same or [each for each in free if each.op == node.op and each.name == node.name]
    return "; ".join(_others(source, node, target, same[0])) if same else "the target's file has no such node"


def _others(source: OnnxGraph, mine: Node, target: OnnxGraph, theirs: Node) -> Iterator[str]:
    """What two nodes have that is not the same: operator, attributes, stored tensors."""
    if (mine.op, mine.domain) != (theirs.op, theirs.domain):
        yield f"it is {theirs.op} there, not {mine.op}"
        return
    here, there = _attributes(mine), _attributes(theirs)
    for name in sorted(here.keys() | there.keys()):
        if here.get(name) != there.get(name):
            yield f"attribute {name} is {_shown(there.get(name))} there, {_shown(here.get(name))} here"
    pairs = zip(mine.inputs, theirs.inputs, strict=False)
    for before, after in pairs:
        stored = source.stored.get(before), target.stored.get(after)
        if any(each is not None for each in stored) and _content(stored[0]) != _content(stored[1]):
            yield f"stored tensor {after} has other values"


def _attributes(node: Node) -> dict[str, bytes]:
    found = {}
    for tag, value in fields(node.raw):
        if tag == 5:
            name = next((text(v) for t, v in fields(message(value)) if t == 1), "")
            found[name] = bytes(message(value))
    return found


def _shown(attribute: bytes | None) -> str:
    """An attribute's value, where it is short and plain."""
    if attribute is None:
        return "left out"
    whole: list[int] = []
    for tag, value in fields(memoryview(attribute)):
        if tag == 2 and not isinstance(value, int):
            return f"{struct.unpack('<f', value)[0]:g}"
        if tag == 4:
            return text(value)[:40]
        if tag in (3, 8):
            whole += numbers(value)
    return str(whole[0] if len(whole) == 1 else whole) if whole else "another value"


def _content(tensor: memoryview | None) -> list[tuple[int, bytes | int]] | None:
    """A stored tensor without its name."""
    if tensor is None:
        return None
    return [(tag, value if isinstance(value, int) else bytes(value)) for tag, value in fields(tensor) if tag != 8]
