"""A direct loop of ONNX Runtime on CUDA with IO binding, to set beside `envctl bench --ort-gpu`:

    envctl run --lock gpu.lock -- python benchmarks/gpu_loop.py MODEL inputs.npz

Prints the median of single inferences in ms and inferences a second, as JSON. Nothing of envctl is imported.
"""

import json
import sys
import time

import numpy as np
import onnxruntime as ort


def main(path, arrays, seconds=3.0):
    ort.preload_dlls()
    session = ort.InferenceSession(path, providers=[("CUDAExecutionProvider", {"use_tf32": "0"})])
    assert session.get_providers()[0] == "CUDAExecutionProvider", session.get_providers()
    binding = session.io_binding()
    for entry in session.get_inputs():
        binding.bind_ortvalue_input(entry.name, ort.OrtValue.ortvalue_from_numpy(arrays[entry.name][:1], "cuda", 0))
    for entry in session.get_outputs():
        binding.bind_output(entry.name, "cuda")
    taken, end = [], 0.0
    for _ in range(200):
        session.run_with_iobinding(binding)
    begun = time.perf_counter()
    while end < begun + seconds:
        before = time.perf_counter()
        session.run_with_iobinding(binding)
        end = time.perf_counter()
        taken.append(end - before)
    print(json.dumps({"model": path, "median_ms": 1e3 * float(np.median(taken)), "per_s": len(taken) / (end - begun)}))


main(sys.argv[1], dict(np.load(sys.argv[2])))
