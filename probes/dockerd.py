"""Print one JSON document: how the Docker daemon is set up (daemon.json, its unit, since when it runs), and what of
this host matters to containers: shared memory, SELinux, the group docker.
"""

import json
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from machine import HIDDEN, fact, main

UNITS = tuple(folder + "/systemd/system/docker.service" for folder in ("/etc", "/lib", "/usr/lib"))
DAEMON_FILES = ("/etc/docker/daemon.json", "/var/snap/docker/current/config/daemon.json")
PID_FILES = ("/var/run/docker.pid", "/var/snap/docker/current/run/docker.pid")
INSIDE = (("/.dockerenv", "docker"), ("/run/.containerenv", "podman"), ("/var/run/secrets/kubernetes.io", "kubernetes"))


def daemon(machine):
    """Facts of the daemon's settings and unit, and since when it runs."""
    path = next((it for it in DAEMON_FILES if machine.stat(it)), DAEMON_FILES[0])
    value, error = {"path": path, "mtime": (machine.stat(path) or {}).get("mtime"), "invalid": None, "keys": {}}, None
    try:
        value["keys"] = settings(machine.read(path)) if value["mtime"] else {}
    except ValueError as wrong:
        value["invalid"] = str(wrong)
    except OSError as wrong:
        value, error = None, str(wrong)
    yield fact("docker_settings", value, path, error)
    started = [machine.stat(it) for it in PID_FILES]
    time = next((it["mtime"] for it in started if it), None)
    yield fact("docker_started", time, PID_FILES[0], None if time else "no system-wide dockerd runs")
    line, dropped = unit(machine)
    yield fact("docker_unit", line, "docker.service", None if line else "no unit docker.service")
    proxied = bool(re.search(r"(?i)https?_proxy=", dropped))
    yield fact("docker_unit_proxy", proxied, "/etc/systemd/system/docker.service.d")


def settings(text):
    """The settings of a daemon.json, proxies only as names; raises ValueError where dockerd would refuse the file."""
    found = json.loads(text) if text.strip() else {}
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    if isinstance(found.get("proxies"), dict):
        found["proxies"] = sorted(key for key, it in found["proxies"].items() if it)
    return {key: "set" if key in HIDDEN else it for key, it in found.items()}


def unit(machine):
    """(the command line of docker.service, its drop-ins' text)."""
    texts = [next(filter(None, map(machine.text, UNITS)), "")]
    dropped = [machine.text(it) or "" for it in machine.glob("/etc/systemd/system/docker.service.d/*.conf")]
    lines = re.findall(r"(?m)^ExecStart=(.+)$", "\n".join(texts + dropped))
    return (lines[-1] if lines else None), "\n".join(dropped)


def group():
    """Whether this user is in the group docker, by the list of groups and by what this process may do."""
    import grp
    import pwd

    try:
        found = grp.getgrnam("docker")
    except KeyError:
        return {"exists": False, "listed": False, "effective": False}
    user = pwd.getpwuid(os.getuid())
    listed = user.pw_name in found.gr_mem or user.pw_gid == found.gr_gid
    return {"exists": True, "listed": listed, "effective": found.gr_gid in [*os.getgroups(), os.getgid()]}


def place(machine):
    """Facts of what surrounds a container: whether this is one, shared memory, and mandatory access control."""
    kind = next((name for path, name in INSIDE if machine.stat(path)), None) or machine.text("/run/systemd/container")
    yield fact("container_kind", kind or "none", "/.dockerenv, /run/.containerenv, /run/systemd/container")
    value, error = machine.call("statvfs:/dev/shm", shared_memory)
    yield fact("shm_size", value, "/dev/shm", error)
    mode = {"1": "enforcing", "0": "permissive"}.get(machine.text("/sys/fs/selinux/enforce"), "off")
    devices = (machine.text("/sys/fs/selinux/booleans/container_use_devices") or "0")[0] == "1"
    yield fact("selinux", {"mode": mode, "container_use_devices": devices}, "/sys/fs/selinux")


def shared_memory():
    """Bytes of /dev/shm."""
    found = os.statvfs("/dev/shm")
    return found.f_blocks * found.f_frsize


def facts(machine):
    for one in (daemon, place):
        for found in one(machine):
            yield found
    value, error = machine.call("docker-group", group)
    yield fact("docker_group", value, "group docker", error)


if __name__ == "__main__":
    main(facts)
