"""Families and benchmarks against each other, and single customers against their forecasts. L8."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from bayesseg.validation.advice.saying import Advice, listed, p_value
from bayesseg.validation.advice.totals import LEANING
from bayesseg.validation.comparison import (
    COLUMNS,
    Document,
    comparison,
    paired,
    spoken,
    subject,
    titles,
)

SAME_CRPS = 0.01  # relative differences below this are too little to matter
CLEAR = 2.0  # standard errors of a difference of elpd that tell two families apart
BETTER: Mapping[str, tuple[float, bool, str]] = {
    "rmse": (0.02, False, "RMSE per customer"),
    "crps": (0.02, False, "CRPS per customer"),
    "brier": (0.01, False, "Brier score of who buys"),
    "auc": (0.01, True, "AUC of who buys"),
    "top_decile": (0.01, True, "share of purchases caught by the tenth ranked first"),
}
"""By score: the lead from which a benchmark counts as better (absolute where more is better, else
relative), whether more is better, its name. Not the MAE, which the median minimises: where most buy
nothing, "nobody buys" wins it."""
TILTED = 0.05  # KS distance of the PIT from uniform: one customer in twenty out of place


def preference(document: Document) -> Advice | None:
    """Which family the data prefer, and whether it matters."""
    chosen, own = document["chosen"], document["families"][0]
    if chosen is None:
        return None
    name = titles(document)
    loo = (document["loo"] or {}).get("families", ())
    crps = {one: value for one, value in chosen["mean_crps"].items() if value is not None}
    known = {
        one["name"]: one["miss"]
        for one in comparison(document)
        if one["name"] in crps and one["miss"] is not None  # None: nothing came at any cut
    }
    said = _by_loo(loo, name)
    clear = len(loo) > 1 and _clear(loo[1])
    gap = max(crps.values()) / min(crps.values()) - 1
    said.append(
        f"forecasts of single customers differ by {gap:.1%} in CRPS"
        + ("" if gap > SAME_CRPS else ", too little to matter")
    )
    if known:
        said.append(
            "totals missed by "
            + listed([f"{miss:.0%} ({name[one]})" for one, miss in known.items()])
            + (" on average" if len(document["origins"]) > 1 else "")
        )
    best = min(known, key=lambda one: known[one], default=own)
    if chosen["next"] != own and gap > SAME_CRPS:
        fix = f"fit a model with family {chosen['next']} next: it forecast customers better"
    elif clear and loo[0]["name"] != own:
        fix = (
            f"family {loo[0]['name']} is the safer description of the histories; look at the totals "
            "before you switch"
        )
    elif len(document["origins"]) >= 3 and own in known and known[own] - known[best] >= LEANING:
        fix = f"where totals matter, fit a model with family {best}"
    else:
        fix = f"no reason to leave {name[own]}"
    return Advice("preference", "note", "; ".join(said), fix)


def _by_loo(loo: Sequence[Mapping[str, Any]], name: Mapping[str, str]) -> list[str]:
    if len(loo) < 2:
        return []
    first, second = loo[0], loo[1]
    lead = "a clear lead" if _clear(second) else "no clear lead"
    return [
        f"{name[first['name']]} describes the histories best, by {abs(second['difference']):.1f} ± "
        f"{second['difference_se']:.1f} in elpd before {name[second['name']]} ({lead})",
        *(
            f"leave-one-out is shaky for {name[one['name']]} ({one['bad_k']:,} customers with high k)"
            for one in loo
            if one["bad_k"]
        ),
    ]


def _clear(second: Mapping[str, Any]) -> bool:
    return bool(abs(second["difference"]) > CLEAR * second["difference_se"])


def benchmarks(document: Document) -> Advice:
    """Where a plain benchmark did better than the model, said as plainly as where none did."""
    mine = subject(document)
    wins: dict[str, list[str]] = {}
    for line in comparison(document):
        if line["kind"] not in ("benchmark", "learner"):
            continue
        for key, (margin, more, what) in BETTER.items():
            both = list(paired(document, mine, line["name"], *COLUMNS[key]))
            if not both:
                continue
            ours, theirs = (sum(side) / len(both) for side in zip(*both, strict=True))
            if theirs - ours > margin if more else theirs < (1 - margin) * ours:
                wins.setdefault(line["title"], []).append(f"{what} {theirs:.3f} against {ours:.3f}")
        misses = [
            (abs(ours), abs(theirs))
            for ours, theirs in paired(document, mine, line["name"], *COLUMNS["bias"])
        ]
        if misses:
            ours, theirs = (sum(side) / len(misses) for side in zip(*misses, strict=True))
            if theirs < ours - LEANING:
                wins.setdefault(line["title"], []).append(
                    f"total off by {theirs:.0%} against {ours:.0%}"
                )
    if not wins:
        says = f"no plain benchmark did clearly better than {spoken(document)}"
        return Advice("benchmarks", "good", says, "")
    return Advice(
        "benchmarks",
        "note",
        f"plain benchmarks did better than {spoken(document)}. "
        + "; ".join(f"{title}: {', '.join(what)}" for title, what in wins.items()),
        "where that number is all you need, the benchmark will do; learners and rules give no value, "
        "no interval and no account of who has left",
    )


def calibration(document: Document) -> Advice | None:
    """Do single customers land where their forecasts say, or too often at the edges?"""
    last = next(
        one for one in document["origins"][-1]["rows"] if one["name"] == document["families"][0]
    )
    pit = last["pit"]
    if pit is None or pit["ks"] is None or pit["ks"] <= TILTED or pit["p"] >= 0.01:
        return None
    counts, edges = pit["counts"], pit["edges"]
    middle = [(a + b) / 2 for a, b in itertools.pairwise(edges)]
    total = sum(counts)
    mean = sum(m * n for m, n in zip(middle, counts, strict=True)) / total
    spread = sum((m - mean) ** 2 * n for m, n in zip(middle, counts, strict=True)) / total
    if abs(mean - 0.5) > 0.02:
        way = "bought more" if mean > 0.5 else "bought less"
        says = f"customers {way} than their own forecasts say, across the board"
    elif spread > 1 / 12:
        says = "customers land at the edges of their own forecasts too often: those are too narrow"
    else:
        says = "customers land in the middle of their own forecasts too often: those are too wide"
    return Advice(
        "calibration",
        "caution",
        f"{last['title']} after {document['origins'][-1]['cut']}: {says} "
        f"(PIT off by {pit['ks']:.0%} at most, p {p_value(pit['p'])})",
        "trust the ranking more than the probabilities; the reliability curve shows where they bend",
    )
