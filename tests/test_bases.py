"""Bases: from registries, layouts, and Debian's packages; what stands in them; the same bytes each time."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest

from envctl.errors import BadInput, HostLacks, JobFailed
from envctl.oci.base_image import BaseImage
from envctl.oci.base_sources import from_registry, mirror, open_base
from envctl.oci.bases import newest, point_to, store, stored_base, stored_bases
from envctl.oci.cleaned import write_cleaned
from envctl.oci.content import Image
from envctl.oci.debian import is_removed
from envctl.oci.push import push
from envctl.oci.reference import parse
from envctl.oci.survey import Survey, survey
from envctl.oci.transport import Patience
from envctl.oci.written import write_layout
from tests.conftest import Ran, run_envctl
from tests.faulty_proxy import Fault, faulty
from tests.images import entry, image, layer, noise, quiet, tar, tar_of
from tests.registry_server import Server, registry

MIB = 1 << 20
STATUS = b"""Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1
"""


def link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.SYMTYPE, linkname=target), b""


def with_python(version: str = "3.11.2") -> Image:
    """A base with a CPython that is reached over three links, as Debian has it, and a package."""
    named = f"python{version.rpartition('.')[0]}"
    program = b"\x7fELF" + noise(2 * MIB) + b"\0" + version.encode() + b"\0"
    files = tar(
        link("bin", "usr/bin"),
        link("usr/bin/python3", "/etc/alternatives/python"),
        link("etc/alternatives/python", f"../../bin/{named}"),
        (entry(f"./usr/bin/{named}"), program),
        (entry("var/lib/dpkg/status"), STATUS),
    )
    return image(layer(files), layer(tar_of({"b": b"2"}), packed=False), Env=["PATH=/bin"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("ENVCTL_CACHE", str(tmp_path / "empty"))
    return tmp_path / "empty"


def test_a_tag_becomes_a_digest_and_the_digest_needs_no_network(server: Server, empty: Path) -> None:
    made, said = with_python(), list[str]()
    push(parse(f"{server.host}/base/py:1"), made, quiet)
    base = from_registry(parse(f"{server.host}/base/py:1"), said.append)
    assert f"{server.host}/base/py:1 is {made.digest}" in said
    assert (base.digest, base.python, [each.name for each in base.packages]) == (made.digest, "3.11.2", ["libc6"])
    assert [each.tar_size for each in base.layers] == [each.tar_size for each in made.layers]
    assert {each.origin for each in base.layers} == {f"{server.host}/base/py"}
    # the digest is the identity: another repository's name, of a registry that is not there, will do
    again = from_registry(parse(f"127.0.0.1:1/copy@{made.digest}"), quiet)
    assert again.digest == base.digest and again.interpreter == base.interpreter and empty.is_dir()
    assert b"".join(again.layers[0].chunks()) == b"".join(made.layers[0].chunks())


def test_a_fetch_that_failed_half_way_goes_on_and_is_not_a_base_before(server: Server, empty: Path) -> None:
    made = image(layer(tar_of({"a": noise(6 * MIB)}), packed=False))
    push(parse(f"{server.host}/base/big:1"), made, quiet)
    with faulty(server.host) as proxy:
        seen: list[str] = []

        def plan(_: str, path: str, __: int) -> Fault | None:
            if not path.endswith(made.layers[0].blob.digest):
                return None
            seen.append(path)
            return Fault(cut_response=2 * MIB) if len(seen) == 1 else Fault(status=503)

        proxy.plan = plan
        ref = parse(f"{proxy.host}/base/big@{made.digest}")
        with pytest.raises(HostLacks, match="does not work"):
            from_registry(ref, quiet, patience=Patience(attempts=2, sleep=lambda _: None))
        assert stored_bases() == [] and stored_base(made.digest) is None
        proxy.plan, before = (lambda method, path, count: None), len(proxy.seen)
        assert from_registry(ref, quiet).digest == made.digest
        assert "bytes=" in "".join(each.headers.get("Range", "") for each in proxy.seen[before:])
    assert [digest for digest, _ in stored_bases()] == [made.digest]
    assert not list(store().glob(".partial-*")) and empty.is_dir()


def test_an_image_whose_layer_is_not_its_diff_id_is_no_base(server: Server, empty: Path) -> None:
    good, other = layer(tar_of({"a": b"1"})), layer(tar_of({"a": b"2"}))
    lying = Image(config=image(other).config, layers=(good,))
    push(parse(f"{server.host}/base/lying:1"), lying, quiet)
    with pytest.raises(JobFailed, match="not the one that its image names"):
        from_registry(parse(f"{server.host}/base/lying:1"), quiet)
    assert stored_bases() == [] and empty.is_dir()


def test_a_layout_is_a_base_where_it_lies(tmp_path: Path, empty: Path) -> None:
    made = with_python("3.9.2")
    write_layout(made, tmp_path / "layout", ["x"], quiet)
    base = open_base(f"oci:{tmp_path / 'layout'}", [], quiet)
    assert (base.digest, base.python) == (made.digest, "3.9.2") and empty.is_dir()
    assert open_base(f"oci:{tmp_path / 'layout'}@{made.digest}", [], quiet) == base or base.layers
    with pytest.raises(BadInput, match="0 images that could be meant"):
        open_base(f"oci:{tmp_path / 'layout'}@sha256:{64 * '0'}", [], quiet)


def pythons(found: Survey) -> list[str]:
    return [each.version for each in found.interpreters]


def test_what_upper_layers_take_away_is_gone() -> None:
    first, config = with_python().layers[0], {"config": {}}
    assert pythons(survey((first,), config)) == ["3.11.2"]
    for hidden in ("usr/bin/.wh.python3.11", "usr/bin/.wh..wh..opq", "usr/.wh.bin"):
        assert pythons(survey((first, layer(tar((entry(hidden), b"")))), config)) == []
    newer = layer(tar((entry("usr/bin/python3.11"), b"\0" + b"3.11.9+\0")))
    assert pythons(survey((first, newer), config)) == ["3.11.9"]


def test_a_stub_has_the_version_of_its_library() -> None:
    """CPython built with --enable-shared: the program is a stub, the compiler is in the library."""
    files = {"usr/local/bin/python3.12": b"\x7fELF stub", "usr/local/lib/libpython3.so": b"", "x": b"\0003.8.8\0"}
    library = {"usr/local/lib/libpython3.12.so.1.0": b"\0003.12.7\0"}
    alias = tar(link("usr/local/bin/python3", "python3.12"))
    found = survey((layer(alias), layer(tar_of(files)), layer(tar_of(library))), {})
    assert [(each.version, each.home) for each in found.interpreters] == [("3.12.7", "/usr/local/bin")]


def test_a_mirrored_base_keeps_its_digest(server: Server, tmp_path: Path, empty: Path) -> None:
    made = with_python()
    write_layout(made, tmp_path / "layout", ["x"], quiet)
    first = mirror(f"oci:{tmp_path / 'layout'}", [], parse(f"{server.host}/mirror/a:1"), quiet)
    second = mirror(str(first.ref), [], parse(f"{server.host}/mirror/b:1"), quiet)
    assert first.digest == second.digest == made.digest and second.blobs == {"mounted": 3}
    assert not empty.exists(), "a copy passes through, nothing is kept"
    ran = run_envctl("base", "mirror", str(first.ref), f"{server.host}/mirror/c:1", "--json")
    assert ran.json["digest"] == made.digest


def test_bases_are_listed(tmp_path: Path, server: Server, empty: Path) -> None:
    assert "no bases yet" in run_envctl("base", "ls", ENVCTL_CACHE=str(empty)).out
    made = with_python()
    push(parse(f"{server.host}/ls:1"), made, quiet)
    from_registry(parse(f"{server.host}/ls:1"), quiet)
    point_to("debian:bookworm", made.digest)
    rows = run_envctl("base", "ls", "--json", ENVCTL_CACHE=str(empty)).json["bases"]
    assert [(row["digest"], row["python"], row["packages"]) for row in rows] == [(made.digest, "3.11.2", 1)]
    assert made.digest in run_envctl("base", "ls", ENVCTL_CACHE=str(empty), cwd=tmp_path).out
    assert open_base("debian:bookworm", ["debian:bookworm"], quiet).digest == made.digest
    assert open_base(made.digest, [], quiet).digest == made.digest


def test_bases_that_are_not_there_are_named(empty: Path) -> None:
    ran = run_envctl("base", "mirror", "debian:trixie", "127.0.0.1:1/x", ENVCTL_CACHE=str(empty))
    assert ran.code == 4 and "envctl base debian:trixie" in ran.err
    unknown = run_envctl("base", "debian:potato")
    assert unknown.code == 2 and "debian:bookworm" in unknown.err
    with pytest.raises(BadInput, match="no base of that digest"):
        open_base("sha256:" + 64 * "0", [], quiet)


def cleaned(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    path.write_bytes(tar(*members))
    target = BytesIO()
    write_cleaned(path, target, is_removed)
    return target.getvalue()


def test_a_cleaned_tar_depends_on_its_files_alone(tmp_path: Path) -> None:
    """Other order, times, names of users, and another one of a file's names first: the same bytes."""

    def members(seed: int) -> list[tuple[tarfile.TarInfo, bytes]]:
        chance = random.Random(seed)
        names = ["usr/b", "usr/a", "usr/c"]
        chance.shuffle(names)
        some = {"mtime": chance.random() * 1e9, "uname": f"u{seed}", "uid": 7, "mode": 0o640}
        linked = [
            (entry(f"./{names[0]}", **some), b"linked"),
            *((entry(f"./{name}", type=tarfile.LNKTYPE, linkname=f"./{names[0]}", **some), b"") for name in names[1:]),
        ]
        others = [
            (entry(f"./etc/{'x' * 120}é", **some), b"long"),
            (entry("./dev/console", type=tarfile.CHRTYPE, **some), b""),
            (entry("./etc/hostname", **some), str(seed).encode()),
            (entry("./etc/resolv.conf", **some), str(seed).encode()),
            (entry("./var/log/dpkg.log", **some), str(seed).encode()),
            (entry("./etc/apt/sources.list", **some), str(seed).encode()),
            (entry("./bin/ping", pax_headers={"SCHILY.xattr.security.capability": "x"}, **some), b"ping"),
        ]
        chance.shuffle(others)
        return [*linked, *others]

    first = cleaned(tmp_path / "1.tar", members(1))
    assert all(cleaned(tmp_path / f"{seed}.tar", members(seed)) == first for seed in range(2, 9))
    with tarfile.open(fileobj=BytesIO(first)) as archive:
        found = {member.name: member for member in archive}
        content = archive.extractfile("usr/c")
        assert content and content.read() == b"linked"
    assert list(found) == ["bin/ping", f"etc/{'x' * 120}é", "usr/a", "usr/b", "usr/c"]
    assert found["usr/a"].isreg() and found["usr/b"].linkname == found["usr/c"].linkname == "usr/a"
    assert found["bin/ping"].pax_headers["SCHILY.xattr.security.capability"] == "x"
    assert {(member.mtime, member.uid, member.uname, member.mode) for member in found.values()} == {(0, 7, "", 0o640)}


