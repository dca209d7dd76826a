"""`envctl build`: the same bits whoever builds, when, where and how; and what comes of bad input and bad luck."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from envctl import image
from envctl.oci import daemon, load, wheels
from envctl.oci.assemble import Draft, Recipe
from envctl.oci.base_image import BaseImage
from tests import building, image_trees, odd_wheels, wheelhouse
from tests.building import Order, build, built, new_cache
from tests.conftest import Ran
from tests.test_disk import can_mount, on
from tests.test_interrupt import processes, started, wait_for

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
    """Where the kernel gives no namespaces: an `unshare` that fails stands for it."""
    (folder / "bin").mkdir()
    (folder / "bin" / "unshare").write_text("#!/bin/sh\necho 'unshare failed: Operation not permitted' >&2\nexit 1\n")
    (folder / "bin" / "unshare").chmod(0o755)
    return order.arguments, [], {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}


ALL = [
    plainly, with_umask, elsewhere, next_year, by_another_user, without_network, from_other_files,
    with_the_base_in_a_container,
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


@pytest.fixture(scope="module")
def staged(order: Order, tmp_path_factory: pytest.TempPathFactory, docker_base: str) -> Path:
    """The folder that `envctl run` would mount."""
    from envctl import environment
    from envctl.aliases import Indexes

    assert docker_base
    cache = new_cache(tmp_path_factory.mktemp("staged") / "cache")
    umask = os.umask(0o077)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ENVCTL_CACHE", str(cache))
            base = base_for_311()
            wheels.bring(order.lock, Indexes(addresses={}), (order.wheels,), offline=True, say=[].append)
            made = environment.find_or_stage(order.lock, base, Indexes(addresses={}), offline=True, say=[].append)
    finally:
        os.umask(umask)
    return made.prefix


def test_image_mount_and_plain_dockerfile_hold_the_same_files(
    order: Order, staged: Path, tmp_path: Path, images: list[str]
) -> None:
    cache, context = new_cache(tmp_path / "cache"), tmp_path / "context"
    images += ["envctl-test:made", "envctl-test:plain"]
    built(*order.arguments, "--load", "--tag", "envctl-test:made", cache=cache)
    assert build(*order.arguments, "--emit", "dockerfile", "-o", context, cache=cache).code == 0
    command = ["docker", "build", "-q", "--network", "none", "-t", "envctl-test:plain", context]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    image = image_trees.of_image("envctl-test:made")
    assert image_trees.differences(image, image_trees.of_folder(staged)) == []
    assert image_trees.differences(image, image_trees.of_image("envctl-test:plain")) == []
    site = "lib/python3.11/site-packages"
    assert {f"{site}/engine.py", f"{site}/__pycache__/engine.cpython-311.pyc", "bin/engine", "bin/python"} <= set(image)
    assert f"{site}/weights/__pycache__/old.cpython-311.pyc" not in image  # Python 2; nobody can compile it


def test_modules_are_imported_from_bytecode_that_notices_a_changed_source(staged: Path, docker_base: str) -> None:
    from importlib.util import source_hash

    source = staged / "lib/python3.11/site-packages/engine.py"
    compiled = source.parent / "__pycache__" / "engine.cpython-311.pyc"
    head = compiled.read_bytes()[:16]
    assert head[4:8] == b"\x03\0\0\0" and head[8:] == source_hash(source.read_bytes())
    mount = f"{staged}:/opt/env:ro"
    command = ["docker", "run", "--rm", "--network", "none", "--read-only", "-v", mount, docker_base]
    code = "import engine; print(engine.SAYS, engine.__cached__, engine.main.__code__.co_filename)"
    said = subprocess.run([*command, "/opt/env/bin/python", "-c", code], capture_output=True, text=True, check=True)
    site = "/opt/env/lib/python3.11/site-packages"
    assert said.stdout.split() == ["hello", f"{site}/__pycache__/engine.cpython-311.pyc", f"{site}/engine.py"]


# ---- bad input


def assert_refused(ran: Ran, code: int, words: str) -> None:
    assert ran.code == code, ran.err
    assert sum(line.startswith("error:") for line in ran.err.splitlines()) == 1, ran.err
    assert words in ran.err and "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing was asked for"),
        (["LOCK", "--openvino", "2026.4"], "both a lock and pins"),
        (["LOCK", "-o", "image.tar"], "does not say what to write"),
        (["LOCK", "-o", "oci:"], "does not say what to write"),
        (["LOCK", "--tag", "Upper:case"], "not a name for an image"),
        (["LOCK", "--emit", "makefile"], "makes no sense"),
        (["nowhere.lock"], "cannot read the lock nowhere.lock"),
    ],
)
def test_command_lines_that_cannot_be(order: Order, tmp_path: Path, arguments: list[str], words: str) -> None:
    given = [str(order.path) if each == "LOCK" else each for each in arguments]
    assert_refused(build(*given, cache=tmp_path / "cache", cwd=tmp_path), 2, words)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"python": "3.11"}', '{"packages": [{"name": "x"}], "python": "3", "platform": "y"}']
)
def test_files_that_are_no_locks(tmp_path: Path, text: str) -> None:
    (tmp_path / "odd.lock").write_text(text)
    assert_refused(build(tmp_path / "odd.lock", cache=tmp_path / "cache"), 2, "odd.lock is not a lock")


def test_a_lock_whose_file_names_lead_elsewhere(order: Order, tmp_path: Path) -> None:
    text = order.path.read_text().replace("engine-1.0-py3-none-any.whl", "../../etc/passwd")
    (tmp_path / "odd.lock").write_text(text)
    assert_refused(build(tmp_path / "odd.lock", cache=tmp_path / "cache"), 2, "odd.lock is not a lock")


@pytest.mark.parametrize("keep", [0, 100, -1])
def test_a_wheel_that_is_not_the_locked_one(tmp_path: Path, keep: int) -> None:
    order, cache = building.order(tmp_path / "order"), new_cache(tmp_path / "cache")
    wheel = order.wheels / "engine-1.0-py3-none-any.whl"
    wheel.write_bytes(wheel.read_bytes()[:keep])
    ran = build(*order.arguments, "-o", f"oci:{tmp_path / 'out'}", cache=cache)
    assert_refused(ran, 2, "is not the wheel that was locked")
    assert not (tmp_path / "out").exists()


def test_two_wheels_that_claim_one_path(tmp_path: Path) -> None:
    folder = tmp_path / "wheels"
    folder.mkdir()
    packages = []
    for name in ("one", "two"):
        path = odd_wheels.write(folder / f"{name}-1.0-py3-none-any.whl", {"tests/__init__.py": name}, name=name)
        packages.append(building.locked(path, name, "1.0"))
    order = building.written(tmp_path, folder, packages)
    cache = new_cache(tmp_path / "cache")
    for each in packages:  # what each of them brings is known then, and still they cannot be together
        (tmp_path / each.name).mkdir()
        built(*building.written(tmp_path / each.name, folder, [each]).arguments, cache=cache)
    ran = build(*order.arguments, "-o", f"oci:{tmp_path / 'out'}", cache=cache)
    assert_refused(ran, 2, "two packages claim lib/python3.11/site-packages/tests/__init__.py")
    assert not (tmp_path / "out").exists()


def test_a_wheel_that_was_damaged_in_the_cache(order: Order, tmp_path: Path) -> None:
    cache = new_cache(tmp_path / "cache")
    first = built(*order.arguments, cache=cache)
    kept = next(cache.glob("store/wheels/*.whl"))
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    shutil.rmtree(cache / "store" / "images")
    shutil.rmtree(cache / "store" / "layers")
    assert_refused(build(*order.arguments, cache=cache), 4, "was damaged in the cache")
    assert digests(built(*order.arguments, cache=cache)) == digests(first)


def test_a_base_that_is_not_there(order: Order, tmp_path: Path) -> None:
    ran = build(*order.arguments, "--base", "nobody/has:this", cache=tmp_path / "cache")
    assert_refused(ran, 4, "Docker has no image nobody/has:this")
    (tmp_path / "old").mkdir()
    python = building.written(tmp_path / "old", order.wheels, order.lock.packages, python="3.7")
    assert_refused(build(*python.arguments, cache=tmp_path / "cache"), 2, "no base brings CPython 3.7")


# ---- bad luck


@pytest.mark.skipif(not can_mount(), reason="this kernel gives no mount namespace to this user")
@pytest.mark.parametrize("kind", ["oci:full/out", "docker-archive:full/out.tar"])
def test_disk_full_under_the_output(order: Order, tmp_path: Path, kind: str) -> None:
    cache = new_cache(tmp_path / "cache")
    given = ("build", *order.arguments, "-o", kind)
    ran, left = on(tmp_path / "full", "size=1m", *given, cwd=tmp_path, cache=cache)
    assert_refused(ran, 4, "no space left")
    assert left == []


@pytest.mark.skipif(not can_mount(), reason="this kernel gives no mount namespace to this user")
@pytest.mark.parametrize(("folder", "size"), [("wheels", "1m"), ("bytecode", "16k"), ("layers", "0")])
def test_disk_full_under_the_store(order: Order, tmp_path: Path, folder: str, size: str) -> None:
    cache = new_cache(tmp_path / "cache")
    options = f"size={size}" if size != "0" else "size=4k,nr_inodes=1"
    given = ("build", *order.arguments, "-o", "oci:out")
    ran, left = on(cache / "store" / folder, options, *given, cwd=tmp_path, cache=cache)
    assert_refused(ran, 4, "no space left")
    assert [path for path in left if not path.endswith(".whl")] == []
    assert not (tmp_path / "out").exists()
    assert digests(built(*order.arguments, cache=cache))


MOMENTS = [("compiling", signal.SIGINT), ("loading", signal.SIGTERM), ("writing blobs", signal.SIGKILL)]
MORE = [(moment, number) for moment, _ in MOMENTS for _, number in MOMENTS if (moment, number) not in MOMENTS]


@pytest.mark.parametrize(
    ("moment", "number"), [*MOMENTS, *(pytest.param(*each, marks=pytest.mark.slow) for each in MORE)]
)
def test_stopped_half_way(tmp_path: Path, images: list[str], moment: str, number: int) -> None:
    """Nothing goes on, nothing half-made has a final name, and the next build finishes the work."""
    heavy = os.urandom(1 << 20) * 128
    order, cache, out = building.order(tmp_path / "order", heavy=heavy), new_cache(tmp_path / "cache"), tmp_path / "out"
    images.append("envctl-test:stopped")
    more = ["-o", f"oci:{out}", *(["--load", "--tag", images[0]] if moment == "loading" else [])]
    with started("build", *order.arguments, *more, cache=cache, cwd=tmp_path) as process:
        assert process.stderr
        for line in process.stderr:
            if moment in line:
                break
        process.send_signal(number)
        process.wait(60)
    assert process.returncode == (130 if number != signal.SIGKILL else -number)
    wait_for(lambda: processes(cache) == [], "the end of what it had started")
    assert not out.exists()
    assert moment != "loading" or not image_id(images[0])
    if number != signal.SIGKILL:
        assert [path for path in cache.rglob("*") if ".partial" in path.name] == []
        assert [path for path in tmp_path.iterdir() if ".partial" in path.name] == []
    done = built(*order.arguments, "-o", f"oci:{out}", cache=cache)
    assert building.manifest(out)["config"]["digest"] == done["image"]
