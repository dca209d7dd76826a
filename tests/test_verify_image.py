"""`envctl verify-image`: whoever has the image, whatever was done to it. Real daemon, real registry, small wheels."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from envctl.lock import Lock
from envctl.lockfile import Asked, LockFile, Target, Wanted
from envctl.oci import RULES, daemon, found, written
from envctl.oci.archive import oci_archive
from envctl.oci.content import Image, compact_json
from envctl.oci.push import push
from envctl.oci.reference import parse
from envctl.oci.source import read_image
from envctl.workflow.smoke import differing
from tests import building, images
from tests.building import Order
from tests.conftest import ROOT, Ran
from tests.images import quiet, run
from tests.registry_server import Server, registry

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("docker_base")]
ENGINE = "opt/env/lib/python3.11/site-packages/engine.py"


@dataclass(frozen=True)
class Project:
    """A lock with its wheels, the image built from it as a layout, and the cache that this was done with."""

    order: Order
    layout: Path
    cache: Path

    @property
    def image(self) -> Image:
        image = read_image(f"oci:{self.layout}")
        sized = (replace(each, tar_size=sum(map(len, each.tar()))) for each in image.layers)
        return replace(image, layers=tuple(sized))

    def verify(self, image: str, *arguments: str | Path, lock: Path | None = None, **variables: str) -> Ran:
        """`envctl verify-image` in a child process."""
        given = ["verify-image", image, "--lock", lock or self.order.path, "--wheels", self.order.wheels, *arguments]
        environment = {**os.environ, "ENVCTL_CACHE": str(self.cache), **variables}
        command = [sys.executable, "-m", "envctl", *map(str, given)]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        return Ran(code=done.returncode, out=done.stdout, err=done.stderr)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, docker_base: str) -> Project:
    assert docker_base
    folder = tmp_path_factory.mktemp("verify")
    order, cache = building.order(folder / "order"), building.new_cache(folder / "cache")
    building.built(*order.arguments, "-o", f"oci:{folder / 'image'}", cache=cache)
    return Project(order=order, layout=folder / "image", cache=cache)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def loaded() -> Iterator[Callable[[Path, str], str]]:
    """Loads an archive into Docker; the names go away at the end."""
    names: list[str] = []

    def load(archive: Path, name: str) -> str:
        names.append(name)
        run("docker", "load", "-q", "-i", archive)
        return name

    yield load
    for name in names:
        subprocess.run(["docker", "rmi", "-f", name], check=False, capture_output=True)


def changed(image: Image, change: Callable[[dict[str, bytes]], None]) -> Image:
    """The image with other files in its last layer, and a configuration that agrees with that."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(image.layers[-1].tar()))) as source:
        members = {each.name: each for each in source}
        files = {name: source.extractfile(each).read() for name, each in members.items() if each.isreg()}  # type: ignore[union-attr]
    change(files)
    kept = [(each, files.pop(name, b"")) for name, each in members.items() if not each.isreg() or name in files]
    return with_last(image, images.tar(*kept, *((images.entry(name), data) for name, data in files.items())))


def with_last(image: Image, tar: bytes) -> Image:
    layers = (*image.layers[:-1], images.layer(tar))
    config = json.loads(image.config)
    config["rootfs"]["diff_ids"] = [each.diff_id for each in layers]
    return Image(config=compact_json(config), layers=layers)


def layout(folder: Path, image: Image) -> str:
    written.write_layout(image, folder, [], quiet)
    return f"oci:{folder}"


# ---- the same


def test_the_layout_is_the_lock_s_image(project: Project) -> None:
    ran = project.verify(f"oci:{project.layout}", "--json")
    assert (ran.code, ran.json["verdict"], ran.json["by"], ran.json["packing"]) == (0, "same", "layers", "same")
    assert ran.json["expected"]["manifest"] == project.image.digest
    assert ran.json["lock"] == f"sha256:{project.order.lock.digest}"
    assert ran.json["difference"] is None and ran.json["smoke"] is None


