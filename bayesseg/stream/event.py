"""A message of a topic: a purchase, or the reason why it is none. L10.

A message is one JSON object with the id of the event, the customer, the day (``2024-01-31``, or a
moment, which may carry its offset from UTC) and the amount, a number or a plain text of one. The rules
are those of ingest, one message at a time; what one message cannot tell (that an id has three tenths of
all rows, that ids count from 0) is not asked.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple
from unicodedata import normalize
from zoneinfo import ZoneInfo

from bayesseg.ingest.ids import NOBODY
from bayesseg.ingest.numbers import MISSING, SPACES
from bayesseg.ingest.raw import is_unusable

REASONS = {
    "empty": "the message has no content",
    "not_json": "it is no JSON object",
    "event_id_missing": "it has no event id: whether it came twice could not be told",
    "event_id_unusable": "the event id holds control or invisible characters, or is over 256 long",
    "event_changed": "an event of that id came before and said something else; the first one counts",
    "id_missing": "it names no customer",
    "id_unusable": "the customer id holds control or invisible characters, or is over 256 long",
    "placeholder": "the customer id stands for nobody (--keep-id where it is a customer)",
    "date_missing": "it has no day",
    "date_unreadable": "the day is neither 2024-01-31 nor a moment of ISO 8601",
    "date_zone_unknown": "the moment has an offset from UTC, and no zone says whose day it is: --tz",
    "date_too_early": "the day is before --min-date of the fit",
    "date_in_future": "the day is later than tomorrow",
    "too_late": "the day is before those whose events are remembered: it may have been counted",
    "amount_missing": "it has no amount",
    "amount_unreadable": "the amount is no finite number below 10^14",
    "refund_dropped": "a refund, and the fit left refunds out",
    "refund_refused": "a refund, and the fit refused refunds",
}
"""Why a message is set aside, in the order in which it is asked; each with what it means."""

EARLIEST = date(1980, 1, 1)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}.*", re.DOTALL)
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d{1,3})?")
_FRACTION = Decimal("0.0001")
_DIGITS = 14
_MOST = Decimal(10) ** _DIGITS
_BLANK = SPACES + "\t"
_NOBODY = frozenset(NOBODY)


class Event(NamedTuple):
    """A purchase line: ``amount`` in the currency of the fit to four places, negative for a refund."""

    event_id: str
    customer_id: str
    purchase_day: date
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Rules:
    """How messages are read.

    Attributes:
        event_id: name of the member that holds the id of the event.
        customer_id: the same of the customer.
        day: the same of the day or moment.
        amount: the same of the amount.
        zone: of the business day; without one a moment with an offset from UTC has no day.
        id_trim: take blanks off the ends of customer ids.
        id_normalize: ``NFC``, or None.
        keep_id: ids, in small letters, that are customers although they look like nobody.
        refunds: ``net``, ``drop`` or ``refuse``.
        earliest: days before it are taken for a fault.
    """

    event_id: str = "event_id"
    customer_id: str = "customer_id"
    day: str = "date"
    amount: str = "amount"
    zone: str | None = None
    id_trim: bool = False
    id_normalize: str | None = None
    keep_id: frozenset[str] = frozenset()
    refunds: str = "net"
    earliest: date = EARLIEST


def read(content: bytes | None, rules: Rules, floor: date, latest: date) -> Event | str:
    """The event in a message, or one of ``REASONS``.

    Args:
        content: the message.
        rules: how to read it.
        floor: events of days before it are no longer remembered.
        latest: the last day that an event may have.
    """
    if not content:
        return "empty"
    try:
        found = json.loads(content, parse_float=_number, parse_int=Decimal, parse_constant=_refuse)
    except (ValueError, RecursionError):  # neither UTF-8 nor JSON
        return "not_json"
    if not isinstance(found, dict):
        return "not_json"
    event_id, customer_id = (_text(found.get(one)) for one in (rules.event_id, rules.customer_id))
    if not event_id.strip(_BLANK):
        return "event_id_missing"
    if is_unusable(event_id):
        return "event_id_unusable"
    customer_id = _named(customer_id, rules)
    if not customer_id.strip(_BLANK):
        return "id_missing"
    if is_unusable(customer_id):
        return "id_unusable"
    if _nobody(customer_id.strip(_BLANK).lower(), rules):
        return "placeholder"
    day = _day(found.get(rules.day), rules.zone)
    if isinstance(day, str):
        return day
    if day < rules.earliest:
        return "date_too_early"
    if day > latest:
        return "date_in_future"
    if day < floor:
        return "too_late"
    amount = _amount(found.get(rules.amount))
    if isinstance(amount, str):
        return amount
    if amount < 0 and rules.refunds != "net":
        return {"drop": "refund_dropped", "refuse": "refund_refused"}[rules.refunds]
    return Event(event_id, customer_id, day, amount)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _number(text: str) -> Decimal:
    """A number; one whose exponent is beyond what is reckoned with is infinite, and so no amount."""
    try:
        return Decimal(text)
    except ArithmeticError:
        return Decimal("Infinity")


def _text(value: Any) -> str:
    """An id as text: a text as it is, a whole number in digits; nothing else is one."""
    if isinstance(value, str):
        return value
    whole = isinstance(value, Decimal) and value.as_tuple().exponent == 0
    return f"{value:f}" if whole else ""


def _named(customer_id: str, rules: Rules) -> str:
    text = customer_id.strip(_BLANK) if rules.id_trim else customer_id
    return normalize("NFC", text) if rules.id_normalize else text


def _nobody(plain: str, rules: Rules) -> bool:
    return (plain in _NOBODY or not plain.strip("0")) and plain not in rules.keep_id


def _day(value: Any, zone: str | None) -> date | str:
    text = value.strip(_BLANK) if isinstance(value, str) else "" if value is None else "?"
    if text.lower() in MISSING:
        return "date_missing"
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
        if _MOMENT.fullmatch(text):
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                return moment.date()
            return moment.astimezone(ZoneInfo(zone)).date() if zone else "date_zone_unknown"
    except (ValueError, OverflowError):  # the 31st of a month that has none, or the year 10000
        pass
    return "date_unreadable"


def _amount(value: Any) -> Decimal | str:
    """The amount as ingest rounds it: half a unit of the fourth place goes away from zero."""
    if value is None or (isinstance(value, str) and value.strip(_BLANK).lower() in MISSING):
        return "amount_missing"
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip(_BLANK)):
        value = Decimal(value.strip(_BLANK))
    if not isinstance(value, Decimal) or not value.is_finite():
        return "amount_unreadable"
    if value and value.adjusted() >= _DIGITS:  # abs(value) may be more than Decimal reckons with
        return "amount_unreadable"
    amount = value.quantize(_FRACTION, ROUND_HALF_UP)
    return amount if abs(amount) < _MOST else "amount_unreadable"
