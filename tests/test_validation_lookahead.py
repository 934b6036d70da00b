"""Nothing after a cut may reach what is said before it."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from bayesseg.customers import sampled, summarise
from bayesseg.ingest import read_purchases
from bayesseg.spec import load_spec
from bayesseg.validation import backtest as backtest_module
from bayesseg.validation import forecast as forecast_module
from bayesseg.validation.cut import score_cut
from bayesseg.validation.fits import maximum_likelihood, posterior
from bayesseg.validation.forecast import forecast
from bayesseg.validation.holdout import holdout

CUT = date(1997, 9, 30)
FORECASTS = ("mean", "lo", "hi")


def perturbed(orders: pd.DataFrame) -> pd.DataFrame:
    """The same log to the cut; after it other people buy other things on other days."""
    later = orders["date"] > pd.Timestamp(CUT)
    rng = np.random.default_rng(1)
    after = orders[later].assign(
        customer_id=rng.choice(orders["customer_id"].unique(), later.sum()),
        amount=rng.gamma(2.0, 50.0, later.sum()).round(2),
    )
    late = pd.DataFrame(
        {"customer_id": ["new"], "date": [pd.Timestamp("1998-06-30")], "amount": [1.0]}
    )
    return pd.concat([orders[~later], after.iloc[::2], late])


@pytest.fixture(scope="module")
def both(cdnow_orders: pd.DataFrame) -> list[dict]:
    documents = []
    for orders in (cdnow_orders, perturbed(cdnow_orders)):
        with read_purchases(orders) as purchases:
            cut = score_cut(purchases, load_spec("retail"), ["mbgnbd"], CUT, 91, draws=100, seed=1)
            documents.append(cut.document)
    return documents


def test_what_comes_after_the_cut_changes_no_forecast(both) -> None:
    was, now = both
    assert was["actual"] != now["actual"]
    assert [row["name"] for row in was["rows"]] == [row["name"] for row in now["rows"]]
    for before, after in zip(was["rows"], now["rows"], strict=True):
        assert before["parameters"] == after["parameters"]
        assert before["note"] == after["note"]
        for part in ("purchases", "spend"):
            if before[part]:
                assert [before[part][k] for k in FORECASTS] == [after[part][k] for k in FORECASTS]
        if before["active"]:
            assert before["active"]["expected"] == after["active"]["expected"]
        if before["by_x"]:
            assert before["by_x"]["expected"] == after["by_x"]["expected"]
        if before["tracking"]:
            cut = before["tracking"]["calibration"]
            assert before["tracking"]["expected"] == after["tracking"]["expected"]
            assert before["tracking"]["actual"][:cut] == after["tracking"]["actual"][:cut]


def test_a_forecast_of_a_customer_does_not_depend_on_who_else_is_scored(cdnow_orders) -> None:
    """A sample of customers is forecast as within all, from a fit of all."""
    spec = load_spec("bgnbd")
    with read_purchases(cdnow_orders) as purchases:
        whole = holdout(purchases, CUT, 273, seed=1)
        part = holdout(purchases, CUT, 273, seed=1, most=300)
    assert (len(part.scored), len(part.known)) == (300, 2357)
    place = np.searchsorted(whole.scored.ids, part.scored.ids)
    found = []
    for held in (whole, part):
        models, _ = maximum_likelihood(held, spec)
        found.append(forecast(held, models["purchase"], models["spend"], 7.0, 50))
    for name in ("expected", "crps", "pit"):
        all_of_them = getattr(found[0].purchases, name)[place]
        assert getattr(found[1].purchases, name) == pytest.approx(all_of_them, rel=1e-12)
    assert found[1].spend.crps == pytest.approx(found[0].spend.crps[place], rel=1e-12)
    assert part.purchases.tolist() == whole.purchases[place].tolist()


def test_totals_of_many_take_their_chance_from_some_of_them(cdnow_orders, monkeypatch) -> None:
    """All customers' expectation, the deviation of 600 stretched: the distribution stays what it was."""
    spec = load_spec("bgnbd")
    with read_purchases(cdnow_orders) as purchases:
        held = holdout(purchases, CUT, 273, tuple(spec.parts), seed=1)
    models = posterior(held, spec, 1000, 1, exact=False).models
    parts = models["purchase"], models["spend"], 7.0
    monkeypatch.setattr(forecast_module, "FUTURES", 3_000)
    one_by_one = forecast(held, *parts, 1000)
    whole = forecast_module.totals(held, *parts).draws
    assert whole["purchase"] == pytest.approx(one_by_one.purchases.totals)
    assert whole["spend"] == pytest.approx(one_by_one.spend.totals)
    monkeypatch.setattr(forecast_module, "FUTURES", 600)
    for part, few in forecast_module.totals(held, *parts).draws.items():
        assert few.mean() == pytest.approx(whole[part].mean(), rel=0.02)
        assert few.std() == pytest.approx(whole[part].std(), rel=0.15)


def test_a_sample_keeps_whole_customers_and_about_as_many_as_asked(cdnow_orders) -> None:
    with read_purchases(cdnow_orders) as purchases:
        drawn = sampled(purchases, 400, 1)
        again = sampled(purchases, 400, 1)
        whole, part = summarise(purchases), summarise(drawn)
        assert sampled(purchases, 2357, 1) is purchases
    assert abs(len(part) - 400) < 80
    assert drawn.provenance["share"] == len(part) / 2357
    assert summarise(again).ids.tolist() == part.ids.tolist()
    place = np.searchsorted(whole.ids, part.ids)
    assert part.x.tolist() == whole.x[place].tolist()
    assert part.repeat_spend == pytest.approx(whole.repeat_spend[place])


def test_a_large_log_is_backtested_on_a_sample_which_says_so(cdnow_orders, monkeypatch) -> None:
    monkeypatch.setattr(backtest_module, "CUSTOMERS", 800)
    with read_purchases(cdnow_orders) as purchases:
        first, *_ = backtest_module.backtest(
            purchases, load_spec("bgnbd"), as_of=date(1998, 6, 30), seed=1
        )
    assert first["share"] == pytest.approx(800 / 2357, abs=0.05)
    assert first["customers"] == pytest.approx(800, abs=100)
    assert first["lo"] < first["actual"] < first["hi"]
