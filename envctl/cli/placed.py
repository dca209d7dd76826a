"""Options of `envctl run` wherever they stand: those of the environment behind the task, those of a task before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typer._click.core import Command

Takes = dict[str, bool]  # an option, and whether a value follows it


def placed(arguments: list[str], own: Takes, tasks: Mapping[str, Takes]) -> list[str]:
    """The arguments with every option where its command reads it; one that both have stays where it stands.

    Raises `ValueError` for an option that would have to move, and whose value is missing.
    """
    known = {name: takes for each in (*tasks.values(), own) for name, takes in each.items()}
    units = list(_units(arguments, known))
    at = next((number for number, unit in enumerate(units) if unit[0] in tasks), None)
    if at is None:
        return arguments
    task = tasks[units[at][0]]
    before, after = units[:at], units[at + 1 :]
    late = [unit for unit in before if _name(unit) in task and _name(unit) not in own]
    early = [unit for unit in after if _name(unit) in own and _name(unit) not in task]
    if lacking := [unit[0] for unit in early if known[_name(unit)] and len(unit) == 1 and "=" not in unit[0]]:
        raise ValueError(f"Option '{lacking[0]}' requires an argument.")
    first = [unit for unit in before if unit not in late]
    last = [unit for unit in after if unit not in early]
    return [word for unit in (*first, *early, units[at], *late, *last) for word in unit]


def options_of(command: Command) -> Takes:
    """A command's options."""
    params = [each for each in command.params if each.param_type_name == "option"]
    return {name: not getattr(it, "is_flag", False) for it in params for name in (*it.opts, *it.secondary_opts)}


def _units(arguments: list[str], known: Takes) -> Iterator[list[str]]:
    """An option with its value, or any other word; what follows a bare `--` is one unit."""
    words = iter(arguments)
    for word in words:
        if word == "--":
            yield [word, *words]
        elif known.get(word):
            yield [word, *([value] if (value := next(words, None)) is not None else [])]
        else:
            yield [word]


def _name(unit: list[str]) -> str:
    """The option that a unit is: `--name`, `--name=value`."""
    return unit[0].partition("=")[0]
