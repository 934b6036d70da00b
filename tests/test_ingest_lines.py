"""What the lines of a log say of customers besides amounts: costs, shares, groups."""

import numpy as np
import pandas as pd
import pytest

from bayesseg.customers import read_attributes, shares_of, summarise, with_attributes
from bayesseg.errors import InputRejected
from bayesseg.features import apply, columns_of, learn, raw_columns
from bayesseg.ingest import Options, asked, read_purchases
from bayesseg.segmentation.periods import Window, windowed
from bayesseg.spec import FeatureSpec

COSTED = pd.DataFrame(
    {
        "client": ["a", "a", "a", "b", "b", "b", "c"],
        "date": [f"2024-01-{day:02}" for day in (1, 1, 5, 2, 6, 9, 3)],
        "amount": [10.0, 5.0, 8.0, 20.0, 6.0, -6.0, 0.0],
        "cost": [4.0, 1.0, 9.5, 5.0, 2.0, -2.0, 1.0],
        "order": ["1", "1", "2", "3", "4", "4", "5"],
    }
)


def summed(table, **options):
    with read_purchases(table, Options(**options)) as purchases:
        return summarise(purchases)


def test_costs_change_what_purchases_are_worth_and_not_what_they_are():
    plain, margin = summed(COSTED), summed(COSTED, cost="cost")
    for name in ("ids", "x", "t_x", "t_end", "n_orders"):
        assert getattr(margin, name).tolist() == getattr(plain, name).tolist()
    assert plain.first_spend.tolist() == [15.0, 20.0, 0.0]
    assert margin.first_spend.tolist() == [10.0, 15.0, 0.0]
    assert plain.repeat_spend.tolist() == [8.0, 6.0, 0.0]
    assert margin.repeat_spend.tolist() == [0.0, 4.0, 0.0]
    assert margin.x_paid.tolist() == [0, 1, 0]


def test_a_purchase_sold_at_a_loss_counts_without_value_and_is_said():
    [found] = [
        f
        for f in summed(COSTED, cost="cost").provenance["findings"]
        if f["code"] == "sold_at_a_loss"
    ]
    assert found["count"] == 2
    assert "(-2.50)" in found["message"]


def test_a_refund_takes_its_cost_back_within_the_order():
    margin = summed(COSTED, cost="cost", order_id="order")
    assert margin.x.tolist() == [1, 0, 0]  # the refunded order nets to nothing
    assert margin.repeat_spend.tolist() == [0.0, 0.0, 0.0]


def test_a_cost_of_the_other_sign_than_its_amount_is_warned_of():
    table = COSTED.assign(cost=COSTED["cost"].abs())
    codes = {f["code"]: f["count"] for f in summed(table, cost="cost").provenance["findings"]}
    assert codes["cost_sign"] == 1


def test_costs_may_be_an_expression_that_shares_columns_with_the_amount():
    table = COSTED.assign(units=2.0, price=COSTED["amount"] / 2, unit_cost=COSTED["cost"] / 2)
    made = summed(table, amount="units * price", cost="units * unit_cost")
    plain = summed(COSTED, cost="cost")
    assert made.first_spend.tolist() == plain.first_spend.tolist()
    assert made.provenance["columns"]["cost"]["value"] == "units * unit_cost"
    assert made.provenance["policies"]["money"] == "margin"


@pytest.mark.parametrize(("bad", "reason"), [(None, "cost_missing"), ("dear", "cost_unreadable")])
def test_rows_whose_cost_cannot_be_read_are_set_aside(bad, reason):
    table = COSTED.assign(cost=[*COSTED["cost"].astype(str)[:-1], bad])
    found = summed(table, cost="cost", max_bad=0.5)
    assert found.provenance["rows"]["excluded"] == {reason: 1, "refund_unmatched": 1}


def lines(n=2_000, seed=3):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "client": rng.integers(0, 120, n).astype(str),
            "date": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 300, n), "D"),
            "amount": np.where(rng.random(n) < 0.1, -1, 1) * rng.integers(1, 90, n) / 4,
            "kind": rng.choice(
                ["toys", "books ", "food", "", "rare é"], n, p=[0.4, 0.3, 0.2, 0.096, 0.004]
            ),
        }
    )


