"""Parameters and customers to check a family with, made from what it says of itself. L9."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import numpy as np

from bayesseg._types import Array, Columns, Family, Param
from bayesseg.customers import Attributes, Customers
from bayesseg.errors import UsageError
from bayesseg.features import rfm
from bayesseg.priors import Prior
from bayesseg.spec import FeatureSpec, ModelSpec

type Free = Mapping[str, Array]

_TYPICAL = {"time": 20.0, "money": 30.0}
_TIMES = {"purchase": ("t_x", "T"), "spend": ()}
_MONEY = {"purchase": (), "spend": ("S",)}


def worth(unit: str, time: float, money: float) -> float:
    """What a number in ``unit`` is multiplied by where times and money are multiplied."""
    if unit.endswith("per time unit"):
        return 1.0 / time
    if unit in ("", "probability", "purchases"):
        return 1.0
    known = {"time": time, "currency": money}
    if unit not in known:
        raise UsageError(
            f"unit {unit!r} is unknown",
            fix='give "", "probability", "purchases", "time", "currency" or "... per time unit"',
        )
    return known[unit]


def rescaled(
    family: Family, free: Free, columns: Columns, time: float, money: float
) -> tuple[Free, Columns]:
    """The same customers and parameters in other units of time and money."""
    by = dict.fromkeys(_TIMES[family.part], time) | dict.fromkeys(_MONEY[family.part], money)
    units = {param.name: param.unit for param in family.params}
    return (
        {name: values * worth(units[name], time, money) for name, values in free.items()},
        {name: values * by.get(name, 1.0) for name, values in columns.items()},
    )


def centre(family: Family) -> dict[str, float]:
    """A tame point: rates of one in 20 time units, 30 of money, shapes of 4, where moments exist."""

    def of(param: Param) -> float:
        usual = {"unit": 0.3, "real": 0.0, "positive": 4.0}[param.support]
        dimension = worth(param.unit, **_TYPICAL)
        return usual if dimension == 1.0 else dimension

    return {param.name: of(param) for param in family.params}


def points(family: Family, count: int, rng: np.random.Generator) -> dict[str, Array]:
    """Free parameters well around the centre, each (count,)."""

    def around(param: Param, value: float) -> Array:
        noise = rng.normal(size=count)
        if param.support == "unit":
            return np.asarray(rng.beta(1.0, 2.0, count))
        return value * np.exp(noise - 0.5) if param.support == "positive" else value + noise

    at = centre(family)
    return {param.name: around(param, at[param.name]) for param in family.params}


def priors(family: Family) -> dict[str, Prior]:
    """A prior of each parameter around the centre, without units."""
    at = centre(family)
    of = {
        "positive": lambda value: Prior("LogNormal", {"median": value, "sigma": 1.0}),
        "unit": lambda value: Prior("Beta", {"alpha": 1.0, "beta": 2.0}),
        "real": lambda value: Prior("Normal", {"mean": value, "sd": 1.0}),
    }
    return {param.name: of[param.support](at[param.name]) for param in family.params}


def customers(family: Family, count: int, rng: np.random.Generator) -> dict[str, Array]:
    """Customers of every kind, some alike: new, one-time and heavy buyers, just seen and long ago."""
    x = np.floor(rng.gamma(0.6, 6.0, count)).clip(max=40)
    x[:6] = 0, 0, 40, 1, 3, 3
    if family.part == "spend":
        return {"n": x, "S": np.where(x > 0, rng.gamma(3.0, 10.0, count) * x, 0.0)}
    T = rng.uniform(1.0, 120.0, count)
    t_x = np.where(x > 0, T * rng.random(count), 0.0)
    T[0], t_x[2], T[4:6], t_x[4:6] = 0.0, T[2], 52.0, 30.0
    return {"x": x, "t_x": t_x, "T": T}


def exposed(family: Family, count: int) -> dict[str, Array]:
    """Customers to be simulated: watched for 52 time units, or of three paid orders."""
    return {"T": np.full(count, 52.0)} if family.part == "purchase" else {"n": np.full(count, 3.0)}


# ---------------------------------------------------------------- clients of a model with segments

CLIENTS = 240


def clients(spec: ModelSpec) -> Customers | Attributes:
    """Two kinds of clients, with every column that the features of a model name."""
    rng = np.random.default_rng(1)
    kind = rng.random(CLIENTS) < 0.4
    buyers = _buyers(kind, rng)
    behaviour = rfm(buyers)
    wanted = [feature for feature in spec.features if feature.column not in behaviour]
    columns: dict[str, np.ndarray] = {}
    for feature in wanted:
        names = ("one", "two", "three") if feature.column == "*" else (feature.column,)
        columns |= {name: _column(feature, kind, rng) for name in names}
        if feature.exposure:
            columns[feature.exposure] = rng.uniform(0.5, 2.0, CLIENTS)
    attributes = Attributes(buyers.ids, columns)
    if "purchase" not in spec.parts and len(wanted) == len(spec.features):
        return attributes
    return replace(buyers, attributes=attributes) if columns else buyers


def _buyers(kind: np.ndarray, rng: np.random.Generator) -> Customers:
    t_end = rng.integers(60, 720, CLIENTS)
    x = np.where(rng.random(CLIENTS) < 0.5, 0, rng.poisson(np.where(kind, 9.0, 1.5)))
    x = np.minimum(x, t_end // 2)
    t_x = np.where(x > 0, np.maximum(x, np.floor(t_end * rng.random(CLIENTS))), 0).astype(np.int64)
    mean = np.where(kind, 80.0, 30.0)
    return Customers(
        ids=np.array([f"c{i:05}" for i in range(CLIENTS)], dtype=object),
        x=x,
        t_x=t_x,
        t_end=t_end,
        x_paid=x,
        repeat_spend=x * rng.gamma(4.0, mean / 4.0),
        first_spend=rng.gamma(4.0, mean / 4.0),
        n_orders=x + 1,
        as_of=date(2025, 6, 30),
    )


def _column(feature: FeatureSpec, kind: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if feature.type == "binary":
        return (rng.random(len(kind)) < np.where(kind, 0.8, 0.2)).astype(np.float64)
    if feature.type == "category":
        levels: np.ndarray = np.array(["red", "green", "blue"], dtype=object)
        return np.asarray(levels[rng.integers(0, 3, len(kind)) * ~kind])
    if feature.type == "count":
        return rng.poisson(np.where(kind, 9.0, 2.0)).astype(np.float64)
    values = rng.normal(np.where(kind, 3.0, 0.0), 1.0)
    return np.exp(values) if feature.transform in ("log", "log1p", "box-cox") else values
