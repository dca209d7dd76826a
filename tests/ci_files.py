"""CI files for two locks, and where their golden copies lie: `python3 -m tests.ci_files` writes those anew."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from envctl.lock import Lock
from envctl.lockfile import Asked, LockFile, Target, Wanted
from envctl.workflow.ci import CiAsk, pipeline, text

GOLDEN = Path(__file__).resolve().parent / "golden"
DIGEST = "sha256:" + "0123456789abcdef" * 4
IMAGE = f"registry.example:5000/team/openvino@{DIGEST}"
OTHER = f"team/openvino-arm@{DIGEST}"
REQUIREMENTS = "envctl==0.1.0 \\\n    --hash=sha256:" + "0" * 64 + "\n"
X86, ARM = "x86_64-manylinux_2_28", "aarch64-manylinux_2_35"


def lock_text(*targets: tuple[str, str, str]) -> str:
    """A lock file with the name, CPython and platform of each target, and no packages."""
    wanted = tuple(Wanted(name=name, arch="", facts="", pythons=(), base="none") for name, _, _ in targets)
    found = tuple(
        Target(name=n, stack=(), open=(), base=None, environment=Lock(python=python, platform=platform, packages=()))
        for n, python, platform in targets
    )
    request = Asked(engine="onnxruntime", pins=(), targets=wanted)
    return LockFile(request=request, inputs={}, targets=found).text()


def project(folder: Path) -> Path:
    """A repository with a model, two locks (of two targets and of one) and pinned requirements."""
    (folder / "locks").mkdir(parents=True)
    (folder / "locks/openvino.lock").write_text(lock_text(("x86", "3.11", X86), ("arm", "3.13", ARM)))
    (folder / "locks/ort.lock").write_text(lock_text(("py310", "3.10", X86)))
    (folder / "envctl-requirements.txt").write_text(REQUIREMENTS)
    (folder / "model.onnx").write_bytes(b"model")
    return folder


def asks() -> dict[str, CiAsk]:
    """What each golden file was asked for."""
    locks = ("locks/openvino.lock", "locks/ort.lock")
    shared = {"locks": locks, "model": "model.onnx", "requirements": "envctl-requirements.txt"}
    images = {"images": (f"x86={IMAGE}", f"arm={OTHER}"), "login": True}
    plain = {"images": (), "labels": (), "login": False, "job_image": ""}
    github = {"labels": ("py310=self-hosted,gpu",)}
    gitlab = {"labels": ("docker", "py310=gpu"), "job_image": f"team/python-docker@{DIGEST}"}
    return {
        "github.yml": CiAsk(system="github", **{**plain, **shared}),
        "github-images.yml": CiAsk(system="github", **{**plain, **shared, **images, **github}),
        "gitlab.yml": CiAsk(system="gitlab", **{**plain, **shared}),
        "gitlab-images.yml": CiAsk(
            system="gitlab", **{**plain, **shared, **images, **{"labels": ("docker",)}, **gitlab}
        ),
    }


def made(name: str, folder: Path) -> str:
    """The file of that name, for a project in `folder`."""
    ask = asks()[name]
    return text(pipeline(ask, folder), ask.system)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        here = project(Path(folder))
        for name in asks():
            (GOLDEN / name).write_text(made(name, here), encoding="utf-8")


if __name__ == "__main__":
    os.umask(0o022)
    main()