def by_pandas(table, until, levels):
    """Shares of spend as of a day: an oracle of its own."""
    table = table[table["date"] <= until].assign(kind=lambda t: t["kind"].str.strip())
    days = table.groupby(["client", "date"])["amount"].agg(["sum", "min"])
    bought = days[(days["sum"] > 0) | ((days["sum"] == 0) & (days["min"] >= 0))].index
    table = table[pd.MultiIndex.from_frame(table[["client", "date"]]).isin(bought)]
    net = table.pivot_table(index="client", columns="kind", values="amount", aggfunc="sum").fillna(
        0
    )
    net = net.clip(lower=0)
    share = net.div(net.sum(axis=1), axis=0)
    return share[levels].assign(rest=1 - share[levels].sum(axis=1)).sort_index()


def test_shares_are_those_that_pandas_counts_as_of_the_same_day():
    table = lines()
    with read_purchases(table, Options(shares=("kind",), max_bad=0.5)) as purchases:
        for until in ("2024-06-30", "2024-10-26"):
            known = summarise(purchases, until)
            levels = known.provenance["shares"]["kind"]
            assert levels == ["books", "food", "toys"]
            expected = by_pandas(table, until, levels)
            assert known.ids.tolist() == expected.index.tolist()
            found = np.stack(
                [known.attributes.columns[f"kind={n}"] for n in (*levels, "(other)")], 1
            )
            np.testing.assert_allclose(found, expected.to_numpy(), atol=1e-12)


def test_levels_asked_for_are_kept_whoever_buys_of_them():
    text = asked("kind", ["rare é", "food"])
    found = summed(lines(), shares=(text,)).attributes.columns
    assert list(found) == ["kind=rare é", "kind=food", "kind=(other)", "main_kind"]
    assert set(found["main_kind"]) <= {"rare é", "food", "(other)"}
    np.testing.assert_allclose(sum(found[n] for n in list(found)[:3]), 1.0)


def test_levels_and_columns_may_hold_bars_and_quotes():
    text = asked('a|"b', ["x|y", "z"])
    table = COSTED.assign(**{'a|"b': ["x|y", "z", "z", "z", "z", "z", "z"]})
    found = summed(table, shares=(text,)).attributes.columns
    np.testing.assert_allclose(found['a|"b=x|y'], [10 / 23, 0.0, np.nan])


def test_who_spent_nothing_has_no_shares():
    found = summed(COSTED, shares=("order|1",)).attributes
    np.testing.assert_equal(found.columns["order=1"], [15 / 23, 0.0, np.nan])
    assert found.columns["main_order"].tolist() == ["1", "(other)", None]


def test_learned_levels_are_at_most_ten_and_known_of_eleven_customers():
    n = 600
    table = pd.DataFrame(
        {
            "client": [f"{i % 60:02}" for i in range(n)],
            "date": "2024-01-02",
            "amount": 1.0,
            "kind": [f"k{i % 60 % 12:02}" if i % 60 < 55 else f"own{i % 60}" for i in range(n)],
        }
    )
    assert summed(table, shares=("kind",)).provenance["shares"]["kind"] == []
    wide = table.assign(kind=[f"k{(i * 7 + i // 60) % 15:02}" for i in range(n)])
    assert len(summed(wide, shares=("kind",)).provenance["shares"]["kind"]) == 10


def test_shares_of_a_window_see_only_the_window():
    table = lines()
    with read_purchases(table, Options(shares=("kind|toys",))) as purchases:
        window = Window(pd.Timestamp("2024-05-01").date(), pd.Timestamp("2024-07-31").date())
        inside = windowed(purchases, window)
        alone = shares_of(purchases, window.last, window.first)
    expected = by_pandas(table[table["date"] >= "2024-05-01"], "2024-07-31", ["toys"])
    assert inside.ids.tolist() == alone.ids.tolist() == expected.index.tolist()
    np.testing.assert_allclose(inside.attributes.columns["kind=toys"], expected["toys"], atol=1e-12)


