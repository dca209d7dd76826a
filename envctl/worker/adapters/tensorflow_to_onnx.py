"""TensorFlow sources -> ONNX by tf2onnx. API: https://github.com/onnx/tensorflow-onnx#python-api-reference"""

import contextlib
import gc
import json
import os

from adapters.tensorflow import named_function, open_engine, read  # noqa: F401
from adapters.tensorflow import versions as versions_of_tensorflow
from failure import StepFailed, lacks

RESIZE = ("mode", "coordinate_transformation_mode", "nearest_mode")


def versions():
    import tf2onnx

    return dict(versions_of_tensorflow(), tf2onnx=tf2onnx.__version__)


def convert(source, target, options):
    """ONNX of the wanted opset, its tensors under their public names; with `nchw`, images have their channels first."""
    import onnx

    found = read(source, options)
    function, specs = named_function(found)
    images = images_of(function, specs) if options.get("nchw") else ([], [])
    model = translated(function, specs, int(options["opset"]), images)
    public = dict(numbered("in", found.inputs), **numbered("out", found.outputs))
    check_layout(model.graph, images, specs)
    plain_upsampling(model.graph)
    rename(model.graph, public)
    refuse_unknown_ops(model)
    onnx.checker.check_model(model)
    onnx.save(model, os.path.join(target, "model.onnx"))
    turned = json.dumps([public[name] for name in images[0] + images[1]])
    return {"artifacts": ["model.onnx"], "read_back": {"opset": str(options["opset"]), "channels_first": turned}}


def numbered(prefix, names):
    return {"%s%d" % (prefix, i): name for i, name in enumerate(names)}


def images_of(function, specs):
    """The inputs and outputs of four dimensions, by the names that they have in the function."""
    outputs = function.get_concrete_function().structured_outputs
    four = sorted(name for name, tensor in outputs.items() if tensor.shape.rank == 4)
    return [spec.name for spec in specs if spec.shape.rank == 4], four


def translated(function, specs, opset, images):
    """What tf2onnx makes of the function. It knows no custom operators: what it lacks stays in the graph."""
    import tf2onnx.convert

    nchw = {"inputs_as_nchw": images[0] or None, "outputs_as_nchw": images[1] or None}
    try:
        with in_place():
            return tf2onnx.convert.from_function(function, specs, opset=opset, **nchw)[0]
    except ValueError as error:
        if "not supported" in str(error) or "make_sure" in str(error):
            raise StepFailed("unsupported", str(error)[:600]) from error
        raise


@contextlib.contextmanager
def in_place():
    """tf2onnx's optimisers without a copy of the whole graph before each of them. Copies are circles of references,
    which Python frees late, as it counts objects and not their sizes (docs/evidence.md#tf2onnx-memory). What they are
    for is going on after an optimiser failed; here that is a failure."""
    from tf2onnx import optimizer

    whole = optimizer.optimize_graph

    def lean(graph, catch_errors=True, optimizers=None):
        gc.collect()  # what freezing left
        return whole(graph, False, optimizers)

    optimizer.optimize_graph = lean
    try:
        yield
    finally:
        optimizer.optimize_graph = whole


def check_layout(graph, images, specs):
    """tf2onnx passes over names that it does not know in silence: the shapes say whether the layout changed."""
    shapes = {value.name: [size.dim_value for size in value.type.tensor_type.shape.dim] for value in graph.input}
    for spec in specs:
        if spec.name in images[0]:
            height, width, channels = [size or 0 for size in spec.shape[1:]]
            if shapes[spec.name][1:] != [channels, height, width]:
                what = "%s has shape %s after channels first were asked for" % (spec.name, shapes[spec.name])
                raise StepFailed("engine-error", what)


def plain_upsampling(graph):
    """Nearest-neighbour upsampling by whole numbers in the form that every engine reads. tf2onnx takes pixel
    floor((x + 0.5) / scale), which TensorRT refuses; for a whole scale that is floor(x / scale), the same pixel."""
    from onnx import numpy_helper

    stored = {each.name: each for each in graph.initializer}
    for node in nodes_of(graph):
        said = {each.name: each for each in node.attribute}
        form = [said[name].s for name in RESIZE if name in said]
        scales = stored.get(node.input[2]) if node.op_type == "Resize" and len(node.input) == 3 else None
        if form == [b"nearest", b"tf_half_pixel_for_nn", b"floor"] and scales is not None:
            values = numpy_helper.to_array(scales)
            if (values >= 1).all() and (values == values.round()).all():
                said["coordinate_transformation_mode"].s = b"asymmetric"


def rename(graph, public):
    """Public names for inputs and outputs; open dimensions, which tf2onnx numbers anew in each run, by their place."""
    inner = {name: name + "/inner" for name in names_in(graph) if name in public.values()}
    new = dict(inner, **public)
    for value in list(graph.input) + list(graph.output):
        value.name = new.get(value.name, value.name)
        for place, size in enumerate(value.type.tensor_type.shape.dim):
            if size.HasField("dim_param"):
                size.dim_param = "batch" if place == 0 else "dim%d" % place
    for each in graph.initializer:
        each.name = new.get(each.name, each.name)
    for node in nodes_of(graph):
        node.input[:] = [new.get(name, name) for name in node.input]
        node.output[:] = [new.get(name, name) for name in node.output]
    del graph.value_info[:]


def names_in(graph):
    return {name for node in nodes_of(graph) for name in list(node.input) + list(node.output)}


def nodes_of(graph):
    """Every node, those of branches and loop bodies too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in [attribute.g] * attribute.HasField("g") + list(attribute.graphs):
                for each in nodes_of(inner):
                    yield each


def refuse_unknown_ops(model):
    """tf2onnx leaves TensorFlow operators that it cannot translate in the graph and says that it succeeded."""
    from onnx import defs

    opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    own = [node for node in nodes_of(model.graph) if node.domain in ("", "ai.onnx")]
    unknown = [node for node in own if not defs.has(node.op_type, max_inclusive_version=opset)]
    if unknown:
        names = ", ".join(sorted({node.op_type for node in unknown}))
        why = "tf2onnx has no rule for it at opset %d" % opset
        found = [lacks(node.op_type, node.name, why) for node in unknown]
        raise StepFailed("unsupported", "tf2onnx has no ONNX operator of opset %d for %s" % (opset, names), found)
