"""envctl as its users have it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def compile_envctl() -> None:
    """An installed program has its bytecode; a checkout that may write none would be compiled anew by each start."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(ROOT / "envctl")], check=True)
