"""TensorRT and TensorRT for RTX: builds an engine (plan) ahead of time; nothing is executed without a GPU.

API: https://docs.nvidia.com/deeplearning/tensorrt-rtx/latest/ . Success is bytes *and* no error in the log: a build
for a foreign platform logs an error and returns bytes all the same (measured: docs/evidence.md).
"""

import os

from failure import StepFailed

state = {}
DEVICES = ["/dev/nvidiactl", "/dev/nvhost-ctrl-gpu", "/dev/dxg"]  # of a driver for PCI, Jetson, WSL


def open_engine():
    """Import whichever TensorRT this environment has; the bindings do not find the library by themselves."""
    try:
        import tensorrt_rtx_bindings as library
        import tensorrt_rtx_libs  # noqa: F401
    except ImportError:
        import tensorrt as library
    state["library"] = library


def versions():
    import numpy

    library = state["library"]
    name = "tensorrt-rtx" if "rtx" in library.__name__ else "tensorrt"
    return {name: library.__version__, "numpy": numpy.__version__}


def new_logger():
    """A logger that keeps the errors and prints everything."""
    library = state["library"]

    class Logger(library.ILogger):
        def __init__(self):
            library.ILogger.__init__(self)
            self.errors = []

        def log(self, severity, message):
            print(severity, message, flush=True)
            if severity in (library.ILogger.ERROR, library.ILogger.INTERNAL_ERROR):
                self.errors.append(message)

    return Logger()


def new_builder(logger):
    """The builder; up to TensorRT 10 the library gives none without a driver (measured: docs/evidence.md)."""
    try:
        return state["library"].Builder(logger)
    except TypeError as error:  # the binding's word for a null pointer
        because = "; ".join(logger.errors) or str(error)
        if any(map(os.path.exists, DEVICES)):
            raise StepFailed("engine-error", "the library gives no builder: %s" % because) from error
        raise StepFailed("no-device", "without NVIDIA's driver the library gives no builder: %s" % because) from error


def parse(logger, builder, source):
    """The network read from ONNX; a refusal names node and operator."""
    library = state["library"]
    network = builder.create_network(0)
    parser = library.OnnxParser(network, logger)
    if not parser.parse_from_file(source):
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        raise StepFailed(
            "unsupported", "; ".join(describe(error) for error in errors) or "the parser refused the model"
        )
    return network, parser


def describe(error):
    operator = getattr(error, "node_operator", lambda: "")()
    name = getattr(error, "node_name", lambda: "")()
    return "%s (node %d %s %s)" % (error.desc(), error.node(), operator, name)


def profile(builder, config, network, shapes):
    """One optimisation profile where a dimension is left open: as asked for, else 1."""
    chosen = builder.create_optimization_profile()
    dynamic = False
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        shape = shapes.get(tensor.name) or [1 if size < 0 else size for size in tensor.shape]
        dynamic = dynamic or any(size < 0 for size in tensor.shape)
        chosen.set_shape(tensor.name, shape, shape, shape)
    if dynamic and config.add_optimization_profile(chosen) < 0:
        raise StepFailed("engine-error", "the engine refused the profile for %s" % (shapes,))


def choose_gpus(config, wanted):
    """Build for the named compute capabilities ("8.9"). None named: what the library builds for by itself, which is
    Ampere and later but not Turing: https://docs.nvidia.com/deeplearning/tensorrt-rtx/latest/inference-library/cpu-engines.html"""
    if not wanted:
        return "the library's default"
    listed = capabilities()
    missing = [name for name in wanted if name not in listed]
    if missing:
        raise StepFailed("no-device", "compute capability %s is not among %s" % (missing, sorted(listed)))
    config.num_compute_capabilities = len(wanted)
    for index, name in enumerate(wanted):
        config.set_compute_capability(listed[name], index)
    return " ".join(wanted)


def capabilities():
    """What the library's enum names SM89, under the name 8.9."""
    enum = getattr(state["library"], "ComputeCapability", None)
    members = getattr(enum, "__members__", {})
    return {name[2:-1] + "." + name[-1]: value for name, value in members.items() if name.startswith("SM")}


def convert(source, target, options):
    logger = new_logger()
    builder = new_builder(logger)
    network, parser = parse(logger, builder, source)
    config = builder.create_builder_config()
    profile(builder, config, network, options.get("shapes") or {})
    gpus = choose_gpus(config, options.get("gpu") or [])
    layers = network.num_layers
    plan = builder.build_serialized_network(network, config)
    if plan is None or logger.errors:
        raise StepFailed("engine-error", "; ".join(logger.errors) or "the builder gave no engine and no reason")
    with open(os.path.join(target, "model.plan"), "wb") as stream:
        stream.write(plan)
    del parser
    read_back = {"compute_capabilities": gpus, "layers_before_fusion": str(layers)}
    return {"artifacts": ["model.plan"], "read_back": read_back}


def load(source, options):
    raise StepFailed("no-device", "running an engine needs an NVIDIA GPU that this version of TensorRT serves")
