"""A simplified ONNX graph in the words that pnnx understands: each rewriting means the same, and pnnx 20261020 leaves
the first form out, or ncnn does it wrong without a word (docs/evidence.md#pnnx-words).
"""

from failure import StepFailed

FEW = 16  # repeats of a Tile that are written as so many inputs of a Concat
POWERS = 4  # whole powers up to this are products
# what pnnx reads past, and ncnn then does as if it were not there: operator, attribute, values (none: any)
READ_PAST = (
    ("AveragePool", "auto_pad", ("SAME_UPPER", "SAME_LOWER")),
    ("GridSample", "mode", ("cubic",)),
    ("ConvTranspose", "output_shape", ()),
)


def ready(model):
    """The model, rewritten where that helps."""
    from onnx import numpy_helper

    known = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    for node in model.graph.node:
        refuse_read_past(node)
    for rule in (modes_said, powers_multiplied, tiles_joined):
        nodes = [made for node in model.graph.node for made in rule(node, known)]
        del model.graph.node[:]
        model.graph.node.extend(nodes)
    return model


def refuse_read_past(node):
    """Raise for an attribute that would be left out without a word."""
    from onnx import helper

    said = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    for op, name, values in READ_PAST:
        value = said.get(name) if node.op_type == op else None
        word = value.decode() if isinstance(value, bytes) else value
        settled = name == "output_shape" and "output_padding" in said  # which comes to the same
        if word is not None and not settled and (not values or word in values):
            what = "pnnx has no rule for %s of %s %s, and reads past it" % (name, op, node.name or node.output[0])
            raise StepFailed("unsupported", what)


def modes_said(node, known):
    """A Pad says its mode: pnnx's rule is for those that do. What ncnn would not pad right stays left out."""
    from onnx import helper

    plain = node.op_type == "Pad" and len(node.input) < 4 and not any(it.name == "mode" for it in node.attribute)
    if plain and node.input[1] in known and does(known[node.input[1]].tolist()):
        node.attribute.append(helper.make_attribute("mode", "constant"))
    return [node]


def does(pads):
    """Whether ncnn pads so: nothing is cut off, and nothing added to the first axis, which is the batch's."""
    return min(pads) >= 0 and pads[0] == pads[len(pads) // 2] == 0


def powers_multiplied(node, known):
    """Whole powers are products: ncnn's power of a negative number is wrong."""
    from onnx import helper

    power = known.get(node.input[1]) if node.op_type == "Pow" else None
    if power is None or power.size != 1 or power.ndim or float(power) not in range(2, POWERS + 1):
        return [node]
    nodes, given = [], node.input[0]
    for count in range(2, int(power) + 1):
        made = node.output[0] if count == int(power) else "%s to the %d" % (node.output[0], count)
        nodes.append(helper.make_node("Mul", [given, node.input[0]], [made], name="%s %d" % (node.name, count)))
        given = made
    return nodes


def tiles_joined(node, known):
    """A Tile of few repeats is Concats of the same tensor: pnnx leaves out Tiles of five axes, which is what Keras 3's
    nearest UpSampling2D comes to (docs/evidence.md#pnnx-tile)."""
    repeats = known[node.input[1]].tolist() if node.op_type == "Tile" and node.input[1] in known else []
    return joined(node, repeats) if 1 <= max(repeats, default=0) <= FEW and min(repeats) >= 1 else [node]


def joined(tile, repeats):
    """A Concat for every axis that is repeated."""
    from onnx import helper

    steps = [(axis, count) for axis, count in enumerate(repeats) if count > 1]
    if not steps:
        return [helper.make_node("Identity", tile.input[:1], tile.output, name=tile.name)]
    nodes, given = [], tile.input[0]
    for axis, count in steps:
        made = tile.output[0] if axis == steps[-1][0] else "%s along %d" % (tile.output[0], axis)
        name = "%s along %d" % (tile.name, axis)
        nodes.append(helper.make_node("Concat", [given] * count, [made], name=name, axis=axis))
        given = made
    return nodes
