"""OCI image layouts: folders with `oci-layout`, `index.json` and `blobs/sha256`, read (envctl/oci/written.py writes).

OCI image specification 1.1, image-layout.md
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from envctl.errors import BadInput, Reason
from envctl.oci.blobs import INDEXES, MANIFESTS, Blob, Packed, descriptor, file_blob, layer_of, read_all
from envctl.oci.content import NAME, Descriptor, Image, architecture, blob_path

LARGEST = 4 << 20  # of a manifest, as registries have it


def read_layout(folder: Path, digest: str = "") -> Packed:
    """The image in a layout: that of the digest, or the only one for this machine. Raises `BadInput`."""
    where = f"oci:{folder}"
    if not (folder / "oci-layout").is_file():
        raise BadInput(f"{folder} is no OCI layout", because=[Reason(text="it has no file oci-layout")])
    # what has an artifactType is about an image, and none itself (envctl/oci/layout_papers.py)
    entries = [e for e in _entries(_json(folder / "index.json", where), where) if "artifactType" not in e]
    wanted = {each["digest"]: each for each in entries if not digest or each["digest"] == digest}  # once for each name
    entry = _chosen(folder, list(wanted.values()), where)
    blob = _blob(folder, descriptor(entry), where)
    return packed(read_all(blob, LARGEST), str(entry.get("mediaType", "")), lambda found: _blob(folder, found, where))


def packed(manifest: bytes, media_type: str, blob_of: Callable[[Descriptor], Blob], where: str = "the image") -> Packed:
    """An image from its manifest's bytes and a function from descriptor to blob; raises `BadInput` for other things."""
    try:
        data = json.loads(manifest)
        kind = str(data.get("mediaType", media_type))
        if kind not in MANIFESTS or data.get("schemaVersion") != 2:
            raise BadInput(f"{where} is no container image", because=[Reason(text=f"its media type is {kind!r}")])
        config, layers = descriptor(data["config"]), tuple(descriptor(layer) for layer in data["layers"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{where} has a manifest that cannot be read", because=[Reason(text=str(error))]) from None
    return Packed(
        manifest=manifest, media_type=kind, config=blob_of(config), layers=tuple(blob_of(each) for each in layers)
    )


def image_of(stored: Packed, tar_sizes: dict[str, int] | None = None) -> Image:
    """The image of a stored one; a layer's `tar_size` is -1 where nobody has counted it yet."""
    config = read_all(stored.config)
    diff_ids = diff_ids_of(config)
    if len(diff_ids) != len(stored.layers):
        because = [Reason(text=f"{len(diff_ids)} diff_ids, {len(stored.layers)} layers")]
        raise BadInput("an image's configuration and manifest disagree", because=because)
    sizes = tar_sizes or {}
    pairs = zip(stored.layers, diff_ids, strict=True)
    return Image(config=config, layers=tuple(layer_of(blob, each, sizes.get(each, -1)) for blob, each in pairs))


def diff_ids_of(config: bytes) -> list[str]:
    """The digests of the layers' tars as a configuration lists them."""
    try:
        found = json.loads(config)["rootfs"]["diff_ids"]
        return [str(each) for each in found]
    except (ValueError, KeyError, TypeError) as error:
        because = [Reason(text=f"no rootfs.diff_ids ({error})")]
        raise BadInput("this is no container image's configuration", because=because) from None


def _blob(folder: Path, wanted: Descriptor, where: str) -> Blob:
    return file_blob(folder / blob_path(wanted.digest), wanted, where)


def _json(path: Path, where: str) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BadInput(f"{where} cannot be read", because=[Reason(text=f"{path.name}: {error}")]) from None


def _entries(index: Any, where: str) -> list[dict[str, Any]]:
    entries = index.get("manifests") if isinstance(index, dict) else None
    if not isinstance(entries, list) or not all(isinstance(each, dict) and "digest" in each for each in entries):
        raise BadInput(f"{where} has an index that names no manifests")
    return entries


def _chosen(folder: Path, entries: list[dict[str, Any]], where: str) -> dict[str, Any]:
    """The entry of one manifest; indexes within the index are followed. Raises `BadInput` for none or several."""
    found: list[dict[str, Any]] = []
    for entry in entries:
        if entry.get("mediaType") in INDEXES:
            inner = json.loads(read_all(_blob(folder, descriptor(entry), where), LARGEST))
            found.append(for_platform(_entries(inner, where), where))
        else:
            found.append(entry)
    if len(found) > 1:
        found = [each for each in found if _fits(each)]
    if len(found) != 1:
        names = [f"{each['digest']} {each.get('annotations', {}).get(NAME, '')}".strip() for each in entries]
        because = [Reason(text=name) for name in names]
        raise BadInput(f"{where} has {len(found)} images that could be meant", because=because)
    return found[0]


def for_platform(entries: list[dict[str, Any]], where: str, platform: str = "") -> dict[str, Any]:
    """The entry of an index for a platform (`linux/arm64`; default: this machine's); raises `BadInput` with all."""
    fitting = [entry for entry in entries if _fits(entry, platform)]
    if not fitting:
        known = sorted({_platform(entry) for entry in entries} - {"unknown/unknown"})
        because = [Reason(text=f"it has {', '.join(known) or 'no platforms'}")]
        raise BadInput(f"{where} has no image for {platform or f'linux/{architecture()}'}", because=because)
    return fitting[0]


def _platform(entry: dict[str, Any]) -> str:
    found = entry.get("platform") or {}
    return "/".join(str(found[key]) for key in ("os", "architecture", "variant") if found.get(key))


def _fits(entry: dict[str, Any], platform: str = "") -> bool:
    named = _platform(entry)
    wanted = platform or f"linux/{architecture()}"
    return not named or named == wanted or named.startswith(f"{wanted}/")
