"""What a forecast must beat: purchases without dropout, and the rules people use.

Each rule looks only at what was known at the cut (or, where it learns response rates, at an earlier
inner cut) and answers with expected purchases a customer; where it has no probabilities it ranks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesseg._compiled import compiled
from bayesseg._random import Keys, log_gamma, stream
from bayesseg._types import Array, Clock, Columns, Family, IntArray, Param, Quantity, Table
from bayesseg.customers import Customers
from bayesseg.inference.map import maximum
from bayesseg.priors import scales_of
from bayesseg.validation.fits import plug_in
from bayesseg.validation.forecast import Model
from bayesseg.validation.holdout import Holdout

# ---------------------------------------------------------------- NBD: purchases without dropout


def _derive(free: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"r": free["r"], "alpha": free["r"] / free["rate"]}


def _underive(theta: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"r": theta["r"], "rate": theta["r"] / theta["alpha"]}


def _tabulate(columns: Columns) -> Table:
    rows, weight = np.unique(
        np.column_stack([columns["x"], columns["T"]]), axis=0, return_counts=True
    )
    x, T = np.ascontiguousarray(rows.T, dtype=np.float64)
    arrays = {"x": x, "T": T, "weight": weight.astype(np.float64)}
    return Table(arrays, len(weight), int(weight.sum()))


def _kernel(theta: Array, x: Array, T: Array, weight: Array) -> tuple[float, Array]:
    """Σ lnΓ(r+x) - lnΓ(r) + r ln α - (r+x) ln(α+T), and its gradient in (r, α)."""
    from scipy.special import digamma, gammaln

    r, alpha = theta
    log_T = np.log(alpha + T)
    value = gammaln(r + x) - gammaln(r) + r * np.log(alpha) - (r + x) * log_T
    by_r = digamma(r + x) - digamma(r) + np.log(alpha) - log_T
    by_alpha = r / alpha - (r + x) / (alpha + T)
    return float(weight @ value), np.array([weight @ by_r, weight @ by_alpha])


def _k_and_scale(theta: Mapping[str, Array], columns: Columns) -> tuple[Array, Array]:
    return theta["r"][:, None] + columns["x"], theta["alpha"][:, None] + columns["T"]


def _alive(theta: Mapping[str, Array], columns: Columns, clock: Clock) -> Array:
    return np.ones((len(theta["r"]), len(columns["x"])))


def _silent(theta: Mapping[str, Array], columns: Columns, clock: Clock) -> Array:
    k, scale = _k_and_scale(theta, columns)
    return np.asarray(np.exp(-k * np.log1p(clock.horizon / scale)))


def _bought(theta: Mapping[str, Array], columns: Columns, clock: Clock) -> Array:
    k, scale = _k_and_scale(theta, columns)
    return np.asarray(k * clock.horizon / scale)


def _latents(theta: Mapping[str, Array], columns: Columns, keys: Keys, draw_index: Any) -> Array:
    out = np.zeros((len(keys), len(theta["r"]), 4))
    out[:, :, 0] = 1.0
    r, alpha = (np.ascontiguousarray(theta[name], np.float64) for name in ("r", "alpha"))
    x, T = (np.ascontiguousarray(columns[name], np.float64) for name in ("x", "T"))
    _draw_rates(r, alpha, x, T, keys, np.asarray(draw_index, dtype=np.uint64), out)
    return out


@compiled
def _draw_rates(
    r: Array, alpha: Array, x: Array, T: Array, keys: Keys, draw_index: Keys, out: Array
) -> None:
    for i in range(len(keys)):
        for s in range(len(r)):
            state = stream(keys[i], draw_index[s], 4)
            state, log_rate = log_gamma(state, r[s] + x[i])
            out[i, s, 1] = math.exp(log_rate) / (alpha[s] + T[i])


NBD = Family(
    name="nbd",
    title="NBD",
    part="purchase",
    columns=("x", "T"),
    params=(
        Param("r", "positive", "", "shape of purchase rates across customers"),
        Param("rate", "positive", "purchases per time unit", "mean purchase rate, r/α"),
    ),
    textbook=("r", "alpha"),
    derive=_derive,
    underive=_underive,
    tabulate=_tabulate,
    kernel=_kernel,
    quantities={
        name: Quantity(name, unit, meaning, ("x", "T"), fn)
        for name, unit, meaning, fn in (
            ("p_alive", "probability", "one: nobody leaves", _alive),
            ("silent", "probability", "no purchase within h", _silent),
            ("purchases_if_alive", "purchases", "purchases within h", _bought),
        )
    },
    latents=_latents,
    references=("Ehrenberg (1959), Applied Statistics 8; Morrison & Schmittlein (1988), JBES 6",),
)
"""Gamma-Poisson purchases without dropout: what the dropout of a family is worth."""


def nbd(held: Holdout, unit_days: float) -> Model:
    """The NBD at maximum likelihood."""
    columns = held.known.columns(unit_days)
    theta, _ = maximum(NBD, None, _tabulate(columns), scales_of(columns))
    return plug_in(held, NBD, theta)


# ---------------------------------------------------------------- rules


@dataclass(frozen=True, slots=True)
class Rule:
    """A point forecast of each scored customer.

    Attributes:
        expected: purchases in the holdout, (N,); None where the rule only says who buys.
        p_active: P(buys in the holdout), (N,); None where the rule only ranks.
        rank: larger is likelier to buy, (N,).
        note: how it was made, in words.
    """

    name: str
    title: str
    kind: str
    expected: Array | None
    p_active: Array | None
    rank: Array
    note: str = ""


def rate(held: Holdout) -> Rule:
    """Repeat purchases so far over the time since the first, carried on: h · x / T."""
    known = held.scored
    expected = np.asarray(held.horizon_days * known.x / np.maximum(known.t_end, 1))
    return Rule("rate", "own rate x/T", "benchmark", expected, None, expected)


def last_period(held: Holdout, repeats: IntArray, days: int) -> Rule:
    """The repeat purchases of the last ``days`` before the cut, expected again at that rate."""
    again = repeats.astype(np.float64) * (held.horizon_days / days)
    note = f"the last {days} days before the cut, carried on" if days < held.horizon_days else ""
    return Rule("last_period", "last period again", "benchmark", again, None, again, note)


def rfm_score(known: Customers) -> Array:
    """Sum of the percentile ranks of recency, frequency and spend, (N,)."""
    from scipy.stats import rankdata

    silence = known.t_end - known.t_x
    spend = known.first_spend + known.repeat_spend
    return np.asarray(
        sum(rankdata(values) for values in (-silence, known.x, spend)) / (3.0 * len(known))
    )


def rfm(held: Holdout, inner: Holdout | str) -> Rule:
    """Tenths by RFM score; each takes the response its tenth showed after the inner cut.

    Without an inner cut (``inner`` says why) a rule without numbers.
    """
    name, title = "rfm", "RFM tenths"
    if isinstance(inner, str):
        blank = np.full(len(held.scored), np.nan)
        return Rule(name, title, "benchmark", None, None, blank, inner)
    edges = np.quantile(rfm_score(inner.scored), np.linspace(0, 1, 11)[1:-1])

    def tenth(known: Customers) -> Any:
        return np.searchsorted(edges, rfm_score(known), side="right")

    was, now = tenth(inner.scored), tenth(held.scored)
    count = np.bincount(was, minlength=10)

    def response(values: Array) -> Array:
        # an empty tenth takes the mean of all
        sums = np.bincount(was, weights=values, minlength=10)
        return np.asarray(np.where(count > 0, sums / np.maximum(count, 1), values.mean()))

    longer = held.horizon_days / inner.horizon_days
    expected = response(inner.purchases.astype(np.float64))[now] * longer
    p = carried(response((inner.purchases > 0).astype(np.float64))[now], held, inner)
    return Rule(name, title, "benchmark", expected, p, rfm_score(held.scored), told(held, inner))


def carried(p: Array, held: Holdout, inner: Holdout) -> Array:
    """P(buys within the inner horizon) as one of the whole horizon, at the same hazard."""
    longer = held.horizon_days / inner.horizon_days
    return np.asarray(-np.expm1(longer * np.log1p(-np.minimum(p, 1 - 1e-12))))


def told(held: Holdout, inner: Holdout) -> str:
    """How a method that learns from an inner cut was trained."""
    note = f"learnt at {inner.cut} from the {inner.horizon_days} days that followed, before the cut"
    if inner.horizon_days < held.horizon_days:
        note += (
            f"; P(buys in {inner.horizon_days} days) is carried on to {held.horizon_days} as "
            f"1 - (1 - P)^({held.horizon_days}/{inner.horizon_days})"
        )
    return note
