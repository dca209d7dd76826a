"""`envctl bundle`: lock files -> a folder from which their environments can be made and run without network."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from envctl import __version__, lockfile
from envctl.aliases import Indexes, read_indexes
from envctl.bundle import own_wheel
from envctl.bundle.manifest import File, Manifest, Own, Picture
from envctl.bundle.writing import Item, being_written, finish, of_bytes, of_file, put
from envctl.errors import BadInput
from envctl.lock import Lock
from envctl.lockfile import LockFile, Target
from envctl.oci import wheels
from envctl.package import export
from envctl.tree import payload
from envctl.workflow.ask import Listener
from envctl.workflow.bundle_images import Drawn, drawn, index_item
from envctl.workflow.bundle_locks import Wanted, wanted

Named = dict[str, LockFile]


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleOrder:
    """What to bundle, and where to. `split` is the size in bytes above which files are cut (0: none is), `pythons`
    those that envctl itself shall run on; `images`, `bases` and `references` are brought where they are True."""

    locks: tuple[Path, ...]
    folder: Path
    split: int = 0
    pythons: tuple[str, ...] = ()
    images: bool = False
    bases: bool = True
    references: bool = True
    folders: tuple[Path, ...] = ()
    index: tuple[str, ...] = ()
    offline: bool = False


@dataclass(kw_only=True)
class Shelf:
    """The items of a bundle by path: each content once, whatever it is for."""

    items: dict[str, Item] = field(default_factory=dict)

    def add(self, item: Item) -> str:
        """Where the item lies; one with the same bytes that is there already gets its roles, and is not added."""
        there = self.items.get(item.path)
        if there and there.sha256 != item.sha256:  # two indexes have different files of the same name
            folder, _, name = item.path.rpartition("/")
            return self.add(_moved(item, f"{folder}/{item.sha256}/{name}"))
        roles = tuple(sorted({*item.roles, *(there.roles if there else ())}))
        self.items[item.path] = Item(
            path=item.path, size=item.size, sha256=item.sha256, roles=roles, blocks=item.blocks
        )
        return item.path


def _moved(item: Item, path: str) -> Item:
    return Item(path=path, size=item.size, sha256=item.sha256, roles=item.roles, blocks=item.blocks)


def bundle(order: BundleOrder, listener: Listener) -> Manifest:
    """The finished bundle's manifest. What the folder has already and is right is not made again."""
    locks = _read(order.locks)
    with being_written(order.folder):
        indexes = read_indexes(list(order.index))
        needed = wanted(list(locks.values()), order.pythons, order.references, indexes, order.offline, listener.say)
        shelf = Shelf()
        for lock in needed.environments:
            _wheels(shelf, lock, "wheel", order, indexes, listener.say)
        own = tuple(_own(shelf, needed, order, indexes, listener.say))
        pictures = _pictures(shelf, _targets(locks), order, listener)
        _small(shelf, locks, needed)
        files = _written(shelf, order, listener.say)
        brought = tuple(f"locks/{name}" for name in locks)
        manifest = Manifest(envctl=__version__, locks=brought, own=own, pictures=pictures, files=files)
        finish(order.folder, manifest)
    listener.say("")
    return manifest


def _read(paths: tuple[Path, ...]) -> Named:
    """The lock files by the names they get: their own, with a piece of the digest where two have the same."""
    found: Named = {}
    for path in sorted(paths, key=lambda path: (path.name, str(path))):
        lock = lockfile.load(path)
        name = _plain(path)
        if name in found and found[name].digest != lock.digest:
            name = f"{path.stem}-{lock.digest[:12]}{path.suffix}"
        found[name] = lock
    return dict(sorted(found.items()))


def _plain(path: Path) -> str:
    """The file's name, if it can be one on any machine."""
    from envctl.bundle.manifest import SAFE

    if not SAFE.fullmatch(path.name):
        raise BadInput(f"{path.name!r} is no plain name for a lock", do=["rename it: letters, digits, . _ + -"])
    return path.name


def _targets(locks: Named) -> list[Target]:
    """The targets of all locks, each environment on each base once."""
    found = {(each.environment.digest, str(each.base)): each for lock in locks.values() for each in lock.targets}
    return [found[key] for key in sorted(found)]


