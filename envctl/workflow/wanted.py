"""`--for WHAT`: what a word names, by what exists: a file's content, an engine of the matrix, an image that is here."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from packaging.utils import canonicalize_name

from envctl.doctor.claims import ALIASES
from envctl.doctor.wanted import Engine
from envctl.errors import BadInput
from envctl.matrix import Matrix
from envctl.model.sniff import kind_at
from envctl.request import ENGINE_OPTIONS, Pin
from envctl.versions import parse_pin

FileKind: TypeAlias = Literal["model", "plan", "image"]
PREFIXES = ("engine", "model", "plan", "image", "oci", "docker-archive", "oci-archive")
# names that files of models end with: such a word is a file that is not there, not the name of an image
MODEL_ENDINGS = (
    ".onnx", ".plan", ".engine", ".trt", ".tflite", ".xml", ".pb", ".pbtxt", ".param", ".h5", ".keras", ".pt", ".pth",
    ".tar", ".json",
)  # fmt: skip
TAR_MARK = (257, b"ustar")


@dataclass(frozen=True, kw_only=True, slots=True)
class Thing:
    """A file, folder or image that was named: `name` is a path, an image's reference, or oci:FOLDER[:TAG]."""

    kind: FileKind
    name: str
    said: str


def read_words(matrix: Matrix, words: tuple[str, ...]) -> tuple[tuple[Engine, ...], tuple[Thing, ...]]:
    """The engines and the things that were named; raises `BadInput` for a word that names nothing or two things."""
    engines: list[Engine] = []
    things: list[Thing] = []
    for word in words:
        found = read_word(matrix, word)
        (engines if isinstance(found, Engine) else things).append(found)  # type: ignore[arg-type]
    for index, thing in enumerate(things):
        if any(thing.kind == other.kind for other in things[:index]):
            raise BadInput(f"--for names two {thing.kind}s", do=[f"look at one {thing.kind} after the other"])
    names = [engine.name for engine in engines]
    for name in names:
        if names.count(name) > 1:
            raise BadInput(f"--for names {name} twice", do=["keep one of them"])
    return tuple(engines), tuple(things)


def read_word(matrix: Matrix, word: str) -> Engine | Thing:
    """What one word names. A path that exists is that file; a bare name of the matrix is an engine; else an image."""
    prefix, colon, rest = word.partition(":")
    if colon and prefix in PREFIXES and not Path(word).exists():
        return _prefixed(matrix, prefix, rest, word)
    file, engine = _file(word), _engine(matrix, word)
    if file and engine:
        do = [f"the engine: --for engine:{word}", f"the file: --for ./{word}"]
        raise BadInput(f"--for {word}: that is an engine, and a file here", do=do)
    if file or engine:
        return file or engine  # type: ignore[return-value]
    if Path(word).is_dir():
        raise BadInput(f"{word} is a folder without a SavedModel or an image in it", do=["name the model file"])
    if ("/" in word and word[0] in "./~") or word.endswith(MODEL_ENDINGS):
        raise BadInput(f"no such file: {word}", do=["check the path; a relative one starts at the current folder"])
    if not re.fullmatch(r"[a-z0-9][\w.\-/:@]*", word):
        raise BadInput(f"--for {word}: there is no such file, engine or image", do=_near(matrix, word))
    return Thing(kind="image", name=word, said=word)


def _prefixed(matrix: Matrix, prefix: str, rest: str, word: str) -> Engine | Thing:
    if prefix == "engine":
        found = _engine(matrix, rest)
        if not found:
            raise BadInput(f"--for {word}: the matrix has no such engine", do=_near(matrix, rest))
        return found
    if prefix == "image" and rest:
        return Thing(kind="image", name=rest, said=word)
    path = rest if Path(rest).exists() or prefix != "oci" else rest.rpartition(":")[0]
    if not path or not Path(path).exists():
        raise BadInput(f"no such file: {path or rest}", do=["check the path"])
    if prefix in ("oci", "docker-archive", "oci-archive"):
        return Thing(kind="image", name=word if prefix == "oci" else f"archive:{rest}", said=word)
    return Thing(kind="model" if prefix == "model" else "plan", name=rest, said=word)


def _file(word: str) -> Thing | None:
    """The file of that name, or the folder where it holds a model or an image."""
    path = Path(word)
    try:
        if not path.exists():
            return None
    except (OSError, ValueError):  # a name that no file can have
        return None
    if path.is_dir():
        if (path / "oci-layout").is_file():
            return Thing(kind="image", name=f"oci:{word}", said=word)
        return Thing(kind="model", name=word, said=word) if kind_at(path) else None
    if _is_tar(path):
        return Thing(kind="image", name=f"archive:{word}", said=word)
    return Thing(kind="plan" if _is_plan(path) else "model", name=word, said=word)


def _is_tar(path: Path) -> bool:
    """Whether it is a tar archive, as `docker save` and `skopeo copy` write."""
    offset, mark = TAR_MARK
    try:
        with path.open("rb") as stream:
            stream.seek(offset)
            return stream.read(len(mark)) == mark
    except OSError:
        return False  # whoever reads it next says why it cannot be read


def _is_plan(path: Path) -> bool:
    """Whether it is an engine file, by its tag, or by its name where what should be the tag is zero."""
    try:
        kind = kind_at(path) if path.is_file() else None
    except BadInput:
        return path.suffix in (".plan", ".engine", ".trt")
    return bool(kind and (kind.id == "plan" or (kind.id == "zeros" and path.suffix in (".plan", ".engine", ".trt"))))


def _engine(matrix: Matrix, word: str) -> Engine | None:
    """`openvino 2024.6`, `trt==10`, `ort>=1.17` and `tensorrt`, where the name is known; None where it is not."""
    found = re.fullmatch(r"\s*([A-Za-z][A-Za-z0-9_-]*)\s*((?:[=<>!~]|(?<=\s)\S).*)?", word)
    if not found:
        return None
    called = str(canonicalize_name(found[1]))
    name = ENGINE_OPTIONS.get(called) or ALIASES.get(called, called)
    if not matrix.has(name):
        return None
    kind = matrix.component(name).kind
    if kind not in ("engine", "component"):
        do = [f"ask the matrix about it: envctl matrix show {name}"]
        raise BadInput(f"--for {word}: {name} is no engine; the matrix knows it as a {kind}", do=do)
    spec = re.sub(r"^={1,3}\s*", "", found[2] or "")
    pins = (Pin(name=name, condition=parse_pin(name, spec), said=f"--for {word}"),) if spec else ()
    return Engine(name=name, said=f"{name} {spec}".strip(), pins=pins)


def _near(matrix: Matrix, word: str) -> list[str]:
    engines = [name for name in matrix.names() if matrix.component(name).kind == "engine"]
    name = re.split(r"[\s=<>!~]", word.strip())[0].lower()
    near = difflib.get_close_matches(name, [*engines, *ENGINE_OPTIONS], n=1)
    return [f"did you mean {near[0]}?"] if near else [f"engines are {', '.join(engines)}"]
