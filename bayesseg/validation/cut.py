"""One cut scored: every forecaster beside what came."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from bayesseg import population
from bayesseg._types import Array
from bayesseg.customers import Attributes, activity
from bayesseg.families import FAMILIES
from bayesseg.ingest import Purchases
from bayesseg.spec import ModelSpec, variant
from bayesseg.validation import baselines, metrics
from bayesseg.validation.fits import Fit, maximum_likelihood, posterior
from bayesseg.validation.forecast import Forecast, Model, Outcome, forecast
from bayesseg.validation.holdout import Holdout, holdout
from bayesseg.validation.learners import inner_cut, learners
from bayesseg.validation.metrics import Groups
from bayesseg.validation.tracking import tracking


@dataclass(frozen=True, slots=True)
class Cut:
    """One origin: the holdout, the fits by family and the document's ``ORIGIN``.

    ``totals`` are the predictive totals (R,) by family and part, from which intervals are widened.
    """

    held: Holdout
    fits: Mapping[str, Fit]
    totals: Mapping[str, Mapping[str, Array]]
    document: dict[str, Any]


def score_cut(
    purchases: Purchases,
    spec: ModelSpec,
    families: Sequence[str],
    cut: date,
    horizon_days: int,
    *,
    draws: int,
    seed: int,
    as_of: date | None = None,
    attributes: Attributes | None = None,
) -> Cut:
    """Fit ``families`` before ``cut`` and score them, plug-ins and benchmarks after it.

    ``attributes`` are joined to the customers of the cut; learners see those that the model reads.

    Raises:
        UsageError: the data do not cover the holdout.
        InputRejected: too few customers before the cut to fit.
    """
    held = holdout(
        purchases,
        cut,
        horizon_days,
        tuple(spec.parts),
        seed=seed,
        as_of=as_of,
        attributes=attributes,
    )
    rows: list[dict[str, Any]] = []
    fits: dict[str, Fit] = {}
    totals: dict[str, dict[str, Array]] = {}
    groups: Groups = {}
    for family in families:
        own = variant(spec, family)
        fits[family] = fit = posterior(held, own, draws, seed)
        found = forecast(
            held, fit.models["purchase"], fit.models.get("spend"), spec.unit_days, draws
        )
        totals[family] = {"purchase": found.purchases.totals}
        if found.spend is not None:
            totals[family]["spend"] = found.spend.totals
        groups = _groups(fit, held)  # the same for every family
        title = FAMILIES[family].title
        row = _row(held, groups, family, title, "family", found, fit.models["purchase"])
        row["note"] = fit.note
        row["tracking"] = tracking(purchases, held, fit.models["purchase"], spec.unit_days)
        rows.append(row)
    rows += _plug_ins(held, groups, spec, families, draws)
    rows += _benchmarks(purchases, held, groups, spec, draws, seed, attributes)
    document = {
        "cut": cut.isoformat(),
        "until": held.until.isoformat(),
        "horizon_days": horizon_days,
        "customers": len(held.known),
        "scored": len(held.scored),
        "actual": {
            "purchases": int(held.purchases.sum()),
            "spend": float(held.spend.sum()),
            "active": int((held.purchases > 0).sum()),
        },
        "rows": rows,
    }
    return Cut(held, fits, totals, document)


def _groups(fit: Fit, held: Holdout) -> Groups:
    return {
        column: (names, index)
        for state in fit.states.values()
        for column, names, index in population.cells(state, held.scored)
    }


def _plug_ins(
    held: Holdout, groups: Groups, spec: ModelSpec, families: Sequence[str], streams: int
) -> Iterator[dict[str, Any]]:
    """Maximum likelihood of each family, plugged in; a row without numbers says why."""
    for family in families:
        models, by = maximum_likelihood(held, variant(spec, family))
        name, title = f"{family}_mle", f"{FAMILIES[family].title}, maximum likelihood"
        title += f" ({by})" if by else ""
        purchase, spend = models["purchase"], models.get("spend")
        if isinstance(purchase, str):
            yield _blank(name, title, "plug_in", purchase)
            continue
        found = forecast(
            held, purchase, None if isinstance(spend, str) else spend, spec.unit_days, streams
        )
        row = _row(held, groups, name, title, "plug_in", found, purchase)
        row["note"] = spend if isinstance(spend, str) else ""
        yield row


def _benchmarks(
    purchases: Purchases,
    held: Holdout,
    groups: Groups,
    spec: ModelSpec,
    streams: int,
    seed: int,
    attributes: Attributes | None,
) -> Iterator[dict[str, Any]]:
    nobody_leaves = baselines.nbd(held, spec.unit_days)
    found = forecast(held, nobody_leaves, None, spec.unit_days, streams)
    title = "NBD (nobody leaves)"
    yield _row(held, groups, "nbd", title, "benchmark", found, nobody_leaves)
    inner = inner_cut(purchases, held, seed=seed, attributes=attributes)
    rules = [baselines.rate(held), _last_period(purchases, held), baselines.rfm(held, inner)]
    for rule in (*rules, *learners(held, inner, seed, tuple(groups))):
        yield _of_rule(held, groups, rule)


def _last_period(purchases: Purchases, held: Holdout) -> baselines.Rule:
    days = min(held.horizon_days, int(held.known.t_end.max()))
    after = held.cut - timedelta(days=days)
    ids, count, _ = activity(purchases, after, held.cut)
    own = pd.Series(count, index=ids).reindex(held.scored.ids, fill_value=0).to_numpy()
    first = held.scored.t_end < days  # the first purchase itself is no repeat
    return baselines.last_period(held, np.maximum(own - first, 0), days)


def _row(
    held: Holdout,
    groups: Groups,
    name: str,
    title: str,
    kind: str,
    found: Forecast,
    model: Model,
) -> dict[str, Any]:
    actual = held.purchases.astype(np.float64)
    row = _blank(name, title, kind, "")
    return row | {
        "parameters": {p: float(v.mean()) for p, v in model.theta[0].items()}
        if len(model.theta) == 1
        else None,
        "p_alive": float(found.p_alive.mean()),
        "purchases": _score(found.purchases, actual, logarithms=True),
        "spend": None if found.spend is None else _score(found.spend, held.spend, logarithms=False),
        "active": metrics.active(found.p_active, found.purchases.expected, held.purchases),
        "by_x": metrics.by_x(held.scored.x, found.purchases.expected, actual),
        "by_group": metrics.by_group(groups, found.purchases.expected, actual),
        "pit": metrics.uniformity(found.purchases.pit),
        "reliability": metrics.reliability(found.p_active, held.purchases),
    }


def _blank(name: str, title: str, kind: str, note: str) -> dict[str, Any]:
    empty = ("parameters", "p_alive", "purchases", "spend", "active")
    more = ("by_x", "by_group", "pit", "reliability", "tracking")
    return {"name": name, "title": title, "kind": kind, "note": note} | dict.fromkeys(
        (*empty, *more)
    )


def _score(outcome: Outcome, actual: Array, *, logarithms: bool) -> dict[str, Any]:
    expected = outcome.expected
    exists = bool(np.isfinite(expected).all())
    mean = float(expected.sum()) if exists else None
    points = (
        metrics.points(expected, actual, logarithms=logarithms)
        if exists
        else dict.fromkeys(("mae", "rmse", "msle", "correlation"))
    )
    return {
        **metrics.total(mean, outcome.totals, float(actual.sum())),
        "widened": None,
        **points,
        "crps": float(outcome.crps.mean()),
        "coverage": metrics.coverage(outcome.inside),
    }


def _of_rule(held: Holdout, groups: Groups, rule: baselines.Rule) -> dict[str, Any]:
    row = _blank(rule.name, rule.title, rule.kind, rule.note)
    actual = held.purchases.astype(np.float64)
    if rule.expected is not None:
        row["purchases"] = {
            **metrics.total(float(rule.expected.sum()), None, float(actual.sum())),
            "widened": None,
            **metrics.points(rule.expected, actual, logarithms=True),
            "crps": None,
            "coverage": None,
        }
        row["by_x"] = metrics.by_x(held.scored.x, rule.expected, actual)
        row["by_group"] = metrics.by_group(groups, rule.expected, actual)
    if np.isfinite(rule.rank).all():
        p = rule.rank if rule.p_active is None else rule.p_active
        known = rule.p_active is not None
        row["active"] = metrics.active(p, rule.rank, held.purchases, probability=known)
        row["reliability"] = metrics.reliability(p, held.purchases) if known else None
    return row
