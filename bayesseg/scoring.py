"""Scores: family quantities averaged over a posterior, one row a customer. L7.

Customers pass in chunks; arrays draws x customers live only inside one chunk and are reduced there.
A customer's numbers depend on the posterior, the settings and the customer alone, never on who else
is in the file, on the order or on the chunk (but for ``priority_rank`` and ``p_top_decile``, which
are about the file). No PyMC is imported here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesseg import clv
from bayesseg._random import Keys, customer_keys
from bayesseg._types import Array, Columns, OnProgress, Progress
from bayesseg.customers import Attributes, Customers
from bayesseg.errors import InputRejected, UsageError
from bayesseg.families import FAMILIES
from bayesseg.families._realise import realise
from bayesseg.features import apply, raw_columns
from bayesseg.posterior import Posterior, available, now, textbook, thinned

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVEL = 0.90
TOP_SHARE = 0.10
FEWEST_DRAWS = 100  # below, the ends of a 90 % interval are the extremes
_TOP_SAMPLE = 50_000
_QUANTILES = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a score depends on beside the posterior and the customer; all of it is printed.

    ``horizon_days`` (h) is for churn and purchases, ``value_horizon_days`` (H) for money. With
    ``margin`` 1 money is revenue. ``draws`` are thinned from the posterior. ``predictive`` draws each
    customer's realised value, which takes most of the time.
    """

    horizon_days: int = 90
    value_horizon_days: int = 365
    margin: float = 1.0
    annual_discount: float = 0.10
    draws: int = 400
    predictive: bool = True
    chunk: int = 2_000

    def __post_init__(self) -> None:
        least = {"horizon_days": 1, "value_horizon_days": 1, "chunk": 1, "draws": FEWEST_DRAWS}
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise UsageError(f"{name} must be at least {smallest}, not {getattr(self, name)}")
        if not 0 < self.margin < np.inf:
            raise UsageError(f"margin must be positive, not {self.margin}")
        if not 0 <= self.annual_discount < np.inf:
            raise UsageError(f"annual_discount must be 0 or more, not {self.annual_discount}")


@dataclass(frozen=True, slots=True)
class Scores:
    """The score table, sorted by id, and what belongs beside it (units, settings, totals, segments)."""

    table: pd.DataFrame
    document: dict[str, Any]


UNITS = {
    "frequency": "purchase days",
    "recency": "days",
    "T": "days",
    "monetary_value": "currency",
    "days_since_last": "days",
    "p_alive": "probability",
    "p_churn": "probability within the horizon",
    "expected_purchases": "purchases within the horizon",
    "typical_gap_days": "days",
    "overdue": "probability",
    "expected_spend": "currency per purchase",
    "clv": "currency within the value horizon",
    "clv_mean": "currency within the value horizon",
    "clv_pred": "currency within the value horizon",
    "residual_value": "currency",
    "value_at_risk": "currency within the value horizon",
    "win_back_value": "currency within the value horizon",
    "p_top_decile": "probability",
    "segment_probability": "probability",
    "runner_up_probability": "probability",
    "membership": "probability",
}


def unit_of(column: str) -> str:
    """The unit of a score column; empty for text, counts and dates."""
    for name in (column, column.removesuffix("_lo").removesuffix("_hi")):
        if name in UNITS:
            return UNITS[name]
    return UNITS["membership"] if column.startswith("membership_") else ""


def score(
    posterior: Posterior,
    data: Customers | Attributes,
    settings: Settings = Settings(),
    *,
    on_progress: OnProgress | None = None,
) -> Scores:
    """Score every customer of ``data``, those unseen at the fit included.

    Where a part holds fewer draws than ``settings`` asks for, all parts use that many, and the
    document says so.

    Raises:
        InputRejected: the data do not fit the model (no purchases, an as-of before the training
            data's, a missing feature column).
    """
    _accept(posterior, data)
    fewest = min(available(draws) for draws in posterior.parts.values())
    settings = replace(settings, draws=min(settings.draws, fewest))
    data = data.take(np.argsort(data.ids, kind="stable"))
    plan = _plan(posterior, settings)
    threshold = _top_threshold(plan, data) if plan.has_value else None
    pieces: list[dict[str, NDArray[Any]]] = []
    totals: dict[str, Array] = {}
    for rows in _chunks(len(data), settings.chunk):
        piece, sums = _score_chunk(plan, data.take(rows), threshold)
        pieces.append(piece)
        totals = {name: totals.get(name, 0.0) + values for name, values in sums.items()}
        if on_progress:
            on_progress(Progress("score", int(rows[-1]) + 1, len(data)))
    columns = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    table = _table(posterior, data, columns, settings)
    return Scores(table, _document(posterior, data, settings, totals, table))


