#!/usr/bin/env python3
"""Everything one does with this repository: python3 tasks.py demo | test | check | bench | docs   (CPython 3.10+, pip)

demo    convert a real model in a pinned environment and prove the result; no Docker needed
test    the test suite; what follows is given to pytest:  python3 tasks.py test -m slow
check   ruff, mypy and import-linter
bench   the ratios of benchmarks/
docs    write docs/commands.md anew from the program's own help
Each makes .venv with envctl in it when it is not there yet.
"""

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"


def main() -> None:
    tasks = {"demo": demo, "test": test, "check": check, "bench": bench, "docs": docs}
    if len(sys.argv) < 2 or sys.argv[1] not in tasks:
        sys.exit(__doc__)
    set_up()
    tasks[sys.argv[1]](sys.argv[2:])


def set_up() -> None:
    """An editable install with the test tools; made again when pyproject.toml is newer."""
    mark = VENV / "made-for-pyproject"
    wanted = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    if mark.is_file() and mark.read_text(encoding="utf-8") == wanted:
        return
    print("… making .venv", flush=True)
    venv.create(VENV, with_pip=True, clear=True)
    run(PYTHON, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--editable", f"{ROOT}[test]")
    mark.write_text(wanted, encoding="utf-8")


def demo(arguments: list) -> None:
    """Train a small CNN on handwritten digits, export it, convert it to OpenVINO, compare with the reference."""
    folder = ROOT / "envctl-out"
    folder.mkdir(exist_ok=True)
    run(PYTHON, ROOT / "tests/models/digits.py", folder / "digits.onnx")
    pins = ["--openvino", "2026.4", "--runner", "local"]
    run(VENV / "bin/envctl", "run", *pins, "convert", folder / "digits.onnx", "-o", folder, *arguments)


def test(arguments: list) -> None:
    run(PYTHON, "-m", "pytest", *arguments)


def check(arguments: list) -> None:
    for tool in (["ruff", "check"], ["ruff", "format", "--check"], ["mypy"], ["lint-imports"]):
        run(VENV / "bin" / tool[0], *tool[1:], *arguments)


def bench(arguments: list) -> None:
    run(PYTHON, ROOT / "benchmarks/run.py", *arguments)


def docs(arguments: list) -> None:
    run(PYTHON, "-m", "tests.commands", *arguments)


def run(*command: object) -> None:
    """Run a command in the repository; its failure is ours."""
    variables = dict(os.environ, VIRTUAL_ENV=str(VENV), PATH=f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}")
    done = subprocess.run([str(part) for part in command], cwd=ROOT, env=variables, check=False)
    if done.returncode:
        sys.exit(done.returncode)


main()
