"""Push and pull against a real registry, with and without a proxy before it that makes faults."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from envctl.errors import BadInput, EnvctlError, HostLacks, JobFailed
from envctl.oci.blobs import INDEX
from envctl.oci.content import MANIFEST, Descriptor, Image, compact_json, digest_of
from envctl.oci.layout import image_of
from envctl.oci.push import push
from envctl.oci.reference import Reference, parse
from envctl.oci.referrers import attach, document, referrers
from envctl.oci.registry import Registry
from envctl.oci.transport import Patience
from envctl.oci.written import write_layout
from tests.conftest import run_envctl
from tests.faulty_proxy import Fault, Proxy, faulty
from tests.images import image, layer, noise, quiet, tar_of
from tests.registry_server import Server, registry

MIB = 1 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with faulty(server.host) as running:
        yield running


@pytest.fixture
def repository(request: pytest.FixtureRequest) -> str:
    """A repository of the test's own."""
    return "t/" + "".join(each if each.isalnum() else "-" for each in request.node.name.lower()).strip("-")


class Waits(list[float]):
    """The seconds that would have been waited; nobody waits."""

    @property
    def patience(self) -> Patience:
        return Patience(sleep=self.append)


@pytest.fixture
def waits() -> Waits:
    return Waits()


def pull(ref: Reference, waits: Waits) -> Image:
    """An image read back, every byte of it, checked."""
    found = image_of(Registry(ref.registry, say=quiet, patience=waits.patience).image(ref))
    for each in found.layers:
        assert digest_of(b"".join(each.chunks())) == each.blob.digest
        assert digest_of(b"".join(each.tar())) == each.diff_id
    return found


def test_what_was_pushed_is_pulled_bit_for_bit(server: Server, repository: str, waits: Waits) -> None:
    made = image(layer(tar_of({"a": noise(3 * MIB)})), layer(tar_of({"b": b"small"}), packed=False), Env=["A=ü"])
    done = push(parse(f"{server.host}/{repository}:1"), made, quiet)
    assert done.digest == made.digest and done.blobs == {"sent": 3}
    for name in (":1", f"@{made.digest}"):
        found = pull(parse(f"{server.host}/{repository}{name}"), waits)
        assert found.config == made.config and found.digest == made.digest


def test_what_is_there_is_not_sent_again_and_a_base_is_mounted(server: Server, repository: str) -> None:
    base = layer(tar_of({"base": noise(2 * MIB, 1)}))
    push(parse(f"{server.host}/{repository}/base:1"), image(base), quiet)
    again = push(parse(f"{server.host}/{repository}/base:2"), image(base), quiet)
    assert again.blobs == {"there": 2} and again.sent_bytes == 0
    mounted = layer(tar_of({"base": noise(2 * MIB, 1)}), origin=f"{server.host}/{repository}/base")
    done = push(parse(f"{server.host}/{repository}/ours:1"), image(mounted, layer(tar_of({"x": b"1"}))), quiet)
    assert done.blobs == {"mounted": 1, "sent": 2}
    assert done.sent_bytes < MIB


def test_a_base_that_cannot_be_mounted_is_sent(server: Server, repository: str, waits: Waits) -> None:
    made = image(layer(tar_of({"base": noise(2 * MIB, 2)}), origin=f"{server.host}/nobody/has-this"))
    assert push(parse(f"{server.host}/{repository}:1"), made, quiet).blobs == {"sent": 2}
    assert pull(parse(f"{server.host}/{repository}:1"), waits).digest == made.digest


def cut_twice(method: str, _: str, count: int) -> Fault | None:
    return Fault(cut_request=9 * MIB) if method == "PATCH" and count < 2 else None


def test_an_upload_that_is_dropped_half_way_is_sent_anew(proxy: Proxy, repository: str, waits: Waits) -> None:
    """docker-registry 2.8 forgets an upload whose connection broke: there is nothing to go on with."""
    proxy.plan = cut_twice
    made = image(layer(tar_of({"a": noise(16 * MIB)}), packed=False))
    done = push(parse(f"{proxy.host}/{repository}:1"), made, quiet, patience=waits.patience)
    assert done.digest == made.digest
    assert pull(parse(f"{proxy.host}/{repository}:1"), waits).digest == made.digest
    assert proxy.count("PATCH") == 3