def make(suite: str, cache: Path, **variables: str) -> Ran:
    return run_envctl("base", f"debian:{suite}", "--python", "--json", ENVCTL_CACHE=str(cache), **variables)


def check_tree(base: BaseImage) -> None:
    """What a base must be: without traces of this host, and with bytecode that its interpreter takes."""
    bytecode = 0
    with tarfile.open(fileobj=_Reader(base.layers[0].tar()), mode="r|") as archive:  # type: ignore[call-overload]
        names = []
        for member in archive:
            names.append(member.name)
            assert member.mtime == 0 and not member.isdev() and not is_removed(member.name), member.name
            if member.name.endswith(".pyc"):
                content = archive.extractfile(member)
                # PEP 552: by hash, and not compared with the source
                assert content and content.read(8)[4] == 1, f"{member.name} could be compiled again at each import"
                bytecode += 1
    assert bytecode > 100 and names == sorted(names)
    assert {"libc6", "libstdc++6"} <= {package.name for package in base.packages}


class _Reader:
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.chunks, self.rest = chunks, b""

    def read(self, size: int) -> bytes:
        while len(self.rest) < size and (chunk := next(self.chunks, b"")):
            self.rest += chunk
        data, self.rest = self.rest[:size], self.rest[size:]
        return data


@pytest.mark.docker
def test_the_base_made_here_has_no_trace_of_this_host(docker_base: str) -> None:
    if not newest("debian:bookworm"):
        assert run_envctl("base", "debian:bookworm").code == 0
    base = stored_base(newest("debian:bookworm"))
    assert base and base.python.startswith("3.11.") and docker_base
    check_tree(base)


