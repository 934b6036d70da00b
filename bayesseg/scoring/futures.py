"""What a customer's own rates and one future of each bring, per posterior draw."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any

import numpy as np

from bayesseg._random import Keys, content_keys, customer_keys
from bayesseg._types import Array, Columns
from bayesseg.customers import Customers
from bayesseg.families import FAMILIES
from bayesseg.families._realise import realise
from bayesseg.scoring.plan import Plan
from bayesseg.scoring.rows import HISTORY, MONEY, group_columns, places
from bayesseg.scoring.settings import TOP_SHARE

_BLOCK = 512


def futures(plan: Plan, columns: Columns) -> dict[str, Array]:
    """One future of each row and draw, (n, S): rows of one content and group see the same.

    Returns:
        ``expected_purchases`` realised within h; where there is spend, ``clv`` realised within H and
        ``own_value``, the discounted value given the customer's own rates, which its
        luck with them has no part in.
    """
    grouped = {"purchase": len(plan.purchase) > 1, "spend": len(plan.spend) > 1}
    names = (*HISTORY, *(MONEY if plan.spend else ()), *(n for n, some in grouped.items() if some))
    keys = content_keys([columns[name] for name in names], plan.posterior.manifest["seed"])
    latents, nu, shape = latents_of(plan, columns, keys)
    share = plan.posterior.manifest["paid_share"] if plan.spend else 1.0
    money, soon, _ = realise(latents, nu, shape, share, plan.clock, keys, plan.index)
    found = {"expected_purchases": soon.astype(np.float64)}
    if plan.spend:
        found["clv"] = money * plan.settings.margin
        found["own_value"] = _value(plan, latents, nu, shape)
    return found


def threshold(plan: Plan, sample: Customers, pool: Executor) -> Array:
    """Per draw, the own value above which a customer of the file is in the top tenth: (S,).

    Every customer of the ``sample`` draws its own rates, whether or not others have its history.
    """
    keys = customer_keys(sample.ids, plan.posterior.manifest["seed"])
    columns = {**group_columns(plan, sample), **sample.columns(plan.posterior.spec.unit_days)}
    groups = {part: columns[part] for part in ("purchase", "spend")}

    def values(place: Any) -> Array:
        own = {name: found[place] for name, found in columns.items()}
        return _value(plan, *latents_of(plan, own, keys[place])).astype(np.float32)

    every = np.concatenate(list(pool.map(values, places(groups, _BLOCK))))
    return np.asarray(np.quantile(every, 1 - TOP_SHARE, axis=0), dtype=np.float64)


def latents_of(plan: Plan, columns: Columns, keys: Keys) -> tuple[Array, Array, Array]:
    """A customer's own (alive, λ, p, μ), (n, S, 4), and ν, (n, S); the shape of orders, (S,)."""
    parts = plan.posterior.spec.parts
    of_purchase = FAMILIES[parts["purchase"].family].latents
    assert of_purchase is not None
    theta = plan.purchase[int(columns["purchase"][0])]
    latents = of_purchase(theta, columns, keys, plan.index)
    if not plan.spend:
        return latents, np.ones(latents.shape[:2]), np.ones(latents.shape[1])
    of_spend = FAMILIES[parts["spend"].family].latents
    assert of_spend is not None
    theta = plan.spend[int(columns["spend"][0])]
    return latents, of_spend(theta, columns, keys, plan.index), theta["p"]


def _value(plan: Plan, latents: Array, nu: Array, shape: Array) -> Array:
    """(n, S): discounted value within H given the customer's own rate, dropout, spend and state."""
    alive, rate, drop, death = (latents[:, :, i] for i in range(4))
    hazard = plan.clock.discount + rate * drop + death
    span = plan.clock.value_horizon
    exposure = np.full_like(hazard, span)
    long = hazard * span > 1e-12
    np.divide(-np.expm1(-hazard * span), hazard, out=exposure, where=long)
    return np.asarray(alive * rate * exposure * shape / nu * plan.factor)
