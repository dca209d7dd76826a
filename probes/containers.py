"""Print one JSON document: the container engine (Docker, or Podman behind Docker's API): where it is, whether it
answers this user, and what it says of itself.

Starts and stops nothing and never leaves this machine: an engine behind tcp:// or ssh:// is named, not asked.
"""

import errno
import json
import os
import re
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from machine import fact, main

STARTED, CONNECT_SECONDS, ALL_SECONDS = time.monotonic(), 0.4, 1.6
DEFAULT = "unix:///var/run/docker.sock"
FOLDERS = ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/bin", "/snap/bin")
PROGRAMS = ("docker", "dockerd", "podman", "nerdctl")
KEPT = (
    ("storage", "Driver"),
    ("cgroup_driver", "CgroupDriver"),
    ("cgroup_version", "CgroupVersion"),
    ("default_runtime", "DefaultRuntime"),
    ("os", "OperatingSystem"),
    ("kernel", "KernelVersion"),
    ("architecture", "Architecture"),
    ("memory_limit", "MemoryLimit"),
    ("pids_limit", "PidsLimit"),
    ("cdi_dirs", "CDISpecDirs"),
)
PID_FILES = ("/var/run/docker.pid", "/var/snap/docker/current/run/docker.pid")
STATES = {errno.ENOENT: "absent", errno.ECONNREFUSED: "refused", errno.EACCES: "denied", errno.EPERM: "denied"}


def without_home(text):
    """The text with ~ for the home folder: a user's name is nobody's business."""
    home = os.path.expanduser("~")
    return text.replace(home + "/", "~/") if len(home) > 1 else text


def path_of(address):
    """The path of a unix:// address."""
    return os.path.expanduser(address[len("unix://") :])


def client():
    """Whom the docker program talks to and whom a Docker SDK (and so envctl) does: the SDK knows no contexts."""
    named = os.environ.get("DOCKER_HOST", "")
    folder = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    try:
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as stream:
            context = json.load(stream).get("currentContext")
    except (OSError, ValueError, AttributeError):
        context = None
    context = "default" if named else os.environ.get("DOCKER_CONTEXT") or context or "default"
    address = named or (DEFAULT if context == "default" else endpoint(folder, context))
    chosen = "DOCKER_HOST" if named else "context" if context != "default" else "default"
    named, address = without_home(named), without_home(address)
    return {"sdk": named or DEFAULT, "cli": address, "chosen_by": chosen, "context": context, "uid": os.getuid()}


