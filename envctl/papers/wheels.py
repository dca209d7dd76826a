"""Locked wheels -> parts: the licence stands in each wheel's own METADATA.

Core metadata 2.4, License-Expression, License and the classifiers: https://packaging.python.org/specifications/core-metadata
"""

from __future__ import annotations

from collections.abc import Mapping
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

from envctl.errors import HostLacks, Reason
from envctl.lock import Lock
from envctl.package import LockedPackage
from envctl.papers.part import Licence, Part
from envctl.papers.terms import Words, read_words
from envctl.upstream.published import Malformed
from envctl.upstream.wheel import metadata_of

PREFIX = "License :: "
PROPRIETARY = "License :: Other/Proprietary License"
LONGEST = 80  # numpy 2.0 has the whole text of its licence in the field that is meant for its name


def parts_of_lock(lock: Lock, wheels: Mapping[str, Path]) -> tuple[Part, ...]:
    """A part for each package of the lock, in its order; `wheels` are the files by their SHA-256, checked before."""
    words = read_words()
    return tuple(_part(package, wheels, words) for package in lock.packages)


def _part(package: LockedPackage, wheels: Mapping[str, Path], words: Words) -> Part:
    if package.sha256 not in wheels:
        do = ["build the image first: its wheels are fetched for that"]
        raise HostLacks(f"cannot tell the licence of {package.name}: {package.file} is not here", do=do)
    return Part(
        kind="wheel",
        name=package.name,
        version=package.version,
        licence=licence_of_wheel(wheels[package.sha256], words),
        file=package.file,
        sha256=package.sha256,
        index=package.index,
    )


def licence_of_wheel(path: Path, words: Words) -> Licence:
    """The licence that a wheel's METADATA names. Raises `HostLacks` for a file that is no wheel."""
    try:
        with path.open("rb") as file:
            return licence_of_metadata(metadata_of(file, path.name), words)
    except (Malformed, OSError) as error:
        do = ["remove the file: it is fetched again"]
        raise HostLacks(f"cannot read the wheel {path}", because=[Reason(text=str(error))], do=do) from error


def licence_of_metadata(text: str, words: Words) -> Licence:
    """The licence by the first of these that says one: an expression, a name that SPDX has, classifiers, any name."""
    headers = HeaderParser().parsestr(text)
    classifiers = [line for line in headers.get_all("Classifier", []) if line.startswith(PREFIX)]
    name = _name(headers)
    proprietary = PROPRIETARY in classifiers or "proprietary" in name.lower()
    expression = headers.get("License-Expression", "").strip()
    if expression:
        proprietary = proprietary or "proprietary" in expression.lower()
        return Licence(
            expression=spdx(expression, words),
            names=(expression,),
            origin="License-Expression",
            proprietary=proprietary,
        )
    if spdx(name, words):
        return Licence(expression=spdx(name, words), names=(name,), origin="License", proprietary=proprietary)
    return _by_classifiers(classifiers, name, proprietary, words)


def _by_classifiers(classifiers: list[str], name: str, proprietary: bool, words: Words) -> Licence:
    """One classifier may name a licence exactly; several do not say whether all or any of them holds."""
    short = tuple(line.rpartition(" :: ")[2] for line in classifiers)
    if len(classifiers) == 1 and classifiers[0] in words.classifiers:
        return Licence(expression=words.classifiers[classifiers[0]], names=short, origin="Classifier")
    if name and name.lower() != "proprietary":
        return Licence(names=(name,), origin="License", proprietary=proprietary)
    if classifiers:
        return Licence(names=short, origin="Classifier", proprietary=proprietary)
    return Licence(names=(name,), origin="License", proprietary=proprietary) if name else Licence()


def _name(headers: Message) -> str:
    """The License field's first line, or nothing when it is a text and not a name."""
    lines = [line.strip() for line in str(headers.get("License", "")).splitlines() if line.strip()]
    is_name = bool(lines) and len(lines) == 1 and len(lines[0]) <= LONGEST and lines[0].upper() != "UNKNOWN"
    return lines[0].removeprefix("OSI Approved :: ") if is_name else ""


def spdx(words_said: str, words: Words) -> str:
    """The words as an SPDX expression, or nothing where they are none."""
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    try:
        return str(canonicalize_license_expression(words.spellings.get(words_said.lower(), words_said)))
    except InvalidLicenseExpression:
        return ""
