"""What the kernel's files say of a machine: files as kernels write them, in a folder, and those of this machine."""

from __future__ import annotations

from pathlib import Path

from envctl.workflow import surroundings


def write(root: Path, path: str, text: str) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="ascii")
    return file


def rapl(root: Path, zone: str, name: str, energy: str) -> Path:
    write(root, f"sys/class/powercap/{zone}/name", name + "\n")
    write(root, f"sys/class/powercap/{zone}/max_energy_range_uj", "262143328850\n")
    return write(root, f"sys/class/powercap/{zone}/energy_uj", energy + "\n")


def test_packages_are_counted_and_their_parts_are_not(tmp_path: Path) -> None:
    first = rapl(tmp_path, "intel-rapl:0", "package-0", "262143328000")
    rapl(tmp_path, "intel-rapl:0:0", "core", "5")
    second = rapl(tmp_path, "intel-rapl:1", "package-1", "1000")
    rapl(tmp_path, "intel-rapl:2", "psys", "7")
    found, why = surroundings.counters(tmp_path)
    assert [each.name for each in found] == ["package-0", "package-1"] and why == ""
    before = [each.read() for each in found]
    first.write_text("150\n")  # it began again at its end
    second.write_text("2001000\n")
    assert surroundings.joules(found, before, [each.read() for each in found]) == (850 + 150 + 2_000_000) / 1e6


def test_a_counter_that_cannot_be_read_is_unknown_and_why(tmp_path: Path) -> None:
    """A folder in the file's place: root, who runs the tests, may read every file."""
    path = rapl(tmp_path, "intel-rapl:0", "package-0", "1")
    path.unlink()
    path.mkdir()
    found, why = surroundings.counters(tmp_path)
    assert found == () and why == f"{path} may be read by root alone"


def test_a_machine_without_counters_says_so(tmp_path: Path) -> None:
    assert surroundings.counters(tmp_path) == ((), "this machine shows no RAPL counter (/sys/class/powercap)")


def test_a_counter_that_vanishes_makes_the_energy_unknown(tmp_path: Path) -> None:
    path = rapl(tmp_path, "intel-rapl:0", "package-0", "1")
    found, _ = surroundings.counters(tmp_path)
    path.unlink()
    assert surroundings.joules(found, [1], [each.read() for each in found]) is None


def test_clock_and_governor_come_from_the_kernel_or_are_unknown(tmp_path: Path) -> None:
    assert surroundings.clock(tmp_path) is None and surroundings.governor(tmp_path) is None
    write(tmp_path, "proc/cpuinfo", "processor\t: 0\ncpu MHz\t\t: 2793.438\n\ncpu MHz\t\t: 2100.5\n")
    assert surroundings.clock(tmp_path) == (2100.5, 2793.438)
    for cpu, khz in ((0, 800000), (1, 3600000)):
        write(tmp_path, f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_cur_freq", f"{khz}\n")
    write(tmp_path, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n")
    assert surroundings.clock(tmp_path) == (800.0, 3600.0)
    assert surroundings.governor(tmp_path) == "powersave"


def test_this_machine_answers() -> None:
    before = surroundings.cpu()
    sum(index * index for index in range(2_000_000))
    after = surroundings.cpu()
    assert after.busy > before.busy > 0
    assert surroundings.load() is not None
    assert (surroundings.free_memory() or 0) > 1 << 20


def test_a_gpu_without_a_driver_has_no_counters() -> None:
    """What NVML counts on a real GPU: docs/gpu.md."""
    from envctl.workflow import gpu_counters

    found, why = gpu_counters.counters()
    assert bool(found) != bool(why), why
    assert (gpu_counters.busy() is None) == (not found)
