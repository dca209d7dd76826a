"""ONNX -> ncnn: onnxslim, then the program inside the pnnx wheel (its Python wrapper would import torch).

pnnx ends with exit code 0 also where it left operators out, so its log and what it wrote are looked at: a parameter
that it could not write ("ignore Pad Pad_8 param pads=…") is an operator that will do something else, or nothing.
onnxslim goes first, as it folds into convolutions the paddings that pnnx leaves out.
"""

import os
import re
import subprocess
import tempfile

import pnnx_ready
from failure import OUT_OF_MEMORY_WORDS, StepFailed, lacks

NO_BATCH = 233  # pnnx's number for an axis that is none
FILES = ("pnnxparam", "pnnxbin", "pnnxpy", "pnnxonnx", "ncnnparam", "ncnnbin", "ncnnpy")
IGNORED = re.compile(r"^ignore (\S+) (\S+) param (.*)$", re.M)
LEFT = re.compile(r"^todo (\S+)$", re.M)
NOT_SUPPORTED = re.compile(r"^.*\bnot supported\b.*$", re.M)
INPUT = re.compile(r'^\s*ex\.input\("([^"]+)"([^\n]*)$', re.M)
OUTPUT = re.compile(r"^\s*out\.append\(([^\n]*)$", re.M)
AXIS = re.compile(r"(?:batch_index=|squeeze\()(\d+)")
FLOAT = 1  # TensorProto.FLOAT
LEFT_OUT = "pnnx has no rule for it, and left it out"


def convert(source, target, options):
    """Write model.param and model.bin into `target`; returns the model's ends, and which pnnx it was."""
    scratch = tempfile.mkdtemp()
    model = pnnx_ready.ready(slimmed(source, options.get("shapes") or {}))
    written = os.path.join(scratch, "slim.onnx")
    import onnx

    onnx.save(model, written)
    files = {name: os.path.join(scratch, "made." + name) for name in FILES}
    files.update(ncnnparam=os.path.join(target, "model.param"), ncnnbin=os.path.join(target, "model.bin"))
    log = run_program(written, model, files, options)
    refuse_left_out(log, files["ncnnparam"])
    return ends_of(model, files["ncnnpy"]), version()


def version():
    from importlib import metadata

    return metadata.version("pnnx")


def program():
    """The executable inside the wheel."""
    from importlib import metadata

    return str(metadata.distribution("pnnx").locate_file("pnnx/pnnx"))


def slimmed(source, shapes):
    """The model with fixed shapes, simplified; raises for what ncnn has no numbers for."""
    import onnx
    import onnxslim

    try:
        model = onnx.load(source)
    except Exception as error:
        raise StepFailed("invalid-model", "onnx cannot read it: %s" % error) from error
    fix(model.graph, shapes)
    try:
        slim = onnxslim.slim(model)
    except Exception as error:
        raise StepFailed("engine-error", "onnxslim: %s: %s" % (type(error).__name__, error)) from error
    for end in list(slim.graph.input) + list(slim.graph.output):
        kind = end.type.tensor_type.elem_type
        if kind != FLOAT:
            name = onnx.TensorProto.DataType.Name(kind).lower() if kind else end.type.WhichOneof("value")
            raise StepFailed("unsupported", "%s is %s; ncnn takes and gives float32 alone" % (end.name, name))
    return slim


def fix(graph, shapes):
    """Give every input its shape of this run (1 where it was left open), and forget what was said of others."""
    weights = {each.name for each in graph.initializer}
    for index in reversed(range(len(graph.input))):
        if graph.input[index].name in weights:
            del graph.input[index]
    for each in graph.input:
        wanted = shapes.get(each.name)
        for index, dim in enumerate(each.type.tensor_type.shape.dim):
            open_size = dim.WhichOneof("value") != "dim_value" or dim.dim_value < 0
            if wanted:
                dim.dim_value = wanted[index]
            elif open_size:
                dim.dim_value = 1
    for each in graph.output:
        for dim in each.type.tensor_type.shape.dim:
            if dim.WhichOneof("value") != "dim_value":
                dim.Clear()
    del graph.value_info[:]


