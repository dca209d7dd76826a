"""Fields in protobuf's wire format, written."""

from __future__ import annotations

from envctl.model.protobuf import BYTES, VARINT


def number_field(field: int, value: int) -> bytes:
    """A number, from 0 to 2**64 - 1."""
    return varint(field << 3 | VARINT) + varint(value)


def bytes_field(field: int, value: bytes) -> bytes:
    """Bytes, a string or a message."""
    return header(field, len(value)) + value


def header(field: int, length: int) -> bytes:
    """What stands before the `length` bytes of a string or message."""
    return varint(field << 3 | BYTES) + varint(length)


def varint(value: int) -> bytes:
    """A number of seven bits a byte, the lowest first."""
    return bytes([value]) if value < 0x80 else bytes([value & 0x7F | 0x80]) + varint(value >> 7)
