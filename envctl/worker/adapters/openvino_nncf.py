"""A model in int8 for OpenVINO, by NNCF's post-training quantisation, written as OpenVINO IR.

API: https://docs.openvino.ai/2026/openvino-workflow/model-optimization-guide/quantizing-models-post-training/basic-quantization-flow.html
"""

import importlib.util
import json
import os
import re
import sys
import types

from adapters.graph_types import calibration
from adapters.openvino import input_names, read
from failure import StepFailed

COMMENT = re.compile(r'("(?:[^"\\]|\\.)*")|//[^\n]*|/\*.*?\*/', re.DOTALL)


def open_engine():
    os.environ["NNCF_CI"] = "1"  # no telemetry: nobody asked for it, and there is no network
    sys.modules["openvino.tools.ovc"] = None
    if importlib.util.find_spec("jstyleson") is None:
        sys.modules["jstyleson"] = commented_json()
    try:
        import nncf  # noqa: F401
    except ImportError as error:
        what = "this environment has not NNCF (%s); a lock made without --precision has none" % error
        raise StepFailed("engine-missing", what) from error


def commented_json():
    """What NNCF up to 2.16 takes from jstyleson: JSON with // comments, read from files and texts."""
    made = types.ModuleType("jstyleson")
    made.loads = lambda text, **options: json.loads(without_comments(text), **options)
    made.load = lambda stream, **options: made.loads(stream.read(), **options)
    made.dumps, made.dump = json.dumps, json.dump
    return made


def without_comments(text):
    """The text without // and /* */ comments that stand outside strings."""
    return COMMENT.sub(lambda found: found.group(1) or "", text)


def versions():
    import nncf
    import numpy
    import openvino

    return {"nncf": nncf.__version__, "openvino": openvino.get_version(), "numpy": numpy.__version__}


def convert(source, target, options):
    """Write model.xml and model.bin, quantised on the arrays that the job brought."""
    import nncf
    import openvino

    model = read(source)
    names = input_names(model, options.get("aliases") or {})
    feeds = calibration(os.path.dirname(target), options["calibration"])
    ordered = [[feed[name] for name in names] for feed in feeds]
    try:
        made = nncf.quantize(model, nncf.Dataset(ordered), subset_size=len(ordered))
    except nncf.UnsupportedModelError as error:
        raise StepFailed("unsupported", "NNCF: %s" % error) from error
    path = os.path.join(target, "model.xml")
    openvino.save_model(made, path, compress_to_fp16=False)
    return {"artifacts": ["model.xml", "model.bin"], "read_back": told(made, len(ordered))}


def told(model, samples):
    """How many quantisers there are, on what."""
    kinds = [op.get_type_name() for op in model.get_ops()]
    return {
        "calibration_samples": str(samples),
        "quantisation": "NNCF, %d FakeQuantize" % kinds.count("FakeQuantize"),
        "nodes": str(len([kind for kind in kinds if kind not in ("Constant", "Parameter", "Result")])),
    }
