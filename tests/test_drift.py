"""Where a matrix and an index differ: every kind of difference planted, and what is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from envctl.matrix import load
from envctl.upstream.cited import suspicions
from envctl.upstream.drift import Difference, Seen, differences
from envctl.upstream.pages import from_entries
from envctl.upstream.published import MINORS, Published
from envctl.upstream.ranges import relation, relation_of_pythons
from envctl.versions import Condition

LINUX = "cp311-cp311-manylinux_2_28_x86_64"
ROW = """
[[release]]
version = "{version}"
source = "{source}"
checked = 2026-01-01
evidence = "{evidence}"
note = "{note}"
{contradicts}
[release.requires]
{requires}
"""
TAGGED = 'python = [">=3.11,<3.12"]\nglibc = [">=2.28"]\n'
OTHER = 'component = "{name}"\nkind = "package"\n'


def row(
    version: str,
    requires: str = TAGGED,
    *,
    source: str = "",
    evidence: str = "metadata",
    note: str = "",
    contradicts: str = "",
) -> str:
    """A release's table."""
    cited = source or f"pypi:engine=={version}"
    fields = {"version": version, "source": cited, "evidence": evidence, "note": note}
    return ROW.format(**fields, contradicts=contradicts, requires=requires)


def index(*versions: str, needs: tuple[str, ...] = (), tag: str = LINUX, name: str = "engine") -> Published:
    """An index with these versions, all alike; one with a ! behind it was yanked."""
    entries = [
        {"filename": f"{name}-{version.strip('!')}-{tag}.whl", "url": "x", "yanked": version.endswith("!")}
        for version in versions
    ]
    made = from_entries(name, "pypi", "https://index.example/", entries)
    return replace(made, requires=dict.fromkeys(made.releases, (needs,)))


def found(folder: Path, published: Published, *rows: str, head: str = "") -> list[Difference]:
    """The differences between a file with these rows and the index."""
    head = f'component = "engine"\nkind = "engine"\n{head}\n'
    (folder / "engine.toml").write_text(head + "".join(rows))
    for name in ("numpy", "protobuf"):
        (folder / f"{name}.toml").write_text(OTHER.format(name=name))
    (folder / "os.toml").write_text(OTHER.format(name="os").replace("package", "host"))
    matrix = load(folder)
    return list(differences(Seen(matrix=matrix, component=matrix.component("engine"), main=published)))


def kinds(differences: list[Difference]) -> list[tuple[str, str, str]]:
    return [(each.kind, each.release, each.key) for each in differences]


def test_nothing_differs(tmp_path: Path) -> None:
    assert found(tmp_path, index("2.0", "1.0"), row("2.0"), row("1.0")) == []


def test_new_releases_bring_their_claims(tmp_path: Path) -> None:
    published = index(
        "3.0", "2.5", "2.0", "1.0", "4.0rc1", "3.5!", "3.1.dev1", needs=("numpy>=2,<3", "protobuf", "os>=1")
    )
    differences = found(tmp_path, published, row("2.0", TAGGED + 'numpy = [">=2,<3"]'))
    assert kinds(differences) == [("new release", "3.0", ""), ("new release", "2.5", "")]
    expected = {"python": (">=3.11,<3.12",), "numpy": (">=2,<3",), "glibc": (">=2.28",)}
    assert [each.claims for each in differences] == [expected, expected]


def test_rows_whose_versions_are_shorter_than_the_index_s(tmp_path: Path) -> None:
    """TensorRT's row 10.2.0 is 10.2.0.19 there, as its source says, or as the longer version alone tells."""
    published = index("10.3.0.26", "10.2.0.19", "10.1.0.27")
    rows = (row("10.2.0", source="pypi:engine==10.2.0.19"), row("10.1.0", source="https://vendor.example"))
    assert kinds(found(tmp_path, published, *rows)) == [("new release", "10.3.0", "")]


def test_rows_that_are_gone_or_withdrawn(tmp_path: Path) -> None:
    rows = (row("4.0"), row("3.0"), row("2.0", note="yanked: broken import"), row("1.0"))
    differences = found(tmp_path, index("4.0!", "2.0!", "1.0"), *rows)
    assert kinds(differences) == [("yanked", "4.0", ""), ("not on the index", "3.0", "")]
    assert not any(each.mendable for each in differences)


def test_a_row_that_never_came_from_the_index_is_not_missed_there(tmp_path: Path) -> None:
    vendor = row("0.9", 'python = [">=3.6"]', source="https://vendor.example", evidence="documented")
    assert found(tmp_path, index("1.0"), row("1.0"), vendor) == []


