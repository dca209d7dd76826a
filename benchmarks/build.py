"""Ratios of images: python benchmarks/build.py [small|big] [--rounds N]   (as root, with Docker and its BuildKit)

Each row alternates ours and theirs (A B A B …) with all wheels on disk, and gives the median of the ratios. Theirs are
Dockerfiles of the same wheels with BuildKit: `uv --no-cache` and pip, both compiling bytecode, wheels in a bind mount.
Every side begins without an image of its own. small: openvino + numpy; big: tensorflow-cpu + tf2onnx.

(a) unchanged lock, `envctl build LOCK --load`, against `python -c pass`     (goal: 0.15 s in all)
(b) one small wheel changed, into Docker, against BuildKit + uv and + pip     (goals: 10 and 20 times faster)
(c) ready to run from a read-only mount, container start and import included, wheels unpacked before, against
    the same with an image of BuildKit + uv and + pip                                 (goals: 8 and 15 times)
(d) first image, nothing but wheels and base known, against both   (goal: 1.5 times against pip, classic store)
(e) first import in a fresh container with bytecode, against without: the whole `docker run`, and the import alone as
    the program in the container measures it, since both pay the same container start  (goal: 3 times)
(f) peak memory of a build                                                   (goal: 300 MB)

--containerd: row (d) against uv in a Docker 26 of Debian 13 whose images lie in containerd's store (goal: 2.5 times).

The heaviest wheel is changed before the first round: no image that an earlier run left behind has its layer.
"""

from __future__ import annotations

import argparse
import copy
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from installed import compile_envctl  # noqa: E402

from envctl import image, lock  # noqa: E402
from envctl.aliases import Indexes  # noqa: E402
from envctl.lock import Lock  # noqa: E402
from envctl.oci import bases, store, wheels  # noqa: E402
from envctl.package import LockedPackage  # noqa: E402
from envctl.tree import sha256_of  # noqa: E402
from tests import building, wheelhouse  # noqa: E402
from tests.newer_docker import newer_docker  # noqa: E402

SETS = {
    "small": (("openvino==2026.4.1", "numpy"), "openvino"),
    "big": (("tensorflow-cpu==2.20.0", "tf2onnx"), "tensorflow"),
}
BASE = image.base_bringing("3.11")
ENVCTL = [str(Path(sys.executable).parent / "envctl")]
DOCKER = "/usr/bin/docker"  # Debian's, which has BuildKit built in
OURS, THEIRS = "envctl-bench:ours", "envctl-bench:theirs"
UV = (
    "/made/uv venv -q --python /usr/bin/python3.11 /opt/env && /made/uv pip install -q --no-cache --offline --no-index "
    "--no-deps --compile-bytecode --find-links /made/wheels --python /opt/env/bin/python -r /made/requirements.txt"
)
PIP = (
    "/usr/bin/python3.11 /made/pip.zip/pip install -q --no-cache-dir --no-index --no-deps --disable-pip-version-check "
    "--root-user-action ignore --ignore-installed --prefix /opt/env --find-links /made/wheels -r /made/requirements.txt"
)
TIMED = "import time; began = time.perf_counter(); import {}; print(time.perf_counter() - began)"
Step = Callable[[], object]


