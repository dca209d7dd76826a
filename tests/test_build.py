"""`envctl build`: the same bits whoever builds, when, where and how (bad input and bad luck: test_build_faults.py)."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from envctl import image
from envctl.aliases import Indexes
from envctl.environment import Environment, find_or_stage
from envctl.oci import daemon, load, wheels
from envctl.oci.assemble import Draft
from envctl.oci.base_image import BaseImage
from envctl.oci.recipe import Recipe
from envctl.runner.container import environment_mounts
from tests import building, image_trees, wheelhouse
from tests.building import Order, build, built, new_cache

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("docker_base")]
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> Order:
    return building.order(tmp_path_factory.mktemp("order"))


@pytest.fixture(scope="module")
def first(order: Order, tmp_path_factory: pytest.TempPathFactory, docker_base: str) -> dict[str, object]:
    """The first build: what all others are compared with."""
    assert docker_base
    folder = tmp_path_factory.mktemp("first")
    done = built(*order.arguments, "-o", f"oci:{folder / 'out'}", cache=new_cache(folder / "cache"))
    return done | {"folder": folder}


def digests(done: dict[str, object]) -> tuple[object, object]:
    return done["image"], done["manifest"]


# ---- bit for bit

Variation = Callable[[Order, Path], tuple[list[str], list[str], dict[str, str]]]  # lock and wheels, starter, variables


def plainly(order: Order, _folder: Path) -> tuple[list[str], list[str], dict[str, str]]:
    return order.arguments, [], {}


def with_umask(order: Order, _folder: Path) -> tuple[list[str], list[str], dict[str, str]]:
    return order.arguments, ["sh", "-c", 'umask 077; exec "$@"', "sh"], {}


def elsewhere(order: Order, _folder: Path) -> tuple[list[str], list[str], dict[str, str]]:
    return order.arguments, [], {"TZ": "Pacific/Auckland", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "7", "LANG": "C"}


def next_year(order: Order, _folder: Path) -> tuple[list[str], list[str], dict[str, str]]:
    """By libfaketime, which .ci/run installs."""
    assert FAKETIME.exists(), "apt-get install faketime"
    return order.arguments, ["env", f"LD_PRELOAD={FAKETIME}", "FAKETIME=@2027-12-24 20:30:00"], {}


def by_another_user(order: Order, folder: Path) -> tuple[list[str], list[str], dict[str, str]]:
    """A user who may read what root may (the interpreter lies in root's home), and has no other right. In the namespace
    for the base's Python that counts no more, so the base lies where everybody can read it."""
    for name in building.SHARED:
        shared = folder / "cache" / "store" / name
        source = shared.resolve()
        shared.unlink()
        subprocess.run(["cp", "-al", source, shared], check=True)
    subprocess.run(["chown", "-Rh", "65534:65534", folder / "cache"], check=True)
    os.chown(folder, 65534, 65534)
    caps = "+dac_read_search"
    shutil.copytree(order.wheels, folder / "wheels")
    shutil.copyfile(order.path, folder / "envctl.lock")
    starter = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    variables = {"HOME": str(folder), "DOCKER_HOST": "unix:///nowhere/docker.sock"}
    arguments = [str(folder / "envctl.lock"), "--wheels", str(folder / "wheels")]
    return arguments, [*starter, "--inh-caps", caps, "--ambient-caps", caps], variables


def without_network(order: Order, _folder: Path) -> tuple[list[str], list[str], dict[str, str]]:
    """Nor a daemon: the base lies in the store."""
    return order.arguments, ["unshare", "--net"], {"DOCKER_HOST": "unix:///nowhere/docker.sock"}


def from_other_files(order: Order, folder: Path) -> tuple[list[str], list[str], dict[str, str]]:
    """The same wheels, copied the other way round, with other times and modes."""
    wheels = folder / "others"
    wheels.mkdir()
    for number, path in enumerate(sorted(order.wheels.iterdir(), reverse=True)):
        shutil.copyfile(path, wheels / path.name)
        os.utime(wheels / path.name, (number, number))
        (wheels / path.name).chmod(0o600)
    return [str(order.path), "--wheels", str(wheels)], [], {}


def with_the_base_in_a_container(order: Order, folder: Path) -> tuple[list[str], list[str], dict[str, str]]:
    """Where the kernel gives no namespaces: an `unshare` that fails stands for it, and says that it was asked."""
    (folder / "bin").mkdir()
    words = "unshare: unshare failed: Operation not permitted"
    (folder / "bin" / "unshare").write_text(f"#!/bin/sh\ntouch {folder}/refused\necho '{words}' >&2\nexit 1\n")
    (folder / "bin" / "unshare").chmod(0o755)
    return order.arguments, [], {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}


def without_unshare(order: Order, folder: Path) -> tuple[list[str], list[str], dict[str, str]]:
    """Where the program for namespaces is missing: the base's Python runs in a container, too."""
    (folder / "bin").mkdir()
    return order.arguments, [], {"PATH": str(folder / "bin")}


ALL = [
    plainly, with_umask, elsewhere, next_year, by_another_user, without_network, from_other_files,
    with_the_base_in_a_container, without_unshare,
]  # fmt: skip


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder of the test's own that everybody can reach; pytest's are root's alone."""
    with tempfile.TemporaryDirectory(prefix="envctl-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("variation", ALL, ids=lambda each: each.__name__)
def test_the_same_bits(order: Order, first: dict[str, object], variation: Variation, open_folder: Path) -> None:
    if os.getuid() and variation in (by_another_user, without_network):
        pytest.skip("only root can become another user, or leave the network, so simply")
    cache = new_cache(open_folder / "cache")
    arguments, starter, variables = variation(order, open_folder)
    if "DOCKER_HOST" in variables:
        arguments += ["--base", first["base"]["digest"]]  # type: ignore[index]
    out = open_folder / "out"
    done = built(*arguments, "-o", f"oci:{out}", cache=cache, before=starter, **variables)
    assert digests(done) == digests(first)
    assert (open_folder / "refused").exists() == (variation is with_the_base_in_a_container)
    assert building.layout(out) == building.layout(first["folder"] / "out")  # type: ignore[operator]


# ---- what comes out


def test_the_configuration_says_what_it_is_and_nothing_of_the_machine(order: Order, first: dict[str, object]) -> None:
    out = Path(str(first["folder"])) / "out"
    manifest = building.manifest(out)
    config = json.loads((out / building.blob(manifest["config"])).read_text())
    labels = config["config"]["Labels"]
    assert labels["envctl.lock"] == f"sha256:{order.lock.digest}"
    assert labels["envctl.stack"] == "python 3.11.2; engine 1.0; greeter 2.0; weights 3.0"
    assert labels["org.opencontainers.image.base.digest"] == first["base"]["digest"]  # type: ignore[index]
    assert config["config"]["Env"] == ["PATH=/opt/env/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    assert {config["created"], *(entry["created"] for entry in config["history"])} == {"1970-01-01T00:00:00Z"}
    text = json.dumps(config)
    for word in (os.uname().nodename, "/tmp", str(Path.home())):
        assert word not in text


def test_the_layout_is_whole_and_its_layers_are_the_tars_of_the_configuration(first: dict[str, object]) -> None:
    out = Path(str(first["folder"])) / "out"
    manifest = building.manifest(out)
    for blob in [manifest["config"], *manifest["layers"]]:
        path = out / building.blob(blob)
        assert (wheelhouse.sha256(path), path.stat().st_size) == (path.name, blob["size"])
    diff_ids = json.loads((out / building.blob(manifest["config"])).read_text())["rootfs"]["diff_ids"]
    assert len(diff_ids) == 3  # the base, the heavy wheel, the rest
    for blob, diff_id in zip(manifest["layers"], diff_ids, strict=True):
        tar = gzip.decompress((out / building.blob(blob)).read_bytes())
        assert f"sha256:{hashlib.sha256(tar).hexdigest()}" == diff_id


def test_files_of_both_kinds_are_loaded_by_docker_as_the_same_image(
    order: Order, first: dict[str, object], tmp_path: Path, images: list[str]
) -> None:
    archive = tmp_path / "image.tar"
    done = built(
        *order.arguments,
        "--tag",
        "envctl-test:file",
        "-o",
        f"docker-archive:{archive}",
        cache=new_cache(tmp_path / "c"),
    )
    images.append("envctl-test:file")
    assert digests(done) == digests(first)
    subprocess.run(["docker", "load", "-q", "-i", archive], check=True, capture_output=True)
    assert image_id("envctl-test:file") == done["image"]
    podman = shutil.which("podman")
    if podman:  # reads the layout, and computes the image's id itself
        layout = Path(str(first["folder"])) / "out"
        storage = ["--root", str(tmp_path / "podman"), "--storage-driver", "vfs"]
        pulled = subprocess.run(
            [podman, *storage, "pull", "-q", f"oci:{layout}:latest"], capture_output=True, text=True, check=True
        )
        assert f"sha256:{pulled.stdout.strip()}" == done["image"]


def test_a_layout_is_written_again_over_itself_and_over_nothing_else(order: Order, tmp_path: Path) -> None:
    cache, out = new_cache(tmp_path / "cache"), tmp_path / "out"
    for _ in range(2):
        built(*order.arguments, "-o", f"oci:{out}", cache=cache)
    large = max((path for path in out.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    large.write_bytes(b"damaged")
    built(*order.arguments, "-o", f"oci:{out}", cache=cache)
    assert wheelhouse.sha256(large) == large.name
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    ran = build(*order.arguments, "-o", f"oci:{tmp_path / 'mine'}", cache=cache)
    assert (ran.code, (tmp_path / "mine" / "file").read_text()) == (2, "mine")
    assert "something else than an OCI layout" in ran.err


# ---- into Docker


@pytest.fixture
def images() -> Iterator[list[str]]:
    """Names of images to remove at the end."""
    names: list[str] = []
    yield names
    for name in names:
        subprocess.run(["docker", "rmi", "-f", name], check=False, capture_output=True)
    # the old builder leaves the first stage of a Dockerfile behind
    prune = ["docker", "image", "prune", "-f", "--filter", "label=envctl.stage=made"]
    subprocess.run(prune, check=False, capture_output=True)


def image_id(name: str) -> str:
    done = subprocess.run(["docker", "inspect", "-f", "{{.Id}}", name], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def test_only_missing_layers_are_sent(tmp_path: Path, images: list[str]) -> None:
    cache = new_cache(tmp_path / "cache")
    one = building.order(tmp_path / "one", heavy=os.urandom(2 << 20))
    images += ["envctl-test:one", "envctl-test:two", "envctl-test:three"]
    sent = built(*one.arguments, "--load", "--tag", images[0], cache=cache)
    assert (sent["loaded"]["layers_sent"], image_id(images[0])) == (2, sent["image"])
    again = built(*one.arguments, "--load", "--tag", images[1], cache=cache)
    assert (again["loaded"]["layers_sent"], image_id(images[1])) == (0, sent["image"])
    other = building.order(tmp_path / "two", says="changed", heavy=heavy_of(one))
    changed = built(*other.arguments, "--load", "--tag", images[2], cache=cache)
    assert (changed["loaded"]["layers_sent"], image_id(images[2])) == (1, changed["image"])
    command = ["docker", "run", "--rm", "--network", "none", images[2], "engine"]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert said.stdout == "changed\n"


def heavy_of(order: Order) -> bytes:
    """The 2 MB of an order, to make another one with the same heavy wheel."""
    import zipfile

    with zipfile.ZipFile(order.wheels / "weights-3.0-py3-none-any.whl") as wheel:
        return wheel.read("weights/data.bin")


def test_a_layer_that_is_not_there_after_all_is_sent(
    order: Order, tmp_path: Path, images: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when somebody removes an image between the question which layers there are, and the answer to it."""
    monkeypatch.setenv("ENVCTL_CACHE", str(new_cache(tmp_path / "cache")))
    base = base_for_311()
    said: list[str] = []
    draft = Draft(Recipe(lock=order.lock, base=base), lambda: bring(order), said.append)
    draft.measure()
    chain = [*(layer.diff_id for layer in base.layers), *(part.layer().diff_id for part in draft.parts)]
    monkeypatch.setattr(daemon, "chains", lambda: [chain])
    images.append("envctl-test:retried")
    done = load.load(draft, images, said.append)
    assert (done.sent, image_id("envctl-test:retried")) == (3, done.identifier)
    assert any("not there after all" in line for line in said)


def base_for_311() -> BaseImage:
    return image.here(image.base_bringing("3.11"), [].append)


def bring(order: Order) -> dict[str, Path]:
    return {package.sha256: order.wheels / package.file for package in order.lock.packages}


# ---- what it holds


@dataclass(frozen=True)
class Staged:
    """What `envctl run` would mount, and in which cache it lies."""

    environment: Environment
    cache: Path
    mounts: list[tuple[str, str]]


@pytest.fixture(scope="module")
def staged(order: Order, tmp_path_factory: pytest.TempPathFactory, docker_base: str) -> Staged:
    """Made under a hard umask, and with a folder that is mounted by itself: "weights" is as large as that here."""
    from envctl.oci import staged as staging

    assert docker_base
    cache = new_cache(tmp_path_factory.mktemp("staged") / "cache")
    umask = os.umask(0o077)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ENVCTL_CACHE", str(cache))
            patch.setattr(staging, "LARGE", 2)
            wheels.bring(order.lock, Indexes(addresses={}), (order.wheels,), offline=True, say=[].append)
            made = find_or_stage(order.lock, base_for_311(), Indexes(addresses={}), offline=True, say=[].append)
            return Staged(made, cache, environment_mounts(made))
    finally:
        os.umask(umask)


def test_image_mount_and_plain_dockerfile_hold_the_same_files(
    order: Order, staged: Staged, tmp_path: Path, images: list[str], docker_base: str
) -> None:
    cache, context = new_cache(tmp_path / "cache"), tmp_path / "context"
    images += ["envctl-test:made", "envctl-test:plain"]
    built(*order.arguments, "--load", "--tag", "envctl-test:made", cache=cache)
    assert build(*order.arguments, "--emit", "dockerfile", "-o", context, cache=cache).code == 0
    command = ["docker", "build", "-q", "--network", "none", "-t", "envctl-test:plain", context]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    image = image_trees.of_image("envctl-test:made")
    assert [target for _, target in staged.mounts[1:]] == ["/opt/env/lib/python3.11/site-packages/weights"]
    assert image_trees.differences(image, image_trees.of_mounts(docker_base, staged.mounts)) == []
    assert image_trees.differences(image, image_trees.of_image("envctl-test:plain")) == []
    site = "lib/python3.11/site-packages"
    assert {f"{site}/engine.py", f"{site}/__pycache__/engine.cpython-311.pyc", "bin/engine", "bin/python"} <= set(image)
    assert f"{site}/weights/__pycache__/old.cpython-311.pyc" not in image  # Python 2; nobody can compile it


def test_modules_are_imported_from_bytecode_that_notices_a_changed_source(staged: Staged, docker_base: str) -> None:
    from importlib.util import source_hash

    source = staged.environment.prefix / "lib/python3.11/site-packages/engine.py"
    compiled = source.parent / "__pycache__" / "engine.cpython-311.pyc"
    head = compiled.read_bytes()[:16]
    assert head[4:8] == b"\x03\0\0\0" and head[8:] == source_hash(source.read_bytes())
    mount = f"{staged.environment.prefix}:/opt/env:ro"
    command = ["docker", "run", "--rm", "--network", "none", "--read-only", "-v", mount, docker_base]
    code = "import engine; print(engine.SAYS, engine.__cached__, engine.main.__code__.co_filename)"
    said = subprocess.run([*command, "/opt/env/bin/python", "-c", code], capture_output=True, text=True, check=True)
    site = "/opt/env/lib/python3.11/site-packages"
    assert said.stdout.split() == ["hello", f"{site}/__pycache__/engine.cpython-311.pyc", f"{site}/engine.py"]


def test_what_is_mounted_is_checked_and_made_anew(
    order: Order, staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last test of `staged`: a file in the unpacked wheel is damaged."""
    from envctl.oci import staged as staging
    from envctl.workflow import cache

    monkeypatch.setattr(staging, "LARGE", 2)
    monkeypatch.setenv("ENVCTL_CACHE", str(staged.cache))
    assert cache.verify("environments", say=[].append) == ([], 1, 0)
    assert cache.verify("store/trees", say=[].append) == ([], len(order.lock.packages), 0)
    damaged = Path(staged.mounts[1][0]) / "data.bin"
    damaged.write_bytes(b"other")
    for kind in ("environments", "store/trees"):
        ((entry, why),) = cache.verify(kind, say=[].append)[0]
        assert "weights/data.bin" in why and not entry.path.exists()
    for _ in range(2):  # the second time, the environment is there, and the tree that it needs is not
        find_or_stage(order.lock, base_for_311(), Indexes(addresses={}), offline=True, say=[].append)
        assert damaged.stat().st_size > 1 << 20
        shutil.rmtree(entry.path)
    find_or_stage(order.lock, base_for_311(), Indexes(addresses={}), offline=True, say=[].append)
    os.utime(entry.path, (0, 0))
    find_or_stage(order.lock, base_for_311(), Indexes(addresses={}), offline=True, say=[].append)
    assert entry.path.stat().st_mtime > 0  # finding the environment is a use of the tree
