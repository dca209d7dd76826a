"""Users and passwords as Docker's configuration has them: written down, or kept by a credential program."""

from __future__ import annotations

import base64
import binascii
import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from envctl.errors import BadInput, HostLacks, Reason

SECONDS = 30
TOKEN_USER = "<token>"  # by this name credential programs say that the secret is an identity token
NOT_FOUND = "credentials not found"


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """A user and a password, or an identity token; neither is ever shown."""

    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The value of a Basic authorization header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def docker_config() -> Path:
    """Docker's configuration file of this user."""
    folder = os.environ.get("DOCKER_CONFIG")
    return (Path(folder) if folder else Path.home() / ".docker") / "config.json"


def credentials_for(registry: str) -> Credentials | None:
    """What Docker's configuration has for a registry; None: nothing. A program of the registry's own comes first."""
    config = _read(docker_config())
    helper = config.get("credHelpers", {}).get(registry) or config.get("credsStore")
    if helper:
        found = _from_program(str(helper), registry)
        if found:
            return found
    for key, entry in config.get("auths", {}).items():
        if _host(key) == registry and isinstance(entry, dict):
            return _from_entry(entry, registry)
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_bytes())
        tables = [data.get(key, {}) for key in ("auths", "credHelpers")]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        # of the file itself nothing is shown: it may hold passwords
        raise BadInput(f"cannot read {path}", because=[Reason(text=type(error).__name__)]) from None
    if not all(isinstance(table, dict) for table in tables):
        raise BadInput(f"cannot read {path}", because=[Reason(text="auths and credHelpers must be tables")])
    return data  # type: ignore[no-any-return]


def _host(key: str) -> str:
    """The host of a key of `auths`, which old clients wrote as an address."""
    return key.partition("://")[2].partition("/")[0] if "://" in key else key.partition("/")[0]


def _from_entry(entry: dict[str, Any], registry: str) -> Credentials | None:
    if entry.get("identitytoken"):
        return Credentials(identity_token=str(entry["identitytoken"]))
    if entry.get("username"):
        return Credentials(user=str(entry["username"]), password=str(entry.get("password", "")))
    if not entry.get("auth"):
        return None  # Docker leaves an empty entry for what a program keeps
    try:
        user, colon, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
    except (binascii.Error, ValueError, TypeError):
        colon = ""
    if not colon:
        do = [f"docker login {registry}"]
        raise BadInput(f"{docker_config()} has an entry for {registry} that cannot be read", do=do)
    return Credentials(user=user, password=password.rstrip("\0"))


def _from_program(helper: str, registry: str) -> Credentials | None:
    """What docker-credential-HELPER knows; None when it knows nothing. Raises `HostLacks` when it fails."""
    program = f"docker-credential-{helper}"
    if not shutil.which(program):
        do = [f"install it, or take {helper!r} out of {docker_config()}"]
        raise HostLacks(f"{program} is not installed", because=[Reason(text="Docker's configuration names it")], do=do)
    try:
        done = subprocess.run(
            [program, "get"], input=registry, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        if done.returncode and NOT_FOUND in done.stdout + done.stderr:
            return None
        data = json.loads(done.stdout)
        user, secret = str(data["Username"]), str(data["Secret"])
    except (ValueError, KeyError, TypeError, subprocess.TimeoutExpired) as error:
        # neither its output nor its errors are shown: the secret could be among them
        because = [Reason(text=f"{type(error).__name__} on its answer")]
        do = [f"try: echo {registry} | {program} get", f"or docker login {registry}"]
        raise HostLacks(f"{program} gave no credentials for {registry}", because=because, do=do) from None
    return Credentials(identity_token=secret) if user == TOKEN_USER else Credentials(user=user, password=secret)
