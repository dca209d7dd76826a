"""What only the running system can say of NVIDIA's driver: its log, its daemons, held packages, when it started."""

import os
import re

TELLING = re.compile(r"NVRM|nvidia|nouveau|fallen off the bus|Key was rejected|Required key|module verification", re.I)
XID = re.compile(r"NVRM: Xid \(?(?:PCI:)?([0-9a-f:.]+)\)?: (\d+)")


def boot_time():
    with open("/proc/stat", encoding="ascii") as stream:
        return int(re.search(r"^btime (\d+)", stream.read(), re.M).group(1))


def held_packages():
    """Packages of the driver that apt was told to hold."""
    if not os.path.exists("/var/lib/dpkg/status"):
        return []
    with open("/var/lib/dpkg/status", encoding="utf-8", errors="replace") as stream:
        return re.findall(r"^Package: (\S*nvidia\S*)\nStatus: hold ", stream.read(), re.M)


def running_programs():
    """Which of NVIDIA's daemons run."""
    wanted = {"nv-fabricmanager", "nvidia-persistenced", "nv-hostengine"}
    found = set()
    for folder in os.listdir("/proc"):
        if folder.isdigit():
            try:
                with open("/proc/%s/comm" % folder, encoding="utf-8", errors="replace") as stream:
                    name = stream.read().strip()
            except OSError:
                continue
            found |= {it for it in wanted if it[:15] == name}
    return sorted(found)


def kernel_messages():
    """What the kernel's log says of NVIDIA: the last lines, and each Xid with the slot it befell."""
    lines, xids = [], []
    log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    try:
        while True:
            try:
                text = os.read(log, 8192).decode("utf-8", "replace").partition(";")[2].partition("\n")[0]
            except BrokenPipeError:
                continue  # this line was overwritten meanwhile
            if TELLING.search(text):
                lines.append(text)
            xids += [{"slot": slot, "code": int(code)} for slot, code in XID.findall(text)]
    except BlockingIOError:
        pass  # read to its end
    finally:
        os.close(log)
    return {"lines": lines[-40:], "xids": xids[-100:]}
