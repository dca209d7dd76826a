"""The parts of the driver: libraries, device nodes and packages, and whether they fit the loaded module."""

from __future__ import annotations

import re
from typing import Any

from envctl.doctor.check import Check, Facts, Finding, Unknown, ok, skip
from envctl.doctor.checks.driver import LOADED
from envctl.doctor.checks.gpu import bad, cuda_works, for_debian, info, warn, with_driver

NEEDED_NODES = ("/dev/nvidiactl", "/dev/nvidia-uvm")
NVML_MISMATCH = 18  # NVML_ERROR_LIB_RM_VERSION_MISMATCH, nvml.h


@with_driver
def lib_match(facts: Facts) -> Finding:
    """FAIL where the driver's libraries are not of the loaded module's version."""
    module = facts.need("driver")
    found = facts.need("libraries")
    libraries = {name: found.get(name, {}) for name in ("libcuda.so.1", "libnvidia-ml.so.1")}
    ours = {name: it for name, it in libraries.items() if not re.search(r"/compat/|/stubs/", it.get("path", ""))}
    missing = [name for name, it in ours.items() if "cannot open" in it.get("error", "")]
    if not missing and not any(it.get("path") for it in libraries.values()):
        raise Unknown(f"the loader was not asked: {libraries['libcuda.so.1'].get('error')}")
    if missing:
        said = f"kernel driver {module} is loaded, but {' and '.join(missing)} not found"
        branch = module.partition(".")[0]
        command = f"sudo apt-get install libnvidia-compute-{branch} nvidia-utils-{branch}"
        fix = (*for_debian(facts, command), "sudo ldconfig")
        return bad(said, *[f"dlopen = {libraries[it]['error']}" for it in missing], fix=fix)
    others = {it["path"]: it["version"] for it in ours.values() if it.get("version") not in (None, module)}
    if others or (facts.get("nvml") or {}).get("init") == NVML_MISMATCH:
        return _mismatch(facts, module, others)
    return _same(facts, module)


def _mismatch(facts: Facts, module: str, others: dict[str, str]) -> Finding:
    path, version = next(iter(others.items()), ("libnvidia-ml.so.1", "another version"))
    searched = {it["folder"].rstrip("/") for it in facts.get("loader_folders") or [] if it["from"] == "LD_LIBRARY_PATH"}
    folder = path.rpartition("/")[0]
    evidence = (facts.shown("driver"), *[f"{it} = {is_}" for it, is_ in others.items()])
    right = [it for paths in (facts.get("driver_library_files") or {}).values() for it in paths if it.endswith(module)]
    if folder in searched and right:
        said = f"LD_LIBRARY_PATH brings a libcuda of driver {version}; the loaded module is {module}"
        return bad(said, *evidence, fix=(f"take {folder} out of LD_LIBRARY_PATH",), root=False)
    changed = (facts.get("driver_installed") or 0) > (facts.get("boot_time") or 0) > 0
    why = ": it was upgraded after the last boot" if changed else ""
    said = f"kernel module {module} and libraries {version} do not match{why}"
    return bad(
        said,
        *evidence,
        fix=("sudo reboot", "sudo apt-mark hold 'nvidia-*' 'libnvidia-*'  # keeps it from coming back"),
        reboot=True,
    )


def _same(facts: Facts, module: str) -> Finding:
    waiting = (facts.get("nvidia_module_info") or {}).get("version")
    if waiting and waiting != module:
        said = f"driver {waiting} is installed and {module} is loaded: the next boot changes it"
        return warn(said, facts.shown("driver"), f"modinfo = {waiting}", fix=("sudo reboot",), reboot=True)
    return ok(f"kernel module and libraries are both {module}", facts.shown("driver"))


@with_driver
def auto_upgrade(facts: Facts) -> Finding:
    """INFO where the driver may be replaced under running programs."""
    said = facts.need("driver_upgrades")
    if not facts.get("driver_packages"):
        return skip("the driver is not installed by packages of a distribution that we can read")
    if said["automatic"] and not said["spared"] and not said["held"]:
        fix = ("sudo apt-mark hold 'nvidia-*' 'libnvidia-*'",)
        return info("unattended upgrades may replace the driver, which then needs a reboot", fix=fix)
    return ok("the driver is not upgraded unattended", facts.shown("driver_upgrades"))


