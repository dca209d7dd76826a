"""PyTorch on the CPU: reads and runs TorchScript archives and exported programs; torch_to_onnx converts them.

API: https://docs.pytorch.org/docs/stable/generated/torch.jit.load.html , …/export.html .
Both are programs of torch's own operators and no Python; what such a program may touch is the sandbox's affair.
"""

import os
import warnings

from failure import StepFailed

HALF = {"float16": "fp16", "bfloat16": "bf16"}


def open_engine():
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # this recipe is for the CPU; no GPU takes part in silence
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", os.path.join(os.environ.get("TMPDIR", "/tmp"), "inductor"))
    warnings.simplefilter("ignore")
    import torch  # noqa: F401


def versions():
    import numpy
    import torch

    return {"torch": torch.__version__, "numpy": numpy.__version__}


def read(source, options):
    """The model as a module in evaluation mode (as it was saved), and the exported program where it is one."""
    try:
        if options["format"] == "torchscript":
            return script(source), None
        return program(source)
    except StepFailed:
        raise
    except Exception as error:
        raise StepFailed("invalid-model", "torch cannot read it: %s: %s" % (type(error).__name__, error)) from error


def script(source):
    import torch

    module = torch.jit.load(source, map_location="cpu")
    if module.training:
        module.eval()  # what runs elsewhere is the model in use: no dropout, stored means
    return module


def program(source):
    import torch

    link = os.path.join(os.environ["TMPDIR"], "model.pt2")  # it goes by the name
    if not os.path.exists(link):
        os.symlink(source, link)
    found = torch.export.load(link)
    return found.module(), found


def flat(answers):
    """The tensors of an answer, in order."""
    import torch

    if isinstance(answers, torch.Tensor):
        return [answers]
    if isinstance(answers, (tuple, list)):
        return [tensor for each in answers for tensor in flat(each)]
    raise StepFailed("unsupported", "the model answers a %s; have it return tensors" % type(answers).__name__)


def load(source, options):
    import torch

    if options.get("threads"):
        torch.set_num_threads(options["threads"])
    return Session(read(source, options)[0], options)


class Session:
    """Runs the module as torch does, inputs by name in the order of the file, outputs by the file's names."""

    def __init__(self, module, options):
        self.module, self.inputs, self.names = module, options["inputs"], options["outputs"]
        self.types = ["float32"] * len(self.names)

    @property
    def outputs(self):
        return list(zip(self.names, self.types))

    def run(self, feed):
        import torch

        with torch.no_grad():
            answers = flat(self.module(*[torch.from_numpy(feed[name].copy()) for name in self.inputs]))
        if len(answers) != len(self.names):
            what = "the model answers %d tensors, its file says %d" % (len(answers), len(self.names))
            raise StepFailed("invalid-model", what)
        self.types = [str(each.dtype).replace("torch.", "") for each in answers]
        return [numbers(each) for each in answers]

    def prepared(self, feed):
        """One inference on tensors that are torch's already; on the CPU a call returns when it is done."""
        import torch

        tensors = [torch.from_numpy(feed[name].copy()) for name in self.inputs]

        def call():
            with torch.no_grad():
                return self.module(*tensors)

        return call

    def lanes(self, feed, count):
        """A module takes several callers: torch's threads are shared."""
        return [self.prepared(feed) for _ in range(count)]

    def read_back(self):
        """Torch computes in the types of weights and inputs: the lowest of them is the precision."""
        kinds = {str(each.dtype).replace("torch.", "") for each in tensors_of(self.module)} | set(self.types)
        ran = {HALF.get(kind, "fp32") for kind in kinds}
        return {"precision": next((p for p in ("bf16", "fp16") if p in ran), "fp32"), "device": "CPU"}


def numbers(tensor):
    import torch

    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).cpu().numpy()


def tensors_of(module):
    return list(module.parameters()) + list(module.buffers())