def run_program(model_path, model, files, options):
    """What pnnx printed; raises when it failed or wrote nothing."""
    sizes = [[dim.dim_value for dim in each.type.tensor_type.shape.dim] for each in model.graph.input]
    shapes = ",".join("[%s]f32" % ",".join(map(str, each)) for each in sizes)
    arguments = [program(), model_path, "inputshape=" + shapes]
    arguments += ["fp16=%d" % (options.get("precision") == "fp16")] + ["%s=%s" % pair for pair in files.items()]
    done = subprocess.run(
        arguments, cwd=os.path.dirname(model_path), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    log = done.stdout.decode("utf-8", "replace")
    print(log, flush=True)
    if done.returncode != 0 or not os.path.exists(files["ncnnparam"]):
        last = "; ".join(log.splitlines()[-3:])
        kind = "out-of-memory" if any(words in log.lower() for words in OUT_OF_MEMORY_WORDS) else "engine-error"
        raise StepFailed(kind, "pnnx ended with exit code %d: %s" % (done.returncode, last))
    return log


def refuse_left_out(log, param):
    """Raise for every operator that pnnx did not wholly translate, whatever its exit code was."""
    with open(param, encoding="utf-8") as stream:
        written = {line.split()[0] for line in stream.read().splitlines()[2:] if line.strip()}
    dropped = {}
    for kind, name, what in IGNORED.findall(log):
        dropped.setdefault("%s %s" % (kind, name), []).append(what)
    told = ["%s (%s)" % (node, ", ".join(params)) for node, params in dropped.items()]
    told += [kind for kind in sorted(set(LEFT.findall(log)) & written) if not any(kind in each for each in told)]
    if told:
        found = [lacks(*node.split(" ", 1), why=LEFT_OUT, attribute=", ".join(said)) for node, said in dropped.items()]
        found += [lacks(kind, why=LEFT_OUT) for kind in told if kind in written]
        raise StepFailed("unsupported", "pnnx has no rule for, and left out: " + "; ".join(told), found)
    refuse_lost_axes(param)
    words = NOT_SUPPORTED.findall(log)
    if words:
        raise StepFailed("unsupported", "pnnx: " + "; ".join(word.strip() for word in words))


def refuse_lost_axes(param):
    """Raise for a reduction that has lost its axes and would reduce everything: pnnx loses a single one that comes as
    an input of the node (ReduceSum from opset 13 on, the others from 18), and says nothing."""
    with open(param, encoding="utf-8") as stream:
        layers = [line.split() for line in stream.read().splitlines()[2:] if line.startswith("Reduction")]
    lost = [layer[1] for layer in layers if "1=0" in layer and "-23303=0" in layer]
    if lost:
        what = (
            "pnnx lost the axis of the reductions %s: they would reduce everything. It keeps axes that are an attribute"
        )
        raise StepFailed("unsupported", what % ", ".join(lost))


def ends_of(model, script):
    """Inputs and outputs: ONNX name, blob, shape and the axis that is the batch, which only pnnx's script tells."""
    with open(script, encoding="utf-8") as stream:
        text = stream.read()
    inputs = [(blob, axis(rest)) for blob, rest in INPUT.findall(text)]
    outputs = [("out%d" % index, axis(rest)) for index, rest in enumerate(OUTPUT.findall(text))]
    return {"inputs": named(model.graph.input, inputs), "outputs": named(model.graph.output, outputs)}


def axis(words):
    found = AXIS.search(words)
    return None if found is None or int(found[1]) == NO_BATCH else int(found[1])


def named(ends, blobs):
    if len(ends) != len(blobs):
        told = [each.name for each in ends], [blob for blob, _ in blobs]
        raise StepFailed("unsupported", "pnnx made of the ends %s these: %s" % told)
    return [
        {"name": end.name, "blob": blob, "shape": shape_of(end), "batch": batch}
        for end, (blob, batch) in zip(ends, blobs)
    ]


def shape_of(end):
    """The sizes, None when one is not known."""
    kind = end.type.tensor_type
    sizes = [dim.dim_value for dim in kind.shape.dim if dim.WhichOneof("value") == "dim_value"]
    return sizes if kind.HasField("shape") and len(sizes) == len(kind.shape.dim) else None
