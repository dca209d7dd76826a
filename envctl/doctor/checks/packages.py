"""Checks of installed pairs: distributions that the matrix says do not work together. No version stands here."""

from __future__ import annotations

from typing import Any

from envctl.doctor.check import Check, Facts, Finding, Level, ok

Pair = dict[str, Any]
ABI_SOURCE = "measured:docs/evidence.md#onnx-runtime-numpy-2"
ALIAS_SOURCE = "https://docs.astral.sh/ruff/rules/numpy-deprecated-type-alias"
PROTOBUF_SOURCE = "https://github.com/onnx/onnx/issues/4222"
KERAS_SOURCE = "https://discuss.ai.google.dev/t/keras-newsletter-december-1-2023/28008"
ASSUMED = ("metadata", "second-hand", "unverified")
# a newer onnx only writes newer models by default: the pair itself works
GENTLE = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino")


def _pairs(facts: Facts) -> list[Pair]:
    """Broken pairs: those of engines first, and of those the ones somebody has seen."""
    return sorted(facts.need("broken_pairs"), key=lambda pair: (not pair["engine"], pair["evidence"] in ASSUMED))


def _of(facts: Facts, name: str) -> list[Pair]:
    """The pairs that break over one package; beside a proven pair others may work too (`py.pairs` tells of it)."""
    return [pair for pair in _pairs(facts) if pair["name"] == name and not pair["proven_pair"]]


def _abi(pair: Pair) -> bool:
    return bool(pair["too_new"] and not pair["same_major"])


def numpy_abi(facts: Facts) -> Finding:
    """Whether modules built for NumPy 1 meet a NumPy 2."""
    pairs = [pair for pair in _of(facts, "numpy") if _abi(pair)]
    return _found(facts, pairs, "FAIL", "was built for an older NumPy and crashes or does not import")


def numpy_alias(facts: Facts) -> Finding:
    """Whether packages meet a NumPy that took away what they use (np.bool, np.object)."""
    pairs = [pair for pair in _of(facts, "numpy") if pair["too_new"] and not _abi(pair)]
    proven = [pair for pair in pairs if pair["evidence"] not in ASSUMED]
    return _found(facts, proven or pairs, "FAIL" if proven else "WARN", "uses names that are gone")


def protobuf(facts: Facts) -> Finding:
    """Whether generated code meets a protobuf that it was not made for."""
    pairs = _of(facts, "protobuf")
    mild = all(pair["too_new"] and pair["same_major"] for pair in pairs)
    return _found(facts, pairs, "WARN" if mild else "FAIL", "has generated code that does not work")


def keras(facts: Facts) -> Finding:
    """Whether TensorFlow meets a Keras of another major line."""
    pairs = _of(facts, "keras")
    mild = all(pair["same_major"] for pair in pairs)
    return _found(facts, pairs, "WARN" if mild else "FAIL", "expects another line of Keras and does not load models")


def others(facts: Facts) -> Finding:
    """Whether any other installed pair is outside what is known to work."""
    pairs = [pair for pair in _pairs(facts) if pair["proven_pair"] or not _has_its_own_check(pair)]
    hard = [pair for pair in pairs if not _gentle(pair)]
    proven = [pair for pair in hard if pair["evidence"] not in ASSUMED and not pair["proven_pair"]]
    level: Level = "FAIL" if proven else "WARN" if hard else "INFO"
    words = "is not known to work" if hard else "may not load models written"
    return _found(facts, proven or hard or pairs, level, words)


def _has_its_own_check(pair: Pair) -> bool:
    return pair["name"] in ("protobuf", "keras") or (pair["name"] == "numpy" and bool(pair["too_new"]))


def _gentle(pair: Pair) -> bool:
    return pair["owner"] in GENTLE and pair["name"] == "onnx" and pair["table"] == "with"


def _found(facts: Facts, pairs: list[Pair], level: Level, words: str) -> Finding:
    if not pairs:
        return ok("no such pair is installed", f"{len(facts.need('python_environments'))} environments = looked at")
    first = pairs[0]
    more = f" (and {len(pairs) - 1} more)" if len(pairs) > 1 else ""
    return Finding(
        level=level,
        said=f"{first['owner']} {first['owner_version']} {words} with {first['name']} {first['version']}: "
        f"it wants {first['wants']}{more}",
        evidence=tuple(
            f"{pair['prefix']} = {pair['name']} {pair['version']}; {pair['owner']} {pair['owner_version']} wants "
            f"{pair['wants']} ({pair['source']})"
            for pair in pairs
        ),
        affects=tuple(dict.fromkeys(pair["owner"] for pair in pairs)),
        fix=tuple(_commands(facts, pairs)),
    )


def _commands(facts: Facts, pairs: list[Pair]) -> list[str]:
    """One command an environment, with versions that everything there admits; where none is, a second environment."""
    commands = []
    for prefix in dict.fromkeys(pair["prefix"] for pair in pairs):
        changed: dict[str, Pair] = {}
        for pair in [pair for pair in pairs if pair["prefix"] == prefix]:
            if pair["owner"] not in changed:  # what changes itself makes no claims yet
                changed.setdefault(pair["name"], pair)
        alone = [pair["owner"] for pair in changed.values() if pair["fits"] is None]
        words = [_requirement(pair) for pair in changed.values() if pair["fits"] is not None]
        commands += [f"{installer(facts, prefix)} {' '.join(words)}"] if words else []
        commands += [f"give {owner} an environment of its own: uv venv {prefix}-{owner}" for owner in alone]
    return commands


def _requirement(pair: Pair) -> str:
    return (
        f"'{pair['name']}=={pair['fits']}'" if pair["fits"] else f"'{pair['name']}{pair['wants'].partition(' or ')[0]}'"
    )


def installer(facts: Facts, prefix: str, action: str = "install") -> str:
    """The command that installs into (or uninstalls from) an environment: its own pip, else uv."""
    found = next((one for one in facts.need("python_environments") if one["prefix"] == prefix), None)
    python = found["python"] if found else f"{prefix}/bin/python"
    own = found and any("pip" in site["distributions"] for site in found["sites"])
    if not own and found:
        return f"uv pip {action} --python {python}"
    return f"{python} -m pip {action}{' -y' if action == 'uninstall' else ''}"


CHECKS: tuple[Check, ...] = (
    Check(id="py.numpy_abi", title="NumPy ABI", rule=numpy_abi, after=("py.base",), source=ABI_SOURCE),
    Check(id="py.numpy_alias", title="NumPy names", rule=numpy_alias, after=("py.numpy_abi",), source=ALIAS_SOURCE),
    Check(id="py.protobuf", title="protobuf", rule=protobuf, after=("py.base",), source=PROTOBUF_SOURCE),
    Check(id="py.keras3", title="Keras", rule=keras, after=("py.base",), source=KERAS_SOURCE),
    Check(id="py.pairs", title="Other pairs", rule=others, after=("py.base",)),
)
