"""LiteRT (TensorFlow Lite) on the CPU. API: https://ai.google.dev/edge/api/tflite/python/tf/lite/Interpreter

A .tflite file is what LiteRT runs: its conversion is a copy that was loaded. What it computes in is read from the types
of its tensors. A "float16" file has float16 weights and computes in float32; int8 weights between float32 tensors are
dynamic-range quantisation; where what lies between the operators is int8 too, it is quantised wholly.
"""

import os
import re
import shutil

from failure import StepFailed, lacks

QUANTISED = ("int8", "uint8", "int16", "int4")
UNSUPPORTED = (
    "unresolved custom op",
    "Didn't find op",
    "Select TensorFlow op",
    "Regular TensorFlow ops",
    "not supported",
)
CUSTOM = re.compile(r"Encountered unresolved custom op: (\w+)")
BUILTIN = re.compile(r"Didn't find op for builtin opcode '(\w+)' version '(\d+)'")
INVALID = ("identifier", "Could not open", "buffer", "flatbuffer", "Unsupported model version")


def open_engine():
    import ai_edge_litert.interpreter  # noqa: F401


def versions():
    from importlib import metadata

    import numpy

    return {"ai-edge-litert": metadata.version("ai-edge-litert"), "numpy": numpy.__version__}


def opened(source, options):
    """The interpreter; without optimisation it computes with the reference kernels and no delegate."""
    from ai_edge_litert import interpreter

    chosen = {"num_threads": options["threads"]} if options.get("threads") else {}
    if options.get("optimise") is False:
        chosen["experimental_op_resolver_type"] = interpreter.OpResolverType.BUILTIN_REF
    try:
        found = interpreter.Interpreter(model_path=source, **chosen)
        found.allocate_tensors()
    except Exception as error:
        raise translated(error) from error
    return found


def translated(error):
    text = str(error)
    if any(words in text for words in UNSUPPORTED):
        return StepFailed("unsupported", text, lacking(text))
    if isinstance(error, ValueError) and any(words in text for words in INVALID):
        return StepFailed("invalid-model", text)
    return error


def lacking(text):
    """The operators that its message names; it stops at the first."""
    found = [lacks(op, why="LiteRT has no operator of that name", domain="custom") for op in CUSTOM.findall(text)]
    return found + [lacks(op, why="LiteRT has not version %s of it" % version) for op, version in BUILTIN.findall(text)]


def convert(source, target, options):
    """The same bytes, once LiteRT has loaded them."""
    read_back = Session(opened(source, options)).read_back()
    shutil.copyfile(source, os.path.join(target, "model.tflite"))
    return {"artifacts": ["model.tflite"], "read_back": read_back}


def load(source, options):
    return Session(opened(source, options))


def keys(interpreter):
    """The keys of the only signature, by the index of their tensors."""
    signatures = list(interpreter.get_signature_list())
    if len(signatures) != 1:
        return {}
    runner = interpreter.get_signature_runner(signatures[0])
    sides = (runner.get_input_details(), runner.get_output_details())
    return {detail["index"]: key for side in sides for key, detail in side.items()}


class Session:
    """Inputs and outputs by their keys in the file's signature; without one, by the names of their tensors."""

    def __init__(self, interpreter):
        self.interpreter = interpreter
        self.feeds = interpreter.get_input_details()
        self.answers = interpreter.get_output_details()
        self.keys = keys(interpreter)
        self.inputs = [self.named(detail) for detail in self.feeds]
        self.outputs = [(self.named(detail), detail["dtype"].__name__) for detail in self.answers]

    def named(self, detail):
        return self.keys.get(detail["index"], detail["name"])

    def run(self, feed):
        self.give(feed)
        try:
            self.interpreter.invoke()
        except Exception as error:
            raise translated(error) from error
        return [self.interpreter.get_tensor(detail["index"]) for detail in self.answers]

    def give(self, feed):
        self.fit(feed)
        for detail in self.feeds:
            self.interpreter.set_tensor(detail["index"], feed[self.named(detail)])

    def prepared(self, feed):
        """One inference on the inputs that are set; the results stay in the interpreter."""
        self.give(feed)
        return self.interpreter.invoke

    def fit(self, feed):
        """Give the inputs the sizes of this run, where they differ: sizes that are left open are 1 by themselves."""
        wrong = [each for each in self.feeds if list(each["shape"]) != list(feed[self.named(each)].shape)]
        try:
            for detail in wrong:
                self.interpreter.resize_tensor_input(detail["index"], feed[self.named(detail)].shape, strict=True)
            if wrong:
                self.interpreter.allocate_tensors()
                self.feeds = self.interpreter.get_input_details()
        except Exception as error:
            raise StepFailed("unsupported", "the inputs cannot have these sizes: %s" % error) from error

    def read_back(self):
        """What the tensors and operators of the loaded model are; `precision` is the lowest of it."""
        details = self.interpreter.get_tensor_details()
        types = {detail["index"]: detail["dtype"].__name__ for detail in details}
        scaled = {detail["index"] for detail in details if len(detail["quantization_parameters"]["scales"])}
        low = {index for index in scaled if types[index] in QUANTISED}
        if low:
            said = {"precision": "int8", "quantisation": "full" if low & self.made() else "dynamic range"}
        else:
            said = {"precision": "fp16" if "float16" in types.values() else "fp32"}
        return dict(said, weights=said["precision"], device="CPU", delegate=self.delegate())

    def operators(self):
        """The operators of the loaded model; LiteRT tells them under a name that is not public."""
        tell = getattr(self.interpreter, "_get_ops_details", None)
        return tell() if tell else []

    def made(self):
        """The tensors that operators make: what is not stored in the file."""
        return {int(index) for each in self.operators() for index in each["outputs"] if each["op_name"] != "DEQUANTIZE"}

    def delegate(self):
        return "XNNPACK" if any(each["op_name"] == "DELEGATE" for each in self.operators()) else "none"
