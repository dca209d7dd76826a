"""The machine a probe looks at: this one, or one recorded in a folder (standard library only, CPython 3.6 up).

A recorded machine is a folder with the files that were read (proc/cpuinfo, etc/os-release …) and `recorded.json`: what
calls answered ("calls": name -> {"value"} or {"error"}), what stat said of paths ("stat"), and where links lead ("links").
"""

import argparse
import glob
import json
import os
import stat
import sys


class Machine:
    """Reads files, lists folders and makes calls, or answers for all three from a recorded machine."""

    def __init__(self, root=None, record=None):
        self.root, self.record = root, record
        self.kept = {"calls": {}, "stat": {}, "links": {}}
        if root:
            try:
                with open(os.path.join(root, "recorded.json"), encoding="utf-8") as stream:
                    self.kept.update(json.load(stream))
            except FileNotFoundError:
                pass

    def path(self, path):
        """Where a path of the machine lies here."""
        return os.path.join(self.root, path.lstrip("/")) if self.root else path

    def read(self, path):
        """The text of a file; raises OSError."""
        with open(self.path(path), encoding="utf-8", errors="replace") as stream:
            text = stream.read(1 << 20)
        if self.record:
            self.keep_file(path, text)
        return text

    def keep_file(self, path, text):
        place = os.path.join(self.record, path.lstrip("/"))
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "w", encoding="utf-8") as stream:
            stream.write(text)

    def text(self, path):
        """The text of a file, stripped; None where it cannot be read."""
        try:
            return self.read(path).strip()
        except OSError:
            return None

    def glob(self, pattern):
        """The paths of the machine that match, sorted; a recording keeps that they are there."""
        found = sorted(glob.glob(self.path(pattern)))
        paths = [path[len(self.root.rstrip("/")) :] for path in found] if self.root else found
        paths += [path for path in self.kept["stat"] if self.root and _matches(path, pattern) and path not in paths]
        if self.record:
            for path in paths:
                self.stat(path)
        return sorted(paths)

    def stat(self, path):
        """Kind and mode ("crw-rw-rw-"), owner and group, size, device numbers of a path; None where there is none."""
        if self.root and path in self.kept["stat"]:
            return self.kept["stat"][path]
        try:
            found = os.stat(self.path(path))
        except OSError:
            return None
        answer = {
            "mode": stat.filemode(found.st_mode), "uid": found.st_uid, "gid": found.st_gid, "size": found.st_size,
            "mtime": int(found.st_mtime), "major": os.major(found.st_rdev), "minor": os.minor(found.st_rdev),
        }
        if self.record:
            self.kept["stat"][path] = answer
        return answer

    def link(self, path):
        """Where a symbolic link leads; None where there is none."""
        if self.root and path in self.kept["links"]:
            return self.kept["links"][path]
        try:
            target = os.readlink(self.path(path))
        except OSError:
            return None
        if self.record:
            self.kept["links"][path] = target
        return target

    def call(self, name, function):
        """(value, error) of something that only the running machine can answer: a library, a socket, a command."""
        if self.root:
            answer = self.kept["calls"].get(name, {"error": "not recorded"})
            return answer.get("value"), answer.get("error")
        try:
            answer = {"value": function()}
        except Exception as error:  # whatever it is, the fact is unknown, and says why
            answer = {"error": "%s: %s" % (type(error).__name__, error)}
        if self.record:
            self.kept["calls"][name] = answer
        return answer.get("value"), answer.get("error")

    def write_recorded(self):
        """Add what was called, linked and statted to the recording (probes record one after another)."""
        place = os.path.join(self.record, "recorded.json")
        kept = {"calls": {}, "stat": {}, "links": {}}
        if os.path.exists(place):
            with open(place, encoding="utf-8") as stream:
                kept.update(json.load(stream))
        for key, table in self.kept.items():
            kept[key].update(table)
        with open(place, "w", encoding="utf-8") as stream:
            json.dump(kept, stream, indent=1, sort_keys=True)


def _matches(path, pattern):
    import fnmatch

    return path.count("/") == pattern.count("/") and fnmatch.fnmatchcase(path, pattern)


def fact(name, value, origin, error=None):
    """A fact: any JSON value, or None with the reason why it is not known."""
    return {"name": name, "value": value, "origin": origin, "error": error}


def main(facts):
    """Print `{"facts": [...]}` of this machine or of the one in --root; --record keeps what was read in a folder."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--root")
    parser.add_argument("--record")
    given = parser.parse_args()
    machine = Machine(given.root, given.record)
    found = list(facts(machine))
    if given.record:
        machine.write_recorded()
    json.dump({"facts": found}, sys.stdout)
