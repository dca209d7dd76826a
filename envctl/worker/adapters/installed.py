"""No engine: what is installed here, and whether modules can be imported. `versions` are those of all distributions."""

import importlib
import json
import os
import re
from importlib.metadata import distribution, distributions

from failure import StepFailed


def open_engine():
    pass


def versions():
    return {normal(each.metadata["Name"]): each.version for each in distributions()}


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def convert(source, target, options):
    """Import the modules of the distributions that are named; what was imported is the artifact."""
    imported = []
    for name in options["distributions"]:
        for module in modules(name):
            try:
                importlib.import_module(module)
            except Exception as error:
                raise StepFailed("engine-error", "import %s (of %s): %s" % (module, name, error)) from error
            imported.append(module)
    with open(os.path.join(target, "imported.json"), "w", encoding="utf-8") as stream:
        json.dump(imported, stream)
    return {"artifacts": ["imported.json"], "read_back": {"imported": " ".join(imported)}}


def modules(name):
    """The modules that a distribution is for: those it is called after, else all that it lists, else its outermost
    packages and files. Some wheels bring their tests and tools as modules too, which need what nobody locked.
    """
    found = distribution(name)
    listed = (found.read_text("top_level.txt") or "").split()
    if not listed:
        paths = [str(path) for path in found.files or []]
        packages = {path.split("/")[0] for path in paths if re.match(r"\w+/__init__\.py$", path)}
        listed = packages | {path[:-3] for path in paths if re.match(r"\w+\.py$", path)}
    listed = sorted(module for module in listed if not module.startswith("_") and module.isidentifier())
    return [each for each in listed if normal(name).startswith(normal(each))] or listed
