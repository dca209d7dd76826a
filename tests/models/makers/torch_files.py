"""torch's formats: TorchScript (scripted, traced), torch.export .pt2, checkpoints (zip and legacy), a whole module."""

import json
import sys
from pathlib import Path

import torch
from torch import nn


class Net(nn.Module):
    """x [N,3,8,8] -> conv, relu, mean, linear -> [N,5]."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
        return self.head(torch.relu(self.conv(x)).mean([2, 3])) * scale


def state(tensors):
    """Names, types and shapes of weights."""
    return {name: [str(each.dtype).removeprefix("torch."), list(each.shape)] for name, each in tensors.items()}


def scripted(folder, net, x):
    torch.jit.save(torch.jit.script(net), folder / "scripted.pt")
    torch.jit.save(torch.jit.trace(net, (x,)), folder / "traced.pt")
    told = {}
    for name in ("scripted.pt", "traced.pt"):
        loaded = torch.jit.load(folder / name)
        arguments = [a.name for a in loaded.forward.schema.arguments if a.name != "self"]
        kinds = sorted({n.kind() for n in loaded.inlined_graph.nodes() if n.kind().startswith("aten::")})
        told[name] = {"inputs": arguments, "kinds": kinds, "state": state(loaded.state_dict())}
    return told


def exported(folder, net, x):
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(net, (x,), dynamic_shapes={"x": {0: batch}})
    torch.export.save(program, folder / "exported.pt2")
    loaded = torch.export.load(folder / "exported.pt2")
    nodes = [str(n.target) for n in loaded.graph.nodes if n.op == "call_function"]
    return {
        "exported.pt2": {
            "version": torch.__version__.split("+")[0],
            "inputs": list(loaded.graph_signature.user_inputs),
            "outputs": list(loaded.graph_signature.user_outputs),
            "ops": sorted(set(nodes)),
            "state": state(loaded.state_dict),
        }
    }


def checkpoints(folder, net):
    torch.save(net.state_dict(), folder / "state.pt")
    torch.save(net.state_dict(), folder / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save({"epoch": 3, "model": net.state_dict()}, folder / "training.pt")
    torch.save(net, folder / "module.pt")
    return {name: {"state": state(net.state_dict())} for name in ("state.pt", "legacy.pt", "training.pt", "module.pt")}


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    net, x = Net().eval(), torch.randn(2, 3, 8, 8)
    said = {**scripted(folder, net, x), **exported(folder, net, x), **checkpoints(folder, net)}
    (folder / "said.json").write_text(json.dumps(said, indent=1, sort_keys=True) + "\n")


main(Path(sys.argv[1]))
