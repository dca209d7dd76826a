"""Print one JSON document: operating system, C library, CPU and memory of this machine (standard library only)."""

import json
import os
import platform
import sys


def fact(name, value, origin, error=None):
    return {"name": name, "value": value, "origin": origin, "error": error}


def read(path):
    with open(path, encoding="utf-8", errors="replace") as stream:
        return stream.read()


def field(text, key, separator):
    """The value of the first `key<separator>value` line, or None."""
    for line in text.splitlines():
        name, found, value = line.partition(separator)
        if found and name.strip() == key:
            return value.strip().strip('"')
    return None


def from_file(name, path, pick):
    """A fact picked out of a file's text; unknown, with the reason, when the file does not say."""
    try:
        value = pick(read(path))
    except (OSError, ValueError) as error:
        return fact(name, None, path, str(error))
    return fact(name, value, path, None if value is not None else "not stated there")


def glibc():
    """The C library's version, asked of the library this Python runs on."""
    library, version = platform.libc_ver()
    error = None if library == "glibc" else "not glibc: %s" % (library or "unknown C library")
    return fact("glibc", version if library == "glibc" else None, "platform.libc_ver", error)


def memory_limit():
    """The memory cap of this process's control group in bytes (v2, then v1); absent where there is none."""
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        if os.path.exists(path):
            text = read(path).strip()
            # v1 says "no limit" with a number close to 2**63
            limited = text.isdigit() and int(text) < 1 << 60
            return fact("memory_limit", int(text) if limited else None, path, None if limited else "no limit")
    return fact("memory_limit", None, "/sys/fs/cgroup", "no memory control group")


def cpu_flags(text):
    return field(text, "flags", ":") or field(text, "Features", ":")


def facts():
    cpuinfo, meminfo = "/proc/cpuinfo", "/proc/meminfo"
    yield from_file("os", "/etc/os-release", lambda text: field(text, "PRETTY_NAME", "="))
    yield fact("kernel", platform.release(), "uname")
    yield fact("arch", platform.machine(), "uname")
    yield glibc()
    yield from_file("cpu_model", cpuinfo, lambda text: field(text, "model name", ":"))
    yield from_file("cpu", cpuinfo, cpu_flags)
    yield fact("cores", len(os.sched_getaffinity(0)), "sched_getaffinity")
    yield from_file("memory", meminfo, lambda text: int(field(text, "MemTotal", ":").split()[0]) * 1024)
    yield memory_limit()


if __name__ == "__main__":
    json.dump({"facts": list(facts())}, sys.stdout)
