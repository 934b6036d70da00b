"""What a validation says, as one JSON-able document.

``validate(purchases, spec, cut=..., horizon_days=..., families=..., seed=...)`` scores one cut,
``validate(purchases, spec, origins=N, ...)`` scores N cuts that lie a horizon apart and end with the
data. Both give the same shape; one cut is one origin. No ids, no customers, no paths in it. Every
number that cannot be computed is null. Probabilities are 0 to 1, bias is forecast / actual - 1,
money is in the currency of the data, days are whole days, dates ISO.

::

    {"schema_version": 1,
     "model": "retail", "time_unit": "week", "seed": 1, "draws": 1000,
     "engine": "laplace",                          # nuts where its weights fail; the row says so
     "level": 0.95,                                # of every interval of a total
     "horizon_days": 273,
     "data": {"first": "1997-01-01", "last": "1998-06-30", "days": 545, "customers": 2357},
     "families": ["mbgnbd", "bgnbd"],              # the model's own first
     "attributes": ["channel"],                    # those that the model reads
     "origins": [ORIGIN, ...],                     # oldest first; with --cut exactly one
     "skipped": [{"cut": "2010-03-12", "reason": "9 repeat buyers, at least 10 are needed"}],
     "chosen": CHOSEN or null,                     # null where there is one family
     "forecasts": {"mbgnbd": RECORD, ...,          # each family over all origins
                   "chosen": RECORD},              # the nested choice (more than one family only)
     "loo": LOO or null,                           # at the last origin; more than one family only
     "diagnosis": DIAGNOSIS,                       # of the model's own family at the last origin
     "notes": ["fits, forecasts and what came are of 100,000 customers drawn at random, 10 % of all"]}

    ORIGIN = {
     "cut": "1997-09-30", "until": "1998-06-30", "horizon_days": 273,
     "customers": 2357,                            # known at the cut
     "scored": 2357,                               # of whom this many, drawn at random, are scored
     "actual": {"purchases": 1882, "spend": 66000.1, "active": 684},   # of those scored
     "rows": [ROW, ...]}                           # families, then plug-ins, then benchmarks

    ROW = {
     "name": "mbgnbd",        # family; family + "_mle"; "nbd", "rate", "last_period", "rfm";
                              # "logistic", "boosting"
     "title": "MBG/NBD",
     "kind": "family",        # "family" (posterior), "plug_in" (maximum likelihood), "benchmark"
                              # (no dropout, rules), "learner" (scikit-learn)
     "note": "",              # e.g. how a learner was trained, why there are no numbers
     "parameters": {"r": .52, ...} or null,        # posterior means, or the point estimate (textbook)
     "p_alive": .449 or null,                      # mean P(alive) at the cut
     "purchases": SCORE, "spend": SCORE or null,
     "active": {"expected": 565.7,                 # sum of P(buys in the horizon)
                "brier", "log_loss", "auc",
                "top_decile_share": .47,           # of the purchases made by the tenth ranked first
                "top_decile_lift": 2.9},           # buyers there over buyers in general
     "by_x": {"x": ["0", "1", ..., "7+"], "customers": [...], "actual": [...], "expected": [...]},
     "pit": {"edges": [0, .1, ..., 1], "counts": [...], "ks": .03, "p": .4},
                              # randomised; ks: Kolmogorov-Smirnov distance to uniform, its p-value
     "by_group": [{"column": "channel", "level": ["shop", "web"],
                   "customers": [...], "actual": [...], "expected": [...]}, ...],
                              # means as in by_x, of the attributes that the model reads
     "reliability": [{"expected": .06, "actual": .07, "customers": 236}, ...],   # tenths by P(active)
     "tracking": TRACKING or null}

    SCORE = {"actual": 1882.0, "mean": 1573.0,     # totals; mean is forecast
             "lo", "hi", "inside": false,          # predictive interval at ``level``; null for rules
             "bias": -.164,
             "widened": {"lo", "hi", "inside",        # with the discrepancy learnt
                         "learnt_from": 0,            # from that many earlier origins,
                         "right": .5,                 # after which the model is right with that chance
                         "miss": {"log": -.2, "spread": .05} or null} or null,
                              # for later ones: ln(actual / mean), sd of the log of the model's own
                              # draws; families only
             "mae", "rmse", "msle", "correlation",    # over customers; msle is null for spend
             "crps",
             "coverage": {"50": .81, "80": .93, "90": .946, "95": .973}}
     # rules and learners fill what they can and leave null what they have no answer to

    TRACKING = {"week": ["1997-01-07", ...],       # last day of each whole week; the cut is one
                "calibration": 39,                 # that many of them are before or at the cut
                "actual": [...], "expected": [...], "lo": [...], "hi": [...],     # repeat purchases
                "cumulative_actual": [...], "cumulative_expected": [...],
                "cumulative_lo": [...], "cumulative_hi": [...]}    # of customers known at the cut;
                                                   # the interval is of the expectation

    CHOSEN = {"by": "crps",
              "path": [{"cut": "...", "family": "mbgnbd", "learnt_from": 0,
                        "purchases": SCORE, "spend": SCORE or null}, ...],
                              # each by the origins before it only; widened by this path's own misses
              "next": "bgnbd",                     # what all origins together would choose
              "mean_crps": {"bgnbd": .51, ...}}    # of purchases, over all origins

    RECORD = {"purchases": TOTALS, "spend": TOTALS or null, "verdict": VERDICT}
    TOTALS = {"origins": 6, "bias": [.42, .50, ...],              # by origin
              "mean_bias": .18, "worst_bias": .50, "sign_changes": 1,
              "inside": 2, "inside_widened": 6,                   # of ``origins``
              "discrepancy": {"right": .02,                       # for the next forecast, learnt from
                              "lo": .55, "hi": 1.8,               # all origins; the factor at ``level``
                              "prior": {"right": .5, "nu": 4, "scale": .2}}}
    VERDICT = {"verdict": "passed" | "caution" | "failed" | "not-assessed",
               "missed": 4, "missed_widened": 0, "origins": 6, "chance": .0001}
     # of purchases. chance: P(so many misses or more) were the raw intervals right.
     # failed: even the widened intervals miss too often; caution: the raw ones do, or a single origin
     # missed; not-assessed: fewer than 3 origins and none missed; passed: otherwise.

    LOO = {"rows": 1016, "customers": 2357,
           "families": [{"name": "mbgnbd", "elpd": -9585.2, "se": 180.1, "p": 4.1,
                         "difference": 0.0, "difference_se": 0.0,    # to the best, which stands first
                         "bad_k": 0, "worst_k": .31, "limit": .67}],
           "reason": ""}      # why there is nothing in "families", else empty

    DIAGNOSIS = {
     "cut": "1997-09-30", "family": "mbgnbd",
     "identification": [{"part": "purchase", "name": "kappa", "posterior_sd": .4, "prior_sd": 1.0,
                         "ratio": .4,    # sds on the unbounded scale (ln, logit); then free values
                         "median": 2.4, "maximum_likelihood": 2.5, "shift": .09}],
                         # shift in posterior sds, at most 99; both null where the model has
                         # covariates or cohorts
     "ridge": {"dropout": ["phi", "kappa"], "correlation": .6, "at_boundary": ["kappa"]} or null,
                              # at_boundary: maximum likelihood runs off there
     "independence": {"spearman": .206, "customers": 946} or null,
     "timing": {"k": 1.1, "lo": 1.0, "hi": 1.2, "customers": 480} or null,
                              # Wheat & Morrison (1990): 1 is Poisson, 2 and more is regular
     "early": {"until": "2009-12-21", "customers": 948, "usual": 39.0, "ratio": 8.1,   # weeks 1 to 3
               "weekly": [490, 299, 159],
               "rate": .107, "later_rate": .058,   # repeat purchases a customer and week at equal age
               "weeks": 13, "later_customers": 1500,
               "apart": false} or null,            # does the model fit them as a cohort of their own?
     "regime": {"before": .98, "after": .81, "ratio": .83, "lo": .92, "hi": 1.08,   # if nothing changed
                "weeks_before": 13, "weeks_after": 39} or null}
     # before, after: actual over expected repeat purchases in the last weeks of the calibration and
     # in the holdout; ratio = after / before
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np

from bayesseg import population
from bayesseg._types import OnProgress, Progress
from bayesseg.customers import Attributes, sampled
from bayesseg.errors import InputRejected, UsageError
from bayesseg.ingest import Purchases
from bayesseg.spec import ModelSpec, variant
from bayesseg.validation import metrics
from bayesseg.validation import origins as rolling
from bayesseg.validation.cut import Cut, score_cut
from bayesseg.validation.diagnosis import diagnosis
from bayesseg.validation.fits import PARTS
from bayesseg.validation.holdout import span
from bayesseg.validation.loo import loo

SCHEMA_VERSION = 1
DRAWS = 1000
SHORTEST_DAYS = 7
"""Horizon below which rolling origins say nothing of totals."""
CUSTOMERS = 100_000
"""Of more customers so many are drawn at random and validated; the note says so."""
_PARTS = {"purchases": "purchase", "spend": "spend"}


def validate(
    purchases: Purchases,
    spec: ModelSpec,
    *,
    attributes: Attributes | None = None,
    cut: date | None = None,
    origins: int | None = None,
    horizon_days: int | None = None,
    families: Sequence[str] = (),
    as_of: date | None = None,
    seed: int = 1,
    draws: int = DRAWS,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Fit before each cut, forecast, compare with what came; the document above.

    Args:
        purchases: the log.
        spec: the model; its parts ``purchase`` and, if there, ``spend`` are validated.
        attributes: static facts about customers, which a model with covariates reads. They are taken
            as known at each cut; learners see the same columns.
        cut: the last day the model may see. Exactly one of ``cut`` and ``origins`` is given.
        origins: so many cuts, a horizon apart, the last holdout ending with the data.
        horizon_days: length of each holdout. By default all that follows the ``cut``; for origins
            the history divided by ``origins`` + 2.
        families: further purchase families, with the priors of the shipped models.
        as_of: the last day observed, by default the last day of the data.
        seed: of every draw.
        draws: posterior draws used of each fit.
        on_progress: called before each cut.

    Raises:
        UsageError: the cuts do not fit into the data, or a family is unknown.
        InputRejected: no cut leaves customers enough to fit, or an attribute is missing.
    """
    if "purchase" not in spec.parts:
        raise UsageError(
            f"model {spec.name!r} forecasts nothing: it has no [purchase] part",
            fix="give --model retail, or another model of purchases",
        )
    columns = population.covariates(*(spec.parts[part] for part in PARTS if part in spec.parts))
    population.require(columns, attributes)
    names = tuple(dict.fromkeys((spec.parts["purchase"].family, *families)))
    for name in names:
        variant(spec, name)  # refuses unknown families before any work
    first, last = span(purchases, as_of)
    cuts, horizon = _cuts(first, last, cut, origins, horizon_days)
    drawn = sampled(purchases, CUSTOMERS, seed)
    scored, skipped = [], []
    for done, one in enumerate(cuts):
        if on_progress:
            on_progress(Progress("validate", done, len(cuts), one.isoformat()))
        try:
            scored.append(
                score_cut(
                    drawn,
                    spec,
                    names,
                    one,
                    horizon,
                    draws=draws,
                    seed=seed,
                    as_of=as_of,
                    attributes=attributes if columns else None,
                )
            )
        except InputRejected as error:
            if len(cuts) == 1:
                raise
            skipped.append({"cut": one.isoformat(), "reason": error.message})
    if not scored:
        raise InputRejected(
            f"no cut leaves enough to fit: {skipped[-1]['reason']}",
            fix="ask for fewer origins, or a shorter horizon",
            code="no_origin",
        )
    if on_progress:
        on_progress(Progress("validate", len(cuts), len(cuts)))
    records, chosen = _judged(scored, names)
    latest = scored[-1]
    tracked = latest.document["rows"][0]["tracking"]
    document: dict[str, Any] = _plain(
        {
            "schema_version": SCHEMA_VERSION,
            "model": spec.name,
            "time_unit": spec.time_unit,
            "seed": seed,
            "engine": "laplace",
            "draws": draws,
            "level": metrics.LEVEL,
            "horizon_days": horizon,
            "data": {
                "first": first.isoformat(),
                "last": last.isoformat(),
                "days": (last - first).days + 1,
                "customers": purchases.provenance["ids"],
            },
            "families": names,
            "attributes": columns,
            "origins": [one.document for one in scored],
            "skipped": skipped,
            "chosen": chosen,
            "forecasts": records,
            "loo": loo(latest.held, spec, latest.fits) if len(names) > 1 else None,
            "diagnosis": diagnosis(drawn, latest.held, spec, latest.fits[names[0]], tracked),
            "notes": _notes(drawn, scored),
        }
    )
    return document


