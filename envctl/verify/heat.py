"""Where two answers differ: the errors of an output as a small grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from envctl.bench.document import Heat

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

MOST = 32  # rows, and columns


def heat(reference: Array, target: Array) -> Heat | None:
    """The largest |target - reference| in each field of a grid; None where the shapes differ, or there is nothing.

    Of [samples, …, height, width] the last two axes are the grid, each error the largest over all others; of [samples,
    values] the samples are its rows. NaN on one side only is an infinite error.
    """
    import numpy as np

    if reference.shape != target.shape or not reference.size:
        return None
    with np.errstate(invalid="ignore"):
        error = np.abs(np.asarray(target, np.float64) - np.asarray(reference, np.float64))
    error[(reference == target) | (np.isnan(error) & np.isnan(np.asarray(reference, np.float64)))] = 0.0
    error[np.isnan(error)] = np.inf
    plane = _shrunk(_shrunk(_plane(error), 0), 1)
    values = tuple(float(f"{value:.4g}") for value in plane.ravel())
    return Heat(rows=plane.shape[0], cols=plane.shape[1], values=values)


def _plane(error: Array) -> Array:
    """Two axes: places, where there are two of more than one, else samples and values."""
    places = [size for size in error.shape[1:] if size > 1]
    if len(places) > 1:
        shape = [size for size in error.shape if size > 1]
        flat: Array = error.reshape(-1, *shape[-2:])
        largest: Array = flat.max(axis=0)
        return largest
    return error.reshape(len(error), -1)


def _shrunk(plane: Array, axis: int) -> Array:
    """The plane with at most `MOST` fields along an axis: the largest of neighbours."""
    import numpy as np

    size = plane.shape[axis]
    if size <= MOST:
        return plane
    edges = [index * size // MOST for index in range(MOST)]
    return np.maximum.reduceat(plane, edges, axis=axis)
