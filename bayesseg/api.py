"""The Python API: functions over values. L9.

```python
import bayesseg as bs

customers = bs.summarise(orders, as_of="1997-09-30")
posterior = bs.fit(customers, model="retail", seed=1)
scores = bs.score(posterior, customers, horizon="39w", margin=1.0, annual_discount=0.1)
bs.save(posterior, "runs/cdnow")
```
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesseg import customers as _customers
from bayesseg import fitting as _fit
from bayesseg import naming, segment_map
from bayesseg import scoring as _score
from bayesseg._types import Check
from bayesseg.customers import Attributes, Customers, read_attributes
from bayesseg.gates import check, read_waivers, standing
from bayesseg.gates.waivers import today
from bayesseg.ingest import Options, read_purchases
from bayesseg.posterior import Posterior, save, to_datatree
from bayesseg.posterior import load as _load
from bayesseg.scoring import Scores, Settings
from bayesseg.spans import days
from bayesseg.spec import ModelSpec, load_spec
from bayesseg.summary import read_summary

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Attributes",
    "Check",
    "Customers",
    "Posterior",
    "Scores",
    "check",
    "days",
    "fit",
    "load",
    "read_attributes",
    "read_summary",
    "save",
    "score",
    "summarise",
    "to_datatree",
]


def summarise(
    orders: Any,
    *,
    as_of: str | dt.date | None = None,
    customer_id: str | None = None,
    date: str | None = None,
    amount: str | None = None,
    **options: Any,
) -> Customers:
    """Purchases to customers.

    Args:
        orders: a path (CSV, JSON lines, Parquet, .xlsx, DuckDB), ``postgresql://...``, or any frame with
            ``__arrow_c_stream__`` (pandas, polars, Arrow, DuckDB, Ibis), one row an order line.
        as_of: last day observed, inclusive; the last day of the data when not given.
        customer_id: name of the id column; guessed, and recorded in ``provenance``, when not given.
        date: name of the date column.
        amount: name of the amount column, or an expression such as ``"Quantity * UnitPrice"``.
        **options: the other fields of ``bayesseg.ingest.Options``.

    Raises:
        UsageError: ``as_of`` is no day.
        InputRejected: the data cannot be used as they are.
    """
    chosen = replace(Options(customer_id=customer_id, date=date, amount=amount), **options)
    with read_purchases(orders, chosen) as purchases:
        return _customers.summarise(purchases, as_of=as_of)


def fit(
    data: Customers | Attributes,
    model: str | Path | ModelSpec = "retail",
    *,
    seed: int,
    previous: Posterior | None = None,
    names: str | Path | None = None,
    waivers: str | Path | None = None,
) -> Posterior:
    """Fit a model: a shipped name, a TOML file or a ``ModelSpec``. A value comes back.

    Segments that continue those of ``previous`` keep their ids, names and map; ``names`` is the
    file of a map in place of the stored one, ``waivers`` that of gates that may miss. No backtest
    is made here, so ``forecast`` is ``"not-assessed"``; ``bayesseg fit`` makes two.
    """
    spec = model if isinstance(model, ModelSpec) else load_spec(model)
    own = None if names is None else segment_map.read(Path(names))
    overlooked = () if waivers is None else read_waivers(Path(waivers), spec.parts, today())
    return _fit.fit(data, spec, seed=seed, previous=previous, names=own, waivers=overlooked)


def load(path: str | Path) -> Posterior:
    """Read an artefact, with the verdicts it has today: a waiver may have run out since the fit.

    Raises:
        ArtefactBad: anything about it is odd.
    """
    return standing(_load(path))


def score(
    posterior: Posterior,
    data: Customers | Attributes,
    *,
    horizon: str | int = 90,
    value_horizon: str | int = 365,
    margin: float = 1.0,
    annual_discount: float = 0.10,
    names: str | Path | None = None,
    **settings: Any,
) -> pd.DataFrame:
    """One row a customer. ``attrs["bayesseg"]`` holds units, settings, totals and segments.

    ``names`` is the file of a map of segments in place of the one stored in the run.
    """
    if names is not None:
        posterior = naming.mapped(posterior, segment_map.read(Path(names)))
    chosen = Settings(
        horizon_days=days(horizon),
        value_horizon_days=days(value_horizon),
        margin=margin,
        annual_discount=annual_discount,
        **settings,
    )
    scores = _score.score(posterior, data, chosen)
    scores.table.attrs["bayesseg"] = scores.document
    return scores.table
