"""Where the driver is not a Linux PC's: WSL gets it from Windows, a Jetson has it in its kernel."""

from __future__ import annotations

from envctl.doctor.check import Check, Facts, Finding, Unknown, ok, skip
from envctl.doctor.checks.gpu import bad, gpus, info, on_tegra, on_wsl, warn

WSL_LIBRARIES = "/usr/lib/wsl/"
BLOCKED = 17  # NVML_ERROR_OPERATING_SYSTEM, nvml.h
LAST_MOUNTED = 32  # L4T of JetPack 4
CSV_RELEASES = (32, 34, 35)  # L4T of JetPack 4 and 5, whose containers get CUDA from the host by CSV files


def device(facts: Facts) -> Finding:
    """FAIL where WSL has no GPU device."""
    if not on_wsl(facts):
        return skip("not WSL")
    said = facts.need("wsl_gpu")
    if said["dxg"]:
        return ok("WSL 2 has its GPU device", "/dev/dxg is there")
    if not said["two"]:
        fix: tuple[str, ...] = ("in Windows: wsl --set-version <distribution> 2",)
        return bad("this is WSL 1, which has no GPU", facts.shown("wsl_gpu"), fix=fix, root=False)
    fix = ("in Windows: wsl --update && wsl --shutdown", "update Windows' NVIDIA driver")
    return bad("WSL has no GPU device", "/dev/dxg is not there", fix=fix, root=False)


def libraries(facts: Facts) -> Finding:
    """FAIL where WSL would not load Windows' driver."""
    if not on_wsl(facts):
        return skip("not WSL")
    there = facts.need("wsl_gpu")["libraries"]
    packages = [it for it in facts.get("driver_packages") or [] if not it.startswith("nvidia-container")]
    found = facts.need("libraries").get("libcuda.so.1", {})
    if not any(it.startswith("libcuda.so") for it in there):
        fix = ("install or update NVIDIA's driver in Windows", "in Windows: wsl --shutdown")
        return bad("Windows' driver brings no CUDA library into WSL", facts.shown("wsl_gpu"), fix=fix, root=False)
    if packages or WSL_LIBRARIES not in found.get("path", WSL_LIBRARIES):
        said = "a Linux driver is installed inside WSL and hides Windows'"
        shown = [f"libcuda.so.1 = {found.get('path')}", *packages[:3]]
        return bad(said, *shown, fix=("sudo apt-get purge 'nvidia-*' 'libnvidia-*'", "sudo ldconfig"))
    if "path" not in found and "cannot open" not in found.get("error", ""):
        raise Unknown(f"the loader was not asked: {found.get('error')}")
    if "path" not in found:
        fix = ("echo /usr/lib/wsl/lib | sudo tee /etc/ld.so.conf.d/ld.wsl.conf", "sudo ldconfig")
        return bad("the loader does not look into /usr/lib/wsl/lib", f"dlopen = {found.get('error')}", fix=fix)
    return ok("WSL loads Windows' driver", f"libcuda.so.1 = {found['path']}")


def jetson_tools(facts: Facts) -> Finding:
    """Why NVML's silence on a Jetson says nothing."""
    if not on_tegra(facts):
        return skip("not a Jetson")
    if gpus(facts):
        return ok("NVML answers on this Jetson", facts.shown("nvml"))
    return info(
        "a Jetson before JetPack 6 has no NVML: that nvidia-smi is missing says nothing", facts.shown("tegra_gpu")
    )


def windows_mode(facts: Facts) -> Finding:
    """FAIL where Windows does not let WSL use the GPU."""
    if not on_wsl(facts):
        return skip("not WSL")
    answer = facts.need("nvml")
    if answer["init"] == BLOCKED:
        said = "Windows keeps the GPU from WSL: the board is in TCC mode, or the driver is too old"
        return bad(
            said,
            f"nvmlInit_v2 = {BLOCKED}",
            fix=("in Windows, as administrator: nvidia-smi -dm 0", "update Windows' NVIDIA driver"),
            root=False,
        )
    if answer["init"]:
        raise Unknown(f"NVML does not work (nvmlInit_v2 answered {answer['init']})")
    return ok("Windows lets WSL use the GPU", facts.shown("wsl_gpu"))


def l4t(facts: Facts) -> Finding:
    """The Jetson's release, which its images' tags must name; FAIL where the image's is another."""
    if not on_tegra(facts):
        return skip("not a Jetson")
    release = facts.need("tegra_gpu").get("l4t")
    if not release:
        raise Unknown("/etc/nv_tegra_release does not name the release")
    image = facts.get("image_l4t")
    if image and image.split(".")[:2] != release.split(".")[:2]:
        said, fix = f"the image is for L4T {image}, this Jetson has {release}", (f"take the image's tag r{release}",)
        # JetPack 4 mounts CUDA itself from the host; later images bring theirs, and mostly run within one major
        mounts = int(release.partition(".")[0]) <= LAST_MOUNTED or image.partition(".")[0] != release.partition(".")[0]
        return (bad if mounts else warn)(said, facts.shown("tegra_gpu"), facts.shown("image_l4t"), fix=fix, root=False)
    return ok(f"Jetson Linux (L4T) {release}: take images with the tag r{release}", facts.shown("tegra_gpu"))


def csv(facts: Facts) -> Finding:
    """FAIL where containers of JetPack 4 and 5 would get no CUDA from the host."""
    if not on_tegra(facts):
        return skip("not a Jetson")
    release = str(facts.need("tegra_gpu").get("l4t") or "")
    if not release or int(release.partition(".")[0]) not in CSV_RELEASES:
        return skip("JetPack 6 and later use CDI instead of CSV files" if release else "the release is not known")
    if facts.need("tegra_csv"):
        return ok("containers get the host's CUDA", facts.shown("tegra_csv"))
    said = "containers get no CUDA from this Jetson: NVIDIA's CSV files are missing"
    fix = (
        "sudo apt-get install --reinstall nvidia-container-csv-cuda nvidia-container-runtime",
        "sudo systemctl restart docker",
    )
    return bad(said, facts.shown("tegra_csv"), fix=fix)


WSL_GUIDE = "https://docs.nvidia.com/cuda/wsl-user-guide"
BEFORE = ("wsl.dxg", "wsl.libs")
CHECKS: tuple[Check, ...] = (
    Check(id="wsl.dxg", title="GPU device of WSL", rule=device, source=WSL_GUIDE),
    Check(id="wsl.libs", title="Driver libraries of WSL", rule=libraries, after=("wsl.dxg",), source=WSL_GUIDE),
    Check(
        id="wsl.mode",
        title="GPU mode in Windows",
        rule=windows_mode,
        after=BEFORE,
        source="https://github.com/microsoft/WSL/issues/11865",
    ),
    Check(
        id="jet.l4t", title="Jetson release", rule=l4t, source="https://github.com/dusty-nv/jetson-containers/issues/8"
    ),
    Check(
        id="jet.csv",
        title="CUDA in a Jetson's containers",
        rule=csv,
        source="https://github.com/dusty-nv/jetson-containers/issues/108",
    ),
    Check(id="jet.smi", title="NVML on a Jetson", rule=jetson_tools, source="https://docs.nvidia.com/jetson/"),
)
