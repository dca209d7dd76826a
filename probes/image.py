"""Print one JSON document: what the image that ENVCTL_IMAGE names asks of its host, as the engine tells it: platform,
age, NVIDIA_REQUIRE_* and the like, and files of a driver that were baked into it. It must be here: nothing is pulled.
ENVCTL_IMAGE=oci:FOLDER[:TAG] and archive:FILE are images that no engine has (image_file.py).
"""

import glob
import os
import re
import stat
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from machine import fact, main

# variables that decide what NVIDIA's tools do for a container; nothing else of an image's environment is told
TELLING = re.compile(r"NVIDIA_|CUDA_VERSION|NV_CUDA_COMPAT_PACKAGE|LD_LIBRARY_PATH|NVARCH")
# places where a driver's files lie; compat folders and stubs belong to the toolkit
PLACES = ("usr/lib/*", "usr/lib64", "usr/lib", "usr/local/nvidia/lib64")
DRIVER_FILES = ("libcuda.so.*.*", "libnvidia-ml.so.*.*")
FACTS = ("image_platform", "image_created", "image_environment", "image_size", "image_driver_files", "image_l4t")
# the release of Jetson Linux in the tags of NVIDIA's l4t images (l4t-jetpack:r36.2.0); l4t-tensorrt:r8.5 has its own
L4T_TAG = re.compile(r"l4t[^/:]*:r(3\d(?:\.\d+)+)")


def inspected():
    """What the engine, or the file, tells of the image; raises OSError."""
    name = os.environ["ENVCTL_IMAGE"]
    if name.startswith(("oci:", "archive:")):
        import image_file

        patterns = ["%s/%s" % (place, file) for place in PLACES for file in DRIVER_FILES]
        return image_file.described(name, TELLING, patterns)
    from urllib.parse import quote

    from containers import ask, client

    found = ask(client()["sdk"], "/images/%s/json" % quote(name, safe="/:@"))
    config = found.get("Config") or {}
    pairs = [it.partition("=") for it in config.get("Env") or []]
    files, why = driver_files(found.get("GraphDriver") or {})
    return {
        "platform": "%s/%s" % (found.get("Os"), found.get("Architecture")),
        "created": found.get("Created"),
        "environment": {name: value for name, _, value in pairs if TELLING.match(name)},
        "size": found.get("Size"),
        "l4t": l4t([*(found.get("RepoTags") or []), os.environ["ENVCTL_IMAGE"]]),
        "driver_files": files,
        "driver_files_error": why,
    }


def l4t(names):
    """The release of Jetson Linux that an image's names say, "" for none."""
    found = [it.group(1) for it in map(L4T_TAG.search, names) if it]
    return found[0] if found else ""


def driver_files(graph):
    """(files of a driver in the image's layers, None), or (None, why they cannot be seen)."""
    data = graph.get("Data") or {}
    layers = [it for key in ("LowerDir", "UpperDir") for it in (data.get(key) or "").split(":") if it]
    if not layers:
        return None, "layers of the storage %s cannot be listed" % graph.get("Name")
    if not all(os.access(it, os.R_OK | os.X_OK) for it in layers):
        return None, "only root may list layers"
    patterns = [os.path.join(layer, place, name) for layer in layers for place in PLACES for name in DRIVER_FILES]
    found = [path for pattern in patterns for path in glob.glob(pattern) if real(path)]
    return sorted({os.path.basename(it) for it in found}), None


def real(path):
    """Whether it is a file with content: containers that had a driver mounted leave empty ones behind."""
    told = os.lstat(path)
    return stat.S_ISREG(told.st_mode) and told.st_size > 0


def facts(machine):
    name = "recorded" if machine.root else os.environ.get("ENVCTL_IMAGE")
    answer, error = machine.call("docker-image", inspected) if name else (None, "no image was named")
    answer = answer or {}
    for one in FACTS:
        key = one[len("image_") :]
        yield fact(one, answer.get(key), "image " + (name or ""), answer.get(key + "_error") or error)


if __name__ == "__main__":
    main(facts)