def _accept(posterior: Posterior, data: Customers | Attributes) -> None:
    if len(data) == 0:
        raise InputRejected("there is no customer to score", code="empty")
    if "purchase" in posterior.spec.parts:
        if not isinstance(data, Customers):
            raise InputRejected(
                f"model {posterior.spec.name!r} reads purchases, not a table of clients",
                fix="give the purchase log",
            )
        trained = date.fromisoformat(posterior.manifest["as_of"])
        if data.as_of < trained:
            raise InputRejected(
                f"the data end on {data.as_of}, the model was fitted on data to {trained}",
                fix="score data that reach at least as far, or fit again with --as-of",
            )


@dataclass(frozen=True, slots=True)
class _Plan:
    """Everything about the posterior that a chunk needs: thinned, paired draws and the clock."""

    posterior: Posterior
    settings: Settings
    purchase: dict[str, Any]
    spend: dict[str, Any]
    segments: dict[str, Any]
    clock: Any
    factor: float

    @property
    def has_value(self) -> bool:
        return bool(self.purchase and self.spend)

    @property
    def draw_index(self) -> NDArray[np.int64]:
        return np.arange(len(self.spend["p"]))


def _plan(posterior: Posterior, settings: Settings) -> _Plan:
    spec = posterior.spec
    used = {
        part: draws
        for part, draws in posterior.parts.items()
        if posterior.manifest["verdicts"][part]["computation"] != "failed" or part != "segments"
    }
    theta = {
        part: textbook(spec.parts[part].family, thinned(draws, settings.draws))
        for part, draws in used.items()
    }
    if "spend" in theta:
        # the two posteriors are independent: one seeded permutation pairs their draws
        some = next(iter(theta["spend"].values()))
        order = np.random.default_rng(posterior.manifest["seed"]).permutation(len(some))
        theta["spend"] = {name: values[order] for name, values in theta["spend"].items()}
    return _Plan(
        posterior=posterior,
        settings=settings,
        purchase=theta.get("purchase", {}),
        spend=theta.get("spend", {}),
        segments=theta.get("segments", {}),
        clock=clv.clock(
            settings.horizon_days,
            settings.value_horizon_days,
            settings.annual_discount,
            spec.unit_days,
        ),
        factor=settings.margin * posterior.manifest["paid_share"] if "spend" in theta else 1.0,
    )


def _chunks(count: int, size: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, count, size):
        yield np.arange(start, min(start + size, count))


def _score_chunk(
    plan: _Plan, data: Customers | Attributes, threshold: Array | None
) -> tuple[dict[str, NDArray[Any]], dict[str, Array]]:
    """The columns of these customers, and per-draw sums over them: (S,) or, by segment, (S, K)."""
    out: dict[str, NDArray[Any]] = {}
    per_draw: dict[str, Array] = {}
    if plan.purchase:
        assert isinstance(data, Customers)
        per_draw = _purchase_columns(plan, data, out)
        if plan.has_value:
            per_draw |= _value_columns(plan, data, per_draw, out, threshold)
    sums: dict[str, Array] = {
        name: per_draw[name].sum(axis=1)
        for name in ("expected_purchases", "clv", "value_at_risk")
        if name in per_draw
    }
    if plan.segments:
        sums |= _segment_columns(plan, data, per_draw, out)
    elif "segments" in plan.posterior.spec.parts:
        out |= _blank_segments(plan.posterior, len(data))
    return out, sums


def _purchase_columns(
    plan: _Plan, data: Customers, out: dict[str, NDArray[Any]]
) -> dict[str, Array]:
    """Churn, purchases and what value needs; each distinct (x, t_x, T) is computed once."""
    family = FAMILIES[plan.posterior.spec.parts["purchase"].family]
    columns = data.columns(plan.posterior.spec.unit_days)
    distinct, back = _distinct(columns, ("x", "t_x", "T"))
    found = {
        name: quantity.fn(plan.purchase, distinct, plan.clock)
        for name, quantity in family.quantities.items()
    }
    mean = {name: values.mean(axis=0)[back] for name, values in found.items()}
    out["p_alive"] = mean["p_alive"]
    for name in ("p_churn", "expected_purchases"):
        out[name] = mean[name]
        out[f"{name}_lo"], out[f"{name}_hi"] = np.quantile(found[name], _QUANTILES, axis=0)[:, back]
    out["typical_gap_days"] = mean["typical_gap"] * plan.posterior.spec.unit_days
    out["overdue"] = mean["overdue"]
    return {name: values[:, back] for name, values in found.items()}


