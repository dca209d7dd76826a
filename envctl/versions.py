"""Versions and the conditions that claims and pins put on them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from envctl.errors import BadInput


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """A list of alternatives, any of which is enough: specifier sets, or (for `cpu`) sets of ISA bit names."""

    any: tuple[str, ...]

    def admits(self, value: str) -> bool:
        """Whether `value` (a version, or space-separated bits) satisfies one alternative."""
        return _any_admits(self.any, value)

    def __str__(self) -> str:
        return " or ".join(self.any)


@cache
def _any_admits(alternatives: tuple[str, ...], value: str) -> bool:
    """The same few thousand questions are asked again and again while a conflict is made minimal."""
    return any(_admits(alternative, value) for alternative in alternatives)


def _admits(alternative: str, value: str) -> bool:
    if is_bits(alternative):
        return set(alternative.split(",")) <= set(value.split())
    return _specifiers(alternative).contains(_version(value), prereleases=True)


@cache
def _specifiers(text: str) -> SpecifierSet:
    """A parsed specifier set: a matrix says the same few hundred of them thousands of times."""
    return SpecifierSet(text)


@cache
def _version(text: str) -> Version:
    return Version(text)


def is_bits(alternative: str) -> bool:
    """Whether an alternative names ISA bits (`avx2,fma`) instead of a version range."""
    return alternative[:1].isalpha()


def parse_condition(alternatives: list[str]) -> Condition:
    """The condition meant by a list of specifiers; raises `ValueError` with the one that cannot be read."""
    for alternative in alternatives:
        try:
            is_bits(alternative) or _specifiers(alternative)
        except InvalidSpecifier as error:
            raise ValueError(f"{alternative!r} is not a version specifier") from error
    return Condition(any=tuple(alternatives))


@cache
def spans(condition: Condition) -> tuple[tuple[Version, Version], ...]:
    """Intervals, ends included, outside of which a condition admits nothing: one for each alternative."""
    return tuple(_span(alternative) for alternative in condition.any if not is_bits(alternative))


def _span(alternative: str) -> tuple[Version, Version]:
    low, high = _version("0.dev0"), _version("999999")
    for spec in _specifiers(alternative):
        version = _version(spec.version.removesuffix(".*"))
        if spec.operator in (">=", ">", "~=", "=="):
            low = max(low, _version(f"{version.public}.dev0") if spec.version.endswith(".*") else version)
        if spec.operator in ("<", "<=", "=="):
            high = min(high, _after(version))
    return low, high


def _after(version: Version) -> Version:
    """The next release of the same length: what `==1.2`, `==1.2.*` and `<=1.2` can admit stands before it."""
    *leading, last = version.release
    return Version(f"{version.epoch}!{'.'.join(map(str, (*leading, last + 1)))}")


def boundaries(condition: Condition) -> list[str]:
    """The versions at which a condition changes its mind: those its specifiers name; words have none."""
    ranges = [text for text in condition.any if not is_bits(text)]
    named = [spec.version.removesuffix(".*") for text in ranges for spec in _specifiers(text)]
    return list(dict.fromkeys(named))


def parse_pin(name: str, text: str) -> Condition:
    """The condition a person means on the command line: `8.6` admits every 8.6.x, `>=8,<9` is taken as it is."""
    spec = text.strip()
    try:
        if spec and (spec[0].isdigit() or spec[0] == "v"):
            version = Version(spec)
            # 8.6rc1, 8.6.post1 and 8.6+cu12 name one version: PEP 440 knows no wildcard behind them
            wildcard = ".*" if str(version) == version.base_version else ""
            return Condition(any=(f"=={spec.removeprefix('v')}{wildcard}",))
        empty = not len(SpecifierSet(spec))
    except (InvalidVersion, InvalidSpecifier) as error:
        raise BadInput(
            f"{name} {text!r} is not a version",
            do=[f"write a version (--pin {name}=8.6) or a specifier (--pin '{name}=>=8.6,<9')"],
        ) from error
    if empty:
        raise BadInput(f"the pin for {name} is empty", do=[f"write --pin {name}=VERSION"])
    return Condition(any=(spec,))


def newest_first(versions: list[str]) -> list[str]:
    """The same versions, newest first."""
    return sorted(versions, key=Version, reverse=True)
