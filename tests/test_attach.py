"""Papers go where the image goes, the same bytes each time; vendors' terms are said. A real registry, small wheels."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from envctl.oci.layout_papers import documents_of
from envctl.oci.reference import parse
from envctl.oci.referrers import document, referrers
from envctl.oci.registry import Registry
from envctl.papers.kept import kept_parts_of_base
from envctl.papers.read import parts_of_sbom
from tests import building, odd_wheels
from tests.building import Order, build, built, new_cache
from tests.conftest import ROOT, Ran
from tests.licensed import base_layer
from tests.registry_server import Server, registry

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("docker_base")]
SBOM, PROVENANCE = "application/vnd.cyclonedx+json", "application/vnd.in-toto+json"
WARNING = "warning: passing this image on has conditions: NVIDIA cuDNN: nvidia-cudnn-cu12 9.1"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> Order:
    return building.order(tmp_path_factory.mktemp("order"))


@pytest.fixture(scope="module")
def vendors(tmp_path_factory: pytest.TempPathFactory) -> Order:
    """A lock with a wheel of a vendor's that may be passed on under conditions only."""
    folder = tmp_path_factory.mktemp("vendors")
    wheels = folder / "wheels"
    wheels.mkdir()
    wheel = odd_wheels.write(
        wheels / "nvidia_cudnn_cu12-9.1-py3-none-any.whl",
        {"nvidia/__init__.py": ""},
        name="nvidia-cudnn-cu12",
        version="9.1",
    )
    return building.written(folder, wheels, [building.locked(wheel, "nvidia-cudnn-cu12", "9.1")])


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_cache(tmp_path_factory.mktemp("caches") / "cache")


