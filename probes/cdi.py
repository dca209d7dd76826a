"""Print one JSON document: CDI specifications against the files that they name, and links under /dev/char, which device
cgroups need. YAML is read as far as nvidia-ctk writes it: blocks, plain and quoted scalars, empty flow lists.
"""

import json
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from machine import fact, main

FOLDERS = ("/etc/cdi", "/var/run/cdi")  # a device of a later folder wins over the same one of an earlier
DRIVER_IN_PATH = re.compile(r"(?:\.so\.|/nvidia/)(\d{3}\.\d+(?:\.\d+)?)(?:/|$)")
PAIR = re.compile(r"(\"[^\"]*\"|'[^']*'|[^\s\"'#\[{][^#]*?):(?:\s+(.*)|)$")


def parse(text):
    """The specification in a JSON or YAML text; raises ValueError where it is neither."""
    if text.lstrip().startswith("{"):
        return json.loads(text)
    lines = []
    for line in text.splitlines():
        bare = line.rstrip()
        if bare.strip() and not bare.lstrip().startswith("#") and bare not in ("---", "..."):
            lines.append((len(bare) - len(bare.lstrip(" ")), bare.strip()))
    if not lines:
        raise ValueError("it is empty")
    value, rest = block(lines, 0)
    if rest < len(lines) or not isinstance(value, dict):
        raise ValueError("line %r" % lines[min(rest, len(lines) - 1)][1][:60])
    return value


def block(lines, at):
    """(value, next line) of the block that begins here."""
    indent, text = lines[at]
    if text == "-" or text.startswith("- "):
        return sequence(lines, at, indent)
    if PAIR.match(text):
        return mapping(lines, at, indent)
    return scalar(text), at + 1


def sequence(lines, at, indent):
    found = []
    while at < len(lines) and lines[at][0] == indent and (lines[at][1] + " ").startswith("- "):
        inner = lines[at][1][1:].lstrip()
        if inner:  # what follows the dash begins a block of its own, further in
            lines[at] = (indent + len(lines[at][1]) - len(inner), inner)
        else:
            at += 1
        value, at = block(lines, at)
        found.append(value)
    return found, at


def mapping(lines, at, indent):
    found = {}
    while at < len(lines) and lines[at][0] == indent:
        pair = PAIR.match(lines[at][1])
        if not pair or lines[at][1].startswith("- "):
            break
        key, value = scalar(pair.group(1)), pair.group(2)
        at += 1
        if value:
            found[key] = scalar(value)
        elif at < len(lines) and lines[at][0] + lines[at][1].startswith("-") > indent:
            found[key], at = block(lines, at)
        else:
            found[key] = None
    return found, at


def scalar(text):
    """A scalar's text without quotes; numbers stay texts."""
    quoted = re.match(r"([\"'])(.*?)\1\s*(?:#.*)?$", text.strip())
    if quoted:
        return quoted.group(2)
    text = re.sub(r"\s+#.*$", "", text.strip())
    if text[:1] in ("[", "{"):
        inner = [scalar(it) for it in text[1:-1].split(",") if it.strip()]
        return inner if text[0] == "[" else {}
    return None if text in ("null", "~") else text


def cdi(machine):
    """The fact `cdi_specs`: one table a file, of every kind of device."""
    found = []
    for path in [it for folder in FOLDERS for ext in ("json", "yaml") for it in machine.glob(folder + "/*." + ext)]:
        found.append(specification(machine, path))
    return fact("cdi_specs", found, ", ".join(FOLDERS))


def specification(machine, path):
    """What a CDI file offers, and which of the files it names are not there."""
    told = machine.stat(path) or {}
    table = {"path": path, "mode": told.get("mode"), "uid": told.get("uid"), "mtime": told.get("mtime"), "error": None}
    table.update({"kind": None, "devices": [], "missing": [], "drivers": []})
    try:
        spec = parse(machine.read(path))
        table["kind"], table["version"] = spec.get("kind"), spec.get("cdiVersion")
        table["devices"] = [str(it.get("name")) for it in spec.get("devices") or []]
        named = paths(spec)
    except OSError as error:
        table["error"] = error.strerror
        return table
    except (ValueError, AttributeError, TypeError, RuntimeError) as error:  # RuntimeError: nested too deeply
        table["error"] = "not understood: %s" % error
        return table
    table["missing"] = [it for it in named if gone(machine, it)]
    table["drivers"] = sorted({it.group(1) for it in map(DRIVER_IN_PATH.search, named) if it})
    return table


def gone(machine, path):
    """Whether a file is not there; what lies in a folder that is shut for this user is not said to be gone."""
    if machine.stat(path):
        return False
    folder = machine.stat(path.rpartition("/")[0] or "/")
    return folder is None or folder["mode"][9] in "xt"


def paths(spec):
    """Every path of the host that a specification names: mounts, device nodes, hooks."""
    edits = [it.get("containerEdits") or {} for it in [spec, *(spec.get("devices") or [])]]
    found = [it.get("hostPath") for edit in edits for it in edit.get("mounts") or []]
    found += [it.get("hostPath") or it.get("path") for edit in edits for it in edit.get("deviceNodes") or []]
    found += [it.get("path") for edit in edits for it in edit.get("hooks") or []]
    return sorted({it for it in found if it})


def dev_char(machine):
    """The fact `dev_char`: device nodes of NVIDIA GPUs, and how many of them /dev/char leads to."""
    nodes = [path for path in machine.glob("/dev/nvidia*") if re.match(r"/dev/nvidia(\d+|ctl|-uvm)$", path)]
    there = 0
    for path in nodes:
        told = machine.stat(path) or {}
        there += machine.link("/dev/char/%s:%s" % (told.get("major"), told.get("minor"))) is not None
    return fact("dev_char", {"nodes": len(nodes), "linked": there}, "/dev/char")


def facts(machine):
    yield cdi(machine)
    yield dev_char(machine)


if __name__ == "__main__":
    main(facts)
