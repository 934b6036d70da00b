"""What is expected of each row, draw by draw, in one pass that stays in the cache."""

from __future__ import annotations

import numpy as np

from bayesseg import clv
from bayesseg._compiled import compiled
from bayesseg._types import Array, IntArray


@compiled
def purchases(
    alive: Array, silent: Array, bought: Array, age: IntArray
) -> tuple[Array, Array, Array]:
    """Churn and purchases of histories.

    Args:
        alive: P(alive), (H, S).
        silent: P(no purchase within the horizon | alive) by age, (A, S).
        bought: purchases within the horizon of a customer alive, by age, (A, S).
        age: each history's age, (H,).

    Returns:
        P(churn) and expected purchases, (H, S); means over draws of ``alive`` and of both, (3, H).
    """
    churn, expected = np.empty(alive.shape), np.empty(alive.shape)
    means = np.empty((3, len(alive)))
    count = alive.shape[1]
    for i in range(len(alive)):
        here, lost, more = 0.0, 0.0, 0.0
        quiet, rate = silent[age[i]], bought[age[i]]
        for s in range(count):
            churn[i, s] = clv.p_churn(alive[i, s], quiet[s])
            expected[i, s] = alive[i, s] * rate[s]
            here += alive[i, s]
            lost += churn[i, s]
            more += expected[i, s]
        means[0, i], means[1, i], means[2, i] = here / count, lost / count, more / count
    return churn, expected, means


@compiled
def values(
    alive: Array,
    history: IntArray,
    discounted: Array,
    stayed: Array,
    residual: Array,
    age: IntArray,
    spend: Array,
    money: IntArray,
    factor: float,
) -> tuple[Array, Array, Array]:
    """The value of rows; see ``clv.values`` for what is what.

    Args:
        alive: P(alive) by history, (H, S).
        history: each row's history, (N,).
        discounted: discounted purchases of a customer alive, by age, (A, S).
        stayed: the same of one who stayed for all of the horizon, (A, S).
        residual: the same without end, (A, S).
        age: each history's age, (H,).
        spend: expected spend by (n, S), (M, S).
        money: each row's place in it, (N,).
        factor: what a unit of spend is worth.

    Returns:
        Value and value at risk, (N, S), 0 where the mean spend does not exist; means over draws of
        value, residual value, value at risk and win-back value, (4, N), NaN there.
    """
    rows, count = len(history), alive.shape[1]
    worth, risk = np.empty((rows, count)), np.empty((rows, count))
    means = np.empty((4, rows))
    for i in range(rows):
        here, per_purchase = alive[history[i]], spend[money[i]]
        now, stay, rest = (
            discounted[age[history[i]]],
            stayed[age[history[i]]],
            residual[age[history[i]]],
        )
        one, two, three, four = 0.0, 0.0, 0.0, 0.0
        for s in range(count):
            found = clv.values(here[s], now[s], stay[s], rest[s], factor * per_purchase[s])
            worth[i, s], risk[i, s] = found[0], found[2]
            one += found[0]
            two += found[1]
            three += found[2]
            four += found[3]
        means[0, i], means[1, i] = one / count, two / count
        means[2, i], means[3, i] = three / count, four / count
        if not np.isfinite(one):
            worth[i] = 0.0
            risk[i] = 0.0
    return worth, risk, means
