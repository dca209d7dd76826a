"""An SBOM that envctl wrote -> the parts that it lists, as far as a caution about licences needs them."""

from __future__ import annotations

import json
from typing import Any

from envctl.errors import BadInput, Reason
from envctl.papers.part import Licence, Part


def parts_of_sbom(data: bytes) -> tuple[Part, ...]:
    """The wheels and Debian packages of a CycloneDX document. Raises `BadInput` where it is none."""
    try:
        components = json.loads(data).get("components", [])
        return tuple(_part(each) for each in components)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput("an SBOM cannot be read", because=[Reason(text=repr(error)[:200])]) from None


def _part(component: dict[str, Any]) -> Part:
    said = [each.get("expression") or _name(each.get("license", {})) for each in component.get("licenses", [])]
    names = tuple(str(each) for each in said if each)
    is_wheel = str(component.get("purl", "")).startswith("pkg:pypi/")
    return Part(
        kind="wheel" if is_wheel else "deb",
        name=str(component["name"]),
        version=str(component.get("version", "")),
        licence=Licence(names=names, proprietary=any("proprietary" in name.lower() for name in names)),
    )


def _name(licence: dict[str, Any]) -> str:
    return str(licence.get("id") or licence.get("name") or "")