def test_shares_are_never_joined_to_an_earlier_day():
    with read_purchases(lines(), Options(shares=("kind|toys",))) as purchases:
        now, then = summarise(purchases), summarise(purchases, "2024-05-01")
        late = with_attributes(now, read_attributes(pd.DataFrame({"id": now.ids, "age": 1.0})))
        joined = with_attributes(then, late.attributes)
    assert joined.attributes.columns["kind=toys"].tolist() == (
        then.attributes.columns["kind=toys"].tolist()
    )
    assert joined.attributes.columns["age"].tolist() == [1.0] * len(then)


def test_the_main_level_serves_as_a_feature_and_shares_as_descriptors():
    customers = summed(lines(), shares=("kind",))
    specs = [FeatureSpec("main_kind", "category"), FeatureSpec("kind=toys", role="descriptor")]
    raw = raw_columns(customers, specs)
    state = learn(specs, raw)
    assert state.features[0].levels == ("(other)", "books", "food", "toys")
    assert state.descriptors == ("kind=toys",)
    assert apply(state, raw).shape == (len(customers), 1)


def test_nothing_is_there_that_was_not_asked_for():
    found = summed(COSTED)
    assert found.attributes is None
    assert found.provenance["policies"]["money"] == "revenue"
    assert not {"shares", "cost"} & (found.provenance.keys() | found.provenance["columns"].keys())


GROUPED = pd.DataFrame(
    {
        "client": ["a1", "a2", "b", "c", "a1", "S2"],
        "siret": ["S1", "S1", None, " ", "S2", None],
        "date": [f"2024-02-0{day}" for day in range(1, 7)],
        "amount": [1.0, 2.0, 4.0, 8.0, 16.0, 32.0],
    }
)


def test_a_group_is_one_customer_and_who_has_none_stays_one():
    found = summed(GROUPED, group="siret")
    spent = dict(
        zip(found.ids.tolist(), (found.first_spend + found.repeat_spend).tolist(), strict=True)
    )
    assert spent == {"S1": 3.0, "S2": 48.0, "b": 4.0, "c": 8.0}
    counts = {f["code"]: f["count"] for f in found.provenance["findings"]}
    assert counts["grouped"] == 5
    assert counts["group_several"] == 1
    assert counts["group_like_account"] == 1
    assert found.provenance["columns"]["group"]["value"] == "siret"


def test_rows_set_aside_show_the_account_and_its_group():
    table = GROUPED.assign(amount=[*GROUPED["amount"].astype(str)[:-1], "x"])
    table.loc[5, "siret"] = "S3"
    with read_purchases(table, Options(group="siret", max_bad=0.5)) as purchases:
        [row] = purchases.quarantine.to_dict("records")
    assert (row["client"], row["siret"]) == ("S2", "S3")


def test_a_group_of_numbers_with_decimals_is_refused_with_its_flag():
    table = GROUPED.assign(siret=[1.0, 1.0, None, None, 2.0, None])
    with pytest.raises(InputRejected, match="what they were has been lost"):
        summed(table, group="siret")


def test_two_tables_of_facts_stand_side_by_side_and_no_name_twice():
    customers = summed(COSTED)
    age, city = (
        read_attributes(pd.DataFrame({"id": ["a", "b"], name: values}))
        for name, values in (("age", [1.0, 2.0]), ("city", ["X", "Y"]))
    )
    both = with_attributes(with_attributes(customers, age), city)
    assert both.attributes.columns["age"].tolist()[:2] == [1.0, 2.0]
    assert both.attributes.columns["city"].tolist() == ["X", "Y", None]
    assert len(both.provenance["attributes"]["further"]) == 1
    assert {"age", "city"} <= columns_of(both).keys()
    with pytest.raises(InputRejected, match="'age' of the attributes are there already"):
        with_attributes(both, age)
