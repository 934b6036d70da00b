"""Groups of customers large enough to be shown. L7."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from bayesseg._types import SMALLEST, Array, IntArray

LEVEL = 0.90


def interval(values: Array, again: Array | None = None) -> dict[str, float]:
    """Mean and central interval over draws; the interval of ``again``, where it is given."""
    spread = values if again is None else again
    low, high = np.quantile(spread, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"mean": float(values.mean()), "lo": float(low), "hi": float(high)}


def merged(counts: Sequence[int] | IntArray, smallest: int = SMALLEST) -> list[slice]:
    """Neighbouring cells put together, left to right, until each holds ``smallest``.

    What is left at the end joins the last cell. Empty where all cells together are too few. Where
    ``counts`` is (cells, kinds), each holds so many of every kind.
    """
    groups: list[slice] = []
    start, held = 0, np.zeros(np.shape(counts)[1:], dtype=np.int64)
    for stop, count in enumerate(np.asarray(counts, dtype=np.int64), start=1):
        held = held + count
        if held.min() >= smallest:
            groups.append(slice(start, stop))
            start, held = stop, np.zeros_like(held)
    if groups:
        groups[-1] = slice(groups[-1].start, len(counts))
    return groups


def hidden(
    counts: npt.ArrayLike,
    unsafe: npt.ArrayLike,
    dominated: Callable[[npt.NDArray[np.bool_]], bool] | None = None,
    smallest: int = SMALLEST,
) -> npt.NDArray[np.bool_]:
    """Which cells of a total to hide, (K,): the ``unsafe`` ones and the smallest others they need.

    What is missing together is the total less the cells shown (complementary suppression; Hundepool et
    al. 2012, chapter 4): so more than one cell is hidden, until they would be safe as one.

    Args:
        counts: customers in each cell, (K,); empty cells tell nothing and hide nothing.
        unsafe: cells that must not be shown, (K,).
        dominated: whether one customer has nearly all the money of some cells, (K,), together.
        smallest: customers that cells hidden together hold at least.
    """
    held = np.asarray(counts, dtype=float)
    gone = np.asarray(unsafe, dtype=bool) & (held > 0)
    if not gone.any():
        return gone
    for cell in np.argsort(held, kind="stable"):
        enough = gone.sum() > 1 and held[gone].sum() >= smallest
        if enough and not (dominated is not None and dominated(gone)):
            break
        gone[cell] |= held[cell] > 0
    return gone


def clustered(places: Array, size: int) -> list[IntArray]:
    """Rows in groups of ``size`` to ``2 size - 1`` neighbours, by halving along the wider side.

    Microaggregation (Domingo-Ferrer & Mateo-Sanz 2002): what is said of a group is said of at least
    ``size`` customers. Empty where there are fewer than that in all.

    Args:
        places: (n, axes).
        size: the smallest group, at least 1.
    """
    waiting, done = [np.arange(len(places))], []
    while waiting:
        rows = waiting.pop()
        if len(rows) >= 2 * size:
            own = places[rows]
            rows = rows[np.argsort(own[:, own.std(0).argmax()], kind="stable")]
            waiting += [rows[: len(rows) // 2], rows[len(rows) // 2 :]]
        elif len(rows) >= size:
            done.append(rows)
    return done
