"""Stand-ins for package indexes: tiny wheels made here, served from this machine. No vendor's index is touched.

A `Wheelhouse` is a folder with a simple index (PEP 503) that can be read as file://, as a plain folder of wheels,
or over HTTP on 127.0.0.1 by a `Server` that remembers what it was asked for and can hold an answer back.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from envctl import lock
from envctl.aliases import Indexes
from envctl.environment import Environment
from envctl.lock import Lock
from envctl.recipe import Packages
from envctl.solver import Choice, Stack
from envctl.spec import ImageSpec
from envctl.tree import cache_root

SOME_DAY = (2020, 1, 1, 0, 0, 0)


def wheel(
    folder: Path,
    name: str,
    version: str,
    *,
    tag: str = "py3-none-any",
    says: str = "",
    needs: tuple[str, ...] = (),
    python: str = "",
) -> Path:
    """A wheel with the module NAME, whose SAYS is the text given, and a script of the same name that prints it."""
    module, path = name.replace("-", "_"), folder / f"{name.replace('-', '_')}-{version}-{tag}.whl"
    info = f"{module}-{version}.dist-info"
    meta = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}", *(f"Requires-Dist: {need}" for need in needs)]
    meta += [f"Requires-Python: {python}"] if python else []
    files = {
        f"{module}.py": f"SAYS = {says!r}\n\n\ndef main():\n    print(SAYS)\n",
        f"{info}/METADATA": "\n".join(meta) + "\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {module}:main\n",
    }
    record = "".join(f"{at},{record_hash(text)},{len(text)}\n" for at, text in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    with zipfile.ZipFile(path, "w") as archive:
        for at, text in files.items():
            archive.writestr(zipfile.ZipInfo(at, SOME_DAY), text)
    return path


def record_hash(text: str | bytes) -> str:
    """A file's hash as RECORD writes it."""
    digest = hashlib.sha256(text.encode() if isinstance(text, str) else text).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def sha256(path: Path) -> str:
    """A file's hash as locks write it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass(frozen=True)
class Wheelhouse:
    """A folder with `files/` and `simple/`."""

    root: Path

    def add(self, name: str, version: str, **options: object) -> Path:
        """A new wheel, and the pages written anew."""
        files = self.root / "files"
        files.mkdir(parents=True, exist_ok=True)
        path = wheel(files, name, version, **options)  # type: ignore[arg-type]
        self.publish(name)
        return path

    def publish(self, name: str) -> None:
        """Write the page of one package, with the hashes that its wheels have now, and the root page."""
        module = name.replace("-", "_")
        wheels = sorted((self.root / "files").glob(f"{module}-*.whl"))
        links = [f'<a href="../../files/{path.name}#sha256={sha256(path)}">{path.name}</a>' for path in wheels]
        page = self.root / "simple" / name / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text("<!DOCTYPE html><html><body>\n" + "\n".join(links) + "\n</body></html>\n")
        names = sorted(path.name for path in (self.root / "simple").iterdir() if path.is_dir())
        roots = "\n".join(f'<a href="{each}/">{each}</a>' for each in names)
        (self.root / "simple" / "index.html").write_text(f"<!DOCTYPE html><html><body>\n{roots}\n</body></html>\n")

    @property
    def as_index(self) -> str:
        """The address of the simple index, without any server."""
        return (self.root / "simple").as_uri()

    @property
    def as_folder(self) -> str:
        """The address of the plain folder of wheels."""
        return (self.root / "files").as_uri()


@dataclass
class Server:
    """A wheelhouse on 127.0.0.1. `asked` are the paths it was asked for; `held` paths wait until `release` is set."""

    address: str
    asked: list[str] = field(default_factory=list)
    held: str = "nothing is held"
    reached: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)

    def names(self) -> set[str]:
        """The packages it was asked for."""
        return {path.split("/")[2] for path in self.asked if path.startswith("/simple/") and path.count("/") > 2}


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *arguments: object, desk: Server, **options: object) -> None:
        self.desk = desk
        super().__init__(*arguments, **options)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self.desk.asked.append(self.path)
        if self.desk.held in self.path:
            self.desk.reached.set()
            self.desk.release.wait(60)
        super().do_GET()

    def log_message(self, *arguments: object) -> None:
        """Nothing on the tests' screen."""


@contextmanager
def served(house: Wheelhouse) -> Iterator[Server]:
    """The wheelhouse over HTTP, until the block ends."""
    desk = Server(address="")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, desk=desk, directory=str(house.root)))
    server.daemon_threads = True
    desk.address = f"http://127.0.0.1:{server.server_address[1]}/simple"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield desk
    finally:
        desk.release.set()
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class TwoIndexes:
    """A vendor's index and the default one, both served."""

    vendor: Wheelhouse
    default: Wheelhouse
    vendor_server: Server
    default_server: Server

    @property
    def indexes(self) -> Indexes:
        """Both, by alias."""
        return Indexes(addresses={"nvidia": self.vendor_server.address, "pypi": self.default_server.address})


@contextmanager
def two_served(vendor: Wheelhouse, default: Wheelhouse) -> Iterator[TwoIndexes]:
    """Both houses on 127.0.0.1."""
    with served(vendor) as one, served(default) as other:
        yield TwoIndexes(vendor, default, one, other)


def stack(python: str = "3.11", **constraints: str) -> Stack:
    """A stack of the engine "engine" 1.0 on that Python."""
    versions = {"engine": "1.0", "python": python}
    choices = {n: Choice(name=n, version=v, source="test", why=()) for n, v in versions.items()}
    return Stack(engine="engine", choices=choices, constraints={n: (spec,) for n, spec in constraints.items()})


def spec(*requirements: str, index: dict[str, str] | None = None) -> ImageSpec:
    """A recipe with these requirements."""
    packages = Packages(requirements=requirements, index=index or {})
    return ImageSpec(
        engine="engine",
        option="engine",
        title="Engine",
        adapter="echo",
        runs_on="cpu",
        formats=frozenset({"onnx"}),
        precisions=("fp32",),
        domains=frozenset(),
        variants=(("", packages),),
    )


def only(house: Wheelhouse, **others: str) -> Indexes:
    """The wheelhouse as the default index, and nothing of the network."""
    return Indexes(addresses={"pypi": house.as_index, **others})


def of_one(root: Path) -> Wheelhouse:
    """A house with one package, engine 1.0, large enough to fill a small disk."""
    made = Wheelhouse(root)
    made.add("engine", "1.0", says="hello from the environment" + "." * 300_000)
    return made


def lock_of(house: Wheelhouse, python: str) -> Lock:
    """The lock of "engine" from that house."""
    wanted, recipe, platform = stack(python), spec("engine=={engine}"), "x86_64-manylinux_2_28"
    return lock.find_or_make(wanted, recipe, platform, only(house), offline=False, refresh=False, say=[].append)


def names() -> list[str]:
    """The names of all environments in the cache, finished or not."""
    folder = cache_root() / "environments"
    return sorted(path.name for path in folder.glob("*") if path.suffix != ".lock")


def works(made: Environment) -> bool:
    """Whether its interpreter imports what `of_one` has, and the script runs."""
    command = [made.python, "-I", "-c", "import engine; print(engine.SAYS[:5])"]
    script = [made.python.parent / "engine"]
    printed = [subprocess.run(each, capture_output=True, text=True, check=True).stdout for each in (command, script)]
    return all(text.startswith("hello") for text in printed)
