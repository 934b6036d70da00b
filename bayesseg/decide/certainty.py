"""How sure a ranking is: where customers stand when their own rates and state are drawn. L8."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bayesseg._random import customer_keys
from bayesseg._types import Array
from bayesseg.aggregates.cells import interval
from bayesseg.decide.histories import customers_of, plan_for, with_paid
from bayesseg.decide.stakes import returned
from bayesseg.posterior import Posterior
from bayesseg.scoring.futures import latents_of
from bayesseg.scoring.plan import Plan
from bayesseg.scoring.rows import group_columns
from bayesseg.scoring.settings import QUANTILES

if TYPE_CHECKING:
    import pandas as pd

TOP = 0.1
MOST = 5_000
"""So many customers of a list are drawn; those behind them hardly ever come to its front."""
_ROWS = 256


@dataclass(frozen=True, slots=True)
class Certainty:
    """How sure the places of the first customers of a list are.

    Attributes:
        ranks: ``p_top``, the probability to be in the top tenth of these, and ``rank_lo``, ``rank_hi``,
            the central 90 % of the rank; in the order of the list.
        top: how many customers are a tenth of them, rounded up.
        belong: how many of the first ``top`` are in the top tenth: mean and central 90 %.
    """

    ranks: pd.DataFrame
    top: int
    belong: Mapping[str, float]


def certainty(
    posterior: Posterior,
    document: Mapping[str, Any],
    listed: pd.DataFrame,
    which: str,
) -> Certainty | None:
    """Ranks of a list's customers over draws of what each has at stake, given their own rates and state.

    What is drawn is the customer's rate of purchase, dropout, spend and whether they are still here;
    luck with their next purchases is not, which no ranking could know.

    Args:
        posterior: the run that scored them.
        document: the document of the score file.
        listed: scores of the customers on the list, most at stake first.
        which: the list, ``"save"`` or ``"win-back"``.

    Returns:
        Of the first 5,000. None where the model needs attributes of customers, which scores do not hold.
    """
    import pandas as pd

    plan = plan_for(posterior, document)
    if not plan.spend or max(len(plan.purchase), len(plan.spend)) > 1 or not len(listed):
        return None
    listed = listed.head(MOST)
    ranks = np.argsort(np.argsort(-_stakes(plan, listed, which), axis=0, kind="stable"), axis=0) + 1
    low, high = np.quantile(ranks, QUANTILES, axis=1)
    top = math.ceil(TOP * len(listed))
    there = ranks <= top
    found = pd.DataFrame({"p_top": there.mean(axis=1), "rank_lo": low, "rank_hi": high})
    return Certainty(found, top, interval(there[:top].sum(axis=0).astype(np.float64)))


def _stakes(plan: Plan, listed: pd.DataFrame, which: str) -> npt.NDArray[np.float32]:
    """What each has at stake in expectation given their own latents, (N, S); ties by their order."""
    customers = customers_of(listed)
    customers = with_paid(plan, customers, listed["expected_spend"].to_numpy(np.float64))
    columns = {**group_columns(plan, customers), **customers.columns(plan.posterior.spec.unit_days)}
    keys = customer_keys(customers.ids, plan.posterior.manifest["seed"])
    found = np.empty((len(customers), len(plan.index)), dtype=np.float32)
    for start in range(0, len(customers), _ROWS):
        rows = slice(start, start + _ROWS)
        own = {name: values[rows] for name, values in columns.items()}
        latents, nu, shape = latents_of(plan, own, keys[rows])
        stayed = _exposure(plan, np.zeros(nu.shape))
        if which == "win-back":
            theta = plan.purchase[0]
            latents = returned(latents, theta["r"], theta["alpha"], own["x"], own["T"], keys[rows])
            lost = stayed
        else:
            lost = stayed - _exposure(plan, latents[..., 1] * latents[..., 2] + latents[..., 3])
        found[rows] = latents[..., 0] * latents[..., 1] * lost * shape / nu * plan.factor
    return found


def _exposure(plan: Plan, hazard: Array) -> Array:
    """Discounted time within H of one who leaves at ``hazard``."""
    rate, span = plan.clock.discount + hazard, plan.clock.value_horizon
    exposure = np.full_like(rate, span)
    np.divide(-np.expm1(-rate * span), rate, out=exposure, where=rate * span > 1e-12)
    return exposure
