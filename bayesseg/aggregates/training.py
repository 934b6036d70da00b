"""The training data, and the model beside them: histograms, rootogram, weeks, priors. L7.

Histogram cells below 11 customers are merged with a neighbour, the smallest and largest values share
open outer cells, and a weekly total below 11 is hidden.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt

from bayesseg import _weighted, population, priors
from bayesseg._types import SMALLEST, Array, Clock, Draws, Family, IntArray
from bayesseg.aggregates.cells import LEVEL, merged
from bayesseg.aggregates.segments import segment_aggregates
from bayesseg.customers import Attributes, Customers
from bayesseg.families import FAMILIES
from bayesseg.features import FeatureState, raw_columns
from bayesseg.posterior import thinned
from bayesseg.priors import Scales
from bayesseg.spec import ModelSpec, PartSpec

DRAWS = 200
BINS = 8
"""Bins of the rootogram: 0 to 6 repeat purchases, and 7 or more."""
_BUDGET = 2_000_000  # simulated customers in all, which bounds the time of the rootogram
_FEWEST_DRAWS = 20
_PRIOR_DRAWS = 20_000


def training_aggregates(
    data: Customers | Attributes,
    spec: ModelSpec,
    parts: Mapping[str, Draws],
    scales: Scales,
    seed: int,
    groups: Mapping[str, population.State] | None = None,
    features: FeatureState | None = None,
) -> dict[str, Any]:
    """Everything ``summary.json`` says of the data and of the posterior beside its prior.

    ``groups`` is what was learned of the groups of each part, ``features`` of those of the segments.

    Returns:
        ``customers`` (count), ``histograms`` by quantity, ``priors`` by part; for purchases, where no
        draw has a hole, ``rootogram`` and ``weekly``; for segments ``segments`` (see
        ``segment_aggregates``). JSON-able.
    """
    learned = groups or {}
    found: dict[str, Any] = {
        "customers": data.total if isinstance(data, Customers) else len(data),
        "smallest_cell": SMALLEST,
        "histograms": _histograms(data),
        "priors": {
            part: against_prior(own, parts[part], scales, seed, learned.get(part))
            for part, own in spec.parts.items()
            if part in parts and FAMILIES[own.family].textbook
        },
    }
    if isinstance(data, Customers) and "purchase" in parts and _whole(parts["purchase"]):
        own = spec.parts["purchase"]
        family, state = FAMILIES[own.family], learned.get("purchase")
        group = population.groups(own, state, data)
        thetas = population.parameters(own, state, thinned(parts["purchase"], DRAWS))
        found["rootogram"] = rootogram(family, thetas, group, data, spec.unit_days, seed)
        found["weekly"] = weekly_repeats(family, thetas, group, data, spec.unit_days)
    if features is not None:
        raw = raw_columns(data, spec.features)
        found["segments"] = segment_aggregates(parts["segments"], features, raw)
    return found


def _whole(draws: Draws) -> bool:
    return all(np.isfinite(values).all() for values in draws.values.values())


def histogram(
    values: npt.ArrayLike, edges: npt.ArrayLike, weights: npt.ArrayLike = _weighted.ONE
) -> dict[str, Any] | None:
    """Counts between ``edges``, small cells merged; the first and last cell are open outwards.

    ``weights`` is how many customers a value stands for.
    """
    given = np.asarray(values, dtype=float)
    finite = np.isfinite(given)
    each = np.broadcast_to(np.asarray(weights), given.shape)
    known, own = _weighted.collapsed(given[finite], each[finite])
    at = np.asarray(edges, dtype=float)
    counts, _ = np.histogram(np.clip(known, at[0], at[-1]), at, weights=own)
    groups = merged(counts)
    if not groups:
        return None
    return {
        "edges": [float(at[group.start]) for group in groups] + [float(at[-1])],
        "counts": [int(counts[group].sum()) for group in groups],
        "missing": int(each[~finite].sum()),
        "mean": _weighted.mean(known, own),
        "median": float(_weighted.quantiles(known, 0.5, own)),
    }


def _edges(
    values: npt.NDArray[Any], weights: npt.NDArray[Any], *, whole: bool
) -> npt.NDArray[Any] | None:
    """About 30 equal bins between the 1st and 99th percentile, whole ones for whole numbers."""
    finite = np.isfinite(values)
    if weights[finite].sum() < SMALLEST:
        return None
    low, high = _weighted.quantiles(values[finite], [0.01, 0.99], weights[finite]).tolist()
    if whole:
        low, step = np.floor(low), max(1.0, np.ceil((high - low) / 30))
        return np.arange(low, high + 2 * step, step)
    return np.linspace(low, high if high > low else low + 1, 31)


def _histograms(data: Customers | Attributes) -> dict[str, Any]:
    weights = np.broadcast_to(_weighted.ONE, len(data))
    if isinstance(data, Customers):
        paid, weights = data.x_paid > 0, data.counts
        spend = np.where(paid, data.repeat_spend / np.maximum(data.x_paid, 1), np.nan)
        quantities = {
            "frequency": (data.x.astype(float), True),
            "recency": (data.t_x.astype(float), True),
            "T": (data.t_end.astype(float), True),
            "spend": (spend, False),
        }
    else:
        quantities = {
            name: (values, False)
            for name, values in data.columns.items()
            if values.dtype.kind == "f"
        }
    found = {}
    for name, (values, whole) in quantities.items():
        edges = _edges(values, weights, whole=whole)
        cells = None if edges is None else histogram(values, edges, weights)
        if cells is not None:
            found[name] = cells
    return found


def rootogram(
    family: Family,
    thetas: Sequence[Mapping[str, Array]],
    group: IntArray,
    customers: Customers,
    unit_days: float,
    seed: int,
) -> dict[str, Any] | None:
    """Customers by number of repeat purchases: counted, and predicted at their own T.

    Posterior predictive: every draw simulates all customers anew (Kleiber & Zeileis 2016). Bands are
    central 90 % over draws. Above 100,000 customers every draw simulates so many of them, evenly over
    T, and counts are scaled up: bands are then too wide rather than too narrow. ``simulated`` says how
    many. ``thetas`` holds the parameters of each group, (S,); ``group`` is that of each customer.
    """
    simulate = family.simulate
    assert simulate is not None
    size = min(customers.total, _BUDGET // _FEWEST_DRAWS)
    who = np.argsort(customers.t_end, kind="stable")
    places = np.linspace(0, customers.total - 1, size).astype(np.int64)
    who = who[np.searchsorted(np.cumsum(customers.counts[who]), places, side="right")]
    members = [
        (g, customers.t_end[who[group[who] == g]] / unit_days) for g in np.unique(group[who])
    ]
    draws = len(next(iter(thetas[0].values())))
    used = np.linspace(0, draws - 1, min(draws, max(_FEWEST_DRAWS, _BUDGET // size))).astype(int)
    rng = np.random.default_rng([seed, 1])

    predicted = np.zeros((len(used), BINS))
    for row, s in zip(predicted, used, strict=True):
        for g, T in members:
            theta = {name: float(values[s]) for name, values in thetas[g].items()}
            row += _binned(simulate(theta, {"T": T}, rng)["x"])
    predicted *= customers.total / size
    observed = _binned(customers.x, customers.counts)
    groups = merged(observed)
    if not groups:
        return None
    cells = np.array([predicted[:, group].sum(axis=1) for group in groups])
    low, high = np.quantile(cells, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1)
    return {
        "bins": [_label(group) for group in groups],
        "observed": [int(observed[group].sum()) for group in groups],
        "mean": cells.mean(axis=1).tolist(),
        "lo": low.tolist(),
        "hi": high.tolist(),
        "draws": len(used),
        "simulated": size,
    }


def _binned(x: npt.NDArray[Any], counts: IntArray | None = None) -> IntArray:
    cells = np.minimum(np.asarray(x).astype(np.int64), BINS - 1)
    return np.bincount(cells, weights=counts, minlength=BINS).astype(np.int64)


def _label(group: slice) -> str:
    if group.stop == BINS:
        return f"{group.start}+"
    return str(group.start) if group.stop - group.start == 1 else f"{group.start}–{group.stop - 1}"


def weekly_repeats(
    family: Family,
    thetas: Sequence[Mapping[str, Array]],
    group: IntArray,
    customers: Customers,
    unit_days: float,
) -> dict[str, Any] | None:
    """Repeat purchase days a calendar week: counted (from ingest) and expected by the model.

    The expectation is that of new customers entering on the days they did:
    sum over customers of E[X(t - start)], per draw; intervals are of the expectation.
    """
    weekly = customers.provenance.get("weekly")
    if not weekly:
        return None
    start = np.array([date.fromisoformat(day).toordinal() for day in weekly["week"]])
    count = np.array(weekly["purchase_days"]) - np.array(weekly["new_customers"])
    borders = np.append(start, start[-1] + 7)
    cumulative = np.zeros((len(next(iter(thetas[0].values()))), len(borders)))
    for g in np.unique(group):
        ages, members = _weighted.collapsed(
            customers.t_end[group == g], customers.counts[group == g]
        )
        since = np.maximum(borders[:, None] - (customers.as_of.toordinal() - ages)[None, :], 0)
        cumulative += _purchases_of_new(family, thetas[g], since, members, unit_days)
    expected = np.diff(cumulative, axis=1)
    whole = borders[1:] <= customers.as_of.toordinal() + 1
    expected, count, start = expected[:, whole], count[whole], start[whole]
    low, high = np.quantile(expected, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return {
        "week": [date.fromordinal(int(day)).isoformat() for day in start],
        "actual": [int(n) if n >= SMALLEST else None for n in count],
        "mean": expected.mean(axis=0).tolist(),
        "lo": low.tolist(),
        "hi": high.tolist(),
    }


def _purchases_of_new(
    family: Family, theta: Mapping[str, Array], days: IntArray, members: IntArray, unit_days: float
) -> Array:
    """Σ members · E[X(t)] of new customers of the ages ``days`` (borders, ages): (S, borders).

    Evaluated at about 60 ages and interpolated: the curve is smooth and concave.
    """
    alive = family.quantities["p_alive"].fn
    bought = family.quantities["purchases_if_alive"].fn
    nobody = {name: np.zeros(1) for name in ("x", "t_x", "T")}

    def expected(t: float) -> Array:
        clock = Clock(t / unit_days, t / unit_days, 0.0)
        return (alive(theta, nobody, clock) * bought(theta, nobody, clock))[:, 0]

    grid = np.unique(np.concatenate([[0, 1, 3], np.linspace(0, max(int(days.max()), 1), 60)]))
    curve = np.column_stack([expected(float(t)) for t in grid])
    # interpolation is linear in the curve: one weight a border and grid point serves all draws
    hats = [np.interp(days, grid, hat) @ members.astype(float) for hat in np.eye(len(grid))]
    return np.asarray(curve @ np.stack(hats))


def against_prior(
    own: PartSpec, draws: Draws, scales: Scales, seed: int, state: population.State = None
) -> list[dict[str, Any]]:
    """Each scalar parameter beside its prior: the free ones, effects and cohorts, the textbook ones.

    ``quantile`` is the prior probability below the posterior mean; of a textbook parameter it is
    counted over 20,000 draws from the prior. Textbook parameters are those without any effect (their
    ``note`` says so); what effects and cohorts multiply parameters by stands last.
    """
    family, believed = FAMILIES[own.family], population.linked(own, state)[1].priors
    rows = [
        _row(name, values, priors.quantile_of(prior, float(values.mean()), scales))
        | {"prior": priors.describe(prior), "prior_sd": priors.sd(prior, scales)}
        for name, prior in believed.items()
        if (values := draws.values.get(name)) is not None
    ]
    free = {name: draws.values[name] for name in believed if name in draws.values}
    before = prior_draws(own, list(free), scales, seed, state)
    after_textbook, before_textbook = family.derive(free), family.derive(before)
    for name in family.textbook:
        if name not in free:
            mean = float(np.mean(after_textbook[name]))
            below = float(np.mean(before_textbook[name] < mean))
            note = {} if state is None else {"note": "without effects"}
            rows.append(_row(name, after_textbook[name], below) | note)
    expected = population.multipliers(own, state, before)
    for name, (formula, values) in population.multipliers(own, state, free).items():
        prior = expected[name][1]
        below = float(np.mean(prior < values.mean()))
        rows.append(
            _row(name, values, below) | {"prior": formula, "prior_sd": float(np.std(prior))}
        )
    return rows


def prior_draws(
    own: PartSpec,
    names: Iterable[str],
    scales: Scales,
    seed: int,
    state: population.State = None,
) -> dict[str, Array]:
    """20,000 draws of free parameters from their priors, by name."""
    believed, rng = population.linked(own, state)[1].priors, np.random.default_rng([seed, 2])
    return {name: priors.sample(believed[name], _PRIOR_DRAWS, scales, rng) for name in names}


def _row(name: str, values: Array, quantile: float) -> dict[str, Any]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {
        "name": name,
        "mean": float(np.mean(values)),
        "sd": float(np.std(values)),
        "lo": float(low),
        "hi": float(high),
        "quantile": quantile,
    }
