"""How a registry wants to be convinced: Basic, or tokens from a server that it names (Bearer)."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from envctl.errors import HostLacks, Reason
from envctl.oci.credentials import Credentials
from envctl.oci.reference import is_loopback

CLIENT = "envctl"


def challenges(header: str) -> dict[str, dict[str, str]]:
    """The schemes of a WWW-Authenticate header in lower case, each with its parameters (RFC 9110, 11.6.1)."""
    found: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for match in re.finditer(r'([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))|([A-Za-z][\w-]*)', header):
        name, quoted, bare, scheme = match.groups()
        if scheme:
            current = found.setdefault(scheme.lower(), {})
        else:
            current[name.lower()] = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else bare
    return found


@dataclass(kw_only=True)
class Authority:
    """Authorization headers for one registry, learnt from its answers and shared by threads.

    `send` is the plain way to ask a token server; `insecure` allows it to be asked over plain HTTP.
    """

    registry: str
    credentials: Callable[[], Credentials | None]
    send: Callable[..., Any]
    insecure: bool
    _headers: dict[str, str] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def header(self, scope: str) -> str:
        """The header for requests of a scope; "" while none was asked for."""
        return self._headers.get(scope) or self._headers.get("basic", "")

    def learn(self, answer: str, scope: str, used: str) -> bool:
        """Get a header that satisfies a 401's challenge; False when there is nothing new to try.

        `used` is the header that was refused: another thread may have got a newer one meanwhile.
        """
        with self._lock:
            if self.header(scope) != used:
                return True
            offered, known = challenges(answer), self.credentials()
            if "bearer" in offered:
                fresh = f"Bearer {self._token(offered['bearer'], scope, known)}"
                self._headers[scope] = fresh
                return fresh != used
            if "basic" in offered and known and known.user and known.basic != used:
                self._headers["basic"] = known.basic
                return True
            return False

    def _token(self, offer: dict[str, str], scope: str, known: Credentials | None) -> str:
        realm, data = offer.get("realm", ""), {"service": offer.get("service", "")}
        scopes = sorted({*scope.split(), *offer.get("scope", "").split()})
        if urlsplit(realm).scheme not in ("http", "https"):
            raise HostLacks(f"{self.registry} names no token server that envctl can ask")
        if known:
            self._check_secret(realm)
        if known and known.identity_token:
            form = data | {"grant_type": "refresh_token", "refresh_token": known.identity_token, "client_id": CLIENT}
            answer = self.send("POST", realm, data=form | {"scope": " ".join(scopes)})
        else:
            headers = {"Authorization": known.basic} if known else {}
            query = [*data.items(), *(("scope", each) for each in scopes)]
            answer = self.send("GET", realm, params=query, headers=headers)
        return self._read(answer, realm, known)

    def _read(self, answer: Any, realm: str, known: Credentials | None) -> str:
        if answer.status_code in (400, 401, 403):
            raise refused(self.registry, known is not None, f"its token server answers {answer.status_code}")
        try:
            data = answer.json()
            return str(data.get("token") or data["access_token"])
        except (ValueError, KeyError, AttributeError, TypeError):
            because = [Reason(text=f"{urlsplit(realm).netloc} answers {answer.status_code} and no token")]
            raise HostLacks(f"{self.registry} gave no token", because=because) from None

    def _check_secret(self, url: str) -> None:
        """Raise before a secret goes over a network in the clear."""
        parts = urlsplit(url)
        if parts.scheme == "http" and not is_loopback(parts.netloc) and not self.insecure:
            because = [Reason(text=f"{parts.netloc} speaks plain HTTP")]
            raise HostLacks(
                "a password would be sent in the clear", because=because, do=["--insecure if that is meant"]
            )


def refused(registry: str, had_credentials: bool, why: str) -> HostLacks:
    """The error about missing or wrong credentials."""
    what = f"{registry} refuses these credentials" if had_credentials else f"{registry} wants credentials"
    return HostLacks(what, because=[Reason(text=why)], do=[f"docker login {registry}"])
