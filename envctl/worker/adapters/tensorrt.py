"""TensorRT 8.4 to 11 and TensorRT for RTX: builds an engine (plan) ahead of time; nothing is executed without a GPU.

One adapter for all of them: what a release has is asked of it, never derived from its version. Which release lacks what
is a table in docs/tensorrt.md, kept true by tests/test_tensorrt_api.py against the real bindings.

API: https://docs.nvidia.com/deeplearning/tensorrt-rtx/latest/ . Success is bytes *and* no error in the log: a build
for a foreign platform logs an error and returns bytes all the same (measured: docs/evidence.md).
"""

import os

from adapters import tensorrt_config, tensorrt_network, tensorrt_plan
from failure import StepFailed

state = {}
DEVICES = ["/dev/nvidiactl", "/dev/nvhost-ctrl-gpu", "/dev/dxg"]  # of a driver for PCI, Jetson, WSL


def open_engine():
    """Import whichever TensorRT this environment has; the bindings do not find the library by themselves."""
    try:
        import tensorrt_rtx_bindings as library
        import tensorrt_rtx_libs  # noqa: F401
    except ImportError:
        library = classic()
    state["library"] = library


def classic():
    """TensorRT itself: one distribution up to 8.5, libraries and bindings apart from 8.6 on, where the distribution
    that is called `tensorrt` only points at them and need not be there."""
    try:
        import tensorrt_libs  # noqa: F401
    except ImportError:
        import tensorrt as library
    else:
        import tensorrt_bindings as library
    return library


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


def convert(source, target, options):
    """Write model.plan, and the timing cache where the release keeps one."""
    library, logger = state["library"], new_logger()
    builder = new_builder(logger)
    network, parser = tensorrt_network.parse(library, logger, builder, source, options)
    config = builder.create_builder_config()
    read_back = tensorrt_network.described(library, network, options)
    read_back.update(tensorrt_config.configure(library, builder, config, network, options))
    cache = tensorrt_config.open_timing_cache(config, os.path.dirname(target), options.get("timing"))
    plan = built(logger, builder, network, config)
    artifacts = ["model.plan"]
    with open(os.path.join(target, "model.plan"), "wb") as stream:
        stream.write(plan)
    read_back["timing_cache"] = tensorrt_config.keep_timing_cache(config, cache, target, artifacts, options)
    read_back.update(tensorrt_plan.layers(library, logger, plan))
    del parser
    return {"artifacts": artifacts, "read_back": read_back}


def ask(source, options):
    """Raise what the parser lacks for the model, or a type that it would change; nothing is built."""
    logger = new_logger()
    builder = new_builder(logger)
    network, parser = tensorrt_network.parse(state["library"], logger, builder, source, options)
    del parser, network


def built(logger, builder, network, config):
    """The plan's bytes; an error in the log is a failure whatever came back."""
    plan = builder.build_serialized_network(network, config)
    if plan is None or logger.errors:
        what = "" if plan is None else " (it returned an engine all the same, which is not to be trusted)"
        raise StepFailed("engine-error", ("; ".join(logger.errors) or "the builder gave no reason") + what)
    return bytes(plan)


def load(source, options):
    raise StepFailed("no-device", "running an engine needs an NVIDIA GPU that this version of TensorRT serves")
