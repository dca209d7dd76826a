"""ONNX -> TensorRT's network: what the parser lacks, the types that it made, what they come to."""

from failure import StepFailed, lacks

# DataType's names -> numpy's, as ONNX headers are told
NUMPY = {
    "FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16", "INT8": "int8", "UINT8": "uint8", "INT32": "int32",
    "INT64": "int64", "BOOL": "bool", "FP8": "float8_e4m3fn", "INT4": "int4", "FP4": "float4_e2m1fn",
}  # fmt: skip
NARROWED = ("int64", "int32")  # releases before 10 have no INT64 and say so in a warning
PRECISIONS = {"FLOAT": "fp32", "HALF": "fp16", "BF16": "bf16"}
LOWEST_FIRST = ("int8", "bf16", "fp16", "fp32")
CONVERTERS = ("CAST", "QUANTIZE", "DEQUANTIZE", "IDENTITY", "CONSTANT")  # they compute nothing


def parse(library, logger, builder, source, options):
    """The network and its parser, which must live as long; a refusal names every node that the parser lacks."""
    network = builder.create_network(creation_flags(library, options))
    parser = library.OnnxParser(network, logger)
    if not parser.parse_from_file(source):
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        lines = list(dict.fromkeys(describe(error) for error in errors))
        words = "\n".join(lines) or "; ".join(logger.errors) or "the parser refused the model"
        raise StepFailed(kind(errors), words, lacking(errors) if kind(errors) == "unsupported" else ())
    check_types(network, options)
    return network, parser


def creation_flags(library, options):
    """Explicit batches where they must be asked for (up to 10), and the graph's own types where precision does not come
    by builder flags."""
    names = library.NetworkDefinitionCreationFlag
    flags = 0
    if hasattr(names, "EXPLICIT_BATCH"):
        flags |= 1 << int(names.EXPLICIT_BATCH)
    if hasattr(names, "STRONGLY_TYPED") and not options.get("by_flag"):
        flags |= 1 << int(names.STRONGLY_TYPED)
    return flags


def kind(errors):
    """Whether operators are lacking or the file is no model."""
    names = {getattr(error.code(), "name", "") for error in errors}
    return "invalid-model" if names and names <= {"MODEL_DESERIALIZE_FAILED", "INVALID_GRAPH"} else "unsupported"


def describe(error):
    """One line: operator, node, and the parser's own check, which names the attribute."""
    name = called(error) or "number %d" % error.node()
    return "%s %s: %s" % (operator(error) or "node", name, why(error))


def operator(error):
    return getattr(error, "node_operator", lambda: "")()


def called(error):
    return getattr(error, "node_name", lambda: "")()


def why(error):
    """The parser's words: an expression of C++ that it checked, and "false" where it has nothing for the operator."""
    words = " ".join(error.desc().split())
    if words in ("false", ""):
        words = "the parser has no rule for it"
    elif "Plugin not found" in words:
        words = "the parser has no rule for it, and there is no plugin of that name"
    return "%s (%s, %s)" % (words, error.func(), getattr(error.code(), "name", error.code()))


def lacking(errors):
    """Every node that the parser refused, once; releases up to 8.5 tell its number alone."""
    found = [lacks(operator(each), called(each) or "#%d" % each.node(), why(each)) for each in errors]
    return [each for index, each in enumerate(found) if each not in found[:index]]


def check_types(network, options):
    """Raise where an input has another type than in the file: float64 becomes float32 without a word."""
    declared = options.get("declared") or {}
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        there = NUMPY.get(tensor.dtype.name, tensor.dtype.name)
        said = declared.get(tensor.name, there)
        if said != there and (said, there) != NARROWED and not options.get("may_cast"):
            text = "input %s is %s in the file and %s in the network: TensorRT changes it in silence"
            raise StepFailed("unsupported", text % (tensor.name, said, there))


def described(library, network, options):
    """The network's inputs with the types and sizes that TensorRT gave them, its layers, and the precision stated."""
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    counts = computed_in(network)
    told = " ".join("%s %d" % pair for pair in sorted(counts.items()))
    return {
        "inputs": "; ".join(
            "%s %s%s" % (it.name, NUMPY.get(it.dtype.name, it.dtype.name), list(it.shape)) for it in inputs
        ),
        "layers_before_fusion": str(network.num_layers),
        "layer_types": told or "none of float type",
        "precision": stated(network, counts),
    }


def computed_in(network):
    """How many layers compute in each float type."""
    counts = {}
    for layer in (network.get_layer(index) for index in range(network.num_layers)):
        name = layer.get_output(0).dtype.name if layer.num_outputs else ""
        if name in PRECISIONS and layer.type.name not in CONVERTERS:
            counts[name] = counts.get(name, 0) + 1
    return counts


def stated(network, counts):
    """The lowest precision among the layers; quantised where something is."""
    found = {PRECISIONS[name] for name in counts}
    if any(network.get_layer(index).type.name in CONVERTERS[1:3] for index in range(network.num_layers)):
        found.add("int8")
    return next((name for name in LOWEST_FIRST if name in found), "fp32")
