"""One blob on its way into a registry: skipped, mounted, or sent; a dropped connection goes on where it stopped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

from envctl.errors import EnvctlError
from envctl.oci.blobs import Blob, checked
from envctl.oci.faults import StoppedError, faults, in_words, words_of
from envctl.oci.reference import Reference
from envctl.oci.registry import Registry, push_scope
from envctl.oci.transport import TRANSIENT

if TYPE_CHECKING:
    from requests import Response

SMALL = 1 << 20  # bytes that go in one request, which is not gone on with
TAKEN = (201, 204)
RETRIED = (400, 401, 404, 416, *TRANSIENT)  # an upload that the registry forgot or got wrong is begun anew
How = Literal["there", "mounted", "sent"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """A blob and the repository it goes to."""

    registry: Registry
    ref: Reference
    blob: Blob

    def run(self) -> How:
        """Have the blob in the repository; says how it came there. Raises `HostLacks`, `JobFailed` for wrong bytes."""
        digest, patience = self.blob.descriptor.digest, self.registry.http.patience
        if self.registry.has_blob(self.ref, digest, self._scope()):
            return "there"
        location, problem = self._begin(self._origin()), ""
        if location is None:
            return "mounted"
        for attempt in range(patience.attempts):
            problem = self._attempt(location)
            # a commit whose answer was lost leaves no upload behind, but the blob
            if not problem or self.registry.has_blob(self.ref, digest, self._scope()):
                return "sent"
            self.registry.http.say(f"{self.registry.name}: {problem}; sending a blob anew")
            patience.rest(attempt)
            location = self._begin() or location
        raise self._gave_up(problem)

    def _attempt(self, location: str) -> str:
        """Send and commit; what went wrong, or ""."""
        if self.blob.descriptor.size <= SMALL:
            return self._commit(location, b"".join(self.checked()))
        return self._commit(self._send(location), b"")

    def checked(self) -> Iterator[bytes]:
        """The blob, checked: what leaves here has the digest that the manifest says."""
        for chunk in checked(self.blob.chunks(), self.blob.descriptor, "this machine"):
            if self.registry.http.stop.is_set():
                raise StoppedError
            yield chunk

    def _scope(self) -> str:
        """The right to write here, and to read where the blob may be mounted from."""
        origin = self._origin()
        return push_scope(self.ref, *([origin] if origin else []))

    def _origin(self) -> str:
        """The repository of the same registry that has the blob; "" for none."""
        host, _, repository = self.blob.origin.partition("/")
        return repository if host == self.ref.registry and repository != self.ref.repository else ""

    def _begin(self, origin: str = "") -> str | None:
        """The address of a new upload; None when the registry could mount the blob from the origin instead."""
        query = f"?{urlencode({'mount': self.blob.descriptor.digest, 'from': origin})}" if origin else ""
        answer = self._call("POST", f"/v2/{self.ref.repository}/blobs/uploads/{query}", (201, 202), "start an upload")
        return None if answer.status_code == 201 else str(answer.headers["Location"])

    def _send(self, location: str) -> str:
        """The address to commit at, after all bytes went in one stream, as Docker sends them.

        After a fault the registry is asked how far it has come, and gets what it lacks.
        """
        done, failures, size = 0, 0, self.blob.descriptor.size
        while done < size:
            problem, after = self._patch(location, done)
            if not problem:
                return after
            failures += 1
            if failures >= self.registry.http.patience.attempts:
                raise self._gave_up(problem)
            location, reached = self._reached(location)
            failures = 0 if reached > done else failures
            done = reached
            self.registry.http.say(f"{self.registry.name}: {problem}; going on at {done >> 20} of {size >> 20} MiB")
            self.registry.http.patience.rest(failures)
        return location

    def _patch(self, location: str, start: int) -> tuple[str, str]:
        """What went wrong ("" when nothing did) in sending the rest, and the next address."""
        headers, body = {"Content-Type": "application/octet-stream"}, Body(self, start)
        if start:
            headers["Content-Range"] = f"{start}-{self.blob.descriptor.size - 1}"
        try:
            answer = self.registry.http.once("PATCH", location, self._scope(), headers=headers, data=body)
        except faults() as error:
            return in_words(error), ""
        if answer.status_code in (202, *TAKEN):
            return "", str(answer.headers.get("Location", location))
        if answer.status_code not in RETRIED:
            raise self.registry.http.error(answer, f"send a blob to {self.ref.origin}")
        return words_of(answer), ""

    def _reached(self, location: str) -> tuple[str, int]:
        """Where to go on and how far the registry has come, by its own account; a new upload where it forgot."""
        answer = self._call("GET", location, (200, 204, *RETRIED), "ask how far an upload has come")
        end = answer.headers.get("Range", "").removeprefix("bytes=").partition("-")[2]
        # "0-0" is said of no byte and of one: not worth going on from
        if answer.status_code == 204 and end.isdigit() and int(end):
            return str(answer.headers.get("Location", location)), min(int(end) + 1, self.blob.descriptor.size)
        return self._begin() or location, 0

    def _commit(self, location: str, data: bytes) -> str:
        """Say that the blob is whole and which digest it must have. What went wrong, or ""."""
        parts = urlsplit(location)
        query = [*parse_qsl(parts.query, keep_blank_values=True), ("digest", self.blob.descriptor.digest)]
        url, headers = parts._replace(query=urlencode(query)).geturl(), {"Content-Type": "application/octet-stream"}
        try:
            answer = self.registry.http.once("PUT", url, self._scope(), headers=headers, data=data)
        except faults() as error:
            return in_words(error)
        if answer.status_code not in (*TAKEN, *RETRIED):
            raise self.registry.http.error(answer, f"finish a blob in {self.ref.origin}")
        return "" if answer.status_code in TAKEN else words_of(answer)

    def _call(self, method: str, url: str, expect: tuple[int, ...], doing: str) -> Response:
        where = f"{doing} in {self.ref.origin}"
        return self.registry.http.call(method, url, doing=where, expect=expect, scope=self._scope())

    def _gave_up(self, problem: str) -> EnvctlError:
        return self.registry.http.gave_up(f"send a blob to {self.ref.origin}", problem)


class Body:
    """A blob's bytes from an offset on, as a request's body of known length. What is skipped is checked too."""

    def __init__(self, upload: Upload, start: int) -> None:
        self._upload, self._start = upload, start

    def __len__(self) -> int:
        return self._upload.blob.descriptor.size - self._start

    def __iter__(self) -> Iterator[bytes]:
        skip = self._start
        for chunk in self._upload.checked():
            if skip < len(chunk):
                yield chunk[skip:] if skip else chunk
            skip = max(0, skip - len(chunk))
