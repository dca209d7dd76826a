"""The machine a probe looks at: this one, or one recorded in a folder (standard library only, CPython 3.6 up).

A recorded machine is a folder with the files that were read (proc/cpuinfo, etc/os-release …) and `recorded.json`: what
calls answered ("calls": name -> {"value"} or {"error"}), what stat said of paths ("stat"), where links lead ("links").
"""

import glob
import json
import os
import re
import select
import signal
import stat
import sys
import time

# What a recording must not say, as (pattern, what stands there instead). Compiled when first needed: most runs record
# nothing. Four numbers with dots are left alone unless they must be an address: 10.3.0.26 is a TensorRT.
OCTETS = r"\d{1,3}(?:\.\d{1,3}){3}"
SECRETS = (
    (r"((?:/|\b)(?:home|Users)/)[^/\s:\"',;)]+", r"\1user"),
    (r"(://)[^/\s@\"']+@", r"\1redacted@"),
    (
        r"(?i)(\b(?:https?|tcp|ssh|socks\w*)://(?:redacted@)?)(?!redacted@|0\.0\.0\.0|127\.|localhost)[^\s/@:\"',;]+",
        r"\1host",
    ),
    (r"\b(?:gh[pousr]_|github_pat_|hf_|glpat-|nvapi-|xox[bp]-|AKIA)[\w-]{10,}", "redacted"),
    (r"(?i)\b(bearer|basic) +[\w.~+/=-]{8,}", r"\1 redacted"),
    (r"(?i)([\w-]*(?:token|passw(?:or)?d|secret|api[_-]?key)[\w-]*[\"']?\s*[:=]\s*)[\"']?[^\s,}\"']+", r"\1redacted"),
    (r"(?i)([\"']auth[\"']\s*:\s*[\"'])[^\"']+", r"\1redacted"),
    (r"(?im)^(\W*(?:[\w.]+ )?serial(?:[ _]?(?:number|no))?\W*[:=][ \t]*)\S.*$", r"\1redacted"),
    (r"(?<![\w:])(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}(?![\w:])", "00:00:00:00:00:00"),
    (r"(?i)(?<![\w:])(?:fe80|f[cd][0-9a-f]{2}|[23][0-9a-f]{3}):[0-9a-f]{0,4}:[0-9a-f:]*[0-9a-f](?![\w:])", "::"),
    (r"(?<![\w.])(?:192\.168|172\.(?:1[6-9]|2\d|3[01]))(?:\.\d{1,3}){2}(?![\w.])", "0.0.0.0"),
    (r"(://|@|\bip=)" + OCTETS + r"(?![\w.])", r"\g<1>0.0.0.0"),
    (r"(?<![\w.])" + OCTETS + r"(?=:\d{2,5}\b|/\d{1,2}(?![\d.]))", "0.0.0.0"),
)
UUID = r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"
# in names of EFI variables (SecureBoot-8be4df61-…): the same on every machine
PUBLIC_UUIDS = (
    "8be4df61-93ca-11d2-aa0d-00e098032b8c",
    "d719b2cb-3d3a-4596-a3bc-dad00e67656f",
    "605dab50-e046-4300-abb6-3dd810dd8b23",
)
# files whose whole content names one machine
PRIVATE_FILES = r"(?:product|board|chassis)_serial|product_uuid|machine-id|serial-number|hostname"
# settings of dockerd that are of no use here, and private
HIDDEN = ("registry-mirrors", "insecure-registries", "labels", "dns", "dns-search", "node-generic-resources", "hosts")
COMMON_NAMES = r"(?i)localhost|ubuntu|debian|fedora|docker|nvidia|jetson|linux|tegra|root|user"
LIMIT = 30  # seconds: a probe that hangs where none of its own limits helps is ended by the kernel
SECRET_KEY = r"(?i)(?:token|passw(?:or)?d|secret|api[_-]?key|serial)\w*$|^auth$"


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
        place = os.path.join(self.record, redacted(path).lstrip("/"))
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "w", encoding="utf-8") as stream:
            stream.write(
                "redacted" if re.fullmatch(PRIVATE_FILES, os.path.basename(path)) else redacted_file(path, text)
            )

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
            "mode": stat.filemode(found.st_mode),
            "uid": found.st_uid,
            "gid": found.st_gid,
            "size": found.st_size,
            "mtime": int(found.st_mtime),
            "major": os.major(found.st_rdev),
            "minor": os.minor(found.st_rdev),
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
        os.makedirs(self.record, exist_ok=True)
        place = os.path.join(self.record, "recorded.json")
        kept = {"calls": {}, "stat": {}, "links": {}}
        if os.path.exists(place):
            with open(place, encoding="utf-8") as stream:
                kept.update(json.load(stream))
        for key, table in self.kept.items():
            kept[key].update(redacted(table))
        with open(place, "w", encoding="utf-8") as stream:
            json.dump(kept, stream, indent=1, sort_keys=True)


