"""An image in a file or folder, told as the engine tells of one: `oci:FOLDER[:TAG]` (an OCI layout) or `archive:FILE`
(what docker save, podman save and skopeo copy write). Nothing is unpacked; what is read by digest is checked.
"""

import fnmatch
import hashlib
import json
import os
import platform
import tarfile
import time

LARGEST_JSON = 8 << 20
LAYER_SECONDS = 20  # for all layers together: they are read through
TAGS = ("org.opencontainers.image.ref.name", "io.containerd.image.name")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
WHITEOUT = ".wh."


class Folder:
    """The blobs of an OCI layout."""

    def __init__(self, path):
        self.path = path

    def open(self, name):
        """A file of the image, to read from; raises OSError."""
        return open(os.path.join(self.path, name), "rb")


class Archive:
    """The same in a tar archive."""

    def __init__(self, path):
        try:
            self.tar = tarfile.open(path)  # noqa: SIM115 - read from until the probe ends
            self.members = {os.path.normpath(it.name): it for it in self.tar if it.isfile()}
        except (tarfile.TarError, EOFError) as error:
            raise OSError("the archive is cut off or damaged: %s" % error) from None

    def open(self, name):
        if os.path.normpath(name) not in self.members:
            raise OSError("the archive has no %s" % name)
        return self.tar.extractfile(self.members[os.path.normpath(name)])


def document(place, name, digest=None):
    """A JSON file of the image; raises OSError where it is not what its digest says."""
    with place.open(name) as stream:
        said = stream.read(LARGEST_JSON)
    if digest and "sha256:" + hashlib.sha256(said).hexdigest() != digest:
        raise OSError("%s is damaged: its SHA-256 is another" % name)
    try:
        return json.loads(said.decode("utf-8"))
    except ValueError:
        raise OSError("%s is no JSON" % name) from None


def blob(digest):
    """Where a layout keeps what has this digest."""
    kind, _, rest = str(digest).partition(":")
    if kind != "sha256" or not rest.isalnum():
        raise OSError("%r is no digest" % digest)
    return "blobs/sha256/%s" % rest


def manifest(place, tag):
    """(configuration, names of layers) of a layout's image for this machine, or of its only one."""
    entries = document(place, "index.json")["manifests"]
    if tag:
        entries = [it for it in entries if any(named(it, key) == tag for key in TAGS)]
        if not entries:
            raise OSError("the layout has no image %s" % tag)
    if len({it.get("digest") for it in entries}) > 1 and not any(it.get("platform") for it in entries):
        tags = sorted({named(it, TAGS[0]) for it in entries} - {""})
        raise OSError("the layout holds several images; name one: oci:FOLDER:%s" % "|".join(tags))
    entry = mine(entries)
    found = document(place, blob(entry["digest"]), entry["digest"])
    for _ in range(4):  # an index of indexes: nobody nests them deeper
        if "manifests" not in found:
            break
        entry = mine(found["manifests"])
        found = document(place, blob(entry["digest"]), entry["digest"])
    digest = found["config"]["digest"]
    return document(place, blob(digest), digest), [blob(it["digest"]) for it in found["layers"]]


def named(entry, key):
    """A tag without the name before it: both are written."""
    return str((entry.get("annotations") or {}).get(key, "")).rpartition(":")[2]


def mine(entries):
    """The entry for this machine's processor, else the first one."""
    if not entries:
        raise OSError("the layout is empty")
    here = ARCHITECTURES.get(platform.machine(), platform.machine())
    fits = [it for it in entries if (it.get("platform") or {}).get("architecture") == here]
    return (fits or entries)[0]


def saved(place):
    """(configuration, names of layers) of the only image in what `docker save` wrote."""
    entries = document(place, "manifest.json")
    if len(entries) != 1:
        raise OSError("the archive holds %d images; save one alone" % len(entries))
    return document(place, entries[0]["Config"]), entries[0]["Layers"]


def described(name, telling, patterns):
    """What the image says of itself, with the keys of the engine's answer. `telling` chooses variables of its
    environment, `patterns` files of its layers. Raises OSError."""
    kind, _, rest = name.partition(":")
    try:
        if kind == "archive":
            place = Archive(rest)
            config, layers = saved(place) if "manifest.json" in place.members else manifest(place, None)
        else:
            path, tag = (rest, None) if os.path.isdir(rest) else rest.rsplit(":", 1)
            place = Folder(path)
            config, layers = manifest(place, tag)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise OSError("no image can be made out: %s %s" % (type(error).__name__, error)) from None
    pairs = [it.partition("=") for it in (config.get("config") or {}).get("Env") or []]
    files, why = listed(place, layers, patterns)
    return {
        "platform": "%s/%s" % (config.get("os"), config.get("architecture")),
        "created": config.get("created"),
        "environment": {name: value for name, _, value in pairs if telling.match(name)},
        "size": None,
        "size_error": "layers are compressed: not told",
        "driver_files": files,
        "driver_files_error": why,
    }


def listed(place, layers, patterns):
    """(names of files that match in the layers, None), or (None, why they cannot be seen)."""
    found, deadline = set(), time.monotonic() + LAYER_SECONDS
    for layer in layers:
        try:
            found = one_layer(place, layer, patterns, found, deadline)
        except (OSError, EOFError, tarfile.TarError, ValueError) as error:
            return None, "a layer cannot be listed: %s" % error
    return sorted({os.path.basename(it) for it in found}), None


def one_layer(place, layer, patterns, found, deadline):
    """The paths that match, with those of a layer and without those it takes away."""
    with place.open(layer) as stream:
        mark = stream.read(4)
        stream.seek(0)
        if mark == ZSTD:
            raise OSError("zstd is not read")
        with tarfile.open(fileobj=stream, mode="r|gz" if mark[:2] == GZIP else "r|") as tar:
            for member in tar:
                if time.monotonic() > deadline:
                    raise OSError("no end within %d s" % LAYER_SECONDS)
                found = after(found, member, patterns)
    return found


def after(found, member, patterns):
    """The paths that match when a member of a layer was added, or took something away."""
    path = os.path.normpath(member.name).lstrip("/")
    folder, name = os.path.split(path)
    if name == WHITEOUT + WHITEOUT + ".opq":
        return {it for it in found if not it.startswith(folder + "/")}
    if name.startswith(WHITEOUT):
        gone = os.path.join(folder, name[len(WHITEOUT) :])
        return {it for it in found if it != gone and not it.startswith(gone + "/")}
    if not member.isreg():
        return found - {path}
    return found | {path} if member.size and any(matches(path, it) for it in patterns) else found - {path}


def matches(path, pattern):
    """As glob matches: a star stops at a slash."""
    return path.count("/") == pattern.count("/") and fnmatch.fnmatchcase(path, pattern)