def envctl(*arguments: str | Path, cache: Path) -> Ran:
    command = [sys.executable, "-m", "envctl", *map(str, arguments)]
    environment = {**os.environ, "ENVCTL_CACHE": str(cache)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return Ran(code=done.returncode, out=done.stdout, err=done.stderr)


def attached(ref: str, digest: str) -> dict[str, bytes]:
    """What a registry has attached to an image, by its kind."""
    client, at = Registry(parse(ref).registry, say=[].append), parse(ref)
    return {each.artifact_type: document(client, at, each) for each in referrers(client, at, digest)}


def test_papers_are_the_same_in_registry_layout_and_file(
    order: Order, cache: Path, server: Server, tmp_path: Path
) -> None:
    ref, out, file = f"{server.host}/team/engine:1", tmp_path / "out", tmp_path / "sbom.json"
    given = [*order.arguments, "--revision", "v1", "-o", f"oci:{out}", "--sbom", file, "--push", ref]
    done = built(*given, cache=cache)
    digest = done["manifest"]
    assert done["pushed"]["digest"] == digest and len(done["papers"]) == 4 and done["cautions"] == []
    there = attached(ref, digest)
    assert set(there) == {SBOM, PROVENANCE}
    assert {each.artifact_type: each.data for each in documents_of(out, digest)} == there
    assert file.read_bytes() == there[SBOM]
    statement = json.loads(there[PROVENANCE])
    assert statement["subject"][0]["digest"] == {"sha256": digest.removeprefix("sha256:")}
    definition = statement["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["lock"] == f"sha256:{order.lock.digest}"
    assert definition["externalParameters"]["revision"] == "v1"
    names = {each["name"] for each in json.loads(there[SBOM])["components"]}
    assert {"engine", "greeter", "weights", "libc6", "python3.11-minimal"} <= names


def test_the_same_again_attaches_nothing_new_under_whatever_name(
    order: Order, cache: Path, server: Server, tmp_path: Path
) -> None:
    """Another cache, another base name, another tag: the papers speak of the image."""
    first = built(*order.arguments, "--push", f"{server.host}/again:1", cache=cache)
    base = first["base"]["digest"]
    options = ["--base", base, "--tag", "other:2"]
    second = built(*order.arguments, *options, "--push", f"{server.host}/again:2", cache=new_cache(tmp_path / "c"))
    assert second["manifest"] == first["manifest"] and second["papers"] == first["papers"]
    at = parse(f"{server.host}/again")
    assert len(referrers(Registry(server.host, say=[].append), at, first["manifest"])) == 2


def test_a_layout_is_pushed_with_what_lies_beside_its_image(
    vendors: Order, cache: Path, server: Server, tmp_path: Path
) -> None:
    out, ref = tmp_path / "out", f"{server.host}/from-layout:1"
    made = built(*vendors.arguments, "-o", f"oci:{out}", cache=cache)
    assert made["cautions"] == []  # nothing has left this machine
    ran = envctl("push", f"oci:{out}", ref, "--json", cache=cache)
    assert ran.code == 0, ran.err
    assert [each["title"] for each in ran.json["cautions"]] == ["NVIDIA cuDNN"]
    there = attached(ref, made["manifest"])
    assert there == {each.artifact_type: each.data for each in documents_of(out, made["manifest"])} and len(there) == 2
    assert WARNING in envctl("push", f"oci:{out}", ref, cache=cache).err


def test_pushing_vendors_libraries_is_warned_of_also_without_papers(
    vendors: Order, cache: Path, server: Server
) -> None:
    ref = f"{server.host}/vendors:1"
    ran = build(*vendors.arguments, "--push", ref, "--no-papers", cache=cache)
    assert ran.code == 0 and WARNING in ran.err and "papers" not in ran.out
    done = built(*vendors.arguments, "--push", ref, "--no-papers", cache=cache)
    assert done["papers"] == [] and done["cautions"][0]["parts"] == ["pkg:pypi/nvidia-cudnn-cu12@9.1"]
    assert attached(ref, done["manifest"]) == {}


def test_licences_are_listed_and_nothing_is_built(vendors: Order, cache: Path) -> None:
    ran = build(*vendors.arguments, "--licences", cache=cache)
    assert ran.code == 0 and WARNING in ran.err
    lines = [line.split() for line in ran.out.splitlines()]
    assert lines[0][:3] == ["kind", "name", "version"] and ["wheel", "nvidia-cudnn-cu12", "9.1"] in [
        line[:3] for line in lines
    ]
    told = json.loads(build(*vendors.arguments, "--licences", "--json", cache=cache).out)
    assert len(told["parts"]) == len(lines) - 1 and told["cautions"][0]["redistribution"] == "conditions"
    refused = build(*vendors.arguments, "--licences", "--load", cache=cache)
    assert refused.code == 2 and "--licences only lists" in refused.err


def test_a_layout_written_again_has_its_papers_once_and_without_them_none(
    order: Order, cache: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for _ in range(2):
        done = built(*order.arguments, "--tag", "a:1", "-o", f"oci:{out}", cache=cache)
        index = json.loads((out / "index.json").read_text())
        assert [each.get("artifactType", "") for each in index["manifests"]] == ["", SBOM, PROVENANCE]
    assert envctl("verify-image", f"oci:{out}", "--lock", order.path, cache=cache).code == 0
    built(*order.arguments, "--no-papers", "-o", f"oci:{out}", cache=cache)
    assert documents_of(out, done["manifest"]) == ()


@pytest.mark.slow
def test_podman_takes_the_image_by_its_name(order: Order, cache: Path, tmp_path: Path) -> None:
    """And runs it. Without a name it wants to know which of the entries is meant (docs/papers.md)."""
    podman = shutil.which("podman")
    if not podman:
        pytest.skip("no podman (apt-get install podman)")
    done = built(*order.arguments, "-o", f"oci:{tmp_path / 'out'}", cache=cache)
    storage = [podman, "--root", str(tmp_path / "podman"), "--storage-driver", "vfs"]
    for name, code in ((":latest", 0), ("", 125)):
        command = [*storage, "pull", "-q", f"oci:{tmp_path / 'out'}{name}"]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ran.returncode == code, ran.stderr
        assert code or f"sha256:{ran.stdout.strip()}" == done["image"]
    # podman asks for more open files than a container's root may have; said limits are taken
    limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"]
    shut_in = ["run", "--rm", "--network=none", "--read-only", *limits, done["image"].removeprefix("sha256:")]
    ran = subprocess.run([*storage, *shut_in, "engine"], capture_output=True, text=True, check=False)
    assert ran.stdout == "hello\n", ran.stderr


def test_a_paper_that_was_changed_is_not_pushed(order: Order, cache: Path, server: Server, tmp_path: Path) -> None:
    out = tmp_path / "out"
    built(*order.arguments, "-o", f"oci:{out}", cache=cache)
    index = json.loads((out / "index.json").read_text())
    manifest = json.loads((out / building.blob(index["manifests"][1])).read_text())
    paper = out / building.blob(manifest["layers"][0])
    paper.write_bytes(paper.read_bytes().replace(b"greeter", b"cheater"))
    ran = envctl("push", f"oci:{out}", f"{server.host}/changed:1", cache=cache)
    assert ran.code == 2 and "is damaged" in ran.err and "Traceback" not in ran.err
    assert not (server.storage / "docker/registry/v2/repositories/changed").exists()


def test_parts_of_a_base_are_kept_as_they_were_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVCTL_CACHE", str(tmp_path))
    first = kept_parts_of_base([base_layer()])
    assert list((tmp_path / "store" / "parts").iterdir()) and len(first) == 2
    assert kept_parts_of_base([base_layer()]) == first


@pytest.mark.parametrize("text", [b"", b"[]", b'{"components": [{}]}', b'{"components": 1}'])
def test_an_sbom_that_is_none_is_refused(text: bytes) -> None:
    from envctl.errors import BadInput

    with pytest.raises(BadInput, match="an SBOM cannot be read"):
        parts_of_sbom(text)