def _cuts(
    first: date, last: date, cut: date | None, count: int | None, horizon_days: int | None
) -> tuple[list[date], int]:
    """The cuts, oldest first, and the horizon."""
    if (cut is None) == (count is None):
        raise UsageError(
            "say where to cut: either one day or a number of origins",
            fix="give --origins 6, or --cut with the last day the model may see",
        )
    if cut is not None:
        if not first <= cut < last:
            raise UsageError(
                f"the cut {cut} is not inside the data, {first} to {last}",
                fix="choose a day with purchases before and after it",
            )
        return [cut], horizon_days or (last - cut).days
    assert count is not None
    if count < 2:
        raise UsageError(
            f"--origins must be 2 or more, not {count}",
            fix="give --cut for a single one",
        )
    horizon = horizon_days or (last - first).days // (count + 2)
    if horizon < SHORTEST_DAYS or first + timedelta(days=count * horizon) >= last:
        most = (last - first).days // max(horizon, SHORTEST_DAYS) - 1
        raise UsageError(
            f"{count} origins of {horizon} days need more than the {(last - first).days + 1} days "
            "of the data",
            fix=f"ask for {most} origins or a shorter horizon"
            if most > 0
            else "shorten the horizon",
        )
    return [last - timedelta(days=k * horizon) for k in range(count, 0, -1)], horizon


