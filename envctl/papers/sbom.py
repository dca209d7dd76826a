"""An image's bill of materials: CycloneDX 1.6 JSON, the same bytes for the same image.

https://cyclonedx.org/docs/1.6/json; the library adds a time of its own, which is taken out again.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from envctl.oci.content import compact_json
from envctl.papers.built import Built, hexadecimal
from envctl.papers.part import Licence, Part

if TYPE_CHECKING:
    from cyclonedx.model import Property
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component
    from cyclonedx.model.license import License

MEDIA_TYPE = "application/vnd.cyclonedx+json"


def sbom(built: Built, parts: Iterable[Part], *, when: datetime | None = None) -> bytes:
    """The bill of materials; it names no time unless one is given."""
    from cyclonedx.output.json import JsonV1Dot6

    data = json.loads(JsonV1Dot6(_bom(built, tuple(parts))).output_as_string())
    del data["metadata"]["timestamp"]
    if when is not None:
        data["metadata"]["timestamp"] = when.isoformat()
    return compact_json(data)


def _bom(built: Built, parts: tuple[Part, ...]) -> Bom:
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.tool import ToolRepository

    image = _image(built)
    tool = Component(name="envctl", version=built.envctl, type=ComponentType.APPLICATION)
    metadata = BomMetaData(component=image, tools=ToolRepository(components=[tool]))
    components = [_component(part) for part in parts]
    bom = Bom(serial_number=_serial(built), metadata=metadata, components=components)
    bom.register_dependency(image, components)
    return bom


def _serial(built: Built) -> uuid.UUID:
    """A UUID that names lock and image, and so is the same each time."""
    return uuid.uuid5(uuid.NAMESPACE_OID, f"envctl sbom {built.lock_digest} {built.image.digest}")


def _image(built: Built) -> Component:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType

    said = {"lock": built.lock_digest, "base": built.base, "base-digest": built.base_digest, "rules": built.rules}
    said |= {"python": built.lock.python, "platform": built.lock.platform}
    digest = built.image.digest
    return Component(
        type=ComponentType.CONTAINER,
        name=built.name,
        version=digest,
        bom_ref=f"image:{digest}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=hexadecimal(digest))],
        properties=_properties(said),
    )


def _component(part: Part) -> Component:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=part.sha256)] if part.sha256 else []
    return Component(
        type=ComponentType.LIBRARY,
        name=part.name,
        version=part.version,
        bom_ref=part.purl,
        purl=PackageURL.from_string(part.purl),
        hashes=hashes,
        licenses=_licenses(part.licence),
        properties=_properties({"file": part.file, "index": part.index, "licence-said-by": part.licence.origin}),
    )


def _properties(said: dict[str, str]) -> list[Property]:
    from cyclonedx.model import Property

    return [Property(name=f"envctl:{name}", value=value) for name, value in said.items() if value]


def _licenses(licence: Licence) -> list[License]:
    """An expression stands alone; names are SPDX's identifiers where they are that, else words."""
    from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
    from cyclonedx.spdx import is_supported_id

    if licence.expression and not is_supported_id(licence.expression):
        return [LicenseExpression(licence.expression)]
    names = (licence.expression,) if licence.expression else licence.names
    return [DisjunctiveLicense(id=name) if is_supported_id(name) else DisjunctiveLicense(name=name) for name in names]
