"""ncnn's formats from an ONNX model: `PYTHON ncnn_files.py FOLDER NET.onnx` (pnnx's program; torch is not needed)."""

import json
import subprocess
import sys
from pathlib import Path


def main(folder, source):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "net.onnx").write_bytes(Path(source).read_bytes())
    program = next(Path(each) / "pnnx" / "pnnx" for each in sys.path if (Path(each) / "pnnx" / "pnnx").is_file())
    subprocess.run([str(program), "net.onnx", "inputshape=[1,3,8,8]", "fp16=0"], cwd=folder, check=True)
    for left in ("net.onnx", "net.pnnx.onnx", "net.pnnxsim.onnx", "net_pnnx.py", "net_ncnn.py"):
        (folder / left).unlink(missing_ok=True)
    import ncnn

    net = ncnn.Net()
    assert net.load_param(str(folder / "net.ncnn.param")) == 0
    said = {
        "net.ncnn.param": {
            "inputs": list(net.input_names()),
            "outputs": list(net.output_names()),
            "layers": [layer.type for layer in net.layers()],
        }
    }
    (folder / "said.json").write_text(json.dumps(said, indent=1, sort_keys=True) + "\n")


main(Path(sys.argv[1]), sys.argv[2])