def _judged(
    scored: Sequence[Cut], names: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """``forecasts`` and ``chosen``; widens every total of ``scored`` on the way.

    The record of the nested choice takes at each origin the row of the family that the origins before
    it would have chosen, and is widened by its own past misses.
    """
    by_family = {
        name: [next(r for r in one.document["rows"] if r["name"] == name) for one in scored]
        for name in names
    }
    records = {}
    for name, rows in by_family.items():
        _widen(rows, [one.totals[name] for one in scored])
        records[name] = _record(rows)
    if len(names) < 2:
        return records, None
    crps = [
        {name: by_family[name][i]["purchases"]["crps"] for name in names}
        for i in range(len(scored))
    ]
    *path, following = rolling.path(crps, names[0])
    rows = [
        {part: dict(score) if (score := by_family[name][i][part]) else None for part in _PARTS}
        for i, name in enumerate(path)
    ]
    _widen(rows, [one.totals[name] for one, name in zip(scored, path, strict=True)])
    records["chosen"] = _record(rows)
    chosen = {
        "by": "crps",
        "path": [
            {"cut": one.document["cut"], "family": name, "learnt_from": i, **rows[i]}
            for i, (one, name) in enumerate(zip(scored, path, strict=True))
        ],
        "next": following,
        "mean_crps": rolling.mean_scores(crps),
    }
    return records, chosen


def _widen(rows: Sequence[dict[str, Any]], totals: Sequence[Mapping[str, Any]]) -> None:
    for key, part in _PARTS.items():
        past: list[dict[str, Any]] = []
        for row, drawn in zip(rows, totals, strict=True):
            score = row[key]
            if score is None:
                continue
            learnt = rolling.misses(past)
            score["widened"] = rolling.widened(score, drawn[part], learnt, _least(row, key))
            past.append(score)


def _least(row: Mapping[str, Any], key: str) -> float:
    """Half a purchase, or what it is worth; 0 where that does not exist."""
    means = row[key]["mean"], row["purchases"]["mean"]
    return 0.5 if key == "purchases" else 0.5 * means[0] / means[1] if all(means) else 0.0


def _record(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    totals = {
        key: rolling.totals_of([row[key] for row in rows]) if rows[0][key] else None
        for key in _PARTS
    }
    return {**totals, "verdict": rolling.verdict(totals["purchases"] or {})}


def _notes(drawn: Purchases, scored: Sequence[Cut]) -> list[str]:
    notes = []
    if share := drawn.provenance.get("share"):
        notes.append(
            f"fits, forecasts and what came are of {drawn.provenance['ids']:,} customers drawn at "
            f"random, {share:.1%} of all"
        )
    return notes + [
        f"from {one.held.cut}: forecasts and what came are of {len(one.held.scored):,} customers "
        f"drawn at random from the {len(one.held.known):,} known; the fit used all of these"
        for one in scored
        if len(one.held.scored) < len(one.held.known)
    ]


def _plain(value: Any) -> Any:
    """Plain JSON: NumPy scalars become numbers, numbers that are not finite become null."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value