def _value_columns(
    plan: _Plan,
    data: Customers,
    per_draw: dict[str, Array],
    out: dict[str, NDArray[Any]],
    threshold: Array | None,
) -> dict[str, Array]:
    family = FAMILIES[plan.posterior.spec.parts["spend"].family]
    columns = data.columns(plan.posterior.spec.unit_days)
    distinct, back = _distinct(columns, ("n", "S"))
    spend = family.quantities["expected_spend"].fn(plan.spend, distinct, plan.clock)
    # where the mean does not exist in some draw it does not exist: null, never a partial average
    exists = np.isfinite(spend).all(axis=0)[back]
    out["expected_spend"] = spend.mean(axis=0)[back]
    out["expected_spend_lo"], out["expected_spend_hi"] = np.quantile(spend, _QUANTILES, axis=0)[
        :, back
    ]
    money = clv.values(
        per_draw["p_alive"],
        per_draw["discounted_purchases"],
        per_draw["stayed_purchases"],
        per_draw["residual_purchases"],
        spend[:, back] * plan.factor,
    )
    for name, values in money.items():
        out[name] = values.mean(axis=0)
    out["clv_mean_lo"], out["clv_mean_hi"] = np.quantile(money["clv"], _QUANTILES, axis=0)
    own = _own(plan, data)
    assert threshold is not None
    out["p_top_decile"] = (_own_value(plan, own) > threshold).mean(axis=1)
    if plan.settings.predictive:
        realised, _ = realise(
            own.latents,
            own.nu,
            plan.spend["p"],
            plan.posterior.manifest["paid_share"],
            plan.clock.value_horizon,
            plan.clock.discount,
            own.keys,
            plan.draw_index,
        )
        low, high = np.quantile(realised, _QUANTILES, axis=1) * plan.settings.margin
        out["clv_pred_lo"], out["clv_pred_hi"] = low, high
    else:
        out["clv_pred_lo"] = out["clv_pred_hi"] = np.full(len(data), np.nan)
    # sums are over the customers whose value exists; the document counts the others
    return {name: np.where(exists, money[name], 0.0) for name in ("clv", "value_at_risk")}


@dataclass(frozen=True, slots=True)
class _Own:
    """Each customer's own latents: ``latents`` (N, S, 4), ``nu`` (N, S) and random keys (N,)."""

    latents: Array
    nu: Array
    keys: Keys


def _own(plan: _Plan, data: Customers) -> _Own:
    parts = plan.posterior.spec.parts
    columns = data.columns(plan.posterior.spec.unit_days)
    keys = customer_keys(data.ids, plan.posterior.manifest["seed"])
    purchase = FAMILIES[parts["purchase"].family].latents
    spend = FAMILIES[parts["spend"].family].latents
    assert purchase is not None
    assert spend is not None
    index = plan.draw_index
    return _Own(
        purchase(plan.purchase, columns, keys, index), spend(plan.spend, columns, keys, index), keys
    )


def _own_value(plan: _Plan, own: _Own) -> Array:
    """(N, S): discounted value given the customer's own rate, dropout, spend and state."""
    alive, rate, drop, death = (own.latents[:, :, i] for i in range(4))
    hazard = plan.clock.discount + rate * drop + death
    span = plan.clock.value_horizon
    exposure = np.where(hazard * span > 1e-12, -np.expm1(-hazard * span) / hazard, span)
    return np.asarray(alive * rate * exposure * plan.spend["p"] / own.nu * plan.factor)


def _top_threshold(plan: _Plan, data: Customers | Attributes) -> Array:
    """Per draw, the value above which a customer of this file is in the top tenth: (S,)."""
    assert isinstance(data, Customers)
    if len(data) > _TOP_SAMPLE:
        keys = customer_keys(data.ids, plan.posterior.manifest["seed"])
        data = data.take(np.sort(np.argpartition(keys, _TOP_SAMPLE)[:_TOP_SAMPLE]))
    values = np.concatenate(
        [
            _own_value(plan, _own(plan, data.take(rows))).astype(np.float32)
            for rows in _chunks(len(data), plan.settings.chunk)
        ]
    )
    return np.asarray(np.quantile(values, 1 - TOP_SHARE, axis=0), dtype=np.float64)


