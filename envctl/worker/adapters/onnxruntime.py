"""ONNX Runtime on the CPU. API: https://onnxruntime.ai/docs/api/python/api_summary.html"""

import os

from failure import StepFailed

PROVIDERS = ["CPUExecutionProvider"]


def open_engine():
    import onnxruntime

    # 4 = fatal: errors come back as exceptions
    onnxruntime.set_default_logger_severity(4)


def versions():
    import numpy
    import onnxruntime

    return {"onnxruntime": onnxruntime.__version__, "numpy": numpy.__version__}


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


def start(source, chosen):
    """A session whose providers are the ones asked for; the wheel falls back to others in silence."""
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(source, chosen, providers=PROVIDERS)
    except Exception as error:
        raise translated(error) from error
    if session.get_providers() != PROVIDERS:
        raise StepFailed("no-device", "asked for %s, got %s" % (PROVIDERS, session.get_providers()))
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
    session = start(source, chosen)
    return {"artifacts": artifacts, "read_back": {"providers": " ".join(session.get_providers())}}


def load(source, options):
    return Session(start(source, session_options(options)))


class Session:
    """Inputs by name, outputs as (name, element type) in the model's order."""

    def __init__(self, session):
        self.session = session
        self.inputs = [entry.name for entry in session.get_inputs()]
        self.outputs = [(entry.name, entry.type) for entry in session.get_outputs()]

    def run(self, feed):
        return self.session.run(None, feed)

    def read_back(self):
        """ONNX Runtime computes in the types of the graph: the precision is read from the file, not asked here."""
        return {"device": "CPU", "providers": " ".join(self.session.get_providers())}
