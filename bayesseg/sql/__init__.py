"""The one audited text that turns purchase rows into customers. L2."""

from __future__ import annotations

from datetime import date
from importlib.resources import files

_DAY = "DATE '0001-01-01'"
_MARK = "-- then\n"


def _text(as_of: date) -> str:
    text = files(__package__).joinpath("duckdb.sql").read_text(encoding="utf-8")
    if (text.count(_DAY), text.count(_MARK)) != (2, 1):
        raise AssertionError("duckdb.sql does not hold its two days and one mark")
    return text.replace(_DAY, f"DATE '{as_of.isoformat()}'")


def bought(as_of: date) -> str:
    """``bought(customer_id, purchase_day, net, row_count, orders, first_day)`` as of a day."""
    return _text(as_of).partition(_MARK)[0] + "SELECT * FROM bought"


def summary(as_of: date) -> str:
    """One row a customer, over a table ``bought`` made by the text of :func:`bought`."""
    return _text(as_of).partition(_MARK)[2]
