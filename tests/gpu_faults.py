"""Broken GPU machines: what was broken on which machine, how, and what must be found (see test_doctor_nvidia.py)."""

from __future__ import annotations

from typing import Any

from tests.gpu_machines import A10, GEFORCE, H200, JETSON, NOUVEAU, SWITCHED, WSL, Break, Broken

K = "5.15.0-122-generic"


def log(*lines: str, xids: tuple[tuple[str, int], ...] = ()) -> dict[str, Any]:
    """What the kernel's log says."""
    return {"lines": list(lines), "xids": [{"slot": slot, "code": code} for slot, code in xids]}


def xid(code: int, text: str) -> dict[str, Any]:
    return log(f"NVRM: Xid (PCI:0000:3b:00): {code}, {text}", xids=(("0000:3b:00", code),))


def upgraded(machine: Broken, version: str) -> Broken:
    """The driver's packages were upgraded after the boot, and nothing was restarted."""
    machine.without("/usr/lib/x86_64-linux-gnu/libcuda", "/usr/lib/x86_64-linux-gnu/libnvidia-ml")
    started = machine.recorded["calls"]["boot_time"]["value"]
    machine.there("/var/lib/dpkg/info/libnvidia-compute-535:amd64.list", mtime=started + 3600)
    for soname in ("libcuda.so.1", "libnvidia-ml.so.1"):
        path = f"/usr/lib/x86_64-linux-gnu/{soname[:-1]}{version}"
        machine.there(path).library(soname, path, version)
    return machine.call(f"modinfo {K}", f"version:        {version}")


def nodes(machine: Broken, mode: str, gid: int) -> Broken:
    """Device nodes with another mode and group."""
    for path, it in machine.recorded["stat"].items():
        if path.startswith("/dev/nvidia"):
            it.update(mode=mode, gid=gid)
    return machine


def one_gpu(machine: Broken) -> Broken:
    """NVML lists one GPU of two."""
    del machine.recorded["calls"]["nvml"]["value"]["gpus"][1]
    return machine


