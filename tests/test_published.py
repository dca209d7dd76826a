"""What an index publishes: pages in both formats, and what follows from tags and metadata."""

from __future__ import annotations

import json
from typing import Any

import pytest
from packaging.version import Version

from envctl.upstream.pages import from_entries, parse_page
from envctl.upstream.published import Malformed, Published, derived, parse_metadata, python_range, requirements

PAGE = "https://index.example/simple/engine/"
ONE = "engine-1.0-cp311-cp311-manylinux_2_28_x86_64.whl"
DIGEST = "a" * 64


def release(*names: str, requires_python: str = "") -> Published:
    """Engine 1.0 with these files."""
    entries = [{"filename": name, "url": name, "requires-python": requires_python} for name in names]
    return from_entries("engine", "pypi", PAGE, entries)


def tags(*tagged: str, requires_python: str = "", needs: tuple[str, ...] = ()) -> dict[str, tuple[str, ...]]:
    """What follows from wheels of these tags."""
    names = [f"engine-1.0-{tag}.whl" for tag in tagged]
    return derived(release(*names, requires_python=requires_python).releases[Version("1.0")], [needs])


# --- pages


def as_json(**changes: Any) -> str:
    """A PEP 691 document with one wheel and one source archive, changed as the test says."""
    wheel = {"filename": ONE, "url": f"../../{ONE}", "hashes": {"sha256": DIGEST}, "requires-python": ">=3.9"}
    wheel |= {"yanked": "broken", "core-metadata": {"sha256": DIGEST}}
    files = [wheel, {"filename": "engine-1.0.tar.gz", "url": "engine-1.0.tar.gz", "hashes": {}}]
    return json.dumps({"meta": {"api-version": "1.3"}, "name": "Engine", "files": files} | changes)


AS_HTML = f"""<!DOCTYPE html><html><head><meta name="pypi:repository-version" content="1.1"></head><body>
<a href="../../{ONE}#sha256={DIGEST}" data-requires-python="&gt;=3.9" data-yanked="broken"
   data-core-metadata="sha256={DIGEST}">{ONE}</a>
<a href="engine-1.0.tar.gz">engine-1.0.tar.gz</a></body></html>"""


@pytest.mark.parametrize(
    ("kind", "body"), [("application/vnd.pypi.simple.v1+json", as_json()), ("text/html", AS_HTML)], ids=["json", "html"]
)
def test_both_formats_say_the_same(kind: str, body: str) -> None:
    wheel, archive = parse_page("engine", "pypi", PAGE, kind, body).releases[Version("1.0")]
    assert (wheel.name, wheel.url) == (ONE, f"https://index.example/{ONE}")
    assert (wheel.requires_python, wheel.yanked, wheel.sha256, wheel.metadata) == (">=3.9", True, DIGEST, DIGEST)
    assert (archive.tags, archive.yanked, archive.metadata) == (frozenset(), False, None)


