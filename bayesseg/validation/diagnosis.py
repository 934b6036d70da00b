"""What may be wrong with a model for these data, in numbers (``advice`` puts them into words).

References:
    Wheat & Morrison (1990), Journal of Marketing Research 27: regularity from the last two gaps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from bayesseg import population, priors
from bayesseg._types import Array, IntArray
from bayesseg.customers import Customers, purchase_days
from bayesseg.families import FAMILIES
from bayesseg.inference.map import maximum
from bayesseg.ingest import Purchases
from bayesseg.spec import ModelSpec, PartSpec
from bayesseg.validation.fits import Fit
from bayesseg.validation.holdout import Holdout

FEWEST = 30
"""Customers, below which nothing is said of timing or of early cohorts."""
_RUNAWAY = 3.0
"""Posterior sds at which a maximum-likelihood estimate has left the posterior."""
_FAR = 99.0
_WEEKS = 13
_Z = 1.96


def diagnosis(
    purchases: Purchases,
    held: Holdout,
    spec: ModelSpec,
    fit: Fit,
    tracking: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The document's ``DIAGNOSIS`` of ``spec`` fitted at ``held.cut``; only ``regime`` looks past it."""
    log = log_of(purchases, held)
    parameters = identification(held, spec, fit)
    return {
        "cut": held.cut.isoformat(),
        "family": spec.parts["purchase"].family,
        "identification": parameters,
        "ridge": ridge(spec, fit, parameters),
        "independence": independence(held.known) if "spend" in spec.parts else None,
        "timing": timing(log),
        "early": early(held, log, spec.parts["purchase"]),
        "regime": None if tracking is None else regime(tracking),
    }


# ---------------------------------------------------------------- what the data teach


def identification(held: Holdout, spec: ModelSpec, fit: Fit) -> list[dict[str, Any]]:
    """Each free parameter: how far the data narrowed its prior, and where the likelihood wants it.

    Where customers fall into groups (``population``) these are the parameters of the reference group,
    which maximum likelihood of all together says nothing of: ``maximum_likelihood`` is None.
    """
    columns = held.known.columns(spec.unit_days)
    rows = []
    for part, draws in fit.draws.items():
        own = spec.parts[part]
        family = FAMILIES[own.family]
        free: Mapping[str, float] = {}
        if fit.states[part] is None:
            assert family.tabulate is not None
            best, _ = maximum(family, None, family.tabulate(columns), fit.scales)
            free = family.underive(best)
        for param in family.params:
            prior, values = own.priors[param.name], draws.values[param.name]
            there = priors.unbounded(prior, values)
            sd, before = float(there.std()), priors.unbounded_sd(prior, fit.scales)
            shift = None
            if param.name in free:
                best_there = float(priors.unbounded(prior, free[param.name]))
                shift = min(max((best_there - float(there.mean())) / sd, -_FAR), _FAR)
            rows.append(
                {
                    "part": part,
                    "name": param.name,
                    "posterior_sd": sd,
                    "prior_sd": before,
                    "ratio": sd / before,
                    "median": float(np.median(values)),
                    "maximum_likelihood": float(free[param.name]) if free else None,
                    "shift": shift,
                }
            )
    return rows


