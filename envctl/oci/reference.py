"""Names of images in registries: HOST[:PORT]/NAME[:TAG][@DIGEST]."""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from dataclasses import dataclass, replace

from envctl.aliases import config_file
from envctl.errors import BadInput, Reason
from envctl.oci.blobs import is_digest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# the grammar of names and tags: OCI distribution specification 1.1, "Pull"
PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
REPOSITORY = re.compile(rf"{PART}(?:/{PART})*")
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::\d{1,5})?")
LATEST = "latest"
VARIABLE = "ENVCTL_REGISTRY"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """A parsed name. A digest counts before a tag; without either the tag is `latest`."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def version(self) -> str:
        """What manifests are asked for by: the digest, else the tag."""
        return self.digest or self.tag or LATEST

    @property
    def origin(self) -> str:
        """Host and repository: what layers from here carry as their origin."""
        return f"{self.registry}/{self.repository}"

    def at(self, digest: str) -> Reference:
        """The same repository at a digest."""
        return replace(self, tag="", digest=digest)

    def __str__(self) -> str:
        tag, digest = (f":{self.tag}" if self.tag else ""), (f"@{self.digest}" if self.digest else "")
        return f"{self.origin}{tag}{digest}"


def parse(text: str) -> Reference:
    """The reference that a text names; raises `BadInput`. A name without a host belongs to the default registry."""
    name, _, digest = text.partition("@")
    if digest and not is_digest(digest):
        raise _bad(text, f"{digest!r} is no sha256 digest")
    first, _, rest = name.partition("/")
    hosted = has_host(text)
    host, path = (first, rest) if hosted else (_default(text), name)
    path, _, tag = path.partition(":")
    path = path if hosted or "/" in path else f"library/{path}"  # as Docker reads names without a slash
    for value, pattern, noun in ((host, HOST, "host"), (path, REPOSITORY, "repository")):
        if not pattern.fullmatch(value):
            raise _bad(text, f"{value!r} is no {noun}" + (" (lower case only)" if value != value.lower() else ""))
    if (tag or ":" in name.removeprefix(first)) and not TAG.fullmatch(tag):
        raise _bad(text, f"{tag!r} is no tag")
    return Reference(registry=host, repository=path, tag=tag, digest=digest)


def has_host(text: str) -> bool:
    """Whether a reference names its registry."""
    first, slash, _ = text.partition("@")[0].partition("/")
    return bool(slash) and (any(mark in first for mark in ".:[") or first == "localhost")


def _bad(text: str, why: str) -> BadInput:
    do = ["HOST[:PORT]/NAME[:TAG][@sha256:…], for example 127.0.0.1:5000/team/engine:1"]
    shown = text if "@sha" in text else text.rpartition("@")[2]  # what is before an @ could be a password
    return BadInput(f"{shown!r} is no image reference", because=[Reason(text=why)], do=do)


def _default(text: str) -> str:
    """The registry of names without one, from the user's configuration; envctl has none of its own."""
    host = os.environ.get(VARIABLE, "")
    if not host and config_file().is_file():
        try:
            host = tomllib.loads(config_file().read_text(encoding="utf-8")).get("registry", {}).get("default", "")
        except (OSError, ValueError, AttributeError) as error:
            raise BadInput(f"cannot read {config_file()}", because=[Reason(text=str(error))]) from None
    if host:
        return str(host)
    because = [Reason(text="it names no registry, and no default one is configured")]
    do = [f"write HOST/{text}", f'or [registry] default = "HOST" in {config_file()} ({VARIABLE})']
    raise BadInput(f"which registry has {text}?", because=because, do=do)


def is_loopback(registry: str) -> bool:
    """Whether a registry is on this machine: only there is plain HTTP taken without being asked for."""
    host = registry.rpartition(":")[0] if re.search(r":\d+$", registry) else registry
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
