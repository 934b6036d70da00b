"""Whom a budget, a count and the capacity of advisers or channels reach."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bayesseg._types import Array, IntArray
from bayesseg.scoring.settings import ends

type BoolArray = npt.NDArray[np.bool_]

POINTS = 50
_STEPS = 80
_GOLDEN = 0.6180339887498949
_ROUNDING = 1 + 1e-9
"""What sums of costs may exceed a budget by: fifty contacts at 1.20 are 60, whatever floats say."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What there is to spend; None is no limit.

    ``budget`` in currency, ``count`` of contacts; ``channel`` (N,) the adviser or channel of each
    customer as a code into ``capacity`` (C,), the contacts that each can make.
    """

    budget: float | None = None
    count: int | None = None
    channel: IntArray | None = None
    capacity: IntArray | None = None


def order(net: Array, cost: Array) -> IntArray:
    """Most benefit per cost first; what costs nothing before all else; ties as they stand."""
    free = cost <= 0
    ratio = np.divide(net, cost, out=np.full_like(net, np.inf), where=~free)
    return np.lexsort((-net, -ratio))


def fill(cost: Array, held: BoolArray, limits: Limits) -> tuple[BoolArray, BoolArray]:
    """Go through customers in their order and contact each that still fits.

    Args:
        cost: of each contact, (N,), in the order in which customers are taken.
        held: who is held out: costs nothing and takes nobody's place.
        limits: in the same order.

    Returns:
        Who is ``contacted``, and who is ``left`` alone for the hold-out only: would have fitted in
        their place. Both (N,).
    """
    budget = np.inf if limits.budget is None else limits.budget * _ROUNDING
    places = len(cost) if limits.count is None else limits.count
    channel = np.zeros(len(cost), dtype=np.int64) if limits.channel is None else limits.channel
    capacity = np.array([len(cost)]) if limits.capacity is None else limits.capacity
    taken, waiting = np.zeros(len(cost), dtype=bool), ~held
    money, spots, room = budget, places, capacity.copy()
    while spots > 0:
        waiting &= (cost <= money) & (room[channel] > 0)
        rows = np.flatnonzero(waiting)
        rows = rows[_within(channel[rows]) < room[channel[rows]]][:spots]
        # costs are not negative: what fits is a beginning, and the first of it always fits
        rows = rows[np.cumsum(cost[rows]) <= money]
        if not len(rows):
            break
        taken[rows], waiting[rows] = True, False
        money, spots = money - float(cost[rows].sum()), spots - len(rows)
        room -= np.bincount(channel[rows], minlength=len(room))
    spent = np.cumsum(np.where(taken, cost, 0.0))
    left = held & (spent + cost <= budget) & (np.cumsum(taken) < places)
    if limits.channel is not None:
        left &= _before(taken, channel) < capacity[channel]
    return taken, left


def _within(channel: IntArray) -> IntArray:
    """How many of the same channel stand before each, (N,)."""
    return _before(np.ones(len(channel), dtype=bool), channel)


def _before(counted: BoolArray, channel: IntArray) -> IntArray:
    """How many ``counted`` of the same channel stand before each, (N,)."""
    by = np.argsort(channel, kind="stable")
    total = np.cumsum(counted[by]) - counted[by]
    starts = np.flatnonzero(np.diff(channel[by], prepend=-1))
    base = np.repeat(total[starts], np.diff(np.append(starts, len(by))))
    found = np.empty(len(by), dtype=np.int64)
    found[by] = total - base
    return found


def fractional(net: Array, cost: Array, limits: Limits) -> float:
    """The most that could be had if a contact could be made in part: no list within limits has more.

    The linear programme's dual: for a price of money π it is π · budget plus, within capacity and count,
    the sum of the largest (net - π cost)⁺; the least over π is the optimum, and every π a bound.

    Args:
        net: expected net benefit, (N,), of who may be contacted.
        cost: of each contact, (N,).
        limits: as in ``fill``, of the same customers.
    """

    def dual(price: float) -> float:
        gain = np.maximum(net - price * cost, 0.0)
        if limits.channel is not None and limits.capacity is not None:
            by = np.lexsort((-gain, limits.channel))
            inside = _within(limits.channel[by]) < limits.capacity[limits.channel[by]]
            gain = gain[by][inside]
        if limits.count is not None and limits.count < len(gain):
            gain = np.partition(gain, len(gain) - limits.count)[len(gain) - limits.count :]
        return float(gain.sum()) + (0.0 if limits.budget is None else price * limits.budget)

    if limits.budget is None:
        return dual(0.0)
    paid = cost > 0
    return _least(dual, float((net[paid] / cost[paid]).max(initial=0.0)))


def _least(convex: Callable[[float], float], most: float) -> float:
    """The smallest value of a convex function on [0, most], by golden section."""
    low, high = 0.0, most
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = convex(left), convex(right)
    best = min(convex(low), convex(high), at_left, at_right)
    for _ in range(_STEPS):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = convex(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = convex(right)
        best = min(best, at_left, at_right)
    return best


def steps(contacts: int, chosen: int) -> IntArray:
    """Numbers of contacts at which the curve is drawn: evenly spaced, with the chosen one, (P,)."""
    even = np.linspace(1, contacts, min(POINTS, contacts)).round().astype(np.int64)
    return np.unique(np.append(even, chosen)[np.append(even, chosen) > 0])


def curve(
    net: Array, cost: Array, at: IntArray, totals: Array | None = None
) -> list[dict[str, float | None]]:
    """Benefit against budget: what the first customers of a list bring together, and cost.

    Args:
        net: expected net benefit, (N,), in the order in which customers are taken.
        cost: of each contact, (N,).
        at: numbers of contacts (``steps``), (P,).
        totals: net benefit of that many in each draw, (P, S), for the band.

    Returns:
        A point each: ``contacts``, ``cost``, ``net_benefit`` and the central 90 % of what comes,
        ``lo`` and ``hi``, None without ``totals``.
    """
    spent, brought = np.cumsum(cost)[at - 1], np.cumsum(net)[at - 1]
    columns: dict[str, Any] = {"contacts": at, "cost": spent, "net_benefit": brought}
    low, high = (None, None) if totals is None else ends(np.sort(totals, axis=1))
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    nothing = [None] * len(at)
    band = zip(
        nothing if low is None else low.tolist(),
        nothing if high is None else high.tolist(),
        strict=True,
    )
    return [
        dict(zip((*columns, "lo", "hi"), (*row, *both), strict=True))
        for row, both in zip(rows, band, strict=True)
    ]
