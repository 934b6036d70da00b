"""Is there a gap between two segments, or does a cut run through one crowd? L7.

A mixture fits any crowd that is not Gaussian with several components, and may do so in the same way
every time: a uniform box, a long tail. Whether members of two segments lie apart is asked of the data:
Hartigan's dip of the log odds between the two, whose null is the uniform, the flattest crowd of all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from bayesseg._compiled import compiled
from bayesseg._types import Array
from bayesseg.families.gmm import responsibilities

DIP = 0.62
"""The 99 % quantile of sqrt(n) times the dip of n uniforms (simulated, n = 400 to 5,000)."""
_FEWEST = 20


@compiled
def dip(values: Array) -> float:
    """Hartigan's dip of sorted ``values``: the distance of their distribution from unimodality.

    The greatest convex minorant and least concave majorant of the empirical distribution close in on
    the modal interval (Hartigan & Hartigan 1985; Hartigan 1985, AS 217).
    """
    n = len(values)
    low, high = 0, n - 1
    found = 1.0 / n
    if n < 4 or values[0] == values[-1]:
        return 0.5 * found
    convex, concave = np.empty(n, np.int64), np.empty(n, np.int64)
    convex[0] = 0
    for j in range(1, n):
        convex[j] = j - 1
        while True:
            a = convex[j]
            b = convex[a]
            if a == 0 or (values[j] - values[a]) * (a - b) < (values[a] - values[b]) * (j - a):
                break
            convex[j] = b
    concave[n - 1] = n - 1
    for j in range(n - 2, -1, -1):
        concave[j] = j + 1
        while True:
            a = concave[j]
            b = concave[a]
            if a == n - 1 or (values[j] - values[a]) * (a - b) < (values[a] - values[b]) * (j - a):
                break
            concave[j] = b
    under, over = np.empty(n, np.int64), np.empty(n, np.int64)
    while True:
        under[0] = high
        last_under = 0
        while under[last_under] > low:
            under[last_under + 1] = convex[under[last_under]]
            last_under += 1
        over[0] = low
        last_over = 0
        while over[last_over] < high:
            over[last_over + 1] = concave[over[last_over]]
            last_over += 1
        at_under, at_over = last_under - 1, 1
        here_under, here_over = last_under, last_over
        widest = 0.0
        if last_under != 1 or last_over != 1:
            while True:
                g, h = under[at_under], over[at_over]
                if g > h:
                    first = under[at_under + 1]
                    rise = (h - first + 1) - (values[h] - values[first]) * (g - first) / (
                        values[g] - values[first]
                    )
                    at_over += 1
                    if rise >= widest:
                        widest, here_under, here_over = rise, at_under + 1, at_over - 1
                else:
                    first = over[at_over - 1]
                    rise = (values[g] - values[first]) * (h - first) / (
                        values[h] - values[first]
                    ) - (g - first - 1)
                    at_under -= 1
                    if rise >= widest:
                        widest, here_under, here_over = rise, at_under + 1, at_over
                at_under = max(at_under, 0)
                at_over = min(at_over, last_over)
                if under[at_under] == over[at_over]:
                    break
        else:
            widest = 1.0
        if widest < found * n:
            break
        deepest = 0.0
        for j in range(here_under, last_under):
            a, b = under[j + 1], under[j]
            most = 1.0
            if b - a > 1 and values[b] != values[a]:
                slope = (b - a) / (values[b] - values[a])
                for i in range(a, b + 1):
                    most = max(most, (i - a + 1) - (values[i] - values[a]) * slope)
            deepest = max(deepest, most)
        for j in range(here_over, last_over):
            a, b = over[j], over[j + 1]
            most = 1.0
            if b - a > 1 and values[b] != values[a]:
                slope = (b - a) / (values[b] - values[a])
                for i in range(a, b + 1):
                    most = max(most, (values[i] - values[a]) * slope - (i - a - 1))
            deepest = max(deepest, most)
        found = max(found, deepest / n)
        if under[here_under] == low and over[here_over] == high:
            break
        low, high = under[here_under], over[here_over]
    return 0.5 * found


@dataclass(frozen=True, slots=True)
class Merge:
    """Two groups of segments with nothing between them: those of ``segments`` become one.

    ``shared`` is the share of the smaller one's members that the other also claims, ``depth`` the dip
    between them, sqrt(n) times, which does not reach ``DIP``.
    """

    segments: tuple[tuple[int, ...], tuple[int, ...]]
    shared: float
    depth: float


def log_odds(
    rows: Array, theta: Mapping[str, Array], one: tuple[int, ...], other: tuple[int, ...]
) -> Array:
    """Log odds of segments ``one`` against ``other``, all given one normal shape: (n,).

    Unequal spreads and heavy tails fold the log odds: they rise to the centre of a segment and fall
    beyond it, and pile up where they turn, which looks like a gap in any crowd. Of equal normal shapes
    they run straight from one side to the other.
    """
    some = [*one, *other]
    alike = {name: values[:, some] for name, values in theta.items() if name != "df"}
    for name in {"variance", "covariance"} & alike.keys():
        pooled = np.average(alike[name][0], axis=0, weights=alike["weights"][0])
        alike[name] = np.broadcast_to(pooled, alike[name].shape).copy()
    share = np.maximum(responsibilities(alike, rows)[:, 0], np.finfo(np.float64).tiny)
    return np.asarray(np.log(share[:, : len(one)].sum(1) / share[:, len(one) :].sum(1)))


def depth(odds: Array, one: Array, other: Array) -> float:
    """sqrt(n) times the dip of the log odds among rows more likely in the two than elsewhere.

    Of the larger group only the rows nearest the smaller one, twice as many, are asked: the end of an
    unimodal crowd is unimodal, and a small group would be lost beside a large one.

    Args:
        odds: (n,) log odds of one group against another.
        one: (n,) memberships in the one group.
        other: (n,) those in the other.
    """
    inside = one + other > 0.5
    values = np.sort(odds[inside])
    high = int((one > other)[inside].sum())
    few = 3 * min(high, len(values) - high)
    values = values[-few:] if 2 * high < len(values) else values[:few]
    return math.sqrt(len(values)) * dip(values) if few >= _FEWEST else 0.0


def merges(member: Array, rows: Array, theta: Mapping[str, Array]) -> list[Merge]:
    """Merge the pair that shares most and has no gap, again and again, until gaps lie between all.

    Args:
        member: (n, K) memberships.
        rows: (n, D) what they are memberships of.
        theta: one point of the mixture, (1, K, ...).

    Returns:
        The merges in their order; K less their number is the number of groups.
    """
    parts: list[tuple[int, ...]] = [(k,) for k in range(member.shape[1])]
    known: dict[tuple[tuple[int, ...], tuple[int, ...]], float] = {}
    done: list[Merge] = []
    while True:
        held = {part: member[:, list(part)].sum(1) for part in parts}
        pairs = [
            (float(held[a] @ held[b] / min(held[a].sum(), held[b].sum())), a, b)
            for a, b in combinations(parts, 2)
        ]
        for shared, a, b in sorted(pairs, reverse=True):
            if (a, b) not in known:
                known[a, b] = depth(log_odds(rows, theta, a, b), held[a], held[b])
            if known[a, b] <= DIP:
                done.append(Merge((a, b), shared, known[a, b]))
                parts = [part for part in parts if part not in (a, b)] + [tuple(sorted(a + b))]
                break
        else:
            return done
