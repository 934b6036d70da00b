"""Which customer tables may be fitted, and what is said of the others."""

import datetime as dt

import numpy as np
import pytest

from bayesseg.customers import Customers
from bayesseg.errors import InputRejected
from bayesseg.readiness import readiness, require_ready


def customers(x, t_x, t_end, spend=None):
    """A table of the histories given; a repeat day is worth ``spend``."""
    x, t_x, t_end = (np.asarray(v, dtype=np.int64) for v in (x, t_x, t_end))
    each = np.arange(1.0, len(x) + 1) if spend is None else np.asarray(spend, dtype=float)
    return Customers(
        ids=np.array([f"{i:05d}" for i in range(len(x))], dtype=object),
        x=x,
        t_x=t_x,
        t_end=t_end,
        x_paid=np.where(each > 0, x, 0),
        repeat_spend=each * x,
        first_spend=each,
        n_orders=x + 1,
        as_of=dt.date(2024, 12, 31),
    )


def rich(n=600):
    """``n`` customers, all bought again, on 200 days."""
    i = np.arange(n)
    return customers(1 + i % 4, 20 + i % 150, 200 + i % 30, 5.0 + i % 17)


def levels(table):
    return {gate.name: gate.level for gate in readiness(table)}


def test_a_rich_table_is_ready():
    assert set(levels(rich()).values()) == {"ready"}
    assert require_ready(rich()) == ()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (customers([3], [20], [90]), "one customer only"),
        (customers([0] * 30, [0] * 30, range(30)), "nobody bought on a second day"),
        (customers([0] * 30, [0] * 30, [40] * 30), "all purchases are of one day"),
        (customers([1] * 9 + [0] * 30, [5] * 9 + [0] * 30, [40] * 39), "9 repeat buyers"),
        (customers([1] * 20, [5] * 20, [40] * 20), "the same history"),
        (customers([1] * 20, range(5, 25), range(5, 25)), "bought on the last day"),
        (customers([1] * 20, range(5, 25), [40] * 20, [7.0] * 20), "all 20 repeat buyers spend 7"),
        (customers([1] * 20, range(5, 25), [40] * 20, [0.0] * 20), "has a positive amount"),
    ],
)
def test_a_table_that_identifies_nothing_is_refused(table, message):
    with pytest.raises(InputRejected, match=message) as caught:
        require_ready(table)
    assert caught.value.exit_code == 3


def test_spend_is_not_asked_for_where_it_is_not_modelled():
    table = customers([1] * 20, range(5, 25), [40] * 20, [7.0] * 20)
    assert require_ready(table, parts=("purchase",))


@pytest.mark.parametrize(
    ("repeaters", "expected"), [(9, "blocked"), (10, "caution"), (50, "ready")]
)
def test_ten_repeat_buyers_are_needed_and_fifty_wanted(repeaters, expected):
    x = np.repeat([1, 0], [repeaters, 100])
    table = customers(x, x * np.arange(5, 5 + len(x)), [300] * len(x))
    assert levels(table)["repeat_buyers"] == expected


def test_short_history_is_a_caution():
    i = np.arange(600)
    assert levels(customers(1 + i % 4, 10 + i % 20, 40 + i % 30))["history_days"] == "caution"
