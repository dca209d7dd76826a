"""ncnn on the CPU, from ONNX through pnnx (worker/pnnx_program.py). API: https://github.com/Tencent/ncnn/wiki

ncnn has no batch: one run a sample, and what pnnx took for the batch's axis is cut before and put together after. Its
functions answer failures with a number, so every number is looked at.
"""

import json
import os

from failure import StepFailed, lacks

WEIGHTS_FP16 = 0x01306B47  # the tag before float16 weights: https://github.com/Tencent/ncnn/wiki/new-model-load-api
# what each precision switches on; all others are switched off, float16 storage is on by itself otherwise
SWITCHES = {"fp32": (), "fp16": ("use_fp16_storage", "use_fp16_packed"), "bf16": ("use_bf16_storage",)}
EVERY_SWITCH = (
    "use_fp16_storage", "use_fp16_packed", "use_fp16_arithmetic", "use_fp16_uniform", "use_bf16_storage",
    "use_bf16_packed",
)  # fmt: skip
RAW = 1  # Extractor.extract's type: as the layer left it, without making float32 of it


def open_engine():
    import ncnn  # noqa: F401


def versions():
    import ncnn
    import numpy

    return {"ncnn": ncnn.__version__, "numpy": numpy.__version__}


def convert(source, target, options):
    """Write model.param and model.bin, and model.json, which knows the ONNX names, shapes and the axis of the batch."""
    import ncnn
    import pnnx_program

    param = os.path.join(target, "model.param")
    ends, pnnx = pnnx_program.convert(source, target, options)
    refuse_unknown(param, ncnn)
    with open(os.path.join(target, "model.json"), "w", encoding="utf-8") as stream:
        json.dump(ends, stream, indent=2, sort_keys=True)
    opened(param, ncnn, options)
    kept = "fp16" if has_fp16_weights(beside(param, ".bin")) else "fp32"
    # a model without weights has an empty file of them, and ncnn wants none of it
    made = [name for name in ("model.param", "model.bin", "model.json") if os.path.getsize(os.path.join(target, name))]
    return {"artifacts": made, "read_back": {"weights": kept, "pnnx": pnnx}}


def refuse_unknown(param, ncnn):
    """Raise for layers that this ncnn has not: pnnx writes operators that it does not know under their own names."""
    with open(param, encoding="utf-8") as stream:
        lines = [line.split() for line in stream.read().splitlines()[2:]]
    lacking = sorted({(line[0], line[1]) for line in lines if line and ncnn.layer_to_index(line[0]) < 0})
    if lacking:
        told = ", ".join("%s (%s)" % pair for pair in lacking)
        found = [lacks(op, node, "pnnx wrote it, and ncnn has no such layer") for op, node in lacking]
        raise StepFailed("unsupported", "ncnn %s has no layer %s" % (ncnn.__version__, told), found)


def beside(path, ending):
    return os.path.splitext(path)[0] + ending


def has_fp16_weights(path):
    import numpy

    words = numpy.fromfile(path, dtype="<u4") if os.path.exists(path) else numpy.zeros(0)
    return bool((words == WEIGHTS_FP16).any())


def opened(param, ncnn, options):
    """The network, loaded; `load_param` and `load_model` return a number and raise nothing."""
    net = ncnn.Net()
    wanted = SWITCHES[options.get("precision") or "fp32"]
    for switch in EVERY_SWITCH:
        if hasattr(net.opt, switch):
            setattr(net.opt, switch, switch in wanted)
    if options.get("threads"):
        net.opt.num_threads = options["threads"]
    weights = beside(param, ".bin")
    for what, code in (
        ("load_param", net.load_param(param)),
        ("load_model", net.load_model(weights) if os.path.exists(weights) else net.load_model_mem(b"")),
    ):
        if code != 0:
            raise StepFailed("engine-error", "ncnn's %s returned %d; the log says why" % (what, code))
    return net


def load(source, options):
    import ncnn

    with open(beside(source, ".json"), encoding="utf-8") as stream:
        ends = json.load(stream)
    return Session(opened(source, ncnn, options), ends, has_fp16_weights(beside(source, ".bin")))


