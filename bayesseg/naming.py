"""Names of segments, from how recently, how often and for how much their customers buy. L7.

R, F and M are membership-weighted mean ranks in [0, 1] of recency (high is recent), frequency and total
spend. A customer is ranked among the *repeat* customers: where half of all came only once, a rank among
everybody would call any second purchase loyal, however long ago. The first rule true in at least four
draws in five gives the name; a segment no rule fits is called by its number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesseg._types import Array, Draws
from bayesseg.customers import Attributes, Customers
from bayesseg.families.gmm import responsibilities

SURE = 0.8
DRAWS = 100
_CHUNK = 4096


@dataclass(frozen=True, slots=True)
class Name:
    """A name, when it holds, and what to do with such customers."""

    name: str
    holds: Callable[[Array, Array, Array], Any]
    action: str


NAMES = (
    Name(
        "champions",
        lambda R, F, M: (R >= 0.65) & (F >= 0.65) & (M >= 0.65),
        "thank them: early access, referrals; no discounts, they buy anyway",
    ),
    Name(
        "can't lose them",
        lambda R, F, M: (R < 0.35) & (M >= 0.65),
        "call: they were worth a lot and have gone quiet",
    ),
    Name(
        "loyal",
        lambda R, F, M: (F >= 0.6) & (R >= 0.4),
        "cross-sell: they come back by themselves",
    ),
    Name(
        "at risk",
        lambda R, F, M: (R < 0.4) & (F >= 0.45),
        "an offer with a date on it, before the silence becomes a habit",
    ),
    Name(
        "tried and left",
        lambda R, F, M: (R < 0.4) & (F < 0.05),
        "low-cost contact only: most came once and not again",
    ),
    Name("hibernating", lambda R, F, M: (R < 0.4) & (F < 0.45), "low-cost contact only"),
    Name(
        "promising",
        lambda R, F, M: (R >= 0.5) & (F < 0.35),
        "win the next order: a welcome, a reminder",
    ),
    Name(
        "need attention",
        lambda R, F, M: (R >= 0.4) & (F < 0.6),
        "a reason to come back soon: they are neither new nor regular",
    ),
)
"""In the order in which they are tried."""

_UNNAMED = "look at its profile and give it a name"


def action(name: str) -> str:
    """What to do with customers of a segment of this name (any suffix is ignored)."""
    fitting = [known for known in NAMES if name.startswith(known.name)]
    return fitting[0].action if fitting else _UNNAMED


def ids_of(components: int) -> list[str]:
    """Persistent ids of segments, largest first: S1, S2, ..."""
    return [f"S{k + 1}" for k in range(components)]


def _rank(values: Array, among: Array) -> Array:
    """Share of ``among`` below each value, ties by half."""
    order = np.sort(among)
    below = np.searchsorted(order, values, "left") + np.searchsorted(order, values, "right")
    return np.asarray(below / (2 * len(order)))


def rfm_ranks(customers: Customers) -> Array:
    """Ranks of recency, frequency and total spend among repeat customers, in [0, 1]: (N, 3)."""
    repeated = customers.x > 0
    among = repeated if repeated.any() else ~repeated
    spend = customers.first_spend + customers.repeat_spend
    last = (customers.t_x - customers.t_end).astype(np.float64)
    columns = (last, customers.x.astype(np.float64), spend)
    return np.stack([_rank(c, c[among]) for c in columns], axis=1)


def mean_ranks(theta: Mapping[str, Array], ranks: Array, matrix: Array) -> Array:
    """Membership-weighted mean ranks of each draw and segment: (S, K, 3), chunk by chunk."""
    total = np.zeros((*theta["weights"].shape, 3))
    size = np.zeros(theta["weights"].shape)
    for start in range(0, len(matrix), _CHUNK):
        rows = slice(start, start + _CHUNK)
        member = responsibilities(theta, matrix[rows])
        total += np.einsum("nsk,nj->skj", member, ranks[rows], optimize=True)
        size += member.sum(0)
    return total / np.maximum(size, 1e-300)[..., None]


_CONTRASTS = (
    ("more recent", "longer silent"),
    ("more often", "less often"),
    ("higher spend", "lower spend"),
)


def _told_apart(base: Sequence[str], means: Array) -> list[str]:
    """Unique names: two of a kind differ by what parts them most, more by their number."""
    final = list(base)
    for name in sorted(set(base)):
        alike = [k for k, one in enumerate(base) if one == name]
        if len(alike) == 2:
            gap = means[alike[0]] - means[alike[1]]
            axis = int(np.argmax(np.abs(gap)))
            high, low = _CONTRASTS[axis]
            first, second = (high, low) if gap[axis] > 0 else (low, high)
            final[alike[0]], final[alike[1]] = f"{name} ({first})", f"{name} ({second})"
        elif len(alike) > 2:
            for number, k in enumerate(alike):
                final[k] = f"{name} ({number + 1})"
    return final


def names(means: Array) -> list[str]:
    """A unique name for each segment, from mean ranks R, F, M of each draw and segment (S, K, 3).

    The base name comes before any " (", the rest tells segments of one name apart.
    """
    R, F, M = np.moveaxis(means, 2, 0)
    base = []
    for k in range(means.shape[1]):
        fits = (n.name for n in NAMES if np.mean(n.holds(R[:, k], F[:, k], M[:, k])) >= SURE)
        base.append(next(fits, f"segment {k + 1}"))
    return _told_apart(base, means.mean(0))


def named(data: Customers | Attributes, draws: Draws, matrix: Array) -> dict[str, Any]:
    """Ids and names of the segments of a fit: ``{"ids": ["S1", ...], "names": {"S1": "loyal", ...}}``.

    Args:
        data: the customers of the fit; a table of clients without purchases gives plain numbers.
        draws: the segments' draws.
        matrix: (N, D) the feature matrix, aligned with ``data``.
    """
    ids = ids_of(draws.values["weights"].shape[2])
    if isinstance(data, Attributes):
        return {"ids": ids, "names": {i: f"segment {k + 1}" for k, i in enumerate(ids)}}
    flat = {name: a.reshape(-1, *a.shape[2:]) for name, a in draws.values.items()}
    some = np.linspace(0, len(flat["weights"]) - 1, DRAWS).astype(np.int64)
    theta = {name: a[some] for name, a in flat.items()}
    means = mean_ranks(theta, rfm_ranks(data), matrix)
    return {"ids": ids, "names": dict(zip(ids, names(means), strict=True))}
