"""The compiler of bytecode under every CPython that there is: what it writes is what that interpreter takes."""

from __future__ import annotations

import marshal
import resource
import subprocess
import zlib
from pathlib import Path

import pytest

from envctl.host import interpreters
from envctl.oci.bytecode import read_part
from envctl.oci.compile_job import SCRIPT
from envctl.oci.wheel import inflated, read_wheel
from tests import odd_wheels
from tests.echoing import PYTHONS

TAKEN = """
import importlib.util, sys
data, source = open(sys.argv[1], "rb").read(), open(sys.argv[2], "rb").read()
assert data[:4] == importlib.util.MAGIC_NUMBER, data[:4]
assert data[4:8] == (3).to_bytes(4, "little"), data[4:8]
assert data[8:16] == importlib.util.source_hash(source), data[8:16]
"""
FILES = {
    "odd/a.py": "import os\nA = os.sep\n",
    "odd/b.py": "def b(: # nobody can compile this\n",
    "odd/data.txt": "no",
}


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("deflate", [True, False])
def test_its_interpreter_takes_it(tmp_path: Path, python: str, deflate: bool) -> None:
    wheel = read_wheel(odd_wheels.write(tmp_path / "odd.whl", FILES, deflate=deflate), "odd.whl")
    data = {name: member.data for name, member in wheel.members.items() if name.endswith(".py")}
    modules = [(name, f"{name}c", it.offset, it.packed, it.size, it.method != 0, it.crc) for name, it in data.items()]
    assert compiled(tmp_path, python, modules).returncode == 0
    (name, packed), *more = read_part(tmp_path / "out").items()
    assert (name, more) == ("odd/a.pyc", [])
    with packed.archive.open("rb") as stream:
        (tmp_path / "a.pyc").write_bytes(b"".join(inflated(stream, packed, "odd.whl")))
    (tmp_path / "a.py").write_text(FILES["odd/a.py"])
    subprocess.run([interpreters()[python], "-c", TAKEN, tmp_path / "a.pyc", tmp_path / "a.py"], check=True)


@pytest.mark.parametrize("wrong", [{"crc": 1}, {"size": 5}, {"size": 7}, {"packed": 5}])
def test_a_member_that_is_not_as_announced_is_not_compiled(tmp_path: Path, wrong: dict[str, int]) -> None:
    """Its place is known from the wheel's directory, which says what its bytes must be."""
    (tmp_path / "odd.whl").write_bytes(b"a = 1\n")
    said = {"offset": 0, "packed": 6, "size": 6, "deflated": False, "crc": zlib.crc32(b"a = 1\n")}
    assert compiled(tmp_path, PYTHONS[0], [("odd/a.py", "odd/a.pyc", *said.values())]).returncode == 0
    (tmp_path / "out").unlink()
    done = compiled(tmp_path, PYTHONS[0], [("odd/a.py", "odd/a.pyc", *(said | wrong).values())])
    assert done.returncode == 3 and "damaged" in done.stderr and not (tmp_path / "out").exists()


def test_a_bomb_is_not_inflated(tmp_path: Path) -> None:
    """A gigabyte that its directory announces as a hundred bytes; the process may have 256 MB."""
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    (tmp_path / "odd.whl").write_bytes(b"".join(engine.compress(bytes(1 << 20)) for _ in range(1024)) + engine.flush())
    packed = (tmp_path / "odd.whl").stat().st_size
    done = compiled(tmp_path, PYTHONS[0], [("odd/a.py", "odd/a.pyc", 0, packed, 100, True, 0)], memory=256 << 20)
    assert done.returncode == 3 and "damaged" in done.stderr


def compiled(
    folder: Path, python: str, modules: list[tuple[object, ...]], memory: int = resource.RLIM_INFINITY
) -> subprocess.CompletedProcess[str]:
    """Run the script over one part, with so many bytes of address space."""
    part = {"wheel": str(folder / "odd.whl"), "prefix": "/opt/env", "modules": modules, "out": str(folder / "out")}
    (folder / "job").write_bytes(marshal.dumps([part], 2))
    command = [interpreters()[python], "-s", "-S", SCRIPT, folder / "job", "2"]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (memory, memory)),
    )
