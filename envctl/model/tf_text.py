"""TensorFlow's graphs as text (.pbtxt), made into the bytes of the same message: one reader serves both.

Only the fields that the readers look at are kept. The text format: https://protobuf.dev/reference/protobuf/textformat-spec/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeAlias

from envctl.model.limits import MAX_DEPTH, Damaged, TooMuch, small_enough
from envctl.model.tf_types import DTYPES
from envctl.model.wire import bytes_field, number_field

# message -> field -> (number, message inside | "text" | "int" | "bool" | "dtype")
Fields: TypeAlias = "dict[str, tuple[int, str]]"
SCHEMA: dict[str, Fields] = {
    "SavedModel": {"saved_model_schema_version": (1, "int"), "meta_graphs": (2, "Meta")},
    "Meta": {"meta_info_def": (1, "Info"), "graph_def": (2, "Graph"), "signature_def": (5, "SignatureEntry")},
    "Info": {"tags": (4, "text"), "tensorflow_version": (5, "text")},
    "SignatureEntry": {"key": (1, "text"), "value": (2, "Signature")},
    "Signature": {"inputs": (1, "TensorEntry"), "outputs": (2, "TensorEntry")},
    "TensorEntry": {"key": (1, "text"), "value": (2, "TensorInfo")},
    "TensorInfo": {"name": (1, "text"), "dtype": (2, "dtype"), "tensor_shape": (3, "Shape")},
    "Graph": {"node": (1, "Node"), "library": (2, "Library"), "versions": (4, "Versions")},
    "Versions": {"producer": (1, "int")},
    "Library": {"function": (1, "Function")},
    "Function": {"signature": (1, "Named"), "node_def": (3, "Node")},
    "Named": {"name": (1, "text")},
    "Node": {"name": (1, "text"), "op": (2, "text"), "input": (3, "text"), "attr": (5, "AttrEntry")},
    "AttrEntry": {"key": (1, "text"), "value": (2, "Attr")},
    "Attr": {"s": (2, "text"), "i": (3, "int"), "type": (6, "dtype"), "shape": (7, "Shape"), "tensor": (8, "Tensor")},
    "Shape": {"dim": (2, "Dim"), "unknown_rank": (3, "bool")},
    "Dim": {"size": (1, "int")},
    "Tensor": {"dtype": (1, "dtype"), "tensor_shape": (2, "Shape")},
}
_NAMES = {"float32": "FLOAT", "float64": "DOUBLE", "float16": "HALF", "str": "STRING"}
ENUM = {f"DT_{_NAMES.get(name, name.upper())}": code for code, name in DTYPES.items() if name}
TOKEN = re.compile(
    r"""\s*(?:\#[^\n]*\s*)*(?:(?P<open>[{<])|(?P<close>[}>])|(?P<mark>[:;,\[\]])|(?P<word>[\w.+-]+)"""
    r"""|(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))"""
)
ESCAPE = re.compile(rb"\\([0-7]{1,3}|x[0-9a-fA-F]{1,2}|.)")
_LETTERS = {b"n": b"\n", b"t": b"\t", b"r": b"\r"}


def graph_bytes(data: memoryview) -> memoryview:
    """The bytes of a GraphDef that is written as text."""
    return _bytes(data, "Graph")


def saved_model_bytes(data: memoryview) -> memoryview:
    """The bytes of a SavedModel that is written as text."""
    return _bytes(data, "SavedModel")


def _bytes(data: memoryview, kind: str) -> memoryview:
    small_enough(len(data), "a graph as text")
    tokens = _tokens(str(data, "utf-8", errors="replace"))
    return memoryview(b"".join(_message(tokens, kind, 0)))


def _tokens(said: str) -> Iterator[tuple[str, str]]:
    at = 0
    while found := TOKEN.match(said, at):
        at = found.end()
        yield found.lastgroup or "", found[found.lastgroup or 0]
    if said[at:].split("#", maxsplit=1)[0].strip():
        raise Damaged(f"no text of a graph at character {at:,}")
    yield "end", ""


def _message(tokens: Iterator[tuple[str, str]], kind: str, depth: int) -> Iterator[bytes]:
    """The fields up to the end of the message; `kind` is "" where its content does not matter."""
    if depth > MAX_DEPTH:
        raise TooMuch(f"messages nested more than {MAX_DEPTH} deep")
    for group, said in tokens:
        if (group == "close" and depth) or (group == "end" and not depth):
            return
        if group == "mark" and said in ";,":
            continue
        if group != "word":
            raise Damaged(f"{said or 'the end'!r} where a field should begin")
        number, inner = SCHEMA.get(kind, {}).get(said, (0, ""))
        yield from _value(tokens, number, inner, depth)
    raise Damaged("the text ends inside a message")


def _value(tokens: Iterator[tuple[str, str]], number: int, inner: str, depth: int) -> Iterator[bytes]:
    group, said = next(tokens, ("end", ""))
    if (group, said) == ("mark", ":"):
        group, said = next(tokens, ("end", ""))
    if (group, said) == ("mark", "["):
        yield from _list(tokens, number, inner, depth)
    else:
        yield from _one(tokens, group, said, number, inner, depth)


def _list(tokens: Iterator[tuple[str, str]], number: int, inner: str, depth: int) -> Iterator[bytes]:
    for group, said in tokens:
        if (group, said) == ("mark", "]"):
            return
        if (group, said) != ("mark", ","):
            yield from _one(tokens, group, said, number, inner, depth)


def _one(
    tokens: Iterator[tuple[str, str]], group: str, said: str, number: int, inner: str, depth: int
) -> Iterator[bytes]:
    if group == "open":
        content = b"".join(_message(tokens, inner, depth + 1))
        if number and inner in SCHEMA:
            yield bytes_field(number, content)
    elif group not in ("word", "text"):
        raise Damaged(f"{said or 'the end'!r} where a value should be")
    elif number and group == "text" and inner == "text":
        yield bytes_field(number, _unescaped(said))
    elif number and group == "word" and inner in ("int", "bool", "dtype"):
        yield number_field(number, _number(said, inner))


def _number(said: str, inner: str) -> int:
    if inner == "dtype" and said in ENUM:
        return ENUM[said]
    if inner == "bool" and said in ("true", "false"):
        return int(said == "true")
    try:
        return int(said, 0) & 0xFFFFFFFFFFFFFFFF
    except ValueError:
        if inner == "dtype":
            return 0
        raise Damaged(f"{said!r} where a number should be") from None


def _unescaped(said: str) -> bytes:
    return ESCAPE.sub(_escape, said[1:-1].encode())


def _escape(found: re.Match[bytes]) -> bytes:
    code = found[1]
    if code[:1] == b"x" and len(code) > 1:
        return bytes([int(code[1:], 16)])
    if code[:1].isdigit() and code[:1] < b"8":
        return bytes([int(code, 8) & 0xFF])
    return _LETTERS.get(code, code)
