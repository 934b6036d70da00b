"""Scores by lookup: point values of distinct histories, for a warehouse to join its customers with. L7.

A purchase model sees a customer as (x, t_x, t_end), a spend model as (x_paid, repeat_spend), and the two
posteriors are independent: the expectation of their product is the product of their expectations. So
``clv = discounted_purchases · worth · expected_spend``, and likewise ``value_at_risk`` and
``win_back_value``; ``score`` forms the product draw by draw, which comes to the same but for the
Monte-Carlo error of pairing. Expected spend is linear in ``repeat_spend`` for each ``x_paid``.
Intervals of money, futures and segments are no such products: they need the kernel.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from bayesseg import clv
from bayesseg._types import Array, IntArray, OnProgress, Progress
from bayesseg.customers import money_of
from bayesseg.errors import UsageError
from bayesseg.families import FAMILIES
from bayesseg.posterior import Posterior
from bayesseg.scoring import accept, combine
from bayesseg.scoring.document import about, stretched
from bayesseg.scoring.kernel import Kernel, kernel_of
from bayesseg.scoring.reduce import mean_draw
from bayesseg.scoring.rows import AGE, HISTORY, runs
from bayesseg.scoring.settings import Settings, ends
from bayesseg.scoring.table import extrapolated, meaning_of, unit_of
from bayesseg.summary import KEY, Histories

COLUMNS: Mapping[str, tuple[str, str]] = {
    "x": ("purchase days", "days with a purchase after the first"),
    "t_x": ("days", "from the first purchase to the last"),
    "t_end": ("days", "from the first purchase to as-of"),
    **{
        name: (unit_of(name), meaning_of(name))
        for name in (
            "p_alive",
            "p_churn",
            "p_churn_lo",
            "p_churn_hi",
            "expected_purchases",
            "expected_purchases_lo",
            "expected_purchases_hi",
            "typical_gap_days",
            "overdue",
        )
    },
    "discounted_purchases": (
        "purchases within the value horizon",
        "expected and discounted, A D: times worth and expected_spend it is clv",
    ),
    "residual_purchases": (
        "purchases",
        "the same without a horizon: times worth and expected_spend it is residual_value",
    ),
    "purchases_at_risk": (
        "purchases within the value horizon",
        "what dropping out is expected to cost of them, A (D0 - D): times worth and expected_spend it "
        "is value_at_risk",
    ),
    "win_back_purchases": (
        "purchases within the value horizon",
        "what the customer would make if gone and won back, (1 - A) D0: times worth and "
        "expected_spend it is win_back_value",
    ),
    "extrapolated": ("", "bought more often, or has been here longer, than anybody at the fit"),
    "model_id": ("", meaning_of("model_id")),
}
"""Unit and meaning of the columns of distinct histories; A, D and D0 are those of ``clv.values``."""
SPEND: Mapping[str, tuple[str, str]] = {
    "x_paid": ("purchase days", "days with a paid purchase after the first"),
    "spend_base": ("currency per purchase", "expected_spend of a repeat_spend of 0"),
    "spend_slope": (
        "per purchase",
        "what each unit of repeat_spend adds to expected_spend",
    ),
    "worth": ("", "margin times the share of purchases that are paid"),
    "money": ("", "what repeat_spend has to be: revenue or margin"),
    "model_id": ("", meaning_of("model_id")),
}
"""The same of the columns of spend, one row for each number of paid repeat days."""
_PURCHASES = dict(
    zip(
        clv.VALUES,
        ("discounted_purchases", "residual_purchases", "purchases_at_risk", "win_back_purchases"),
        strict=True,
    )
)
"""Column of what each value is per unit of spend."""
_AGED = (
    "silent",
    "purchases_if_alive",
    "discounted_purchases",
    "stayed_purchases",
    "residual_purchases",
)
"""What (x, T) alone decides."""
_BLOCK = 128
"""Histories at a time in a thread: what they need then stays in its cache."""
_TOGETHER = 512
"""Blocks of a batch."""
_SHARES = 8
_COUNTS = 4_096
_LARGE = 1e9
"""A repeat spend beside which the base takes no digit of the slope."""


def lookup_of(
    posterior: Posterior,
    histories: Histories,
    settings: Settings,
    released: Collection[str] = (),
) -> Kernel:
    """What scores ``histories``, once it is clear that it can.

    Raises:
        InputRejected: histories that end before those of the fit, or of money of another kind.
        UsageError: a model without purchases, or one in which customers of one history differ.
    """
    parts = posterior.spec.parts
    if "purchase" not in parts:
        raise UsageError(
            f"model {posterior.spec.name!r} reads no purchases: there are no histories to look up",
            fix="score its clients: bayesseg score RUN CLIENTS",
        )
    if any(part.covariates or part.cohorts for part in parts.values()):
        raise UsageError(
            f"under model {posterior.spec.name!r} customers of one history differ, by covariates or "
            "cohorts: a history alone tells no score",
            fix="score the customers themselves: bayesseg score RUN DATA",
        )
    accept(posterior, settings, histories.provenance, histories.as_of)
    return kernel_of(posterior, settings, histories.as_of, released=released)


def schema_of(columns: Mapping[str, tuple[str, str]]) -> pa.Schema:
    """``COLUMNS`` or ``SPEND`` as Arrow has them, each with unit and description."""
    kinds = {
        **dict.fromkeys((*KEY, "x_paid"), pa.int64()),
        **dict.fromkeys(("money", "model_id"), pa.string()),
        "extrapolated": pa.bool_(),
    }
    return pa.schema(
        pa.field(name, kinds.get(name, pa.float64()), metadata={"unit": unit, "description": said})
        for name, (unit, said) in columns.items()
    )


def rows(
    kernel: Kernel,
    histories: Histories,
    *,
    threads: int | None = None,
    on_progress: OnProgress | None = None,
) -> Iterator[pa.RecordBatch]:
    """The columns ``COLUMNS`` of ``histories`` in their order, in batches of bounded size.

    Purchases are null where their part failed its gates and is not released, ends of intervals where
    the posterior is a point, residual purchases where nothing is discounted.

    Args:
        kernel: what :func:`lookup_of` returned.
        histories: distinct and sorted.
        threads: all cores by default; the numbers are the same for any.
        on_progress: told how many histories are done.
    """
    schema, posterior = schema_of(COLUMNS), kernel.plan.posterior
    far = extrapolated(posterior, histories.x, histories.t_end, histories.as_of)
    model_id = posterior.manifest["model_id"]
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        for at, found in _found(kernel, histories, pool):
            keys = {name: getattr(histories, name)[at] for name in KEY}
            own = {**keys, **found, "extrapolated": far[at], "model_id": model_id}
            yield _batch(schema, own, at.stop - at.start)
            if on_progress:
                on_progress(Progress("look up", at.stop, len(histories)))


def spend(kernel: Kernel, most: int) -> pa.RecordBatch:
    """The columns ``SPEND`` for 0 to ``most`` paid repeat days: ``base + slope · repeat_spend``.

    Null where the mean spend does not exist in some draw, and everywhere in a model without spend or
    one whose spend failed its gates and is not released.
    """
    plan = kernel.plan
    found: dict[str, Any] = {"x_paid": np.arange(most + 1), "money": _money(plan.posterior)}
    found["model_id"] = plan.posterior.manifest["model_id"]
    if plan.spend:
        (theta,) = plan.spend
        quantity = FAMILIES[plan.posterior.spec.parts["spend"].family].quantities["expected_spend"]

        def mean(n: IntArray, each: float) -> Array:
            columns = {"n": n.astype(np.float64), "S": np.full(len(n), each)}
            return np.asarray(quantity.fn(theta, columns, plan.clock).mean(axis=0))

        chunks = np.split(found["x_paid"], np.arange(_COUNTS, most + 1, _COUNTS))
        base, more = (np.concatenate([mean(n, each) for n in chunks]) for each in (0.0, _LARGE))
        found |= {
            "spend_base": base,
            "spend_slope": (more - base) / _LARGE,
            "worth": np.full(most + 1, plan.factor),
        }
    return _batch(schema_of(SPEND), found, most + 1)


def document_of(posterior: Posterior, kernel: Kernel, histories: Histories) -> dict[str, Any]:
    """What belongs beside the two tables, JSON-able: settings, units, precision, verdicts."""
    columns, customers = {**COLUMNS, **SPEND}, int(histories.n.sum())
    far = extrapolated(posterior, histories.x, histories.t_end, histories.as_of)
    return {
        **about(
            posterior,
            kernel,
            {name: unit for name, (unit, _) in columns.items() if unit},
            {name: said for name, (_, said) in columns.items()},
        ),
        "kind": "lookup",
        "histories": len(histories),
        "customers": customers,
        "notes": [
            *stretched(posterior, kernel, customers, int(histories.n[far].sum())),
            "point values of purchases and money; intervals of money, realised futures and segments "
            "are not in a lookup: bayesseg score has them",
        ],
    }


def _found(
    kernel: Kernel, histories: Histories, pool: Executor
) -> Iterator[tuple[slice, dict[str, Array]]]:
    """Rows and their columns; the arrays of draws live in a stretch of ages, and in a block."""
    if not kernel.plan.purchase:
        size = _BLOCK * _TOGETHER
        for start in range(0, len(histories), size):
            yield slice(start, min(start + size, len(histories))), {}
        return
    unit = kernel.plan.posterior.spec.unit_days
    columns = {
        "x": histories.x.astype(np.float64),
        "T": histories.t_end / unit,
        "t_x": histories.t_x / unit,
    }
    starts, place = runs(columns, AGE)
    edges = np.append(starts, len(histories))
    for low in range(0, len(starts), kernel.plan.settings.chunk):
        own = slice(low, min(low + kernel.plan.settings.chunk, len(starts)))
        ages = _ages(kernel, {name: columns[name][starts[own]] for name in AGE}, pool)
        first, last = int(edges[own.start]), int(edges[own.stop])
        for start in range(first, last, _BLOCK * _TOGETHER):
            stop = min(start + _BLOCK * _TOGETHER, last)
            blocks = [slice(at, min(at + _BLOCK, stop)) for at in range(start, stop, _BLOCK)]
            work = partial(_block, kernel, columns, place - low, ages)
            pieces = list(pool.map(work, blocks))
            names = pieces[0]
            yield (
                slice(start, stop),
                {name: np.concatenate([piece[name] for piece in pieces]) for name in names},
            )


def _ages(kernel: Kernel, ages: Mapping[str, Array], pool: Executor) -> dict[str, Array]:
    """What distinct (x, T) alone decide, (A, S), and the mean of the typical gap in days, (A,).

    The draws are divided among the cores: what one draw has in common is set up once.
    """
    plan = kernel.plan
    (theta,) = plan.purchase
    quantities = FAMILIES[plan.posterior.spec.parts["purchase"].family].quantities
    shares = [
        {name: values[share] for name, values in theta.items()}
        for share in np.array_split(plan.index, _SHARES)
    ]
    asked = {
        name: [pool.submit(quantities[name].fn, one, ages, plan.clock) for one in shares]
        for name in _AGED
    }
    gap = mean_draw(quantities["typical_gap"].fn(theta, ages, plan.clock))
    return {
        name: np.concatenate([task.result().T for task in tasks], axis=1)
        for name, tasks in asked.items()
    } | {"gap": gap * plan.posterior.spec.unit_days}


def _block(
    kernel: Kernel,
    columns: Mapping[str, Array],
    place: IntArray,
    ages: Mapping[str, Array],
    at: slice,
) -> dict[str, Array]:
    """The columns of some rows, each (N,)."""
    plan, age = kernel.plan, place[at]
    (theta,) = plan.purchase
    quantities = FAMILIES[plan.posterior.spec.parts["purchase"].family].quantities
    own = {name: columns[name][at] for name in HISTORY}
    alive, overdue = (
        quantities[name].fn(theta, own, plan.clock) for name in ("p_alive", "overdue")
    )
    alive = np.ascontiguousarray(alive.T)
    silent, bought, discounted, stayed, residual = (ages[name] for name in _AGED)
    churn, expected, means = combine.purchases(alive, silent, bought, age)
    everybody, one = np.arange(len(age)), np.zeros(len(age), dtype=np.int64)
    unit = np.ones((1, plan.precision.draws))  # a spend of exactly 1 a purchase
    _, _, worth = combine.values(
        alive, everybody, discounted, stayed, residual, age, unit, one, 1.0
    )
    return {
        "p_alive": means[0],
        "p_churn": means[1],
        **_interval(kernel, "p_churn", churn),
        "expected_purchases": means[2],
        **_interval(kernel, "expected_purchases", expected),
        "typical_gap_days": ages["gap"][age],
        "overdue": overdue.mean(axis=0),
        **dict(zip(_PURCHASES.values(), worth, strict=True)),
    }


def _interval(kernel: Kernel, name: str, per_draw: Array) -> dict[str, Array]:
    """Both ends of (N, S); none of a point."""
    if "purchase" in kernel.plan.points:
        return {}
    low, high = ends(np.sort(per_draw, axis=1))
    return {f"{name}_lo": low, f"{name}_hi": high}


def _batch(schema: pa.Schema, found: Mapping[str, Any], size: int) -> pa.RecordBatch:
    """What was ``found`` under ``schema``, null where there is nothing; a text is every row's."""
    columns = []
    for field in schema:
        values = found.get(field.name)
        if values is None:
            columns.append(pa.nulls(size, field.type))
        elif isinstance(values, str):
            columns.append(pa.repeat(values, size))
        else:
            columns.append(pa.array(values, field.type, from_pandas=True))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _money(posterior: Posterior) -> str:
    """What spend was at the fit; revenue where nothing says it, for costs are always said."""
    return money_of(posterior.manifest.get("accounting")) or "revenue"
