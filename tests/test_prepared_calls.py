"""What is timed does the inference: the results that a prepared call leaves in the engine are those of a run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from envctl.runner import WORKER
from tests.engine_jobs import prepared

pytestmark = [pytest.mark.engines, pytest.mark.slow]
HERE = Path(__file__).parent
SMALL = HERE / "models" / "small"
DIGITS = {"shapes": {"image": [1, 1, 8, 8]}, "threads": 1}
NET = {"shapes": {"image": [2, 8, 8, 3], "scale": []}, "threads": 1}
SAVED = {**NET, "format": "saved-model", "signature": "serving_default"}


@pytest.mark.parametrize(
    ("engine", "version", "model", "options"),
    [
        ("onnxruntime", "1.31", "", DIGITS),
        ("openvino", "2026.4", "", DIGITS),
        ("openvino", "2024.6", "", DIGITS),
        ("litert", "2.3", "net.tflite", NET),
        ("tensorflow", "2.20", "saved_model", SAVED),
    ],
)
def test_a_prepared_call_leaves_what_a_run_answers(
    digits: Path, engine: str, version: str, model: str, options: dict[str, Any]
) -> None:
    source = SMALL / "tensorflow" / model if model else digits
    words = [HERE / "prepared_call.py", WORKER, engine, source, json.dumps(options)]
    python = prepared(engine, version).environment.python
    done = subprocess.run([str(python), "-I", *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["same"] < 1e-5 and told["other"] > 1e-3
