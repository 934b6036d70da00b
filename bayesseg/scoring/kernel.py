"""The one scoring kernel: customers in, scores out, whatever brings them and wherever it runs. L7.

NumPy, Numba and Arrow alone. A kernel is a value of some tens of kB that any process may be given: the
command line, its worker processes, Spark and a stream score by it, and by nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bayesseg._types import Array
from bayesseg.customers import Attributes, Customers, money_of
from bayesseg.errors import InputRejected
from bayesseg.posterior import Posterior, now
from bayesseg.scoring.arrow import recorded
from bayesseg.scoring.blocks import Found, forecasts, memberships
from bayesseg.scoring.futures import threshold
from bayesseg.scoring.members import blank
from bayesseg.scoring.pieces import Piece, piece_of
from bayesseg.scoring.plan import Plan, plan_of
from bayesseg.scoring.settings import Settings
from bayesseg.scoring.table import fields_of, meanings_of, table_of, units_of, withheld_of

if TYPE_CHECKING:
    import pandas as pd

COUNTS = ("x", "t_x", "t_end", "x_paid", "n_orders")
MONEY = ("repeat_spend", "first_spend")
_READ = (
    "as_of",
    "model_id",
    "paid_share",
    "population",
    "seed",
    "segments",
    "trained_on",
    "verdict",
)
"""What of a manifest a score depends on."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """All that a score depends on but the customer.

    Attributes:
        plan: thinned draws, settings and what was learned at the fit; no raw draws.
        as_of: the day that times are counted to; None for a model of attributes alone.
        top: by draw, the own value above which a customer of the file is in the top tenth, (S,); None
            where it is not known, and ``p_top_decile`` null.
        scored_at: the moment that the rows carry.
    """

    plan: Plan
    as_of: date | None
    top: Array | None
    scored_at: datetime


class Inline(Executor):
    """An executor without threads: work is done where it is asked for."""

    def submit[**P, T](self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Do it now."""
        done: Future[T] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


def kernel_of(
    posterior: Posterior,
    settings: Settings,
    as_of: date | None,
    *,
    released: Collection[str] = (),
    sample: Customers | Attributes | None = None,
    scored_at: datetime | None = None,
    pool: Executor | None = None,
) -> Kernel:
    """What scores customers of a file by ``posterior``.

    Args:
        posterior: the run.
        settings: horizons, money and draws.
        as_of: last day observed; None for a model of attributes alone.
        released: parts that failed their gates and are scored all the same.
        sample: the file's customers of the lowest keys (``scoring.sample``), at most ``SAMPLE``; they
            say where its top tenth begins.
        scored_at: now, where it is not given.
        pool: threads for that; without them it takes one.
    """
    plan = plan_of(posterior, settings, released)
    top = None
    if plan.purchase and plan.spend and settings.predictive and isinstance(sample, Customers):
        top = threshold(plan, sample, pool or Inline())
    own = {name: posterior.manifest.get(name) for name in _READ}
    own["accounting"] = {"policies": {"money": money_of(posterior.manifest.get("accounting"))}}
    lean = replace(posterior, parts={}, summary={}, manifest=own)
    return Kernel(replace(plan, posterior=lean), as_of, top, scored_at or now())


def scored(
    kernel: Kernel,
    data: Customers | Attributes,
    pool: Executor | None = None,
    done: Callable[[int], None] = lambda _: None,
) -> tuple[pd.DataFrame, Piece]:
    """The score table of ``data``, in its order and without ranks, and what it brings to its file.

    Args:
        kernel: what a score depends on.
        data: customers, or attributes for a model of segments alone.
        pool: threads; without them it takes one.
        done: told how many customers are done.
    """
    plan, pool = kernel.plan, pool or Inline()
    found: Found = {}, {}
    if isinstance(data, Customers) and plan.purchase:
        found = forecasts(plan, data, pool, done, kernel.top)
    elif plan.segments:
        found = memberships(plan, data, pool, done)
    columns, sums = found
    if "segments" in plan.posterior.spec.parts and not plan.segments:
        columns |= blank(plan.posterior, len(data))
    table = table_of(
        plan.posterior, data, columns, plan.settings, withheld_of(plan), kernel.scored_at
    )
    return table, piece_of(plan.posterior, data, columns, sums)


