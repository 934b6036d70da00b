"""What a caller may settle about a source; everything else is inferred and shown."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from bayesseg.errors import UsageError

REFUNDS = ("net", "drop", "refuse")


@dataclass(frozen=True, slots=True)
class Options:
    """How to read a purchase log. ``None`` means: infer it, record it, refuse what is ambiguous.

    Attributes:
        customer_id: column of the customer.
        date: column of the day.
        amount: column of the money, or columns joined by ``*``, ``+`` and ``-``.
        order_id: column that groups lines into orders; refunds are dated at their order.
        extract: column naming the extract a line stands in; an order kept from one extract only.
        drop_missing_id: accept any share of lines without a customer.
        max_bad: largest share of lines that may be set aside before the source is refused.
        dedupe: drop exact copies of a line instead of counting them.
        refunds: ``net`` (within the order, else the day), ``drop`` or ``refuse``.
        encoding: Python name of the text encoding.
        delimiter: one of ``, ; | TAB``.
        decimal: ``.`` or ``,``.
        date_format: as in ``%d/%m/%Y`` or ``dd/mm/yyyy``.
        min_date: days before it are taken for a fault of the source.
    """

    customer_id: str | None = None
    date: str | None = None
    amount: str | None = None
    order_id: str | None = None
    extract: str | None = None
    drop_missing_id: bool = False
    max_bad: float = 0.01
    dedupe: bool = False
    refunds: str = "net"
    encoding: str | None = None
    delimiter: str | None = None
    decimal: str | None = None
    date_format: str | None = None
    min_date: dt.date = dt.date(1980, 1, 1)

    def __post_init__(self) -> None:
        if not 0.0 <= self.max_bad <= 1.0:
            raise UsageError(f"--max-bad {self.max_bad:g} is not a share", fix="give 0 to 1")
        if self.refunds not in REFUNDS:
            raise UsageError(
                f"--refunds {self.refunds!r} is unknown", fix=f"choose {', '.join(REFUNDS)}"
            )
        if self.decimal not in (None, ".", ","):
            raise UsageError(f"--decimal {self.decimal!r} is neither '.' nor ','")
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '"\r\n'):
            raise UsageError(f"--delimiter {self.delimiter!r} is not one character")
        if self.extract is not None and self.order_id is None:
            raise UsageError(
                "--extract keeps each order from one extract, and no order column is given",
                fix="give --order-id COLUMN as well",
            )


def flag(field: str) -> str:
    """The command-line flag of an option: ``date_format`` is ``--date-format``."""
    return f"--{field.replace('_', '-')}"