class Bench:
    """One set of wheels with its folders."""

    def __init__(self, name: str, folder: Path, rounds: int) -> None:
        self.folder, self.rounds, self.module = folder, rounds, SETS[name][1]
        self.lock = made_lock(SETS[name][0])
        self.base = image.here(BASE, print)
        bases.point_to(BASE.name, self.base.digest)  # as `envctl base` does, which would make the same
        paths = wheels.bring(self.lock, Indexes(addresses={}), (), offline=False, say=print)
        self.context = folder / "context"
        (self.context / "wheels").mkdir(parents=True)
        for package in self.lock.packages:
            shutil.copyfile(paths[package.sha256], self.context / "wheels" / package.file)
        self.made: set[str] = set()
        self.change(max)
        from uv import find_uv_bin

        shutil.copy(find_uv_bin(), self.context / "uv")
        import pip

        shutil.make_archive(str(self.context / "pip"), "zip", Path(pip.__file__).parents[1], "pip")

    def write_lock(self, locked: Lock) -> None:
        self.path = self.folder / "envctl.lock"
        self.path.write_text(locked.text())
        pins = "".join(f"{each.name}=={each.version}\n" for each in locked.packages)
        (self.context / "requirements.txt").write_text(pins)

    def note_images(self) -> None:
        """Remember what was built, to be removed in the end: a name that is given anew leaves its image behind."""
        command = [DOCKER, "image", "inspect", "-f", "{{.Id}}", OURS, THEIRS]
        self.made |= set(subprocess.run(command, capture_output=True, text=True, check=False).stdout.split())

    def ours(self) -> None:
        run([*ENVCTL, "build", str(self.path), "--wheels", str(self.context / "wheels"), "--load", "--tag", OURS])

    def theirs(self, install: str) -> None:
        text = f"FROM {image.base_bringing('3.11').tag}\nRUN --mount=type=bind,target=/made {install}\n"
        (self.context / "Dockerfile").write_text(text)
        run([DOCKER, "build", "-q", "--network", "none", "-t", THEIRS, str(self.context)], DOCKER_BUILDKIT="1")

    def forget_images(self) -> None:
        """No image, no layer and no BuildKit cache of either side."""
        self.note_images()
        remove(OURS, THEIRS, *self.made)
        self.made.clear()
        subprocess.run([DOCKER, "builder", "prune", "-af"], capture_output=True, check=False)

    def forget(self) -> None:
        """Nothing known of layers and bytecode either."""
        self.forget_images()
        for kind in ("layers", "images", "bytecode", "names", "loaded", "daemons"):
            shutil.rmtree(store.place(kind, ""), ignore_errors=True)

    def change(self, which: Callable[..., LockedPackage] = min) -> None:
        """Another version of the smallest, pure wheel: one more line in a file of it."""
        self.note_images()
        package = which(self.lock.packages, key=lambda each: (self.context / "wheels" / each.file).stat().st_size)
        path = self.context / "wheels" / package.file
        alter(path)
        packages = tuple(
            replace(each, sha256=sha256_of(path)) if each.name == package.name else each for each in self.lock.packages
        )
        self.lock = replace(self.lock, packages=packages)
        self.write_lock(self.lock)

    def mounted(self) -> None:
        """Stage and import, as a process of its own does it."""
        run([sys.executable, str(ROOT / "benchmarks" / "stage.py"), str(self.path), self.module])

    def forget_environments(self) -> None:
        """Neither images nor an environment of links; the unpacked wheels stay."""
        self.forget_images()
        shutil.rmtree(store.cache_root() / "environments", ignore_errors=True)

    def imported(self, *options: str, image: str = OURS) -> float:
        """Import in a new container; the seconds that the import took there."""
        command = ["/opt/env/bin/python", *options, "-c", TIMED.format(self.module)]
        site = ["-e", "PYTHONPATH=/opt/env/lib/python3.11/site-packages:/opt/env/local/lib/python3.11/dist-packages"]
        python = command if image == OURS else ["/usr/bin/python3.11", *command[1:]]
        return float(
            run([DOCKER, "run", "--rm", "--network", "none", *(site if image == THEIRS else []), image, *python])
        )


def made_lock(requirements: tuple[str, ...]) -> Lock:
    wanted, recipe = wheelhouse.stack("3.11"), wheelhouse.spec(*requirements)
    indexes, platform = Indexes(addresses={}), building.PLATFORM
    return lock.find_or_make(wanted, recipe, platform, indexes, offline=False, refresh=False, say=print)


def alter(path: Path) -> None:
    """The wheel with a new line in its METADATA, and a RECORD that fits. Copied in blocks: what this process holds
    counts as a child's peak memory too."""
    made = path.with_suffix(".new")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as out:
        name = next(each for each in old.namelist() if each.endswith(".dist-info/METADATA"))
        text = old.read(name) + f"\nchanged {time.time_ns()}\n".encode()
        row = f"{name},{wheelhouse.record_hash(text)},{len(text)}"
        for info in old.infolist():
            if info.filename == name:
                out.writestr(info, text)
            elif info.filename.endswith(".dist-info/RECORD"):
                rows = old.read(info).decode().splitlines()
                out.writestr(info, "\n".join(row if each.startswith(f"{name},") else each for each in rows) + "\n")
            else:
                with old.open(info) as source, out.open(copy.copy(info), "w") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
    made.replace(path)


def run(command: list[str], **variables: str) -> str:
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command}\n{done.stdout}{done.stderr}")
    return done.stdout.strip().rpartition("\n")[2]


