"""Models whose makers mean harm, through real workers: refused, or contained in the job's folder.

What a header gives away (external data at /etc/passwd, a claim of 2 GB, archives without end) never comes near an
engine: tests/test_bad_input.py, tests/test_inspect_hostile.py. Here is what an engine would have to open.
"""

from __future__ import annotations

import io
import os
import pickle
import socket
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Ran, run_envctl

Program = Callable[..., Ran]
SMALL = Path(__file__).parent / "models" / "small"
ORT = ("run", "--ort", "1.31", "--runner", "local")


class Harm:
    """Unpickled, it makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def door() -> Iterator[socket.socket]:
    """A server on this host that nobody may knock at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def nobody_knocked(door: socket.socket) -> bool:
    try:
        door.accept()
    except BlockingIOError:
        return True
    return False


def checkpoint(path: Path, said: bytes) -> Path:
    """An archive as torch.save writes it, around that pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", said)
        archive.writestr("archive/version", b"3\n")
    return path


def test_the_harm_is_real(tmp_path: Path) -> None:
    """Whoever unpickles it does it."""
    pickle.loads(pickle.dumps(Harm(tmp_path / "mark")))
    assert (tmp_path / "mark").is_dir()


@pytest.mark.parametrize("form", ["pickle", "archive"])
def test_a_pickle_is_refused_and_nothing_is_made_for_it(envctl: Program, tmp_path: Path, form: str) -> None:
    mark, said = tmp_path / "mark", pickle.dumps(Harm(tmp_path / "mark"))
    model = tmp_path / "model.pt"
    model.write_bytes(said) if form == "pickle" else checkpoint(model, said)
    ran = envctl(*ORT, "convert", model, "-o", "out", ENVCTL_CACHE=str(tmp_path / "cold"))
    assert (ran.code, "no way from" in ran.err) == (2, True), ran.err
    assert not mark.exists()
    assert not (tmp_path / "cold" / "environments").exists()
    told = envctl("inspect", model, "--json")
    assert any("mkdir" in risk for risk in told.json["risks"]), told.out
    assert not mark.exists()


def test_a_checkpoint_is_refused_with_the_way_to_export_it(envctl: Program, tmp_path: Path) -> None:
    ran = envctl(*ORT, "convert", SMALL / "torch" / "state.pt", ENVCTL_CACHE=str(tmp_path / "cold"))
    assert ran.code == 2, ran.err
    for words in ("no way from torch-checkpoint", "has weights and no graph", "torch.export.save", "weights_only=True"):
        assert words in ran.err
    assert not (tmp_path / "cold" / "environments").exists()


@pytest.mark.slow
@pytest.mark.engines
def test_a_pickle_inside_an_exported_program_does_nothing(envctl: Program, tmp_path: Path) -> None:
    """torch would read the example inputs with pickle: it must not, and the sandbox would not let it."""
    source, model, mark = SMALL / "torch" / "exported.pt2", tmp_path / "model.pt2", tmp_path / "mark"
    changed = 0
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(model, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            if "sample_inputs" in info.filename or "constants" in info.filename:
                data, changed = hostile(data, mark), changed + 1
            new.writestr(info, data)
    assert changed
    ran = envctl(*ORT, "verify", model, "--json")
    assert ran.code in (0, 5), ran.err
    assert not mark.exists()


def hostile(data: bytes, mark: Path) -> bytes:
    """A saved tensor whose pickle does harm; what is none becomes one."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Harm(mark)))
        archive.writestr("archive/version", b"3\n")
    return stream.getvalue() if data else data


LAMBDA = """
import os, socket, sys
import tensorflow as tf

def bad(x):
    import os, socket
    for path in ({mark!r}, os.environ.get("TMPDIR", "/nowhere") + "/seen"):
        try:
            open(path, "w").write("x")
        except OSError:
            pass
    try:
        socket.create_connection(("127.0.0.1", {port}), timeout=2)
    except OSError:
        pass
    return x * 2.0

i = tf.keras.Input((4,), name="x")
tf.keras.Model(i, tf.keras.layers.Lambda(bad)(tf.keras.layers.Dense(4)(i))).save("bad.h5")
"""


@pytest.mark.slow
@pytest.mark.engines
def test_code_in_an_h5_file_that_keras_2_runs_stays_in_the_job(
    envctl: Program, tmp_path: Path, own_cache: Path, door: socket.socket
) -> None:
    """Keras 2 runs the bytecode of a Lambda in an .h5 without asking: it finds no way out of its folder."""
    mark = tmp_path / "mark"
    (tmp_path / "maker.py").write_text(LAMBDA.format(mark=str(mark), port=door.getsockname()[1]))
    made = run_envctl("run", "--tf", "2.15", "--runner", "local", "--", "python", "maker.py", cwd=tmp_path)
    assert made.code == 0, made.err
    mark.unlink()  # making the model did it
    door.accept()[0].close()
    ran = envctl(*ORT, "verify", tmp_path / "bad.h5", "--keep", "--json", ENVCTL_CACHE=str(own_cache))
    assert ran.code in (0, 5), ran.err
    ran_inside = list((own_cache / "jobs").rglob("tmp/seen"))
    assert ran_inside or "not run" in ran.out + ran.err, "neither run inside nor refused"
    assert not mark.exists()
    assert nobody_knocked(door)


@pytest.mark.slow
@pytest.mark.engines
def test_weights_that_unpack_without_end_end_at_a_cap(envctl: Program, tmp_path: Path) -> None:
    """4 GB of zeros in place of a .keras file's weights."""
    model = tmp_path / "bomb.keras"
    with zipfile.ZipFile(SMALL / "keras" / "functional.3.keras") as old:
        members = {info.filename: old.read(info) for info in old.infolist()}
    with zipfile.ZipFile(model, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new:
        for name, data in members.items():
            if name != "model.weights.h5":
                new.writestr(name, data)
        with new.open("model.weights.h5", "w", force_zip64=True) as stream:
            stream.write(members["model.weights.h5"])
            for _ in range(64):
                stream.write(bytes(64 << 20))
    ran = envctl(*ORT, "verify", model, "--memory", "2g", "--timeout", "120", "--json")
    assert ran.code in (2, 5), ran.out + ran.err
    assert ran.json["status"] == "error"
