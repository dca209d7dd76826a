"""`envctl build LOCK --load` given twice: the second answer is at once, and what the ordinary way would say."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import building
from tests.building import Order, build, new_cache
from tests.conftest import CACHE, Ran
from tests.test_build import image_id

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("docker_base")]
NAME = "envctl-test:again"


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> Order:
    return building.order(tmp_path_factory.mktemp("order"))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache whose folder of bases is its own."""
    cache = new_cache(tmp_path / "cache")
    (cache / "store" / "bases").unlink()
    shutil.copytree(CACHE / "store" / "bases", cache / "store" / "bases", copy_function=_linked)
    return cache


def _linked(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


@pytest.fixture(autouse=True)
def image() -> Iterator[None]:
    """No image of that name is left."""
    yield
    subprocess.run(["docker", "rmi", "-f", NAME], check=False, capture_output=True)


def loaded(order: Order, cache: Path, *more: str) -> tuple[Ran, bool]:
    """What the command came to, and whether it was answered without the reader of options."""
    arguments = [*order.arguments, "--load", "--tag", NAME, *more]
    ran = build(*arguments, cache=cache, PYTHONPROFILEIMPORTTIME="1")
    assert ran.code == 0, ran.err
    return ran, "typer" not in ran.err


def told(ran: Ran) -> dict[str, object]:
    return {key: value for key, value in json.loads(ran.out).items() if key != "seconds"}


def test_the_same_is_said_at_once(order: Order, cache: Path) -> None:
    first, at_once = loaded(order, cache, "--json")
    assert not at_once
    again, at_once = loaded(order, cache, "--json")
    assert at_once
    loaded_then = {"loaded": {"id": told(first)["image"], "layers_sent": 0}}
    assert told(again) == told(first) | loaded_then
    shutil.rmtree(cache / "store" / "loaded")
    slowly, at_once = loaded(order, cache, "--json")
    assert (at_once, told(slowly)) == (False, told(again))


def test_the_same_words_on_a_screen(order: Order, cache: Path) -> None:
    loaded(order, cache)
    shutil.rmtree(cache / "store" / "loaded")
    slowly, at_once = loaded(order, cache)
    again, now = loaded(order, cache)
    assert (at_once, now) == (False, True)
    assert again.out.splitlines()[:-1] == slowly.out.splitlines()[:-1]
    assert again.out.splitlines()[-1].split()[0] == "time"


def remove_name(_order: Order, _cache: Path, _base: str) -> None:
    subprocess.run(["docker", "rmi", NAME], check=True, capture_output=True)


def move_name(_order: Order, _cache: Path, base: str) -> None:
    subprocess.run(["docker", "tag", base, NAME], check=True)


def add_a_base(_order: Order, cache: Path, _base: str) -> None:
    (cache / "store" / "bases" / ("0" * 64)).mkdir()


def point_elsewhere(_order: Order, cache: Path, _base: str) -> None:
    (cache / "store" / "bases" / "debian-another.json").write_text('{"digest":"sha256:0"}')


def write_the_lock_otherwise(order: Order, _cache: Path, _base: str) -> None:
    order.path.write_text(order.path.read_text() + "\n")


@pytest.mark.parametrize("change", [remove_name, move_name, add_a_base, point_elsewhere, write_the_lock_otherwise])
def test_whatever_has_changed_is_looked_into(
    order: Order, cache: Path, docker_base: str, change: Callable[[Order, Path, str], None]
) -> None:
    first, _ = loaded(order, cache, "--json")
    change(order, cache, docker_base)
    again, at_once = loaded(order, cache, "--json")
    assert (at_once, told(again)["image"]) == (False, told(first)["image"])
    assert image_id(NAME) == told(first)["image"]


def test_another_lock_under_the_same_name(tmp_path: Path, cache: Path) -> None:
    one = building.order(tmp_path / "one")
    first, _ = loaded(one, cache, "--json")
    other = building.order(tmp_path / "two", says="changed")
    one.path.write_bytes(other.path.read_bytes())
    shutil.copytree(other.wheels, one.wheels, dirs_exist_ok=True)
    again, at_once = loaded(one, cache, "--json")
    assert (at_once, told(again)["image"] == told(first)["image"]) == (False, False)
    assert image_id(NAME) == told(again)["image"]


def test_what_does_more_than_loading_is_done(order: Order, cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for _ in range(2):
        _, at_once = loaded(order, cache, "-o", f"oci:{out}")
        assert not at_once
        shutil.rmtree(out)


def test_a_daemon_that_does_not_answer_is_said_in_the_usual_words(order: Order, cache: Path, tmp_path: Path) -> None:
    loaded(order, cache)
    ran = build(*order.arguments, "--load", "--tag", NAME, cache=cache, DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert (ran.code, "Docker does not answer" in ran.err) == (4, True)
