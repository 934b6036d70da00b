"""Documents of ``bayesseg validate`` as ``bayesseg/validation/document.py`` lays them out."""

import itertools
import math
from copy import deepcopy

import numpy as np
import pandas as pd

CDNOW = {"bgnbd": 1655.0, "mbgnbd": 1573.0, "paretonbd": 1642.0}
TITLES = {"bgnbd": "BG/NBD", "mbgnbd": "MBG/NBD", "paretonbd": "Pareto/NBD"}


def shop(customers, *, days, seed=1, until=60, factor=1.0):
    """A purchase log of BG/NBD customers who come in the first ``until`` days, and who is of the web.

    Two fifths are; they buy ``factor`` times as often.
    """
    rng = np.random.default_rng(seed)
    web, rows = rng.random(customers) < 0.4, []
    for i in range(customers):
        rate = rng.gamma(0.8, 1 / 60) * (factor if web[i] else 1.0)
        drop, day = rng.beta(1.0, 4.0), rng.integers(0, until)
        rows.append((f"c{i:04}", int(day)))
        while rng.random() >= drop:
            day += rng.exponential(1 / rate)
            if day > days:
                break
            rows.append((f"c{i:04}", int(day)))
    frame = pd.DataFrame(rows, columns=["customer_id", "day"]).drop_duplicates()
    frame["date"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(frame["day"], unit="D")
    frame["amount"] = rng.gamma(6.0, 5.0, len(frame)).round(2)
    return frame[["customer_id", "date", "amount"]], web


def score(actual, mean, half, **more):
    lo, hi = mean - half, mean + half
    return {
        "actual": actual,
        "mean": mean,
        "lo": lo,
        "hi": hi,
        "inside": lo <= actual <= hi,
        "bias": mean / actual - 1,
        "widened": {
            "lo": mean - 2 * half,
            "hi": mean + 2 * half,
            "inside": mean - 2 * half <= actual <= mean + 2 * half,
            "right": 0.5,
            "learnt_from": 0,
            "miss": {"log": math.log(actual / mean), "spread": half / mean / 2},
        },
        "mae": 0.76,
        "rmse": 1.6,
        "msle": 0.23,
        "correlation": 0.63,
        "crps": 0.51,
        "coverage": {"50": 0.81, "80": 0.93, "90": 0.95, "95": 0.97},
        **more,
    }


def tracking():
    weeks = [f"1997-{m:02}-{d:02}" for m in range(1, 13) for d in (7, 14, 21, 28)]
    expected = [30.0 - 0.3 * i for i in range(len(weeks))]
    actual = [value + (-1) ** i * 4 for i, value in enumerate(expected)]

    def summed(values):
        return [sum(values[: i + 1]) for i in range(len(values))]

    low, high = [v - 3 for v in expected], [v + 3 for v in expected]
    return {
        "week": weeks,
        "calibration": 24,
        "actual": actual,
        "expected": expected,
        "lo": low,
        "hi": high,
        "cumulative_actual": summed(actual),
        "cumulative_expected": summed(expected),
        "cumulative_lo": summed(low),
        "cumulative_hi": summed(high),
    }


def row(name, title, kind, purchases, *, spend=None, active=None, detail=True):
    return {
        "name": name,
        "title": title,
        "kind": kind,
        "note": "",
        "parameters": None,
        "purchases": purchases,
        "spend": spend,
        "active": active
        or {
            "expected": 566.0,
            "brier": 0.161,
            "log_loss": 0.505,
            "auc": 0.76,
            "top_decile_share": 0.475,
            "top_decile_lift": 2.9,
        },
        "by_x": {
            "x": ["0", "1", "2+"],
            "customers": [1411, 439, 507],
            "actual": [0.24, 0.7, 2.9],
            "expected": [0.2, 0.6, 2.7],
        }
        if detail
        else None,
        "by_group": [] if detail else None,
        "pit": {
            "edges": [i / 10 for i in range(11)],
            "counts": [236] * 10,
            "ks": 0.01,
            "p": 0.9,
        }
        if detail
        else None,
        "reliability": [
            {"expected": i / 10 + 0.05, "actual": i / 10 + 0.06, "customers": 236}
            for i in range(10)
        ]
        if detail
        else None,
        "tracking": tracking() if detail and kind == "family" else None,
    }


RULE = dict.fromkeys(("lo", "hi", "inside", "widened", "crps", "coverage"))
LEARNER = {**dict.fromkeys(score(1, 1, 1)), "actual": 1882.0}


def origin(cut, until, biases, *, days=273):
    """One origin; ``biases`` by family, of 1,882 purchases that came."""
    rows = [
        row(
            name,
            TITLES[name],
            "family",
            score(1882.0, 1882.0 * (1 + bias), 190.0),
            spend=score(66000.0, 66000.0 * (1 + bias), 9000.0, msle=None),
        )
        for name, bias in biases.items()
    ]
    rows += [
        row("rate", "x/T", "benchmark", score(1882.0, 2930.0, 0, **RULE | {"mae": 1.02})),
        row("logistic", "logistic regression", "learner", LEARNER, detail=False),
    ]
    return {
        "cut": cut,
        "until": until,
        "horizon_days": days,
        "customers": 2357,
        "scored": 2357,
        "actual": {"purchases": 1882, "spend": 66000.0, "active": 684},
        "rows": rows,
    }


def record(found, name, verdict):
    def of(what):
        scores = [next(r for r in o["rows"] if r["name"] == name)[what] for o in found]
        bias = [s["bias"] for s in scores]
        return {
            "origins": len(found),
            "bias": bias,
            "mean_bias": sum(bias) / len(bias),
            "worst_bias": max(bias, key=abs),
            "sign_changes": sum(a * b < 0 for a, b in itertools.pairwise(bias)),
            "inside": sum(s["inside"] for s in scores),
            "inside_widened": sum(s["widened"]["inside"] for s in scores),
            "discrepancy": {
                "right": 0.02,
                "lo": 0.55,
                "hi": 1.8,
                "prior": {"right": 0.5, "nu": 4, "scale": 0.2},
            },
        }

    bought = of("purchases")
    missed = bought["origins"] - bought["inside"]
    return {
        "purchases": bought,
        "spend": of("spend"),
        "verdict": {
            "verdict": verdict,
            "missed": missed,
            "missed_widened": bought["origins"] - bought["inside_widened"],
            "origins": bought["origins"],
            "chance": 0.01,
        },
    }


def diagnosis(**more):
    """Nothing to say, but what ``more`` replaces."""
    return {
        "cut": "1997-09-30",
        "family": "mbgnbd",
        "identification": [
            {
                "part": "purchase",
                "name": "kappa",
                "posterior_sd": 0.4,
                "prior_sd": 1.0,
                "ratio": 0.4,
                "median": 2.4,
                "maximum_likelihood": 2.5,
                "shift": 0.09,
            }
        ],
        "ridge": {"dropout": ["phi", "kappa"], "correlation": 0.6, "at_boundary": []},
        "independence": {"spearman": 0.02, "customers": 946},
        "timing": {"k": 1.1, "lo": 0.95, "hi": 1.2, "customers": 480},
        "early": None,
        "regime": {
            "before": 0.98,
            "after": 0.97,
            "ratio": 0.99,
            "lo": 0.92,
            "hi": 1.08,
            "weeks_before": 13,
            "weeks_after": 39,
        },
        **more,
    }


def document(biases=(-0.164,), *, families=("mbgnbd", "bgnbd"), verdict="caution", **more):
    """A document whose first family misses each origin's total by ``biases``."""
    cuts = [f"{1998 - len(biases) + i}-09-30" for i in range(len(biases))]
    found = [
        origin(cut, f"{int(cut[:4]) + 1}-06-30", dict.fromkeys(families, bias))
        for cut, bias in zip(cuts, biases, strict=True)
    ]
    forecasts = {name: record(found, name, verdict) for name in families}
    several = len(families) > 1
    if several:
        forecasts["chosen"] = record(found, families[0], verdict)
    return deepcopy(
        {
            "schema_version": 1,
            "model": "retail",
            "time_unit": "week",
            "seed": 1,
            "engine": "laplace",
            "draws": 1000,
            "level": 0.95,
            "horizon_days": 273,
            "data": {"first": "1997-01-01", "last": "1998-06-30", "days": 545, "customers": 2357},
            "families": list(families),
            "attributes": [],
            "origins": found,
            "skipped": [],
            "chosen": {
                "by": "crps",
                "path": [
                    {
                        "cut": one["cut"],
                        "family": families[0],
                        "learnt_from": i,
                        "purchases": one["rows"][0]["purchases"],
                        "spend": one["rows"][0]["spend"],
                    }
                    for i, one in enumerate(found)
                ],
                "next": families[0],
                "mean_crps": dict.fromkeys(families, 0.51),
            }
            if several
            else None,
            "forecasts": forecasts,
            "loo": {
                "rows": 1016,
                "customers": 2357,
                "families": [
                    {
                        "name": name,
                        "elpd": -9585.2 - 12.8 * i,
                        "se": 180.1,
                        "p": 4.1,
                        "difference": -12.8 * i,
                        "difference_se": 5.0 * i,
                        "bad_k": 0,
                        "worst_k": 0.31,
                        "limit": 0.67,
                    }
                    for i, name in enumerate(families)
                ],
                "reason": "",
            }
            if several
            else None,
            "diagnosis": diagnosis(),
            "notes": [],
            **more,
        }
    )
