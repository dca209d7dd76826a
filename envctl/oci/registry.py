"""A container registry: manifests and blobs read, checked and written (OCI distribution specification 1.1)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envctl.errors import BadInput, JobFailed, Reason
from envctl.oci.blobs import BLOCK, INDEXES, MANIFESTS, Blob, Packed, checked, corrupt
from envctl.oci.content import Descriptor, digest_of
from envctl.oci.faults import StoppedError, faults, in_words
from envctl.oci.layout import LARGEST, for_platform, packed
from envctl.oci.reference import Reference
from envctl.oci.transport import Patience, Say, Transport
from envctl.tree import disk_errors

if TYPE_CHECKING:
    from requests import Response

ACCEPT = ", ".join((*MANIFESTS, *INDEXES))


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """A manifest's or index's bytes; `digest` was computed from them."""

    data: bytes
    media_type: str
    digest: str

    @property
    def json(self) -> Any:
        """The manifest as data; raises `BadInput`."""
        try:
            return json.loads(self.data)
        except ValueError as error:
            raise BadInput("a manifest is no JSON", because=[Reason(text=str(error))]) from None


class Registry:
    """One registry; everything read from it is checked against its digest."""

    def __init__(self, registry: str, *, say: Say, insecure: bool = False, patience: Patience | None = None) -> None:
        self.name = registry
        self.http = Transport(registry, say=say, insecure=insecure, patience=patience)

    def manifest(self, ref: Reference) -> Manifest:
        """The manifest or index of a reference. Raises `BadInput` when there is none, `JobFailed` for wrong bytes."""
        return self._manifest(ref, self._ask(ref, ACCEPT, (200,)))

    def find(self, ref: Reference, accept: str) -> Manifest | None:
        """The same for something that may not be there."""
        answer = self._ask(ref, accept, (200, 404))
        return self._manifest(ref, answer) if answer.status_code == 200 else None

    def _ask(self, ref: Reference, accept: str, expect: tuple[int, ...]) -> Response:
        url, doing = f"/v2/{ref.repository}/manifests/{ref.version}", f"read the manifest of {ref}"
        return self.http.call("GET", url, doing=doing, expect=expect, scope=pull_scope(ref), headers={"Accept": accept})

    def _manifest(self, ref: Reference, answer: Response) -> Manifest:
        data, named = answer.content, ref.digest or answer.headers.get("Docker-Content-Digest", "")
        if len(data) > LARGEST:
            raise BadInput(f"the manifest of {ref} has {len(data)} bytes", do=["this is no container image"])
        found = digest_of(data)
        if named.startswith("sha256:") and named != found:
            wanted = Descriptor(media_type="", digest=named, size=len(data))
            raise corrupt(wanted, str(ref), f"{found}, {len(data)} bytes")
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        return Manifest(data=data, media_type=kind, digest=found)

    def image(self, ref: Reference, platform: str = "") -> Packed:
        """The image of a reference, for a platform (default: this machine's) where an index has several."""
        found = self.manifest(ref)
        if (found.json.get("mediaType") or found.media_type) in INDEXES:
            entry = for_platform(found.json.get("manifests", []), str(ref), platform)
            ref = ref.at(str(entry["digest"]))
            found = self.manifest(ref)
        return packed(found.data, found.media_type, partial(self.blob, ref), str(ref))

    def blob(self, ref: Reference, wanted: Descriptor) -> Blob:
        """A blob of a repository, to be read (and checked) when its bytes are wanted."""
        chunks = partial(self._chunks_checked, ref, wanted)
        return Blob(descriptor=wanted, chunks=chunks, origin=ref.origin)

    def has_blob(self, ref: Reference, digest: str, scope: str) -> bool:
        """Whether the repository has a blob."""
        url, doing = f"/v2/{ref.repository}/blobs/{digest}", f"look for a blob in {ref.origin}"
        return self.http.call("HEAD", url, doing=doing, expect=(200, 404), scope=scope).status_code == 200

    def put_manifest(self, ref: Reference, data: bytes, media_type: str) -> Any:
        """Store a manifest under a reference's tag or digest; the answer's headers come back."""
        url, doing = f"/v2/{ref.repository}/manifests/{ref.version}", f"write the manifest of {ref}"
        headers = {"Content-Type": media_type}
        scope = push_scope(ref)
        answer = self.http.call("PUT", url, doing=doing, expect=(201,), scope=scope, headers=headers, data=data)
        named = answer.headers.get("Docker-Content-Digest", "")
        if named.startswith("sha256:") and named != digest_of(data):
            because = [Reason(text=f"sent   {digest_of(data)}"), Reason(text=f"stored {named}")]
            raise JobFailed(f"{self.name} stored another manifest than was sent", because=because)
        return answer.headers

    def _chunks_checked(self, ref: Reference, wanted: Descriptor) -> Iterator[bytes]:
        return checked(self.chunks(ref, wanted), wanted, ref.origin)

    def chunks(self, ref: Reference, wanted: Descriptor, start: int = 0) -> Iterator[bytes]:
        """A blob's bytes from an offset on, unchecked; a dropped connection goes on where it stopped."""
        done, failures = start, 0
        while done < wanted.size:
            before, problem = done, "the connection ended early"
            try:
                for block in self._piece(ref, wanted, done):
                    if self.http.stop.is_set():
                        raise StoppedError
                    done += len(block)
                    yield block
            except faults() as error:
                problem = in_words(error)
            if done >= wanted.size:
                return
            failures = 0 if done > before else failures + 1
            if failures >= self.http.patience.attempts:
                raise self.http.gave_up(f"read a blob of {ref.origin}", problem)
            self.http.say(f"{self.name}: {problem} at {done >> 20} of {wanted.size >> 20} MiB; going on")
            self.http.patience.rest(failures)

    def _piece(self, ref: Reference, wanted: Descriptor, start: int) -> Iterator[bytes]:
        """What one request gives of a blob; where the registry ignores ranges, the start is thrown away."""
        url, doing = f"/v2/{ref.repository}/blobs/{wanted.digest}", f"read a blob of {ref.origin}"
        headers = {"Range": f"bytes={start}-"} if start else {}
        scope = pull_scope(ref)
        with self.http.call(
            "GET", url, doing=doing, expect=(200, 206), scope=scope, headers=headers, stream=True
        ) as answer:
            skip = start if answer.status_code == 200 else 0
            # as sent: the blob's own gzip must not be undone
            while block := answer.raw.read(BLOCK, decode_content=False):
                if skip < len(block):
                    yield block[skip:]
                skip = max(0, skip - len(block))

    def fetch(self, ref: Reference, wanted: Descriptor, path: Path) -> None:
        """A blob in a file, which is there when it is whole; what an earlier attempt got is kept and gone on from."""
        partial_path = path.with_name(f".partial-{path.name}")
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial_path.open("a+b") as stream:
                digest, size = _hash(stream)
                for chunk in self.chunks(ref, wanted, size) if size <= wanted.size else ():
                    stream.write(chunk)
                    digest.update(chunk)
                    size += len(chunk)
            if size != wanted.size or f"sha256:{digest.hexdigest()}" != wanted.digest:
                partial_path.unlink()
                raise corrupt(wanted, ref.origin, f"sha256:{digest.hexdigest()}, {size} bytes")
            partial_path.replace(path)


def _hash(stream: Any) -> tuple[Any, int]:
    """The hash so far of what a file holds, and its size."""
    digest, size = hashlib.sha256(), 0
    stream.seek(0)
    while block := stream.read(BLOCK):
        digest.update(block)
        size += len(block)
    return digest, size


def pull_scope(ref: Reference) -> str:
    """The token scope for reading a repository."""
    return f"repository:{ref.repository}:pull"


def push_scope(ref: Reference, *others: str) -> str:
    """The token scope for writing to a repository and for mounting from others."""
    return " ".join([f"repository:{ref.repository}:pull,push", *(f"repository:{each}:pull" for each in others)])
