"""SBOM, provenance and licences of an image: against the formats' own schemas, real METADATA and a real base."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from envctl.errors import BadInput, HostLacks
from envctl.oci.content import LAYER_TAR, Chunks, Descriptor, Layer, digest_of
from envctl.papers.attached import papers
from envctl.papers.debian import licence_of_copyright, parts_of_base
from envctl.papers.licences import rows, table, warnings
from envctl.papers.part import Licence
from envctl.papers.provenance import provenance
from envctl.papers.sbom import sbom
from envctl.papers.terms import read_terms, read_words
from envctl.papers.wheels import licence_of_metadata, licence_of_wheel, parts_of_lock
from tests.conftest import ROOT
from tests.licensed import STATUS, all_parts, base_layer, built_of, layer_of, lock_of, real_wheels


@pytest.fixture
def wheels(tmp_path: Path) -> dict[str, Path]:
    return real_wheels(tmp_path)


def test_every_spelling_of_a_licence_is_read_or_left_as_it_is(wheels: dict[str, Path]) -> None:
    said = {part.name: part.licence for part in parts_of_lock(lock_of(wheels), wheels)}
    assert said["numpy"].expression == "BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0"
    assert said["onnxruntime"] == Licence(expression="MIT", names=("MIT License",), origin="License")
    assert said["sympy"] == Licence(names=("BSD",), origin="License")  # which BSD it does not say: no guess
    assert said["nvidia-cudnn-cu12"].proprietary
    assert said["tensorrt-cu12-libs"].text == "Other/Proprietary License"
    assert [name for name, licence in said.items() if licence.proprietary] == [
        "nvidia-cudnn-cu12", "nvidia-nccl-cu12", "tensorrt-cu12-libs", "secret"
    ]  # fmt: skip
    assert said["silent"].text == "not stated"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("License: Apache 2.0\nClassifier: License :: OSI Approved :: Apache Software License", "Apache-2.0"),
        ("Classifier: License :: OSI Approved :: Apache Software License", "Apache Software License"),
        ("Classifier: License :: OSI Approved :: MIT License", "MIT"),
        (
            "Classifier: License :: OSI Approved :: MIT License\nClassifier: License :: OSI Approved :: BSD License",
            "MIT License, BSD License",
        ),
        ("License: Copyright (c) 2005-2024, NumPy Developers.\n  All rights reserved.\n  Redistribution", "not stated"),
        ("License: UNKNOWN", "not stated"),
        ("License-Expression: mit or apache-2.0", "MIT OR Apache-2.0"),
        ("License-Expression: as you like", "as you like"),
    ],
)
def test_metadata_is_read_as_pep_639_says(lines: str, expected: str) -> None:
    text = f"Metadata-Version: 2.4\nName: x\nVersion: 1\n{lines}\n\nLicense: in the description\n"
    assert licence_of_metadata(text, read_words()).text == expected


@pytest.mark.parametrize(("name", "expected"), [("packaging", "Apache-2.0 OR BSD-2-Clause"), ("numpy", "BSD-3-Clause")])
def test_real_metadata_of_this_environment_is_read(name: str, expected: str) -> None:
    from importlib.metadata import distribution

    assert expected in licence_of_metadata(distribution(name).read_text("METADATA") or "", read_words()).text


def test_a_real_wheel_is_read() -> None:
    import ensurepip

    bundled = [
        *Path(ensurepip.__file__).parent.glob("_bundled/pip-*.whl"),
        *Path("/usr/share/python-wheels").glob("pip-*.whl"),
    ]
    assert licence_of_wheel(bundled[0], read_words()).expression == "MIT"


def test_spellings_and_classifiers_are_spdx() -> None:
    from cyclonedx.spdx import is_supported_id

    words = read_words()
    wrong = [e for e in (*words.spellings.values(), *words.classifiers.values()) if not is_supported_id(e)]
    assert not wrong
    assert all(name == name.lower() for name in words.spellings)
    assert all(terms.source and terms.redistribution in ("free", "conditions") for terms in read_terms())


def test_debian_packages_come_from_dpkg_with_the_licences_of_their_copyright_files() -> None:
    zlib, cxx = sorted(parts_of_base([base_layer()]), key=lambda part: part.name, reverse=True)
    assert zlib.purl == "pkg:deb/debian/zlib1g@1:1.2.13.dfsg-1?arch=amd64&distro=bookworm"
    assert zlib.licence.names == ("GPL-2+ or", "Zlib")
    assert (cxx.purl, cxx.licence.names) == (
        "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14?arch=amd64&distro=bookworm",
        ("GPL-3",),
    )


def test_an_upper_layer_replaces_and_removes_what_a_lower_one_has() -> None:
    newer = STATUS.replace("12.2.0-14", "12.2.0-15")
    upper = layer_of({"var/lib/dpkg/status": newer, "usr/share/doc/zlib1g/.wh.copyright": ""})
    parts = {part.name: part for part in parts_of_base([base_layer(), upper])}
    assert parts["libstdc++6"].version == "12.2.0-15"
    assert parts["zlib1g"].licence.text == "not stated"


def test_packages_without_dpkg_are_read_one_file_each_and_other_systems_have_none() -> None:
    small = layer_of({"var/lib/dpkg/status.d/tzdata": "Package: tzdata\nVersion: 2024a\nArchitecture: all\n"})
    assert [part.purl for part in parts_of_base([small])] == ["pkg:deb/debian/tzdata@2024a?arch=all"]
    assert parts_of_base([layer_of({"etc/alpine-release": "3.20"})]) == ()


def test_a_copyright_file_of_any_size_and_shape_is_read() -> None:
    assert licence_of_copyright("").text == "not stated"
    assert licence_of_copyright("in /usr/share/common-licenses/LGPL-2.1.").names == ("LGPL-2.1",)
    assert licence_of_copyright("License: not in this old format").text == "not stated"


def test_the_sbom_passes_the_schema_and_has_every_part(wheels: dict[str, Path]) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    lock = lock_of(wheels)
    parts = all_parts(lock, wheels)
    text = sbom(built_of(lock), parts).decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    data = json.loads(text)
    assert {each["purl"] for each in data["components"]} == {part.purl for part in parts}
    assert len(data["components"]) == len(wheels) + 2
    numpy = next(each for each in data["components"] if each["name"] == "numpy")
    assert numpy["hashes"] == [{"alg": "SHA-256", "content": next(iter(wheels))}]
    assert numpy["licenses"] == [{"expression": "BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0"}]
    assert data["metadata"]["component"]["version"] == built_of(lock).image.digest
    assert "timestamp" not in data["metadata"]
    (root,) = [each for each in data["dependencies"] if each["ref"].startswith("image:")]
    assert set(root["dependsOn"]) == {part.purl for part in parts}
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text.replace('"SHA-256"', '"SHA-257"')) is not None


def test_a_time_is_there_only_when_it_is_given(wheels: dict[str, Path]) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    lock, when = lock_of(wheels), datetime(2026, 11, 21, tzinfo=timezone.utc)
    bill, statement = (paper.data.decode() for paper in papers(built_of(lock), all_parts(lock, wheels), when=when))
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
    assert json.loads(bill)["metadata"]["timestamp"] == "2026-11-21T00:00:00+00:00"
    assert json.loads(statement)["predicate"]["runDetails"]["metadata"] == {"finishedOn": "2026-11-21T00:00:00+00:00"}
    without = b"".join(paper.data for paper in papers(built_of(lock), all_parts(lock, wheels)))
    assert not re.search(rb"\d{4}-\d\d-\d\dT\d\d:", without)


SAME = """
import sys
from pathlib import Path
from tests.licensed import all_parts, built_of, lock_of
from envctl.papers.attached import papers
from tests.wheelhouse import sha256
wheels = {sha256(path): path for path in sorted(Path(sys.argv[1]).glob("*.whl"))}
lock = lock_of(wheels)
parts = all_parts(lock, wheels)
for paper in papers(built_of(lock), parts):
    print(paper.file, paper.data.decode())
