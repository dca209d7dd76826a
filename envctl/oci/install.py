"""Wheel -> what it puts into an environment. The rules are envctl's own, so that every byte is known beforehand.

site-packages for the wheel's root, purelib and platlib; bin for scripts and entry points; include/site for headers;
the prefix for data. Wheel specification; https://packaging.python.org/specifications/entry-points/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from envctl.oci.entry import PROGRAM, Entry
from envctl.oci.recipe import Place
from envctl.oci.record import Hash, hash_of, read_record, write_record
from envctl.oci.wheel import Member, Wheel, bad_wheel, inflated

NOT_OURS = ("RECORD", "RECORD.jws", "RECORD.p7s", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json")
TARGET = re.compile(r"(?P<module>[\w.]+)\s*:\s*(?P<attribute>[\w.]+)\s*(\[.*\])?$")
SHEBANG = re.compile(rb"#!python[w]?([^\n]*)\n")
SCRIPT = """\
#!{python}
import sys

from {module} import {first}

if __name__ == "__main__":
    sys.exit({attribute}())
"""


def check_is(wheel: Wheel, name: str, version: str) -> None:
    """Raise `BadInput` when the wheel is not the distribution of that name and version, or of a newer format."""
    fields = [_field(wheel, "METADATA", field) for field in ("Name", "Version")]
    if fields != [name, version] and not _same(fields, [name, version]):
        raise bad_wheel(wheel.label, f"it is {fields[0]} {fields[1]}, and not {name} {version}")
    if _field(wheel, "WHEEL", "Wheel-Version").split(".")[0] != "1":
        raise bad_wheel(wheel.label, "its Wheel-Version is not 1.x")


def _same(one: list[str], other: list[str]) -> bool:
    """Whether name and version are the same once the names are in their normal form."""
    from packaging.utils import canonicalize_name  # longer to import than most comparisons need it

    return (canonicalize_name(one[0]), one[1]) == (canonicalize_name(other[0]), other[1])


def _field(wheel: Wheel, file: str, name: str) -> str:
    found = re.search(rf"^{name}:[ \t]*(.*?)[ \t\r]*$", wheel.read(file).decode(errors="replace"), re.MULTILINE | re.I)
    return found[1] if found else "?"


def installed(wheel: Wheel, place: Place, bytecode: list[Entry]) -> list[Entry]:
    """Everything the wheel puts into the environment, its bytecode and RECORD included."""
    hashes = read_record(wheel)
    info = f"{place.library}/{wheel.info}"
    files = [
        _file(wheel, member, hashes, place) for name, member in wheel.members.items() if _is_installed(wheel, name)
    ]
    files += [*_entry_points(wheel, place), _made(f"{info}/INSTALLER", b"envctl\n", wheel)]
    compiled = {entry.path for entry in bytecode}
    files = [entry for entry in files if entry.path not in compiled]  # a wheel's own bytecode is for nobody
    rows = [(_shown(entry.path, place), entry.hash.text if entry.hash else "", str(entry.size)) for entry in files]
    rows += [(_shown(entry.path, place), "", "") for entry in bytecode]
    rows += [(f"{wheel.info}/RECORD", "", "")]
    return [*files, *bytecode, Entry(path=f"{info}/RECORD", data=write_record(rows), owner=wheel.label)]


def sources(wheel: Wheel, place: Place) -> dict[str, str]:
    """The Python modules to compile: member -> path relative to the prefix, sorted by path."""
    named = {
        _path(wheel, name, place): name for name in wheel.members if name.endswith(".py") and _is_installed(wheel, name)
    }
    return {named[path]: path for path in sorted(named) if path.startswith(f"{place.library}/")}


def _shown(path: str, place: Place) -> str:
    """A path as RECORD has it: relative to site-packages."""
    inside = path.removeprefix(f"{place.library}/")
    return inside if inside != path else f"../../../{path}"


def _is_installed(wheel: Wheel, name: str) -> bool:
    return name not in {f"{wheel.info}/{each}" for each in NOT_OURS}


def _path(wheel: Wheel, name: str, place: Place) -> str:
    """Where a member goes, relative to the prefix."""
    if not name.startswith(f"{wheel.data}/"):
        return f"{place.library}/{name}"
    _, kind, *rest = name.split("/")
    distribution = wheel.info.removesuffix(".dist-info").rpartition("-")[0]
    folders = {
        "purelib": place.library,
        "platlib": place.library,
        "scripts": "bin",
        "headers": f"include/site/python{place.python}/{distribution}",
        "data": "",
    }
    if kind not in folders or not rest:
        raise bad_wheel(wheel.label, f"{name} is for a place that environments do not have")
    return "/".join([*([folders[kind]] if folders[kind] else []), *rest])


def _file(wheel: Wheel, member: Member, hashes: dict[str, Hash], place: Place) -> Entry:
    path, known = _path(wheel, member.name, place), hashes.get(member.name)
    entry = Entry(path=path, data=member.data, owner=wheel.label, hash=known)
    if member.name.startswith(f"{wheel.data}/scripts/"):
        return _script(wheel, member, entry, place)
    return replace(entry, mode=PROGRAM) if member.executable else entry


def _script(wheel: Wheel, member: Member, entry: Entry, place: Place) -> Entry:
    """A script; where it asks for `#!python`, with the environment's interpreter."""
    with wheel.path.open("rb") as stream:
        blocks = inflated(stream, member.data, wheel.label)
        if not SHEBANG.match(next(blocks, b"")):
            return replace(entry, mode=PROGRAM)
    with wheel.path.open("rb") as stream:
        text = b"".join(inflated(stream, member.data, wheel.label))
    changed = SHEBANG.sub(rb"#!%s/bin/python\1\n" % place.prefix.encode(), text, count=1)
    return replace(entry, mode=PROGRAM, data=changed, hash=hash_of(changed))


def _entry_points(wheel: Wheel, place: Place) -> Iterator[Entry]:
    """A script for each console and GUI entry point."""
    import configparser

    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    try:
        parser.read_string(wheel.read("entry_points.txt").decode())
    except (configparser.Error, UnicodeDecodeError) as error:
        raise bad_wheel(wheel.label, f"its entry points cannot be read: {error}") from error
    for section in ("console_scripts", "gui_scripts"):
        for name, target in parser.items(section) if parser.has_section(section) else []:
            found = TARGET.match(target)
            if not found or not re.fullmatch(r"[\w.][\w.+ -]*", name) or name in (".", ".."):
                raise bad_wheel(wheel.label, f"the entry point {name} = {target} cannot be read")
            filled = {"python": f"{place.prefix}/bin/python", "first": found["attribute"].split(".")[0]}
            yield replace(
                _made(f"bin/{name}", SCRIPT.format(**filled, **found.groupdict()).encode(), wheel), mode=PROGRAM
            )


def _made(path: str, data: bytes, wheel: Wheel) -> Entry:
    return Entry(path=path, data=data, owner=wheel.label, hash=hash_of(data))


def skeleton(place: Place, home: str) -> list[Entry]:
    """What makes a folder a virtual environment: the links to the base's interpreter, and pyvenv.cfg."""
    config = f"home = {home}\ninclude-system-site-packages = false\nversion = {place.python}\n"
    links = {"python": f"{home}/python{place.python}", "python3": "python", f"python{place.python}": "python"}
    made = [Entry(path=f"bin/{name}", kind="link", mode=0o777, target=target) for name, target in links.items()]
    return [*made, Entry(path="pyvenv.cfg", data=config.encode()), Entry(path=place.library, kind="folder", mode=0o755)]