@pytest.mark.slow
@pytest.mark.parametrize("suite", ["bullseye", "bookworm", "trixie"])
def test_two_makings_are_the_same_bits(suite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other time zone, locale, hash seed, umask; no daemon has a part in it."""
    nowhere = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
    first = make(suite, tmp_path / "1", **nowhere)
    assert first.code == 0 and first.json["id"] is None and "no Docker daemon" in first.err, first.err
    mask = os.umask(0o077)
    try:
        second = make(suite, tmp_path / "2", TZ="Asia/Tokyo", LC_ALL="C", PYTHONHASHSEED="7", GZIP="-9", **nowhere)
    finally:
        os.umask(mask)
    assert first.json == second.json
    monkeypatch.setenv("ENVCTL_CACHE", str(tmp_path / "2"))
    base = stored_base(first.json["digest"])
    assert base and [each.diff_id for each in base.layers] == first.json["diff_ids"]
    check_tree(base)


class Making:
    """`envctl base` that has come as far as running programs inside its tree, with what the host has mounted."""

    def __init__(self, folder: Path) -> None:
        self.cache, self.temporary = folder / "cache", folder / "tmp"
        self.temporary.mkdir(mode=0o1777)
        variables = {**os.environ, "ENVCTL_CACHE": str(self.cache), "TMPDIR": str(self.temporary)}
        command = [sys.executable, "-m", "envctl", "base", "debian:trixie"]
        self.process = subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, stdout=subprocess.PIPE)

    def mmdebstraps(self) -> list[int]:
        """The processes of mmdebstrap and of what it runs, outermost first."""
        command = ["ps", "-o", "pid=", "--sid", str(self._session())]
        return sorted(int(pid) for pid in subprocess.run(command, capture_output=True, check=True).stdout.split())

    def _session(self) -> int:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return next(int(child) for child in children if os.getsid(int(child)) == int(child))

    def trees(self) -> list[Path]:
        return [path for path in self.temporary.glob("*/mmdebstrap.*") if (path / "usr").is_dir()]

    def mounts_inside(self) -> bool:
        """Whether mmdebstrap sees mounts below its folder: what could be left behind is there."""
        with suppress(OSError, StopIteration, subprocess.CalledProcessError):
            return any(str(self.temporary) in _mounts(str(pid)) for pid in self.mmdebstraps())
        return False

    def mounted(self) -> list[str]:
        """What this host has mounted below its folder."""
        return [line for line in _mounts("self").splitlines() if str(self.temporary) in line]


def _mounts(pid: str) -> str:
    return Path(f"/proc/{pid}/mounts").read_text()


@pytest.fixture
def making(tmp_path: Path, until: Callable[[Callable[[], bool]], None]) -> Iterator[Making]:
    found = Making(tmp_path)
    until(found.mounts_inside)
    yield found
    found.process.kill()
    found.process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_making_that_is_stopped_leaves_nothing(number: signal.Signals, making: Making) -> None:
    assert making.mounted() == []
    making.process.send_signal(number)
    assert making.process.wait(timeout=120) == 130
    assert making.mounted() == [] and list(making.temporary.iterdir()) == []
    left = [path.name for path in making.cache.rglob("*") if path.is_file()]
    assert [name for name in left if not name.startswith(".lock-")] == []


@pytest.mark.slow
def test_a_making_whose_mmdebstrap_is_killed_leaves_nothing(making: Making) -> None:
    """The mounts end with the namespace; removing the folder did not walk into the host's /sys, /proc or /dev."""
    os.kill(making.mmdebstraps()[0], signal.SIGKILL)
    assert making.process.wait(timeout=120) == 4
    assert making.mounted() == [] and list(making.temporary.iterdir()) == []
    assert Path("/dev/null").is_char_device() and Path("/dev/pts/ptmx").exists() and Path("/sys/kernel").is_dir()


@pytest.mark.slow
def test_a_making_that_is_killed_leaves_no_mounts(making: Making, until: Callable[[Callable[[], bool]], None]) -> None:
    """SIGKILL of envctl and of all that it started: what lies there are plain files, which are safe to remove."""
    started = making.mmdebstraps()
    making.process.kill()
    os.killpg(started[0], signal.SIGKILL)
    until(lambda: not any(_runs(pid) for pid in started))
    assert making.mounted() == [] and len(making.trees()) == 1
    (tree,) = making.trees()
    assert {path.stat().st_dev for path in tree.iterdir()} == {making.temporary.stat().st_dev}
    assert list((tree / "sys").iterdir()) == [] and list((tree / "proc").iterdir()) == []


def _runs(pid: int) -> bool:
    with suppress(OSError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """Wait for something, a minute at most."""

    def wait(happened: Callable[[], bool]) -> None:
        for _ in range(600):
            if happened():
                return
            time.sleep(0.1)
        raise AssertionError("it did not happen in a minute")

    return wait


@pytest.mark.slow
def test_a_mirror_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    ran = run_envctl(
        "base", "debian:trixie", "--mirror", "http://127.0.0.1:1/debian", "--json", ENVCTL_CACHE=str(tmp_path)
    )
    assert ran.code == 4
    error = json.loads(ran.out)["error"]
    assert error["what"] == "could not make debian:trixie" and any("--mirror" in step for step in error["do"])
    assert not list(store().glob(".partial-*/index.json"))
