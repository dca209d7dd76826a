"""How many bytes a locked wheel has: from the index, the file, the server's answer to HEAD, or the wheel itself."""

from __future__ import annotations

import hashlib
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from envctl.aliases import DEFAULT, Indexes, ways_out
from envctl.errors import HostLacks, Reason
from envctl.index import Wheel
from envctl.package import LockedPackage
from envctl.tree import cache_root, write_whole
from envctl.upstream.published import Malformed
from envctl.upstream.simple import default_address
from envctl.upstream.web import NotThereError, Web

AT_ONCE = 8
BLOCK = 1 << 20
SECONDS = 60.0


def with_sizes(
    wheels: Sequence[Wheel], indexes: Indexes, offline: bool, say: Callable[[str], None]
) -> tuple[LockedPackage, ...]:
    """The wheels as the lock names them. What a hash names has one size: it is kept, and asked for once."""
    unknown = [wheel for wheel in wheels if _near(wheel) is None]
    if offline and unknown:
        because = [Reason(text=f"the size of {unknown[0].file} is not known here", source=unknown[0].index)]
        do = ["leave --offline out once: what was asked is kept"]
        raise HostLacks("could not lock the packages without network", because=because, do=do)
    if unknown:
        say(f"asking for the sizes of {len(unknown)} wheels")
        web = _web(unknown, indexes)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda wheel: _keep(wheel, _far(wheel, web)), unknown))
    return tuple(_locked(wheel) for wheel in wheels)


def _locked(wheel: Wheel) -> LockedPackage:
    size = _near(wheel)
    assert size is not None
    names = ("name", "version", "file", "sha256", "index")
    return LockedPackage(size=size, **{name: getattr(wheel, name) for name in names})


def _near(wheel: Wheel) -> int | None:
    """The size as far as it is known without network."""
    if wheel.size is not None:
        return wheel.size
    if wheel.url.startswith("file:"):
        return Path(unquote(urlsplit(wheel.url).path)).stat().st_size
    with suppress(OSError, ValueError):
        return int(_kept(wheel).read_text(encoding="utf-8"))
    return None


def _kept(wheel: Wheel) -> Path:
    return cache_root() / "metadata" / f"{wheel.sha256}.size"


def _keep(wheel: Wheel, size: int) -> None:
    write_whole(_kept(wheel), f"{size}\n")


def _web(wheels: Sequence[Wheel], indexes: Indexes) -> Web:
    """Knows the users and passwords of the indexes: uv leaves them out of the addresses of files."""
    web = Web()
    for alias in {wheel.index for wheel in wheels}:
        web.without_user(indexes.addresses.get(alias) or (default_address() if alias == DEFAULT else ""))
    return web


def _far(wheel: Wheel, web: Web) -> int:
    """The size by the server's word; of one that does not give it, by fetching the wheel and checking its hash."""
    try:
        with suppress(NotThereError, Malformed):
            if size := web.size(wheel.url):
                return size
        return _counted(wheel, web)
    except OSError as error:
        because = [Reason(text=str(error), source=wheel.index)]
        what = f"could not lock the packages: the index ({wheel.index}) did not give {wheel.file}"
        raise HostLacks(what, because=because, do=ways_out(wheel.index)) from error


def _counted(wheel: Wheel, web: Web) -> int:
    digest, size = hashlib.sha256(), 0
    with urllib.request.urlopen(web.request(wheel.url), timeout=SECONDS) as response:
        while block := response.read(BLOCK):
            digest.update(block)
            size += len(block)
    if digest.hexdigest() != wheel.sha256:
        raise OSError(f"its content has another hash than the index says: {digest.hexdigest()}")
    return size
