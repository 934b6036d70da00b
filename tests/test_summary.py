"""From purchase rows to customers: published counts, a second implementation, and invariances."""

import datetime as dt
from dataclasses import astuple, fields

import numpy as np
import pandas as pd
import pytest
from summary_case import (
    by_pandas,
    each_order_once,
    in_cents,
    in_mills,
    master_frame,
    retail_lines,
    sample_frame,
)

from bayesseg.customers import Customers, activity, summarise, weekly
from bayesseg.errors import InputRejected
from bayesseg.ingest import Options, read_purchases

GOLDEN = pd.DataFrame(
    [
        ("1", "2024-01-01", "10"),
        ("1", "2024-01-01", "5"),
        ("1", "2024-02-01", "20"),
        ("1", "2024-03-01", "8"),
        ("1", "2024-03-01", "-8"),
        ("2", "2024-01-05", "7"),
        ("2", "2024-03-01", "0"),
        ("2", "2024-04-01", "-7"),
        ("00042", "2024-01-02", "1"),
        ("00042", "2024-01-09", "2"),
        ("00042", "2024-06-01", "100"),
        ("00042", "2024-06-02", "5"),
    ],
    columns=["customer_id", "date", "amount"],
)


@pytest.fixture(scope="module")
def sample(cdnow_sample):
    return read_purchases(sample_frame(cdnow_sample))


@pytest.fixture(scope="module")
def master(cdnow_master):
    return read_purchases(master_frame(cdnow_master))


def arrays(customers):
    return {
        f.name: getattr(customers, f.name).tolist()
        for f in fields(Customers)
        if isinstance(getattr(customers, f.name), np.ndarray)
    }


@pytest.mark.parametrize(
    ("log", "as_of", "expected"),
    [
        ("sample", "1997-09-30", (2_357, 2_457, 946, 29, 95_355.60, 272, 1_016)),
        ("sample", "1998-06-30", (2_357, 4_339, 1_139, 43, 166_331.99, 545, 1_218)),
        ("master", "1997-09-30", (23_570, 24_337, 9_451, 80, 938_793.89, 272, 8_685)),
        ("master", "1998-06-30", (23_570, 44_021, 11_516, 170, 1_715_755.02, 545, 11_104)),
    ],
)
def test_cdnow_gives_the_known_counts(log, as_of, expected, request):
    c = summarise(request.getfixturevalue(log), as_of)
    triples = len(set(zip(c.x.tolist(), c.t_x.tolist(), c.t_end.tolist(), strict=True)))
    actual = (
        len(c),
        c.x.sum(),
        (c.x > 0).sum(),
        c.x.max(),
        round(c.repeat_spend.sum(), 2),
        c.t_end.max(),
        triples,
    )
    assert expected == actual


@pytest.mark.parametrize(("as_of", "mean"), [("1997-09-30", 35.0778), ("1998-06-30", 35.7844)])
def test_cdnow_gives_the_known_mean_spend(as_of, mean, sample):
    c = summarise(sample, as_of)
    paid = c.x_paid > 0
    assert mean == round((c.repeat_spend[paid] / c.x_paid[paid]).mean(), 4)


@pytest.mark.parametrize("as_of", ["1997-09-30", "1998-06-30"])
def test_the_summary_equals_one_made_with_pandas(as_of, sample, cdnow_sample):
    expected = by_pandas(in_cents(sample_frame(cdnow_sample)), as_of)
    actual = arrays(summarise(sample, as_of))
    assert expected == {name: actual[name] for name in expected}


def test_a_hand_made_log_gives_the_hand_made_table():
    c = summarise(read_purchases(GOLDEN, Options(refunds="net")), "2024-06-01")
    actual = {row[0]: row[1:] for row in zip(*(arrays(c)[name] for name in COLUMNS), strict=True)}
    assert actual == {
        "1": (1, 31, 152, 1, 20.0, 15.0, 2),
        "2": (1, 56, 148, 0, 0.0, 7.0, 2),
        "00042": (2, 151, 151, 2, 102.0, 1.0, 3),
    }
    rows = c.provenance["rows"]
    assert rows == {"in": 12, "used": 8, "excluded": {"after_as_of": 1, "refund_unmatched": 3}}


COLUMNS = ("ids", "x", "t_x", "t_end", "x_paid", "repeat_spend", "first_spend", "n_orders")


def test_rows_in_any_order_give_the_same_customers(sample, cdnow_sample):
    shuffled = sample_frame(cdnow_sample).sample(frac=1, random_state=3)
    assert arrays(summarise(sample)) == arrays(summarise(read_purchases(shuffled)))


