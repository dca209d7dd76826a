"""All checks, in the order in which they are made: each stands behind those that can explain it."""

from __future__ import annotations

from envctl.doctor.check import Check
from envctl.doctor.checks import (
    cdi,
    cpu,
    cuda,
    disk,
    docker,
    docker_host,
    driver,
    driver_parts,
    gpu,
    gpu_health,
    gpu_state,
    image,
    libraries,
    limits,
    model_file,
    model_graph,
    network,
    nvidia_container,
    packages,
    plan_file,
    python,
    reach,
    system,
    wanted_engine,
    wsl,
)  # fmt: skip

MODULES = (
    cpu, system, limits, disk,
    wsl, gpu, driver, driver_parts, gpu_health, gpu_state, cuda, libraries,
    docker, nvidia_container, cdi, docker_host, image, network, reach,
    python, packages,
    model_file, model_graph, plan_file, wanted_engine,
)  # fmt: skip
CHECKS: tuple[Check, ...] = tuple(check for module in MODULES for check in module.CHECKS)
