"""Print one JSON document: NVIDIA's container toolkit: programs, version, config.toml, what nvidia-container-cli sees.

The two programs that are asked run side by side and are ended after a second or so.
"""

import os
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from machine import fact, main

STARTED, VERSION_SECONDS, INFO_SECONDS = time.monotonic(), 0.8, 1.6
FOLDERS = ("/usr/local/nvidia/toolkit", "/usr/local/bin", "/usr/bin")
HOOK = "nvidia-container-runtime-hook"
PROGRAMS = ("nvidia-ctk", "nvidia-container-cli", "nvidia-container-runtime", "nvidia-cdi-hook", HOOK)
LIBRARIES = tuple("/usr/%s/libnvidia-container.so.1" % folder for folder in ("lib/*", "lib64", "lib"))
CONFIG = "/etc/nvidia-container-runtime/config.toml"


def started(machine, command, path):
    """The running command, so that commands wait side by side; None where it is not there or not to be run."""
    if machine.root or not path:
        return None
    import subprocess  # as slow to load as all else here

    piped = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    try:
        return subprocess.Popen([path, *command], **piped)
    except OSError:
        return None


def ended(process, seconds):
    """{"code", "out", "err"} of a command, which is ended when it takes longer than `seconds` from the start."""
    if process is None:
        raise OSError("cannot be started")
    import subprocess

    try:
        out, err = process.communicate(timeout=max(0.05, STARTED + seconds - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        raise OSError("no answer within %g s" % seconds) from None
    said, wrong = out.decode("utf-8", "replace")[:4000], err.decode("utf-8", "replace")[:2000]
    return {"code": process.returncode, "out": said, "err": wrong}


def programs(machine):
    """Programs by name; the first of the folders that the daemon's PATH has wins."""
    places = [(name, folder + "/" + name) for folder in FOLDERS for name in PROGRAMS]
    found = {name: path for name, path in places if machine.stat(path)}
    older = machine.stat("/usr/bin/nvidia-container-toolkit")  # the hook's name before 1.10
    if older and HOOK not in found:
        found[HOOK] = "/usr/bin/nvidia-container-toolkit"
    return found


def version(machine, asked):
    """The fact `toolkit_version`: from the library's file name, else as nvidia-ctk says."""
    for path in [it for pattern in LIBRARIES for it in machine.glob(pattern)]:
        found = re.search(r"\.so\.(\d+\.\d+\.\d+)", machine.link(path) or "")
        if found:
            return fact("toolkit_version", found.group(1), path)
    answer, error = machine.call("nvidia-ctk --version", lambda: ended(asked, VERSION_SECONDS))
    found = re.search(r"version v?(\d+\.\d+\.\d+)", (answer or {}).get("out", ""))
    return fact("toolkit_version", found.group(1) if found else None, "nvidia-ctk --version", error)


def config(machine):
    """The fact `toolkit_config`: the settings that decide whether a container gets its GPU."""
    text = machine.text(CONFIG)
    if text is None:
        if machine.stat(CONFIG):
            return fact("toolkit_config", None, CONFIG, "it cannot be read")
        return fact("toolkit_config", {}, CONFIG)  # there is none: defaults hold
    section, found = "", {}
    for line in text.splitlines():
        head = re.match(r"\s*\[([\w.-]+)\]", line)
        pair = re.match(r"\s*([\w-]+)\s*=\s*(\"([^\"]*)\"|[^#\s]+)", line)
        if head:
            section = head.group(1) + "."
        elif pair:
            found[section + pair.group(1)] = pair.group(3) if pair.group(3) is not None else pair.group(2)
    named = found.get("nvidia-container-cli.ldconfig") or ""
    program = named.lstrip("@")
    plain = program[: -len(".real")] if program.endswith(".real") else program
    value = {
        "mode": found.get("nvidia-container-runtime.mode", "auto"),
        "root": found.get("nvidia-container-cli.root"),
        "ldconfig": named or None,
        "ldconfig_there": not program or machine.stat(program) is not None,
        "ldconfig_plain_there": not plain or machine.stat(plain) is not None,
        "no_cgroups": found.get("nvidia-container-cli.no-cgroups") == "true",
        "disable_require": found.get("disable-require") == "true",
    }
    return fact("toolkit_config", value, CONFIG)


def installed(machine):
    """The fact `toolkit_installed`: when dpkg last wrote down the toolkit's files."""
    listed = machine.glob("/var/lib/dpkg/info/nvidia-container-toolkit*.list")
    times = [it["mtime"] for it in map(machine.stat, listed) if it]
    time = max(times) if times else None
    return fact("toolkit_installed", time, "/var/lib/dpkg/info", None if times else "not known to dpkg")


def facts(machine):
    found = programs(machine)
    driver = machine.text("/proc/driver/nvidia/version") or machine.stat("/dev/dxg")
    asked = started(machine, ["--version"], found.get("nvidia-ctk"))
    # without --load-kmods: it must not load a module; without a driver there is nothing to ask for
    cli = started(machine, ["info"], found.get("nvidia-container-cli") if driver else None)
    yield fact("toolkit_programs", found, ", ".join(FOLDERS))
    yield config(machine)
    yield installed(machine)
    yield version(machine, asked)
    if not found.get("nvidia-container-cli") or not driver:
        yield fact("toolkit_cli", None, "nvidia-container-cli info", "not asked: no driver, or no such program")
        return
    answer, error = machine.call("nvidia-container-cli info", lambda: without_ids(ended(cli, INFO_SECONDS)))
    yield fact("toolkit_cli", answer, "nvidia-container-cli info", error)


def without_ids(answer):
    """The answer without what names one GPU among all."""
    answer["out"] = "\n".join(it for it in answer["out"].splitlines() if not re.match(r"GPU UUID|Bus Location", it))
    return answer


if __name__ == "__main__":
    main(facts)
