"""A layer's bytes: the tar that other programs read, the gzip that is it, and what decides about them."""

from __future__ import annotations

import gzip
import hashlib
import io
import subprocess
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from envctl.oci import RULES, stream
from envctl.oci.entry import Entry, with_folders
from envctl.oci.install import installed, skeleton
from envctl.oci.layer import HEAVY, MOST, groups
from envctl.oci.recipe import Place
from envctl.oci.wheel import read_wheel
from envctl.package import LockedPackage
from envctl.tree import sha256_of
from tests import odd_wheels
from tests.conftest import ROOT
from tests.odd_wheels import File

BELOW = "opt/env"
PLACE = Place(prefix="/opt/env", python="3.11")
LONG = "odd/" + "/".join(["folder" * 5] * 6) + "/file.py"  # 200 bytes: prefix and name
LONGER = "odd/" + "x" * 150 + ".py"  # no prefix can help
FOREIGN = "odd/größe.py"


@pytest.fixture(params=[True, False], ids=["deflated", "stored"])
def entries(tmp_path: Path, request: pytest.FixtureRequest) -> list[Entry]:
    members: dict[str, str | File] = {
        "odd/a.py": "a = 1\n",
        "odd/empty.py": "",
        "odd/tool": File("#!/bin/sh\n", mode=0o100777),
        "odd/large.bin": "".join(chr(33 + n * n % 90) for n in range(1_500_000)),
        LONG: "long",
        LONGER: "longer",
        FOREIGN: "foreign",
    }
    wheel = read_wheel(odd_wheels.write(tmp_path / "odd.whl", members, deflate=request.param), "odd.whl")
    made = [*installed(wheel, PLACE, []), *skeleton(PLACE, "/usr/bin")]
    return [
        Entry(path="", kind="folder", mode=0o755),
        *with_folders(sorted(made, key=lambda entry: entry.path.encode())),
    ]


def joined(blocks: Iterator[bytes]) -> bytes:
    return b"".join(blocks)


def test_the_tar_is_what_the_entries_say(entries: list[Entry]) -> None:
    data = joined(stream.tar_bytes(entries, BELOW))
    assert len(data) == stream.tar_size(entries, BELOW)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = archive.getmembers()
    names = [member.name for member in members]
    assert names == [f"{BELOW}/{entry.path}".rstrip("/") for entry in entries]
    assert names == sorted(names, key=lambda name: name.encode())
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in members} == {(0, 0, 0, "", "")}
    assert {member.mode for member in members if member.isreg()} == {0o644, 0o755}
    site = f"{BELOW}/lib/python3.11/site-packages"
    assert {f"{site}/{name}" for name in (LONG, LONGER, FOREIGN)} <= set(names)
    links = {member.name: member.linkname for member in members if member.issym()}
    assert links[f"{BELOW}/bin/python"] == "/usr/bin/python3.11"


