"""The two backtests every fit makes: totals forecast from two cuts, beside what came."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np

from bayesseg.aggregates import merged
from bayesseg.customers import Attributes, sampled
from bayesseg.discrepancy import miss
from bayesseg.errors import InputRejected
from bayesseg.ingest import Purchases
from bayesseg.spec import ModelSpec
from bayesseg.validation.fits import posterior
from bayesseg.validation.forecast import Totals, totals
from bayesseg.validation.holdout import Holdout, holdout, span
from bayesseg.validation.metrics import reliability, total
from bayesseg.validation.tracking import tracking

ORIGINS = (2, 1)
"""Cuts, in quarters of the history before its end; the horizon is one quarter."""
SHORTEST_DAYS = 120
DRAWS = 400
CUSTOMERS = 40_000
"""Of more customers so many are drawn; a fit must not wait for its backtests."""
_BINS = 10


def backtest(
    purchases: Purchases,
    spec: ModelSpec,
    *,
    as_of: date,
    seed: int,
    attributes: Attributes | None = None,
    say: Callable[[str], None] | None = None,
) -> tuple[dict[str, Any], ...]:
    """Totals forecast from the last two quarter points of the history, beside what came.

    Returns one entry a part and origin: ``part, cut, horizon_days, customers, share, pareto_k, actual,
    mean, lo, hi, bias`` (95 % predictive interval; bias relative to the actual total) and ``miss``,
    from which a discrepancy is learnt. An entry of purchases holds ``single`` and ``weeks`` too: how
    single customers fared (``reliability`` and ``pit``, see ``validation.metrics``), and ``tracking``,
    with small cells merged or hidden. Posteriors are importance draws (``inference.laplace``) taken as
    they are; ``pareto_k`` tells how far to trust them. Of more than ``CUSTOMERS`` customers so many are
    drawn at random, and fit, forecast and count are of these alone: ``share`` of all. ``attributes``
    are those that the model reads, taken as known at the cut. ``say`` is told why a cut, or all of it,
    gives nothing: the history is shorter than 120 days or too thin to fit before the cut. One origin
    is no verdict; two are a beginning.
    """
    say = say or (lambda _: None)
    history = (as_of - span(purchases, as_of)[0]).days
    if "purchase" not in spec.parts:
        return ()
    if history < SHORTEST_DAYS:
        say(f"no backtest: {history} days of history, at least {SHORTEST_DAYS} are needed")
        return ()
    horizon = history // 4
    drawn = sampled(purchases, CUSTOMERS, seed)
    found: list[dict[str, Any]] = []
    for quarters in ORIGINS:
        cut = as_of - timedelta(days=quarters * horizon)
        try:
            found.extend(_origin(drawn, spec, cut, horizon, as_of, seed, attributes))
        except InputRejected as error:
            say(f"no backtest from {cut}: {error.message}")
    return tuple(found)


def _origin(
    purchases: Purchases,
    spec: ModelSpec,
    cut: date,
    horizon: int,
    as_of: date,
    seed: int,
    attributes: Attributes | None,
) -> list[dict[str, Any]]:
    from threadpoolctl import threadpool_limits

    held = holdout(
        purchases,
        cut,
        horizon,
        tuple(spec.parts),
        seed=seed,
        as_of=as_of,
        attributes=attributes,
        most=CUSTOMERS,
    )
    # the matrices are tiny: more threads only spin, at several times the cost of the fit
    with threadpool_limits(1):
        fit = posterior(held, spec, DRAWS, seed, exact=False)
    models = fit.models
    found = totals(held, models["purchase"], models.get("spend"), spec.unit_days)
    weeks = tracking(purchases, held, models["purchase"], spec.unit_days)
    beside = {"purchase": {"single": _single(held, found), "weeks": _weeks(weeks)}}
    actual = {"purchase": float(held.purchases.sum()), "spend": float(held.spend.sum())}
    half = 0.5 / max(
        float(found.draws["purchase"].mean()), 1e-9
    )  # of a purchase, as a share of all
    entries = []
    for part, draws in found.draws.items():
        compared = total(float(draws.mean()), draws, actual[part])
        kept = {name: compared[name] for name in ("actual", "mean", "lo", "hi", "bias")}
        entries.append(
            {
                "part": part,
                "cut": cut.isoformat(),
                "horizon_days": horizon,
                "customers": len(held.scored),
                "share": purchases.provenance.get("share", 1.0),
                "pareto_k": fit.draws[part].info["pareto_k"],
                **kept,
                "bias": kept["bias"] or 0.0,
                "miss": miss(actual[part], kept["mean"], draws, half * compared["mean"]),
                **beside.get(part, {}),
            }
        )
    return entries


def _single(held: Holdout, found: Totals) -> dict[str, Any]:
    """Cells by P(buys), and the PIT in bins that share what the small among them hold."""
    counts = np.histogram(found.pit, np.linspace(0, 1, _BINS + 1))[0]
    pit = np.zeros(_BINS)
    for group in merged(counts):
        pit[group] = counts[group].mean()
    return {
        "customers": len(found.drawn),
        "reliability": reliability(found.p_active, held.purchases[found.drawn]),
        "pit": pit.tolist(),
    }


def _weeks(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What came is shown where a week holds enough, and added up where what was hidden does."""
    if found is None:
        return None
    counts = np.array(found["actual"], dtype=np.int64)
    groups = merged(counts)
    alone = {group.start for group in groups if group.stop - group.start == 1}
    ends = {group.stop - 1 for group in groups}
    return {
        **found,
        "actual": [int(n) if at in alone else None for at, n in enumerate(counts)],
        "cumulative_actual": [
            int(n) if at in ends else None for at, n in enumerate(counts.cumsum())
        ],
    }
