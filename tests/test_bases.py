"""Bases: from registries, layouts, and Debian's packages; what stands in them; the same bytes each time."""

from __future__ import annotations

import random
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from envctl.errors import BadInput, HostLacks, JobFailed
from envctl.oci.base_sources import from_registry, mirror, open_base
from envctl.oci.bases import point_to, store, stored_base, stored_bases
from envctl.oci.cleaned import write_cleaned
from envctl.oci.content import Image
from envctl.oci.debian import is_removed
from envctl.oci.push import push
from envctl.oci.reference import parse
from envctl.oci.survey import Survey, survey
from envctl.oci.transport import Patience
from envctl.oci.written import write_layout
from tests.conftest import run_envctl
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
