"""Files of engines, made from one small ONNX model: OpenVINO IR, a TensorRT for RTX plan, and the ONNX models."""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def model():
    """image [N,3,8,8] -> Conv -> Relu -> GlobalAveragePool -> Flatten -> Gemm -> classes [N,5]."""
    rng = np.random.default_rng(1)
    stored = {"kernel": rng.normal(size=(4, 3, 3, 3)), "dense": rng.normal(size=(4, 5)), "bias": np.zeros(5)}
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["c"], name="conv"),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flat"),
        helper.make_node("Gemm", ["f", "dense", "bias"], ["classes"], name="gemm"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info("classes", TensorProto.FLOAT, ["batch", 5])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in stored.items()],
    )
    made = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    made.producer_name, made.producer_version = "maker", "1.2"
    onnx.checker.check_model(made)
    return made


def onnx_files(folder):
    onnx.save(model(), folder / "net.onnx")
    onnx.save(model(), folder / "external.onnx", save_as_external_data=True, location="external.bin", size_threshold=64)
    told = {"inputs": ["image"], "outputs": ["classes"], "parameters": 108 + 20 + 5, "version": "1.2"}
    return {"net.onnx": told, "external.onnx": told}


def openvino_files(folder):
    import openvino as ov

    made = ov.convert_model(folder / "net.onnx")
    ov.save_model(made, folder / "net.xml", compress_to_fp16=False)
    read = ov.Core().read_model(folder / "net.xml")
    return {
        "net.xml": {
            "version": ov.__version__,
            "inputs": [_port(each) for each in read.inputs],
            "outputs": [_port(each) for each in read.outputs],
            "ops": sorted({each.get_type_name() for each in read.get_ops()}),
        }
    }


def _port(port):
    shape = [None if size.is_dynamic else size.get_length() for size in port.partial_shape]
    return {"name": port.any_name, "dtype": port.element_type.to_dtype().name, "shape": shape}


def plan(folder):
    import tensorrt_rtx as trt

    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network, config = builder.create_network(0), builder.create_builder_config()
    assert trt.OnnxParser(network, logger).parse((folder / "net.onnx").read_bytes())
    profile = builder.create_optimization_profile()
    profile.set_shape("image", (1, 3, 8, 8), (1, 3, 8, 8), (4, 3, 8, 8))
    config.add_optimization_profile(profile)
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM89, 0)
    (folder / "net.plan").write_bytes(bytes(builder.build_serialized_network(network, config)))
    return {"net.plan": {"version": trt.__version__}}


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    said = {**onnx_files(folder), **openvino_files(folder), **plan(folder)}
    (folder / "said.json").write_text(json.dumps(said, indent=1, sort_keys=True) + "\n")


main(Path(sys.argv[1]))