# what was broken, on which machine, how; the check that must be the only root, its level, words said and of the fix
FAULTS: tuple[tuple[str, str, Break, str, str, str, str], ...] = (
    ("nouveau has the GPU", NOUVEAU,
     lambda m: m,
     "gpu.bound", "FAIL", "nouveau", "blacklist nouveau"),
    ("vfio-pci has the GPU", A10,
     lambda m: m.unloaded().bound("0000:3b:00.0", "vfio-pci"),
     "gpu.bound", "FAIL", "vfio-pci", "driverctl unset-override 0000:3b:00.0"),
    ("one of two GPUs is passed through", SWITCHED,
     lambda m: m.bound("0000:07:00.0", "vfio-pci"),
     "gpu.bound", "WARN", "1 of 2", "driverctl"),
    ("container without its GPU", H200,
     lambda m: m.without("/dev/nvidia").error("dlopen libcuda.so.1", "libcuda.so.1: cannot open shared object file")
      .error("nvml", "no NVML library").error("cuInit", "libcuda.so.1: cannot open"),
     "cuda.noinject", "FAIL", "started without a GPU", "--gpus all"),
    ("container without the compute capability", H200,
     lambda m: m.error("dlopen libcuda.so.1", "libcuda.so.1: cannot open shared object file")
      .error("cuInit", "libcuda.so.1: cannot open"),
     "cuda.noinject", "FAIL", "not the driver's libraries", "NVIDIA_DRIVER_CAPABILITIES"),
    ("driver not installed", A10,
     lambda m: m.unloaded()
      .without("/lib/modules", "/var/lib/dpkg", "/var/lib/dkms", "/usr/lib/x86_64-linux-gnu/libcuda",
      "/usr/lib/x86_64-linux-gnu/libnvidia-ml"),
     "drv.loaded", "FAIL", "not installed", "ubuntu-drivers install"),
    ("kernel updated, module not built", A10,
     lambda m: m.unloaded().without(f"/lib/modules/{K}", "/var/lib/dkms", f"/usr/src/linux-headers-{K}"),
     "drv.loaded", "FAIL", f"not built for this kernel ({K})", f"dkms autoinstall -k {K}"),
    ("module not loaded", A10,
     lambda m: m.unloaded(),
     "drv.loaded", "FAIL", "was not loaded", "modprobe nvidia"),
    ("prime-select intel", GEFORCE,
     lambda m: m.unloaded().file("/etc/prime-discrete", "intel\n"),
     "drv.loaded", "FAIL", "prime-select", "prime-select nvidia"),
    ("nvidia is blacklisted", A10,
     lambda m: m.unloaded().file("/etc/modprobe.d/no-nvidia.conf", "blacklist nvidia\n"),
     "drv.loaded", "FAIL", "no-nvidia.conf keeps it out", "rm /etc/modprobe.d/no-nvidia.conf"),
    ("Secure Boot, key refused", GEFORCE,
     lambda m: m.unloaded()
      .call("kernel_log", log("nvidia: module verification failed: signature and/or required key missing",
      "Loading of module with unavailable key is rejected: Key was rejected by service")),
     "drv.secureboot", "FAIL", "Secure Boot", "mokutil --import"),
    ("Secure Boot, key never enrolled", GEFORCE,
     lambda m: m.unloaded().call("mokutil", "Subject: CN=another key\n"),
     "drv.secureboot", "FAIL", "not enrolled", "mokutil --import"),
    ("proprietary module on Blackwell", GEFORCE,
     lambda m: m.call("kernel_log", log("NVRM: The NVIDIA GPU 0000:01:00.0 (PCI ID: 10de:2b85)",
      "NVRM: installed in this system requires use of the NVIDIA open kernel modules.",
      "NVRM: GPU 0000:01:00.0: RmInitAdapter failed! (0x22:0x56:884)"))
      .call("nvml", {"init": 0, "driver": "550.107.02", "cuda": "12.4", "gpus": []}).cuda(100),
     "drv.supports", "FAIL", "open one only", "nvidia-driver-550-open"),
    ("open module on Pascal", GEFORCE,
     lambda m: m.bound("0000:01:00.0", None)
      .call("kernel_log", log("NVRM: installed in this system is not supported by open",
      "NVRM: nvidia.ko because it does not include the required GPU"))
      .call("nvml", {"init": 0, "driver": "550.107.02", "cuda": "12.4", "gpus": [{"capability": "6.1",
      "name": "NVIDIA GeForce GTX 1080", "slot": "0000:01:00.0"}]}).cuda(100),
     "drv.supports", "FAIL", "too old for it", "nvidia-driver-550"),
    ("driver dropped the GPU", A10,
     lambda m: m.file("/proc/driver/nvidia/version",
      "NVRM version: NVIDIA UNIX x86_64 Kernel Module  595.45.04  Release Build\n")
      .call("kernel_log", log("NVRM: installed in this system is not supported by the",
      "NVRM: NVIDIA 595.45.04 driver release."))
      .library("libcuda.so.1", "/usr/lib/x86_64-linux-gnu/libcuda.so.595.45.04", "595.45.04")
      .library("libnvidia-ml.so.1", "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.595.45.04", "595.45.04")
      .call(f"modinfo {K}", "version:        595.45.04")
      .call("nvml", {"init": 0, "driver": "595.45.04", "cuda": "13.2", "gpus": []}).cuda(100),
     "drv.supports", "FAIL", "does not support", "ubuntu-drivers install"),
    ("GPU gone after the next boot", A10,
     lambda m: m.there("/boot/vmlinuz-5.15.0-124-generic"),
     "drv.next_boot", "WARN", "5.15.0-124-generic has no NVIDIA module", "linux-headers-5.15.0-124-generic"),
    ("prebuilt module missing for the next boot", SWITCHED,
     lambda m: m.there("/boot/vmlinuz-5.15.0-1070-nvidia"),
     "drv.next_boot", "WARN", "5.15.0-1070-nvidia", "linux-modules-nvidia-550-server-open-5.15.0-1070-nvidia"),
    ("libraries upgraded under the module", A10,
     lambda m: upgraded(m, "535.216.01").call("nvml", {"init": 18}).cuda(803),
     "drv.lib_match", "FAIL", "upgraded after the last boot", "sudo reboot"),
    ("NVML finds another module", A10,
     lambda m: m.call("nvml", {"init": 18}).cuda(803),
     "drv.lib_match", "FAIL", "do not match", "sudo reboot"),
    ("foreign libcuda in LD_LIBRARY_PATH", A10,
     lambda m: m.call("env LD_LIBRARY_PATH", "/opt/old")
      .library("libcuda.so.1", "/opt/old/libcuda.so.470.82.01", "470.82.01").cuda(803),
     "drv.lib_match", "FAIL", "LD_LIBRARY_PATH", "/opt/old"),
    ("libraries of the driver missing", A10,
     lambda m: m.without("/usr/lib/x86_64-linux-gnu/lib")
      .error("dlopen libcuda.so.1", "libcuda.so.1: cannot open shared object file")
      .error("dlopen libnvidia-ml.so.1", "libnvidia-ml.so.1: cannot open shared object file")
      .error("nvml", "no NVML library").error("cuInit", "libcuda.so.1: cannot open"),
     "drv.lib_match", "FAIL", "not found", "libnvidia-compute-535"),
    ("new driver waits for the boot", A10,
     lambda m: m.call(f"modinfo {K}", "version:        535.216.01\nlicense:        NVIDIA"),
     "drv.lib_match", "WARN", "next boot changes it", "reboot"),
    ("installed twice", A10,
     lambda m: m.there("/usr/bin/nvidia-uninstall"),
     "drv.dup", "WARN", "installed twice", "nvidia-uninstall"),
    ("stale libraries", A10,
     lambda m: m.there("/usr/lib/x86_64-linux-gnu/libcuda.so.470.82.01"),
     "drv.dup", "WARN", "470.82.01", "dpkg -S"),
    ("no nvidia-uvm node", A10,
     lambda m: m.without("/dev/nvidia-uvm").cuda(999),
     "drv.uvm", "FAIL", "/dev/nvidia-uvm", "nvidia-modprobe -u -c=0"),
    ("no nvidia-uvm and no nvidia-modprobe", A10,
     lambda m: m.without("/dev/nvidia-uvm", "/usr/bin/nvidia-modprobe").cuda(999),
     "drv.uvm", "FAIL", "/dev/nvidia-uvm", "apt-get install nvidia-modprobe"),
    ("nodes for a group only", A10,
     lambda m: nodes(m, "crw-rw----", 109).call("nvml", {"init": 4}).cuda(100),
     "drv.perm", "FAIL", "may not open", "usermod -aG"),
    ("nodes for root only", A10,
     lambda m: nodes(m, "crw-------", 0).call("nvml", {"init": 4}).cuda(100),
     "drv.perm", "FAIL", "may not open", "NVreg_DeviceFileMode=0666"),
    ("GPU fell off the bus", A10,
     lambda m: m.call("kernel_log", xid(79, "GPU has fallen off the bus."))
      .call("nvml", {"init": 0, "driver": "535.183.01", "cuda": "12.2", "gpus": [{"error": 15}]}).cuda(100),
     "gpu.health", "FAIL", "fell off the bus", "power the machine off"),
    ("GPU fell off the bus, no Xid", A10,
     lambda m: m.call("kernel_log", log("NVRM: GPU 0000:3b:00.0: GPU has fallen off the bus.")),
     "gpu.health", "FAIL", "fell off the bus", "power"),
    ("double-bit memory error", A10,
     lambda m: m.call("kernel_log", xid(48, "pid=1234, DBE")),
     "gpu.health", "FAIL", "Xid 48", "--gpu-reset"),
    ("GSP gives no answer", A10,
     lambda m: m.call("kernel_log", xid(119, "Timeout waiting for RPC from GSP!")),
     "gpu.health", "FAIL", "Xid 119", "--gpu-reset"),
    ("GPU is lost in NVML", A10,
     lambda m: m.call("nvml", {"init": 0, "driver": "535.183.01", "cuda": "12.2", "gpus": [{"error": 15}]}).cuda(100),
     "gpu.health", "FAIL", "lost", "power"),
    ("one of two GPUs does not answer", SWITCHED,
     one_gpu,
     "gpu.health", "FAIL", "1 of 2 GPUs", "power"),
    ("memory rows wait to be remapped", A10,
     lambda m: m.gpu(remapped_rows=[0, 1, 1, 0]),
     "gpu.health", "WARN", "bad memory", "--gpu-reset"),
    ("row remapping failed", A10,
     lambda m: m.gpu(remapped_rows=[0, 9, 0, 1]),
     "gpu.health", "FAIL", "spare", "replaced"),
    ("uncorrectable errors", A10,
     lambda m: m.gpu(uncorrected=3),
     "gpu.health", "WARN", "3 uncorrectable", "--gpu-reset"),
    ("ECC change pending", A10,
     lambda m: m.gpu(ecc=[1, 0]),
     "gpu.health", "WARN", "ECC", "--gpu-reset"),
    ("NVML hangs", A10,
     lambda m: m.error("nvml", "no answer within 1.4 s").error("cuInit", "no answer within 1.4 s"),
     "gpu.health", "WARN", "does not answer", "reboot"),
    ("MIG waits for a reset", SWITCHED,
     lambda m: m.gpu(mig=[0, 1]),
     "gpu.mig", "FAIL", "after the next reset", "--gpu-reset"),
    ("MIG without devices", SWITCHED,
     lambda m: m.gpu(mig=[1, 1], mig_devices=0).cuda(100),
     "gpu.mig", "FAIL", "no MIG device", "mig -i 0 -cgi"),
    ("several MIG devices for a process", SWITCHED,
     lambda m: m.gpu(mig=[1, 1], mig_devices=2).call("env CUDA", {"CUDA_VISIBLE_DEVICES": "MIG-a,MIG-b"}),
     "gpu.mig", "WARN", "first only", "one MIG device"),
    ("fabric manager not running", SWITCHED,
     lambda m: m.call("daemons", []).cuda(802),
     "gpu.fabric", "FAIL", "does not run", "systemctl enable --now nvidia-fabricmanager"),
    ("fabric manager not installed", SWITCHED,
     lambda m: m.without("/usr/bin/nv-fabricmanager").call("daemons", []).cuda(802),
     "gpu.fabric", "FAIL", "not installed", "nvidia-fabricmanager-550=550.90.07"),
    ("fabric manager of another version", SWITCHED,
     lambda m: m.call("nv-fabricmanager", "Fabric Manager version is : 550.54.15").cuda(802),
     "gpu.fabric", "FAIL", "550.54.15 does not fit", "nvidia-fabricmanager-550=550.90.07"),
    ("fabric manager stopped later", SWITCHED,
     lambda m: m.call("daemons", []),
     "gpu.fabric", "WARN", "stopped", "systemctl"),
    ("GPU memory is taken", A10,
     lambda m: m.gpu(memory_free=300 << 20),
     "gpu.free", "WARN", "300 MiB", "nvidia-smi"),
    ("compute mode prohibited", A10,
     lambda m: m.gpu(compute_mode=2).cuda(100),
     "gpu.free", "FAIL", "prohibited", "-c DEFAULT"),
    ("exclusive and taken", A10,
     lambda m: m.gpu(compute_mode=3, processes=1),
     "gpu.free", "WARN", "one process", "-c DEFAULT"),
    ("different GPUs", SWITCHED,
     lambda m: m.gpu(capability="7.5"),
     "gpu.mixed", "WARN", "7.5, 8.0", "CUDA_DEVICE_ORDER=PCI_BUS_ID"),
    ("slowed down by heat", A10,
     lambda m: m.gpu(slowdown=0x48),
     "gpu.power", "WARN", "heat", "cooling"),
    ("WSL without its device", WSL,
     lambda m: m.without("/dev/dxg").call("nvml", {"init": 9}).cuda(100),
     "wsl.dxg", "FAIL", "no GPU device", "wsl --update"),
    ("WSL 1", WSL,
     lambda m: m.without("/dev/dxg", "/usr/lib/wsl").file("/proc/version", "Linux version 4.4.0-19041-Microsoft\n")
      .call("nvml", {"init": 9}).cuda(100),
     "wsl.dxg", "FAIL", "WSL 1", "--set-version"),
    ("Linux driver inside WSL", WSL,
     lambda m: m.there("/var/lib/dpkg/info/libnvidia-compute-535:amd64.md5sums")
      .library("libcuda.so.1", "/usr/lib/x86_64-linux-gnu/libcuda.so.535.183.01", "535.183.01")
      .call("nvml", {"init": 17}).cuda(100),
     "wsl.libs", "FAIL", "inside WSL", "apt-get purge"),
    ("WSL's libraries are not on the path", WSL,
     lambda m: m.without("/etc/ld.so.conf.d")
      .error("dlopen libcuda.so.1", "libcuda.so.1: cannot open shared object file")
      .error("cuInit", "libcuda.so.1: cannot open"),
     "wsl.libs", "FAIL", "/usr/lib/wsl/lib", "ld.wsl.conf"),
    ("Windows without a CUDA driver", WSL,
     lambda m: m.without("/usr/lib/wsl").error("dlopen libcuda.so.1", "libcuda.so.1: cannot open")
      .error("nvml", "no NVML library").error("cuInit", "cannot open"),
     "wsl.libs", "FAIL", "no CUDA library", "Windows"),
    ("board in TCC mode", WSL,
     lambda m: m.call("nvml", {"init": 17}).cuda(100),
     "wsl.mode", "FAIL", "TCC", "nvidia-smi -dm 0"),
    ("Jetson without CSV files", JETSON,
     lambda m: m.without("/etc/nvidia-container-runtime"),
     "jet.csv", "FAIL", "CSV", "nvidia-container-csv-cuda"),
)  # fmt: skip
