"""Compiles the modules of wheels with the interpreter that runs this script: python bytecode.py JOB PROCESSES

JOB: in marshal's format of version 2, which every CPython reads, a list of {"wheel": zip file, "prefix": where the
environment will stand, "modules": [(path, compiled, offset, packed, size, deflated, crc)], "out": file to write}.
That file: the count of modules, a line "packed size crc compiled" for each, then their raw deflate streams.
CPython 3.7 and up. Nothing in a wheel is executed.

The bytes depend on the sources, their final paths and this interpreter alone: each part is compiled in a process of
its own, forked from the same state, as marshal's references depend on what else is alive. Hash-based and checked (PEP
552): no time in them, and a source that is changed later is noticed. A part that is written is named on standard
output. A build waits for this script: of what is imported here, all but two modules are part of the interpreter.
"""

import _imp
import marshal
import os
import sys
import warnings
import zlib
from _frozen_importlib_external import MAGIC_NUMBER  # importlib.util takes 5 ms to import, json and zipfile 20 ms

CHECKED_HASH = 0b11
RAW = -15  # a deflate stream without header
FASTEST = 1
FAILED = 3


def main(job, processes):
    warnings.simplefilter("ignore")
    with open(job, "rb") as stream:
        parts = marshal.load(stream)
    # imported before the fork, or the first module that needs it would find another state
    compile("import os\nprint(f'{os}')\n", "<warm>", "exec", dont_inherit=True, optimize=0)
    running = 0
    for part in parts:
        if running >= processes:
            running -= reaped()
        if os.fork() == 0:
            try:
                write(part)
                os.write(1, (part["out"] + "\n").encode())  # whoever waits for this part need not wait for all
                os._exit(0)
            except BaseException as error:
                sys.stderr.write("%s: %r\n" % (part["out"], error))
                sys.stderr.flush()
                os._exit(FAILED)
        running += 1
    while running:
        running -= reaped()


def reaped():
    _, status = os.wait()
    if status:
        sys.exit(FAILED)
    return 1


def write(part):
    """The file of one part, under its name only when it is whole."""
    partial = part["out"] + ".partial"
    with open(part["wheel"], "rb") as wheel:
        made = [
            (module[1], bytecode(source(wheel, *module[2:]), part["prefix"] + "/" + module[0]))
            for module in part["modules"]
        ]
    packed = [(name, code, deflated(code)) for name, code in made if code is not None]
    with open(partial, "wb") as out:
        out.write(b"%d\n" % len(packed))
        for name, code, data in packed:
            out.write(b"%d %d %d %s\n" % (len(data), len(code), zlib.crc32(code), name.encode()))
        out.writelines(data for _, _, data in packed)
    os.rename(partial, part["out"])


def source(wheel, offset, packed, size, is_deflated, crc):
    """A member's bytes; raises `ValueError` when they are not those that the wheel's directory announces."""
    wheel.seek(offset)
    data = wheel.read(packed)
    data = zlib.decompressobj(RAW).decompress(data, size + 1) if is_deflated else data  # no more than was announced
    if len(data) != size or zlib.crc32(data) != crc:
        raise ValueError("a member of the wheel is damaged")
    return data


def deflated(data):
    engine = zlib.compressobj(FASTEST, zlib.DEFLATED, RAW)
    return engine.compress(data) + engine.flush()


def bytecode(source, path):
    """The file's bytes, None for what this Python cannot compile (templates, modules for other versions)."""
    try:
        code = compile(source, path, "exec", dont_inherit=True, optimize=0)
    except (SyntaxError, ValueError, RecursionError, OverflowError, MemoryError):
        return None
    head = MAGIC_NUMBER + CHECKED_HASH.to_bytes(4, "little")
    return head + _imp.source_hash(int.from_bytes(MAGIC_NUMBER, "little"), source) + marshal.dumps(code)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
