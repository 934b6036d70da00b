"""What a diagnosis finds in logs made to show it, and does not find elsewhere."""

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from bayesseg.ingest import Purchases, read_purchases
from bayesseg.spec import load_spec
from bayesseg.validation import diagnosis
from bayesseg.validation.fits import posterior
from bayesseg.validation.holdout import Holdout, holdout

START = pd.Timestamp("2023-01-02")


def log(
    rng: np.random.Generator, starts: np.ndarray, shape: float, mean_gap: float, days: int
) -> pd.DataFrame:
    """Customers who never leave and buy after gamma(shape) gaps, each at its own rate."""
    rows = []
    for i, start in enumerate(starts):
        gap = mean_gap * rng.gamma(3.0, 1 / 3.0)
        times = start + np.cumsum(np.append(0.0, rng.gamma(shape, gap / shape, 200)))
        rows += [(f"c{i}", int(t)) for t in times[times <= days]]
    frame = pd.DataFrame(rows, columns=["customer_id", "day"]).drop_duplicates()
    frame["date"] = START + pd.to_timedelta(frame["day"], unit="D")
    frame["amount"] = rng.gamma(6.0, 5.0, len(frame)).round(2) + 0.01
    return frame[["customer_id", "date", "amount"]]


def held_of(orders: pd.DataFrame, cut: int, horizon: int) -> tuple[Purchases, Holdout]:
    purchases = read_purchases(orders)
    day = (START + pd.Timedelta(days=cut)).date()
    return purchases, holdout(purchases, day, horizon, seed=1)


@pytest.mark.parametrize("shape", [1.0, 2.5])
def test_timing_recovers_the_shape_of_gaps_whatever_the_rates(shape: float) -> None:
    rng = np.random.default_rng(1)
    orders = log(rng, rng.integers(0, 60, 1500), shape, 90.0, 1000)  # days round short gaps up
    found = diagnosis.timing(diagnosis.log_of(*held_of(orders, 900, 90)))
    assert found["lo"] < shape < found["hi"]
    assert found["k"] == pytest.approx(shape, rel=0.1)


def test_timing_is_that_of_the_last_two_gaps_of_each_customer(cdnow_orders) -> None:
    """Against pandas, customer by customer."""
    with read_purchases(cdnow_orders) as purchases:
        found = diagnosis.timing(
            diagnosis.log_of(purchases, holdout(purchases, date(1997, 9, 30), 90, seed=1))
        )
    days = cdnow_orders[cdnow_orders["date"] <= "1997-09-30"].drop_duplicates(
        ["customer_id", "date"]
    )
    last = days.sort_values("date").groupby("customer_id")["date"].agg(list)
    gaps = np.array([np.diff(d[-3:]) / pd.Timedelta(days=1) for d in last if len(d) >= 3])
    m = gaps[:, 0] / gaps.sum(axis=1)
    spread = ((m - 0.5) ** 2).mean()
    assert found["customers"] == len(m)
    assert found["k"] == pytest.approx((1 - 4 * spread) / (8 * spread))


def test_an_early_cohort_is_counted_and_its_rate_seen_at_equal_age() -> None:
    rng = np.random.default_rng(2)
    old = log(rng, rng.integers(0, 21, 600), 1.0, 20.0, 500)
    new = log(rng, rng.integers(21, 380, 700), 1.0, 60.0, 500)
    new["customer_id"] = "n" + new["customer_id"]
    purchases, held = held_of(pd.concat([old, new]), 400, 90)
    part = load_spec("retail").parts["purchase"]
    found = diagnosis.early(held, diagnosis.log_of(purchases, held), part)
    assert found["until"] == "2023-01-22"
    assert sum(found["weekly"]) == found["customers"] == pytest.approx(600, abs=5)
    assert found["ratio"] > 10
    assert found["weeks"] == 13
    orders = pd.concat([old, new]).drop_duplicates(["customer_id", "date"])
    first = orders.groupby("customer_id")["date"].transform("min")
    age = (orders["date"] - first).dt.days
    whole = first + pd.Timedelta(days=91) <= START + pd.Timedelta(days=400)
    early = first <= pd.Timestamp("2023-01-22")
    for key, cohort in (("rate", early), ("later_rate", ~early)):
        mine = orders[whole & cohort]
        repeats = ((age > 0) & (age <= 91))[whole & cohort].sum()
        assert found[key] == pytest.approx(repeats / mine["customer_id"].nunique() / 13)
    assert found["rate"] > 2 * found["later_rate"]


def weeks(before: float, after: float, noise: float, seed: int) -> dict:
    rng = np.random.default_rng(seed)
    expected = np.full(65, 200.0)
    level = np.where(np.arange(65) < 52, before, after)
    actual = expected * level * (1 + noise * rng.standard_normal(65))
    return {"actual": actual.tolist(), "expected": expected.tolist(), "calibration": 52}


def test_a_regime_break_lies_outside_the_band_and_noise_inside() -> None:
    found = diagnosis.regime(weeks(1.0, 0.7, 0.1, 1))
    assert found["ratio"] < found["lo"] < 1 < found["hi"]
    assert found["ratio"] == pytest.approx(0.7, abs=0.1)
    assert (found["weeks_before"], found["weeks_after"]) == (13, 13)
    held = [diagnosis.regime(weeks(0.8, 0.8, 0.1, seed)) for seed in range(200)]
    inside = np.mean([one["lo"] < one["ratio"] < one["hi"] for one in held])
    assert inside > 0.88


def test_a_regime_needs_weeks() -> None:
    short = {"actual": [5.0] * 9, "expected": [5.0] * 9, "calibration": 5}
    assert diagnosis.regime(short) is None


def test_customers_who_never_leave_leave_dropout_on_the_boundary() -> None:
    rng = np.random.default_rng(3)
    purchases, held = held_of(log(rng, rng.integers(0, 60, 500), 1.0, 25.0, 300), 200, 90)
    spec = load_spec("retail")
    fit = posterior(held, spec, 200, 1)
    found = diagnosis.diagnosis(purchases, held, spec, fit, None)
    assert found["ridge"]["dropout"] == ["phi", "kappa"]
    assert "phi" in found["ridge"]["at_boundary"]
    rows = {row["name"]: row for row in found["identification"]}
    assert rows["phi"]["maximum_likelihood"] < 1e-3 < rows["phi"]["median"]
    assert rows["rate"]["ratio"] < 0.1
    assert found["regime"] is None
    assert found["independence"] is not None
    alone = replace(spec, parts={"purchase": spec.parts["purchase"]})
    unpriced = diagnosis.diagnosis(purchases, held, alone, posterior(held, alone, 200, 1), None)
    assert unpriced["independence"] is None  # there is no spend to be independent of


def test_dependence_of_frequency_and_spend_is_measured_as_scipy_does(cdnow_orders) -> None:
    with read_purchases(cdnow_orders) as purchases:
        held = holdout(purchases, date(1997, 9, 30), 90, seed=1)
    assert diagnosis.independence(held.known)["spearman"] == pytest.approx(0.206, abs=1e-3)
    once = held.known.take(held.known.x == 1)
    assert diagnosis.independence(once) is None  # everybody bought equally often
