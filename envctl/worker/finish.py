"""Makes what an installer left the same everywhere: python finish.py PREFIX HOME   (standard library, CPython 3.8 up)

Run by the Dockerfile that `envctl build --emit dockerfile` writes, with the base's own Python. Takes away what tells of
the installer and the day, writes scripts, RECORD and modes as envctl's images have them, and compiles the modules.
"""

import base64
import configparser
import csv
import hashlib
import os
import re
import shutil
import stat
import sys
import warnings

import bytecode

LEFT = ("REQUESTED", "direct_url.json", "uv_cache.json", "RECORD.jws", "RECORD.p7s")
SCRIPT = """\
#!{python}
import sys

from {module} import {first}

if __name__ == "__main__":
    sys.exit({attribute}())
"""


def main(prefix, home):
    minor = "%d.%d" % sys.version_info[:2]
    library = os.path.join(prefix, "lib", "python" + minor, "site-packages")
    for name in ("_virtualenv.py", "_virtualenv.pth"):
        remove(os.path.join(library, name))
    empty(prefix, library, home, minor)
    infos = sorted(name for name in os.listdir(library) if name.endswith(".dist-info"))
    owned = {info: finish(prefix, library, info) for info in infos}
    for info, rows in owned.items():
        compiled = [row for path in rows for row in module(prefix, library, path)]
        write_record(library, info, rows, compiled)
    for folder, folders, files in os.walk(prefix):
        for name in folders + files:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                executable = os.path.isdir(path) or os.stat(path).st_mode & stat.S_IXUSR
                os.chmod(path, 0o755 if executable else 0o644)
    os.chmod(prefix, 0o755)


def empty(prefix, library, home, minor):
    """What makes a folder a virtual environment, as envctl writes it."""
    for name in (".lock", ".gitignore", "CACHEDIR.TAG", "lib64"):
        remove(os.path.join(prefix, name))
    scripts = os.path.join(prefix, "bin")
    for name in os.listdir(scripts):
        if re.match(r"python|(de)?activate|pydoc", name):
            remove(os.path.join(scripts, name))
    os.symlink("%s/python%s" % (home, minor), os.path.join(scripts, "python"))
    for name in ("python3", "python" + minor):
        os.symlink("python", os.path.join(scripts, name))
    write(
        os.path.join(prefix, "pyvenv.cfg"),
        "home = %s\ninclude-system-site-packages = false\nversion = %s\n" % (home, minor),
    )


def finish(prefix, library, info):
    """The paths of a distribution, relative to site-packages, with the row that RECORD has for each."""
    folder = os.path.join(library, info)
    for name in LEFT:
        remove(os.path.join(folder, name))
    write(os.path.join(folder, "INSTALLER"), "envctl\n")
    scripts(prefix, folder)
    with open(os.path.join(folder, "RECORD"), encoding="utf-8", newline="") as stream:
        listed = {row[0]: row for row in csv.reader(stream)}
    rows = {}
    for path, row in listed.items():
        name = os.path.basename(path)
        made = path.startswith("../../../bin/") or path == info + "/INSTALLER"
        if name not in LEFT and path != info + "/RECORD" and not path.endswith(".pyc"):
            rows[path] = hashed(library, path) if made or not row[1] else row
    return rows


def scripts(prefix, folder):
    """The scripts of entry points, with the environment's interpreter."""
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
    parser.optionxform = str
    parser.read(os.path.join(folder, "entry_points.txt"), encoding="utf-8")
    for section in ("console_scripts", "gui_scripts"):
        for name, target in parser.items(section) if parser.has_section(section) else []:
            module, attribute = re.match(r"([\w.]+)\s*:\s*([\w.]+)", target).groups()
            named = {"module": module, "first": attribute.split(".")[0], "attribute": attribute}
            write(os.path.join(prefix, "bin", name), SCRIPT.format(python=prefix + "/bin/python", **named))
            os.chmod(os.path.join(prefix, "bin", name), 0o755)


def module(prefix, library, path):
    """The row of a module's bytecode, which is written."""
    if not path.endswith(".py") or path.startswith("../"):
        return
    with open(os.path.join(library, path), "rb") as stream:
        code = bytecode.bytecode(stream.read(), os.path.join(library, path))
    if code is None:
        return
    folder, name = os.path.split(path)
    compiled = os.path.join(folder, "__pycache__", "%s.%s.pyc" % (name[:-3], sys.implementation.cache_tag))
    os.makedirs(os.path.join(library, folder, "__pycache__"), exist_ok=True)
    with open(os.path.join(library, compiled), "wb") as stream:
        stream.write(code)
    yield [compiled, "", ""]


def write_record(library, info, rows, compiled):
    path = os.path.join(library, info, "RECORD")
    remove(path)  # some wheels have it executable
    with open(path, "w", encoding="utf-8", newline="") as stream:
        lines = [*rows.values(), *compiled, [info + "/RECORD", "", ""]]
        csv.writer(stream, lineterminator="\n").writerows(sorted(lines))


def hashed(library, path):
    with open(os.path.join(library, path), "rb") as stream:
        data = stream.read()
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return [path, "sha256=" + digest, str(len(data))]


def write(path, text):
    remove(path)  # it may be a link
    with open(path, "w", encoding="utf-8", newline="") as stream:
        stream.write(text)


def remove(path):
    if os.path.islink(path) or os.path.isfile(path):
        os.remove(path)
    elif os.path.isdir(path):
        shutil.rmtree(path)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(sys.argv[1], sys.argv[2])