class Child:
    """A function that runs in a forked child: a driver that hangs or crashes in it costs that child only."""

    def __init__(self, function):
        self.started, self.refused = time.monotonic(), None
        try:
            self.pipe, theirs = os.pipe()
            self.pid = os.fork()
        except OSError as error:  # no more processes or files for this user
            self.refused = "no child process: %s" % error
            return
        if not self.pid:
            os.close(self.pipe)
            self.run(function, theirs)
        os.close(theirs)

    @staticmethod
    def run(function, pipe):
        """Write what the function returns or raises, and end without anybody's exit handlers."""
        try:
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, 1)
            os.dup2(null, 2)
            answer = {"value": function()}
        except BaseException as error:
            answer = {"error": str(error) or type(error).__name__}
        try:
            with os.fdopen(pipe, "wb") as stream:
                stream.write(json.dumps(answer).encode())
        finally:
            os._exit(0)

    def answer(self, seconds):
        """What the function returned within `seconds` of its start; raises OSError with the reason else."""
        if self.refused:
            raise OSError(self.refused)
        said = b""
        while True:
            left = self.started + seconds - time.monotonic()
            if not select.select([self.pipe], [], [], max(0, left))[0]:
                os.kill(self.pid, signal.SIGKILL)  # not waited for: what hangs in the kernel does not die
                raise OSError("no answer within %g s" % seconds)
            part = os.read(self.pipe, 1 << 16)
            said += part
            if not part:
                break
        os.close(self.pipe)
        status = os.waitpid(self.pid, 0)[1]
        if not said:
            raise OSError("ended by signal %d" % (status & 127) if status & 127 else "ended without an answer")
        found = json.loads(said.decode())
        if "error" in found:
            raise OSError(found["error"])
        return found["value"]


def _matches(path, pattern):
    import fnmatch

    return path.count("/") == pattern.count("/") and fnmatch.fnmatchcase(path, pattern)


def redacted(said):
    """The same text (or every text in a JSON value, keys too) without names of users and of this host, serials, UUIDs,
    tokens, passwords and addresses. What was equal stays equal, so that a recording still fits together."""
    if isinstance(said, dict):
        return {redacted(key): _redacted_value(key, value) for key, value in said.items()}
    if isinstance(said, (list, tuple)):
        return [redacted(value) for value in said]
    if not isinstance(said, str):
        return said
    for pattern, instead in SECRETS:
        said = re.sub(pattern, instead, said)
    host = os.uname().nodename
    if len(host) > 3 and not re.fullmatch(COMMON_NAMES, host):
        said = re.sub(r"(?<![\w-])%s(?![\w-])" % re.escape(host), "host", said)
    return re.sub(UUID, _other_uuid, said)


def redacted_file(path, text):
    """The text of a file as a recording keeps it; dockerd's settings without what names other machines."""
    if os.path.basename(path) != "daemon.json":
        return redacted(text)
    try:
        found = json.loads(text)
        return redacted(json.dumps({key: "set" if key in HIDDEN else it for key, it in found.items()}))
    except (ValueError, AttributeError):  # dockerd refuses it too, and that it is broken must stay to be seen
        return re.sub(r"[\w-]+(?:\.[\w-]+)+(:\d+)?", "host", redacted(text))


def _redacted_value(key, value):
    secret = isinstance(value, str) and isinstance(key, str) and re.search(SECRET_KEY, key)
    return "redacted" if secret else redacted(value)


def _other_uuid(found):
    if found.group(0).lower() in PUBLIC_UUIDS:
        return found.group(0)
    import hashlib  # it brings OpenSSL along: only where something is redacted

    return "00000000-0000-0000-0000-" + hashlib.sha256(found.group(0).lower().encode()).hexdigest()[:12]


def fact(name, value, origin, error=None):
    """A fact: any JSON value, or None with the reason why it is not known."""
    return {"name": name, "value": value, "origin": origin, "error": error}


def main(facts):
    """Print `{"facts": [...]}` of this machine or of the one in --root; --record keeps what was read in a folder,
    --redact leaves out what should not be sent to others."""
    # by hand: argparse costs as much as everything else a probe does, and probes run before every command
    signal.alarm(LIMIT)
    machine = Machine(_option("--root"), _option("--record"))
    found = list(facts(machine))
    if machine.record:
        machine.write_recorded()
    json.dump({"facts": redacted(found) if "--redact" in sys.argv else found}, sys.stdout)


def _option(name):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv[:-1] else None
