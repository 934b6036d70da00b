"""What a caller may settle about a source; everything else is inferred and shown."""

from __future__ import annotations

import datetime as dt
import difflib
import zoneinfo
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesseg.errors import UsageError

if TYPE_CHECKING:
    from bayesseg.ingest.objections import Objections

REFUNDS = ("net", "drop", "refuse")
EPOCHS: Mapping[str, tuple[int, int]] = {"s": (11, 1_000_000), "ms": (14, 1_000)}
"""Of each unit in which time is counted since 1970: most digits read, microseconds in it."""
NO_CURRENCY = "none"
COLUMNS = ("customer_id", "date", "amount", "cost", "order_id", "extract", "currency", "group")
PLACE = ("sheet", "table", "query")
POLICIES = (
    "refunds",
    "max_bad",
    "dedupe",
    "drop_missing_id",
    "currency_symbol",
    "accounting_negatives",
    "id_trim",
    "id_normalize",
    "tz",
)


@dataclass(frozen=True, slots=True)
class How:
    """What a caller says of a source: what its text is written in, what of it is read.

    Attributes:
        encoding: of text.
        delimiter: of delimited text.
        sheet: of a workbook; ``all`` for every one.
        table: of a database, ``schema.name``.
        query: one SELECT that a database answers, in place of ``table``.
    """

    encoding: str | None = None
    delimiter: str | None = None
    sheet: str | None = None
    table: str | None = None
    query: str | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """How to read a purchase log. ``None`` means: infer it, record it, refuse what is ambiguous.

    Attributes:
        customer_id: column of the customer.
        date: column of the day.
        amount: column of the money, or columns joined by ``*``, ``+`` and ``-``.
        cost: column of what the line cost, or an expression as for ``amount``, with the sign of the
            amount; money is then margin, amount less cost, and purchases are what they were.
        group: column of what several accounts belong to (a company), which becomes the customer; who
            has none stays a customer of its own.
        shares: columns of lines (category, shop) of which each customer gets the share of spend by
            level; ``"category|toys|books"`` names the levels, else they are learned.
        order_id: column that groups lines into orders; refunds are dated at their order.
        extract: column naming the extract a line stands in; an order kept from one extract only.
        currency: column of the currency; ``"none"`` says that all amounts are in one.
        rates: file of dated rates (``date,currency,rate``), each in units of the currency wanted.
        currency_symbol: sign written with the amounts, such as ``€``.
        accounting_negatives: read ``(10.00)`` and ``10.00-`` as negative amounts.
        id_trim: take blanks off the ends of ids.
        id_normalize: ``NFC``: letters with accents written in two ways become one.
        keep_id: ids that are customers although they look like placeholders.
        suppress: who is to be left out, whose rows count as ``suppressed``.
        drop_missing_id: accept any share of lines without a customer.
        max_bad: largest share of lines that may be set aside before the source is refused.
        dedupe: drop exact copies of a line instead of counting them.
        refunds: ``net`` (within the order, else the day), ``drop`` or ``refuse``.
        encoding: Python name of the text encoding.
        delimiter: one of ``, ; | TAB``.
        decimal: ``.`` or ``,``.
        date_format: as in ``%d/%m/%Y`` or ``dd/mm/yyyy``.
        epoch: ``s`` or ``ms``: dates are times counted since 1970.
        tz: zone of the business day, such as ``Europe/Paris``; times without a zone are local already.
        min_date: days before it are taken for a fault of the source.
        sheet: sheet of a workbook, or ``all`` for every one (they get a column ``sheet``).
        table: table of a database, ``schema.name``.
        query: one SELECT that a database answers, in place of ``table``.
    """

    customer_id: str | None = None
    date: str | None = None
    amount: str | None = None
    cost: str | None = None
    group: str | None = None
    shares: tuple[str, ...] = ()
    order_id: str | None = None
    extract: str | None = None
    currency: str | None = None
    rates: Path | None = None
    currency_symbol: str | None = None
    accounting_negatives: bool = False
    id_trim: bool = False
    id_normalize: str | None = None
    keep_id: tuple[str, ...] = ()
    suppress: Objections | None = None
    drop_missing_id: bool = False
    max_bad: float = 0.01
    dedupe: bool = False
    refunds: str = "net"
    encoding: str | None = None
    delimiter: str | None = None
    decimal: str | None = None
    date_format: str | None = None
    epoch: str | None = None
    tz: str | None = None
    min_date: dt.date = dt.date(1980, 1, 1)
    sheet: str | None = None
    table: str | None = None
    query: str | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.max_bad <= 1.0:
            raise UsageError(f"--max-bad {self.max_bad:g} is not a share", fix="give 0 to 1")
        for name in ("keep_id", "shares"):
            if isinstance(value := getattr(self, name), str):
                raise UsageError(
                    f"{name} {value!r} is one text where several are wanted",
                    fix=f"give {name}=({value!r},)",
                )
        one_of("refunds", self.refunds, REFUNDS)
        for name, known in (("decimal", ".,"), ("epoch", EPOCHS), ("id_normalize", ("NFC",))):
            if (value := getattr(self, name)) is not None:
                one_of(name, value, known)
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '"\r\n'):
            raise UsageError(
                f"--delimiter {self.delimiter!r} is not one character",
                fix="give the character itself: ',' ';' '|' or a tab, in a shell $'\\t'",
            )
        if self.extract is not None and self.order_id is None:
            raise UsageError(
                "--extract keeps each order from one extract, and no order column is given",
                fix="give --order-id COLUMN as well",
            )
        if self.epoch is not None and self.date_format is not None:
            raise UsageError(
                "--epoch counts from 1970, --date-format reads texts", fix="give one of the two"
            )
        if self.currency_symbol is not None and (
            not self.currency_symbol.strip() or any(c.isdigit() for c in self.currency_symbol)
        ):
            raise UsageError(
                f"--currency-symbol {self.currency_symbol!r} is no sign of a currency",
                fix="for example --currency-symbol €",
            )
        if self.tz is not None:
            known_zone(self.tz)

    def how(self) -> How:
        """What concerns the opening of the source."""
        return How(**{f.name: getattr(self, f.name) for f in fields(How)})

    def given(self) -> dict[str, Any]:
        """Policies that differ from their defaults (JSON-able); no files, ids, columns or dialect."""
        usual = {f.name: f.default for f in fields(self)}
        settled = {name: getattr(self, name) for name in POLICIES}
        found = {name: value for name, value in settled.items() if value != usual[name]}
        if self.currency == NO_CURRENCY:
            found["currency"] = NO_CURRENCY
        if self.min_date != usual["min_date"]:
            found["min_date"] = self.min_date.isoformat()
        return found


def one_of(field: str, value: str, known: Collection[str]) -> None:
    """Refuse a ``value`` of an option that is not ``known``."""
    if value not in tuple(known):
        raise UsageError(
            f"{flag(field)} {value!r} is unknown", fix=f"choose {' or '.join(map(repr, known))}"
        )


def known_zone(name: str) -> None:
    """Refuse a zone that has no entry in the time-zone database."""
    known = zoneinfo.available_timezones()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        raise UsageError(
            f"--tz {name!r} is no time zone",
            fix=f"did you mean {near[0]}?" if near else "for example --tz Europe/Paris",
        )


def flag(field: str) -> str:
    """The command-line flag of an option: ``date_format`` is ``--date-format``."""
    return f"--{field.replace('_', '-')}"