def test_gnu_tar_unpacks_it_without_a_word(entries: list[Entry], tmp_path: Path) -> None:
    (tmp_path / "layer.tar").write_bytes(joined(stream.tar_bytes(entries, BELOW)))
    (tmp_path / "out").mkdir()
    command = ["tar", "-xf", tmp_path / "layer.tar", "-C", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    site = tmp_path / "out" / BELOW / "lib/python3.11/site-packages"
    assert [(site / name).read_text() for name in (LONG, LONGER, FOREIGN)] == ["long", "longer", "foreign"]
    assert (site / "odd/large.bin").stat().st_size == 1_500_000


def test_the_gzip_is_the_tar_and_nothing_compresses_it(entries: list[Entry], monkeypatch: pytest.MonkeyPatch) -> None:
    """No version of zlib can change the blob: none is asked to compress."""

    def compress(*_: object) -> None:
        raise AssertionError("something was compressed")

    for name in ("compress", "compressobj"):
        monkeypatch.setattr(zlib, name, compress)
    packed = joined(stream.gzip_bytes(entries, BELOW))
    assert gzip.decompress(packed) == joined(stream.tar_bytes(entries, BELOW))


def test_gzip_itself_reads_it(entries: list[Entry], tmp_path: Path) -> None:
    (tmp_path / "layer.gz").write_bytes(joined(stream.gzip_bytes(entries, BELOW)))
    done = subprocess.run(["gzip", "-dc", tmp_path / "layer.gz"], capture_output=True, check=True)
    assert done.stdout == joined(stream.tar_bytes(entries, BELOW))


def test_what_is_measured_is_what_comes(entries: list[Entry]) -> None:
    measured = stream.measure(entries, BELOW)
    tar, packed = joined(stream.tar_bytes(entries, BELOW)), joined(stream.gzip_bytes(entries, BELOW))
    assert (measured.tar_size, measured.gzip_size) == (len(tar), len(packed))
    assert measured.diff_id == f"sha256:{hashlib.sha256(tar).hexdigest()}"
    assert measured.gzip_digest == f"sha256:{hashlib.sha256(packed).hexdigest()}"


def test_blocks_are_small(entries: list[Entry]) -> None:
    """Whatever the size of a file is: this is what keeps memory low."""
    for blocks in (stream.tar_bytes(entries, BELOW), stream.gzip_bytes(entries, BELOW)):
        assert max(len(block) for block in blocks) <= (1 << 20) + (1 << 12)


def test_the_bytes_of_the_rules(tmp_path: Path) -> None:
    """Golden: whoever changes these bytes changes every image, and must raise envctl.oci.RULES."""
    wheel = read_wheel(odd_wheels.write(tmp_path / "odd.whl", {"odd/a.py": "a = 1\n"}, deflate=False), "odd.whl")
    made = with_folders([*installed(wheel, PLACE, []), *skeleton(PLACE, "/usr/bin")])
    measured = stream.measure(made, BELOW)
    assert measured.diff_id == "sha256:0ede9c481863b2bb6945380429cb26277e4775512eede71a480fd9c1be489e77"
    assert measured.gzip_digest == "sha256:08cf1002e86e05822d9d6831d40d3132e413929c5cf533d04bd2aeefe41ab050"


def test_the_compiler_of_the_rules() -> None:
    """Golden: bytecode depends on the names that its compiler holds and on all that it imports. Whoever changes more of
    that file than its comments must raise envctl.oci.RULES: two caches would differ, and call a layer damaged."""
    path = ROOT / "envctl" / "worker" / "bytecode.py"
    assert (RULES, sha256_of(path)) == (3, "320b4e37c2226a11446eb41b9e50f81580a8a13388f442a55c80eec677f0de83")


# ---- which wheel goes where


def package(name: str) -> LockedPackage:
    return LockedPackage(name=name, version="1", file=f"{name}-1.whl", sha256=name * 8, index="pypi", size=1)


def test_heavy_wheels_have_a_layer_each_and_the_rest_is_last() -> None:
    packages = tuple(package(name) for name in "abcde")
    sizes = dict(zip([each.sha256 for each in packages], [5, HEAVY, 3 * HEAVY, HEAVY, 7], strict=True))
    found = groups(packages, sizes, ("opt",))
    assert [[each.name for each in group.packages] for group in found] == [["c"], ["b"], ["d"], ["a", "e"]]
    assert [(group.last, group.lacking) for group in found] == [(False, ())] * 3 + [(True, ("opt",))]
    assert groups(packages[::-1], sizes, ("opt",)) == found


def test_layers_stay_far_below_what_docker_allows() -> None:
    packages = tuple(replace(package(f"p{n:03}"), sha256=f"{n:064}") for n in range(200))
    found = groups(packages, {each.sha256: HEAVY + int(each.sha256) for each in packages}, ())
    assert len(found) == MOST
    assert sum(len(group.packages) for group in found) == 200
    assert found[0].packages[0].name == "p199"