@with_driver
def duplicates(facts: Facts) -> Finding:
    """WARN where the driver was installed twice."""
    paths = [path for paths in facts.need("driver_library_files").values() for path in paths]
    versions = sorted({path.rpartition(".so.")[2] for path in paths})
    packages = facts.get("driver_packages") or []
    if facts.get("driver_run_file") and any(
        it.startswith(("libnvidia-compute", "libcuda1", "nvidia-driver")) for it in packages
    ):
        said = "the driver was installed twice: by a .run file and by packages"
        return warn(
            said, "/usr/bin/nvidia-uninstall", *packages[:2], fix=("sudo /usr/bin/nvidia-uninstall",), reboot=True
        )
    if len(versions) > 1:
        said = f"libraries of {len(versions)} driver versions lie side by side: {', '.join(versions)}"
        stale = [it for it in paths if not it.endswith(str(facts.get("driver")))]
        return warn(said, *stale, fix=(f"remove what owns them: dpkg -S {stale[0]}", "sudo ldconfig"))
    if not (versions or packages or facts.get("driver_run_file")):
        return skip("no driver is installed in the usual places")
    return ok("the driver is installed once", facts.shown("driver_library_files"))


@with_driver
def uvm(facts: Facts) -> Finding:
    """FAIL where device nodes that CUDA needs are missing."""
    facts.need("driver")
    nodes = facts.need("nvidia_nodes")
    missing = [it for it in NEEDED_NODES if it not in nodes]
    if not any(re.fullmatch(r"/dev/nvidia\d+", it) for it in nodes):
        missing.append("/dev/nvidia0")
    if not missing or cuda_works(facts):
        return ok("the device nodes that CUDA needs are there", facts.shown("nvidia_nodes"))
    if (facts.get("nvidia_modprobe") or {}).get("installed"):
        fix: tuple[str, ...] = ("sudo nvidia-modprobe -u -c=0",)
    else:
        fix = (*for_debian(facts, "sudo apt-get install nvidia-modprobe"), "sudo nvidia-modprobe -u -c=0")
    if "nvidia_uvm" not in (facts.get("loaded_modules") or ["nvidia_uvm"]):
        fix = ("sudo modprobe nvidia_uvm", *fix)
    return bad(
        f"{' and '.join(missing)} missing: nvidia-smi may work, CUDA cannot", facts.shown("nvidia_nodes"), fix=fix
    )


@with_driver
def permissions(facts: Facts) -> Finding:
    """FAIL where this user may not open the device nodes."""
    ids = facts.need("ids")
    nodes = {
        path: it for path, it in facts.need("nvidia_nodes").items() if re.fullmatch(r"/dev/nvidia(\d+|ctl|-uvm)", path)
    }
    if not nodes:
        return skip("there are no device nodes")
    closed = {path: it for path, it in nodes.items() if not may_use(it, ids)}
    if not closed:
        return ok("this user may open the device nodes", facts.shown("nvidia_nodes"))
    path, node = next(iter(closed.items()))
    if node["gid"] and node["mode"][4:6] == "rw":
        fix: tuple[str, ...] = (f'sudo usermod -aG "$(stat -c %G {path})" "$USER"', "log in again")
    else:
        option = "options nvidia NVreg_DeviceFileMode=0666"
        fix = (f"echo '{option}' | sudo tee /etc/modprobe.d/nvidia-nodes.conf", "sudo chmod a+rw /dev/nvidia*")
    return bad(f"this user may not open {', '.join(closed)}", f"{path} = {node['mode']}, group {node['gid']}", fix=fix)


def may_use(node: dict[str, Any], ids: dict[str, Any]) -> bool:
    """Whether a user (uid, gids) may read and write a node with this mode, owner and group."""
    at = 1 if node["uid"] == ids["uid"] else 4 if node["gid"] in ids["gids"] else 7
    return bool(ids["uid"] == 0 or node["mode"][at : at + 2] == "rw")


MISMATCH = "https://github.com/easydiffusion/easydiffusion/issues/379"
MODPROBE = "https://man.archlinux.org/man/nvidia-modprobe.1.en.raw"
INSTALLING = "https://docs.nvidia.com/datacenter/tesla/driver-installation-guide/"
CHECKS: tuple[Check, ...] = (
    Check(id="drv.lib_match", title="Driver and its libraries", rule=lib_match, after=LOADED, source=MISMATCH),
    Check(
        id="drv.autoupgrade",
        title="Unattended upgrades",
        rule=auto_upgrade,
        after=("drv.lib_match",),
        source=INSTALLING,
    ),
    Check(id="drv.dup", title="One driver only", rule=duplicates, after=("drv.lib_match",), source=MISMATCH),
    Check(id="drv.uvm", title="Device nodes", rule=uvm, after=(*LOADED, "drv.supports"), source=MODPROBE),
    Check(id="drv.perm", title="Rights on device nodes", rule=permissions, after=LOADED, source=MODPROBE),
)
