"""An image against this host, before a container is started from it (ids img.*): facts of probes/image.py."""

from __future__ import annotations

from typing import Any

from envctl.doctor.check import Check, Facts, Finding, Level, ok, skip
from envctl.doctor.requirement import SOURCES, Known, holds, numbers, parse, required

IMAGE = ("this image",)
# names of `uname -m` -> names of image platforms
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le", "s390x": "s390x"}
# NVIDIA's apt and rpm repositories have another key since then: github.com/NVIDIA/cuda-repo-management/issues/4
KEY_ROTATED = "2022-04-28"
# nvmlBrandType_t (nvml.h) -> the names that CUDA images use in NVIDIA_REQUIRE_CUDA
BRANDS = {
    0: "unknown", 1: "quadro", 2: "tesla", 3: "nvs", 4: "grid", 5: "geforce", 6: "titan", 7: "vapps", 8: "vpc",
    9: "vcs", 10: "vws", 11: "cloudgaming", 12: "quadrortx", 13: "nvidiartx", 14: "nvidia", 15: "geforcertx",
    16: "titanrtx",
}  # fmt: skip
# what a container gets that does not say (capabilities.go of the toolkit), and what libcuda belongs to
DEFAULT_CAPABILITIES, CUDA_CAPABILITY = "utility,compute", "compute"


def gpus(facts: Facts) -> list[Known]:
    """What a requirement can ask, for each GPU; one entry with what is known where NVML does not answer."""
    nvml: dict[str, Any] = facts.get("nvml") or {}
    driver = facts.get("driver") or nvml.get("driver")
    common = {"driver": driver, "cuda": nvml.get("cuda") or facts.get("driver_cuda")}
    found = [it for it in nvml.get("gpus") or [] if "error" not in it]
    if not found:
        return [{**common, "arch": (facts.get("gpu") or "").partition(" ")[0] or None, "brand": None}]
    return [{**common, "arch": it.get("capability"), "brand": BRANDS.get(it.get("brand"))} for it in found]


def architecture(facts: Facts) -> Finding:
    """img.arch: the image is for this processor."""
    platform = facts.need("image_platform")
    here = ARCHITECTURES.get(facts.need("arch"), facts.need("arch"))
    shown = (f"image = {platform}", f"uname -m = {facts.need('arch')}")
    system, _, there = platform.partition("/")
    if system == "linux" and there.partition("/")[0] == here:
        return ok(f"the image is for {here}", *shown)
    said = f"the image is for {platform}, this host is linux/{here}; what emulation offers has no GPU"
    hint = "; on a Jetson an l4t or -igpu image" if facts.get("tegra_gpu") else ""
    fix = (f"docker pull --platform linux/{here} IMAGE   # or a tag built for {here}{hint}",)
    return Finding(level="FAIL", said=said, evidence=shown, affects=IMAGE, fix=fix)


def requirement(facts: Facts) -> Finding:
    """img.require: driver and GPUs satisfy what the image asks for."""
    texts = required(facts.need("image_environment"))
    if not texts:
        return ok("the image asks nothing of the driver", "image = no NVIDIA_REQUIRE_*, or NVIDIA_DISABLE_REQUIRE")
    if (facts.get("toolkit_config") or {}).get("disable_require"):
        said = "what the image asks is not looked at: disable-require is set in the toolkit's settings"
        return Finding(level="INFO", said=said, evidence=tuple(map(_short, texts)))
    if not facts.get("driver") and not facts.get("nvml"):
        return skip("no NVIDIA driver: the image cannot use a GPU here, and what it asks of one is not looked at")
    for text in texts:
        finding = _checked(text, gpus(facts))
        if finding:
            return finding
    return ok("driver and GPUs satisfy the image", *(_short(it) for it in texts), *map(_words, gpus(facts)))


def _checked(text: str, here: list[Known]) -> Finding | None:
    """A finding where a requirement is not met by every GPU."""
    try:
        alternatives = parse(text)
    except ValueError as error:
        said = f"NVIDIA's tools refuse this image: {error}"
        fix = ("docker run -e NVIDIA_DISABLE_REQUIRE=1 …", "mend NVIDIA_REQUIRE_* in the image")
        return Finding(level="FAIL", said=said, evidence=(_short(text),), affects=IMAGE, fix=fix)
    results = [holds(alternatives, known) for known in here]
    shown = (_short(text), *map(_words, here))
    if False in results:
        return _unmet(text, here[results.index(False)], shown)
    if None in results:
        missing = sorted({name for known in here for name, value in known.items() if value is None})
        return skip(f"whether {_short(text)} holds hangs on what is not known here: {', '.join(missing)}")
    return None


