"""`envctl verify-image`: is this the image that the lock describes? The answer is computed, no label is believed."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from envctl.lockfile import one_of
from envctl.oci import RULES
from envctl.oci.assemble import REVISION, RULE, Draft
from envctl.oci.found import Found, opened
from envctl.oci.sameness import Compared, compared
from envctl.workflow.ask import Listener
from envctl.workflow.build import Order, draft_of
from envctl.workflow.read_locked import Locked, read_locked
from envctl.workflow.smoke import Smoke, Status, smoke


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """The image as it was named, the lock's file, the target in it, and what is needed to compute the expected one.

    A `revision` in the order must be the image's; without one the image's own is taken, as no lock knows it.
    """

    image: str
    lock: Path
    target: str
    order: Order
    insecure: bool = False
    smoke: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What was found, beside what the lock comes to. `rules` are those that the image says it was made by, as a number;
    by others the same lock comes to another image."""

    locked: Locked
    found: str
    manifest: str
    config: str
    revision: str
    rules: str
    compared: Compared
    smoke: Smoke | None
    seconds: float

    @property
    def same(self) -> bool:
        """Whether it is the image that the lock describes."""
        return self.compared.difference is None

    @property
    def other_rules(self) -> bool:
        """Whether it may differ for no more than that: it says that another version of envctl made it."""
        return not self.same and self.rules.isdecimal() and self.rules != str(RULES)

    @property
    def passed(self) -> bool:
        """The verdict: the same image, and its engine did its work where it was tried."""
        return self.status == "passed"

    @property
    def status(self) -> Status:
        """`incomplete`: the same image, whose engine could not do its work on this machine."""
        if not self.same:
            return "failed"
        return self.smoke.status if self.smoke else "passed"


def verify_image(question: Question, listener: Listener) -> Answer:
    """The answer. A smoke run needs Docker, and an image that is the lock's: another one is not started."""
    began = time.perf_counter()
    locked = one_of(read_locked(question.lock), question.target)
    with opened(question.image, listener.say, insecure=question.insecure) as found:
        draft = _expected(locked, question.order, found, listener)
        expected = draft.image()
        result = compared(expected, found, listener.say)
    tried = smoke(draft, locked, listener.say) if question.smoke and result.difference is None else None
    listener.say("")
    return Answer(
        locked=locked,
        found=found.name,
        manifest=expected.digest,
        config=expected.config_descriptor.digest,
        revision=draft.recipe.revision,
        rules=found.labels.get(RULE, ""),
        compared=result,
        smoke=tried,
        seconds=time.perf_counter() - began,
    )


def _expected(locked: Locked, order: Order, found: Found, listener: Listener) -> Draft:
    """What the lock comes to, measured."""
    revision = order.revision or found.labels.get(REVISION, "")
    draft = draft_of(locked.lock, replace(order, revision=revision, locked=order.locked or locked.base), listener)
    draft.measure()
    return draft


def as_data(answer: Answer) -> dict[str, Any]:
    """The answer for `--json`."""
    difference = answer.compared.difference
    return {
        "verdict": "same" if answer.same else "other",
        "status": answer.status,
        "image": answer.found,
        "lock": f"sha256:{answer.locked.lock.digest}",
        "target": answer.locked.name,
        "expected": {"manifest": answer.manifest, "image": answer.config},
        "by": answer.compared.by,
        "packing": answer.compared.packing,
        "revision": answer.revision,
        "rules": {"expected": str(RULES), "found": answer.rules},
        "difference": difference and difference.as_data(),
        "smoke": answer.smoke and answer.smoke.as_data(),
        "seconds": round(answer.seconds, 3),
    }