def score_batch(kernel: Kernel, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Score the customers of a batch: one row for each, in their order.

    Args:
        kernel: what a score depends on.
        batch: ``customer_id``, ``x, t_x, t_end, x_paid`` and ``repeat_spend`` as the customer summary
            has them (days, currency); ``n_orders``, ``first_spend`` and attributes may stand beside.

    Returns:
        The columns of a score file; ``priority_rank``, which is about a file, is null.

    Raises:
        InputRejected: a history that cannot be, a count that is no whole number, an id that is no text.
    """
    if not batch.num_rows:
        return pa.RecordBatch.from_pylist([], schema=schema_of(kernel))
    return described(kernel, scored(kernel, customers_of(batch, kernel.as_of))[0])


def described(kernel: Kernel, table: pd.DataFrame) -> pa.RecordBatch:
    """A score table as Arrow, each column with its type, unit and description."""
    names = list(map(str, table))
    margin = money_of(kernel.plan.posterior.manifest["accounting"]) == "margin"
    return recorded(table, fields_of(names, units_of(names, margin=margin), meanings_of(names)))


def schema_of(kernel: Kernel) -> pa.Schema:
    """The schema of what ``score_batch`` returns: that of somebody who has just come."""
    columns: dict[str, Any] = {"customer_id": ["somebody"]}
    if kernel.as_of is not None:
        columns |= {name: [0] for name in (*COUNTS[:-1], "repeat_spend")}
    return score_batch(kernel, pa.RecordBatch.from_pydict(columns)).schema


def customers_of(batch: pa.RecordBatch, as_of: date | None) -> Customers | Attributes:
    """The customers of a batch; attributes alone where there is no ``as_of``."""
    named = batch.column("customer_id")
    if named.null_count or not (
        pa.types.is_string(named.type) or pa.types.is_large_string(named.type)
    ):
        raise _unfit("customer_id is missing or no text", "give ids as text, one for each row")
    ids = np.asarray(named.to_numpy(zero_copy_only=False), dtype=object)
    own = {"customer_id", *(() if as_of is None else (*COUNTS, *MONEY))}
    facts = {name: _fact(batch.column(name)) for name in batch.schema.names if name not in own}
    if as_of is None:
        return Attributes(ids, facts)
    given = {name: _number(batch, name) for name in (*COUNTS, *MONEY) if name in batch.schema.names}
    for name in COUNTS:
        if name in given and not (given[name] == np.floor(given[name])).all():
            raise _unfit(f"{name} is missing or no whole number", "give counts and days")
    given.setdefault("n_orders", given["x"] + 1)
    given.setdefault("first_spend", np.full(len(ids), np.nan))
    if (given["n_orders"] < 1).any():
        raise _unfit("n_orders is below 1", "leave the column out where orders are not known")
    whole: Mapping[str, Any] = {name: given[name].astype(np.int64) for name in COUNTS}
    return Customers(
        ids=ids,
        **whole,
        repeat_spend=given["repeat_spend"],
        first_spend=given["first_spend"],
        as_of=as_of,
        attributes=Attributes(ids, facts) if facts else None,
    )


def _unfit(problem: str, fix: str) -> InputRejected:
    return InputRejected(f"a batch cannot be scored: {problem}", fix=fix, code="impossible_history")


def batch_of(data: Customers | Attributes) -> pa.RecordBatch:
    """``data`` as ``customers_of`` reads them."""
    facts = data if isinstance(data, Attributes) else data.attributes
    columns: dict[str, Any] = {"customer_id": pa.array(data.ids, pa.string())}
    if isinstance(data, Customers):
        columns |= {name: getattr(data, name) for name in (*COUNTS, *MONEY)}
    columns |= facts.columns if facts else {}
    return pa.RecordBatch.from_pydict(columns)


def _number(batch: pa.RecordBatch, name: str) -> npt.NDArray[Any]:
    return np.asarray(batch.column(name).to_numpy(zero_copy_only=False), dtype=np.float64)


def _fact(values: pa.Array) -> npt.NDArray[Any]:
    """A number, NaN where there is none, or text."""
    kind = values.type
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    found = values.to_numpy(zero_copy_only=False)
    return np.asarray(found, dtype=np.float64 if number else object)