def _unmet(text: str, known: Known, shown: tuple[str, ...]) -> Finding:
    first = text.split(maxsplit=1)[0]
    said = f"the image asks for {first}, and this driver ({known['driver'] or '?'}) offers CUDA {known['cuda'] or '?'}"
    wanted = first[len("cuda>=") :] if first.startswith("cuda>=") else ""
    fix = [f"install a driver that offers CUDA {wanted}" if wanted else "install a newer driver"]
    fix.append("or take an older tag of the image; pin it by digest, as tags move")
    if wanted and numbers(wanted)[:1] == numbers(known["cuda"] or "")[:1]:
        # minor-version compatibility: docs.nvidia.com/deploy/cuda-compatibility
        fix.append("or docker run -e NVIDIA_DISABLE_REQUIRE=1 …   # same major: runs where nothing is made from PTX")
    return Finding(
        level="FAIL", said=said, evidence=shown, affects=IMAGE, fix=tuple(fix), needs_root=True, needs_reboot=True
    )


def _short(text: str) -> str:
    terms = text.split()
    return f"image = {terms[0]}" + (f" or one of {len(terms) - 1} other conditions" if len(terms) > 1 else "")


def _words(known: Known) -> str:
    return "host = " + ", ".join(f"{name} {value or '?'}" for name, value in known.items())


def capabilities(facts: Facts) -> Finding:
    """img.capabilities: the image asks for the part of the driver that CUDA needs."""
    environment = facts.need("image_environment")
    devices = environment.get("NVIDIA_VISIBLE_DEVICES")
    said = environment.get("NVIDIA_DRIVER_CAPABILITIES") or DEFAULT_CAPABILITIES
    shown = (f"image = NVIDIA_VISIBLE_DEVICES {devices}", f"image = NVIDIA_DRIVER_CAPABILITIES {said}")
    if devices is None and "NVIDIA_DRIVER_CAPABILITIES" not in environment:
        return skip("the image says nothing of GPUs")
    if not {CUDA_CAPABILITY, "all"} & set(said.split(",")):
        fix = ("docker run -e NVIDIA_DRIVER_CAPABILITIES=compute,utility …",)
        why = "the image does not ask for the capability compute: libcuda is not put into its containers"
        return Finding(level="WARN", said=why, evidence=shown, affects=IMAGE, fix=fix)
    return ok("the image asks for libcuda", *shown)


def driver_files(facts: Facts) -> Finding:
    """img.driverfiles: no files of a driver were baked into the image."""
    found = facts.need("image_driver_files")
    if not found:
        return ok("no file of a driver in the image", "image layers = none of libcuda.so.*, libnvidia-ml.so.*")
    hard = bool(facts.get("wsl_gpu") or facts.get("tegra_gpu"))
    said = f"files of a driver were baked into the image ({', '.join(found)}): they hide those of this host"
    fix = ("rebuild the image without driver packages (libnvidia-compute-*, nvidia-utils-*)",)
    level: Level = "FAIL" if hard else "WARN"
    return Finding(level=level, said=said, evidence=(f"image layers = {', '.join(found)}",), affects=IMAGE, fix=fix)


def age(facts: Facts) -> Finding:
    """img.age: packages can still be installed on top of the image."""
    created = str(facts.need("image_created"))[:10]
    environment = facts.need("image_environment")
    shown = f"image = created {created}"
    nvidia = any(name.startswith(("NVIDIA_", "CUDA_VERSION", "NVARCH")) for name in environment)
    if not nvidia or created >= KEY_ROTATED or created < "2000":  # reproducible builds are from the year 1970
        return ok("the image is not of an age that matters", shown)
    said = f"the image is older than {KEY_ROTATED}, when NVIDIA's repositories got another key: apt-get update fails"
    lists = "rm -f /etc/apt/sources.list.d/cuda.list /etc/apt/sources.list.d/nvidia-ml.list"
    fix = ("docker build --pull …   # a refreshed base", f"or, before apt-get: {lists}")
    return Finding(level="WARN", said=said, evidence=(shown,), affects=("docker build on this image",), fix=fix)


CHECKS: tuple[Check, ...] = (
    Check(
        id="img.arch", title="Platform of the image", rule=architecture,
        source="https://github.com/sickcodes/dock-droid/issues/16",
    ),
    Check(
        id="img.require", title="What the image asks of the driver", rule=requirement, source=SOURCES[0],
        after=("drv.loaded", "drv.lib_match"),
    ),
    Check(
        id="img.capabilities", title="Parts of the driver in the image", rule=capabilities,
        source="https://github.com/NVIDIA/nvidia-container-toolkit/blob/main/internal/config/image/capabilities.go",
    ),
    Check(
        id="img.driverfiles", title="Driver files in the image", rule=driver_files,
        source="https://github.com/microsoft/WSL/issues/9962",
    ),
    Check(
        id="img.age", title="Age of the image", rule=age,
        source="https://github.com/NVIDIA/cuda-repo-management/issues/4",
    ),
)  # fmt: skip
