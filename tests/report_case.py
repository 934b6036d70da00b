"""A posterior near the published CDNOW one, drawn from normals: fast, for tests of what shows it."""

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd

from bayesseg._types import Clock, Draws
from bayesseg.aggregates import training_aggregates
from bayesseg.customers import Attributes, Customers
from bayesseg.families import FAMILIES
from bayesseg.features import apply, learn, raw_columns
from bayesseg.gates import gates, overall, verdicts
from bayesseg.posterior import Posterior, save
from bayesseg.priors import scales_of
from bayesseg.spec import load_spec, parse_spec

SHAPE = (4, 1000)
AS_OF = date(1998, 6, 30)
REFERENCE = {
    "mbgnbd": {"r": 0.533, "alpha": 6.27, "a": 0.927, "b": 1.767},
    "bgnbd": {"r": 0.244, "alpha": 4.46, "a": 0.827, "b": 2.582},
    "gammagamma": {"p": 6.45, "q": 3.75, "v": 15.75},
}
MLE = {
    "purchase": {"r": 0.525, "alpha": 6.18, "a": 0.891, "b": 1.614, "log_likelihood": -9582.136},
    "spend": {"p": 6.2496, "q": 3.7442, "v": 15.4435, "log_likelihood": -4055.918},
}
WEEKS = {
    "week": [f"1997-09-{day:02}" for day in (2, 9, 16, 23, 30)] + ["1997-10-07"],
    "calibration": 5,
    "actual": [None, 31, 28, 40, 25, 33],
    "cumulative_actual": [None, 38, 66, 106, 131, 164],
    **{key: [8.0, 29.5, 30.5, 31.0, 30.0, 29.0] for key in ("expected", "lo", "hi")},
    **{
        f"cumulative_{key}": [x + off for x in (8.0, 37.5, 68.0, 99.0, 129.0, 158.0)]
        for key, off in (("expected", 0.0), ("lo", -2.5), ("hi", 2.5))
    },
}
SINGLE = {
    "customers": 2000,
    "pit": [180.0, 190.0, 205.0, 211.0, 197.0, 198.0, 198.0, 203.0, 184.0, 234.0],
    "reliability": [
        {"expected": 0.06, "actual": 0.1, "customers": 200},
        {"expected": 0.65, "actual": 0.7, "customers": 210},
    ],
}
BACKTESTS = [
    {"part": "purchase", "cut": cut, "horizon_days": 136, "customers": 2357}
    | {"actual": came, "mean": said, "lo": said - 60, "hi": said + 60, "bias": said / came - 1}
    | {"single": SINGLE, "weeks": WEEKS}
    for cut, came, said in (("1997-09-30", 812.0, 690.0), ("1998-02-14", 621.0, 556.0))
] + [
    {"part": "spend", "cut": "1997-09-30", "horizon_days": 136, "customers": 2357}
    | {"actual": 29800.0, "mean": 25100.0, "lo": 20100.0, "hi": 30600.0, "bias": -0.158}
]


def purchases(path):
    """CDNOW sample, one row a purchase day: customer_id, date, amount."""
    rows = pd.read_csv(path, sep=r"\s+", header=None, usecols=[1, 2, 4], dtype={1: str})
    rows.columns = ["customer_id", "date", "amount"]
    rows["date"] = pd.to_datetime(rows["date"].astype(str))
    return rows.groupby(["customer_id", "date"], as_index=False)["amount"].sum()


