"""HTTP to one registry: authorization, patience with its faults, and errors in words without secrets.

Addresses are never shown: those of uploads and of redirected downloads are secrets themselves.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from envctl import __version__
from envctl.errors import BadInput, EnvctlError, HostLacks, Reason
from envctl.oci.challenge import Authority, refused
from envctl.oci.credentials import credentials_for
from envctl.oci.faults import StoppedError, faults, in_words, retry_after, words_of
from envctl.oci.reference import is_loopback

if TYPE_CHECKING:
    from requests import PreparedRequest, Response, Session

ATTEMPTS = 6
LONGEST_WAIT = 120.0
CONNECT_SECONDS = 10
READ_SECONDS = 60
COMMIT_SECONDS = 600  # a registry may hash a blob of gigabytes before it answers
TRANSIENT = (408, 429, 500, 502, 503, 504)
CERTIFICATES = Path("/etc/docker/certs.d")

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How often a request is tried and how the time between is spent (tests spend none)."""

    attempts: int = ATTEMPTS
    sleep: Callable[[float], None] = time.sleep

    def rest(self, attempt: int, asked: float = 0.0) -> None:
        """Wait before the next attempt: what the registry asked for, else twice as long each time, and not in step."""
        self.sleep(max(asked, min(0.5 * 2**attempt, 15.0) * random.uniform(0.7, 1.3)))


class Transport:
    """Requests to one registry, from any number of threads."""

    def __init__(self, registry: str, *, say: Say, insecure: bool = False, patience: Patience | None = None) -> None:
        self.registry, self.say, self.patience = registry, say, patience or Patience()
        self._certificates = CERTIFICATES / registry
        plain = insecure or (is_loopback(registry) and not self._certificates.is_dir())
        self.base = f"{'http' if plain else 'https'}://{registry}"
        self._local = threading.local()
        self.stop = threading.Event()  # set: every thread gives up
        self._credentials: list[Any] = []  # looked up once, when first asked for
        self._authority = Authority(
            registry=registry, credentials=self._known, send=self._send_elsewhere, insecure=insecure
        )

    def call(
        self,
        method: str,
        url: str,
        *,
        doing: str,
        expect: tuple[int, ...],
        scope: str = "",
        **options: Any,
    ) -> Response:
        """The registry's answer, with one of the expected codes; `doing` says what for.

        Raises `BadInput` or `HostLacks`. Faults of the network or the registry are tried again.
        """
        most = self.patience.attempts
        for attempt in range(most):
            problem, asked = "", 0.0
            try:
                answer = self.once(method, url, scope, **options)
            except faults() as error:
                problem = in_words(error)
            else:
                if answer.status_code in expect:
                    return answer
                if answer.status_code not in TRANSIENT:
                    raise self.error(answer, doing)
                problem, asked = words_of(answer), retry_after(answer.headers)
                answer.close()
            if asked > LONGEST_WAIT:
                problem = f"{problem}; it asks to wait {asked:.0f} s"
                break
            if attempt + 1 < most:
                self.say(f"{self.registry}: {problem}; trying again ({attempt + 2} of {most})")
                self.patience.rest(attempt, asked)
        raise self.gave_up(doing, problem)

    def gave_up(self, doing: str, problem: str) -> HostLacks:
        """The error after the last attempt."""
        do = ["nothing is lost: the same command goes on where this one stopped"]
        return HostLacks(f"{self.registry} does not work: could not {doing}", because=[Reason(text=problem)], do=do)

    def address(self, location: str) -> str:
        """An address that the registry gave, whole; a registry behind a proxy may think that it speaks plain HTTP."""
        whole = urljoin(f"{self.base}/", location)
        ours, theirs = urlsplit(self.base), urlsplit(whole)
        return theirs._replace(scheme=ours.scheme).geturl() if theirs.netloc == ours.netloc else whole

    def once(self, method: str, url: str, scope: str, **options: Any) -> Response:
        """An answer, whatever it is. A challenge is met, with a header that goes to the registry's own host only.

        Raises `faults()`.
        """
        if self.stop.is_set():
            raise StoppedError
        whole = self.address(url)
        ours = urlsplit(whole).netloc == self.registry
        headers = {"Accept-Encoding": "identity", **options.get("headers", {})}
        header = self._authority.header(scope) if ours else ""
        for _ in range(2):
            sent = headers | ({"Authorization": header} if header else {})
            answer = self._send(method, whole, **{**options, "headers": sent})
            if answer.status_code != 401 or not ours:
                break
            if not self._authority.learn(answer.headers.get("WWW-Authenticate", ""), scope, header):
                break
            header = self._authority.header(scope)
            if _is_spent(options.get("data")):  # a stream cannot be sent twice: whoever made it does that
                break
        return answer

    def _send(self, method: str, url: str, **options: Any) -> Response:
        seconds = COMMIT_SECONDS if method in ("PUT", "PATCH") else READ_SECONDS
        options.setdefault("timeout", (CONNECT_SECONDS, seconds))
        options.setdefault("allow_redirects", method in ("GET", "HEAD"))
        if is_loopback(self.registry):
            options["proxies"] = {"no_proxy": "127.0.0.1,localhost,::1"}
        return self._session().request(method, url, **options)

    def _send_elsewhere(self, method: str, url: str, **options: Any) -> Response:
        """A request to a token server, tried again like any other."""
        for attempt in range(self.patience.attempts):
            try:
                answer = self._send(method, url, **options)
                if answer.status_code not in TRANSIENT:
                    return answer
                problem = words_of(answer)
            except faults() as error:
                problem = in_words(error)
            self.patience.rest(attempt)
        raise HostLacks(f"the token server of {self.registry} does not work", because=[Reason(text=problem)])

    def _session(self) -> Session:
        """This thread's session."""
        if not hasattr(self._local, "session"):
            self._local.session = _new_session(self._certificates)
        return self._local.session  # type: ignore[no-any-return]

    def _known(self) -> Any:
        if not self._credentials:
            self._credentials.append(credentials_for(self.registry))
        return self._credentials[0]

    def error(self, answer: Response, doing: str) -> EnvctlError:
        """What a refusal means: credentials, nothing there, or the registry's own words."""
        code, said = answer.status_code, words_of(answer)
        if code in (401, 403):
            return refused(self.registry, self._known() is not None, f"could not {doing}: {said}")
        if code == 404:
            return BadInput(f"could not {doing}: {self.registry} does not have it", because=[Reason(text=said)])
        return HostLacks(f"could not {doing}", because=[Reason(text=said, source=self.registry)])


def _new_session(certificates: Path) -> Session:
    import requests

    class _Session(requests.Session):
        def rebuild_auth(self, prepared_request: PreparedRequest, response: Response) -> None:
            """A redirect to another host does not get the registry's header, nor anything from ~/.netrc."""
            old = response.request.url or ""
            if self.should_strip_auth(old, prepared_request.url or ""):
                prepared_request.headers.pop("Authorization", None)

    session = _Session()
    session.auth = lambda request: request  # or ~/.netrc would replace our header
    session.headers["User-Agent"] = f"envctl/{__version__}"
    authorities = sorted(certificates.glob("*.crt")) if certificates.is_dir() else []
    if authorities:
        session.verify = str(authorities[0])
    if (certificates / "client.cert").is_file():
        session.cert = (str(certificates / "client.cert"), str(certificates / "client.key"))
    return session


def _is_spent(data: Any) -> bool:
    return data is not None and not isinstance(data, (bytes, str, dict))