def endpoint(folder, context):
    """The address of a context; an empty one where there is no such context."""
    import hashlib

    name = hashlib.sha256(context.encode()).hexdigest()
    try:
        with open(os.path.join(folder, "contexts/meta", name, "meta.json"), encoding="utf-8") as stream:
            return json.load(stream)["Endpoints"]["docker"]["Host"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def state(address):
    """(state, detail) of an address: answers, absent, refused, denied, silent, asleep, remote."""
    if not address.startswith("unix://"):
        return "remote", address.partition(":")[0]
    path = path_of(address)
    if os.path.exists(path) and asleep(path):
        return "asleep", systemd_says()
    try:
        connect(path).close()
    except socket.timeout:
        return "silent", "no connection within %g s" % CONNECT_SECONDS
    except OSError as error:
        return STATES.get(error.errno, "error"), os.strerror(error.errno) if error.errno else str(error)
    return "answers", None


def connect(path):
    """An open connection."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    link.settimeout(CONNECT_SECONDS)
    try:
        link.connect(path)
    except OSError:
        link.close()
        raise
    return link


def asleep(path):
    """Whether systemd holds the socket and no daemon runs: connecting would start it, which is not ours to do."""
    if not (path.endswith("/run/docker.sock") and os.path.isdir("/run/systemd/system")):
        return False
    if any(os.path.exists(place) for place in PID_FILES):
        return False
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/comm" % number) as stream:
                if stream.read().strip() == "dockerd":
                    return False
        except OSError:
            pass
    return True


def systemd_says():
    """What systemd says of the service: inactive, failed, …"""
    import subprocess

    command = ["systemctl", "show", "-p", "ActiveState", "--value", "docker"]
    try:
        return subprocess.check_output(command, timeout=0.3).decode().strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def ask(address, what):
    """A JSON answer of the engine. HTTP/1.0: the answer ends where the connection does."""
    link = connect(path_of(address))
    try:
        link.sendall(("GET %s HTTP/1.0\r\nHost: docker\r\n\r\n" % what).encode())
        said = b""
        while True:
            link.settimeout(max(0.05, STARTED + ALL_SECONDS - time.monotonic()))
            part = link.recv(1 << 16)
            if not part:
                break
            said += part
    finally:
        link.close()
    head, _, body = said.partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n")[0] + b" ":
        raise OSError("%s answered %s" % (what, head.split(b"\r\n")[0].decode("latin-1") or "nothing"))
    return json.loads(body.decode("utf-8", "replace"))


def version_of(address):
    """Versions of the engine, of its API, and of its parts."""
    found = ask(address, "/version")
    parts = {part.get("Name", ""): part.get("Version") for part in found.get("Components") or []}
    kept = {name: parts[name] for name in parts if re.match("Engine|Podman|containerd|runc|crun", name)}
    api, oldest = found.get("ApiVersion"), found.get("MinAPIVersion")
    return {"version": found.get("Version"), "api": api, "oldest_api": oldest, "parts": kept}


def info_of(address):
    """What matters of /info, without names, ids, and addresses of proxies and mirrors."""
    found = ask(address, "/info")
    status = {pair[0]: pair[1] for pair in found.get("DriverStatus") or [] if len(pair) == 2}
    named = {name: it or {} for name, it in (found.get("Runtimes") or {}).items()}
    kept = {name: found.get(key) for name, key in KEPT}
    kept.update(
        {
            "backing": status.get("Backing Filesystem"),
            "d_type": status.get("Supports d_type"),
            "runtimes": {name: it.get("path") or it.get("runtimeType") for name, it in named.items()},
            "root": without_home(found.get("DockerRootDir") or ""),
            "security": [it.partition("name=")[2].split(",")[0] or it for it in found.get("SecurityOptions") or []],
            "proxies": [key for key in ("HttpProxy", "HttpsProxy", "NoProxy") if found.get(key)],
            "devices": [it.get("ID") for it in found.get("DiscoveredDevices") or []],
        }
    )
    return kept


def flavour(version, info):
    """Which product answers: podman, desktop, desktop-wsl, snap, rootless, docker."""
    if any("Podman" in name for name in version["parts"]):
        return "podman"
    if info["os"] == "Docker Desktop":
        return "desktop-wsl" if "microsoft" in (info["kernel"] or "") else "desktop"
    if info["root"].startswith("/var/snap/"):
        return "snap"
    return "rootless" if "rootless" in info["security"] else "docker"


def engine(machine, address):
    """Facts of what the engine says of itself."""
    version, error = machine.call("docker:/version", lambda: version_of(address))
    yield fact("docker_version", version, address + "/version", error)
    info, wrong = machine.call("docker:/info", lambda: info_of(address))
    yield fact("docker_info", info, address + "/info", wrong)
    yield fact("docker_flavour", flavour(version, info) if version and info else None, address, error or wrong)
    root = (info or {}).get("root")
    free, wrong = machine.call("statvfs:" + root, lambda: room(root)) if root else (None, wrong or "no data root")
    yield fact("docker_disk", free, root or address, wrong)


def sockets():
    """State of every address where an engine may be, the one that envctl uses first."""
    told = client()
    runtime = os.environ.get("XDG_RUNTIME_DIR") or "/run/user/%d" % os.getuid()
    usual = [DEFAULT, "unix://%s/docker.sock" % runtime, "unix://~/.docker/desktop/docker.sock"]
    places = [it for it in [told["sdk"], told["cli"], *usual] if it]
    found = [(place, state(place)) for place in sorted(set(places), key=places.index)]
    return [{"address": place, "state": it[0], "detail": it[1]} for place, it in found]


def room(root):
    """Bytes and inodes of the disk under the engine's images."""
    found = os.statvfs(os.path.expanduser(root))
    free, size = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    return {"free": free, "size": size, "inodes_free": found.f_favail, "inodes": found.f_files}


def facts(machine):
    places = [(name, folder + "/" + name) for folder in reversed(FOLDERS) for name in PROGRAMS]
    yield fact("container_programs", {name: path for name, path in places if machine.stat(path)}, ", ".join(FOLDERS))
    told, error = machine.call("docker-client", client)
    yield fact("docker_client", told, "DOCKER_HOST, ~/.docker/config.json", error)
    found, error = machine.call("docker-sockets", sockets)
    yield fact("docker_sockets", found, "connect", error)
    address = (told or {}).get("sdk", DEFAULT)
    if any(it["address"] == address and it["state"] == "answers" for it in found or []):
        for one in engine(machine, address):
            yield one
        return
    for name in ("docker_version", "docker_info", "docker_flavour", "docker_disk"):
        yield fact(name, None, address, "no engine answers at " + address)


if __name__ == "__main__":
    main(facts)
