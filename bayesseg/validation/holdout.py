"""A cut through a purchase log: who was known before it, and what they did after it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from bayesseg._random import Keys, customer_keys
from bayesseg._types import Array, IntArray
from bayesseg.customers import Attributes, Customers, activity, summarise, with_attributes
from bayesseg.errors import UsageError
from bayesseg.ingest import Purchases
from bayesseg.readiness import require_ready

CUSTOMERS = 20_000
"""So many customers at most are scored one by one; the fit before the cut uses all."""


@dataclass(frozen=True, slots=True)
class Holdout:
    """What was known at ``cut`` and what came within ``horizon_days`` after it.

    Attributes:
        known: every customer known at the cut, as known then.
        scored: those who are scored: all, or as many as asked for, drawn at random.
        keys: of the scored, for their random numbers.
        purchases: purchase days of the scored in the holdout, (N,).
        spend: their net spend on those days, (N,), in currency.
    """

    cut: date
    horizon_days: int
    known: Customers
    scored: Customers
    keys: Keys
    purchases: IntArray
    spend: Array

    @property
    def until(self) -> date:
        """The last day of the holdout."""
        return self.cut + timedelta(days=self.horizon_days)


def holdout(
    purchases: Purchases,
    cut: date,
    horizon_days: int,
    parts: Collection[str] = ("purchase",),
    *,
    seed: int,
    as_of: date | None = None,
    attributes: Attributes | None = None,
    most: int = CUSTOMERS,
) -> Holdout:
    """Split ``purchases`` at ``cut``. Nothing of ``known`` depends on any row recorded after it.

    ``as_of`` is the last day observed, by default that of the data; purchases after it do not count.
    ``attributes`` are static facts about customers: they are taken as known at the cut. At most
    ``most`` customers are scored.

    Raises:
        UsageError: the data do not reach from before the cut to the end of the holdout.
        InputRejected: the customers known at the cut cannot carry a fit of ``parts``.
    """
    first, last = span(purchases, as_of)
    until = cut + timedelta(days=horizon_days)
    if not first <= cut or until > last:
        room = f"the data cover {first} to {last}"
        raise UsageError(
            f"a holdout of {horizon_days} days from {cut} ends on {until}: {room}",
            fix="choose another cut or a shorter horizon",
        )
    known = summarise(purchases, as_of=cut)
    require_ready(known, parts)
    if attributes is not None:
        known = with_attributes(known, attributes)
    scored = known.take(sample(known, most, seed))
    ids, count, spend = activity(purchases, cut, until)
    place = np.minimum(np.searchsorted(ids, scored.ids), max(len(ids) - 1, 0))
    came = ids[place] == scored.ids if len(ids) else np.zeros(len(scored), dtype=bool)
    return Holdout(
        cut=cut,
        horizon_days=horizon_days,
        known=known,
        scored=scored,
        keys=customer_keys(scored.ids, seed),
        purchases=np.where(came, count[place] if len(ids) else 0, 0).astype(np.int64),
        spend=np.where(came, spend[place] if len(ids) else 0.0, 0.0),
    )


def span(purchases: Purchases, as_of: date | None) -> tuple[date, date]:
    """The first day of the data and the last day observed."""
    days = purchases.provenance["days"]
    first, last = date.fromisoformat(days["first"]), date.fromisoformat(days["last"])
    return first, as_of or last


def sample(known: Customers, most: int, seed: int) -> IntArray:
    """Rows of at most ``most`` customers, the same ones whatever the order of the customers."""
    if len(known) <= most:
        return np.arange(len(known))
    chosen = np.argpartition(customer_keys(known.ids, seed), most)[:most]
    return np.sort(chosen).astype(np.int64)
