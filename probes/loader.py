"""Print one JSON document: the C++ library a process really gets, and what bends the loader's search."""

import ctypes
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from machine import Child, fact, main

CHILD_SECONDS = 0.7
LIBSTDCXX = "libstdc++.so.6"
VARIABLES = ("LD_LIBRARY_PATH", "LD_PRELOAD", "CONDA_PREFIX")
SYSTEM_FOLDERS = ("/usr/lib/*-linux-gnu", "/lib/*-linux-gnu", "/usr/lib64", "/lib64", "/usr/lib")


def offered(path):
    """The newest GLIBCXX and CXXABI that a C++ library defines."""
    with open(path, "rb") as stream:
        content = stream.read()
    return {
        "path": path,
        "glibcxx": newest(re.findall(rb"\0GLIBCXX_(\d[\d.]*)(?=\0)", content)),
        "cxxabi": newest(re.findall(rb"\0CXXABI_(\d[\d.]*)(?=\0)", content)),
    }


def newest(versions):
    ordered = sorted(versions, key=lambda version: [int(part) for part in version.split(b".")])
    return ordered[-1].decode() if ordered else None


def loaded():
    """What the loader gives a process like this one; raises OSError where it finds none."""
    ctypes.CDLL(LIBSTDCXX)
    with open("/proc/self/maps") as stream:
        mapped = [line.split()[-1] for line in stream if LIBSTDCXX in line]
    return offered(mapped[0])


def variables():
    return {name: os.environ[name] for name in VARIABLES if name in os.environ}


def libstdcxx(machine, known):
    """The C++ library as it is loaded, and the others on this machine."""
    value, error = machine.call("libstdcxx", lambda: Child(loaded).answer(CHILD_SECONDS))
    yield fact("libstdcxx", value, "dlopen(%s) in a child" % LIBSTDCXX, error)
    arch, _ = machine.call("machine", lambda: os.uname().machine)
    folders = [folder.replace("*", arch or "*") for folder in SYSTEM_FOLDERS]
    folders += [known["CONDA_PREFIX"] + "/lib"] if known.get("CONDA_PREFIX") else []
    others = []
    for path in [folder + "/" + LIBSTDCXX for folder in folders]:
        for found in machine.glob(path):
            said, _ = machine.call("libstdcxx:" + found, lambda path=found: offered(path))
            others += [said] if said else []
    yield fact("libstdcxx_others", others, ", ".join(folders))


def entry(machine, path):
    """One folder of a search path and what it holds that hides something else."""
    return {
        "path": path,
        "there": bool(path and machine.stat(path)),
        "libcuda": bool(path and machine.stat(path + "/libcuda.so.1")),
        "libstdcxx": bool(path and machine.stat(path + "/" + LIBSTDCXX)),
    }


def configured(machine):
    """[file, folder] for every folder that the loader's configuration adds."""
    files = ["/etc/ld.so.conf", *machine.glob("/etc/ld.so.conf.d/*.conf")]
    lines = [
        (path, line.partition("#")[0].strip()) for path in files for line in (machine.text(path) or "").split("\n")
    ]
    return [[path, line] for path, line in lines if line and not line.startswith("include")]


def search(machine, known):
    paths = known["LD_LIBRARY_PATH"].replace(";", ":").split(":") if known.get("LD_LIBRARY_PATH") else []
    yield fact("ld_library_path", [entry(machine, path) for path in paths], "LD_LIBRARY_PATH")
    preloads = [word for word in known.get("LD_PRELOAD", "").replace(":", " ").split() if word]
    value = [{"path": path, "there": "/" not in path or bool(machine.stat(path))} for path in preloads]
    yield fact("ld_preload", value, "LD_PRELOAD")


def facts(machine):
    known, error = machine.call("loader variables", variables)
    for found in libstdcxx(machine, known or {}):
        yield found
    if error:
        yield fact("ld_library_path", None, "LD_LIBRARY_PATH", error)
        yield fact("ld_preload", None, "LD_PRELOAD", error)
    else:
        for found in search(machine, known):
            yield found
    yield fact("ld_so_conf", configured(machine), "/etc/ld.so.conf, /etc/ld.so.conf.d/*.conf")


if __name__ == "__main__":
    main(facts)
