"""The one audited text that turns purchase rows into customers. L2."""

from __future__ import annotations

from datetime import date
from importlib.resources import files

_DAY = "DATE '0001-01-01'"
_MARK = "-- then\n"
_ORDERS = "-- where orders have ids\n"


def _text(as_of: date) -> str:
    text = files(__package__).joinpath("duckdb.sql").read_text(encoding="utf-8")
    if (text.count(_DAY), text.count(_MARK), text.count(_ORDERS)) != (2, 1, 1):
        raise AssertionError("duckdb.sql does not hold its two days and two marks")
    return text.replace(_DAY, f"DATE '{as_of.isoformat()}'")


def bought(as_of: date, *, orders: bool) -> str:
    """``bought(customer_id, purchase_day, net, row_count, orders, first_day)`` as of a day.

    Without ``orders`` no row has an order id: counting them, which takes as long as all the rest, is
    left out.
    """
    text = _text(as_of).partition(_MARK)[0] + "SELECT * FROM bought"
    lines = text.splitlines(keepends=True)
    return text if orders else "".join(line for line in lines if not line.endswith(_ORDERS))


def summary(as_of: date) -> str:
    """One row a customer, over a table ``bought`` made by the text of :func:`bought`."""
    return _text(as_of).partition(_MARK)[2]
