"""The first difference of two images is named: field, layer, file and what about it."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from typing import Any

import pytest

from envctl.errors import JobFailed
from envctl.oci.content import Image, Layer
from envctl.oci.difference import first_difference
from tests.images import entry, image, layer, tar, tar_of

FILES = {"opt/a": b"1", "opt/b": b"2", "opt/c": b"3"}


def of(files: dict[str, bytes], **config: Any) -> Image:
    return image(layer(tar_of({"base": b"0"})), layer(tar_of(files)), **config)


def test_equal_images_have_no_difference_however_they_were_made() -> None:
    assert first_difference(of(FILES, Env=["A=1"]), of(FILES, Env=["A=1"])) is None


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (FILES | {"opt/b": b"X"}, "layer 1: opt/b content: expected sha256:d4735e3a"),
        (FILES | {"opt/b": b"22"}, "layer 1: opt/b size: expected 1 bytes, found 2 bytes"),
        ({"opt/a": b"1", "opt/c": b"3"}, "layer 1: opt/b is missing: expected a file of 1 bytes, found nothing"),
        (FILES | {"opt/bb": b""}, "layer 1: opt/bb is extra: expected nothing, found a file of 0 bytes"),
        (dict(reversed(FILES.items())), "layer 1: the same files in another tar: expected sha256:"),
        # two differences: the first path is named, whatever the order in the tar
        ({"opt/c": b"Y", "opt/b": b"X", "opt/a": b"1"}, "layer 1: opt/b content"),
    ],
)
def test_a_file_that_differs_is_named(files: dict[str, bytes], words: str) -> None:
    found = first_difference(of(FILES), of(files))
    assert str(found).startswith(words)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"mode": 0o755}, "mode: expected 0644, found 0755"),
        ({"uid": 1000}, "owner: expected 0:0 :, found 1000:0 :"),
        ({"mtime": 5}, "time: expected 0, found 5"),
        ({"type": tarfile.SYMTYPE, "linkname": "b"}, "type: expected file, found symbolic link"),
        ({"pax_headers": {"SCHILY.xattr.user.x": "1"}}, "attribute SCHILY.xattr.user.x: expected nothing, found 1"),
    ],
)
def test_an_attribute_of_a_file_that_differs_is_named(changed: dict[str, Any], words: str) -> None:
    one, other = entry("opt/a"), entry("opt/a", **changed)
    found = first_difference(image(layer(tar((one, b"")))), image(layer(tar((other, b"")))))
    assert str(found) == f"layer 0: opt/a {words}"


@pytest.mark.parametrize(
    ("left", "right", "words"),
    [
        ({"Env": ["A=1"]}, {"Env": ["A=2"]}, 'configuration: config.Env[0]: expected "A=1", found "A=2"'),
        ({"Env": ["A=1"]}, {}, 'configuration: config.Env is missing: expected ["A=1"], found nothing'),
        ({}, {"User": ""}, 'configuration: config.User is extra: expected nothing, found ""'),
        ({"User": None}, {}, "configuration: config.User is missing: expected null, found nothing"),
    ],
)
def test_a_field_of_the_configuration_that_differs_is_named(left: Any, right: Any, words: str) -> None:
    assert str(first_difference(of(FILES, **left), of({}, **right))) == words


def test_a_layer_too_many_or_too_few_is_named() -> None:
    more = of(FILES)
    fewer = image(more.layers[0])
    assert str(first_difference(more, fewer)).startswith("layer 1 is missing: expected sha256:")
    assert str(first_difference(fewer, more)).startswith("layer 1 is extra: expected nothing, found sha256:")


def test_other_packing_of_the_same_tar_counts_unless_it_cannot_be_known() -> None:
    packed, plain = image(layer(tar_of(FILES))), image(layer(tar_of(FILES), packed=False))
    found = first_difference(packed, plain)
    assert found and found.kind == "blob" and "layer 0: the same tar, packed otherwise" in str(found)
    assert first_difference(packed, plain, blobs=False) is None


def test_the_same_configuration_in_other_bytes_is_a_difference() -> None:
    made = of(FILES)
    assert str(first_difference(made, replace(made, config=made.config + b"\n"))).startswith("configuration: the same")


def test_a_layer_that_lies_about_its_digest_is_refused() -> None:
    def lying(found: Layer) -> Layer:
        return replace(found, diff_id="sha256:" + 64 * "0")

    with pytest.raises(JobFailed, match="not the one that its image names"):
        first_difference(of(FILES), image(layer(tar_of({"base": b"0"})), lying(layer(tar_of(FILES)))))
