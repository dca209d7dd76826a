"""ONNX Runtime on the CPU, or on a GPU through CUDA. API: https://onnxruntime.ai/docs/api/python/api_summary.html"""

import json
import os

import placement
from failure import StepFailed

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
FATAL, ERROR = 4, 3
# TF32, its default, is not float32: 10 bits of mantissa in convolutions and matrix products. The provider's option
# does not reach convolutions (measured on an H200: docs/evidence.md#onnxruntime-tf32), the libraries' variable does.
# https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html#use_tf32
PRECISE = {"use_tf32": "0"}
OVERRIDE = "NVIDIA_TF32_OVERRIDE"
# numpy's names where the library has others
OTHER = {"float": "float32", "double": "float64", "string": "str"}
SAME = ("float16", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool")
TYPES = {"tensor(%s)" % name: OTHER.get(name, name) for name in list(OTHER) + list(SAME)}


def open_engine():
    import onnxruntime

    here = CUDA in onnxruntime.get_available_providers()
    # errors come back as exceptions; why a provider is not there is in the log alone
    onnxruntime.set_default_logger_severity(ERROR if here else FATAL)
    if here:
        os.environ[OVERRIDE] = "0"  # read by cuBLAS and cuDNN when they start
    if here and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # CUDA and cuDNN come as wheels, whose folders nobody else looks into


def versions():
    import numpy
    import onnxruntime

    name = "onnxruntime-gpu" if CUDA in onnxruntime.get_available_providers() else "onnxruntime"
    return {name: onnxruntime.__version__, "numpy": numpy.__version__}


def session_options(options):
    import onnxruntime

    levels = onnxruntime.GraphOptimizationLevel
    chosen = onnxruntime.SessionOptions()
    chosen.intra_op_num_threads = options.get("threads") or 0
    if options.get("beside_another"):
        # threads that wait do so asleep: the engine under test runs on the same cores
        chosen.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if options.get("optimise") is False:
        chosen.graph_optimization_level = levels.ORT_DISABLE_ALL
    return chosen


def start(source, chosen, options):
    """A session whose first provider is the one asked for; the library falls back to others in silence."""
    import onnxruntime

    providers = [(CUDA, PRECISE), CPU] if options.get("device") == "cuda" else [CPU]
    wanted = [each if isinstance(each, str) else each[0] for each in providers]
    try:
        session = onnxruntime.InferenceSession(source, chosen, providers=providers)
    except Exception as error:
        raise translated(error) from error
    if session.get_providers() != wanted:
        what = "%s did not start, only %s did" % (wanted[0], " ".join(session.get_providers()))
        raise StepFailed("no-device", what)
    return session


def translated(error):
    """The same failure with its kind: ONNX Runtime raises a class a status code, all of them RuntimeErrors."""
    name, text = type(error).__name__, str(error)
    if name == "NotImplemented" or "is not a registered function/op" in text:
        return StepFailed("unsupported", text)
    if name in ("InvalidProtobuf", "InvalidGraph", "NoModel", "NoSuchFile") or "opset" in text.lower():
        return StepFailed("invalid-model", text)
    return error


def convert(source, target, options):
    """Write the model as ONNX Runtime sees it after its hardware-independent optimisations."""
    import onnxruntime

    chosen = session_options(options)
    chosen.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    chosen.optimized_model_filepath = os.path.join(target, "model.onnx")
    artifacts = ["model.onnx"]
    if options.get("data"):
        # the source's weights lie beside it: so shall the copy's, under the name that they will be delivered by
        chosen.add_session_config_entry("session.optimized_model_external_initializers_file_name", options["data"])
        chosen.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "0")
        artifacts.append(options["data"])
    session = start(source, chosen, {})  # written for any device: the CPU is enough
    return {"artifacts": artifacts, "read_back": {"providers": " ".join(session.get_providers())}}


def shapes(source, options):
    """Element type and shape of every output, as the library infers them when it loads the model; nothing is run."""
    session = start(source, session_options(dict(options, optimise=False)), {})
    return {
        entry.name: json.dumps([TYPES.get(entry.type, entry.type), list(entry.shape)])
        for entry in session.get_outputs()
    }


def load(source, options):
    chosen = session_options(options)
    if options.get("device") == "cuda":
        placement.watch(chosen)
    return Session(start(source, chosen, options), options)


class Session:
    """Inputs by name, outputs as (name, element type) in the model's order."""

    def __init__(self, session, options):
        self.session, self.options = session, options
        self.placed = None
        self.inputs = [entry.name for entry in session.get_inputs()]
        self.outputs = [(entry.name, entry.type) for entry in session.get_outputs()]

    def run(self, feed):
        answers = self.session.run(None, feed)
        if self.placed is None and self.options.get("device") == "cuda":
            self.placed = placement.read(self.session.end_profiling())
            placement.check(self.placed, CUDA, self.options.get("allow_fallback"))
        return answers

    def read_back(self):
        """ONNX Runtime computes in the types of the graph: the precision is read from the file, not asked here."""
        providers = self.session.get_providers()
        said = {"device": "CPU" if providers == [CPU] else "CUDA", "providers": " ".join(providers)}
        if self.placed is not None:
            said["nodes"] = placement.told(self.placed)
            said["tf32"] = "off" if os.environ.get(OVERRIDE) == "0" else "on"
            said["libraries"] = placement.libraries()
        return said
