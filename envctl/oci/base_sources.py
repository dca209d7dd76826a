"""Where a base comes from: the store, a registry, an OCI layout, the local daemon; and its copy elsewhere.

Its manifest's digest is its identity: wherever the same digest is found, it is the same base.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from envctl.errors import BadInput, HostLacks, JobFailed, Reason
from envctl.oci.base_image import BaseImage
from envctl.oci.bases import base_image, being_made, folder_of, newest, point_to, publish
from envctl.oci.blobs import Packed, is_digest
from envctl.oci.content import Descriptor, blob_path, digest_of
from envctl.oci.layout import read_layout
from envctl.oci.local_base import from_daemon
from envctl.oci.push import Pushed, push_packed
from envctl.oci.reference import Reference, has_host, parse
from envctl.oci.registry import Registry
from envctl.oci.threads import side_by_side
from envctl.oci.transport import Patience, Say
from envctl.oci.written import fill

LAYOUT, DAEMON = "oci:", "docker-daemon:"


def open_base(
    text: str, names: Iterable[str], say: Say, *, insecure: bool = False, offline: bool = False,
    patience: Patience | None = None,
) -> BaseImage:  # fmt: skip
    """The base that a text names: NAME made here, sha256:DIGEST in the store, oci:DIR, REF@sha256:DIGEST or HOST/REF of
    a registry; docker-daemon:NAME, or a NAME without a host, of the local Docker."""
    if text in names or is_digest(text) or text.startswith(LAYOUT):
        return base_image(_local(text, names), text)
    if text.startswith(DAEMON):
        return from_daemon(text.removeprefix(DAEMON), say)
    if "@" not in text and not has_host(text):
        return from_daemon(text, say)
    return from_registry(parse(text), say, insecure=insecure, offline=offline, patience=patience)


def from_registry(
    ref: Reference, say: Say, *, insecure: bool = False, offline: bool = False, patience: Patience | None = None
) -> BaseImage:
    """A registry's base, fetched once. A tag is resolved to the digest that counts from then on, and that is said.

    Where the digest is an index's, the base is the image in it that is for this machine.
    """
    known = newest(ref.digest) or ref.digest  # an index was followed before
    if not (known and folder_of(known).is_dir()):
        if offline:
            do = ["leave --offline out once: it is kept then", "or give a copy: --base oci:DIR"]
            raise HostLacks(f"the base {ref} is not on this machine", do=do)
        registry = Registry(ref.registry, say=say, insecure=insecure, patience=patience)
        stored = registry.image(ref)
        known = digest_of(stored.manifest)
        if known != ref.digest:
            say(f"{ref} is {known}")
        _keep(registry, ref.at(known), stored, say)
        if ref.digest and known != ref.digest:
            point_to(ref.digest, known)
    return base_image(_with_origin(read_layout(folder_of(known), known), ref.origin), str(ref.at(known)))


def _keep(registry: Registry, ref: Reference, stored: Packed, say: Say) -> None:
    """Have an image in the store, every blob checked; a fetch that was cut off goes on where it stopped."""
    if folder_of(ref.digest).is_dir():
        return
    with being_made(ref.digest.removeprefix("sha256:")) as folder:
        wanted = {blob.descriptor.digest: blob.descriptor for blob in stored.blobs}
        total = sum(each.size for each in wanted.values())
        say(f"fetching {len(wanted)} blobs, {total / 1e6:.1f} MB, of {ref.origin}")

        def fetch(blob: Descriptor) -> None:
            path = folder / blob_path(blob.digest)
            if not path.is_file():
                registry.fetch(ref, blob, path)

        for number, (blob, _) in enumerate(side_by_side(wanted.values(), fetch, registry.http.stop), start=1):
            say(f"{number} of {len(wanted)}: {blob.digest[7:19]} {blob.size / 1e6:.1f} MB fetched")
        _finish(folder, ref, stored, say)


def _finish(folder: Path, ref: Reference, stored: Packed, say: Say) -> None:
    """Make a layout of the fetched blobs the base; one whose layers are not what it says is thrown away."""
    try:
        fill(stored, folder, [str(ref)], say)
        base_image(read_layout(folder, ref.digest), str(ref))
    except (BadInput, JobFailed):
        shutil.rmtree(folder)
        raise
    publish(folder, ref.digest)


def _with_origin(stored: Packed, origin: str) -> Packed:
    """The same image, whose layers say where a registry can mount them from."""
    return replace(stored, layers=tuple(replace(blob, origin=origin) for blob in stored.layers))


def _local(text: str, names: Iterable[str]) -> Packed:
    """A base of this machine."""
    if text.startswith(LAYOUT):
        folder, _, digest = text.removeprefix(LAYOUT).partition("@")
        return read_layout(Path(folder), digest)
    digest = newest(text) if text in names else text
    if digest and folder_of(digest).is_dir():
        return read_layout(folder_of(digest), digest)
    if text in names:
        raise HostLacks(f"{text} was not made here yet", do=[f"envctl base {text}"])
    because = [Reason(text=f"nothing under {folder_of(digest)}")]
    raise BadInput("the store has no base of that digest", because=because, do=["envctl base ls"])


def mirror(
    text: str, names: Iterable[str], target: Reference, say: Say, *, insecure: bool = False,
    patience: Patience | None = None,
) -> Pushed:  # fmt: skip
    """Copy a base to a registry, byte for byte, so that its digest stays; nothing of it is kept on this machine."""
    if text in names or is_digest(text) or text.startswith(LAYOUT):
        return push_packed(target, _local(text, names), say, insecure=insecure, patience=patience)
    ref = parse(text)
    stored = Registry(ref.registry, say=say, insecure=insecure, patience=patience).image(ref)
    digest = digest_of(stored.manifest)
    if digest != ref.digest:
        say(f"{ref} is {digest}")
    return push_packed(target, stored, say, insecure=insecure, patience=patience)
