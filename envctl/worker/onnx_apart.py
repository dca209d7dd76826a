"""An ONNX model copied as it is, with the weights that lie outside of it in one file beside the copy.

ONNX Runtime's environment has no onnx package, and what ONNX Runtime itself writes is another graph. Only the places
change in which tensors say that their bytes are. Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto,
places: https://github.com/onnx/onnx/blob/main/docs/ExternalData.md, wire format:
https://protobuf.dev/programming-guides/encoding/
"""

import os

from failure import StepFailed

EXTERNAL_DATA, DATA_LOCATION, EXTERNAL = 13, 14, 1
# message -> field -> the message that stands in it: all ways from a model to a tensor
INSIDE = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
ALIGNED = 4096  # what onnx itself writes: pages can be mapped
CHUNK = 1 << 20


def copy(source, target, data):
    """Write `target`, and the file `data` beside it; the source's own files of weights stay as they are."""
    with open(source, "rb") as stream:
        model = memoryview(stream.read())
    with open(os.path.join(os.path.dirname(target), data), "wb") as weights:
        made = rewritten(model, "model", Weights(os.path.dirname(source), weights, data))
    with open(target, "wb") as stream:
        stream.write(made)


class Weights:
    """The file that all weights go into: `take` says where a tensor's bytes stand in it."""

    def __init__(self, folder, stream, name):
        self.folder, self.stream, self.name = folder, stream, name
        self.taken = {}  # tensors may share their bytes

    def take(self, location, offset, length):
        """(offset, length) here of what stood there."""
        if os.path.isabs(location) or ".." in location.split("/"):  # refused by the host before; and what opens it, too
            raise StepFailed("invalid-model", "weights outside the model's folder: %s" % location)
        place = (location, offset, length)
        if place not in self.taken:
            self.taken[place] = self._copied(os.path.join(self.folder, location), offset, length)
        return self.taken[place]

    def _copied(self, path, offset, length):
        self.stream.write(b"\0" * (-self.stream.tell() % ALIGNED))
        began, size = self.stream.tell(), os.path.getsize(path)
        end = size if length is None else offset + length
        if not 0 <= offset <= end <= size:
            what = "%s ends before the weights that the model keeps there" % os.path.basename(path)
            raise StepFailed("invalid-model", what)
        with open(path, "rb") as stream:
            stream.seek(offset)
            for at in range(offset, end, CHUNK):
                self.stream.write(stream.read(min(CHUNK, end - at)))
        return began, end - offset


def rewritten(data, kind, weights):
    """The bytes of a message, all tensors inside it with their places in `weights`."""
    if kind == "tensor":
        return tensor(data, weights)
    parts, inside = [], INSIDE[kind]
    for number, value, whole in fields(data):
        known = inside.get(number) if isinstance(value, memoryview) else None
        parts.append(message(number, rewritten(value, known, weights)) if known else bytes(whole))
    return b"".join(parts)


def tensor(data, weights):
    """A tensor: its own bytes as they are, or the new place of those that lie elsewhere."""
    found = list(fields(data))
    if not any(number == DATA_LOCATION and value == EXTERNAL for number, value, _ in found):
        return bytes(data)
    said = dict(pair(value) for number, value, _ in found if number == EXTERNAL_DATA)
    length = int(said["length"]) if "length" in said else None
    offset, length = weights.take(said["location"], int(said.get("offset", 0)), length)
    kept = [bytes(whole) for number, _, whole in found if number != EXTERNAL_DATA]
    places = (("location", weights.name), ("offset", str(offset)), ("length", str(length)))
    told = [message(EXTERNAL_DATA, message(1, name.encode()) + message(2, it.encode())) for name, it in places]
    return b"".join(kept + told)


def pair(data):
    """Key and value of one StringStringEntryProto."""
    told = {number: bytes(value).decode("utf-8") for number, value, _ in fields(data)}
    return told.get(1, ""), told.get(2, "")


def message(number, data):
    """A field of bytes."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value):
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(parts) + bytes([value])


def fields(data):
    """(number, value, the bytes of the whole field) of each: an int for a number, a view for bytes and messages."""
    at = 0
    while at < len(data):
        began = at
        key, at = read_varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = read_varint(data, at)
        else:
            length, at = read_varint(data, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
            value, at = data[at : at + length], at + length
        yield key >> 3, value, data[began:at]


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
