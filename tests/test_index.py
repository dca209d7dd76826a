"""A vendor's packages come from the vendor's index only, and an index that fails is named, with nothing half-made.

Every index here is a stand-in (tests/wheelhouse.py)."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from envctl import environment, lock
from envctl.aliases import Indexes
from envctl.environment import Environment
from envctl.errors import EnvctlError, HostLacks, NoStack
from envctl.host import interpreters
from envctl.recipe import Packages
from envctl.run_uv import uv, uv_error
from tests import wheelhouse
from tests.wheelhouse import TwoIndexes, Wheelhouse

PLATFORM = "x86_64-manylinux_2_28"
PYTHON = next(iter(interpreters()))
NOWHERE = "http://127.0.0.1:9/simple"


pytestmark = pytest.mark.usefixtures("stand_ins")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[TwoIndexes]:
    """On the default index somebody has put packages of the vendor's names."""
    vendor, default = Wheelhouse(tmp_path / "vendor"), Wheelhouse(tmp_path / "default")
    vendor.add("vendor-engine", "1.0", says="the vendor's", needs=("plain",))
    default.add("vendor-engine", "1.0", says="a stranger's")
    default.add("vendor-engine", "9.9", says="a stranger's, and newer")
    default.add("plain", "2.0", says="plain")
    with wheelhouse.two_served(vendor, default) as both:
        yield both


RECIPE = wheelhouse.spec("vendor-engine", index={"vendor-engine": "nvidia"})
EXACT = wheelhouse.spec("vendor-engine=={engine}", index={"vendor-engine": "nvidia"})


def make_lock(indexes: Indexes, recipe: wheelhouse.ImageSpec = RECIPE) -> lock.Lock:
    """The lock of the vendor's engine."""
    wanted = wheelhouse.stack(PYTHON)
    return lock.find_or_make(wanted, recipe, PLATFORM, indexes, offline=False, refresh=True, say=[].append)


def make(indexes: Indexes, recipe: wheelhouse.ImageSpec = RECIPE) -> Environment:
    """The environment of the vendor's engine."""
    interpreter = interpreters()[PYTHON]
    return environment.find_or_make(make_lock(indexes, recipe), interpreter, indexes, offline=False, say=[].append)


def says(made: Environment, module: str) -> str:
    """What the module that was installed says."""
    return next(made.library.glob(f"*/site-packages/{module}.py")).read_text()


def assert_the_vendor_s(made: Environment, world: TwoIndexes) -> None:
    """The vendor's package from the vendor, its dependency from the default index, and nobody else was asked."""
    assert [(p.name, p.version, p.index) for p in made.lock.packages] == [
        ("plain", "2.0", "pypi"),
        ("vendor-engine", "1.0", "nvidia"),
    ]
    assert made.lock.packages[1].sha256 == wheelhouse.sha256(world.vendor.root / "files" / made.lock.packages[1].file)
    assert "the vendor's" in says(made, "vendor_engine")
    assert world.vendor_server.names() == {"vendor-engine"}
    assert world.default_server.names() == {"plain"}, "the name of a vendor's package is not even asked for elsewhere"


def test_a_vendor_s_package_comes_from_its_index_only(world: TwoIndexes) -> None:
    assert_the_vendor_s(make(world.indexes), world)


