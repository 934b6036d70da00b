"""The two backtests every fit makes: totals forecast from two cuts, beside what came."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from bayesseg.customers import sampled
from bayesseg.errors import InputRejected, UsageError
from bayesseg.ingest import Purchases
from bayesseg.spec import ModelSpec
from bayesseg.validation.fits import posterior
from bayesseg.validation.forecast import forecast
from bayesseg.validation.holdout import holdout, refuse_covariates, span
from bayesseg.validation.metrics import total

ORIGINS = (2, 1)
"""Cuts, in quarters of the history before its end; the horizon is one quarter."""
SHORTEST_DAYS = 120
DRAWS = 400
LARGE, CUSTOMERS = 50_000, 10_000
"""Of more than ``LARGE`` customers so many are drawn; a fit must not wait for its backtests."""


def backtest(
    purchases: Purchases,
    spec: ModelSpec,
    *,
    as_of: date,
    seed: int,
    say: Callable[[str], None] | None = None,
) -> tuple[dict[str, Any], ...]:
    """Totals forecast from the last two quarter points of the history, beside what came.

    Returns one entry a part and origin: ``part, cut, horizon_days, customers, share, pareto_k, actual,
    mean, lo, hi, bias`` (95 % predictive interval; bias relative to the actual total). Posteriors are
    importance draws (``inference.laplace``) taken as they are; ``pareto_k`` tells how far to trust
    them. Of more than ``LARGE`` customers ``CUSTOMERS`` are drawn at random, and fit, forecast and
    count are of these alone: ``share`` of all. ``say`` is told why a cut, or all of it, gives
    nothing: the history is shorter than 120 days or too thin to fit before the cut, or the model has
    covariates. One origin is no verdict; two are a beginning.
    """
    say = say or (lambda _: None)
    history = (as_of - span(purchases, as_of)[0]).days
    if "purchase" not in spec.parts:
        return ()
    if history < SHORTEST_DAYS:
        say(f"no backtest: {history} days of history, at least {SHORTEST_DAYS} are needed")
        return ()
    try:
        refuse_covariates(spec)
    except UsageError as error:
        say(f"no backtest: {error.message}")
        return ()
    horizon = history // 4
    large = purchases.provenance["ids"] > LARGE
    drawn = sampled(purchases, CUSTOMERS, seed) if large else purchases
    found: list[dict[str, Any]] = []
    for quarters in ORIGINS:
        cut = as_of - timedelta(days=quarters * horizon)
        try:
            found.extend(_origin(drawn, spec, cut, horizon, as_of, seed))
        except InputRejected as error:
            say(f"no backtest from {cut}: {error.message}")
    return tuple(found)


def _origin(
    purchases: Purchases, spec: ModelSpec, cut: date, horizon: int, as_of: date, seed: int
) -> list[dict[str, Any]]:
    parts = tuple(spec.parts)
    held = holdout(purchases, cut, horizon, parts, seed=seed, as_of=as_of)
    fit = posterior(held, spec, DRAWS, seed, exact=False)
    models = fit.models
    found = forecast(held, models["purchase"], models.get("spend"), spec.unit_days, DRAWS)
    facts = {
        "cut": cut.isoformat(),
        "horizon_days": horizon,
        "customers": len(held.scored),
        "share": purchases.provenance.get("share", 1.0),
    }
    entries = []
    for part, outcome, actual in (
        ("purchase", found.purchases, float(held.purchases.sum())),
        ("spend", found.spend, float(held.spend.sum())),
    ):
        if outcome is not None:
            compared = total(float(outcome.totals.mean()), outcome.totals, actual)
            kept = {name: compared[name] for name in ("actual", "mean", "lo", "hi", "bias")}
            own = {"part": part, **facts, "pareto_k": fit.draws[part].info["pareto_k"]}
            entries.append({**own, **kept, "bias": kept["bias"] or 0.0})
    return entries
