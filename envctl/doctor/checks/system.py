"""Checks of the system: architecture, kind of machine, C and C++ libraries, the loader's variables, the clock."""

from __future__ import annotations

from typing import Any

from packaging.version import Version

from envctl.doctor.check import Check, Facts, Finding, ok

ARCHITECTURES = ("x86_64", "aarch64")  # those that engines have wheels for
ALL = ("every engine",)
# (from this glibc on, newest GLIBCXX that wheels for it may ask for)
GLIBCXX = (("2.28", "3.4.24"), ("2.17", "3.4.19"))
GLIBCXX_SOURCE = (
    "https://github.com/pypa/auditwheel/blob/86154d15d6a53a85aab6187032e86348a3a15df1/"
    "src/auditwheel/policy/manylinux-policy.json"
)
SHADOW_SOURCE = "https://github.com/vietanhdev/anylabeling/issues/110"
NO_WHEEL_SOURCE = "https://github.com/tensorflow/tensorflow/issues/79349"
OLDEST_CLOCK, OLDEST_CLOCK_SAID = 1767225600, "2026-01-01"  # this program is younger
INSTALL = (
    ("debian", "sudo apt-get install -y libstdc++6"), ("ubuntu", "sudo apt-get install -y libstdc++6"),
    ("fedora", "sudo dnf install -y libstdc++"), ("red hat", "sudo dnf install -y libstdc++"),
    ("rocky", "sudo dnf install -y libstdc++"), ("alma", "sudo dnf install -y libstdc++"),
    ("suse", "sudo zypper install -y libstdc++6"), ("arch", "sudo pacman -S gcc-libs"),
)  # fmt: skip


def arch(facts: Facts) -> Finding:
    """Whether engines have builds for this architecture, and this Python is a 64-bit one."""
    machine, bits = str(facts.need("arch")), int(facts.need("pointer_bits"))
    evidence = (f"uname = {machine}", f"struct.calcsize('P') = {bits} bits")
    if bits == 32:
        fix = ("install a 64-bit Python (on a 64-bit system: uv python install 3.11)",)
        said = f"this Python is a 32-bit one on {machine}: no engine has wheels for it"
        return Finding(level="FAIL", said=said, evidence=evidence, affects=ALL, fix=fix)
    if machine not in ARCHITECTURES:
        said = f"engines have no wheels for {machine}, only for {' and '.join(ARCHITECTURES)}"
        fix = ("use a machine with one of these processors",)
        return Finding(level="FAIL", said=said, evidence=evidence, affects=ALL, fix=fix)
    return ok(f"{machine}, 64 bits", *evidence)


def kind(facts: Facts) -> Finding:
    """What kind of machine this is: other checks go by it."""
    found = facts.need("machine_kind")
    words = [f"WSL {found['wsl']}"] if found["wsl"] else []
    words += [f"Jetson with L4T {found['tegra']}"] if found["tegra"] else []
    words += [f"a {found['container']} container"] if found["container"] else []
    words += [f"a virtual machine ({found['hypervisor']})"] if found["hypervisor"] and not found["wsl"] else []
    kernel = f", kernel {facts.get('kernel')}" if facts.get("kernel") else ""
    said = f"{facts.get('os') or 'Linux'}{kernel}, {' on '.join(words) or 'on bare metal'}"
    return Finding(level="INFO", said=said, evidence=(facts.shown("machine_kind"),))


def libc(facts: Facts) -> Finding:
    """Whether wheels of the newest engines find the C library they want."""
    said = str(facts.need("libc"))
    if not said.startswith("glibc"):
        fix = ("use a system or image with glibc: envctl run --runner docker, or FROM debian:bookworm-slim",)
        why = f"the C library is {said}: engines have wheels for glibc only"
        return Finding(level="FAIL", said=why, evidence=(facts.shown("libc"),), affects=ALL, fix=fix)
    unmet = [limit for limit in facts.need("engine_limits") if limit["fact"] == "glibc"]
    if not unmet:
        return ok(f"{said} is new enough for the newest release of every engine", facts.shown("libc"))
    return _glibc_too_old(facts, said, unmet)