"""


@pytest.mark.usefixtures("wheels")
def test_the_same_image_has_the_same_papers_everywhere(tmp_path: Path) -> None:
    variations = [
        {"PYTHONHASHSEED": "1", "TZ": "UTC", "LC_ALL": "C"},
        {"PYTHONHASHSEED": "2", "TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8"},
    ]
    told = []
    for variables in variations:
        command = [sys.executable, "-c", SAME, str(tmp_path)]
        child = {**os.environ, **variables, "PYTHONPATH": str(ROOT)}
        told.append(subprocess.run(command, env=child, cwd=tmp_path, capture_output=True, check=True).stdout)
    assert told[0] == told[1]
    assert told[0].count(b"\n") == 2


def test_another_image_or_lock_has_another_serial_number(wheels: dict[str, Path]) -> None:
    lock = lock_of(wheels)
    built = built_of(lock)
    other = replace(built, image=replace(built.image, config=b"{}"))
    serials = {
        json.loads(sbom(each, ()))["serialNumber"]
        for each in (built, other, replace(built, lock_digest=digest_of(b"")))
    }
    assert len(serials) == 3


def test_the_provenance_names_image_lock_base_source_and_wheels(wheels: dict[str, Path]) -> None:
    lock, commit = lock_of(wheels), "0123456789abcdef0123456789abcdef01234567"
    built = built_of(lock, revision=commit)
    statement = json.loads(provenance(built, all_parts(lock, wheels)))
    digest = built.image.digest.removeprefix("sha256:")
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"] == [{"name": "openvino", "digest": {"sha256": digest}}]
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    definition = statement["predicate"]["buildDefinition"]
    assert definition["externalParameters"] == {
        "lock": built.lock_digest, "base": built.base_digest, "revision": commit
    }  # fmt: skip
    assert definition["internalParameters"] == {"rules": "1"}
    digests = [each["digest"] for each in definition["resolvedDependencies"]]
    assert digests[:3] == [{"sha256": lock.digest}, {"sha256": built.base_digest[7:]}, {"gitCommit": commit}]
    assert [each["sha256"] for each in digests[3:]] == list(wheels)
    assert statement["predicate"]["runDetails"] == {
        "builder": {"id": "urn:x-envctl:builder:local", "version": {"envctl": "0.1.0"}}
    }


def test_a_revision_that_is_no_commit_is_kept_as_said(wheels: dict[str, Path]) -> None:
    lock = lock_of(wheels)
    definition = json.loads(provenance(built_of(lock, revision="v1.2"), ()))["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["revision"] == "v1.2"
    assert not any("gitCommit" in each["digest"] for each in definition["resolvedDependencies"])


def test_papers_about_something_without_a_digest_are_refused(wheels: dict[str, Path]) -> None:
    with pytest.raises(BadInput, match="the base of openvino has no digest: 'debian:bookworm'"):
        built_of(lock_of(wheels), base_digest="debian:bookworm")


def test_vendors_files_are_warned_of_and_nothing_else_is(wheels: dict[str, Path]) -> None:
    lock = lock_of(wheels)
    cautions = warnings(all_parts(lock, wheels))
    named = {caution.terms.title: [part.name for part in caution.parts] for caution in cautions}
    assert named == {
        "NVIDIA cuDNN": ["nvidia-cudnn-cu12"],
        "NVIDIA TensorRT": ["tensorrt-cu12-libs"],
        "a proprietary licence whose terms envctl does not know": ["secret"],
    }
    lines = cautions[0].lines()
    assert lines[0] == "NVIDIA cuDNN: nvidia-cudnn-cu12 1.0"
    assert lines[-1] == "  source: pypi:nvidia-cudnn-cu12==9.28.0.42 (read 2026-11-21)"
    assert cautions[0].as_data()["parts"] == ["pkg:pypi/nvidia-cudnn-cu12@1.0"]


def test_the_table_has_a_line_a_part(wheels: dict[str, Path]) -> None:
    parts = all_parts(lock_of(wheels), wheels)
    lines = table(parts).splitlines()
    assert len(lines) == len(parts) + 1
    assert lines[0].split() == ["kind", "name", "version", "passing", "on", "licence"]
    assert re.fullmatch(r"wheel +nvidia-cudnn-cu12 +1\.0 +conditions +LicenseRef-NVIDIA-Proprietary", lines[4])
    assert {row["redistribution"] for row in rows(parts)} == {"", "free", "conditions", "unknown"}


def test_a_wheel_that_is_missing_or_broken_is_named(wheels: dict[str, Path]) -> None:
    lock = lock_of(wheels)
    first = next(iter(wheels))
    with pytest.raises(HostLacks, match="cannot tell the licence of numpy: numpy-1.0-py3-none-any.whl is not here"):
        parts_of_lock(lock, {key: path for key, path in wheels.items() if key != first})
    wheels[first].write_bytes(wheels[first].read_bytes()[:100])
    with pytest.raises(HostLacks, match="cannot read the wheel .*numpy-1.0"):
        parts_of_lock(lock, wheels)


@pytest.mark.docker
def test_a_real_base_is_read_as_dpkg_reads_it(docker_base: str, tmp_path: Path) -> None:
    from packageurl import PackageURL

    query = ["docker", "run", "--rm", "--network", "none", docker_base, "dpkg-query", "-W", "-f"]
    told = subprocess.run(
        [*query, "${Package} ${Version} ${Architecture}\n"], capture_output=True, text=True, check=True
    )
    archive = tmp_path / "image.tar"
    subprocess.run(["docker", "save", "-o", str(archive), docker_base], check=True)
    parts = parts_of_base(_saved_layers(archive))
    assert sorted(f"{p.name} {p.version} {p.arch}" for p in parts) == sorted(told.stdout.splitlines())
    assert all(PackageURL.from_string(part.purl).to_string() == part.purl for part in parts)
    said = {part.name: part.licence for part in parts}
    assert said["zlib1g"].names and said["libstdc++6"].names
    assert sum(not licence.names for licence in said.values()) <= len(parts) // 20


def _saved_layers(archive: Path) -> list[Layer]:
    """The layers of a docker-archive, read from it each time."""
    with tarfile.open(archive) as saved:
        manifest = json.load(saved.extractfile("manifest.json"))  # type: ignore[arg-type]

    def chunks(name: str) -> Chunks:
        def blocks() -> Iterator[bytes]:
            with tarfile.open(archive) as saved:
                stream = saved.extractfile(name)
                assert stream
                yield from iter(lambda: stream.read(1 << 20), b"")

        return blocks

    blob = Descriptor(media_type=LAYER_TAR, digest=digest_of(b""), size=0)
    return [
        Layer(diff_id=blob.digest, tar_size=0, tar=chunks(name), blob=blob, chunks=chunks(name))
        for name in manifest[0]["Layers"]
    ]