def remove(*names: str) -> None:
    subprocess.run([DOCKER, "rmi", "-f", *names], capture_output=True, check=False)


def pair(title: str, rounds: int, ours: Step, theirs: Step, before: Step = lambda: None) -> None:
    """Both in turns, `before` unmeasured ahead of each; the median of theirs/ours."""
    times = []
    for _ in range(rounds):
        before()
        mine = seconds(ours)
        before()
        times.append((mine, seconds(theirs)))
    show(title, times)


def show(title: str, times: list[tuple[float, float]]) -> None:
    """The median of theirs/ours, and both medians."""
    ratio = statistics.median(b / a for a, b in times)
    a, b = (statistics.median(each) for each in zip(*times, strict=True))
    print(f"{title:<62} {ratio:6.2f} times faster   {a:.2f} s / {b:.2f} s", flush=True)


def seconds(step: Step) -> float:
    """Wall seconds. What the other side has written is on the disk before: it would be waited for here."""
    os.sync()
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def measure(bench: Bench) -> None:
    first_image(bench)
    bench.ours()
    print(f"f  peak memory {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10} MiB (largest child of all)")
    pair(
        "a  python -c pass / unchanged lock", bench.rounds * 3, bench.ours, lambda: run([sys.executable, "-c", "pass"])
    )
    imports(bench)
    one_changed(bench)
    ready_to_run(bench)


def first_image(bench: Bench) -> None:
    """Row d."""
    for name, install in (("uv", UV), ("pip", PIP)):
        theirs = partial(bench.theirs, install)
        pair(f"d  first image / BuildKit + {name}", bench.rounds, bench.ours, theirs, bench.forget)


def one_changed(bench: Bench) -> None:
    """Row b."""
    bench.ours()
    for name, install in (("uv", UV), ("pip", PIP)):
        theirs = partial(bench.theirs, install)
        pair(f"b  one wheel changed / BuildKit + {name}", bench.rounds, bench.ours, theirs, bench.change)


def measure_containerd(bench: Bench) -> None:
    """Row d in another daemon, which is given the base first."""
    (bench.folder / "docker").mkdir()
    with newer_docker(bench.folder / "docker", []) as address:
        os.environ["DOCKER_HOST"] = address
        image.in_docker(BASE, bench.base, print)
        title = "d  first image, containerd's store / BuildKit + uv"
        pair(title, bench.rounds, bench.ours, partial(bench.theirs, UV), bench.forget)


def ready_to_run(bench: Bench) -> None:
    """Row c."""
    rounds = bench.rounds
    bench.ours()  # brings the wheel that was changed last
    bench.forget_images()  # or the image would be run
    bench.mounted()  # unpacks the wheels
    for name, install in (("uv", UV), ("pip", PIP)):

        def ready(install: str = install) -> None:
            bench.theirs(install)
            bench.imported(image=THEIRS)

        pair(f"c  mounted and imported / BuildKit + {name}", rounds, bench.mounted, ready, bench.forget_environments)


def imports(bench: Bench) -> None:
    """The import with and without bytecode: whole containers, and inside of them."""
    whole, inside = [], []
    for _ in range(bench.rounds):
        times = []
        for options in ((), ("-X", "pycache_prefix=/none")):
            began = time.perf_counter()
            alone = bench.imported(*options)
            times.append((time.perf_counter() - began, alone))
        whole.append((times[0][0], times[1][0]))
        inside.append((times[0][1], times[1][1]))
    show("e  docker run of an import, with bytecode / without", whole)
    show("e  the import alone, with bytecode / without", inside)


ROWS = {"d": first_image, "b": one_changed, "c": ready_to_run}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", nargs="?", choices=sorted(SETS), default="small")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=sorted(ROWS), help="that row alone")
    parser.add_argument("--containerd", action="store_true", help="row d, in a daemon of its own")
    given = parser.parse_args()
    os.environ.setdefault("ENVCTL_CACHE", str(Path.home() / ".cache" / "envctl-bench"))
    compile_envctl()
    with tempfile.TemporaryDirectory(prefix="envctl-bench-") as folder:
        bench = Bench(given.set, Path(folder), given.rounds)
        try:
            (measure_containerd if given.containerd else ROWS.get(given.only, measure))(bench)
        finally:
            os.environ.pop("DOCKER_HOST", None)
            bench.forget_images()


main()
