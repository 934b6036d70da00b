"""What the totals of several cuts say: right, leaning, drifting, seasonal. L8."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from datetime import date

from bayesseg.validation.advice.saying import Advice, listed, percent, percents
from bayesseg.validation.comparison import Document, row, spoken, subject

LEANING = 0.05  # mean bias of totals from which a lean of one sign is worth a word
DRIFT = 0.6  # Kendall's tau of bias and time from which the bias has a direction
SWING = 0.10  # distance between the biases of two cuts from which one cut misleads
YEAR = 365
_NO_MEAN = "mean spend does not exist"
SAME_SEASON = 21  # days by which two cuts may differ in the time of year


def totals(document: Document, what: str) -> Advice | None:
    """Did the totals that came lie where they were forecast?"""
    record = document["forecasts"][subject(document)]
    own = record[what]
    if own is None:
        return None
    level = {"passed": "good", "not-assessed": "note"}.get(record["verdict"]["verdict"], "caution")
    if what != "purchases":  # the verdict is of purchases
        level = "good" if own["inside"] >= 0.8 * own["origins"] else "caution"
    if own["origins"] == 1:
        return _one_cut(document, what, level)
    biases = [bias for bias in own["bias"] if bias is not None]
    n = own["origins"]
    says = (
        f"{what} by {spoken(document)}: {own['inside']} of {n} totals came inside the "
        f"{document['level']:.0%} interval of the model alone, {own['inside_widened']} inside the "
        "interval widened by the misses of earlier cuts; "
        + "; ".join(
            [f"forecasts were off by {percents(biases)}"] * bool(biases)
            + _unmeasured(document, what)
        )
    )
    factor = own["discrepancy"]
    span = f"{factor['lo']:.2f} to {factor['hi']:.2f} times the forecast"
    if record["verdict"]["verdict"] == "failed" and what == "purchases":
        fix = "do not plan totals with this model; see the findings below for what it misses"
    elif not biases:
        fix = "plan no totals from a mean that nothing here has tested; the intervals are all there is"
    elif own["inside"] == n:
        fix = "use totals with the interval of the model"
    else:
        fix = f"rank customers by it as it is; plan totals with {span}, the range these cuts teach"
    return Advice(f"totals_{what}", level, says, fix)


def _one_cut(document: Document, what: str, level: str) -> Advice:
    origin = document["origins"][-1]
    (score,) = (row[what] for row in origin["rows"] if row["name"] == document["families"][0])
    way = "inside" if score["inside"] else "outside"
    mean = "" if score["mean"] is None else f"{score['mean']:,.0f} "
    came = f"{score['actual']:,.0f} came" if score["actual"] else "nothing came"
    off = (
        f", off by {percent(score['bias'])}"
        if score["bias"] is not None
        else f"; {_NO_MEAN}"
        if score["mean"] is None
        else ""
    )
    return Advice(
        f"totals_{what}",
        "note" if score["inside"] else "caution" if level == "good" else level,
        f"{what} by {spoken(document)}: {mean}forecast [{score['lo']:,.0f}, {score['hi']:,.0f}] for "
        f"the {origin['horizon_days']} days after {origin['cut']}, {came}: {way} the "
        f"{document['level']:.0%} interval{off}",
        "one cut is no verdict: run bayesseg validate with --origins 6, or as many as the history "
        "carries",
    )


def _unmeasured(document: Document, what: str) -> list[str]:
    """Why some totals have no bias."""
    why: dict[str, list[str]] = {}
    for at, origin in enumerate(document["origins"]):
        judged = row(document, at, subject(document))
        assert judged is not None  # a family is fitted at every origin
        if judged[what]["bias"] is None:
            reason = f"{_NO_MEAN} at" if judged[what]["actual"] else "nothing came after"
            why.setdefault(reason, []).append(origin["cut"])
    return [f"{reason} {listed(cuts)}" for reason, cuts in why.items()]


def between_cuts(document: Document) -> Advice | None:
    """A bias that changes between cuts is hidden by each of them alone; one that stays is a lean."""
    own = document["forecasts"][subject(document)]["purchases"]
    biases = [bias for bias in own["bias"] if bias is not None]
    if len(biases) < 2:
        return None
    low, high = min(biases), max(biases)
    if own["sign_changes"] and high - low >= SWING and low < -LEANING / 2 and high > LEANING / 2:
        trend = _trend(biases)
        drifts = abs(trend) >= DRIFT
        way = (
            f"it {'rises' if trend > 0 else 'falls'} with time" if drifts else "it changes its sign"
        )
        return Advice(
            "one_cut_hides",
            "caution",
            f"the bias of {spoken(document)}'s total ran {percents(biases)} by cut: {way}, and any "
            "single cut would have shown one of these and hidden the rest",
            "do not correct by the last cut or by the average"
            + (", for the next forecast may lie further along" if drifts else "")
            + "; look for what changed between the cuts (an early cohort, growth, a season) and use the "
            "widened intervals",
        )
    mean = sum(biases) / len(biases)
    if low * high > 0 and abs(mean) >= LEANING:
        return Advice(
            "steady_lean",
            "caution",
            f"all {len(biases)} forecasts of the total by {spoken(document)} ran "
            f"{'high' if mean > 0 else 'low'} ({percents(biases)}): a lean of the model, not chance",
            f"expect totals about {abs(1 / (1 + mean) - 1):.0%} {'below' if mean > 0 else 'above'} the "
            "forecast, or try another family (--families)",
        )
    return None


def season(document: Document) -> Advice | None:
    """Do cuts a year apart miss alike, and unlike the others?"""
    own = document["forecasts"][subject(document)]["purchases"]
    cuts = [date.fromisoformat(origin["cut"]) for origin in document["origins"]]
    known = [(cut, bias) for cut, bias in zip(cuts, own["bias"], strict=True) if bias is not None]
    pairs = [
        (one, other)
        for (first, one), (second, other) in itertools.combinations(known, 2)
        if abs((second - first).days - YEAR) <= SAME_SEASON
    ]
    if len(pairs) < 2 or document["horizon_days"] > YEAR / 2:
        return None
    spread = statistics.stdev(bias for _, bias in known)
    apart = math.sqrt(sum((a - b) ** 2 for a, b in pairs) / len(pairs) / 2)  # 1 sd, if unrelated
    if spread < SWING or apart > spread / 2:
        return None
    last = date.fromisoformat(document["data"]["last"])
    again = [(cut, bias) for cut, bias in known if abs((last - cut).days - YEAR) <= SAME_SEASON]
    coming = (
        f"the {document['horizon_days']} days after {last} are the season of the cut at {again[0][0]}, "
        f"which was off by {percent(again[0][1])}: expect it to run "
        f"{'high' if again[0][1] > 0 else 'low'} again. "
        if again
        else ""
    )
    return Advice(
        "season",
        "caution",
        "the same weeks of two years were missed alike ("
        + "; ".join(f"{percent(a)} and {percent(b)}" for a, b in pairs)
        + f"), and all cuts by anything from {percent(min(b for _, b in known))} to "
        f"{percent(max(b for _, b in known))}: the shop has seasons, which the model does not know",
        f"{coming}Forecast whole years, or correct a total by what the same weeks missed the year "
        "before",
    )


def _trend(values: Sequence[float]) -> float:
    """Kendall's tau of a series with its order."""
    pairs = list(itertools.combinations(values, 2))
    return sum((b > a) - (b < a) for a, b in pairs) / len(pairs)
