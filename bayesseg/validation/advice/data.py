"""What the data say against the assumptions of the models. L8."""

from __future__ import annotations

import math

from bayesseg.gates import EARLY_EXCESS
from bayesseg.validation.advice.saying import Advice, listed, signed
from bayesseg.validation.comparison import Document, titles

WEAK = 0.9  # posterior sd over prior sd: above, the data taught little (as in the gate identified)
MOVED = 1.0  # posterior standard deviations between the posterior mean and maximum likelihood
RIDGE = 0.9  # correlation of two parameters from which only a combination of them is known
DEPENDENT = 0.1, 0.3  # Spearman of frequency and spend: worth a note (most shops), a caution
REGULAR, BURSTS = 1.5, 0.8  # shape k of the gaps between purchases; 1 is a Poisson process
EARLY_RATE = 1.25  # repeat rate of the early cohort over that of the later one
CHANGED = 0.1  # change of actual over expected across the cut


_OPINION = {
    "purchase": "read churn and P(alive) as partly prior opinion, and forecasts far beyond the history "
    "too; near-term totals and the ranking lean on it less",
    "spend": "read the spend per purchase of customers with few purchases as partly prior opinion; "
    "purchases and churn do not lean on it",
}


def identification(document: Document) -> Advice | None:
    """Parameters that the data leave open: on a ridge, at a boundary, or as wide as their prior."""
    own = document["diagnosis"]
    ridge, rows = own["ridge"], own["identification"]
    said = []
    if ridge and ridge["at_boundary"]:
        said.append(
            f"maximum likelihood runs off along a ridge ({', '.join(ridge['at_boundary'])} without "
            f"end: {' and '.join(ridge['dropout'])} are known only together)"
        )
    elif ridge and abs(ridge["correlation"]) >= RIDGE:
        said.append(
            f"{' and '.join(ridge['dropout'])} are known only together (correlation "
            f"{signed(ridge['correlation'])})"
        )
    ridge_said = bool(said)
    weak = [one for one in rows if one["ratio"] is not None and one["ratio"] >= WEAK]
    if weak:
        named = ", ".join(
            f"{one['name']} (posterior sd {one['ratio']:.2f} of the prior's)" for one in weak
        )
        said.append(f"the data hardly inform {named}")
    gone = ridge["at_boundary"] if ridge else ()
    moved = [
        one
        for one in rows
        if one["shift"] is not None and abs(one["shift"]) > MOVED and one["name"] not in gone
    ]
    if moved:
        named = ", ".join(f"{one['name']} by {abs(one['shift']):.1f} sd" for one in moved)
        said.append(f"the prior moves the estimate of {named}")
    if not said:
        return None
    parts = {one["part"] for one in (*weak, *moved)} | ({"purchase"} if ridge_said else set())
    read = [words for part, words in _OPINION.items() if part in parts]
    return Advice(
        "identification",
        "caution",
        f"weak identification of {titles(document)[own['family']]} at {own['cut']}: "
        + "; ".join(said),
        f"{'; '.join(read)}. A longer history helps, or narrower priors from what you know of the shop",
    )


def independence(document: Document) -> Advice | None:
    """Gamma-Gamma takes spend to be independent of frequency."""
    own = document["diagnosis"]["independence"]
    if own is None or own["spearman"] is None:
        return None
    rho, noise = own["spearman"], 2 / math.sqrt(max(own["customers"], 1))
    if abs(rho) < max(DEPENDENT[0], noise):
        return None
    more, less = ("more", "too low") if rho > 0 else ("less", "too high")
    return Advice(
        "independence",
        "caution" if abs(rho) >= DEPENDENT[1] else "note",
        f"frequent buyers spend {more} per purchase than rare ones (Spearman {signed(rho)} over "
        f"{own['customers']:,} repeat buyers), and the spend model assumes that they do not",
        f"the value of the most frequent buyers is {less}, that of one-time buyers errs the other "
        "way; the order hardly changes. Most shops show +0.1 to +0.3",
    )


def timing(document: Document) -> Advice | None:
    """The gaps between a customer's purchases: random, regular or in bursts?"""
    own = document["diagnosis"]["timing"]
    if own is None or own["k"] is None:
        return None
    said = (
        f"(k = {own['k']:.2f}, {own['lo']:.2f} to {own['hi']:.2f}, from the last two gaps of "
        f"{own['customers']:,} customers; 1 is random)"
    )
    if own["k"] >= REGULAR and own["lo"] > 1:
        return Advice(
            "timing",
            "caution",
            f"purchases come more regularly than the models assume {said}",
            "a silence then says more than P(alive) admits: look at the columns overdue and "
            "typical_gap_days first when you pick whom to contact; intervals of counts are too wide",
        )
    if own["k"] <= BURSTS and own["hi"] < 1:
        return Advice(
            "timing",
            "note",
            f"purchases come in bursts, less evenly than the models assume {said}",
            "a silence says less than P(alive) makes of it; intervals of counts are too narrow",
        )
    return None


def early(document: Document) -> Advice | None:
    """A log that starts in mid-life of the shop "acquires" the old customers in its first weeks."""
    own = document["diagnosis"]["early"]
    if own is None or own["ratio"] <= EARLY_EXCESS:
        return None
    rates = own["rate"], own["later_rate"]
    alike = None in rates or not rates[1] or rates[0] / rates[1] < EARLY_RATE
    pace = (
        ""
        if None in rates
        else f" They repeat at {rates[0]:.3f} a week against {rates[1]:.3f} of later customers in "
        f"their first {own['weeks']} weeks"
        + ("." if alike else f", {rates[0] / rates[1]:.1f} times as often.")
    )
    return Advice(
        "early_cohort",
        "note" if alike and pace else "caution",
        f"the log seems to start in mid-life of the shop: its first weeks, to {own['until']}, "
        f'"acquire" {listed([f"{n:,}" for n in own["weekly"]])} customers, where {own["usual"]:g} '
        f"a week is usual; most of them had bought before.{pace}",
        "the model fits them as a cohort of their own; better still, give the day on which they first "
        "bought or a longer history"
        if own["apart"]
        else "give the day on which these customers first bought or a longer history; else compare with "
        "--model cohorts, which fits them as a cohort of their own",
    )


def regime(document: Document) -> Advice | None:
    """Did the ratio of what came to what was expected change at the cut?"""
    own = document["diagnosis"]["regime"]
    if own is None or any(own[key] is None for key in ("ratio", "lo", "hi")):
        return None
    if own["lo"] <= own["ratio"] <= own["hi"] or abs(own["ratio"] - 1) < CHANGED:
        return None
    cut = document["diagnosis"]["cut"]
    name = titles(document)[document["diagnosis"]["family"]]
    return Advice(
        "regime",
        "caution",
        f"buying changed at {cut}: {own['before']:.0%} of what {name} expects came in the "
        f"{own['weeks_before']} weeks before, {own['after']:.0%} in the {own['weeks_after']} weeks "
        f"after (ratio {own['ratio']:.2f}; chance alone gives {own['lo']:.2f} to {own['hi']:.2f})",
        "look for what changed then (season, prices, stock, a campaign, how purchases are recorded) "
        "and forecast again from a cut after it; if nothing did, customers fade "
        f"{'more slowly' if own['ratio'] > 1 else 'faster'} than {name} expects: compare --families",
    )
