"""Print one JSON document: Python environments a person is likely to mean, and what is installed in them.

Nothing is imported and no interpreter is started: names of *.dist-info folders tell distributions and versions.
"""

import glob
import os
import re
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from machine import Child, fact, main

VARIABLES = (
    "HOME", "PATH", "VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME", "PYTHONNOUSERSITE", "PYTHONUSERBASE",
    "PIP_CACHE_DIR", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "XDG_CACHE_HOME", "TF_USE_LEGACY_KERAS",
    "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION",
)  # fmt: skip
SHOWN = VARIABLES[4:]
DISTRIBUTION = re.compile(r"^(?P<name>[A-Za-z0-9][\w.]*?)-(?P<version>\d[^-]*?)(?:-py3\S*)?\.(?:dist|egg)-info$")
PROVIDERS = "/onnxruntime/capi/libonnxruntime_providers_*.so"
PIP_SECONDS = 0.4
WHEELS_LOOKED_AT = 500
ZIP_END = b"PK\5\6"  # the last record of a whole zip file


def variables():
    found = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    found.setdefault("HOME", os.path.expanduser("~"))
    return {"variables": found, "folder": os.getcwd()}


def running():
    return {
        "executable": sys.executable,
        "version": "%d.%d.%d" % sys.version_info[:3],
        "bits": 8 * struct.calcsize("P"),
    }


def prefixes(machine, known, folder, executable):
    """(how a person would call it, prefix) of each environment, the one that runs envctl first."""
    found = [("runs envctl", os.path.dirname(os.path.dirname(executable)))] if executable else []
    found += [(name, known[name].rstrip("/")) for name in ("VIRTUAL_ENV", "CONDA_PREFIX") if known.get(name)]
    found += [
        ("here", folder + "/" + name) for name in (".venv", "venv") if machine.stat(folder + "/" + name + "/pyvenv.cfg")
    ]
    for part in known.get("PATH", "").split(":"):
        if part and not part.endswith("/shims") and machine.stat(part + "/python3"):
            found.append(("first on PATH", os.path.dirname(part.rstrip("/")) or "/"))
            break
    seen = set()
    return [pair for pair in found if not (pair[1] in seen or seen.add(pair[1]))]


def settings(machine, prefix):
    """The keys of pyvenv.cfg, {} where this is no virtual environment."""
    lines = [line.partition("=") for line in (machine.text(prefix + "/pyvenv.cfg") or "").splitlines()]
    return {key.strip().lower(): value.strip() for key, found, value in lines if found}


def end_of_links(machine, path):
    """The path that a chain of links ends at."""
    for _ in range(8):
        target = machine.link(path)
        if target is None:
            return path
        path = os.path.normpath(os.path.join(os.path.dirname(path), target))
    return path


def minor_of(text):
    found = re.search(r"(3\.\d+)", text or "")
    return found.group(1) if found else None


def minor(machine, prefix, config, interpreter):
    """The minor version the environment was made for ("3.11")."""
    told = minor_of(config.get("version") or config.get("version_info"))
    folders = machine.glob(prefix + "/lib/python3.*")
    return told or minor_of(os.path.basename(interpreter)) or (minor_of(folders[-1]) if folders else None)


def sites(machine, prefix, version):
    """Folders where this prefix keeps distributions for one minor version."""
    patterns = ["/lib/python%s/site-packages", "/lib64/python%s/site-packages", "/lib/python%s/dist-packages"]
    patterns += ["/local/lib/python%s/dist-packages"] if prefix == "/usr" else []
    found = [prefix + pattern % version for pattern in patterns if version]
    found += ["/usr/lib/python3/dist-packages"] if prefix == "/usr" else []
    return [path for path in found if machine.stat(path) and not linked(machine, path)]


def linked(machine, path):
    """Whether lib64 is lib under another name."""
    return "/lib64/" in path and machine.link(path.partition("/lib64/")[0] + "/lib64") in ("lib", "./lib")