def test_a_dropped_upload_goes_on_where_the_registry_can(server: Server, repository: str, waits: Waits) -> None:
    size = 24 * MIB
    with faulty(server.host, keeping=True) as proxy:
        proxy.plan = cut_twice
        made = image(layer(tar_of({"a": noise(size)}), packed=False))
        done = push(parse(f"{proxy.host}/{repository}:1"), made, quiet, patience=waits.patience)
    assert pull(parse(f"{server.host}/{repository}:1"), waits).digest == made.digest == done.digest
    starts = [each.headers.get("Content-Range", "0-").partition("-")[0] for each in proxy.seen if each.body > MIB]
    assert starts == ["0", str(9 * MIB), str(18 * MIB)]
    assert proxy.sent("PATCH") < size + MIB, "what had arrived was sent again"


def test_faults_of_every_kind_end_in_the_same_image(proxy: Proxy, repository: str, waits: Waits) -> None:
    """Each kind of request fails the first time, each in another way; what is then there is what was meant."""
    faults = {
        "HEAD": Fault(status=503),
        "POST": Fault(status=429, headers={"Retry-After": "7"}),
        "PATCH": Fault(status=500),
        "PUT": Fault(lose_response=True),
        "GET": Fault(cut_response=100),
    }
    proxy.plan = lambda method, path, count: faults[method] if count == 0 else None
    made = image(layer(tar_of({"a": noise(2 * MIB, 3)})), layer(tar_of({"b": noise(5000, 4)})))
    ref = parse(f"{proxy.host}/{repository}:1")
    assert push(ref, made, quiet, patience=waits.patience).digest == made.digest
    assert pull(ref, waits).digest == made.digest
    assert {each.method for each in proxy.seen} == faults.keys()
    assert max(waits) >= 7, "Retry-After was not heeded"


def test_lost_answers_to_every_write_do_no_harm(proxy: Proxy, repository: str, waits: Waits) -> None:
    lost: set[str] = set()

    def lose_first(method: str, path: str, _: int) -> Fault | None:
        key = method + re.sub(r"(?<=/uploads/).+", "", path)  # every upload has a name of its own
        if method in ("GET", "HEAD") or key in lost:
            return None
        lost.add(key)
        return Fault(lose_response=True)

    proxy.plan = lose_first
    made = image(layer(tar_of({"a": noise(2 * MIB, 5)})), layer(tar_of({"b": noise(5000, 6)})))
    ref = parse(f"{proxy.host}/{repository}:1")
    assert push(ref, made, quiet, patience=waits.patience).digest == made.digest
    assert pull(ref, waits).digest == made.digest and lost


def test_a_download_goes_on_where_it_was_dropped(
    server: Server, proxy: Proxy, repository: str, waits: Waits, tmp_path: Path
) -> None:
    made = image(layer(tar_of({"a": noise(10 * MIB, 7)}), packed=False))
    push(parse(f"{server.host}/{repository}:1"), made, quiet)
    blob = made.layers[0].blob
    proxy.plan = lambda method, path, count: Fault(cut_response=4 * MIB) if count < 2 else Fault(slow=0.001)
    ref = parse(f"{proxy.host}/{repository}:1")
    Registry(ref.registry, say=quiet, patience=waits.patience).fetch(ref, blob, tmp_path / "blob")
    assert digest_of((tmp_path / "blob").read_bytes()) == blob.digest
    assert [each.headers.get("Range", "").partition("-")[0] for each in proxy.seen] == [
        "", f"bytes={4 * MIB}", f"bytes={8 * MIB}",
    ]  # fmt: skip


def test_a_fetch_that_was_killed_goes_on(server: Server, proxy: Proxy, repository: str, tmp_path: Path) -> None:
    made = image(layer(tar_of({"a": noise(3 * MIB, 8)}), packed=False))
    push(parse(f"{server.host}/{repository}:1"), made, quiet)
    blob, ref = made.layers[0].blob, parse(f"{proxy.host}/{repository}:1")
    (tmp_path / ".partial-blob").write_bytes(b"".join(made.layers[0].chunks())[: 2 * MIB])
    Registry(ref.registry, say=quiet).fetch(ref, blob, tmp_path / "blob")
    assert [each.headers["Range"] for each in proxy.seen] == [f"bytes={2 * MIB}-"]
    assert digest_of((tmp_path / "blob").read_bytes()) == blob.digest
    assert [path.name for path in tmp_path.iterdir()] == ["blob"]