def test_a_registry_s_digest_is_enough(project: Project, tmp_path: Path) -> None:
    """No layer is asked for: the registry would not have them any more."""
    with registry(tmp_path) as server:
        done = push(parse(f"{server.host}/digest:1"), project.image, quiet)
        for layer in project.image.layers:
            server.blob(layer.blob.digest).unlink()
        ran = project.verify(f"{server.host}/digest:1", "--json")
        assert (ran.code, ran.json["verdict"], ran.json["by"]) == (0, "same", "digest")
        assert project.verify(str(done.ref)).code == 0


def test_layers_that_are_packed_otherwise_are_the_same_and_that_is_said(project: Project, server: Server) -> None:
    image = project.image
    last = images.layer(b"".join(image.layers[-1].tar()), packed=False)
    push(parse(f"{server.host}/packed:1"), replace(image, layers=(*image.layers[:-1], last)), quiet)
    ran = project.verify(f"{server.host}/packed:1", "--json")
    assert (ran.code, ran.json["verdict"], ran.json["by"], ran.json["packing"]) == (0, "same", "layers", "other")


@pytest.mark.slow
def test_what_docker_pushes_has_the_same_layers(
    project: Project, server: Server, tmp_path: Path, loaded: Callable[[Path, str], str]
) -> None:
    name = f"{server.host}/by-docker:1"
    written.write_archive(project.image, tmp_path / "image.tar", [name], quiet)
    loaded(tmp_path / "image.tar", name)
    run("docker", "push", "-q", name)
    there = project.verify(name, "--json")  # a host in the name: the registry's, compressed by Docker
    assert (there.code, there.json["verdict"], there.json["packing"]) == (0, "same", "other")
    assert there.json["image"].startswith(server.host)
    assert "compressed by another program" in project.verify(name).out


def test_a_name_without_a_host_is_docker_s(
    project: Project, tmp_path: Path, loaded: Callable[[Path, str], str]
) -> None:
    written.write_archive(project.image, tmp_path / "image.tar", ["envctl-verify-test:1"], quiet)
    loaded(tmp_path / "image.tar", "envctl-verify-test:1")
    here = project.verify("docker-daemon:envctl-verify-test:1", "--json")
    assert (here.code, here.json["verdict"], here.json["by"]) == (0, "same", "digest")
    assert project.verify(f"docker-archive:{tmp_path / 'image.tar'}", "--json").json["by"] == "layers"
    ran = project.verify("envctl-verify-test:1")
    assert ran.code == 0 and "docker-daemon:envctl-verify-test:1 sha256:" in ran.out


def test_a_revision_is_the_image_s_own_unless_one_is_asked_for(project: Project, tmp_path: Path) -> None:
    out = f"oci:{tmp_path / 'out'}"
    building.built(*project.order.arguments, "--revision", "v7", "-o", out, cache=project.cache)
    assert project.verify(out, "--json").json["revision"] == "v7"
    assert project.verify(out, "--revision", "v7").code == 0
    ran = project.verify(out, "--revision", "v8")
    assert ran.code == 1 and 'revision: expected "v8", found "v7"' in ran.out


def test_the_target_of_a_lock_file_is_meant(project: Project, tmp_path: Path) -> None:
    lock = project.order.lock
    other = Lock(python=lock.python, platform=lock.platform, packages=lock.packages[:1])
    environments = {"here": lock, "small": other}
    wanted = tuple(Wanted(name=name, arch="", facts="", pythons=(), base="none") for name in environments)
    targets = tuple(
        Target(name=name, stack=(), open=(), base=None, environment=each) for name, each in environments.items()
    )
    request = Asked(engine="onnxruntime", pins=(), targets=wanted)
    path = tmp_path / "envctl.lock"
    path.write_text(LockFile(request=request, inputs={}, targets=targets).text())
    image = f"oci:{project.layout}"
    assert project.verify(image, "--target", "here", "--json", lock=path).json["target"] == "here"
    small = project.verify(image, "--target", "small", lock=path)
    assert small.code == 1 and "configuration: config.Labels.envctl.lock" in small.out
    for arguments in ([], ["--target", "gpu"]):
        ran = project.verify(image, *arguments, lock=path)
        assert ran.code == 2 and "one of: here, small" in ran.err