def customers(path):
    """The summary of CDNOW by pandas, with the provenance that ingest would give."""
    days = purchases(path).sort_values(["customer_id", "date"])
    first = days.groupby("customer_id")["date"].transform("min")
    repeat = days[days["date"] > first]
    by = days.groupby("customer_id")["date"]
    ids = by.min().index
    week = days["date"] - pd.to_timedelta(days["date"].dt.day_of_week, unit="D")
    weekly = pd.DataFrame(
        {"all": week.value_counts(), "new": week[days["date"] == first].value_counts()}
    )
    weekly = weekly.sort_index().fillna(0).astype(int)
    return Customers(
        ids=ids.to_numpy(dtype=object),
        x=(by.size() - 1).to_numpy(np.int64),
        t_x=(by.max() - by.min()).dt.days.to_numpy(np.int64),
        t_end=(pd.Timestamp(AS_OF) - by.min()).dt.days.to_numpy(np.int64),
        x_paid=_per(repeat[repeat["amount"] > 0].groupby("customer_id").size(), ids).astype(
            np.int64
        ),
        repeat_spend=_per(repeat.groupby("customer_id")["amount"].sum(), ids),
        first_spend=_per(days[days["date"] == first].groupby("customer_id")["amount"].sum(), ids),
        n_orders=by.size().to_numpy(np.int64),
        as_of=AS_OF,
        provenance={
            "rows": {"in": 6930, "used": 6919, "excluded": {"id_missing": 8, "after_as_of": 3}},
            "findings": [
                {"message": "8 purchases cost nothing; they count as purchases, not as spend"}
            ],
            "weekly": {
                "week": [day.date().isoformat() for day in weekly.index],
                "purchase_days": weekly["all"].tolist(),
                "new_customers": weekly["new"].tolist(),
            },
        },
    )


def _per(series, ids):
    return series.reindex(ids).fillna(0).to_numpy(float)


def around(family, rng):
    """Draws of the free parameters, 6 % around the reference, with NUTS statistics."""
    free = FAMILIES[family].underive({k: np.float64(v) for k, v in REFERENCE[family].items()})
    normal = {k: rng.normal(size=SHAPE) for k in free}
    values = {k: float(v) * np.exp(0.06 * normal[k]) for k, v in free.items()}
    stats = {
        "log_likelihood": -0.5 * sum(z**2 for z in normal.values()),
        "log_prior": -0.002 * sum(z**2 for z in normal.values()),
        "diverging": np.zeros(SHAPE),
        "energy": rng.normal(size=SHAPE),
        "depth": np.full(SHAPE, 3.0),
    }
    return Draws(values, stats, {"engine": "nuts"})


def mixture(spec, data, rng):
    """Draws around the cells of a k-means, and the learned features."""
    from scipy.cluster.vq import kmeans2

    raw = raw_columns(data, spec.features)
    state = learn(spec.features, raw)
    matrix = apply(state, raw)
    count, numbers = spec.parts["segments"].options["components"], state.numbers
    _, label = kmeans2(np.nan_to_num(matrix), count, minit="++", seed=3)
    order = np.argsort(-np.bincount(label, minlength=count))
    cells = [matrix[label == k] for k in order]
    centre = np.array([np.nan_to_num(np.nanmean(c[:, :numbers], axis=0)) for c in cells])
    spread = np.array([np.nan_to_num(np.nanvar(c[:, :numbers], axis=0), nan=1.0) for c in cells])
    share = np.array([len(c) / len(matrix) for c in cells])
    weights = rng.dirichlet(share * 800, size=SHAPE)
    values = {
        "weights": weights,
        "mean": centre + 0.03 * rng.normal(size=(*SHAPE, *centre.shape)),
        "variance": (spread + 0.05) * np.exp(0.05 * rng.normal(size=(*SHAPE, *spread.shape))),
    }
    if matrix.shape[1] > numbers:
        chance = np.array([c[:, numbers:].mean(axis=0) for c in cells]).clip(0.01, 0.99)
        values["binary"] = np.clip(
            chance + 0.005 * rng.normal(size=(*SHAPE, *chance.shape)), 1e-3, 1 - 1e-3
        )
    info = {
        "modes": {"missed_nats": 0.0, "distinct_between_chains": 1},
        "relabel": {"disagreement": 0.004},
        "overlap": {"max_bhattacharyya": 0.4},
        "rows": len(matrix),
    }
    return Draws(values, {"log_likelihood": rng.normal(size=SHAPE)}, info), state