def test_a_corrupt_blob_is_refused_and_not_kept(
    server: Server, proxy: Proxy, repository: str, tmp_path: Path
) -> None:  # fmt: skip
    made = image(layer(tar_of({"a": noise(2 * MIB, 9)})))
    push(parse(f"{server.host}/{repository}:1"), made, quiet)
    proxy.plan = lambda method, path, count: Fault(corrupt=True) if "/blobs/" in path else None
    ref = parse(f"{proxy.host}/{repository}:1")
    client, blob = Registry(ref.registry, say=quiet), made.layers[0].blob
    with pytest.raises(JobFailed, match="corrupt"):
        client.fetch(ref, blob, tmp_path / "blob")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(JobFailed, match="corrupt"):
        b"".join(client.blob(ref, blob).chunks())


def test_a_corrupt_manifest_is_refused(server: Server, proxy: Proxy, repository: str) -> None:
    made = image(layer(tar_of({"a": b"1"})))
    push(parse(f"{server.host}/{repository}:1"), made, quiet)
    proxy.plan = lambda method, path, count: Fault(corrupt=True)
    for version in (":1", f"@{made.digest}"):
        ref = parse(f"{proxy.host}/{repository}{version}")
        with pytest.raises(JobFailed, match="corrupt"):
            Registry(ref.registry, say=quiet).manifest(ref)


def test_a_blob_that_is_corrupt_here_never_gets_there(server: Server, repository: str, tmp_path: Path) -> None:
    """A layout with a broken blob: nothing is pushed under the tag, and the error names it."""
    made = image(layer(tar_of({"a": noise(2 * MIB, 10)})))
    write_layout(made, tmp_path / "layout", ["x"], quiet)
    path = tmp_path / "layout/blobs/sha256" / made.layers[0].blob.digest[7:]
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    ran = run_envctl("push", f"oci:{tmp_path / 'layout'}", f"{server.host}/{repository}:1")
    assert ran.code == 5 and "corrupt" in ran.err and made.layers[0].blob.digest in ran.err
    ref = parse(f"{server.host}/{repository}:1")
    assert Registry(ref.registry, say=quiet).find(ref, MANIFEST) is None


def test_a_registry_that_stays_broken_is_one_clear_error(proxy: Proxy, repository: str, waits: Waits) -> None:
    proxy.plan = lambda method, path, count: Fault(status=503)
    with pytest.raises(HostLacks, match="does not work") as caught:
        push(parse(f"{proxy.host}/{repository}:1"), image(layer(tar_of({"a": b"1"}))), quiet, patience=waits.patience)
    assert "503" in caught.value.because[0].text
    assert waits == sorted(waits) or len(waits) >= 5


def test_a_registry_that_wants_an_hour_of_patience_gets_none(proxy: Proxy, repository: str, waits: Waits) -> None:
    proxy.plan = lambda method, path, count: Fault(status=429, headers={"Retry-After": "3600"})
    ref = parse(f"{proxy.host}/{repository}:1")
    with pytest.raises(HostLacks) as caught:
        Registry(ref.registry, say=quiet, patience=waits.patience).manifest(ref)
    assert "3600 s" in caught.value.because[0].text and not waits


def test_no_registry_and_nothing_there_are_named(server: Server, waits: Waits) -> None:
    ref = parse("127.0.0.1:1/x:1")
    with pytest.raises(HostLacks) as caught:
        Registry(ref.registry, say=quiet, patience=waits.patience).manifest(ref)
    assert caught.value.because[0].text == "connection refused"
    missing = run_envctl("base", "mirror", f"{server.host}/not/here:1", f"{server.host}/x:1")
    assert missing.code == 2 and "does not have it" in missing.err


def test_a_full_disk_of_the_registry_is_its_own_words(tmp_path: Path, waits: Waits) -> None:
    storage = tmp_path / "small"
    storage.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", storage], check=False).returncode:
        pytest.skip("may not mount a small file system")
    try:
        with registry(tmp_path, storage=storage) as server, pytest.raises(HostLacks) as caught:
            made = image(layer(tar_of({"a": noise(4 * MIB)}), packed=False))
            push(parse(f"{server.host}/x:1"), made, quiet, patience=waits.patience)
        assert "no space left" in caught.value.because[0].text.lower()
    finally:
        subprocess.run(["umount", storage], check=True)


def test_a_full_disk_here_is_named(server: Server, repository: str, tmp_path: Path) -> None:
    made = image(layer(tar_of({"a": noise(4 * MIB, 11)}), packed=False))
    push(parse(f"{server.host}/{repository}:1"), made, quiet)
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], check=False).returncode:
        pytest.skip("may not mount a small file system")
    try:
        ref = parse(f"{server.host}/{repository}:1")
        with pytest.raises(HostLacks, match="no space left"):
            Registry(ref.registry, say=quiet).fetch(ref, made.layers[0].blob, small / "blob")
        assert not (small / "blob").exists()
    finally:
        subprocess.run(["umount", small], check=True)


