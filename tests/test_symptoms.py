"""Logs and their causes: literally, with other paths and versions, in noise; known, collected and held-out ones."""

from __future__ import annotations

import io
import json
import random
import re
from pathlib import Path

import pytest

from envctl.diagnose.literal import literals_of
from envctl.diagnose.rank import Cause, causes
from envctl.diagnose.rules import Rule, RuleError, faults, load_rules, parse_rules
from envctl.diagnose.scan import compiled, plain, scan
from envctl.doctor.checks import CHECKS
from envctl.errors import BadInput

ROOT = Path(__file__).resolve().parent.parent
RULES = load_rules()
LOGS = Path(__file__).resolve().parent / "symptoms"
RULE = 'id="a"\ncause="c"\nseverity="{}"\nevidence="{}"\nfix={}\nline=["long"]\nscore=1\nexamples=["z"]'
EXAMPLES = [(rule, example) for rule in RULES for example in rule.examples]


def explained(log: str | bytes, host: dict[str, str | None] | None = None) -> list[Cause]:
    """What envctl makes of a log."""
    content = log if isinstance(log, bytes) else log.encode()
    return causes(RULES, scan(io.BytesIO(content), RULES).hits, host or {})


def cases(name: str) -> list[dict[str, object]]:
    """The logs of one file; `right` are the rules whose cause is the known one."""
    return [json.loads(line) for line in (LOGS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def lines(case: dict[str, object]) -> str:
    log = case["log"]
    assert isinstance(log, list)
    return "\n".join(log)


def noise(seed: int, count: int) -> list[str]:
    """Lines as programs print them when all is well."""
    choose = random.Random(seed)
    words = ("step", "epoch", "loading", "pulling", "compiled", "layer", "image", "wheel", "batch", "kernel", "model")
    return [
        f"2026-11-{choose.randint(1, 28):02} INFO {choose.choice(words)} {choose.choice(words)} {choose.random():.6f} "
        f"/srv/{choose.choice(words)}/{choose.getrandbits(40):x}"
        for _ in range(count)
    ]


def altered(text: str) -> str:
    """The line as another machine would print it: other addresses, other folders, another patch release."""
    text = re.sub(r"0x[0-9a-f]{5,}", "0x7f00deadbeef", text)
    text = re.sub(r"(?<![\w./-])/(?:home|root|opt|tmp)/[\w.-]+/", "/srv/somebody else/", text)
    text = re.sub(r"\b(\d{3}\.\d{2,3})\.\d{2}\b", r"\1.07", text)
    return re.sub(r"(:|line )\d{2,5}(?=[\]:,]|$)", r"\g<1>4711", text)


def test_rules_are_sound() -> None:
    assert faults(RULES) == []
    assert len(RULES) >= 250
    checks = {check.id for check in CHECKS}
    for rule in RULES:
        assert not rule.check or rule.check in checks, rule.id
        assert rule.source.startswith(("https://", "measured:")) or rule.evidence == "unverified", rule.id


def test_sources_that_are_files_are_there() -> None:
    for rule in RULES:
        if rule.source.startswith("measured:"):
            assert (ROOT / rule.source.removeprefix("measured:").partition("#")[0]).is_file(), rule.id


@pytest.mark.parametrize(("rule", "example"), EXAMPLES, ids=[f"{rule.id}-{n}" for n, (rule, _) in enumerate(EXAMPLES)])
def test_a_rule_is_found_by_its_own_examples(rule: Rule, example: str) -> None:
    found = [cause.rule.id for cause in explained(example)]
    assert rule.id in found or rule.score < 20
    assert rule.id in [cause.rule.id for cause in explained(altered(example))] or rule.score < 20


def test_what_a_pattern_matches_contains_one_of_its_literals() -> None:
    for rule, example in EXAMPLES:
        for pattern in rule.patterns():
            if compiled(pattern).search(plain(example.encode())):
                assert any(literal in example.lower() for literal in literals_of(pattern)), (rule.id, pattern)


@pytest.mark.parametrize(
    ("pattern", "literals"),
    [
        (r"could not select device driver .{0,40}capabilities", {"could not select device driver "}),
        (r"abc? longer(bar)? [xy]z", {" longer"}),
        (r"(alpha|beta)x+", {"alpha", "beta"}),
        (r"one thing|two things", {"one thing", "two things"}),
        (r"\d+\s*.?", set()),
        (r"(?P<lib>lib\w+\.so): cannot open", {": cannot open"}),
        (r"a\.b\(c\)d", {"a.b(c)d"}),
    ],
)
def test_literals_of_a_pattern(pattern: str, literals: set[str]) -> None:
    assert literals_of(pattern) == literals


@pytest.mark.parametrize("case", cases("known"), ids=lambda case: case["id"])
def test_known_logs_literally_altered_and_in_noise(case: dict[str, object]) -> None:
    host: dict[str, str | None] = dict(case["host"])  # type: ignore[call-overload]
    for text in (lines(case), altered(lines(case))):
        assert explained(text, host)[0].rule.id in case["right"]  # type: ignore[operator]
    around = noise(7, 500)
    around[211:211] = lines(case).splitlines()
    first = explained("\n".join(around), host)[0]
    assert first.rule.id in case["right"]  # type: ignore[operator]
    assert 212 <= first.hit.number <= 212 + len(lines(case).splitlines())


@pytest.mark.parametrize(("name", "least"), [("collected", 0.97), ("held_out", 0.97), ("third", 0.97)])
def test_logs_from_public_issues(name: str, least: float) -> None:
    """All of these the rules have learnt from: this holds what they know. Figures at first sight: docs/explain.md."""
    all_of_them = cases(name)
    first = [(explained(lines(case)) or [None])[0] for case in all_of_them]
    right = [cause is not None and cause.rule.id in case["right"] for cause, case in zip(first, all_of_them)]  # type: ignore[operator] # noqa: B905
    wrong = [cause for cause, ok in zip(first, right) if cause and not ok and cause.confidence == "sure"]  # noqa: B905
    assert sum(right) >= least * len(all_of_them)
    assert len(wrong) <= 0.02 * len(all_of_them)


@pytest.mark.parametrize("seed", range(5))
def test_noise_alone_has_no_cause(seed: int) -> None:
    assert explained("\n".join(noise(seed, 2000))) == []


def test_facts_of_the_host_decide_between_causes_of_one_line() -> None:
    line = 'docker: Error response from daemon: could not select device driver "" with capabilities: [[gpu]].'
    without, with_card = explained(line, {"nvidia_pci": "0"}), explained(line, {"nvidia_pci": "2"})
    assert without[0].rule.id == "docker-gpus-without-nvidia-card"
    assert without[0].because == ("more likely: this host has nvidia_pci 0",)
    assert with_card[0].rule.id == "docker-gpus-without-toolkit"
    assert {cause.rule.id for cause in without} == {"docker-gpus-without-nvidia-card", "docker-gpus-without-toolkit"}


def test_the_root_comes_before_its_consequences() -> None:
    log = (
        "Could not load dynamic library 'libcudnn.so.8'; dlerror: libcudnn.so.8: cannot open shared object file\n"
        "Cannot dlopen some GPU libraries.\nSkipping registering GPU devices...\n"
    )
    found = explained(log)
    assert [cause.rule.id for cause in found][:2] == ["cudnn-library-missing", "tensorflow-gpu-libraries"]
    assert "libcudnn.so.8" in found[0].cause


def test_what_is_near_may_be_in_another_block_of_the_file() -> None:
    """Blocks are 512 KiB: the line that tells and the one beside it end up in different ones."""
    filler = ["x" * 99] * 5_241
    log = "\n".join([*filler, "tf2onnx.convert --outputs a", "y" * 150, "IndexError: list index out of range", "end"])
    found = explained(log)
    assert found[0].rule.id == "tf2onnx-name-without-index"
    assert found[0].hit.number == 5_244


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffDriver/library version mismatch".encode("utf-16"),
        "Driver/library version mismatch\n".encode("utf-16-le"),
        "\ufeffDriver/library version mismatch".encode(),
        "d\xe9but\nDriver/library version mismatch".encode("latin-1"),
        b"\x1b[31mDriver/\x1b[0mlibrary\x1b[1m version\x1b[0m mismatch",
        b"10%\r20%\rDriver/library version mismatch\r\n",
        b"x" * 40_000 + b" Driver/library version mismatch " + b"y" * 40_000,
        b'{"log":"Driver/library version mismatch\\n","stream":"stderr"}',
        b"cut off: Driver/library version mism\nNVRM: API mismatch: the client has the version 535",
    ],
    ids=["utf-16", "utf-16-le", "utf-8-bom", "latin-1", "colours", "progress", "long-line", "docker-json", "truncated"],
)
def test_logs_as_they_come(content: bytes) -> None:
    found = explained(content)
    assert found[0].rule.check == "drv.lib_match"
    assert len(found[0].hit.text) <= 402


