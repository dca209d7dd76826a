"""Timing caches: lent to a build, taken from it, only read in CI. TensorRT for RTX has none: a stand-in has one here.

`Config` is a documented stand-in for `IBuilderConfig` of TensorRT (not RTX), which needs a GPU; that RTX's caches are
no-ops is tested with the real one in tests/test_tensorrt.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from envctl.job import Job, Limits, Result
from envctl.runner import WORKER
from envctl.workflow import built_engines
from envctl.workflow.ask import Ask

pytestmark = pytest.mark.usefixtures("stand_ins")
ASK = Ask(task="convert", engine="tensorrt", pins=())
KEY = built_engines.Key(
    parts={"model": {"m.onnx": "aa"}, "lock": "bb", "options": {"precision": "fp32"}, "host": {"gpu": "8.9"}}
)
CODE = """
import json, sys
sys.path.insert(0, WORKER)
from adapters import tensorrt_config as it

class Cache:
    def __init__(self, data): self.data = data
    def serialize(self): return self.data + b"+"

class Config:
    def create_timing_cache(self, data): return Cache(data)
    def set_timing_cache(self, cache, ignore_mismatch): self.kept = cache
    def get_timing_cache(self): return self.kept

config, folder, artifacts = Config(), sys.argv[1], []
cache = it.open_timing_cache(config, folder, sys.argv[2] or None)
print(it.keep_timing_cache(config, cache, folder, artifacts, json.loads(sys.argv[3])), artifacts)
""".replace("WORKER", repr(str(WORKER)))


def job(folder: Path) -> Job:
    """A build's job."""
    limits = Limits(memory=1 << 30, seconds=60)
    return Job(
        folder=folder, step="convert", adapter="tensorrt", source=folder / "m.onnx", companions=(), limits=limits
    )


def result(folder: Path, data: bytes) -> Result:
    """What a build left: an engine and its timing cache."""
    (folder / "artifact").mkdir(parents=True)
    for name, content in (("model.plan", b"plan"), (built_engines.TIMING, data)):
        (folder / "artifact" / name).write_bytes(content)
    made = tuple(folder / "artifact" / name for name in ("model.plan", built_engines.TIMING))
    return Result(status="ok", message="", folder=folder, artifacts=made)


@pytest.fixture(autouse=True)
def no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of the test's own, and no CI around it."""
    monkeypatch.delenv("CI", raising=False)


def test_a_timing_cache_is_taken_from_a_build_and_lent_to_the_next_of_any_model(tmp_path: Path) -> None:
    left = built_engines.take_timing(KEY, result(tmp_path / "one", b"timed"), ASK)
    assert [path.name for path in left.artifacts] == ["model.plan"], "it is nothing for the user's folder"
    other = built_engines.Key(parts={**KEY.parts, "model": {"n.onnx": "cc"}})
    following = job(tmp_path / "two")
    built_engines.lend_timing(other, following, ASK)
    assert following.options == {"read_only": False, "timing": built_engines.KNOWN}
    assert (tmp_path / "two" / built_engines.KNOWN).read_bytes() == b"timed"
    elsewhere = job(tmp_path / "three")
    built_engines.lend_timing(built_engines.Key(parts={**KEY.parts, "host": {"gpu": "9.0"}}), elsewhere, ASK)
    assert elsewhere.options == {"read_only": False}


@pytest.mark.parametrize(("ask", "ci"), [(Ask(task="convert", engine="tensorrt", pins=(), ci=True), ""), (ASK, "true")])
def test_in_ci_it_is_only_read(ask: Ask, ci: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built_engines.take_timing(KEY, result(tmp_path / "one", b"first"), ASK)
    monkeypatch.setenv("CI", ci)
    built_engines.take_timing(KEY, result(tmp_path / "two", b"second"), ask)
    following = job(tmp_path / "three")
    built_engines.lend_timing(KEY, following, ask)
    assert following.options["read_only"] is True
    assert (tmp_path / "three" / built_engines.KNOWN).read_bytes() == b"first"


@pytest.mark.parametrize(
    ("known", "options", "told", "written"),
    [
        ("", {}, "kept ['model.timing']", b"+"),
        ("known", {}, "kept ['model.timing']", b"old+"),
        ("known", {"read_only": True}, "read, not written (CI) []", None),
    ],
)
def test_the_adapter_uses_and_writes_it(
    known: str, options: dict[str, bool], told: str, written: bytes | None, tmp_path: Path
) -> None:
    (tmp_path / "known").write_bytes(b"old")
    command = [sys.executable, "-c", CODE, str(tmp_path), known, json.dumps(options)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == told
    made = tmp_path / "model.timing"
    assert (made.read_bytes() if made.exists() else None) == written
