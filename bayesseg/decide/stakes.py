"""What is at stake with one customer, drawn: their own rates, dropout, spend and state. L8.

``value_at_risk`` and ``win_back_value`` are expectations. Of the customer itself one draw is, for

* *save*: of a customer alive, one future in which they buy on at their own rate λ for all of H, and the
  moment within it at which dropout would end it. The stake is the discounted margin of the purchases
  after that moment: what comes if they stay for all of H less what comes until their own dropout. It is
  nothing where they are gone already, and nothing where they would have stayed anyway.
* *win-back*: of a customer gone, the discounted margin of all purchases of one future within H at a rate
  drawn from Gamma(r+x, α+T), which ``win_back_value`` takes for one who is back; nothing where they are
  not gone.

A purchase is paid with the paid share, and then its value is Gamma(p, ν), ν the customer's own. Given
the parameters the mean over draws is E[spend] · margin times A (D0(H) - D(H)), or times (1 - A) D0(H):
D0 is the mean of the purchases of one who stays, D of those before dropout, and spend is independent of
both.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from bayesseg._compiled import compiled
from bayesseg._random import Keys, customer_keys, exponential, gamma, stream, uniform
from bayesseg._types import Array, Columns, IntArray
from bayesseg.customers import Customers
from bayesseg.families._realise import realise
from bayesseg.scoring.futures import latents_of
from bayesseg.scoring.plan import Plan
from bayesseg.scoring.rows import group_columns, places
from bayesseg.scoring.settings import ends

_ROWS = 256
_SAMPLE = 4_000
_FUTURE, _RETURN = 6, 7


@dataclass(frozen=True, slots=True)
class Own:
    """Net benefit of contacting each customer, over draws of the customer's own.

    Attributes:
        lo, hi: central 90 %, (N,).
        p_positive: P(net > 0), (N,).
        totals: net benefit of the first so many customers together, per draw, (P, S).
    """

    lo: Array
    hi: Array
    p_positive: Array
    totals: Array


def stakes(plan: Plan, columns: Columns, keys: Keys, which: str) -> Array:
    """The drawn stake of customers of one group, (N, S), in currency within the value horizon.

    Args:
        plan: of a model with purchases and spend.
        columns: ``x, t_x, T, n, S`` and the groups ``purchase`` and ``spend``, each (N,).
        keys: one per customer.
        which: the list, ``"save"`` or ``"win-back"``.
    """
    latents, nu, shape = latents_of(plan, columns, keys)
    back = which == "win-back"
    if back:
        theta = plan.purchase[int(columns["purchase"][0])]
        latents = returned(latents, theta["r"], theta["alpha"], columns["x"], columns["T"], keys)
    share, span = plan.posterior.manifest["paid_share"], float(plan.clock.value_horizon)
    found = _lost(
        latents, nu, np.ascontiguousarray(shape), share, span, plan.clock.discount, back, keys
    )
    return np.asarray(found * plan.settings.margin)


@compiled
def returned(latents: Array, r: Array, alpha: Array, x: Array, T: Array, keys: Keys) -> Array:
    """Latents with those gone and those here exchanged: the gone at the rate they had when here."""
    out = np.zeros(latents.shape)
    for i in range(latents.shape[0]):
        for s in range(latents.shape[1]):
            if latents[i, s, 0] == 0.0:
                _, rate = gamma(stream(keys[i], s, _RETURN), r[s] + x[i])
                out[i, s, 0], out[i, s, 1] = 1.0, rate / (alpha[s] + T[i])
    return out


@compiled
def _lost(
    latents: Array,
    nu: Array,
    shape: Array,
    paid_share: float,
    span: float,
    discount: float,
    from_now: bool,
    keys: Keys,
) -> Array:
    """Discounted spend within ``span`` after the customer's own dropout, ``from_now`` all of it."""
    out = np.zeros(nu.shape)
    for i in range(nu.shape[0]):
        for s in range(nu.shape[1]):
            alive, rate, drop, death = latents[i, s]
            if alive == 0.0 or rate == 0.0:
                continue
            state = stream(keys[i], s, _FUTURE)
            gone, life = from_now, math.inf
            if death > 0.0:
                state, wait = exponential(state)
                life = wait / death
            value, t = 0.0, 0.0
            while True:
                state, gap = exponential(state)
                t += gap / rate
                if t >= span:
                    break
                if gone or t > life:
                    state, u = uniform(state)
                    if u < paid_share:
                        state, order = gamma(state, shape[s])
                        value += order * math.exp(-discount * t) / nu[i, s]
                elif drop > 0.0:
                    state, u = uniform(state)
                    gone = u < drop
            out[i, s] = value
    return out


def drawn(
    plan: Plan,
    customers: Customers,
    which: str,
    rate: Array,
    cost: Array,
    place: IntArray,
    points: int,
    threads: int | None = None,
) -> Own:
    """Net benefit of each customer over draws: ``rate`` times the stake, less the cost.

    Args:
        plan: of a model with purchases and spend.
        customers: whom to contact.
        which: the list.
        rate: share of contacts that work, per draw, (S,).
        cost: of each contact, (N,).
        place: the first point of the curve that counts the customer, (N,); ``points`` for none.
        points: of the curve.
        threads: all cores by default; the numbers are the same for any.
    """
    lo, hi, sure = (np.empty(len(customers)) for _ in range(3))
    totals = np.zeros((points + 1, len(rate)))
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:

        def net(block: tuple[IntArray, Columns, Keys]) -> tuple[IntArray, Array]:
            rows, columns, keys = block
            return rows, stakes(plan, columns, keys, which) * rate - cost[rows, None]

        for rows, found in pool.map(net, _blocks(plan, customers)):
            np.add.at(totals, place[rows], found)
            sure[rows] = (found > 0).mean(axis=1)
            lo[rows], hi[rows] = ends(np.sort(found, axis=1))
    return Own(lo, hi, sure, np.cumsum(totals[:points], axis=0))


def spread(plan: Plan, customers: Customers) -> float:
    """Standard deviation of what one customer spends within the horizon h, uncontacted.

    Over customers and their futures together (the predictive variance), undiscounted and before margin;
    the mean over draws of the variance between customers. Of 4,000 evenly spaced ones where there are
    more.
    """
    count = min(len(customers), _SAMPLE)
    sample = customers.take(np.linspace(0, len(customers) - 1, count).astype(np.int64))
    soon = replace(plan.clock, value_horizon=plan.clock.horizon, discount=0.0)
    share = plan.posterior.manifest["paid_share"]
    first, second = np.zeros(len(plan.index)), np.zeros(len(plan.index))
    for _, columns, keys in _blocks(plan, sample):
        latents, nu, shape = latents_of(plan, columns, keys)
        money, _, _ = realise(latents, nu, shape, share, soon, keys, plan.index)
        first, second = first + money.sum(axis=0), second + (money**2).sum(axis=0)
    variance = (second - first**2 / count) / max(count - 1, 1)
    return float(np.sqrt(np.mean(variance)))


def _blocks(plan: Plan, customers: Customers) -> Iterator[tuple[IntArray, Columns, Keys]]:
    """Customers of one group each, by id: rows, columns and keys."""
    by_id = np.argsort(customers.ids, kind="stable")
    columns = {**group_columns(plan, customers), **customers.columns(plan.posterior.spec.unit_days)}
    keys = customer_keys(customers.ids, plan.posterior.manifest["seed"])
    groups = {part: columns[part][by_id] for part in ("purchase", "spend")}
    for place in places(groups, _ROWS):
        rows = by_id[place]
        yield rows, {name: values[rows] for name, values in columns.items()}, keys[rows]
