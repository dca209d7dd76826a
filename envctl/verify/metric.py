"""A task's metric of the reference and of the target on labelled samples, and how sure the difference is. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from envctl.bench.document import TaskMetric
from envctl.errors import BadInput, Reason
from envctl.verify import interval

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

METRICS = ("top1", "miou", "cosine")
IGNORED = 255  # a pixel that has no class: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/segexamples/index.html


def measured(metric: str, reference: Array, target: Array, labels: Array) -> TaskMetric:
    """The metric of both answers [samples, …] to samples with `labels`; raises `BadInput` where they do not fit."""
    if metric == "top1":
        return top1(reference, target, labels)
    if metric == "miou":
        return miou(reference, target, labels)
    return of_scores(metric, *(cosines(each, labels) for each in (reference, target)))


def flat(answers: Array, count: int) -> Array:
    """The answers with one row a label: [samples, batch, …] has its first two axes joined."""
    if answers.ndim > 1 and answers.shape[0] * answers.shape[1] == count:
        return answers.reshape(count, *answers.shape[2:])
    if answers.ndim and answers.shape[0] == count:
        return answers
    shape = "x".join(map(str, answers.shape))
    raise _unfit(f"{count} labels for an output of shape {shape} (samples first)")


def top1(reference: Array, target: Array, labels: Array) -> TaskMetric:
    """The share of samples whose class is found."""
    one, two = (classes(flat(each, len(labels)), labels) == labels for each in (reference, target))
    both, first, second = (int(each.sum()) for each in (one & two, one & ~two, ~one & two))
    count = len(labels)
    low, high = interval.shares(both, first, second, count - both - first - second)
    return TaskMetric(
        metric="top1", samples=count, reference=(both + first) / count, target=(both + second) / count,
        drop=(first - second) / count, low=low, high=high, method=interval.NEWCOMBE,
    )  # fmt: skip


def classes(answers: Array, labels: Array) -> Array:
    """The class of each row: the number itself, or where the largest value stands."""
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise _unfit(f"top1 wants a whole number for each sample, not {labels.dtype}{list(labels.shape)}")
    rows = answers.reshape(len(labels), -1)
    if rows.shape[1] == 1 and rows.dtype.kind in "iu":
        return rows[:, 0]
    if labels.min() < 0 or labels.max() >= rows.shape[1]:
        raise _unfit(f"labels go from {labels.min()} to {labels.max()}, the output has {rows.shape[1]} classes")
    found: Array = rows.argmax(axis=1)
    return found


def miou(reference: Array, target: Array, labels: Array) -> TaskMetric:
    """The mean over classes of intersection by union of all samples' pixels; pixels of class 255 count nowhere."""
    import numpy as np

    if labels.ndim != 3 or labels.dtype.kind not in "iu":
        raise _unfit(f"miou wants whole numbers [samples, height, width], not {labels.dtype}{list(labels.shape)}")
    maps = [pixels(flat(each, len(labels)), labels) for each in (reference, target)]
    known = labels[labels != IGNORED]
    if not known.size or known.min() < 0:
        raise _unfit("no pixel has a class, or one a negative one")
    number = int(max(known.max(), *(each.max() for each in maps))) + 1
    tables = [
        np.stack([overlap(each, label, number) for each, label in zip(found, labels, strict=True)]) for found in maps
    ]
    one, two = (float(_mean_iou(table.sum(axis=0)[None])[0]) for table in tables)

    rows = [table.reshape(len(labels), -1) for table in tables]

    def drop(drawn: Array) -> Array:
        times = np.stack([np.bincount(row, minlength=len(labels)) for row in drawn])
        found = [_mean_iou((times @ table).reshape(len(drawn), 2, number)) for table in rows]
        return np.asarray(found[0] - found[1])

    low, high = interval.bootstrap(len(labels), drop)
    return TaskMetric(
        metric="miou", samples=len(labels), reference=one, target=two, drop=one - two, low=low, high=high,
        method=interval.BOOTSTRAP,
    )  # fmt: skip


def pixels(answers: Array, labels: Array) -> Array:
    """The class of each pixel: the numbers themselves, or the arg-max over the axis that is left beside the places."""
    import numpy as np

    if answers.shape == labels.shape and answers.dtype.kind in "iu":
        return answers
    places = labels.shape[1:]
    if answers.ndim == 4 and answers.shape[2:] == places:
        return np.asarray(answers.argmax(axis=1))
    if answers.ndim == 4 and answers.shape[1:3] == places:
        return np.asarray(answers.argmax(axis=3))
    raise _unfit(f"labels of {'x'.join(map(str, places))} pixels for an output of {list(answers.shape[1:])}")


def overlap(found: Array, label: Array, number: int) -> Array:
    """[2, classes]: pixels of a sample that both say are of a class, and that either does."""
    import numpy as np

    counted = label != IGNORED
    a, b = found[counted].ravel(), label[counted].ravel()
    same, one, two = (np.bincount(each, minlength=number)[:number] for each in (a[a == b], a, b))
    return np.stack([same, one + two - same])


def _mean_iou(tables: Array) -> Array:
    """[repeats, 2, classes] -> the mean of those classes that occur."""
    import numpy as np

    same, either = tables[:, 0].astype(np.float64), tables[:, 1]
    seen = either > 0
    ious = np.divide(same, either, out=np.zeros_like(same), where=seen)
    return np.asarray(ious.sum(axis=1) / np.maximum(seen.sum(axis=1), 1))


def cosines(answers: Array, labels: Array) -> Array:
    """The cosine of each answer with its label, a vector of the same length; two zero vectors agree."""
    import numpy as np

    rows = flat(answers, len(labels)).reshape(len(labels), -1).astype(np.float64)
    wanted = labels.reshape(len(labels), -1).astype(np.float64)
    if rows.shape != wanted.shape:
        raise _unfit(f"labels of {wanted.shape[1]} values for an output of {rows.shape[1]}")
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(wanted, axis=1)
    alike = (rows == wanted).all(axis=1).astype(np.float64)
    found: Array = np.divide((rows * wanted).sum(axis=1), norms, out=alike, where=norms > 0)
    return found


def of_scores(metric: str, reference: Array, target: Array) -> TaskMetric:
    """The mean of scores, one a sample (more is better), and of their differences."""
    import numpy as np

    if reference.shape != target.shape or reference.ndim != 1 or not reference.size:
        raise _unfit(f"scores of shape {list(reference.shape)} and {list(target.shape)}: one for each sample is wanted")
    if not (np.isfinite(reference).all() and np.isfinite(target).all()):
        raise _unfit("a score is not a number")
    apart = (reference - target).astype(np.float64)
    low, high = interval.bootstrap(len(apart), lambda drawn: np.asarray(apart[drawn].mean(axis=1)))
    return TaskMetric(
        metric=metric, samples=len(apart), reference=float(reference.mean()), target=float(target.mean()),
        drop=float(apart.mean()), low=low, high=high, method=interval.BOOTSTRAP,
    )  # fmt: skip


def _unfit(text: str) -> BadInput:
    do = ["labels: y=[samples] for top1, [samples, height, width] for miou, [samples, …] for cosine"]
    return BadInput("the dataset's labels do not fit the model's output", because=[Reason(text=text)], do=do)
