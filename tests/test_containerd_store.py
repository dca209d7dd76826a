"""Docker with containerd's image store, for real: the same image under the same digest, and everything that runs it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import ANY

import pytest

from envctl import image
from envctl.image import base_named
from envctl.oci.bases import newest
from tests import building
from tests.conftest import CACHE, ROOT, Ran, run_envctl
from tests.newer_docker import newer_docker

pytestmark = [pytest.mark.slow, pytest.mark.docker]
BASE = ("--base", "debian:bookworm")


@dataclass(frozen=True)
class Place:
    """A daemon, a cache, and a lock with its wheels."""

    address: str
    cache: Path
    order: building.Order

    @property
    def given(self) -> tuple[str, ...]:
        """The wheels and the base of the lock."""
        return ("--wheels", str(self.order.wheels), *BASE)

    def envctl(self, *arguments: str | Path) -> Ran:
        """envctl with that daemon."""
        return run_envctl(*arguments, ENVCTL_CACHE=str(self.cache), DOCKER_HOST=self.address)

    def docker(self, *arguments: str) -> str:
        """What the docker program prints."""
        variables = {**os.environ, "DOCKER_HOST": self.address}
        done = subprocess.run(["docker", *arguments], env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def load(self, order: building.Order, *more: str) -> dict[str, object]:
        """`envctl build --load`, which must work."""
        ran = self.envctl("build", order.path, "--wheels", order.wheels, *BASE, "--load", "--json", *more)
        assert ran.code == 0, ran.err
        found: dict[str, object] = ran.json
        return found


def _base() -> str:
    """The digest of the base in the tests' cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENVCTL_CACHE", str(CACHE))
        return newest("debian:bookworm")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("newer")
    if not _base():
        assert run_envctl("base", "debian:bookworm").code == 0
    order, cache = building.order(folder / "order"), building.new_cache(folder / "cache")
    with newer_docker(folder, [CACHE, ROOT, models]) as address:
        yield Place(address=address, cache=cache, order=order)


def test_it_has_the_very_image_and_no_layer_twice(place: Place) -> None:
    """The store names it by its manifest, as registries do; the names are Docker's, whatever it calls them inside."""
    assert "io.containerd.snapshotter.v1" in place.docker("info", "--format", "{{.DriverStatus}}")
    elsewhere = run_envctl("build", place.order.path, *place.given, "--json", DOCKER_HOST="unix:///nowhere").json
    first = place.load(place.order, "--tag", "mend:1")
    assert first["manifest"] == elsewhere["manifest"] and first["image"] == elsewhere["image"]
    assert first["loaded"] == {"id": first["manifest"], "layers_sent": 3}
    assert place.docker("images", "--no-trunc", "--format", "{{.ID}} {{.Repository}}:{{.Tag}}", "--all") == (
        f"{first['manifest']} mend:1"
    )
    assert place.docker("run", "--rm", "--network=none", "mend:1", "engine") == "hello"
    again = place.load(place.order, "--tag", "team/mend:2")
    assert again["loaded"] == {"id": first["manifest"], "layers_sent": 0}
    assert place.docker("run", "--rm", "--network=none", "team/mend:2", "greeter") == "good day"


def test_only_what_it_lacks_is_sent_and_what_was_removed_is_sent_again(place: Place, tmp_path: Path) -> None:
    place.load(place.order, "--tag", "mend:1")
    other = building.order(tmp_path / "order", says="hello again")
    done = place.load(other, "--tag", "mend:other")
    assert done["loaded"] == {"id": done["manifest"], "layers_sent": 1}
    assert place.docker("run", "--rm", "--network=none", "mend:other", "engine") == "hello again"
    place.docker("rmi", "--force", *place.docker("images", "--quiet").split())
    gone = place.load(other, "--tag", "mend:other")
    assert gone["loaded"] == {"id": done["manifest"], "layers_sent": 3}
    assert place.docker("run", "--rm", "--network=none", "mend:other", "engine") == "hello again"


def test_an_image_is_verified_there_and_tried(place: Place) -> None:
    place.load(place.order, "--tag", "mend:verified")
    given = ("verify-image", "docker-daemon:mend:verified", "--lock", place.order.path, *place.given, "--json")
    ran = place.envctl(*given, "--smoke")
    assert ran.code == 0, ran.err
    assert (ran.json["verdict"], ran.json["smoke"]["status"]) == ("same", "passed")
    labelled = place.load(place.order, "--tag", "mend:verified", "--revision", "abc")
    assert place.envctl(*given).json["expected"]["manifest"] == labelled["manifest"]
    assert place.envctl(*given, "--revision", "other").json["verdict"] == "other"


def test_a_model_runs_on_the_base_that_is_loaded_for_it(place: Place, digits: Path) -> None:
    """The shared cache has what is locked; the worker is shut in by this daemon as by any other."""
    given = ("run", "--ort", "1.31", "--python", "3.11", "--runner", "docker", "verify", digits, "--json")
    ran = run_envctl(*given, DOCKER_HOST=place.address)
    assert (ran.code, ran.json["status"]) == (0, "passed"), ran.err
    tag = base_named("debian:bookworm").tag
    assert place.docker("images", "--no-trunc", "--format", "{{.ID}}", tag) == _base()


def test_a_base_that_it_has_is_not_sent_again(place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever loaded it: this cache knows nothing of what the daemon was sent."""
    monkeypatch.setenv("DOCKER_HOST", place.address)
    monkeypatch.setenv("ENVCTL_CACHE", str(CACHE))
    base = base_named("debian:bookworm")
    image.in_docker(base, image.here(base, [].append), [].append)
    fresh = replace(place, cache=building.new_cache(tmp_path / "cache"))
    assert fresh.load(place.order, "--tag", "mend:fresh")["loaded"] == {"id": ANY, "layers_sent": 2}
    assert place.docker("run", "--rm", "--network=none", "mend:fresh", "engine") == "hello"