# ---- another


def change(files: dict[str, bytes]) -> None:
    files[ENGINE] = files[ENGINE].replace(b"hello", b"hullo")


def take(files: dict[str, bytes]) -> None:
    del files[ENGINE]


def add(files: dict[str, bytes]) -> None:
    files["opt/env/bin/backdoor"] = b"#!/bin/sh\n"


CHANGES = [
    (change, f"layer 2: {ENGINE} content: expected sha256:"),
    (take, f"layer 2: {ENGINE} is missing: expected a file"),
    (add, "layer 2: opt/env/bin/backdoor is extra: expected nothing"),
]


@pytest.mark.parametrize(("done", "words"), CHANGES, ids=lambda each: getattr(each, "__name__", ""))
def test_a_file_that_differs_is_named(
    project: Project, tmp_path: Path, done: Callable[[dict[str, bytes]], None], words: str
) -> None:
    """The label that names the lock is still there: it proves nothing."""
    ran = project.verify(layout(tmp_path / "out", changed(project.image, done)), "--json")
    assert (ran.code, ran.json["verdict"], ran.json["status"]) == (1, "other", "failed")
    assert ran.json["difference"]["text"].startswith(words)
    assert ran.json["difference"]["layer"] == 2 and ran.json["difference"]["kind"] == "file"


def test_an_image_by_other_rules_is_another_and_says_why(project: Project, tmp_path: Path) -> None:
    """An image of an earlier envctl differs in files, too; the first of these alone would look like a forgery."""
    config = json.loads(project.image.config)
    config["config"]["Labels"]["envctl.rules"] = "2"
    earlier = layout(tmp_path / "earlier", replace(project.image, config=compact_json(config)))
    ran = project.verify(earlier)
    assert ran.code == 1
    assert f"made by rules 2, and these are {RULES}: build it again" in ran.out
    assert project.verify(earlier, "--json").json["rules"] == {"expected": str(RULES), "found": "2"}


def test_docker_s_copy_is_read_where_its_id_differs(
    project: Project, tmp_path: Path, loaded: Callable[[Path, str], str]
) -> None:
    name = "envctl-verify-test:changed"
    written.write_archive(changed(project.image, change), tmp_path / "image.tar", [name], quiet)
    loaded(tmp_path / "image.tar", name)
    for image in (f"docker-daemon:{name}", f"docker-archive:{tmp_path / 'image.tar'}"):
        ran = project.verify(image)
        assert ran.code == 1 and f"layer 2: {ENGINE} content" in ran.out
    assert not [each for each in (project.cache / "store").iterdir() if each.name.startswith(".partial-saved")]


def test_a_layer_that_is_not_what_its_image_says_is_found_out(project: Project, server: Server, tmp_path: Path) -> None:
    """A manifest can name the right configuration and a blob with another tar in it; a registry does not look."""
    bad = changed(project.image, change)
    lying = replace(project.image, layers=(*project.image.layers[:-1], bad.layers[-1]))
    push(parse(f"{server.host}/lying:1"), lying, quiet)
    for image in (f"{server.host}/lying:1", layout(tmp_path / "out", lying)):
        ran = project.verify(image, "--json")
        assert (ran.code, ran.json["difference"]["kind"], ran.json["difference"]["layer"]) == (1, "layer", 2)
        assert "not the one that its image names" in ran.json["difference"]["found"]