@pytest.mark.parametrize("variable", ["UV_EXTRA_INDEX_URL", "UV_INDEX", "UV_DEFAULT_INDEX", "UV_FIND_LINKS"])
def test_indexes_of_the_user_s_own_do_not_come_before_it(
    world: TwoIndexes, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    address = world.default.as_folder if variable == "UV_FIND_LINKS" else world.default_server.address
    monkeypatch.setenv(variable, address)
    assert_the_vendor_s(make(world.indexes), world)


@pytest.mark.parametrize("variable", ["PYTHONHOME", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"])
def test_python_variables_of_the_user_s_own_change_nothing_in_an_environment(
    world: TwoIndexes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    (stray := tmp_path / "stray").mkdir()
    (stray / "plain.py").write_text("stray = True")
    for module in ("os", "encodings", "compileall"):  # what uv's compiler of bytecode starts with
        (stray / f"{module}.py").write_text("raise SystemError('a stray module')")
    monkeypatch.setenv(variable, str(stray))
    made = make(world.indexes)
    assert_the_vendor_s(made, world)
    assert list(made.library.glob("*/site-packages/__pycache__/plain.*.pyc"))


def test_a_keyring_s_variables_reach_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that prints its variables stands in for uv, which asks keyring where an index wants credentials."""
    monkeypatch.setattr("uv.find_uv_bin", lambda: "/usr/bin/env")
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.setenv("PYTHONPATH", "/stray")
    lines = uv([], tmp_path).stdout.splitlines()
    assert "PYTHON_KEYRING_BACKEND=keyring.backends.null.Keyring" in lines
    assert not any(line.startswith("PYTHONPATH=") for line in lines)


@pytest.mark.parametrize("kind", ["as_index", "as_folder"])
def test_wheels_that_were_carried_over_are_as_good(world: TwoIndexes, kind: str) -> None:
    served = make(world.indexes)
    carried = Indexes(addresses={"nvidia": getattr(world.vendor, kind), "pypi": getattr(world.default, kind)})
    assert make_lock(carried).text() == served.lock.text()
    shutil.rmtree(served.folder)
    assert "the vendor's" in says(make(carried), "vendor_engine")


def test_what_the_vendor_does_not_have_is_not_taken_elsewhere(world: TwoIndexes) -> None:
    shutil.rmtree(world.vendor.root / "simple" / "vendor-engine")
    with pytest.raises(HostLacks, match=r"the index \(nvidia\) does not have them") as caught:
        make(world.indexes)
    assert any("--index nvidia=" in hint for hint in caught.value.do)
    assert world.default_server.names() <= {"plain"}


def test_a_version_that_the_vendor_does_not_have_is_the_index_s_lack(world: TwoIndexes) -> None:
    """The matrix knows the release; that an index lacks it is no contradiction between versions (exit code 3)."""
    recipe = wheelhouse.spec("vendor-engine==7.0", index={"vendor-engine": "nvidia"})
    with pytest.raises(HostLacks, match=r"the index \(nvidia\) does not have them"):
        make(world.indexes, recipe)


def test_packages_that_exclude_each_other_are_no_stack(world: TwoIndexes) -> None:
    recipe = wheelhouse.spec("vendor-engine", "plain<1", index={"vendor-engine": "nvidia"})
    with pytest.raises(NoStack, match="cannot stand together") as caught:
        make(world.indexes, recipe)
    assert "plain" in str(caught.value.as_data())


# --- failures: one clear error, nothing half-made, and all is well once the cause is gone


def assert_nothing_half_made(root: Path) -> None:
    """No environment, finished or not; guards that were let go may stay."""
    folder = root / "ENVCTL_CACHE" / "environments"
    assert [path.name for path in folder.glob("*") if path.suffix != ".lock"] == []


def spoil(path: Path, how: str) -> None:
    """Break a wheel after it was locked."""
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    else:
        wheelhouse.wheel(path.parent, "vendor-engine", "1.0", says="another file under the same name")


@pytest.mark.parametrize("how", ["missing", "truncated", "replaced"])
@pytest.mark.parametrize("republished", [False, True], ids=["page as it was", "page written anew"])
def test_a_spoiled_wheel_is_refused(world: TwoIndexes, tmp_path: Path, how: str, republished: bool) -> None:
    made = make_lock(world.indexes)
    shutil.rmtree(tmp_path / "UV_CACHE_DIR")
    path = world.vendor.root / "files" / made.packages[1].file
    good = path.read_bytes()
    spoil(path, how)
    if republished:
        world.vendor.publish("vendor-engine")
    with pytest.raises(HostLacks, match="could not install the packages") as caught:
        environment.find_or_make(made, interpreters()[PYTHON], world.indexes, offline=False, say=[].append)
    assert "vendor-engine" in str(caught.value.as_data()) or "vendor_engine" in str(caught.value.as_data())
    assert_nothing_half_made(tmp_path)
    path.write_bytes(good)
    world.vendor.publish("vendor-engine")
    shutil.rmtree(tmp_path / "UV_CACHE_DIR")
    found = environment.find_or_make(made, interpreters()[PYTHON], world.indexes, offline=False, say=[].append)
    assert "the vendor's" in says(found, "vendor_engine")


@pytest.mark.parametrize("dead", ["nvidia", "pypi"])
@pytest.mark.parametrize("step", ["lock", "install"])
def test_an_index_that_gives_no_answer_is_named(world: TwoIndexes, tmp_path: Path, dead: str, step: str) -> None:
    """The right one of two, with the ways out for it."""
    made = make_lock(world.indexes) if step == "install" else None
    shutil.rmtree(tmp_path / "UV_CACHE_DIR", ignore_errors=True)
    indexes = Indexes(addresses={**world.indexes.addresses, dead: NOWHERE})
    with pytest.raises(HostLacks) as caught:
        if made is None:
            make_lock(indexes, EXACT)
        else:
            environment.find_or_make(made, interpreters()[PYTHON], indexes, offline=False, say=[].append)
    error: EnvctlError = caught.value
    assert error.what == f"could not {step} the packages: the index ({dead}) gave no answer"
    assert any(f"--index {dead}=URL" in hint for hint in error.do)
    assert_nothing_half_made(tmp_path)


def test_offline_with_empty_caches_is_said_to_be_so(world: TwoIndexes, tmp_path: Path) -> None:
    made = make_lock(world.indexes)
    shutil.rmtree(tmp_path / "UV_CACHE_DIR")
    with pytest.raises(HostLacks, match="without network") as caught:
        environment.find_or_make(made, interpreters()[PYTHON], world.indexes, offline=True, say=[].append)
    assert "--offline" in caught.value.do[0]
    assert_nothing_half_made(tmp_path)


def test_offline_with_full_caches_works(world: TwoIndexes) -> None:
    first = make(world.indexes)
    shutil.rmtree(first.folder)
    asked = len(world.vendor_server.asked) + len(world.default_server.asked)
    environment.find_or_make(first.lock, interpreters()[PYTHON], world.indexes, offline=True, say=[].append)
    assert len(world.vendor_server.asked) + len(world.default_server.asked) == asked


@pytest.mark.parametrize("kind", ["served", "as_index", "as_folder"])
def test_the_locked_wheel_is_installed_though_this_host_could_take_another(world: TwoIndexes, kind: str) -> None:
    """The lock is for glibc 2.28; on a newer system uv by itself would prefer the wheel for 2.34."""
    for tag in ("manylinux_2_28_x86_64", "manylinux_2_34_x86_64"):
        world.vendor.add("vendor-engine", "3.0", tag=f"py3-none-{tag}", says=f"for {tag}", needs=("plain",))
    address = world.vendor_server.address if kind == "served" else getattr(world.vendor, kind)
    made = make(Indexes(addresses={**world.indexes.addresses, "nvidia": address}))
    assert "for manylinux_2_28_x86_64" in says(made, "vendor_engine")


# --- uv's words

BOTH = Indexes(addresses={"nvidia": "https://vendor.example/simple", "pypi": "https://me:secret@mirror.example/simple"})
SERVED = Packages(requirements=("vendor-engine==1.0",), index={"vendor-engine": "nvidia"})


@pytest.mark.parametrize(
    ("step", "stderr", "kind", "words"),
    [
        ("lock", "Failed to fetch: `https://mirror.example/plain/` for vendor-engine", HostLacks, "(pypi) gave no"),
        ("lock", "cause: dns error: https://vendor.example/simple/other/", HostLacks, "(nvidia) gave no answer"),
        ("install", "Failed to download vendor-engine: connection refused", HostLacks, "(nvidia) gave no answer"),
        ("install", "Failed to download plain: timed out", HostLacks, "(pypi) gave no answer"),
        ("install", "Failed to fetch vendor-engine: (404 Not Found)", HostLacks, "(nvidia) does not have them"),
        ("lock", "there is no version of vendor-engine==1.0", HostLacks, "(nvidia) does not have them"),
        ("lock", "No solution found: there is no version of plain==7", NoStack, "cannot stand together"),
        ("install", "No space left on device (os error 28)", HostLacks, "no space left"),
        ("install", "plain: Network was disabled", HostLacks, "without network"),
        ("install", "something new", HostLacks, "could not install the packages"),
    ],
)
def test_each_complaint_of_uv_has_its_error(step: str, stderr: str, kind: type[EnvctlError], words: str) -> None:
    done = subprocess.CompletedProcess([], 1, "", stderr)
    error = uv_error(step, done, BOTH, SERVED)
    assert isinstance(error, kind)
    assert words in error.what
    assert [reason.text for reason in error.because] == [stderr]