CLAIMS = {
    "python": (TAGGED.replace("3.12", "3.13"), "claim", (">=3.11,<3.12",)),
    "glibc": (TAGGED.replace("2.28", "2.17"), "claim", (">=2.28",)),
    "numpy": (TAGGED + 'numpy = [">=1.20"]', "claim", (">=1.21,<3",)),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_that_the_index_says_otherwise(name: str, tmp_path: Path) -> None:
    requires, kind, theirs = CLAIMS[name]
    requires += "" if name == "numpy" else 'numpy = [">=1.21,<3"]'
    (only,) = found(tmp_path, index("1.0", needs=("numpy<3,>=1.21",)), row("1.0", requires))
    assert (only.kind, only.key, only.theirs, only.mendable) == (kind, f"requires.{name}", theirs, True)
    assert only.source == "pypi:engine==1.0"


def test_claims_that_are_missing_here_or_there(tmp_path: Path) -> None:
    published = index("1.0", needs=("numpy>=1.21", "os>=1", "unheard-of<3"))
    differences = found(tmp_path, published, row("1.0", TAGGED + 'protobuf = [">=4"]'))
    assert kinds(differences) == [("no claim", "1.0", "requires.numpy"), ("not required", "1.0", "requires.protobuf")]
    assert [each.mendable for each in differences] == [True, False]


def test_requirements_that_could_not_be_read_are_no_difference(tmp_path: Path) -> None:
    published = replace(index("1.0"), requires={})
    assert found(tmp_path, published, row("1.0", TAGGED + 'protobuf = [">=4"]')) == []


def test_a_claim_that_cites_a_neighbour_is_not_compared_with_its_own_row(tmp_path: Path) -> None:
    claim = 'numpy = { any = [">=1.21,<2"], source = "pypi:engine==0.9", evidence = "metadata" }'
    published = index("1.0", "0.9", needs=("numpy>=1.18",))
    assert kinds(found(tmp_path, published, row("1.0", TAGGED + claim), row("0.9"))) == [
        ("no claim", "0.9", "requires.numpy")
    ]


def test_what_only_an_extra_requires_is_a_claim_too(tmp_path: Path) -> None:
    """NNCF's claim on torch holds with its extra; a claim that no extra knows is shown."""
    published = index("1.0", needs=("numpy>=2; extra == 'np'", "protobuf>=4; extra == 'pb'"))
    claims = 'numpy = [">=2"]\nprotobuf = [">=5"]'
    (only,) = found(tmp_path, published, row("1.0", TAGGED + claims))
    assert (only.kind, only.key, only.theirs) == ("not required", "requires.protobuf", (">=4",))


def test_wheels_that_say_different_things(tmp_path: Path) -> None:
    """ONNX Runtime's wheel for CPython 3.12 wants a newer NumPy than that for 3.8: any of both will do."""
    made = index("1.0")
    both = replace(made, requires=dict.fromkeys(made.releases, (("numpy>=1.26",), ("numpy>=1.21",))))
    assert found(tmp_path, both, row("1.0", TAGGED + 'numpy = [">=1.21"]')) == []


def test_a_release_that_linux_cannot_install_is_no_news(tmp_path: Path) -> None:
    published = index("1.0")
    mac = index("2.0", tag="cp311-cp311-macosx_11_0_arm64")
    merged = replace(published, releases={**published.releases, **mac.releases})
    assert found(tmp_path, merged, row("1.0")) == []
    assert kinds(found(tmp_path, mac, row("1.0", "", source="https://vendor.example"))) == [("new release", "2.0", "")]


@pytest.mark.parametrize("evidence", ["documented", "measured", "second-hand"])
@pytest.mark.parametrize(("ours", "kind"), [(">=1.21,<1.24", "kept"), (">=1.18,<3", "claim")])
def test_what_a_page_or_a_measurement_says_is_never_mended(tmp_path: Path, evidence: str, ours: str, kind: str) -> None:
    """A narrower claim is kept; a wider one is shown, for a person."""
    claim = f'numpy = {{ any = ["{ours}"], source = "https://vendor.example", evidence = "{evidence}" }}'
    (only,) = found(tmp_path, index("1.0", needs=("numpy>=1.21,<3",)), row("1.0", TAGGED + claim))
    assert (only.kind, only.mendable) == (kind, False)


@pytest.mark.parametrize("evidence", ["documented", "metadata"])
def test_a_row_that_knows_that_it_contradicts_the_index(tmp_path: Path, evidence: str) -> None:
    known = 'contradicts = [{ claim = "numpy", any = [">=1.21"], source = "pypi:engine==1.0" }]'
    claim = f'numpy = {{ any = [">=1.18,<1.24"], source = "pypi:engine==1.0", evidence = "{evidence}" }}'
    (only,) = found(tmp_path, index("1.0", needs=("numpy>=1.21",)), row("1.0", TAGGED + claim, contradicts=known))
    assert only.kind == "kept"


def test_a_claim_that_cites_another_distribution_is_compared_with_that_one(tmp_path: Path) -> None:
    requires = (
        'python = [">=3.11,<3.12"]\nglibc = {{ any = [">={0}"], source = "pypi:libs==1.0", evidence = "metadata" }}'
    )
    (tmp_path / "engine.toml").write_text(
        'component = "engine"\nkind = "engine"\n' + row("1.0", requires.format("2.17"))
    )
    matrix = load(tmp_path)
    libs = index("1.0", tag="py3-none-manylinux_2_31_x86_64", name="libs")
    others = {("pypi", "libs"): libs}
    seen = Seen(matrix=matrix, component=matrix.component("engine"), main=index("1.0"), others=others)
    (only,) = differences(seen)
    assert (only.key, only.theirs, only.source) == ("requires.glibc", (">=2.31",), "pypi:libs==1.0")


# --- whether an index is to be believed


@pytest.mark.parametrize(
    ("versions", "doubt"),
    [
        (("5.0", "4.0", "3.0", "2.0", "1.0"), ""),
        (("6.0", "5.0", "4.0", "3.0", "2.0"), ""),
        (("6.0", "5.0", "4.0", "3.0"), "it has 3 of the 5 releases"),
        (("4.0", "3.0", "2.0", "1.0"), "its newest engine is 4.0, the matrix has 5.0"),
        (("5.0!", "4.0", "3.0", "2.0", "1.0"), "its newest engine is 4.0"),
        ((), "it has no engine"),
    ],
)
def test_suspicious_answers(tmp_path: Path, versions: tuple[str, ...], doubt: str) -> None:
    rows = "".join(row(f"{number}.0") for number in range(5, 0, -1))
    (tmp_path / "engine.toml").write_text('component = "engine"\nkind = "engine"\n' + rows)
    component = load(tmp_path).component("engine")
    said = suspicions(component, ("pypi", "engine"), index(*versions))
    assert bool(said) == bool(doubt)
    assert doubt in "".join(said)


def test_no_page_at_all_is_suspicious(tmp_path: Path) -> None:
    (tmp_path / "engine.toml").write_text('component = "engine"\nkind = "engine"\n' + row("1.0"))
    assert suspicions(load(tmp_path).component("engine"), ("pypi", "engine"), None) == ["it has no engine"]


# --- ranges


@pytest.mark.parametrize(
    ("name", "ours", "theirs", "expected"),
    [
        ("numpy", [">=1.21,<3"], ["<3,>=1.21"], "same"),
        ("numpy", [">=1.21,<3.0.0"], [">=1.21.0,<3"], "same"),
        ("numpy", [">=1.21", ">=1.26"], [">=1.21"], "same"),
        ("numpy", ["==1.2.*"], [">=1.2,<1.3"], "same"),
        ("numpy", ["~=1.4"], [">=1.4,<2"], "same"),
        ("numpy", [">1.16.0"], [">=1.16.0"], "narrower"),
        ("numpy", [">=1.21,<2"], [">=1.21"], "narrower"),
        ("numpy", [">=1.21"], [">=1.21,!=1.25.0"], "other"),
        ("numpy", [">=1.20,<2"], [">=1.21"], "other"),
        ("numpy", [">=0"], [">=0"], "same"),
        ("python", [">=3.8,<3.12"], [">=3.8.1,<3.12"], "same"),
        ("python", [">=3.8,<4"], [">=3.8"], "same"),
        ("python", [">=3.9"], [">=3.9,<3.14"], "other"),
        ("glibc", [">=2.17"], [">=2.27"], "other"),
        ("glibc", [">=2.27"], [">=2.17"], "narrower"),
    ],
)
def test_how_two_conditions_stand_to_each_other(name: str, ours: list[str], theirs: list[str], expected: str) -> None:
    mine, other = Condition(any=tuple(ours)), Condition(any=tuple(theirs))
    assert (relation_of_pythons(mine, other, MINORS) if name == "python" else relation(mine, other)) == expected


def test_pythons_that_have_no_row_make_no_difference(tmp_path: Path) -> None:
    python = "".join(row(version, "") for version in ("3.12", "3.6"))
    (tmp_path / "python.toml").write_text('component = "python"\nkind = "component"\n' + python)
    assert found(tmp_path, index("1.0", tag="py3-none-any"), row("1.0", 'python = [">=3.5"]')) == []
    assert found(tmp_path, index("1.0", tag="py3-none-any"), row("1.0", 'python = [">=3.7"]')) != []
