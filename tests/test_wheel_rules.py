"""What a wheel puts into an environment, and what no wheel may do."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from envctl.errors import BadInput
from envctl.oci.entry import Entry, together
from envctl.oci.install import check_is, installed, skeleton, sources
from envctl.oci.recipe import Place
from envctl.oci.stream import measure
from envctl.oci.wheel import read_wheel
from tests import odd_wheels
from tests.odd_wheels import DEVICE, LINK, File

PLACE = Place(prefix="/opt/env", python="3.11")
SITE = "lib/python3.11/site-packages"
SCRIPTS = "[console_scripts]\nodd = odd.cli:main.run [extra]\n[gui_scripts]\nodd-gui=odd:gui\n"


def entries(path: Path) -> dict[str, Entry]:
    """What the wheel puts into the environment, by path."""
    return {entry.path: entry for entry in installed(read_wheel(path, path.name), PLACE, [])}


def refused(path: Path) -> str:
    """Why the wheel is refused, wherever that is seen: when it is opened, planned, or read."""
    with pytest.raises(BadInput) as caught:
        measure(list(entries(path).values()), "opt/env")
    return f"{caught.value.what} {' '.join(reason.text for reason in caught.value.because)}"


# ---- where things go


def test_every_kind_of_file_has_its_place(tmp_path: Path) -> None:
    data = "odd-1.0.data"
    members = {
        "odd/__init__.py": "x = 1\n",
        "odd/tool": File("#!/bin/sh\n", mode=0o100775),
        f"{data}/purelib/pure.py": "",
        f"{data}/platlib/plat.so": "",
        f"{data}/scripts/run": "#!python\nprint(1)\n",
        f"{data}/scripts/shell": "#!/bin/sh\n",
        f"{data}/headers/odd.h": "",
        f"{data}/data/share/odd/a.txt": "",
        "odd-1.0.dist-info/entry_points.txt": SCRIPTS,
    }
    found = entries(odd_wheels.write(tmp_path / "odd.whl", members))
    modes = {path: entry.mode for path, entry in found.items() if "dist-info" not in path}
    assert modes == {
        f"{SITE}/odd/__init__.py": 0o644,
        f"{SITE}/odd/tool": 0o755,
        f"{SITE}/pure.py": 0o644,
        f"{SITE}/plat.so": 0o644,
        "bin/run": 0o755,
        "bin/shell": 0o755,
        "bin/odd": 0o755,
        "bin/odd-gui": 0o755,
        "include/site/python3.11/odd/odd.h": 0o644,
        "share/odd/a.txt": 0o644,
    }
    assert found["bin/run"].data == b"#!/opt/env/bin/python\nprint(1)\n"
    script = found["bin/odd"].data
    assert isinstance(script, bytes)
    assert b"from odd.cli import main\n" in script and b"sys.exit(main.run())" in script
    info = {path.rpartition("/")[2] for path in found if "dist-info" in path}
    assert info == {"METADATA", "WHEEL", "entry_points.txt", "INSTALLER", "RECORD"}


def test_record_lists_what_is_there_with_the_hashes_it_has_now(tmp_path: Path) -> None:
    members = {"odd.py": "x = 1\n", "odd-1.0.data/scripts/run": "#!python\n", "odd-1.0.dist-info/REQUESTED": ""}
    found = entries(odd_wheels.write(tmp_path / "odd.whl", members))
    record = found[f"{SITE}/odd-1.0.dist-info/RECORD"].data
    assert isinstance(record, bytes)
    rows = [line.split(",") for line in record.decode().splitlines()]
    assert rows == sorted(rows)
    assert {row[0] for row in rows} == {
        "../../../bin/run", "odd.py", "odd-1.0.dist-info/METADATA", "odd-1.0.dist-info/WHEEL",
        "odd-1.0.dist-info/INSTALLER", "odd-1.0.dist-info/RECORD",
    }  # fmt: skip
    sizes = {row[0]: row[2] for row in rows}
    assert (sizes["../../../bin/run"], sizes["odd.py"]) == (str(len("#!/opt/env/bin/python\n")), "6")


def test_modules_to_compile_are_those_of_site_packages(tmp_path: Path) -> None:
    members = {
        "odd/b.py": "",
        "odd/a.py": "",
        "odd/a.pyi": "",
        "odd-1.0.data/scripts/run.py": "",
        "odd-1.0.data/data/x.py": "",
    }
    wheel = read_wheel(odd_wheels.write(tmp_path / "odd.whl", members), "odd.whl")
    assert list(sources(wheel, PLACE).values()) == [f"{SITE}/odd/a.py", f"{SITE}/odd/b.py"]


def test_wheel_of_another_distribution_is_refused(tmp_path: Path) -> None:
    wheel = read_wheel(odd_wheels.write(tmp_path / "odd.whl", {}, name="odd_one"), "odd.whl")
    check_is(wheel, "odd-one", "1.0")
    for name, version in (("even", "1.0"), ("odd-one", "1.1")):
        with pytest.raises(BadInput, match="not a wheel that can be installed"):
            check_is(wheel, name, version)


# ---- what no wheel may do


@pytest.mark.parametrize(
    ("member", "words"),
    [
        ("/etc/passwd", "not a path inside"),
        ("../../outside.py", "not a path inside"),
        ("odd/../../../outside.py", "not a path inside"),
        ("odd//x.py", "not a path inside"),
        ("odd\\x.py", "not a path inside"),
        ("odd-1.0.data/elsewhere/x", "environments do not have"),
        ("odd-1.0.data/scripts/../../x", "not a path inside"),
        ("even-1.0.dist-info/METADATA", "2 .dist-info folders"),
    ],
)
def test_paths_that_lead_elsewhere(tmp_path: Path, member: str, words: str) -> None:
    assert words in refused(odd_wheels.write(tmp_path / "odd.whl", {member: "x"}))


@pytest.mark.parametrize("mode", [LINK, DEVICE])
def test_links_and_devices(tmp_path: Path, mode: int) -> None:
    assert "link or a device" in refused(
        odd_wheels.write(tmp_path / "odd.whl", {"odd/x": File("/etc/passwd", mode=mode)})
    )


def test_a_file_that_is_not_what_record_says(tmp_path: Path) -> None:
    other = "odd/x.py,sha256=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA,1\n"
    assert "not what its RECORD lists" in refused(
        odd_wheels.write(tmp_path / "a.whl", {"odd/x.py": File("x", record=other)})
    )
    assert "no hash for odd/x.py" in refused(odd_wheels.write(tmp_path / "b.whl", {"odd/x.py": File("x", record="")}))
    weak = "odd/x.py,md5=1B2M2Y8AsgTpgAmY7PhCfg,0\n"
    assert "no hash for odd/x.py" in refused(odd_wheels.write(tmp_path / "c.whl", {"odd/x.py": File("", record=weak)}))


def test_a_file_twice(tmp_path: Path) -> None:
    path = odd_wheels.write(tmp_path / "odd.whl", {"odd/x.py": "one"})
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("odd/x.py", "other")
    assert "twice" in refused(path)


def test_a_bomb_is_refused_before_anything_is_inflated(tmp_path: Path) -> None:
    path = tmp_path / "bomb.whl"
    odd_wheels.write(path, {"odd/zeros": "\0" * (101 << 20)})
    assert path.stat().st_size < 1 << 20
    with pytest.raises(BadInput) as caught:
        read_wheel(path, path.name)
    assert "zip bomb" in caught.value.because[0].text


def test_members_that_share_their_bytes(tmp_path: Path) -> None:
    """As in the bombs of overlapping files: the directory leads to one place twice."""
    path = odd_wheels.write(tmp_path / "odd.whl", {"odd/a": "a" * 1000, "odd/b": "a" * 1000}, deflate=False)
    data = bytearray(path.read_bytes())
    places = [data.find(b"PK\x01\x02")]
    while (found := data.find(b"PK\x01\x02", places[-1] + 1)) > 0:
        places.append(found)
    offsets = {bytes(data[at + 46 : at + 51]): at + 42 for at in places}
    one, other = offsets[b"odd/a"], offsets[b"odd/b"]
    data[other : other + 4] = data[one : one + 4]
    path.write_bytes(bytes(data))
    assert "overlaps" in refused(path)


@pytest.mark.parametrize("keep", [0.3, 0.7, 0.99])
def test_a_wheel_that_was_cut_off(tmp_path: Path, keep: float) -> None:
    path = odd_wheels.write(tmp_path / "odd.whl", {"odd/x.py": "x = 1\n" * 5000})
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    assert "cannot be read" in refused(path)


@pytest.mark.parametrize("deflate", [True, False])
def test_a_member_whose_bytes_were_changed(tmp_path: Path, deflate: bool) -> None:
    path = odd_wheels.write(tmp_path / "odd.whl", {"odd/x.py": "x = 1\n" * 50}, deflate=deflate)
    wheel = read_wheel(path, "odd.whl")
    data = bytearray(path.read_bytes())
    data[wheel.members["odd/x.py"].data.offset + 8] ^= 0x55
    path.write_bytes(bytes(data))
    assert "damaged" in refused(path) or "not those" in refused(path)


def test_entry_points_that_cannot_be_scripts(tmp_path: Path) -> None:
    for line in ("odd = odd.cli", "../odd = odd:main", "odd = odd:main; import os"):
        members = {"odd-1.0.dist-info/entry_points.txt": f"[console_scripts]\n{line}\n"}
        assert "entry point" in refused(odd_wheels.write(tmp_path / "odd.whl", members))


# ---- wheels that meet


def both(tmp_path: Path, one: str | File, other: str | File, path: str = "tests/__init__.py") -> list[list[Entry]]:
    """The entries of two wheels that bring the same path."""
    wheels = [
        odd_wheels.write(tmp_path / f"{name}.whl", {path: text}, name=name) for name, text in (("a", one), ("b", other))
    ]
    return [list(entries(wheel).values()) for wheel in wheels]


def test_two_wheels_with_one_file_may_stand_together_when_it_is_the_same(tmp_path: Path) -> None:
    merged = together(both(tmp_path, "same", "same"))
    assert [entry.path for entry in merged].count(f"{SITE}/tests/__init__.py") == 1


@pytest.mark.parametrize("other", ["different", File("same", mode=0o100755)])
def test_and_may_not_when_it_is_not(tmp_path: Path, other: str | File) -> None:
    with pytest.raises(BadInput, match=r"two packages claim .*tests/__init__\.py") as caught:
        together(both(tmp_path, "same", other))
    assert [reason.source for reason in caught.value.because] == ["a.whl", "b.whl"]


def test_a_file_where_another_wheel_has_a_folder(tmp_path: Path) -> None:
    wheels = [
        odd_wheels.write(tmp_path / "a.whl", {"x": "file"}, name="a"),
        odd_wheels.write(tmp_path / "b.whl", {"x/y": ""}, name="b"),
    ]
    with pytest.raises(BadInput, match="two packages claim"):
        together([list(entries(wheel).values()) for wheel in wheels])


@pytest.mark.parametrize("path", ["a-1.0.data/scripts/python", "a-1.0.data/data/pyvenv.cfg"])
def test_a_wheel_may_not_replace_the_interpreter(tmp_path: Path, path: str) -> None:
    wheel = odd_wheels.write(tmp_path / "a.whl", {path: "mine"}, name="a")
    with pytest.raises(BadInput, match="two packages claim"):
        together([list(entries(wheel).values()), skeleton(PLACE, "/usr/bin")])