def _wheels(
    shelf: Shelf, lock: Lock, role: str, order: BundleOrder, indexes: Indexes, say: Callable[[str], None]
) -> list[str]:
    """The paths of a lock's wheels, which are brought into the store first."""
    paths = wheels.bring(lock, indexes, order.folders, offline=order.offline, say=say)
    found = sorted(lock.packages, key=lambda each: each.file)
    return [shelf.add(of_file(f"wheels/{p.file}", paths[p.sha256], p.size, p.sha256, role)) for p in found]


def _own(
    shelf: Shelf, needed: Wanted, order: BundleOrder, indexes: Indexes, say: Callable[[str], None]
) -> Iterator[Own]:
    """envctl and what it needs, for each Python and architecture."""
    wheel = of_bytes(f"wheels/{own_wheel.file_name()}", own_wheel.make(), "own")
    path = shelf.add(wheel)
    pinned = f"envctl=={__version__} --hash=sha256:{wheel.sha256}\n"
    for lock in needed.own:
        arch = lock.platform.partition("-")[0]
        text = (export(list(lock.packages)) + pinned).encode()
        requirements = shelf.add(of_bytes(f"own/requirements-{lock.python}-{arch}.txt", text, "own"))
        brought = (path, *_wheels(shelf, lock, "own", order, indexes, say))
        yield Own(python=lock.python, arch=arch, requirements=requirements, wheels=brought)


def _pictures(shelf: Shelf, targets: list[Target], order: BundleOrder, listener: Listener) -> tuple[Picture, ...]:
    """The bases of the targets and, if asked for, their images; every blob once."""
    found: dict[tuple[str, str], Drawn] = {}
    for target in targets if order.bases or order.images else []:
        for each in drawn(target, order.images, order.folders, order.index, order.offline, listener):
            found[each.picture.kind, each.picture.digest] = each
    if order.images and not found:
        do = ["lock one with a base: envctl lock … --base auto", "or leave --image out"]
        raise BadInput("no target of these locks has a base that an image could stand on", do=do)
    for each in found.values():
        for item in each.items:
            shelf.add(item)
    if found:
        shelf.add(index_item(list(found.values())))
    return tuple(found[key].picture for key in sorted(found))


def _small(shelf: Shelf, locks: Named, needed: Wanted) -> None:
    """Lock files, answers, and what installs envctl."""
    for name, lock in locks.items():
        shelf.add(of_bytes(f"locks/{name}", lock.text().encode(), "lock"))
    for name, answer in needed.answers.items():
        shelf.add(of_bytes(f"answers/{name}", answer.text().encode(), "answer"))
    for name in ("install.sh", "install.py"):
        shelf.add(of_bytes(name, (payload("carried") / name).read_bytes(), "install"))


def _written(shelf: Shelf, order: BundleOrder, say: Callable[[str], None]) -> tuple[File, ...]:
    """Every item as a file of the bundle, in the order of their paths."""
    items = [shelf.items[path] for path in sorted(shelf.items)]
    total, done = sum(item.size for item in items), 0
    files = []
    for item in items:
        say(f"writing {done >> 20} of {total >> 20} MiB: {item.path}")
        files.append(put(order.folder, item, 0 if "install" in item.roles else order.split))
        done += item.size
    return tuple(files)


def sizes(manifest: Manifest) -> dict[str, tuple[int, int]]:
    """Files and bytes by what they are for; a wheel that environments and envctl need counts for environments."""
    found: dict[str, tuple[int, int]] = {}
    for file in manifest.files:
        kind = next(title for role, title in KINDS if role in file.roles)
        count, size = found.get(kind, (0, 0))
        found[kind] = (count + 1, size + file.size)
    return found


KINDS = (
    ("wheel", "environments"),
    ("own", "envctl itself"),
    ("oci", "bases and images"),
    ("lock", "locks"),
    ("answer", "locks"),
    ("install", "installer"),
)


def as_data(manifest: Manifest, folder: Path) -> dict[str, object]:
    """What a bundle holds, for `--json`."""
    return {
        "folder": str(folder),
        "digest": manifest.digest,
        "envctl": manifest.envctl,
        "size": sum(file.size for file in manifest.files),
        "locks": list(manifest.locks),
        "own": [{"python": each.python, "arch": each.arch} for each in manifest.own],
        "pictures": [
            {"kind": p.kind, "digest": f"sha256:{p.digest}", "names": list(p.names)} for p in manifest.pictures
        ],
        "by_kind": {kind: {"files": count, "size": size} for kind, (count, size) in sizes(manifest).items()},
        "files": json.loads(manifest.text())["files"],
    }
