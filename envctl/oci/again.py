"""A command that had an image loaded, remembered: the same answer at once, as long as all of it is still so.

What such a command comes to depends on its words and folder, the lock's bytes, the bases in the store, envctl's rules,
and on what Docker has under the names. All of these are looked at before a kept answer is given; whatever is another
leaves the command to the ordinary way. Little is imported here: the answer takes less time than reading options does.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from envctl import __version__
from envctl.errors import EnvctlError
from envctl.oci import RULES
from envctl.oci.store import place, read_note, write_note

KIND = "loaded"
HEX = 64


def recall(arguments: list[str]) -> dict[str, Any] | None:
    """The kept answer to a command; None where there is none, or where anything that it depends on has changed."""
    note = read_note(KIND, _key(arguments))
    try:
        if note and note["stands"] == _stands(Path(note["lock"])) and _has(note["images"]):
            answer: dict[str, Any] = note["answer"]
            return answer
    except (EnvctlError, OSError, ValueError, LookupError, TypeError):  # the ordinary way has the words for it
        pass
    return None


def remember(arguments: list[str], lock: Path, images: dict[str, str], answer: dict[str, Any]) -> None:
    """Keep the answer to a command. `images` are the names that Docker must have, each with the id it has there."""
    note = {"lock": str(lock), "stands": _stands(lock), "images": images, "answer": answer}
    write_note(KIND, _key(arguments), note)


def _key(arguments: list[str]) -> str:
    """Names a command: its words, where it is called, and the rules by which images are made."""
    parts = [arguments, str(Path.cwd()), __version__, RULES]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _stands(lock: Path) -> str:
    """A digest of the lock's bytes, the names of all bases in the store, and where names of bases lead."""
    digest = hashlib.sha256(lock.read_bytes())
    folder = place("bases", "")
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if not path.name.startswith("."):
            digest.update(f"\0{path.name}\0".encode())
            if path.suffix == ".json" and len(path.stem) != HEX:  # a pointer
                digest.update(path.read_bytes())
    return digest.hexdigest()


def _has(images: dict[str, str]) -> bool:
    """Whether Docker has just these images under their names."""
    from envctl.oci import daemon  # http and all: not wanted where nothing was kept

    found = {name: daemon.image(name) for name in images}
    return all(there is not None and there["Id"] == images[name] for name, there in found.items())
