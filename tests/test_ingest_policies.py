"""What may be settled about ids, days and currencies, and what it does to the numbers."""

import datetime as dt
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from bayesseg.customers import summarise
from bayesseg.errors import InputRejected, UsageError
from bayesseg.ingest import Options, examine, read_purchases
from bayesseg.ingest.currencies import read_rates

PARIS = ZoneInfo("Europe/Paris")


def frame(ids, dates, amounts, **more):
    return pd.DataFrame({"customer_id": ids, "date": dates, "amount": amounts, **more})


def days_of(table, **options):
    """The day of each row, in order."""
    with read_purchases(table, Options(**options)) as purchases:
        found = purchases.connection.execute(
            "SELECT purchase_day FROM bayesseg_source JOIN bayesseg_ids USING (customer_id) ORDER BY id"
        ).fetchall()
    return [day for (day,) in found]


def moments(n=200):
    """Moments all over 2024, some of them within minutes of a change of clocks or of midnight."""
    rng = np.random.default_rng(5)
    anywhere = [
        dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(minutes=int(m))
        for m in rng.integers(0, 525_000, n)
    ]
    edges = [
        dt.datetime(2024, m, d, h, 30, tzinfo=dt.UTC)
        for m, d in ((3, 30), (3, 31), (10, 26), (10, 27))
        for h in (0, 1, 2, 21, 22, 23)
    ]
    return anywhere + edges


@pytest.mark.parametrize(
    "form", ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %I:%M:%S %p +00:00", "%d/%m/%Y %H:%M UTC"]
)
def test_the_business_day_is_that_of_the_zone_as_python_has_it(form):
    at = moments()
    ids = [f"{i:04}" for i in range(len(at))]
    table = frame(ids, [one.strftime(form) for one in at], ["5.00"] * len(at))
    assert days_of(table, tz="Europe/Paris") == [one.astimezone(PARIS).date() for one in at]


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 1000)])
def test_epochs_are_business_days(unit, factor):
    at = moments()
    ids = [f"{i:04}" for i in range(len(at))]
    table = frame(ids, [str(int(one.timestamp()) * factor) for one in at], ["5.00"] * len(at))
    assert days_of(table, epoch=unit, tz="Europe/Paris") == [
        one.astimezone(PARIS).date() for one in at
    ]


def test_arrow_times_with_a_zone_become_business_days():
    at = moments()
    ids = [f"{i:04}" for i in range(len(at))]
    table = frame(ids, pd.to_datetime(at, utc=True), [5.0] * len(at))
    assert days_of(table, tz="Europe/Paris") == [one.astimezone(PARIS).date() for one in at]


def test_local_times_keep_their_day():
    table = frame(["a", "b"], ["2024-03-31 23:59", "2024-04-01 00:01"], ["1.50", "2.50"])
    assert days_of(table, tz="America/New_York") == [dt.date(2024, 3, 31), dt.date(2024, 4, 1)]


def test_amounts_become_one_currency_by_the_rate_of_their_day(tmp_path):
    rates = tmp_path / "rates.csv"
    rates.write_text(
        "date;currency;rate\n2024-01-01;usd;0,9\n2024-02-01;USD;0,8\n2024-01-15;GBP;1,25\n"
    )
    table = frame(
        ["a", "b", "c", "d"],
        ["2024-01-31", "2024-02-01", "2024-02-01", "2024-01-20"],
        ["10.00", "10.00", "10.00", "10.00"],
        currency=["USD", "usd ", "EUR", "GBP"],
    )
    with read_purchases(table, Options(rates=rates)) as purchases:
        amounts = purchases.connection.execute(
            "SELECT amount FROM bayesseg_source JOIN bayesseg_ids USING (customer_id) ORDER BY id"
        ).fetchall()
        assert purchases.provenance["policies"]["currency"] == "EUR"
    assert [a for (a,) in amounts] == [Decimal("9"), Decimal("8"), Decimal("10"), Decimal("12.5")]


@pytest.mark.parametrize(
    "line",
    [
        "2024-13-01,USD,1",
        "2024-01-01,,1",
        "2024-01-01,USD,0",
        "2024-01-01,USD,nan",
        "2024-01-01,USD",
    ],
)
def test_a_faulty_line_of_rates_is_named(line, tmp_path):
    path = tmp_path / "rates.csv"
    path.write_text(f"date,currency,rate\n2024-01-01,GBP,1.2\n{line}\n")
    with pytest.raises(InputRejected, match="line 3"):
        read_rates(path)


def test_the_one_currency_of_a_log_is_recorded():
    table = frame(["a", "b"], ["2024-01-01", "2024-01-02"], ["1.50", "2.50"], devise=["EUR", "eur"])
    with read_purchases(table) as purchases:
        assert purchases.provenance["policies"]["currency"] == "EUR"


def test_flags_that_differ_from_their_defaults_are_recorded_without_ids_and_files():
    options = Options(
        tz="Europe/Paris", keep_id=("guest",), min_date=dt.date(1970, 1, 1), currency="none"
    )
    assert options.given() == {"tz": "Europe/Paris", "min_date": "1970-01-01", "currency": "none"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"tz": "Paris"},
        {"epoch": "us"},
        {"id_normalize": "NFKC"},
        {"currency_symbol": " "},
        {"currency_symbol": "1"},
        {"epoch": "s", "date_format": "%d/%m/%Y"},
    ],
)
def test_flags_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UsageError) as caught:
        Options(**wrong)
    assert caught.value.fix


def test_ids_in_two_writings_become_one_customer():
    ids = [" Zoe\u0301", "Zo\u00e9 ", "Zo\u00e9"]
    table = frame(ids, ["2024-01-01", "2024-01-02", "2024-01-05"], ["1.50", "2.50", "3.50"])
    with read_purchases(table, Options(id_trim=True, id_normalize="NFC")) as purchases:
        c = summarise(purchases)
    assert (c.ids.tolist(), c.x.tolist(), c.t_x.tolist()) == (["Zo\u00e9"], [2], [4])


def test_a_log_that_is_refused_can_still_be_looked_at():
    table = frame(["a", "b", "c"], ["2024-01-01", "2024-01-02", "soon"], ["1.50", "2.50", "3.50"])
    purchases = examine(table)
    assert [error.code for error in purchases.refused] == ["too_many_bad_rows"]
    assert purchases.provenance["rows"] == {"in": 3, "used": 2, "excluded": {"date_unreadable": 1}}
    with pytest.raises(InputRejected, match=r"33\.3%"):
        read_purchases(table)