class Session:
    """Inputs and outputs under their ONNX names; `ends` has the blob, shape and batch axis of each."""

    def __init__(self, net, ends, halved):
        self.net, self.ends, self.halved = net, ends, halved
        self.inputs = [end["name"] for end in ends["inputs"]]
        self.outputs = [(end["name"], "float32") for end in ends["outputs"]]
        self.last = None

    def run(self, feed):
        import numpy

        answers = [self.one(arrays) for arrays in self.rows(feed)]
        return [together(numpy, list(column), end) for column, end in zip(zip(*answers), self.ends["outputs"])]

    def rows(self, feed):
        """The arrays of each sample, in the order of the inputs."""
        parts = [pieces(feed[end["name"]], end) for end in self.ends["inputs"]]
        count = max(len(part) for part in parts)
        if {len(part) for part in parts} - {1, count}:
            raise StepFailed("unsupported", "the inputs have batches of different sizes")
        return [[part[index % len(part)] for part in parts] for index in range(count)]

    def prepared(self, feed):
        """One inference on matrices that are ncnn's already: an extractor for each sample, as ncnn wants it."""
        import ncnn

        rows = [[ncnn.Mat(array).clone() for array in arrays] for arrays in self.rows(feed)]
        takes, gives = ([end["blob"] for end in self.ends[side]] for side in ("inputs", "outputs"))
        create = self.net.create_extractor

        def call():
            for mats in rows:
                extractor = create()
                for blob, mat in zip(takes, mats):
                    extractor.input(blob, mat)
                for blob in gives:
                    code, _ = extractor.extract(blob)
                    if code:
                        raise StepFailed("engine-error", "ncnn's extract of %s returned %d" % (blob, code))

        return call

    def lanes(self, feed, count):
        """A network takes several extractors at once."""
        return [self.prepared(feed) for _ in range(count)]

    def one(self, arrays):
        """The outputs for one sample, without the batch's axis."""
        import numpy

        extractor = self.fed(arrays)
        answers = []
        for end in self.ends["outputs"]:
            code, found = extractor.extract(end["blob"])
            if code != 0:
                raise StepFailed("engine-error", "ncnn's extract of %s returned %d" % (end["name"], code))
            answers.append(numpy.array(found, dtype=numpy.float32, copy=True))
        self.last = arrays
        return answers

    def fed(self, arrays):
        import ncnn

        extractor = self.net.create_extractor()
        for end, array in zip(self.ends["inputs"], arrays):
            code = extractor.input(end["blob"], ncnn.Mat(array).clone())
            if code != 0:
                raise StepFailed("engine-error", "ncnn's input of %s returned %d" % (end["name"], code))
        return extractor

    def read_back(self):
        """What was computed in: the width in which layers left their results, and the type of the stored weights."""
        weights, storage = "fp16" if self.halved else "fp32", self.storage()
        ran = {weights, storage}
        precision = next(name for name in ("bf16", "fp16", "fp32") if name in ran)
        return {"precision": precision, "weights": weights, "storage": storage, "device": "CPU"}

    def storage(self):
        """The type of what lies between layers: those of the last run, as they are."""
        if self.last is None:
            return "fp32"
        extractor = self.fed(self.last)
        extractor.set_light_mode(False)
        for blob in self.net.blobs():
            code, found = extractor.extract(blob.name, RAW)
            if code == 0 and found.elempack and found.elemsize // found.elempack == 2:
                return "bf16" if self.net.opt.use_bf16_storage else "fp16"
        return "fp32"


def pieces(array, end):
    """An input as the arrays of single samples; ncnn's own shapes have one to four axes."""
    import numpy

    if array.dtype != numpy.float32:
        raise StepFailed("unsupported", "input %s is %s; ncnn computes on float32" % (end["name"], array.dtype))
    axis = end["batch"]
    parts = [array] if axis is None else [numpy.take(array, index, axis=axis) for index in range(array.shape[axis])]
    if not parts or not parts[0].size or not 1 <= parts[0].ndim <= 4:
        raise StepFailed("unsupported", "input %s of shape %s: ncnn takes one to four axes beside the batch, none of "
                         "them empty" % (end["name"], list(array.shape)))  # fmt: skip
    return [numpy.ascontiguousarray(part) for part in parts]


def together(numpy, answers, end):
    """The samples' answers with the batch's axis put back."""
    axis = end["batch"]
    if axis is None and len(answers) > 1:
        raise StepFailed("unsupported", "output %s has no batch axis, the inputs have" % end["name"])
    whole = answers[0] if axis is None else numpy.stack(answers, axis=min(axis, answers[0].ndim))
    return fitted(whole, end["shape"])


def fitted(array, shape):
    """The array in the shape that ONNX says, where the two differ in axes of size 1 alone: ncnn has no scalars."""
    if shape is None or [size for size in array.shape if size != 1] != [size for size in shape if size != 1]:
        return array
    return array.reshape(shape)