def _segment_columns(
    plan: _Plan,
    data: Customers | Attributes,
    per_draw: Mapping[str, Array],
    out: dict[str, NDArray[Any]],
) -> dict[str, Array]:
    posterior = plan.posterior
    assert posterior.features is not None
    memberships = FAMILIES[posterior.spec.parts["segments"].family].memberships
    assert memberships is not None
    raw = raw_columns(data, posterior.spec.features)
    member = memberships(plan.segments, apply(posterior.features, raw))
    mean = member.mean(axis=1)
    low, high = np.quantile(member, _QUANTILES, axis=1)
    ids = np.array(posterior.manifest["segments"]["ids"], dtype=object)
    names = np.array([posterior.manifest["segments"]["names"][i] for i in ids], dtype=object)
    order = np.argsort(-mean, axis=1, kind="stable")
    first, rows = order[:, 0], np.arange(len(mean))
    out["segment"], out["segment_name"] = ids[first], names[first]
    out["segment_probability"] = mean[rows, first]
    out["segment_probability_lo"], out["segment_probability_hi"] = (
        low[rows, first],
        high[rows, first],
    )
    second = order[:, min(1, len(ids) - 1)]
    out["runner_up"], out["runner_up_probability"] = ids[second], mean[rows, second]
    for k, name in enumerate(ids):
        out[f"membership_{name}"] = mean[:, k]
        out[f"membership_{name}_lo"], out[f"membership_{name}_hi"] = low[:, k], high[:, k]
    sums = {"size": member.sum(axis=0)}
    for name in ("p_churn", "clv", "value_at_risk"):
        if name in per_draw:
            sums[f"segment_{name}"] = np.einsum("nsk,sn->sk", member, per_draw[name])
    for name in posterior.features.profiled:
        values = raw[name].astype(np.float64)
        known = np.isfinite(values)
        sums[f"known_{name}"] = member[known].sum(axis=0)
        sums[f"profile_{name}"] = np.einsum("nsk,n->sk", member[known], values[known])
    return sums


def _blank_segments(posterior: Posterior, count: int) -> dict[str, NDArray[Any]]:
    """The segment columns of a run whose segmentation failed its gates: there, and empty."""
    members = [
        f"membership_{name}{end}"
        for name in posterior.manifest["segments"]["ids"]
        for end in ("", "_lo", "_hi")
    ]
    text = ("segment", "segment_name", "runner_up")
    numbers = ("segment_probability", "segment_probability_lo", "segment_probability_hi")
    return {name: np.full(count, None, dtype=object) for name in text} | {
        name: np.full(count, np.nan) for name in (*numbers, "runner_up_probability", *members)
    }


def _distinct(
    columns: Columns, names: tuple[str, ...]
) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]]:
    rows, back = np.unique(
        np.column_stack([columns[name] for name in names]), axis=0, return_inverse=True
    )
    return {name: rows[:, i].copy() for i, name in enumerate(names)}, back.ravel()


def _table(
    posterior: Posterior,
    data: Customers | Attributes,
    columns: dict[str, NDArray[Any]],
    settings: Settings,
) -> pd.DataFrame:
    table: dict[str, Any] = {"customer_id": data.ids}
    if isinstance(data, Customers):
        table |= {
            "frequency": data.x,
            "recency": data.t_x,
            "T": data.t_end,
            "monetary_value": np.where(
                data.x_paid > 0, data.repeat_spend / np.maximum(data.x_paid, 1), np.nan
            ),
            "n_orders": data.n_orders,
            "days_since_last": data.t_end - data.t_x,
        }
    table |= {name: columns[name] for name in _ORDER if name in columns}
    if "value_at_risk" in columns:
        ranked = np.argsort(-np.nan_to_num(columns["value_at_risk"], nan=-np.inf), kind="stable")
        table["priority_rank"] = np.empty(len(ranked), dtype=np.int64)
        table["priority_rank"][ranked] = np.arange(1, len(ranked) + 1)
        table["p_top_decile"] = columns["p_top_decile"]
    table |= {name: v for name, v in columns.items() if name.startswith("membership_")}
    if isinstance(data, Customers):
        table["flags"] = _flags(posterior, data, columns)
    count = len(data)
    table["model_id"] = np.full(count, posterior.manifest["model_id"], dtype=object)
    table["verdict"] = np.full(count, posterior.manifest["verdict"], dtype=object)
    if isinstance(data, Customers):
        table["as_of"] = np.full(count, np.datetime64(data.as_of, "s"))
        table["horizon_days"] = np.full(count, settings.horizon_days, dtype=np.int32)
        table["value_horizon_days"] = np.full(count, settings.value_horizon_days, dtype=np.int32)
    table["scored_at"] = pd.Series([now()] * count, dtype="datetime64[s, UTC]")
    return pd.DataFrame(table)