MALFORMED = {
    "no JSON": ("json", "<html>"),
    "no files": ("json", as_json(files=None)),
    "files that are none": ("json", as_json(files=["engine-1.0.tar.gz"])),
    "another project": ("json", as_json(name="other")),
    "a version of the API that nobody knows": ("json", as_json(meta={"api-version": "2.0"})),
    "the same in HTML": ("text/html", AS_HTML.replace('"1.1"', '"2.0"')),
    "no HTML": ("text/html", "upstream timed out"),
    "files of another name only": ("text/html", '<a href="other-1.0.tar.gz">other-1.0.tar.gz</a>'),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_what_cannot_be_read_is_no_answer(what: str) -> None:
    kind, body = MALFORMED[what]
    with pytest.raises(Malformed):
        parse_page("engine", "pypi", PAGE, kind, body)


def test_a_page_of_the_network_names_no_file_of_this_machine() -> None:
    entries = [{"filename": ONE, "url": f"file:///etc/{ONE}"}, {"filename": "engine-2.0.tar.gz", "url": "x"}]
    assert list(from_entries("engine", "pypi", PAGE, entries).releases) == [Version("2.0")]


def test_a_hash_that_is_none_becomes_no_file_name() -> None:
    entries = [{"filename": ONE, "url": ONE, "core-metadata": {"sha256": "../../secret"}, "hashes": {"sha256": "x/y"}}]
    (file,) = from_entries("engine", "pypi", PAGE, entries).releases[Version("1.0")]
    assert (file.sha256, file.metadata) == ("", "")


def test_pre_releases_and_yanked_ones_are_not_final() -> None:
    names = [f"engine-{version}-py3-none-any.whl" for version in ("1.0", "1.1rc1", "1.2.dev3", "1.3", "1.0.post1")]
    entries = [{"filename": name, "url": name, "yanked": "1.3" in name} for name in names]
    finals = from_entries("engine", "pypi", PAGE, entries).finals()
    assert [str(version) for version in finals] == ["1.0.post1", "1.0"]


# --- tags and metadata

LINUX = "manylinux_2_28_x86_64"


@pytest.mark.parametrize(
    ("tagged", "requires_python", "expected"),
    [
        ([f"cp310-cp310-{LINUX}", f"cp311-cp311-{LINUX}"], "", [">=3.10,<3.12"]),
        ([f"cp39-cp39-{LINUX}", f"cp311-cp311-{LINUX}"], "", [">=3.9,<3.10", ">=3.11,<3.12"]),
        ([f"cp37-cp37m-{LINUX}", f"cp38-cp38-{LINUX}"], "", [">=3.7,<3.9"]),
        ([f"cp310-abi3-{LINUX}"], "", [">=3.10"]),
        ([f"cp310-abi3-{LINUX}"], ">=3.11,<3.14", [">=3.11,<3.14"]),
        (["py3-none-any"], ">=3.9", [">=3.9"]),
        (["py3-none-any"], ">=3.7.1", [">=3.7"]),
        (["py2.py3-none-any"], "", [">=3"]),
        (["py36-none-any"], "", [">=3.6"]),
        ([f"cp313-cp313t-{LINUX}", f"cp312-cp312-{LINUX}"], "", [">=3.12,<3.13"]),
        (["cp311-cp311-win_amd64", f"cp310-cp310-{LINUX}"], "", [">=3.10,<3.11"]),
        (["cp311-cp311-musllinux_1_2_x86_64", "cp311-cp311-manylinux_2_28_aarch64"], "", None),
        (["py3-none-any"], "no specifier", [">=3"]),
    ],
)
def test_pythons_of_a_release(tagged: list[str], requires_python: str, expected: list[str] | None) -> None:
    found = tags(*tagged, requires_python=requires_python).get("python")
    assert (list(found) if found else None) == expected


@pytest.mark.parametrize(
    ("tagged", "expected"),
    [
        (["cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64"], ">=2.17"),
        (["cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64"], ">=2.27"),
        (["cp310-cp310-manylinux2010_x86_64", "cp311-cp311-manylinux_2_28_x86_64"], ">=2.28"),
        (["cp311-cp311-manylinux2010_x86_64", "cp311-cp311-manylinux_2_28_x86_64"], ">=2.12"),
        (["cp27-cp27mu-manylinux1_x86_64", "cp38-cp38-manylinux1_x86_64"], ">=2.5"),
        (["cp310-abi3-manylinux2014_x86_64", "py3-none-any"], None),
        (["cp311-cp311-linux_x86_64"], None),
        (["cp311-cp311-manylinux_2_35_aarch64"], None),
    ],
)
def test_the_oldest_glibc_of_a_release(tagged: list[str], expected: str | None) -> None:
    assert tags(*tagged).get("glibc") == ((expected,) if expected else None)


def test_requirements_on_linux_whatever_the_python() -> None:
    needs = (
        "numpy<2,>=1.23.5; python_version < '3.12'",
        "numpy>=1.26; python_version >= '3.12'",
        "Flat_Buffers>=2",
        "protobuf",
        "colorama>=1; sys_platform == 'win32'",
        "dataclasses>=0.8; python_version < '3.11'",
        "onnx>=1; extra == 'onnx'",
        "elsewhere @ https://example.org/elsewhere.whl",
        "not a requirement",
    )
    found = requirements(needs, {10, 11, 12})
    assert found == {"numpy": [">=1.23.5,<2", ">=1.26"], "flat-buffers": [">=2"], "protobuf": [""]}
    assert tags("cp311-cp311-manylinux1_x86_64", needs=needs)["protobuf"] == (">=0",)


def test_python_ranges_have_an_upper_end_only_where_there_is_one() -> None:
    assert python_range({9, 10, 12}) == [">=3.9,<3.11", ">=3.12,<3.13"]


def test_metadata_without_its_first_header_is_none() -> None:
    assert parse_metadata("Metadata-Version: 2.1\nRequires-Dist: numpy\n\nRequires-Dist: prose") == ("numpy",)
    with pytest.raises(Malformed):
        parse_metadata("<html>not here</html>")