def test_a_french_file_gives_the_same_customers_without_a_flag(sample, cdnow_sample, tmp_path):
    frame = sample_frame(cdnow_sample)
    day = pd.to_datetime(frame["date"], format="%Y%m%d").dt.strftime("%d/%m/%Y")
    money = [f"{float(a):,.2f}".replace(",", "\u00a0").replace(".", ",") for a in frame["amount"]]
    lines = [
        f"{c};{d};{m};Hélène" for c, d, m in zip(frame["customer_id"], day, money, strict=True)
    ]
    path = tmp_path / "commandes.csv"
    path.write_bytes("\r\n".join(["client;date_commande;montant;prénom", *lines]).encode("cp1252"))
    purchases = read_purchases(path)
    assert arrays(summarise(sample)) == arrays(summarise(purchases))
    dialect = purchases.provenance["dialect"]
    assert {name: entry["value"] for name, entry in dialect.items()} == {
        "encoding": "cp1252",
        "delimiter": ";",
        "date_format": "%d/%m/%Y",
        "decimal": ",",
    }


def test_a_summary_knows_nothing_of_later_rows():
    """A cut reproduces what was known on that day, also where a refund came later."""
    orders = pd.DataFrame(
        {
            "customer_id": list("aaab"),
            "date": ["2024-01-02", "2024-01-20", "2024-03-09", "2024-02-03"],
            "amount": [10.0, 30.0, -30.0, 5.0],
            "order": ["1", "2", "2", "3"],
        }
    )
    options = Options(order_id="order")
    cut = summarise(read_purchases(orders, options), "2024-02-10")
    then = summarise(read_purchases(orders[orders["date"] <= "2024-02-10"], options), "2024-02-10")
    assert arrays(then) == arrays(cut)
    assert cut.x.tolist() == [1, 0]
    assert summarise(read_purchases(orders, options), "2024-03-10").x.tolist() == [0, 0]


def test_activity_counts_days_and_spend_after_the_cut(sample, cdnow_sample):
    rows = in_cents(sample_frame(cdnow_sample))
    rows = rows[(rows["day"] > "1997-09-30") & (rows["day"] <= "1998-01-31")]
    daily = rows.groupby(["customer_id", "day"])["cents"].sum().reset_index()
    expected = daily.groupby("customer_id")["cents"].agg(["size", "sum"]).sort_index()
    ids, days, spend = activity(sample, dt.date(1997, 9, 30), dt.date(1998, 1, 31))
    assert expected.index.tolist() == ids.tolist()
    assert expected["size"].tolist() == days.tolist()
    assert (expected["sum"] / 100).tolist() == spend.tolist()


def test_weekly_totals_add_up_to_the_customers(sample):
    c, totals = summarise(sample, "1998-06-30"), weekly(sample)
    assert c.x.sum() + len(c) == sum(totals["purchase_days"])
    assert len(c) == sum(totals["new_customers"])
    assert round(c.first_spend.sum() + c.repeat_spend.sum(), 2) == round(sum(totals["spend"]), 2)
    assert (totals["week"][0], len(totals["week"])) == ("1996-12-30", 79)


def test_quiet_weeks_are_in_the_weekly_totals():
    totals = weekly(read_purchases(GOLDEN), dt.date(2024, 6, 1))
    assert (len(totals["week"]), totals["purchase_days"][2]) == (22, 0)


def test_without_as_of_a_lone_last_day_is_refused():
    orders = GOLDEN[GOLDEN["date"] < "2024-06-01"]
    late = pd.concat([orders, GOLDEN.tail(1).assign(date="2025-06-02")])
    with pytest.raises(InputRejected, match="427 days after the one before"):
        summarise(read_purchases(late))
    assert dt.date(2025, 6, 2) == summarise(read_purchases(late), "2025-06-02").as_of


@pytest.fixture(scope="module")
def retail(shared):
    return read_purchases(
        shared / "data" / "online_retail_ii.parquet",
        Options(
            amount="Quantity * UnitPrice",
            order_id="InvoiceNo",
            extract="sheet",
            drop_missing_id=True,
        ),
    )


def test_online_retail_is_accounted_for_line_by_line(retail):
    c = summarise(retail)
    rows = c.provenance["rows"]
    assert rows["in"] - rows["excluded"]["other_extract"] == 1_044_847
    assert rows["in"] == rows["used"] + sum(rows["excluded"].values())
    assert c.provenance["customers"] == {
        "seen": 5_942,
        "with_purchases": 5_867,
        "no_purchase_left": 75,
    }


def test_online_retail_equals_a_summary_made_with_pandas(retail, shared):
    rows = in_mills(each_order_once(retail_lines(shared)))
    expected = by_pandas(rows, "2011-12-09", unit=1000)
    actual = arrays(summarise(retail))
    for name in expected:
        assert expected[name] == actual[name], name


def test_a_customer_table_holds_one_entry_for_each_field():
    c = summarise(read_purchases(GOLDEN), "2024-06-01")
    assert {3} == {len(v) for v in astuple(c)[:8]}
