"""What is noticed in a purchase log, and what is not."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from bayesseg.customers import summarise
from bayesseg.ingest import Options, read_purchases
from bayesseg.segmentation.outliers import apart

START = dt.date(2023, 1, 2)


def log(n=4000, seed=2, days=360):
    """An ordinary shop: evenly spread days, log-normal amounts."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "customer_id": [f"c{i:04}" for i in rng.integers(0, 500, n)],
            "date": [START + dt.timedelta(int(d)) for d in rng.integers(0, days, n)],
            "amount": np.round(rng.lognormal(3.0, 0.8, n), 2),
        }
    )


def noticed(table):
    """Findings by code."""
    with read_purchases(table) as purchases:
        return {one["code"]: one for one in purchases.provenance["findings"]}


def facts(table):
    with read_purchases(table) as purchases:
        return purchases.provenance["quality"]


def test_an_ordinary_log_raises_no_warning():
    assert [one for one in noticed(log()).values() if one["level"] != "note"] == []


def test_amount_outliers_are_those_of_pandas():
    """Tukey's fences and the robust z of the logarithm, from the raw values."""
    table = log()
    logs = np.log(table["amount"])
    q1, q3 = logs.quantile([0.25, 0.75])
    fences = int(((logs < q1 - 1.5 * (q3 - q1)) | (logs > q3 + 1.5 * (q3 - q1))).sum())
    away = (logs - logs.median()).abs()
    far = int((away > 3.5 * 1.4826 * away.median()).sum())
    found = facts(table)["amounts"]
    assert found["iqr_outliers"]["rows"] == pytest.approx(fences, abs=1)
    assert found["robust_z_outliers"]["rows"] == pytest.approx(far, abs=1)
    assert found["median"] == pytest.approx(table["amount"].median(), rel=2e-3)


def test_a_gap_is_found_where_it_is():
    table = log()
    closed = (table["date"] < dt.date(2023, 6, 1)) | (table["date"] > dt.date(2023, 7, 10))
    found = noticed(table[closed])["date_gap"]
    assert found["message"].startswith(
        "1 gap without any purchase, the longest of 40 days after 2023-05-31"
    )


def test_a_doubled_week_is_no_alarm_and_five_times_the_rows_are():
    table = log()
    week = table[(table["date"] >= dt.date(2023, 5, 1)) & (table["date"] < dt.date(2023, 5, 8))]
    twice, often = (
        pd.concat([table, *[week.assign(amount=week["amount"] + k) for k in range(1, times)]])
        for times in (2, 6)
    )
    assert "volume_odd" not in noticed(twice)
    assert noticed(often)["volume_odd"]["level"] == "warning"
    assert facts(often)["time"]["odd_weeks"][0]["week"] == "2023-05-01"


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_cents_among_euros_are_found(share):
    table = log()
    cents = np.random.default_rng(3).random(len(table)) < share
    prices = np.where(cents, np.round(table["amount"] * 100), table["amount"])
    found = noticed(table.assign(amount=np.minimum(prices, 1e6)))
    assert found["scales_mixed"]["count"] == pytest.approx(cents.sum(), rel=0.05)


def test_two_kinds_of_goods_are_not_taken_for_two_scales():
    """Spare parts and cars: two lumps, but hundreds of times apart and with decimals."""
    table = log()
    cars = np.random.default_rng(3).random(len(table)) < 0.1
    assert "scales_mixed" not in noticed(
        table.assign(amount=table["amount"] * np.where(cars, 900, 1))
    )


def test_completeness_counts_what_has_no_value():
    table = log(1000)
    table.loc[:3, "amount"] = np.nan
    found = facts(table)["completeness"]["amount"]
    assert found == {"present": 996, "missing": 4, "share": 0.996}


def test_orders_of_several_customers_are_counted():
    from bayesseg.ingest import Options

    table = log(1000).assign(order=[f"o{i // 2}" for i in range(1000)])
    same = table.groupby("order")["customer_id"].nunique()
    with read_purchases(table, Options(order_id="order")) as purchases:
        found = purchases.provenance["quality"]["consistency"]["one_customer_an_order"]
    assert (found["asked"], found["failing"]) == (500, int((same > 1).sum()))


def test_a_customer_unlike_all_others_is_flagged_by_both_measures():
    odd = pd.DataFrame(
        {
            "customer_id": "whale",
            "date": [START + dt.timedelta(d) for d in range(358)],
            "amount": 50_000.0,
        }
    )
    with read_purchases(pd.concat([log(), odd])) as purchases:
        customers = summarise(purchases)
    found = apart(customers)
    assert "whale" in customers.ids[found.mahalanobis]
    assert "whale" in customers.ids[found.forest]
    assert len(found.forest) < 0.02 * len(customers)
    assert len(found.mahalanobis) < 0.05 * len(customers)


def test_too_few_customers_are_not_compared():
    with read_purchases(log().query("customer_id < 'c0020'")) as purchases:
        assert apart(summarise(purchases)) is None


def test_rows_without_an_id_name_nobody():
    table = log(100).astype({"customer_id": object})
    table.loc[[1, 2], "customer_id"] = [None, " "]
    with read_purchases(table, Options(drop_missing_id=True)) as purchases:
        [missing] = [f for f in purchases.provenance["findings"] if f["code"] == "id_missing"]
        assert (missing["records"], purchases.ids_of(missing["records"])) == ([2, 3], [])


def ordered(lines):
    """A log of orders of two lines each, the amounts of which ``lines`` makes of two draws."""
    one = log(200)
    two = log(200, seed=3)["amount"]
    one = one.assign(order_id=[f"o{i}" for i in range(len(one))])
    first, second = lines(one["amount"], two)
    return pd.concat([one.assign(amount=first), one.assign(amount=second)])


def said_of_orders(table):
    with read_purchases(table, Options(order_id="order_id")) as purchases:
        found = {one["code"]: one for one in purchases.provenance["findings"]}
    return found.get("amount_of_order", {"count": 0})["count"]


def test_one_amount_on_all_lines_of_nearly_all_orders_is_a_warning():
    assert said_of_orders(ordered(lambda a, b: (a + b, a + b))) == 200


def test_lines_of_their_own_amounts_or_of_one_price_are_no_totals():
    assert said_of_orders(ordered(lambda a, b: (a, b))) == 0
    assert said_of_orders(ordered(lambda a, b: (10.0, 10.0))) == 0


def test_a_rule_is_asked_of_rows_with_a_value():
    table = log(400)
    table.loc[:3, "customer_id"] = None
    with read_purchases(table) as purchases:
        found = purchases.provenance["quality"]["consistency"]
    assert [found[f"{name}_readable"]["asked"] for name in ("id", "date")] == [396, 400]


def test_a_level_of_shares_in_no_row_is_a_warning():
    table = log(400).assign(kind=["a", "b"] * 200)
    with read_purchases(table, Options(shares=("kind|a|x|y",))) as purchases:
        [found] = [f for f in purchases.provenance["findings"] if "share" in f["code"]]
    assert found["message"] == "2 levels of 'kind' in no row: 'x', 'y'"