def _glibc_too_old(facts: Facts, said: str, unmet: list[dict[str, Any]]) -> Finding:
    fits = [f"{limit['engine']} {limit['fits']}" for limit in unmet if limit["fits"]]
    wants = [f"{limit['engine']} {limit['newest']} wants = {limit['wants']} ({limit['source']})" for limit in unmet]
    engines = [limit["engine"] for limit in unmet]
    fix = (
        "run engines in a container with a newer one: envctl run --runner docker (never replace the C library itself)",
    )
    return Finding(
        level="WARN" if len(fits) == len(unmet) else "FAIL",
        said=f"{said} is too old for the newest {', '.join(engines)}",
        evidence=(facts.shown("libc"), *wants),
        affects=tuple(engines),
        fix=(*([f"stay with {', '.join(fits)}"] if fits else []), *fix),
    )


def libstdcxx(facts: Facts) -> Finding:
    """Whether a process finds a C++ library, as new as wheels want, and none older in front of the system's."""
    loaded = facts.get("libstdcxx")
    if not loaded or not loaded["glibcxx"]:
        return _no_libstdcxx(facts)
    newest = max([loaded, *(facts.get("libstdcxx_others") or [])], key=lambda one: Version(one["glibcxx"] or "0"))
    wanted = _wanted(facts)
    evidence = (f"{loaded['path']} = GLIBCXX_{loaded['glibcxx']}", f"{newest['path']} = GLIBCXX_{newest['glibcxx']}")
    old = Version(loaded["glibcxx"]) < Version(wanted)
    shadowed = Version(loaded["glibcxx"]) < Version(newest["glibcxx"])
    if not old and not shadowed:
        return ok(f"GLIBCXX_{loaded['glibcxx']} is loaded, wheels want up to {wanted}", evidence[0])
    return Finding(
        level="FAIL" if old else "WARN",
        said=f"processes load a C++ library with GLIBCXX_{loaded['glibcxx']}"
        + (f", {newest['path']} offers {newest['glibcxx']}" if shadowed else f", wheels want up to {wanted}"),
        evidence=evidence,
        affects=ALL,
        fix=_libstdcxx_fix(loaded["path"], shadowed),
    )


def _wanted(facts: Facts) -> str:
    glibc = Version(str(facts.get("glibc") or "2.28"))
    return next((newest for oldest, newest in GLIBCXX if glibc >= Version(oldest)), GLIBCXX[-1][1])


def _libstdcxx_fix(path: str, shadowed: bool) -> tuple[str, ...]:
    if "conda" in path or "/envs/" in path or "mamba" in path:
        return ("conda install -c conda-forge 'libstdcxx-ng>=12'",)
    if shadowed:
        return (f"take {path.rpartition('/')[0]} out of LD_LIBRARY_PATH",)
    return ("run engines in a container: envctl run --runner docker",)


def _no_libstdcxx(facts: Facts) -> Finding:
    why = facts.why_unknown("libstdcxx")
    if "libstdc++" not in why:  # the loader's own words name the library
        facts.need("libstdcxx")
    broken = why.partition("OSError: ")[2].partition(":")[0]
    if broken.startswith("/"):
        fix, said = (
            f"rm {broken} (or reinstall what put it there)",
            f"the C++ library that processes load is damaged: {broken}",
        )
        return Finding(level="FAIL", said=said, evidence=(f"dlopen = {why}",), affects=ALL, fix=(fix,))
    system = str(facts.get("os") or "").lower()
    fix = next((command for word, command in INSTALL if word in system), "install your distribution's libstdc++")
    said = "there is no C++ library that a process could load: every engine needs one"
    evidence = (f"dlopen = {why}",)
    return Finding(level="FAIL", said=said, evidence=evidence, affects=ALL, fix=(fix,), needs_root=True)


