"""What package indexes say over their simple API: pages (PEP 691, 503) and metadata (PEP 658), never whole wheels.

uv says which index is the default one, so that both always ask the same.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name

from envctl.aliases import DEFAULT, Indexes
from envctl.errors import HostLacks, Reason
from envctl.run_uv import uv
from envctl.tree import cache_root, canonical_json, write_whole
from envctl.upstream.pages import from_entries, parse_page
from envctl.upstream.published import File, Malformed, Published, linux_wheels, parse_metadata
from envctl.upstream.web import NotThereError, Web
from envctl.upstream.wheel import metadata_of, remote

PAGE = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Simple:
    """The indexes behind the aliases; an alias's address is looked up when it is first asked."""

    indexes: Indexes
    _web: Web = field(default_factory=Web)
    _addresses: dict[str, str] = field(default_factory=dict)

    def published(self, alias: str, distribution: str) -> Published | None:
        """What the index has of a distribution, None when it knows no such name. Raises `HostLacks`."""
        address = self.address(alias, distribution)
        try:
            if address.startswith("file:"):
                return _on_disk(alias, distribution, address)
            answer = self._web.get(f"{address}/{distribution}/", PAGE)
            return parse_page(distribution, alias, answer.url, answer.kind, answer.text)
        except NotThereError:
            return None
        except Malformed as error:
            raise _failed(alias, "gave an answer that cannot be read", error) from error
        except OSError as error:
            raise _failed(alias, "gave no answer", error) from error

    def requires(self, published: Published, files: tuple[File, ...], *, both: bool) -> tuple[tuple[str, ...], ...]:
        """The Requires-Dist lines of a release's wheel for the newest Python, and (`both`) of that for the oldest.

        Empty where there is no wheel for Linux, or no way to its metadata.
        """
        wheels = sorted(linux_wheels(files), key=lambda file: (_python(file), file.metadata is not None, file.name))
        told = [self._told(published.alias, wheel) for wheel in ([*wheels[-1:], *(wheels[:1] if both else [])])]
        return tuple(dict.fromkeys(lines for lines in told if lines is not None))

    def _told(self, alias: str, wheel: File) -> tuple[str, ...] | None:
        try:
            return self._requires(wheel)
        except NotThereError:
            return None
        except Malformed as error:
            raise _failed(alias, f"gave metadata of {wheel.name} that cannot be read", error) from error
        except OSError as error:
            raise _failed(alias, f"gave no metadata of {wheel.name}", error) from error

    def address(self, alias: str, wanted: str) -> str:
        """The address behind an alias, without user and password."""
        if alias not in self._addresses:
            address = (self.indexes.address(alias, wanted) or default_address()).rstrip("/")
            self._addresses[alias] = self._web.without_user(address)
        return self._addresses[alias]

    def _requires(self, wheel: File) -> tuple[str, ...]:
        """Those lines from what was kept under the wheel's hash, else from the wheel."""
        kept = cache_root() / "metadata" / f"{wheel.sha256}.json"
        if wheel.sha256:
            with suppress(OSError, ValueError):
                return tuple(json.loads(kept.read_bytes()))
        lines = parse_metadata(self._metadata(wheel))
        if wheel.sha256:  # what a hash names never changes
            with suppress(HostLacks):
                write_whole(kept, canonical_json(list(lines)))
        return lines

    def _metadata(self, wheel: File) -> str:
        """A wheel's METADATA: as the index offers it, else out of the wheel, piece by piece where it is far."""
        if wheel.url.startswith("file:"):
            with Path(unquote(urlsplit(wheel.url).path)).open("rb") as file:
                return metadata_of(file, wheel.name)
        if wheel.metadata is None:
            size = self._web.get(wheel.url, span=(0, 1)).total
            return metadata_of(remote(lambda a, b: self._web.get(wheel.url, span=(a, b)).body, size), wheel.name)
        answer = self._web.get(f"{wheel.url}.metadata")
        if wheel.metadata and hashlib.sha256(answer.body).hexdigest() != wheel.metadata:
            raise Malformed("its hash is not the one on the page")
        return answer.text


def default_address() -> str:
    """The default index as uv has it configured (environment, uv.toml, or its own default)."""
    with tempfile.TemporaryDirectory(prefix="envctl-index-") as folder:
        (Path(folder) / "none.in").write_text("", encoding="utf-8")
        arguments = ["pip", "compile", "--quiet", "--offline", "--no-header", "--emit-index-url"]
        done = uv([*arguments, "--python", sys.executable, "none.in"], cwd=Path(folder))
    found = re.search(r"^--index-url (\S+)", done.stdout, re.MULTILINE)
    if found is None:
        because = [Reason(text=line, source="uv") for line in done.stderr.splitlines()[:3]]
        raise HostLacks("uv names no default index", because=because, do=_ways_out(DEFAULT))
    return found[1]


def _ways_out(alias: str) -> list[str]:
    return [
        "check network, proxy and certificate settings",
        f"or name another address: ENVCTL_INDEX_{alias.upper()}=URL (https://USER:PASSWORD@… where it asks for one)",
    ]


def _failed(alias: str, what: str, error: Exception) -> HostLacks:
    return HostLacks(f"the index ({alias}) {what}", because=[Reason(text=str(error))], do=_ways_out(alias))


def _on_disk(alias: str, distribution: str, address: str) -> Published:
    """A simple index in a folder, or a plain folder of wheels, as uv takes them."""
    root = Path(unquote(urlsplit(address).path))
    if not root.is_dir():
        raise OSError(f"there is no folder {root}")
    if not (root / "index.html").exists():
        wheels = [p for p in sorted(root.glob("*.whl")) if canonicalize_name(p.name.partition("-")[0]) == distribution]
        entries = [{"filename": path.name, "url": path.as_uri()} for path in wheels]
        return from_entries(distribution, alias, root.as_uri(), entries)
    page = root / distribution / "index.html"
    if not page.is_file():
        raise NotThereError
    return parse_page(distribution, alias, page.as_uri(), "text/html", page.read_text("utf-8", "replace"))


def _python(wheel: File) -> int:
    """The newest minor version of CPython 3 that a wheel is made for."""
    return max((int(tag.interpreter[3:]) for tag in wheel.tags if re.fullmatch(r"cp3\d+", tag.interpreter)), default=0)
