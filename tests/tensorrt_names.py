"""What a TensorRT binding has, without TensorRT: python tests/tensorrt_names.py tensorrt.so FOLDER -> JSON of names.

The extension module of the wheel is loaded itself, so the answer is its own. The libraries that it is linked with are
1 to 2 GB and wanted when something is done, not when names are registered: in a copy of the module their names are
overwritten with the C library's, and the functions that it takes the address of with one that every C library has.
Standard library only.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
from pathlib import Path

LIBRARY = rb"\0(libnv[a-z_]+\.so\.\d+)(?=\0)"
FUNCTION = (
    rb"\0((?:get|create|init)(?:Nv|Infer|Plugin|Builder|Lib)\w*"
    rb"|_ZN\d+nv(?:uff|caffe)parser1?\d+(?:FieldMap|createUff|createCaffe|shutdown)\w*)(?=\0)"
)


def names(module: Path, folder: Path) -> dict[str, list[str]]:
    """The classes of a binding with their members; functions have none."""
    data = overwritten(overwritten(module.read_bytes(), LIBRARY, b"libc.so.6"), FUNCTION, b"getpid")
    copy = folder / "tensorrt.so"
    copy.write_bytes(data)
    sys.setdlopenflags(os.RTLD_LAZY)  # what is never called is never looked for
    found = importlib.util.spec_from_file_location("tensorrt", copy)
    assert found and found.loader
    library = importlib.util.module_from_spec(found)
    found.loader.exec_module(library)
    return listed(library)


def overwritten(data: bytes, pattern: bytes, by: bytes) -> bytes:
    """The same bytes with every string of that pattern replaced by another one, which may not be longer."""
    return re.sub(pattern, lambda found: b"\0" + by.ljust(len(found.group(1)), b"\0"), data)


def listed(library: object) -> dict[str, list[str]]:
    """Public names of a module, and those of its classes."""
    found: dict[str, list[str]] = {}
    for name in dir(library):
        thing = getattr(library, name)
        if not name.startswith("_"):
            members = dir(thing) if isinstance(thing, type) else []
            found[name] = sorted(member for member in members if not member.startswith("_"))
    return found


if __name__ == "__main__":
    print(json.dumps(names(Path(sys.argv[1]), Path(sys.argv[2]))))
