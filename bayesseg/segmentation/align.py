"""Two segmentations of the same rows, matched. L7.

Soft Jaccard of segments j and k: the sum over rows of min(p_ij, q_ik), over that of max(p_ij, q_ik); for
hard labels, Jaccard's own (Hennig 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from bayesseg._types import Array

KEPT = 0.75
"""A segment with at least this soft Jaccard keeps its id and name."""
PART = 0.6
"""A segment of which this share went into, or came from, another one is its part."""
HEIR = 0.2
"""A segment that took at least this share of one that died is its heir; one that takes the place of
another has at least this share of its customers from there."""

_TINY = 1e-300


def jaccard(p: Array, q: Array, weights: Array | None = None) -> Array:
    """Soft Jaccard of each segment of ``p`` (n, J) with each of ``q`` (n, K): (J, K)."""
    row = np.ones(len(p)) if weights is None else weights
    low = np.stack([row @ np.minimum(p[:, [j]], q) for j in range(p.shape[1])])
    whole = (row @ p)[:, None] + (row @ q)[None, :]
    # min + max = p + q; an empty pair shares nothing
    return np.asarray(low / np.maximum(whole - low, _TINY))


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one segment.

    ``fate`` is ``kept``, ``new``, ``split``, ``merged``, ``changed``, ``died`` or ``empty`` (the old
    model places less than one of the rows there). ``old`` and ``new`` are ids, either may be empty;
    ``into`` lists the others concerned, of one that died its heirs, and ``shares`` what each of them
    took; ``jaccard`` is that of the match.
    """

    fate: str
    old: str
    new: str
    jaccard: float
    into: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()

    @property
    def concerned(self) -> tuple[str, ...]:
        """The old segments it is the fate of."""
        return self.into if self.fate == "merged" else (self.old,) if self.old else ()


@dataclass(frozen=True, slots=True)
class Alignment:
    """``order[k]`` is the old segment that new segment k continues, or -1; ``ids`` of the new ones.

    ``jaccard[j]`` is that of old segment j with its match, 0 where there is none.
    """

    order: tuple[int, ...]
    ids: tuple[str, ...]
    fates: tuple[Fate, ...]
    jaccard: tuple[float, ...]


def align(old: Array, new: Array, ids: Sequence[str], ever: int | None = None) -> Alignment:
    """Match the segments of a refit with those before, on the same rows.

    Args:
        old: (n, J) memberships under the model before.
        new: (n, K) memberships under the refit.
        ids: the J ids before; those of segments that died are never used again.
        ever: the highest number an id ever had; by default that of ``ids``.
    """
    match = jaccard(old, new)
    rows, columns = linear_sum_assignment(-match)
    partner = dict(zip(columns.tolist(), rows.tolist(), strict=True))
    flow = old.T @ new
    goes, comes = (flow / np.maximum(flow.sum(axis, keepdims=True), _TINY) for axis in (1, 0))
    following = max(ever or 0, *(int(i.lstrip("S")) for i in ids)) + 1
    order, names, fates = [], [], []
    for k in range(new.shape[1]):
        j = partner.get(k, -1)
        value = float(match[j, k]) if j >= 0 else float(match[:, k].max())
        kept = j >= 0 and value >= KEPT
        name = ids[j] if kept else f"S{following}"
        following += not kept
        order.append(j if kept else -1)
        names.append(name)
        if kept:
            fates.append(Fate("kept", ids[j], name, value))
            continue
        parents = tuple(ids[i] for i in np.flatnonzero(goes[:, k] >= PART).tolist())
        child_of = tuple(ids[i] for i in np.flatnonzero(comes[:, k] >= PART).tolist())
        if len(parents) > 1:
            fates.append(Fate("merged", "", name, value, parents))
        elif child_of and not parents:
            fates.append(Fate("split", child_of[0], name, value, child_of))
        elif parents and comes[ids.index(parents[0]), k] >= HEIR:
            fates.append(Fate("changed", parents[0], name, value, parents))
        else:
            fates.append(Fate("new", "", name, value))
    said = {one for fate in fates for one in fate.concerned}
    for j, one in enumerate(ids):
        if one in said:
            continue
        heirs = [k for k in np.argsort(-goes[j], kind="stable").tolist() if goes[j, k] >= HEIR]
        if old[:, j].sum() < 1.0:
            fates.append(Fate("empty", one, "", 0.0))
        else:
            took = tuple(goes[j, heirs].tolist())
            into = tuple(names[k] for k in heirs)
            fates.append(Fate("died", one, "", float(match[j].max()), into, took))
    matched = np.zeros(len(ids))
    matched[rows] = match[rows, columns]
    return Alignment(tuple(order), tuple(names), tuple(fates), tuple(matched.tolist()))
