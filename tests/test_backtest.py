"""Backtests: forecasts made before a cut, compared with what came after it."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
import validation_case

from bayesseg.ingest import Purchases, read_purchases
from bayesseg.spec import load_spec
from bayesseg.validation import backtest as backtest_module
from bayesseg.validation.backtest import backtest

AS_OF = date(1998, 6, 30)


@pytest.fixture(scope="module")
def purchases(cdnow_orders: pd.DataFrame) -> Purchases:
    return read_purchases(cdnow_orders)


@pytest.fixture(scope="module")
def found(purchases: Purchases) -> tuple[dict[str, object], ...]:
    return backtest(purchases, load_spec("retail"), as_of=AS_OF, seed=1)


def test_the_last_two_quarter_points_are_cut_points_of_both_parts(found) -> None:
    cuts = [(one["part"], one["cut"], one["horizon_days"]) for one in found]
    assert cuts == [
        ("purchase", "1997-10-01", 136),
        ("spend", "1997-10-01", 136),
        ("purchase", "1998-02-14", 136),
        ("spend", "1998-02-14", 136),
    ]


def test_what_came_is_counted_as_an_independent_count_does(
    found, cdnow_orders: pd.DataFrame
) -> None:
    frame = cdnow_orders
    for one in found:
        cut = pd.Timestamp(one["cut"])
        known = frame.loc[frame["date"] <= cut, "customer_id"].unique()
        later = frame[
            (frame["date"] > cut)
            & (frame["date"] <= cut + timedelta(days=one["horizon_days"]))
            & frame["customer_id"].isin(known)
        ]
        days = later.groupby(["customer_id", "date"]).size()
        expected = len(days) if one["part"] == "purchase" else later["amount"].sum()
        assert one["actual"] == pytest.approx(expected)


def test_cdnow_is_forecast_low_and_the_interval_says_so(found) -> None:
    first = found[0]
    assert first["bias"] == pytest.approx(-0.14, abs=0.02)
    assert first["lo"] < first["mean"] < first["hi"] < first["actual"]


def test_the_same_seed_gives_the_same_numbers(purchases: Purchases, found) -> None:
    assert backtest(purchases, load_spec("retail"), as_of=AS_OF, seed=1) == found


def test_a_model_of_purchases_alone_forecasts_purchases_alone(purchases: Purchases) -> None:
    spec = load_spec("bgnbd")
    alone = replace(spec, parts={"purchase": spec.parts["purchase"]})
    parts = [one["part"] for one in backtest(purchases, alone, as_of=AS_OF, seed=1)]
    assert parts == ["purchase", "purchase"]


def test_a_short_history_is_not_backtested_and_that_is_said(purchases: Purchases) -> None:
    said: list[str] = []
    end = date(1997, 4, 20)
    assert backtest(purchases, load_spec("retail"), as_of=end, seed=1, say=said.append) == ()
    assert said == ["no backtest: 109 days of history, at least 120 are needed"]


def test_an_entry_says_what_it_teaches_of_the_next_total(found) -> None:
    for one in found:
        assert one["miss"]["log"] == pytest.approx(np.log(one["actual"] / one["mean"]))
        spread = np.log(one["hi"] / one["lo"]) / 3.92
        assert one["miss"]["spread"] == pytest.approx(spread, rel=0.1)


def test_backtests_say_how_far_to_trust_their_importance_draws(found) -> None:
    assert all(0 < abs(one["pareto_k"]) < 0.7 for one in found)


def test_simulated_customers_are_forecast_within_their_interval() -> None:
    """Histories drawn from the model itself: totals must fall inside at about the stated rate."""
    inside: list[bool] = []
    for seed in range(6):
        frame, _ = validation_case.shop(600, days=480, seed=seed)
        spec = load_spec("retail")
        with read_purchases(frame) as log:
            end = date(2024, 1, 1) + timedelta(days=480)
            inside += [
                one["lo"] <= one["actual"] <= one["hi"]
                for one in backtest(log, spec, as_of=end, seed=1)
                if one["part"] == "purchase"
            ]
    assert np.mean(inside) >= 0.75


def test_a_backtest_tells_how_single_customers_fared_in_cells_of_eleven_or_more(found) -> None:
    for one in (one for one in found if one["part"] == "purchase"):
        single = one["single"]
        assert sum(single["pit"]) == pytest.approx(single["customers"])
        assert sum(point["customers"] for point in single["reliability"]) == single["customers"]
        buyers = [point["actual"] * point["customers"] for point in single["reliability"]]
        others = [point["customers"] for point in single["reliability"]] - np.array(buyers)
        assert min(*buyers, *others) > 10.999
        off = [abs(point["expected"] - point["actual"]) for point in single["reliability"]]
        assert max(off) < 0.15


def test_weeks_of_a_backtest_add_up_and_hide_what_is_small() -> None:
    counts = [4, 9, 20, 3, 30, 2]
    weeks = backtest_module._weeks({"actual": counts, "week": ["w"] * 6})
    assert weeks is not None
    assert weeks["actual"] == [None, None, 20, None, None, None]
    assert weeks["cumulative_actual"] == [None, 13, 33, None, None, 68]
