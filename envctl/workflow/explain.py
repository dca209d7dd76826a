"""A log, a stream or what a command printed -> its causes, the likeliest first."""

from __future__ import annotations

import difflib
import io
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from envctl.diagnose.rank import Cause, causes
from envctl.diagnose.rules import load_rules
from envctl.diagnose.scan import scan
from envctl.errors import BadInput, CannotStart, Reason
from envctl.host import HostFacts, read_host
from envctl.matrix import load
from envctl.workflow.machine import facts_of

Facts = Mapping[str, str | None]
JETPACKS = {"4": "32", "5": "35", "6": "36", "7": "38"}  # the L4T of each, since JetPack 4.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Explained:
    """What a log tells: its causes (none: not known), how long it was, and the code that its command ended with."""

    causes: tuple[Cause, ...]
    lines: int
    code: int | None = None


def explain_file(name: str, facts: Facts) -> Explained:
    """What the file (`-`: standard input) tells; raises `BadInput` when it cannot be read or is no text."""
    if name == "-":
        return explain_stream(sys.stdin.buffer, facts)
    try:
        with Path(name).open("rb") as stream:
            return explain_stream(stream, facts)
    except OSError as error:
        do = ["give a log, - for standard input, or -- COMMAND"]
        raise BadInput(f"cannot read {name}: {error.strerror or error}", do=do) from error


def explain_stream(stream: BinaryIO, facts: Facts) -> Explained:
    """What a stream tells; it is read once, and memory does not grow with it."""
    rules = load_rules()
    found = scan(stream, rules)
    return Explained(causes=tuple(causes(rules, found.hits, facts)), lines=found.lines)


def explain_text(text: str, facts: Facts) -> list[Cause]:
    """The causes that a text tells, for a worker's failure; empty when it tells none."""
    return list(explain_stream(io.BytesIO(text.encode("utf-8", errors="replace")), facts).causes)


def told_by(text: str, *, sure: bool = False) -> tuple[list[Reason], list[str]]:
    """The likeliest cause of a failure on this host and its remedies, for an error's `because` and `do`; or nothing.
    With `sure`, only one that is certain or was measured."""
    found = explain_text(text, this_host(read_host()))
    known = found and (found[0].confidence == "sure" or found[0].rule.evidence == "measured")
    if not found or found[0].confidence == "possible" or (sure and not known):
        return [], []
    first = found[0]
    said = first.cause if first.confidence == "sure" else f"likely: {first.cause}"
    check = [f"envctl doctor --only {first.rule.check} looks at that"] if first.rule.check else []
    return [Reason(text=said, source=first.rule.source or f"rule {first.rule.id}")], [*first.fix, *check]


def explain_command(command: list[str], facts: Facts, *, quiet: bool) -> Explained:
    """Run a command with its output shown as it comes, and explain what it printed when it failed.

    `quiet`: all of it goes to standard error, since standard output is for the answer. Raises `CannotStart`.
    """
    with tempfile.TemporaryFile() as kept:
        code = _run(command, kept, quiet=quiet)
        if code == 0:
            return Explained(causes=(), lines=0, code=0)
        kept.write(_last_words(code))
        kept.seek(0)
        found = explain_stream(kept, facts)
    return Explained(causes=found.causes, lines=found.lines, code=code)


def _run(command: list[str], kept: IO[bytes], *, quiet: bool) -> int:
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as error:
        raise CannotStart(f"cannot start {command[0]}: {error.strerror or error}") from error
    assert process.stdout and process.stderr
    lock = threading.Lock()
    ends = [(process.stdout, sys.stderr if quiet else sys.stdout), (process.stderr, sys.stderr)]
    threads = [threading.Thread(target=_pass_on, args=(source, to.buffer, kept, lock)) for source, to in ends]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    code = process.wait()
    return code if code >= 0 else 128 - code


def _pass_on(source: IO[bytes], to: BinaryIO, kept: IO[bytes], lock: threading.Lock) -> None:
    """Show what comes, and keep it; lines of the two streams are not torn apart."""
    for line in iter(lambda: source.readline(1 << 16), b""):
        to.write(line)
        to.flush()
        with lock:
            kept.write(line)


def _last_words(code: int) -> bytes:
    """What a shell would have printed of a command that died by a signal."""
    number = code - 128
    if number == signal.SIGILL:
        return b"\nIllegal instruction (core dumped)\n"
    if number == signal.SIGSEGV:
        return b"\nSegmentation fault (core dumped)\n"
    if number == signal.SIGBUS:
        return b"\nBus error (core dumped)\n"
    return b"\nKilled\n" if number == signal.SIGKILL else b""


def described(host: str) -> dict[str, str | None]:
    """Facts by name: of `this` host, or of the one that a file or some words (`driver=535 gpu=none`) describe."""
    if host == "this":
        return this_host(read_host())
    path = Path(host)
    if "=" not in host and not path.is_file():
        raise BadInput(
            f"--host {host!r} is neither a file nor words like driver=535", do=["--host 'driver=535 gpu=8.6'"]
        )
    text = host if "=" in host else path.read_text(encoding="utf-8")
    return dict(_words(text))


def this_host(host: HostFacts) -> dict[str, str | None]:
    """The facts of a machine as words; a driver that is known not to be there is `none`."""
    found = {name: None if fact.value is None else str(fact.value) for name, fact in host.facts.items()}
    if found.get("driver") is None and found.get("nvidia_pci") is not None:
        found["driver"] = "none"
    tegra = host.facts.get("tegra_gpu")
    if tegra is not None and isinstance(tegra.value, dict) and tegra.value.get("l4t"):
        found["l4t"] = str(tegra.value["l4t"])
    return found


def _words(text: str) -> list[tuple[str, str]]:
    words = [word for line in text.splitlines() for word in line.partition("#")[0].split()]
    facts = []
    for word in words:
        found = re.fullmatch(r"(?P<name>[a-z][\w-]*)==?(?P<value>\S+)", word)
        if not found:
            raise BadInput(f"--host: {word!r} is not NAME=VALUE", do=["for example driver=535.104.05 gpu=8.6"])
        _check_name(found["name"])
        facts.append((found["name"], found["value"].replace(",", " ")))
    return [*facts, *_implied(facts)]


def _implied(facts: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """What follows: who has no GPU has no card, and a JetPack is a release of L4T."""
    for name, value in facts:
        if (name, value) == ("gpu", "none"):
            yield "nvidia_pci", "0"
        if name == "jetpack" and value[0] in JETPACKS:
            yield "l4t", JETPACKS[value[0]]


def _check_name(name: str) -> None:
    """Raise `BadInput` for a fact that nobody looks at: a typing error would pass in silence."""
    known = {weigh.fact for rule in load_rules() for weigh in rule.weigh if weigh.fact} | facts_of(load()) | {"jetpack"}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        do = [f"did you mean {near[0]}=…?"] if near else [f"facts are {', '.join(sorted(known))}"]
        raise BadInput(f"--host: no rule looks at {name!r}", do=do)
