"""Who is contacted: a list cut by what contacts bring and cost, a part of it left alone by lot. L8."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bayesseg._types import Array, IntArray
from bayesseg.customers import Customers
from bayesseg.decide import budget, holdout
from bayesseg.decide.benefit import Terms
from bayesseg.decide.budget import BoolArray, Limits
from bayesseg.decide.stakes import Own, drawn, spread
from bayesseg.decide.waiting import patience
from bayesseg.scoring.plan import Plan

if TYPE_CHECKING:
    import pandas as pd


_ENDLESS = Limits()


@dataclass(frozen=True, slots=True)
class Campaign:
    """What is asked of a list.

    ``terms`` None leaves the benefit unknown; ``share`` of the customers is held out of the campaign
    ``name``.
    """

    which: str
    terms: Terms | None = None
    limits: Limits = _ENDLESS
    name: str | None = None
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Latents:
    """What the interval of a benefit needs: the plan of the scores, and the customers of the list."""

    plan: Plan
    customers: Customers


@dataclass(frozen=True, slots=True)
class Chosen:
    """The list, first to be contacted first, and what belongs beside it (JSON-able, no ids)."""

    table: pd.DataFrame
    document: dict[str, Any]


def choose(listed: pd.DataFrame, asked: Campaign, latents: Latents | None = None) -> Chosen:
    """Cut a list: positive expectation, most benefit per cost first, as far as the limits reach.

    Args:
        listed: of ``decide.ranked``, all of it.
        asked: rows of its arrays are those of ``listed``.
        latents: the same customers, for intervals.

    Returns:
        Of who is contacted or left alone for the hold-out: what ``listed`` has of them with a new
        ``rank``, ``selected`` (contact them), ``holdout`` (left alone: would be contacted but for the
        hold-out), and where there are terms ``cost``; where the rate is known ``net_benefit`` and, with
        ``latents``, ``net_benefit_lo``, ``net_benefit_hi`` (90 %, the customer's own future drawn) and
        ``p_positive``; with ``latents`` on the save list ``contact_before`` (the first day on which
        P(alive) is below one half if the customer stays silent; null where none is within ten years).
    """
    stake, terms = listed["value"].to_numpy(np.float64), asked.terms
    known = terms is not None and terms.rate is not None
    net = terms.net(stake) if terms is not None and known else stake
    cost = np.zeros(len(stake)) if terms is None else terms.costs(len(stake))
    worth = np.flatnonzero(net > 0)
    rows = worth[budget.order(net[worth], cost[worth])]
    limits = _of(asked.limits, rows)
    held = np.zeros(len(rows), dtype=bool)
    if asked.name is not None and asked.share is not None:
        ids = listed["customer_id"].to_numpy(dtype=object)[rows]
        held = holdout.held(ids, asked.name, asked.share)
    contacted, left = budget.fill(cost[rows], held, limits)
    # the curve goes through those contacted, then through those who would be next
    first = np.concatenate([np.flatnonzero(contacted), np.flatnonzero(~contacted & ~held)])
    at = budget.steps(len(first), int(contacted.sum())) if known else first[:0]
    own = None
    if known and latents is not None and terms is not None and terms.rate is not None:
        plan = latents.plan
        place = np.full(len(rows), len(at))
        place[first] = np.searchsorted(at, np.arange(1, len(first) + 1))
        rate = terms.rate.draws(plan.precision.draws, plan.posterior.manifest["seed"])
        own = drawn(
            plan, latents.customers.take(rows), asked.which, rate, cost[rows], place, len(at)
        )
    cut = contacted | left
    table = listed.iloc[rows[cut]].reset_index(drop=True)
    added: dict[str, Any] = {"selected": contacted[cut], "holdout": left[cut]}
    added |= {"cost": cost[rows[cut]]} if terms is not None else {}
    added |= _benefit(net[rows[cut]], own, cut) if known else {}
    if latents is not None and asked.which == "save":
        added["contact_before"] = _days(latents, rows[cut])
    document: dict[str, Any] = {
        "counts": {
            "on_the_list": len(stake),
            "worth_contacting": len(rows),
            "contacted": int(contacted.sum()),
            "held_out": int(left.sum()),
        },
        "cost": float(cost[rows[contacted]].sum()),
    }
    if known:
        points = budget.curve(
            net[rows[first]], cost[rows[first]], at, None if own is None else own.totals
        )
        document["curve"] = points
        document["net_benefit"] = _total(points, int(contacted.sum()))
        most = budget.fractional(
            net[rows[~held]], cost[rows[~held]], _of(limits, np.flatnonzero(~held))
        )
        got = document["net_benefit"]["mean"]
        document["gap"] = {"fractional_optimum": most, "below": max(most - got, 0.0)}
    if held.any():
        document["detectable"] = _detectable(table, contacted, left, latents, rows[cut])
    return Chosen(_arranged(table.assign(**added)), document)


def _of(limits: Limits, rows: IntArray) -> Limits:
    return limits if limits.channel is None else replace(limits, channel=limits.channel[rows])


def _benefit(net: Array, own: Own | None, cut: BoolArray) -> dict[str, Array]:
    found = {"net_benefit": net}
    if own is not None:
        found |= {"net_benefit_lo": own.lo[cut], "net_benefit_hi": own.hi[cut]}
        found |= {"p_positive": own.p_positive[cut]}
    return found


def _days(latents: Latents, rows: IntArray) -> npt.NDArray[np.object_]:
    """The first day on which P(alive) is below one half, as text; None where none is."""
    customers = latents.customers.take(rows)
    wait = patience(latents.plan, customers)
    days: npt.NDArray[np.object_] = (
        (np.datetime64(customers.as_of, "D") + wait).astype(str).astype(object)
    )
    days[wait < 0] = None
    return days


def _total(points: list[dict[str, Any]], contacts: int) -> dict[str, float | None]:
    """Net benefit of the whole list, with the interval of what comes."""
    for point in points:
        if point["contacts"] == contacts:
            return {"mean": point["net_benefit"], "lo": point["lo"], "hi": point["hi"]}
    return {"mean": 0.0, "lo": None, "hi": None}


def _detectable(
    table: pd.DataFrame,
    contacted: BoolArray,
    left: BoolArray,
    latents: Latents | None,
    cut: IntArray,
) -> dict[str, Any]:
    """What a hold-out of that size can show; of spend with ``latents`` only."""
    sizes = int(contacted.sum()), int(left.sum())
    share = float(1 - table["p_churn"].mean()) if len(table) else 0.0
    found: dict[str, Any] = {"level": holdout.LEVEL, "power": holdout.POWER, "buying": share}
    found["rise"] = holdout.detectable_share(share, *sizes)
    if latents is not None and len(table):
        sd = spread(latents.plan, latents.customers.take(cut))
        found |= {"spend_sd": sd, "spend": holdout.detectable_mean(sd, *sizes)}
    return found


_FIRST = (
    "rank",
    "customer_id",
    "segment_name",
    "selected",
    "holdout",
    "value",
    "cost",
    "net_benefit",
    "net_benefit_lo",
    "net_benefit_hi",
    "p_positive",
    "contact_before",
)


def _arranged(table: pd.DataFrame) -> pd.DataFrame:
    table = table.assign(rank=np.arange(1, len(table) + 1))
    first = [name for name in _FIRST if name in table]
    return table[[*first, *(name for name in table if name not in first)]]
