"""A token server for a real registry (its `auth: token`): signs JSON web tokens with openssl for one user."""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.registry_server import PASSWORD, USER

SERVICE, ISSUER = "tests", "tests-issuer"


@dataclass(kw_only=True)
class Tokens:
    """A running token server: the registry's configuration for it, and what it was asked for."""

    auth: str
    folder: Path
    seconds: int = 300  # how long a token is good
    asked: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)  # user, scopes

    def token(self, scopes: tuple[str, ...]) -> str:
        """A signed token for scopes."""
        certificate = subprocess.run(
            ["openssl", "x509", "-in", self.folder / "cert.pem", "-outform", "DER"], capture_output=True, check=True
        ).stdout
        header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(certificate).decode()]}
        now = int(time.time())
        claims: dict[str, Any] = {"iss": ISSUER, "aud": SERVICE, "sub": USER, "jti": secrets.token_hex(8)}
        claims |= {"nbf": now - 120, "iat": now, "exp": now + self.seconds}
        claims["access"] = [_access(scope) for scope in scopes]
        text = f"{_packed(json.dumps(header).encode())}.{_packed(json.dumps(claims).encode())}"
        command = ["openssl", "dgst", "-sha256", "-sign", self.folder / "key.pem"]
        return f"{text}.{_packed(subprocess.run(command, input=text.encode(), capture_output=True, check=True).stdout)}"


def _packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _access(scope: str) -> dict[str, object]:
    kind, name, actions = scope.split(":")
    return {"type": kind, "name": name, "actions": actions.split(",")}


@contextmanager
def token_server(folder: Path) -> Iterator[Tokens]:
    """A token server on loopback for as long as the context lasts."""
    key = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=tests"]
    key += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(key, check=True, capture_output=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    realm = f"http://127.0.0.1:{server.server_address[1]}/token"
    inner = f"realm: '{realm}', service: {SERVICE}, issuer: {ISSUER}, rootcertbundle: {folder / 'cert.pem'}"
    tokens = Tokens(auth=f"auth: {{token: {{{inner}}}}}", folder=folder)
    server.tokens = tokens  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield tokens
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Answers GET with Basic credentials, and POST with an identity token (the user's password)."""

    def do_GET(self) -> None:
        known = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        self._give(urlsplit(self.path).query, self.headers.get("Authorization") == known, "scope")

    def do_POST(self) -> None:
        form = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._give(form, parse_qs(form).get("refresh_token") == [PASSWORD], "scope")

    def _give(self, query: str, welcome: bool, key: str) -> None:
        tokens: Tokens = self.server.tokens  # type: ignore[attr-defined]
        scopes = tuple(each for scope in parse_qs(query).get(key, []) for each in scope.split())
        tokens.asked.append((USER if welcome else "", scopes))
        body = json.dumps({"token": tokens.token(scopes)} if welcome else {"errors": []}).encode()
        self.send_response(200 if welcome else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: tests look at `asked`."""
