"""What an engineer writes who does not have envctl: convert MODEL to OpenVINO, compare with ONNX Runtime.

Run by benchmarks/run.py in an environment that holds both engines. The work of `envctl run --openvino … convert`:
convert and save the IR, load what was saved, run the samples on both, compare, probes against a constant reference too.
"""

import hashlib
import json
import sys

import numpy as np
import onnxruntime
import openvino

SAMPLES = 16


def main(source: str, folder: str) -> None:
    generator = np.random.default_rng(0)
    samples = generator.standard_normal((SAMPLES, 1, 3, 224, 224), dtype=np.float32)
    target = convert(source, folder)
    answers = np.stack([target(sample) for sample in samples])
    probes = np.concatenate([samples, samples[:2] * 0, generator.permutation(samples[:1], axis=3)])
    expected = reference(source, probes)
    moved = np.abs(expected[SAMPLES:] - expected[0]).max(axis=(1, 2))
    error = np.abs(answers - expected[:SAMPLES])
    digest = hashlib.sha256(open(source, "rb").read()).hexdigest()  # noqa: SIM115, PTH123
    figures = {"max": float(error.max()), "p999": float(np.quantile(error, 0.999)), "moved": float(moved.min())}
    print(json.dumps(figures | {"source": digest}))


def convert(source, folder):
    core = openvino.Core()
    path = f"{folder}/model.xml"
    openvino.save_model(core.read_model(source), path, compress_to_fp16=False)
    compiled = core.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": "1"})
    request = compiled.create_infer_request()

    def run(sample):
        request.infer({0: sample})
        return request.get_output_tensor(0).data.copy()

    return run


def reference(source, samples):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.stack([session.run(None, {name: sample})[0] for sample in samples])


main(*sys.argv[1:])
