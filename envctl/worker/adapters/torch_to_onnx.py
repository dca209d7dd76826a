"""TorchScript and exported programs -> ONNX by torch's two exporters.

API: https://docs.pytorch.org/docs/stable/onnx.html . Programs go through the one that is written in onnxscript, which
begins at opset 18 (asked for an older one it writes 18, and says so in its log alone); all else is traced.
"""

import ast
import os
import re

from adapters.torch import flat, open_engine, read  # noqa: F401
from adapters.torch import versions as versions_of_torch
from failure import StepFailed, lacks

FIRST_OF_PROGRAMS = 18
LACKED = re.compile(r"Exporting the operator '(\w+)::(\w+)'|OpOverload\(op='(\w+)\.(\w+)'")
OUTER = "/inner/"  # what `outer` puts around it
SCOPES = "pkg.torch.onnx.name_scopes"
UNSUPPORTED = ("UnsupportedOperatorError", "SymbolicValueError", "ConversionError", "DispatchError")


def versions():
    import onnx
    import onnxscript

    return dict(versions_of_torch(), onnx=onnx.__version__, onnxscript=onnxscript.__version__)


def convert(source, target, options):
    """ONNX of the wanted opset whose tensors have the names that the file, or envctl, gives them."""
    import onnx

    opset, path = int(options["opset"]), os.path.join(target, "model.onnx")
    module, program = read(source, options)
    try:
        if program is not None and opset >= FIRST_OF_PROGRAMS:
            from_program(program, path, opset, options)
        else:
            by_tracing(module, path, opset, options)
    except StepFailed:
        raise
    except Exception as error:
        raise translated(error, module, program, options) from error
    written = onnx.load(path)
    settled(written, opset)
    onnx.save(written, path)
    onnx.checker.check_model(path, full_check=True)
    return {"artifacts": ["model.onnx"], "read_back": {"opset": str(opset)}}


def translated(error, module, program, options):
    """The same failure with its kind: the exporters name the operator that they lack in one of these classes."""
    text, causes = "", error
    while causes is not None:
        text += "%s: %s\n" % (type(causes).__name__, causes)
        causes = causes.__cause__ or causes.__context__
    if any(name in text for name in UNSUPPORTED):
        return StepFailed("unsupported", text[:800], lacking(text, module, program, int(options["opset"])))
    return error


def lacking(text, module, program, opset):
    """A node for each place of the operator that the exporter stopped at, with the module that it belongs to."""
    for domain, op in (tuple(filter(None, groups)) for groups in LACKED.findall(text)):
        why = "torch's exporter has no ONNX for it at opset %d" % opset
        places = in_program(program, op) if program is not None else in_script(module, op)
        return [lacks(op, node, why, domain, layer=layer) for node, layer in places] or [lacks(op, "", why, domain)]
    return []


def in_program(program, op):
    """(node, module) of an operator in an exported program, or in what the exporter makes of it before it looks."""
    for each in (program, program.run_decompositions()):
        found = [node for node in each.graph.nodes if str(node.target).split(".")[1:2] == [op]]
        if found:
            return [(node.name, (path_of(node) or [""])[-1]) for node in found]
    return []


def path_of(node):
    """The modules that a node stands in, the innermost last."""
    return [path for path, _ in (node.meta.get("nn_module_stack") or {}).values()]


def in_script(module, op):
    """(output, module) of an operator in TorchScript: each module has a graph, with those of its own modules in it."""
    found = []
    for path, each in module.named_modules():
        try:
            nodes = each.graph.findAllNodes("aten::" + op)
        except (AttributeError, RuntimeError):  # a module that is not called has none
            continue
        found += [(next(node.outputs()).debugName(), path) for node in nodes]
    paths = {path for _, path in found}
    return [
        each
        for each in found
        if not any(path.startswith(each[1] + "." if each[1] else "") and path != each[1] for path in paths)
    ]


def from_program(program, path, opset, options):
    import torch

    torch.onnx.export(
        program, (), path, dynamo=True, opset_version=opset, input_names=options["inputs"],
        output_names=options["outputs"], external_data=False, verbose=False,
    )  # fmt: skip


def by_tracing(module, path, opset, options):
    """Through a trace with example inputs: it leaves optional arguments at their defaults and keeps scripted control
    flow."""
    import torch

    examples = tuple(example(*options["tensors"][name]) for name in options["inputs"])
    free = {name: axes for name in options["inputs"] if (axes := open_axes(options["tensors"][name][1]))}
    with torch.no_grad():
        count = len(flat(module(*examples)))
        if count != len(options["outputs"]):
            what = "the model answers %d tensors, its file says %d" % (count, len(options["outputs"]))
            raise StepFailed("invalid-model", what)
        traced = outer(module)
        if options["format"] == "torchscript":
            traced = torch.jit.trace(traced, examples, check_trace=False)
        torch.onnx.export(
            traced, examples, path, dynamo=False, opset_version=opset, input_names=options["inputs"],
            output_names=options["outputs"], dynamic_axes=free or None, do_constant_folding=True,
        )  # fmt: skip


def outer(module):
    """The module inside another one, which answers a flat tuple and leaves modes alone: a program's cannot change."""
    import torch

    class Outer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = module

        def train(self, mode=True):
            return self

        def forward(self, *given):
            answers = flat(self.inner(*given))
            return answers[0] if len(answers) == 1 else tuple(answers)

    return Outer()


def example(dtype, sizes):
    """Numbers of that type and shape; 2 for a size that is left open, as 1 would be taken for broadcasting."""
    import torch

    shape, kind = [2 if size is None else size for size in sizes], getattr(torch, dtype)
    return torch.rand(shape).to(kind) if kind.is_floating_point else torch.ones(shape, dtype=kind)


def open_axes(sizes):
    return {axis: "batch" if axis == 0 else "dim%d" % axis for axis, size in enumerate(sizes) if size is None}


def settled(model, opset):
    """Raise where another opset was written than asked for. What the exporter says of its own work goes, and with it
    the need for the newest IR version, which older engines do not read."""
    from onnx import helper

    written = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    if written != opset:
        raise StepFailed("unsupported", "torch wrote opset %d where %d was asked for" % (written, opset))
    graph = model.graph
    for node in graph.node:
        node.name = placed(node)
    for each in [model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer]:
        each.ClearField("metadata_props")
    del graph.value_info[:]
    if not model.functions:
        model.ir_version = min(model.ir_version, helper.find_min_ir_version_for(model.opset_import))


def placed(node):
    """A node's name behind the path of its module, which the exporters tell in different ways."""
    scopes = next((each.value for each in node.metadata_props if each.key == SCOPES), "")
    if not scopes:
        return node.name[len(OUTER) - 1 :] if node.name.startswith(OUTER) else node.name
    modules = [str(path) for path in ast.literal_eval(scopes)[:-1] if path]
    return "/%s/%s" % (modules[-1], node.name) if modules else node.name