def site(machine, path, kind):
    """What is installed in one folder."""
    found, doubled = {}, {}
    names = [os.path.basename(item) for ext in ("dist", "egg") for item in machine.glob(path + "/*.%s-info" % ext)]
    for match in filter(None, map(DISTRIBUTION.match, names)):
        name = re.sub(r"[-_.]+", "-", match.group("name")).lower()
        if found.setdefault(name, match.group("version")) != match.group("version"):
            doubled.setdefault(name, [found[name]]).append(match.group("version"))
    providers = [
        os.path.basename(item)[len("libonnxruntime_providers_") : -3] for item in machine.glob(path + PROVIDERS)
    ]
    return {
        "path": path,
        "kind": kind,
        "distributions": found,
        "doubled": doubled,
        "leftovers": [os.path.basename(item) for item in machine.glob(path + "/~*")],
        "onnxruntime_providers": providers,
    }


def environment(machine, how, prefix, known):
    """One environment: its interpreter, and the folders it sees in the order in which it looks."""
    config = settings(machine, prefix)
    python = prefix + "/bin/python3" if machine.link(prefix + "/bin/python3") or not config else prefix + "/bin/python"
    interpreter = end_of_links(machine, python)
    version = minor(machine, prefix, config, interpreter)
    outer = config.get("include-system-site-packages", "").lower() == "true"
    base = os.path.dirname(config.get("home", ""))
    seen = [("PYTHONPATH", path) for path in known.get("PYTHONPATH", "").split(":") if path and machine.stat(path)]
    user = known.get("PYTHONUSERBASE", known.get("HOME", "") + "/.local") + "/lib/python%s/site-packages" % version
    if (outer or not config) and not known.get("PYTHONNOUSERSITE") and machine.stat(user):
        seen.append(("user", user))
    seen += [("own", path) for path in sites(machine, prefix, version)]
    seen += [("system", path) for path in sites(machine, base, version)] if outer else []
    return {
        "how": how,
        "prefix": prefix,
        "python": python,
        "version": version,
        "venv": bool(config),
        "conda": bool(machine.stat(prefix + "/conda-meta")),
        "interpreter": interpreter if machine.stat(python) else None,
        "interpreter_version": minor_of(os.path.basename(interpreter)),
        "sites": [site(machine, path, kind) for kind, path in seen],
    }


def cut_wheels(folder):
    """Wheels in pip's cache without the end a whole zip file has."""
    cut = []
    for path in sorted(glob.glob(folder + "/wheels/*/*/*/*/*.whl"))[:WHEELS_LOOKED_AT]:
        with open(path, "rb") as stream:
            stream.seek(max(0, os.path.getsize(path) - 22))
            if not stream.read().startswith(ZIP_END):
                cut.append(path)
    return cut


def pip_cache(machine, known):
    folder = known.get("PIP_CACHE_DIR", known.get("XDG_CACHE_HOME", known.get("HOME", "") + "/.cache") + "/pip")
    cut, error = machine.call("pip cache", lambda: Child(lambda: cut_wheels(folder)).answer(PIP_SECONDS))
    return fact("pip_cache", None if error else {"path": folder, "cut": cut}, folder, error)


def facts(machine):
    python, error = machine.call("python", running)
    yield fact("python_running", python, "sys.executable", error)
    told, error = machine.call("python variables", variables)
    known = told["variables"] if told else {}
    yield fact(
        "python_variables", None if error else {name: known[name] for name in SHOWN if name in known}, "environ", error
    )
    executable = python["executable"] if python else ""
    found = prefixes(machine, known, told["folder"] if told else "", executable)
    value = None if error else [environment(machine, how, prefix, known) for how, prefix in found]
    yield fact("python_environments", value, "pyvenv.cfg, */site-packages/*.dist-info", error)
    yield pip_cache(machine, known)


if __name__ == "__main__":
    main(facts)
