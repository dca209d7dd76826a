"""Checks of the processor: what engines need, what the system lets through, how much of it there is."""

from __future__ import annotations

from envctl.doctor.check import Check, Facts, Finding, ok

KERNEL_SOURCE = "https://gitlab.com/gnutls/gnutls/-/issues/1282"
VM_SOURCE = "https://github.com/tensorflow/tensorflow/issues/19809"
CGROUP_SOURCE = "https://kernel.org/doc/Documentation/cgroup-v2.txt"
# kernel options that hide instruction sets
# https://git.zx2c4.com/linux-dev/diff/?id=ac72e7888a612dccfbc15b34698aad441bdfda10
HIDING = ("noxsave", "clearcpuid", "noxsaveopt")
WIDE = ("avx", "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "bf16", "sve")
LOW_PRECISION = ("avx512_bf16", "amx_bf16", "bf16")


def enabled(facts: Facts) -> Finding:
    """Whether the operating system lets programs use what the processor has."""
    differ = facts.need("cpu_disagreement")
    shut, hidden, invented = differ["not_enabled"], differ["only_cpuid"], differ["only_kernel"]
    if shut:
        return _not_enabled(facts, shut)
    if invented:
        return Finding(
            level="WARN",
            said=f"/proc/cpuinfo names {', '.join(invented)}, which the processor does not have: it is not this CPU's",
            evidence=(f"cpuid = no {' '.join(invented)}", f"/proc/cpuinfo flags = {' '.join(invented)} and others"),
            affects=("every engine on the CPU",),
            fix=("run envctl where /proc is the machine's own",),
        )
    if hidden:
        said = f"the kernel hides {', '.join(hidden)}, which the processor has: engines may use them or not"
        return Finding(level="INFO", said=said, evidence=(f"/proc/cpuinfo flags = no {' '.join(hidden)}",))
    return ok("processor and kernel agree", "cpuid = /proc/cpuinfo")


def _not_enabled(facts: Facts, shut: list[str]) -> Finding:
    line = str(facts.get("kernel_command_line") or "")
    options = [word for word in line.split() if word.partition("=")[0] in HIDING]
    cause = f" (kernel option {' '.join(options)})" if options else ""
    grub = "GRUB_CMDLINE_LINUX in /etc/default/grub, then: sudo update-grub && sudo reboot"
    fix = f"remove {' '.join(options)} from {grub}"
    host = "let the hypervisor enable XSAVE for this guest (libvirt: <cpu mode='host-passthrough'/>)"
    return Finding(
        level="FAIL",
        said=f"the processor has {', '.join(shut)}, but the operating system does not enable them{cause}",
        evidence=(f"xgetbv = does not save {' '.join(shut)}", *([f"/proc/cmdline = {line}"] if options else [])),
        affects=("tensorflow", "openvino", "mxnet"),
        fix=(fix if options else host,),
        needs_root=True,
        needs_reboot=bool(options),
    )


def isa(facts: Facts) -> Finding:
    """Whether the newest release of every engine runs on this processor."""
    words = str(facts.need("cpu")).split()
    unmet = [limit for limit in facts.need("engine_limits") if limit["fact"] == "cpu"]
    evidence = [f"{limit['engine']} {limit['newest']} wants = {limit['wants']} ({limit['source']})" for limit in unmet]
    if not unmet:
        named = [word for word in WIDE if word in words]
        return ok(f"every engine's instruction sets are there: {' '.join(named)}", f"/proc/cpuinfo = {' '.join(named)}")
    lacking = sorted({word for limit in unmet for word in _lacking(limit["wants"], words)})
    return Finding(
        level="FAIL",
        said=f"this processor has no {' and no '.join(lacking)}: {', '.join(limit['engine'] for limit in unmet)} "
        "would end with an illegal instruction",
        evidence=(f"/proc/cpuinfo flags = no {' '.join(lacking)}", *evidence),
        affects=tuple(limit["engine"] for limit in unmet),
        fix=_isa_fix(facts, unmet),
        needs_root=_virtual(facts),
    )


def _lacking(wants: str, words: list[str]) -> list[str]:
    first = wants.partition(" or ")[0]
    return [word for word in first.split(",") if word not in words]


def _virtual(facts: Facts) -> bool:
    return bool((facts.get("machine_kind") or {}).get("hypervisor") or facts.get("cpuid_hypervisor"))


def _isa_fix(facts: Facts, unmet: list[dict[str, str]]) -> tuple[str, ...]:
    """A virtual machine can be given its host's CPU; elsewhere another engine or machine must do."""
    how = "libvirt: <cpu mode='host-passthrough'/>; Proxmox: qm set VMID --cpu host"
    guest = f"give the virtual machine its host's CPU ({how})"
    older = [f"{limit['engine']} {limit['fits']}" for limit in unmet if limit["fits"]]
    others = "use an engine that runs on this CPU: envctl matrix ask ENGINE cpu=WORDS says which"
    return (*((guest,) if _virtual(facts) else ()), *([f"use {', '.join(older)}"] if older else []), others)


def quota(facts: Facts) -> Finding:
    """Whether the control group lets this process use the processors it sees."""
    cores = int(facts.need("cores"))
    limit = facts.get("cpu_limit")
    if limit is None:
        return ok(f"{cores} processors, no limit", f"sched_getaffinity = {cores}")
    evidence = (facts.shown("cpu_limit"), f"sched_getaffinity = {cores}")
    if limit >= cores:
        return ok(f"{cores} processors, none of them limited", *evidence)
    fix = (
        f"start engines with --threads {max(1, int(limit))}, or raise the limit: docker update --cpus {cores} CONTAINER"
    )
    return Finding(
        level="WARN" if limit < cores / 2 else "INFO",
        said=f"only {limit:g} of the {cores} CPUs that programs see may be used: engines start a thread for each",
        evidence=evidence,
        affects=("every engine on the CPU",),
        fix=(fix,),
    )


def low_precision(facts: Facts) -> Finding:
    """Whether this processor makes an engine compute in bfloat16 unless told otherwise."""
    found = [word for word in LOW_PRECISION if word in str(facts.need("cpu")).split()]
    if not found:
        return ok("float32 models are computed in float32 by default", "/proc/cpuinfo = no bf16")
    return Finding(
        level="INFO",
        said=f"with {' '.join(found)}, OpenVINO computes float32 models in bfloat16 by default (errors up to 1e-1)",
        evidence=(f"/proc/cpuinfo = {' '.join(found)}",),
        affects=("openvino",),
        fix=("set INFERENCE_PRECISION_HINT=f32 and read it back (envctl run does)",),
    )


CHECKS: tuple[Check, ...] = (
    Check(id="cpu.enabled", title="Processor and kernel", rule=enabled, source=KERNEL_SOURCE),
    Check(id="cpu.isa", title="Instruction sets", rule=isa, after=("cpu.enabled",), source=VM_SOURCE),
    Check(id="cpu.quota", title="CPU limit", rule=quota, source=CGROUP_SOURCE),
    Check(
        id="cpu.bf16", title="Default precision", rule=low_precision, source="measured:docs/evidence.md#openvino-bf16"
    ),
)
