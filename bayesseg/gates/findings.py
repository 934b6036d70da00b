"""What the data and past forecasts say of a model that was computed well. L7."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from bayesseg._types import Check
from bayesseg.gates.judge import Subject, judge, number
from bayesseg.population import EARLY_EXCESS


def spend_mean_exists(s: Subject) -> Iterator[Check]:
    """P(q > 1 given the data): below it the population's mean spend is infinite."""
    q = s.draws.values.get("q")
    share = math.nan if q is None or not np.isfinite(q).all() else float((q > 1).mean())
    yield judge(
        s,
        "spend_mean_exists",
        share,
        0.99,
        at_least=True,
        says=f"P(q > 1) is {share:.3f}: the mean spend of a new customer may not exist",
        advice="check for extreme orders; do not use values of one-time buyers",
    )


def spend_independence(s: Subject) -> Iterator[Check]:
    """Gamma-Gamma assumes spend independent of frequency; real shops never quite are."""
    rho = number(s.facts.get("spearman"))
    yield judge(
        s,
        "frequency_spend_correlation",
        abs(rho),
        0.1,
        severity="soft",
        says=f"frequency and spend correlate at {rho:.2f} (Spearman); the model assumes 0, so the "
        "value of frequent buyers leans low and that of rare buyers high"
        if rho > 0
        else f"frequency and spend correlate at {rho:.2f} (Spearman); the model assumes 0",
        advice="read values of very frequent and of rare buyers with care",
    )


def forecast(s: Subject) -> Iterator[Check]:
    """Each backtest's actual total lies inside its 95 % predictive interval."""
    for one in s.facts.get("backtests", ()):
        if one["part"] != s.part:
            continue
        width = one["hi"] - one["lo"]
        outside = max(one["lo"] - one["actual"], one["actual"] - one["hi"], 0.0)
        way = "low" if one["bias"] < 0 else "high"
        what = "purchases" if s.part == "purchase" else "spend"
        yield judge(
            s,
            f"backtest_{one['cut']}",
            outside / width if width > 0 else math.nan,
            0.0,
            severity="soft",
            kind="forecast",
            says=f"forecast {what} ran {abs(one['bias']):.0%} {way} over {one['horizon_days']} days "
            f"from {one['cut']} ({one['mean']:,.0f}, 95% interval {one['lo']:,.0f} to "
            f"{one['hi']:,.0f}, against {one['actual']:,.0f})",
            advice="correct plans for totals by this bias; the ranking of customers is less affected",
        )


def left_censoring(s: Subject) -> Iterator[Check]:
    """The log does not start in mid-life of the shop, where old customers look newly acquired."""
    early = s.facts.get("early")
    if early is None:  # too few weeks with new customers to say
        return
    yield judge(
        s,
        "left_censoring",
        number(early["ratio"]),
        EARLY_EXCESS,
        severity="soft",
        says=f"{early['customers']:,} customers first appear by {early['until']}, "
        f"{early['ratio']:.1f} times as many a week as later ({early['usual']:g}): the log starts in "
        "mid-life of the shop, and they are older than it can show (flag early_cohort)",
        advice="give a longer history, or leave customers acquired before the log out",
    )


def locked(s: Subject) -> Iterator[Check]:
    """Every segment that experts locked lives on in the refit."""
    for one in s.facts.get("locked", ()):
        yield judge(
            s,
            f"locked_{one['id']}",
            number(one["jaccard"]),
            one["limit"],
            at_least=True,
            severity="soft",
            says=f"{one['id']} {one['name']} is locked, and this refit has lost it (Jaccard "
            f"{one['jaccard']:.2f} with what comes nearest)",
            advice="look at both runs; take the lock out of the map of segments to let it go",
        )
