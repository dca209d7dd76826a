"""`envctl cdi`: this machine's GPUs -> a CDI specification for computing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from envctl.errors import HostLacks, Reason
from envctl.host import HostFacts, collect, start_probes

PROBES = ("nvidia", "driver")
SECONDS = 10.0


def machine_specification() -> dict[str, Any]:
    """The specification of this machine's GPUs; raises `HostLacks` where there are none, or no driver's libraries."""
    return specification_for(collect(start_probes(PROBES), SECONDS))


def specification_for(facts: HostFacts) -> dict[str, Any]:
    """The same for the facts of a machine, whose libraries are looked for here."""
    from envctl.doctor.cdi_spec import GPU, specification

    nodes = list(_of(facts, "nvidia_nodes"))
    if not any(map(GPU.match, nodes)):
        because = [Reason(text="/dev has no nvidia0", source="/dev/nvidia*")]
        raise HostLacks("this machine has no NVIDIA GPU to describe", because=because, do=["envctl doctor"])
    return specification(nodes, _libraries(facts))


def _libraries(facts: HostFacts) -> dict[str, str]:
    """The loaded driver's libraries: every name that the loader may ask for -> the file behind it."""
    from envctl.doctor.cdi_spec import is_for_computing

    driver = facts.value("driver")
    found = [Path(it) for it in _of(facts, "driver_library_files").get("libcuda.so", ())]
    fitting = [path for path in found if path.name == f"libcuda.so.{driver}"]
    if not fitting:
        because = [Reason(text=f"driver {driver} is loaded; found: {', '.join(map(str, found)) or 'no libcuda'}")]
        raise HostLacks("the libraries of the loaded driver are not here", because=because, do=["envctl doctor"])
    beside = sorted(path for path in fitting[0].parent.iterdir() if is_for_computing(path.name))
    return {path.name: str(path.resolve()) for path in beside if path.is_file()}


def _of(facts: HostFacts, name: str) -> dict[str, Any]:
    """A fact that is a table; empty where it is not known."""
    fact = facts.facts.get(name)
    return dict(fact.value) if fact and fact.value else {}