def posterior(data, model="retail", seed=1):
    """A judged posterior of ``model`` on these customers (or attributes), without sampling."""
    rng = np.random.default_rng(seed)
    spec = parse_spec(model) if "\n" in model else load_spec(model)
    parts = {p: around(spec.parts[p].family, rng) for p in spec.parts if p != "segments"}
    state = None
    if "segments" in spec.parts:
        parts["segments"], state = mixture(spec, data, rng)
    bought = isinstance(data, Customers)
    scales = scales_of(data.columns(spec.unit_days)) if bought else {}
    backtests = BACKTESTS if bought else []
    facts = {
        "scales": scales,
        "spearman": 0.2059,
        "backtests": backtests,
        "customers": len(data.ids),
    }
    judged = gates(spec, parts, facts)
    by_part = verdicts(judged)
    count = spec.parts["segments"].options["components"] if state else 0
    ids = [f"S{k}" for k in range(1, count + 1)]
    names = ["hibernating", "at risk", "loyal", "champions", "segment 5"][:count]
    manifest = {
        "schema_version": 1,
        "name": spec.name,
        "model_id": "5a0f" * 16,
        "fingerprint": "c0ffee" * 10,
        "seed": seed,
        "time_unit": spec.time_unit,
        "as_of": data.as_of.isoformat() if bought else None,
        "currency": None,
        "created_at": "2026-01-05T10:00:00+00:00",
        "versions": {"bayesseg": "0.1.0", "numpy": np.__version__},
        "verdict": overall(by_part),
        "verdicts": by_part,
        "gates": [vars_of(one) for one in judged],
        "facts": facts,
        "scales": scales,
        "paid_share": 0.997,
        "customers": {"all": len(data.ids)},
        "trained_on": {"max_x": 50, "max_t_end": 600, "early_until": None},
        "accounting": dict(data.provenance),
        "segments": {"ids": ids, "names": dict(zip(ids, names, strict=True))},
        "info": {},
    }
    summary = training_aggregates(data, spec, parts, scales, seed, None, state)
    baseline = {part: MLE[part] for part in parts if part in MLE}
    return Posterior(
        spec, state, parts, manifest, summary | {"baseline": baseline, "backtests": backtests}
    )


def vars_of(one):
    return {name: getattr(one, name) for name in one.__slots__}


def failed(good):
    """The same run with the spend part failed: one chain of p stopped half way."""
    values = {name: array.copy() for name, array in good.parts["spend"].values.items()}
    values["p"][0, 500:] = np.nan
    parts = dict(good.parts) | {"spend": replace(good.parts["spend"], values=values)}
    by_part = dict(good.manifest["verdicts"])
    by_part["spend"] = {
        "computation": "failed",
        "forecast": "not-assessed",
        "reasons": ["spend: draws are incomplete (not finite: p)"],
    }
    return replace(
        good, parts=parts, manifest=good.manifest | {"verdict": "failed", "verdicts": by_part}
    )


def clients(rows=400):
    """Attributes of two kinds of clients, one value missing."""
    rng = np.random.default_rng(5)
    kind = np.arange(rows) % 2
    columns = {
        "age": rng.normal(30 + 25 * kind, 4.0),
        "visits": rng.normal(4 + 8 * kind, 1.0),
        "basket": rng.normal(20 + 5 * kind, 2.0),
    }
    columns["visits"][3] = np.nan
    return Attributes(np.array([f"c{i:04}" for i in range(rows)], dtype=object), columns)


def draws(values):
    return Draws(values, {}, {})


def clock(horizon):
    return Clock(horizon, horizon, 0.0)


def saved(posterior, path):
    """The posterior as a run on disk, with what only a real fit has to say."""
    parts = dict.fromkeys(part for part in posterior.parts if part != "segments")
    told = posterior.manifest["accounting"] | {"columns": {}, "dialect": {}}
    rest = {"population": parts, "seconds": {}, "state": "complete", "accounting": told}
    return save(replace(posterior, manifest=posterior.manifest | rest), path)