_ORDER = (
    "segment",
    "segment_name",
    "segment_probability",
    "segment_probability_lo",
    "segment_probability_hi",
    "runner_up",
    "runner_up_probability",
    "p_alive",
    "p_churn",
    "p_churn_lo",
    "p_churn_hi",
    "expected_purchases",
    "expected_purchases_lo",
    "expected_purchases_hi",
    "typical_gap_days",
    "overdue",
    "expected_spend",
    "expected_spend_lo",
    "expected_spend_hi",
    "clv",
    "clv_mean_lo",
    "clv_mean_hi",
    "clv_pred_lo",
    "clv_pred_hi",
    "residual_value",
    "value_at_risk",
    "win_back_value",
)


def _flags(
    posterior: Posterior, data: Customers, columns: Mapping[str, NDArray[Any]]
) -> NDArray[np.object_]:
    """The words that hold for each customer, as tuples in a fixed order."""
    trained = posterior.manifest["trained_on"]
    as_of = date.fromisoformat(posterior.manifest["as_of"])
    later = (data.as_of - as_of).days
    early = trained["early_until"]
    first_day_age = data.t_end  # days from first purchase to the end of these data
    conditions = {
        "new": first_day_age < later,
        "extrapolated": (data.x > trained["max_x"]) | (data.t_end > trained["max_t_end"] + later),
        "one_time": data.x == 0,
        "spend_prior_only": (data.x_paid == 0) & ("expected_spend" in columns),
        "spend_undefined": np.isnan(columns.get("expected_spend", np.zeros(len(data)))),
        "early_cohort": np.zeros(len(data), dtype=bool)
        if early is None
        else first_day_age >= (data.as_of - date.fromisoformat(early)).days,
    }
    code = sum(mask.astype(np.int64) << bit for bit, mask in enumerate(conditions.values()))
    words = np.empty(1 << len(conditions), dtype=object)
    for value in range(len(words)):
        words[value] = tuple(name for bit, name in enumerate(conditions) if value >> bit & 1)
    return np.asarray(words[code])


def _document(
    posterior: Posterior,
    data: Customers | Attributes,
    settings: Settings,
    sums: Mapping[str, Array],
    table: pd.DataFrame,
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "schema_version": 1,
        "settings": asdict(settings),
        "interval_level": LEVEL,
        "units": {name: unit_of(name) for name in table.columns if unit_of(name)},
        "model": posterior.spec.name,
        "model_id": posterior.manifest["model_id"],
        "verdict": posterior.manifest["verdict"],
        "verdicts": posterior.manifest["verdicts"],
        "as_of": data.as_of.isoformat() if isinstance(data, Customers) else None,
        "scored_at": now().isoformat(),
        "customers": len(data),
        "without_value": int(table["clv"].isna().sum()) if "clv" in table else 0,
        "totals": {
            name: _interval(sums[name])
            for name in ("expected_purchases", "clv", "value_at_risk")
            if name in sums
        },
        "segments": [],
    }
    if "size" in sums:
        ids = posterior.manifest["segments"]["ids"]
        document["segments"] = [_segment(posterior, sums, k, len(data)) for k in range(len(ids))]
    return document


def _segment(posterior: Posterior, sums: Mapping[str, Array], k: int, count: int) -> dict[str, Any]:
    """One segment with intervals over draws; every member counts by its membership."""
    names = posterior.manifest["segments"]
    size = sums["size"][:, k]
    found: dict[str, Any] = {
        "id": names["ids"][k],
        "name": names["names"][names["ids"][k]],
        "customers": _interval(size),
        "share": _interval(size / count),
    }
    for name in ("p_churn", "clv"):
        if f"segment_{name}" in sums:
            found[name] = _interval(sums[f"segment_{name}"][:, k] / size)
    if "segment_value_at_risk" in sums:
        found["value_at_risk"] = _interval(sums["segment_value_at_risk"][:, k])
    found["profile"] = {
        name.removeprefix("profile_"): _interval(
            sums[name][:, k] / sums[f"known_{name.removeprefix('profile_')}"][:, k]
        )
        for name in sums
        if name.startswith("profile_")
    }
    return found


def _interval(values: Array) -> dict[str, float | None]:
    """Mean and central interval over draws; None where it cannot be computed."""
    low, high = np.quantile(values, _QUANTILES)
    numbers = {"mean": float(values.mean()), "lo": float(low), "hi": float(high)}
    return {name: value if np.isfinite(value) else None for name, value in numbers.items()}