@pytest.mark.parametrize(
    "content",
    [bytes(range(256)) * 400, b"\x1f\x8b" + b"\0" * 50, b"PK\x03\x04....", b"\x7fELF\x02\x01\x01" + b"\0\1\2\3" * 999],
    ids=["bytes", "gzip", "zip", "elf"],
)
def test_what_is_no_log_is_refused(content: bytes) -> None:
    with pytest.raises(BadInput):
        explained(content)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_log() -> None:
    import tracemalloc

    class Endless(io.RawIOBase):
        left = 60

        def read(self, size: int = -1) -> bytes:  # type: ignore[override]
            self.left -= 1
            return (
                b"".join(b"%d nothing to see here %d\n" % (self.left, n) for n in range(30_000)) if self.left else b""
            )

    tracemalloc.start()
    scan(Endless(), RULES)  # type: ignore[arg-type]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 << 20


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("", "key id is missing"),
        ('id = "a"\ncolour = 1', "unknown key colour"),
        (RULE.format("loud", "measured", '["x"]'), "severity is one of"),
        (RULE.format("error", "measured", '["x"]'), "key source is missing"),
        (RULE.format("error", "unverified", '"x"'), "key fix must be a list"),
        (RULE.format("error", "unverified", '["x"]') + '\nat_most = "sure"', "at_most is one of"),
    ],
)
def test_broken_rules_are_refused(tmp_path: Path, rule: str, words: str) -> None:
    path = tmp_path / "docker.toml"
    path.write_text(f'component = "docker"\n[[rule]]\n{rule}\n')
    with pytest.raises(RuleError, match=words):
        parse_rules(path)
