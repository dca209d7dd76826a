"""What two sections of a 64-bit ELF file say: the libraries it needs, and a libcuda's forward compatibility."""

import json
import struct

NOTE = b".note.cuda.fwd_compatibility"


def compat_note(path):
    """The forward-compatibility note of a libcuda (CUDA version, driver branches it is for); {} where it has none."""
    with open(path, "rb") as stream:
        head = stream.read(64)
        if head[:4] != b"\x7fELF" or head[4] != 2:
            return {}
        table, size, count, names = struct.unpack_from("<Q", head, 40) + struct.unpack_from("<HHH", head, 58)
        stream.seek(table)
        rows = [struct.unpack("<IIQQQQIIQQ", stream.read(size)[:64]) for _ in range(count)]
        stream.seek(rows[names][4])
        text = stream.read(rows[names][5])
        for row in rows:
            if text[row[0] :].split(b"\0")[0] == NOTE:
                stream.seek(row[4])
                return note_content(stream.read(row[5]))
    return {}


def note_content(data):
    """The JSON inside the note; the vendor pads it, so it is found by its braces."""
    said = json.loads(data[data.index(b"{") : data.rindex(b"}") + 1].decode().lower())
    return {"cuda": str(said.get("cuda version", "")), "drivers": said.get("driver", [])}


def needed(path):
    """The names in DT_NEEDED of a 64-bit ELF file."""
    with open(path, "rb") as stream:
        head = stream.read(64)
        table, size, count = struct.unpack_from("<Q", head, 40) + struct.unpack_from("<HH", head, 58)
        stream.seek(table)
        rows = [struct.unpack("<IIQQQQIIQQ", stream.read(size)[:64]) for _ in range(count)]
        dynamic = next(row for row in rows if row[1] == 6)
        stream.seek(dynamic[4])
        entries = stream.read(dynamic[5])
        stream.seek(rows[dynamic[6]][4])
        text = stream.read(rows[dynamic[6]][5])
    pairs = [struct.unpack_from("<QQ", entries, at) for at in range(0, len(entries), 16)]
    return [text[value:].split(b"\0")[0].decode() for tag, value in pairs if tag == 1]
