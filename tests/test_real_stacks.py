"""Real stacks, built for real: each is locked, assembled, in Docker the image that the lock describes, and does there
what can be done without a GPU. One at a time; 5 GB of wheels are fetched. `pytest -m slow tests/test_real_stacks.py`
"""

from __future__ import annotations

from pathlib import Path

import docker
import pytest

from tests import stacks
from tests.conftest import run_envctl
from tests.stacks import STACKS, Measured, Stack, image_of, record

CODES = {"passed": 0, "incomplete": 4}
GPU = "name=gpu,python=3.11,platform=x86_64,gpu=8.6,driver=580.65.06"


@pytest.mark.slow
@pytest.mark.docker
@pytest.mark.engines
@pytest.mark.usefixtures("docker_base")
@pytest.mark.parametrize("stack", STACKS, ids=lambda each: each.name)
def test_a_real_stack_is_built_and_does_its_work(stack: Stack, tmp_path: Path) -> None:
    with image_of(stack, tmp_path / "work") as image:
        target = image.lock()
        packages = {each["name"]: each for each in target["environment"]["packages"]}
        for name, version in stack.versions.items():
            assert packages[name]["version"].startswith(version), packages[name]
        first, again = image.build()
        loaded = image.load()
        assert first["image"] == again["image"] == loaded["image"]
        found = image.smoke(CODES[stack.status])
        assert (found["verdict"], found["expected"]["image"]) == ("same", first["image"])
        check_smoke(stack, found["smoke"], len(packages))
        record(
            Measured(
                name=stack.name,
                packages=len(packages),
                layers=len(first["layers"]),
                wheels=sum(each["size"] for each in packages.values()),
                size=docker.from_env(timeout=600).images.get(stack.tag).attrs["Size"],
                image=first["image"],
                seconds=image.seconds,
            )
        )


def check_smoke(stack: Stack, smoke: dict[str, object], packages: int) -> None:
    """All versions are the lock's; what ran gave the answer, and what did not run said why."""
    assert (smoke["status"], smoke["wrong"], smoke["packages"]) == (stack.status, [], packages)
    for key, wanted in (("ran", stack.ran), ("built", stack.built), ("instead", stack.instead)):
        assert str(smoke[key]).startswith(wanted) and bool(smoke[key]) == bool(wanted), smoke
    imported = str(smoke["imported"]).split()
    assert bool(imported) == (stack.status != "passed")  # what runs was imported


@pytest.mark.slow
@pytest.mark.engines
@pytest.mark.parametrize(
    ("release", "cudnn"),
    [("2.15", "8.9.4"), ("2.16", "8.9.7"), ("2.17", "8.9.7"), ("2.18", "9.3.0"), ("2.19", "9.3.0"), ("2.20", "9.")],
)
def test_a_lock_of_tensorflow_for_a_gpu_has_the_cudnn_that_its_extra_pins(
    release: str, cudnn: str, tmp_path: Path
) -> None:
    ran = run_envctl("lock", "--tf", release, "--target", GPU, "--base", "none", "-o", tmp_path / "envctl.lock")
    assert ran.code == 0, ran.err
    text = (tmp_path / "envctl.lock").read_text()
    assert f"nvidia_cudnn_cu12-{cudnn}" in text and f", cudnn {cudnn}" in ran.err + ran.out


@pytest.mark.slow
def test_another_cudnn_than_the_extra_s_ends_with_the_reason_and_not_with_uv(tmp_path: Path) -> None:
    given = ("--tf", "2.18", "--cudnn", "9.5", "--target", GPU, "--base", "none")
    ran = run_envctl("lock", *given, "-o", tmp_path / "envctl.lock")
    assert ran.code == 3
    assert "the extra asks for nvidia-cudnn-cu12 ==9.3.0.75" in ran.err and "with cudnn 9.3.0 instead" in ran.err


def test_the_page_has_a_row_for_every_stack() -> None:
    page = stacks.PAGE.read_text()
    rows = page.split(stacks.BEGIN)[1].split(stacks.END)[0].splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == [f"| `{' '.join(stack.pins)}`" for stack in STACKS]
    assert [row.rsplit(" | ", 1)[1] for row in rows] == [f"{stack.short} |" for stack in STACKS]
