"""Compiles the modules of wheels with the interpreter that runs this script: python bytecode.py JOB.json

JOB.json: a list of {"wheel": zip file, "prefix": where the environment will stand, "modules": [[member, path,
compiled]], "out": zip file to write}. Standard library only, CPython 3.7 and up. Nothing in a wheel is executed.

The bytes depend on the sources, their final paths and this interpreter alone: each part is compiled in a process of
its own, forked from the same state, as marshal's references depend on what else is alive. Hash-based and checked (PEP
552): no time in them, and a source that is changed later is noticed. A part that is written is named on standard
output.
"""

import importlib.util
import json
import marshal
import os
import sys
import warnings
import zipfile

SOME_DAY = (1980, 1, 1, 0, 0, 0)
CHECKED_HASH = 0b11
FAILED = 3


def main(job, processes):
    warnings.simplefilter("ignore")
    with open(job, encoding="utf-8") as stream:
        parts = json.load(stream)
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
    """The zip file of one part, under its name only when it is whole."""
    partial = part["out"] + ".partial"
    with zipfile.ZipFile(part["wheel"]) as wheel, zipfile.ZipFile(partial, "w", compresslevel=1) as out:
        for member, path, compiled in part["modules"]:
            code = bytecode(wheel.read(member), part["prefix"] + "/" + path)
            if code is not None:
                info = zipfile.ZipInfo(compiled, SOME_DAY)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.create_system = 3
                out.writestr(info, code)
    os.rename(partial, part["out"])


def bytecode(source, path):
    """The file's bytes, None for what this Python cannot compile (templates, modules for other versions)."""
    try:
        code = compile(source, path, "exec", dont_inherit=True, optimize=0)
    except (SyntaxError, ValueError, RecursionError, OverflowError, MemoryError):
        return None
    head = importlib.util.MAGIC_NUMBER + CHECKED_HASH.to_bytes(4, "little")
    return head + importlib.util.source_hash(source) + marshal.dumps(code)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
