"""Fields in protobuf's wire format, written."""

from __future__ import annotations

from envctl.model.protobuf import BYTES, VARINT


def number_field(field: int, value: int) -> bytes:
    """A number, from 0 to 2**64 - 1."""
    return bytes([field << 3 | VARINT]) + _varint(value)


def bytes_field(field: int, value: bytes) -> bytes:
    """Bytes, a string or a message."""
    return bytes([field << 3 | BYTES]) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    return bytes([value]) if value < 0x80 else bytes([value & 0x7F | 0x80]) + _varint(value >> 7)