def test_documents_are_attached_and_listed(server: Server, repository: str) -> None:
    """docker-registry 2.8 has no referrers API: the list is kept under the digest's tag."""
    made = image(layer(tar_of({"a": b"1"})))
    ref = parse(f"{server.host}/{repository}:1")
    push(ref, made, quiet)
    subject = Descriptor(media_type=MANIFEST, digest=made.digest, size=len(made.manifest()))
    client = Registry(ref.registry, say=quiet)
    assert referrers(client, ref, made.digest) == ()
    for kind, data in (("application/vnd.cyclonedx+json", b'{"a":1}'), ("application/vnd.in-toto+json", b"{}")):
        first = attach(ref, subject, kind, data, quiet)
        assert attach(ref, subject, kind, data, quiet) == first
    found = referrers(client, ref, made.digest)
    assert [each.artifact_type for each in found] == ["application/vnd.cyclonedx+json", "application/vnd.in-toto+json"]
    assert [document(client, ref, each) for each in found] == [b'{"a":1}', b"{}"]


def test_of_several_platforms_the_wanted_one_is_taken(server: Server, repository: str) -> None:
    made = {name: image(layer(tar_of({"a": name.encode()}))) for name in ("amd64", "s390x")}
    ref = parse(f"{server.host}/{repository}:1")
    entries = []
    for name, each in made.items():
        push(ref.at(each.digest), each, quiet)
        entry = Descriptor(media_type=MANIFEST, digest=each.digest, size=len(each.manifest())).json()
        entries.append(entry | {"platform": {"os": "linux", "architecture": name}})
    client = Registry(ref.registry, say=quiet)
    client.put_manifest(ref, compact_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries[::-1]}), INDEX)
    assert digest_of(client.image(ref, "linux/amd64").manifest) == made["amd64"].digest
    assert digest_of(client.image(ref, "linux/s390x").manifest) == made["s390x"].digest
    with pytest.raises(BadInput, match="no image for linux/riscv64") as caught:
        client.image(ref, "linux/riscv64")
    assert "linux/amd64, linux/s390x" in caught.value.because[0].text


def test_a_digest_that_is_not_the_images_is_refused(server: Server, repository: str) -> None:
    other = "sha256:" + 64 * "0"
    with pytest.raises(BadInput, match="cannot be"):
        push(parse(f"{server.host}/{repository}@{other}"), image(layer(tar_of({"a": b"1"}))), quiet)


def test_an_error_in_one_blob_ends_the_others(server: Server, repository: str) -> None:
    """A blob that fails at once; the others, which would take long, are given up and nothing is tagged."""
    good = layer(tar_of({"a": noise(2 * MIB, 13)}))

    def broken() -> Iterator[bytes]:
        raise EnvctlError("the disk is gone")
        yield b""

    from dataclasses import replace

    bad = replace(layer(tar_of({"b": noise(2 * MIB, 14)})), chunks=broken)
    ref = parse(f"{server.host}/{repository}:1")
    with pytest.raises(EnvctlError, match="the disk is gone"):
        push(ref, image(good, bad), quiet)
    assert Registry(ref.registry, say=quiet).find(ref, MANIFEST) is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_push_that_is_stopped_tags_nothing_and_can_be_repeated(
    proxy: Proxy, server: Server, repository: str, tmp_path: Path, number: signal.Signals
) -> None:
    """Stopped in the middle of a blob: the proxy sees the first one come and has the signal sent then."""
    write_layout(image(layer(tar_of({"a": noise(8 * MIB, number)}), packed=False)), tmp_path / "layout", ["x"], quiet)
    ref = f"{repository}:{number}"
    command = [sys.executable, "-m", "envctl", "push", f"oci:{tmp_path / 'layout'}", f"{proxy.host}/{ref}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def stop(method: str, _: str, __: int) -> Fault | None:
        if method != "PATCH":
            return None
        process.send_signal(number)
        return Fault(cut_request=MIB)

    proxy.plan = stop
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "interrupted" in said
    client, found = Registry(server.host, say=quiet), parse(f"{server.host}/{ref}")
    assert client.find(found, MANIFEST) is None
    again = run_envctl("push", f"oci:{tmp_path / 'layout'}", str(found))
    assert again.code == 0 and client.find(found, MANIFEST), again.err
