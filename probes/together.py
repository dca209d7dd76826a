"""Run several probes side by side: together.py NAME:DESCRIPTOR … [options of a probe]

Each probe is a process of its own, forked from this one, which has loaded what they share: an interpreter a probe would
cost more than the probes do. Each writes its document to its descriptor, as it does to standard output when run alone.
"""

import ctypes  # noqa: F401  (most probes need it)
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import machine


def run(name, pipe, others):
    """Be the probe: print to the pipe, and end without anybody's exit handlers."""
    code = 1
    try:
        for other in others:
            os.close(other)
        os.dup2(pipe, 1)
        os.close(pipe)
        machine.main(__import__(name).facts)
        sys.stdout.flush()
        code = 0
    finally:
        os._exit(code)


def main():
    asked = [word.rpartition(":") for word in sys.argv[1:] if word.rpartition(":")[2].isdigit()]
    pipes = [(name, int(pipe)) for name, _, pipe in asked]
    while pipes:
        name, pipe = pipes.pop(0)
        try:
            child = os.fork()
        except OSError:  # no more processes for this user: the pipe is closed without an answer
            child = -1
        if not child:
            run(name, pipe, [it for _, it in pipes])
        os.close(pipe)
    try:
        while True:
            os.wait()
    except ChildProcessError:
        pass


if __name__ == "__main__":
    main()