def ridge(spec: ModelSpec, fit: Fit, parameters: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The two parameters of dropout: their posterior correlation and which of them run off.

    A parameter runs off where maximum likelihood lies outside the posterior altogether: only the
    prior keeps it finite.
    """
    own = spec.parts["purchase"]
    names = [param.name for param in FAMILIES[own.family].params][2:4]
    there = [
        priors.unbounded(own.priors[name], fit.draws["purchase"].values[name]).ravel()
        for name in names
    ]
    return {
        "dropout": names,
        "correlation": float(np.corrcoef(there[0], there[1])[0, 1]),
        "at_boundary": [
            row["name"]
            for row in parameters
            if row["part"] == "purchase" and abs(row["shift"] or 0.0) > _RUNAWAY
        ],
    }


def independence(known: Customers) -> dict[str, Any] | None:
    """Rank correlation of paid repeat days with their mean spend; Gamma-Gamma assumes none."""
    from scipy.stats import spearmanr

    paid = (known.x_paid > 0) & (known.repeat_spend > 0)
    n, spend = known.x_paid[paid], known.repeat_spend[paid]
    if len(n) < 3 or np.ptp(n) == 0:
        return None
    rho = spearmanr(n, spend / n).statistic
    return {"spearman": float(rho), "customers": len(n)} if np.isfinite(rho) else None


# ---------------------------------------------------------------- what the log shows


@dataclass(frozen=True, slots=True)
class Log:
    """Purchase days known at the cut, sorted by customer and day: who, when, first day of each."""

    customer: IntArray
    day: IntArray
    first: IntArray

    def rank(self) -> IntArray:
        """0 for a customer's last purchase day, 1 for the one before, ..."""
        count = np.bincount(self.customer)
        return np.asarray(np.cumsum(count)[self.customer] - 1 - np.arange(len(self.customer)))


def log_of(purchases: Purchases, held: Holdout) -> Log:
    """What the log showed at the cut."""
    _, customer, day, _ = purchase_days(purchases, held.cut)
    return Log(customer, day, held.cut.toordinal() - held.known.t_end)


def timing(log: Log) -> dict[str, Any] | None:
    """Shape k of the gaps between purchases: 1 is a Poisson process, more is regular, less bursts.

    M = gap1 / (gap1 + gap2) of a customer's last two gaps is Beta(k, k) whatever its own rate, so
    k = (1 - 4 var M) / (8 var M). The interval is that of var M, 95 %.
    """
    rank = log.rank()
    count = np.bincount(log.customer)
    # sorted by customer: the three last days of each stand together
    last = log.day[(rank < 3) & (count[log.customer] >= 3)].reshape(-1, 3)
    gaps = np.diff(last, axis=1).astype(np.float64)
    if len(gaps) < FEWEST:
        return None
    m = gaps[:, 0] / gaps.sum(axis=1)
    spread = float(((m - 0.5) ** 2).mean())
    error = float(((m - 0.5) ** 2).std() / math.sqrt(len(m)))

    def shape(variance: float) -> float | None:
        return (1 - 4 * variance) / (8 * variance) if variance > 0 else None

    return {
        "k": shape(spread),
        "lo": shape(spread + _Z * error),
        "hi": shape(spread - _Z * error),
        "customers": len(m),
    }


def early(held: Holdout, log: Log, part: PartSpec) -> dict[str, Any] | None:
    """Customers of the first three weeks beside later ones: how many, and how often they repeat.

    Rates are repeat purchase days a customer and week over the first 13 weeks of each customer (a
    quarter of the history where it is short), so both cohorts are seen at equal age.
    """
    found = population.early(held.known)
    if found is None:
        return None
    until = date.fromisoformat(found["until"]).toordinal()
    start = until - 20  # three weeks
    weeks = min(_WEEKS, max((held.cut.toordinal() - start) // 28, 1))
    whole = log.first + 7 * weeks <= held.cut.toordinal()
    old, new = whole & (log.first <= until), whole & (log.first > until)
    age = log.day - log.first[log.customer]
    repeats = np.bincount(
        log.customer[(age > 0) & (age <= 7 * weeks)], minlength=len(log.first)
    ).astype(np.float64)
    enough = min(old.sum(), new.sum()) >= FEWEST
    return {
        "until": found["until"],
        "customers": found["customers"],
        "usual": found["usual"],
        "ratio": found["ratio"],
        "weekly": [int(((log.first - start) // 7 == week).sum()) for week in range(3)],
        "rate": float(repeats[old].mean() / weeks) if enough else None,
        "later_rate": float(repeats[new].mean() / weeks) if enough else None,
        "weeks": int(weeks),
        "later_customers": int(new.sum()),
        "apart": part.cohorts is not None and part.cohorts.early != "none",
    }


def regime(tracking: Mapping[str, Any]) -> dict[str, Any] | None:
    """Actual over expected repeat purchases, before the cut and after it.

    The band is where ``ratio`` would lie 95 % of the time if weeks went on scattering about one level
    as they did in the last half year before the cut, their lag-one correlation included.
    """
    actual, expected = np.array(tracking["actual"]), np.array(tracking["expected"])
    cut = tracking["calibration"]
    usual = np.arange(max(cut - 2 * _WEEKS, 0), cut)
    before, after = np.arange(max(cut - _WEEKS, 0), cut), np.arange(cut, len(actual))
    if len(usual) < 8 or not (expected[usual[0] :] > 0).all():
        return None
    levels = [float(actual[w].sum() / expected[w].sum()) for w in (before, after)]
    if not min(levels) > 0:
        return None
    weekly = np.asarray(actual[usual] / expected[usual], dtype=np.float64)
    reach = _Z * _error(weekly / weekly.mean(), len(before), len(after))
    return {
        "before": levels[0],
        "after": levels[1],
        "ratio": levels[1] / levels[0],
        "lo": math.exp(-reach),
        "hi": math.exp(reach),
        "weeks_before": len(before),
        "weeks_after": len(after),
    }


def _error(weekly: Array, before: int, after: int) -> float:
    """Standard error of the log ratio of two mean levels of a first-order autoregression."""
    gap = weekly - weekly.mean()
    lagged, whole = float(gap[1:] @ gap[:-1]), float(gap @ gap)
    correlation = min(max(lagged / max(whole, 1e-300), 0.0), 0.8)
    inflated = (1 + correlation) / (1 - correlation)
    return float(weekly.std(ddof=1) * math.sqrt(inflated * (1 / before + 1 / after)))
