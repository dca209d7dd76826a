"""The machine a stack is for: this one, or one described in words, as facts for the solver."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path

from packaging.version import InvalidVersion, Version

from envctl.errors import BadInput
from envctl.host import HostFacts, read_host
from envctl.matrix import Matrix
from envctl.question import values_of
from envctl.request import Known, Pin
from envctl.solver import with_provided
from envctl.versions import parse_pin

PROBED = ("driver", "gpu", "gpu-class", "cpu", "glibc")


def machine(matrix: Matrix, host: str) -> dict[str, Known]:
    """What is known of the machine: `this` one, or the one that a file or some words describe.

    An environment brings its own Python: one that the machine has is tried first, and does not limit the others.
    """
    known = _this_machine() if host == "this" else dict(_described(matrix, host))
    here = known.get("python", Known(values=(), origin=""))
    others = [release.version for release in matrix.component("python").releases if release.version not in here.values]
    origin = f"{here.origin}; others come with a container" if here.values else "what containers bring"
    known["python"] = Known(values=(*here.values, *others), origin=origin)
    return with_provided(matrix, known)


def facts_of(matrix: Matrix) -> frozenset[str]:
    """The names of everything that a host or a model can be said to have."""
    return frozenset(name for name in matrix.names() if matrix.component(name).kind in ("host", "model"))


def read_system(text: str) -> str:
    """`ubuntu-22.04`, `Ubuntu 22.04` and `22.04+ubuntu` are one system: the last."""
    found = re.fullmatch(r"(?P<name>[a-z]+)[ -]?(?P<release>[\d.]+)", text.lower())
    found = found or re.fullmatch(r"(?P<release>[\d.]+)\+(?P<name>[a-z]+)", text.lower())
    if not found or found["name"] == "windows":
        raise BadInput(f"{text!r} is not a Linux distribution with its release", do=["for example os=ubuntu22.04"])
    return f"{found['release']}+{found['name']}"


def _this_machine() -> dict[str, Known]:
    """The facts of this machine; one that it has not (a driver) is known to be absent."""
    from envctl.runner.local import LocalRunner

    found = known_of(read_host())
    return found | {"python": Known(values=tuple(LocalRunner().pythons()), origin="CPythons found on this host")}


def known_of(host: HostFacts) -> dict[str, Known]:
    """What the probes told, as facts for the solver; what is told to be absent has no value."""
    known = {}
    for name in PROBED:
        fact = host.facts.get(name)
        absent = name in ("driver", "gpu") and fact is not None and "not recorded" not in fact.error
        if fact and (fact.value or absent):
            values = tuple(fact.value.split()) if fact.value and name == "gpu" else (fact.value,) if fact.value else ()
            origin = fact.origin if fact.value else fact.error
            known[name] = Known(values=values, origin=origin, together=len(values) > 1)
    known |= _of_other_systems(host)
    return {name: fact for name, fact in known.items() if name != "driver" or "driver-windows" not in known}


def _of_other_systems(host: HostFacts) -> dict[str, Known]:
    """WSL runs Windows' driver, which no Linux driver's number can be told from; a Jetson's engines are its own."""
    nvml, wsl, tegra = (
        host.facts[name].value if name in host.facts else None for name in ("nvml", "wsl_gpu", "tegra_gpu")
    )
    windows = (nvml or {}).get("driver") if wsl else None
    release = (tegra or {}).get("l4t") or ("unknown" if tegra else "")
    found = {"driver-windows": Known(values=(windows,), origin="nvml")} if windows else {}
    return found | ({"l4t": Known(values=(release,), origin=host.facts["tegra_gpu"].origin)} if release else {})


def _described(matrix: Matrix, host: str) -> Iterator[tuple[str, Known]]:
    """The facts in `driver=535.104.05 gpu=8.6`, given here or in a file of such words (`#` begins a comment)."""
    path = Path(host)
    filed = "=" not in host and path.is_file()
    text = path.read_text(encoding="utf-8") if filed else host
    words = [word for line in text.splitlines() for word in line.partition("#")[0].split()]
    seen: dict[str, str] = {}
    for word in words:
        name, value = _word(matrix, word)
        if seen.setdefault(name, value) != value:
            raise BadInput(f"--host says {name}={seen[name]} and {name}={value}", do=["keep one of them"])
        yield name, _fact(matrix, name, value, str(path) if filed else "--host")


def _word(matrix: Matrix, word: str) -> tuple[str, str]:
    name, found, value = word.partition("=")
    value = value.removeprefix("=")
    names = [*sorted(facts_of(matrix)), "python"]
    if not (found and value) or name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        do = [f"did you mean {near[0]}=…?"] if near else [f"facts are {', '.join(names)}"]
        raise BadInput(f"--host: {word!r} is not a fact of a machine", do=do)
    return name, value


def _fact(matrix: Matrix, name: str, value: str, origin: str) -> Known:
    """One fact: words (`cpu=avx2,fma`), versions (`gpu=8.6,8.9`), none, or any release of a branch (`driver=535`)."""
    if value == "none":
        return Known(values=(), origin=origin)
    if name == "os":
        return Known(values=(read_system(value),), origin=origin)
    if matrix.in_words(name):
        return Known(values=(value.replace(",", " "),), origin=origin)
    values = tuple(_version(name, each) for each in value.split(","))
    if name == "driver" and value.isdigit():
        pin = Pin(name=name, condition=parse_pin(name, value), said=f"{origin} ({name}={value}, any release of it)")
        return values_of(matrix, pin)
    return Known(values=values, origin=origin, together=len(values) > 1)


def _version(name: str, text: str) -> str:
    """A version; of a GPU the compute capability, also as compilers write it (sm_86)."""
    compiler = re.fullmatch(r"(?:sm|compute)_?(\d+)(\d)a?", text)
    text = f"{compiler[1]}.{compiler[2]}" if compiler and name == "gpu" else text
    try:
        Version(text)
    except InvalidVersion:
        do = ["a compute capability, for example gpu=8.9"] if name == "gpu" else [f"for example {name}=1.2.3"]
        raise BadInput(f"--host: {name}={text} is not a version", do=do) from None
    return text