@pytest.mark.parametrize("damage", [lambda data: data[:-100], lambda data: data[:99] + b"x" + data[100:]])
def test_a_damaged_layout_is_not_the_image(project: Project, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    image = project.image
    out = layout(tmp_path / "out", image)
    blob = tmp_path / "out" / "blobs" / image.layers[1].blob.digest.replace(":", "/")
    blob.write_bytes(damage(blob.read_bytes()))
    ran = project.verify(out, "--json")
    assert (ran.code, ran.json["difference"]["layer"]) == (1, 1)
    assert "corrupt" in ran.json["difference"]["found"]
    blob.unlink()
    assert "lacks the blob" in project.verify(out).out


def test_a_layer_too_many_is_named(project: Project, tmp_path: Path) -> None:
    """As from `FROM image` and one line more."""
    image = project.image
    more = images.layer(images.tar_of({"opt/env/bin/more": b"1"}))
    config = json.loads(image.config)
    config["rootfs"]["diff_ids"].append(more.diff_id)
    other = Image(config=compact_json(config), layers=(*image.layers, more))
    ran = project.verify(layout(tmp_path / "out", other))
    assert ran.code == 1 and "layer 3 is extra" in ran.out


# ---- what cannot be answered


@pytest.mark.parametrize(
    ("image", "code", "words"),
    [
        ("oci:/nowhere", 2, "no OCI layout"),
        ("docker-archive:/nowhere", 2, "docker-archive:/nowhere cannot be read"),
        ("docker-daemon:nobody/has:this", 4, "Docker has no image nobody/has:this"),
        ("UPPER", 2, "UPPER"),
    ],
)
def test_an_image_that_is_not_there_is_one_error(project: Project, image: str, code: int, words: str) -> None:
    ran = project.verify(image)
    assert ran.code == code, ran.err
    assert sum(line.startswith("error:") for line in ran.err.splitlines()) == 1 and words in ran.err


@pytest.mark.parametrize("text", ["", "{", "[]", '{"targets": []}'])
def test_a_lock_that_is_none_is_one_error(project: Project, tmp_path: Path, text: str) -> None:
    (tmp_path / "odd.lock").write_text(text)
    ran = project.verify(f"oci:{project.layout}", lock=tmp_path / "odd.lock")
    assert ran.code == 2 and "odd.lock" in ran.err and "Traceback" not in ran.err


def test_what_a_containerd_store_saves_is_read(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Docker here has the classic store: the archive is made by envctl as that store takes and gives it."""
    monkeypatch.setattr(daemon, "has_containerd_store", lambda: True)
    (tmp_path / "saved.tar").write_bytes(b"".join(oci_archive(project.image, ["x:1"])))
    image = found.read_saved(tmp_path / "saved.tar", tmp_path / "layout")
    assert image.digest == project.image.digest
    assert gzip.decompress(b"".join(image.layers[-1].chunks())) == b"".join(project.image.layers[-1].tar())


# ---- inside


def test_a_smoke_run_compares_the_versions_and_leaves_nothing_in_docker(project: Project) -> None:
    ran = project.verify(f"oci:{project.layout}", "--smoke", "--json")
    assert ran.code == 0, ran.err + ran.out
    assert ran.json["smoke"]["status"] == "passed" and ran.json["smoke"]["packages"] == 3
    assert ran.json["smoke"]["ran"] == "" and "no engine that envctl knows" in ran.json["smoke"]["instead"]
    assert daemon.image(ran.json["expected"]["image"]) is None
    assert not list((project.cache / "jobs").iterdir())


def test_another_image_is_not_started(project: Project, tmp_path: Path) -> None:
    """A smoke run makes a job's folder first."""
    image = layout(tmp_path / "out", changed(project.image, add))
    jobs = project.cache / "jobs"
    if jobs.exists():
        jobs.rmdir()
    ran = project.verify(image, "--smoke", "--json")
    assert ran.code == 1 and ran.json["smoke"] is None
    assert not jobs.exists()


def test_versions_that_differ_are_named(project: Project) -> None:
    versions = {"engine": "1.0", "greeter": "2.1", "numpy": "2.0"}
    assert differing(project.order.lock, versions) == [
        "greeter: the lock has 2.0, the image 2.1",
        "numpy: the lock has nothing, the image 2.0",
        "weights: the lock has 3.0, the image nothing",
    ]
