"""Words of the command line -> what a lock is asked for. This machine becomes words too, so that the request can be
asked again anywhere."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

from envctl.base import base_for, bases
from envctl.errors import BadInput, HostLacks
from envctl.host import HostFacts, interpreters, read_host
from envctl.lock import PLATFORMS
from envctl.lockfile import Asked, Said, Wanted
from envctl.matrix import load
from envctl.request import Known, Pin
from envctl.workflow.machine import PROBED, facts_of, known_of

OWN = ("name", "python", "platform", "base")


def asked(
    engine: str, pins: tuple[Pin, ...], hosts: list[str], targets: list[str], base: str, exclude_newer: str
) -> Asked:
    """The request; without any host or target it is about this machine."""
    wanted = [_from_host(host, base) for host in hosts or ([] if targets else ["this"])]
    wanted += [_from_words(words, base) for words in targets]
    for index, each in enumerate(wanted):
        if each.name in [other.name for other in wanted[:index]]:
            do = ["give one of them a name of its own: --target name=NAME,…"]
            raise BadInput(f"two targets are called {each.name!r}", do=do)
    said = tuple(Said(name=pin.name, any=pin.condition.any, said=pin.said) for pin in pins)
    return Asked(engine=engine, pins=said, targets=tuple(wanted), exclude_newer=moment(exclude_newer))


def moment(text: str) -> str:
    """The moment that `--exclude-newer` means, in UTC: of a date its end; uv would take this machine's time zone."""
    if not text:
        return ""
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            return f"{date.fromisoformat(text) + timedelta(days=1)}T00:00:00Z"
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except (ValueError, OverflowError) as error:
        raise BadInput(f"--exclude-newer {text!r} is not a date", do=["for example 2026-11-01"]) from error
    if found.tzinfo is None:
        raise BadInput(f"--exclude-newer {text!r} names no time zone", do=[f"for example {text}Z", "or a date alone"])
    return found.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- hosts


def _from_host(host: str, base: str) -> Wanted:
    if host == "this":
        return _this(read_host(), base)
    path = Path(host)
    if "=" in host:
        return Wanted(name=_name(host), arch="x86_64", facts=_sorted(host.split()), pythons=(), base=base)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        do = ["a file of facts, words like 'driver=535 gpu=8.6', or this"]
        raise BadInput(f"--host {host!r} cannot be read: {error}", do=do) from error
    words = [word for line in lines for word in line.partition("#")[0].split()]
    return Wanted(name=path.stem, arch="x86_64", facts=_sorted(words), pythons=(), base=base)


def _this(host: HostFacts, base: str) -> Wanted:
    """This machine in words; of the CPythons it has, those that a base brings come first."""
    arch = host.value("arch") or ""
    if arch not in PLATFORMS:
        raise HostLacks(f"no engine wheels for {arch or 'an unknown architecture'}", do=[f"use {', '.join(PLATFORMS)}"])
    here = list(interpreters())
    brought = [each.python for each in bases() if base != "none"]
    pythons = sorted(here, key=lambda minor: base_for(minor) is None or minor not in brought)
    own = base not in ("auto", "none")  # a base brings its own
    words = [_word(name, fact) for name, fact in known_of(host).items() if name in PROBED]
    return Wanted(name="this", arch=arch, facts=_sorted(words), pythons=() if own else tuple(pythons), base=base)


def _word(name: str, fact: Known) -> str:
    """A fact as `--host` takes it."""
    return f"{name}={','.join(fact.values).replace(' ', ',') or 'none'}"


def _sorted(words: list[str]) -> str:
    return " ".join(sorted(words))


def _name(words: str) -> str:
    return re.sub(r"[^A-Za-z0-9.=+-]+", "-", words).strip("-")[:60]


# --- targets


def _from_words(text: str, base: str) -> Wanted:
    """`python=3.11,platform=aarch64,gpu=8.6`: NAME=VALUE with commas between; what has no `=` belongs to the last."""
    found: dict[str, str] = {}
    last = ""
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if equals:
            last = name.strip()
            _refuse(text, last, twice=last in found)
            found[last] = value.strip()
        elif last and part.strip():
            found[last] += f",{part.strip()}"
        else:
            raise BadInput(f"--target {text!r} is not NAME=VALUE,…", do=["for example python=3.11,platform=x86_64"])
    facts = _sorted([f"{name}={value}" for name, value in found.items() if name not in OWN])
    python = found.get("python", "")
    if python and not re.fullmatch(r"3\.\d+", python):
        raise BadInput(f"--target: python={python} is not a minor version", do=["for example python=3.11"])
    arch = _arch(found.get("platform", "x86_64"))
    name = found.get("name") or _name("-".join(filter(None, (python and f"py{python}", arch, facts))))
    pythons = (python,) if python else ()
    return Wanted(name=name, arch=arch, facts=facts, pythons=pythons, base=found.get("base", base))


def _refuse(text: str, name: str, *, twice: bool) -> None:
    known = [*OWN, *sorted(facts_of(load()))]
    if name not in known:
        raise BadInput(f"--target {text!r}: {name!r} is nothing of a target", do=[f"one of: {', '.join(known)}"])
    if twice:
        raise BadInput(f"--target {text!r} says {name} twice", do=["keep one of them"])


def _arch(platform: str) -> str:
    """The architecture of `x86_64` or of uv's name of a platform; wheels are chosen for one C library each."""
    for arch, (name, _) in PLATFORMS.items():
        if platform in (arch, name):
            return arch
    known = [word for arch, (name, _) in PLATFORMS.items() for word in (arch, name)]
    raise BadInput(f"--target: platform {platform!r} is unknown", do=[f"one of: {', '.join(known)}"])