def loader_environment(facts: Facts) -> Finding:
    """Whether variables and files send the loader to the wrong libraries."""
    preloads = [entry for entry in facts.need("ld_preload") if not entry["there"]]
    paths = facts.need("ld_library_path")
    stubs = [entry["path"] for entry in paths if _is_stub(entry["path"])]
    stubs += [folder for _, folder in facts.get("ld_so_conf") or [] if _is_stub(folder)]
    odd = [entry["path"] for entry in paths if not entry["path"].startswith("/")]
    gone = [entry["path"] for entry in paths if entry["path"].startswith("/") and not entry["there"]]
    if stubs:
        fatal = any(entry["libcuda"] for entry in paths if _is_stub(entry["path"]))
        said = f"the loader looks in {stubs[0]}: the libcuda there is for linking only and sees no GPU"
        return _bent(
            facts, "FAIL" if fatal else "WARN", said, f"take {stubs[0]} out of LD_LIBRARY_PATH and /etc/ld.so.conf.d"
        )
    if preloads:
        said = f"LD_PRELOAD names {preloads[0]['path']}, which is not there: every program complains"
        return _bent(facts, "WARN", said, "unset LD_PRELOAD")
    if odd:
        said = "LD_LIBRARY_PATH has an empty or relative entry: libraries are taken from whatever folder one is in"
        return _bent(
            facts, "WARN", said, f"export LD_LIBRARY_PATH={':'.join(e['path'] for e in paths if e['path'][:1] == '/')}"
        )
    if gone:
        return _bent(facts, "INFO", f"LD_LIBRARY_PATH names folders that are not there: {', '.join(gone)}", "")
    return ok(
        "nothing bends the loader's search", f"LD_LIBRARY_PATH = {':'.join(e['path'] for e in paths) or 'not set'}"
    )


def _is_stub(path: str) -> bool:
    return path.rstrip("/").endswith("/stubs") or "/stubs/" in path


def _bent(facts: Facts, level: Any, said: str, fix: str) -> Finding:
    paths = ":".join(entry["path"] for entry in facts.get("ld_library_path") or [])
    preload = " ".join(entry["path"] for entry in facts.get("ld_preload") or [])
    evidence = (f"LD_LIBRARY_PATH = {paths or 'not set'}", *([f"LD_PRELOAD = {preload}"] if preload else []))
    return Finding(level=level, said=said, evidence=evidence, affects=ALL, fix=(fix,) if fix else ())


def clock(facts: Facts) -> Finding:
    """Whether the clock can be right: TLS refuses every certificate under one that is years off."""
    now = int(facts.need("clock"))
    if now >= OLDEST_CLOCK:
        return ok("the clock can be right", f"system clock = {now}")
    said = f"the clock stands before {OLDEST_CLOCK_SAID}: TLS refuses every certificate"
    fix = ("sudo timedatectl set-ntp true",)
    evidence = (f"system clock = {now}",)
    affects = ("installing packages", "pulling images")
    return Finding(level="FAIL", said=said, evidence=evidence, affects=affects, fix=fix, needs_root=True)


CHECKS: tuple[Check, ...] = (
    Check(id="os.arch", title="Architecture", rule=arch, source=NO_WHEEL_SOURCE),
    Check(id="os.kind", title="Machine", rule=kind),
    Check(id="libc", title="C library", rule=libc, after=("os.arch",), source=NO_WHEEL_SOURCE),
    Check(id="ld.env", title="Loader's variables", rule=loader_environment, source=SHADOW_SOURCE),
    Check(id="libstdcxx", title="C++ library", rule=libstdcxx, after=("libc", "ld.env"), source=GLIBCXX_SOURCE),
    Check(id="os.clock", title="Clock", rule=clock),
)
