"""An engine without an engine, for tests of the protocol and of runners: the "model" is a JSON document.

{"do": "pass"} answers every input doubled; other words misbehave on purpose, as engines and models do. With "each"
an inference takes that many seconds; with "then" (a document like this one) it misbehaves from inference "at" on.
"""

import json
import os
import signal
import socket
import time


class Session:
    def __init__(self, script):
        self.script = script
        self.inputs = script.get("inputs", ["x"])
        self.outputs = [(name + "_doubled", "float32") for name in self.inputs]
        self.count = 0

    def run(self, feed):
        self.count += 1
        time.sleep(self.script.get("each", 0))
        if "then" in self.script and self.count >= self.script["at"]:
            misbehave(self.script["then"])
        return [feed[name] * 2 for name in self.inputs]

    def read_back(self):
        return {"precision": "fp32", "device": "CPU"}


def open_engine():
    pass


def versions():
    return {}


def read(source):
    with open(source, encoding="utf-8") as stream:
        return json.load(stream)


def convert(source, target, options):
    misbehave(read(source))
    with open(os.path.join(target, "model.json"), "w", encoding="utf-8") as stream:
        json.dump(read(source), stream)
    return {"artifacts": ["model.json"], "read_back": {"precision": "fp32"}}


def load(source, options):
    script = read(source)
    misbehave(script)
    return Session(script)


def misbehave(script):
    """Do what the document says a bad model does."""
    word = script["do"]
    if word == "allocate":
        blocks = [b"x" * (64 << 20) for _ in range(script["blocks"])]  # written to: a cap on what is used sees it
        del blocks
    elif word == "die":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif word == "sleep":
        time.sleep(script["seconds"])
    elif word == "print":
        os.write(1, b'{"status": "not me"}\n')
    elif word == "write":
        with open(script["path"], "w") as stream:
            stream.write("written by a worker")
    elif word == "truncate":
        os.truncate(script["path"], 0)
    elif word == "remove":
        os.remove(script["path"])
    elif word == "connect-local":
        with socket.socket(socket.AF_UNIX) as local:
            local.connect(script["path"])
    elif word == "connect":
        socket.create_connection((script["host"], script["port"]), timeout=3).close()
    elif word == "fork":
        for _ in range(script["count"]):
            if os.fork() == 0:
                time.sleep(60)
        time.sleep(script.get("seconds", 0))
