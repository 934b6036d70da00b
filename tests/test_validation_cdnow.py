"""Validation on CDNOW, 39 weeks after 39: the published table, and what a document says."""

import json
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from bayesseg.errors import InputRejected, UsageError
from bayesseg.ingest import Purchases, read_purchases
from bayesseg.spec import load_spec
from bayesseg.validation.cut import Cut, score_cut
from bayesseg.validation.document import validate

CUT = date(1997, 9, 30)
FAMILIES = ("mbgnbd", "bgnbd", "paretonbd")


@pytest.fixture(scope="module")
def purchases(cdnow_orders: pd.DataFrame) -> Purchases:
    return read_purchases(cdnow_orders)


@pytest.fixture(scope="module")
def scored(purchases: Purchases) -> Cut:
    return score_cut(purchases, load_spec("retail"), FAMILIES, CUT, 273, draws=1000, seed=1)


@pytest.fixture(scope="module")
def rows(scored: Cut) -> dict[str, dict]:
    return {row["name"]: row for row in scored.document["rows"]}


# MAE, RMSE, MSLE, bias, total, correlation, mean P(alive), Σ P(active) at maximum likelihood
TABLE = {
    "bgnbd_mle": (0.7855, 1.6080, 0.2343, -0.122, 1653.4, 0.6256, 0.813, 617.0),
    "mbgnbd_mle": (0.7648, 1.6072, 0.2314, -0.162, 1576.7, 0.6273, 0.449, 565.7),
    "paretonbd_mle": (0.7545, 1.6028, 0.2377, -0.115, 1665.5, 0.6302, 0.446, 523.2),
    "nbd": (1.0410, 1.8595, 0.3622, 0.557, 2929.8, 0.5834, 1.0, None),
    "rate": (1.0237, 2.2119, 0.4010, 0.557, 2930.1, 0.5839, None, None),
}


@pytest.mark.parametrize("name", TABLE)
def test_the_table_at_maximum_likelihood_is_reproduced(name: str, rows) -> None:
    mae, rmse, msle, bias, total, correlation, alive, active = TABLE[name]
    found = rows[name]["purchases"]
    errors = [found[key] for key in ("mae", "rmse", "msle", "correlation")]
    assert errors == pytest.approx([mae, rmse, msle, correlation], abs=1e-4)
    assert found["mean"] == pytest.approx(total, abs=0.1)
    assert found["bias"] == pytest.approx(bias, abs=6e-4)
    assert found["actual"] == 1882
    if alive is not None:
        assert rows[name]["p_alive"] == pytest.approx(alive, abs=6e-4)
    if active is not None:
        assert rows[name]["active"]["expected"] == pytest.approx(active, abs=0.1)


# coverage at 50/80/90/95, CRPS, Brier, log loss, AUC, share of the top tenth
SIMULATED = {
    "bgnbd_mle": (0.815, 0.929, 0.949, 0.973, 0.5097, 0.1612, 0.5053, 0.757, 0.467),
    "mbgnbd_mle": (0.813, 0.929, 0.946, 0.973, 0.5099, 0.1614, 0.5053, 0.760, 0.475),
    "paretonbd_mle": (0.823, 0.889, 0.953, 0.972, 0.5116, 0.1619, 0.5084, 0.771, 0.470),
}


@pytest.mark.parametrize("name", SIMULATED)
def test_the_simulated_scores_of_the_table_are_reproduced(name: str, rows) -> None:
    found, active = rows[name]["purchases"], rows[name]["active"]
    values = [*found["coverage"].values(), found["crps"]]
    values += [active[key] for key in ("brier", "log_loss", "auc", "top_decile_share")]
    assert values == pytest.approx(SIMULATED[name], abs=0.005)


@pytest.mark.parametrize(
    ("name", "mean", "lo", "hi"),
    [
        ("bgnbd", 1655, 1450, 1860),
        ("mbgnbd", 1573, 1383, 1769),
        ("paretonbd", 1642, 1372, 1897),
    ],
)
def test_posterior_totals_have_their_published_intervals(name, mean, lo, hi, rows) -> None:
    found = rows[name]["purchases"]
    assert found["mean"] == pytest.approx(mean, abs=8)
    assert [found["lo"], found["hi"]] == pytest.approx([lo, hi], abs=25)
    assert found["inside"] is (name == "paretonbd")


def test_mean_purchases_by_x_are_the_published_ones(rows) -> None:
    actual = [0.2367, 0.6970, 1.3925, 1.5600, 2.5323, 2.9474, 3.8621, 6.3594]
    bg = [0.2251, 0.5231, 1.0441, 1.5203, 2.1639, 2.6538, 3.5040, 6.1572]
    pareto = [0.138, 0.600, 1.196, 1.714, 2.398, 2.907, 3.819, 6.403]
    assert rows["bgnbd_mle"]["by_x"]["actual"] == pytest.approx(actual, abs=1e-4)
    assert rows["bgnbd_mle"]["by_x"]["expected"] == pytest.approx(bg, abs=1e-3)
    assert rows["paretonbd_mle"]["by_x"]["expected"] == pytest.approx(pareto, abs=1e-3)


def test_what_came_is_counted_as_pandas_counts(scored: Cut, cdnow_orders: pd.DataFrame) -> None:
    known = cdnow_orders.loc[cdnow_orders["date"] <= "1997-09-30", "customer_id"].unique()
    later = cdnow_orders[
        (cdnow_orders["date"] > "1997-09-30") & cdnow_orders["customer_id"].isin(known)
    ]
    days = later.groupby(["customer_id", "date"])["amount"].sum()
    assert scored.document["actual"] == {
        "purchases": len(days),
        "spend": pytest.approx(days.sum()),
        "active": days.index.get_level_values(0).nunique(),
    }


def test_tracking_counts_each_week_and_expects_what_the_curve_says(
    rows, cdnow_orders: pd.DataFrame
) -> None:
    """Actual weeks against pandas; the expectation against lifetimes' E[X(t)], week by week."""
    found = rows["bgnbd"]["tracking"]
    frame = cdnow_orders.drop_duplicates(["customer_id", "date"]).sort_values("date")
    first = frame.groupby("customer_id")["date"].transform("min")
    repeats = frame.loc[frame["date"] > first, "date"]
    ends = pd.to_datetime(found["week"])
    counted = [((repeats > end - pd.Timedelta(days=7)) & (repeats <= end)).sum() for end in ends]
    assert found["actual"] == counted
    assert ends[found["calibration"] - 1] == pd.Timestamp("1997-09-30")
    assert np.cumsum(found["actual"]).tolist() == found["cumulative_actual"]

    from lifetimes import BetaGeoFitter

    theta = rows["bgnbd_mle"]["parameters"]
    model = BetaGeoFitter()
    model.params_ = pd.Series(theta)
    starts = first[~frame["customer_id"].duplicated()]

    def expected(end: pd.Timestamp) -> float:
        weeks = (end - starts).dt.days.clip(lower=0).to_numpy() / 7
        at, count = np.unique(weeks, return_counts=True)
        return float(count[at > 0] @ model.expected_number_of_purchases_up_to_time(at[at > 0]))

    week = float(expected(ends[60]) - expected(ends[59]))
    assert found["expected"][60] == pytest.approx(week, rel=0.03)  # posterior mean, not the mode
    assert found["lo"][60] < found["expected"][60] < found["hi"][60]


def test_a_learner_is_shown_also_where_it_wins(rows) -> None:
    """Logistic regression ranks CDNOW's buyers better than any model: it must say so."""
    best = max(rows[name]["active"]["auc"] for name in FAMILIES)
    assert rows["logistic"]["active"]["auc"] > best
    assert rows["logistic"]["kind"] == "learner"
    assert "136 days" in rows["logistic"]["note"]
    assert rows["logistic"]["active"]["brier"] == pytest.approx(0.1599, abs=2e-4)
    assert rows["logistic"]["active"]["log_loss"] == pytest.approx(0.5015, abs=5e-4)


def test_money_is_forecast_with_its_own_interval(rows) -> None:
    spend = rows["mbgnbd"]["spend"]
    assert spend["actual"] == pytest.approx(70976.39)
    assert spend["lo"] < spend["mean"] < spend["hi"] < spend["actual"]
    assert 0 < spend["crps"] < spend["mae"]
    assert spend["coverage"]["90"] == pytest.approx(0.93, abs=0.02)
    assert rows["nbd"]["spend"] is None


@pytest.fixture(scope="module")
def document(purchases: Purchases) -> dict:
    return validate(purchases, load_spec("retail"), cut=CUT, families=["bgnbd"], seed=1, draws=400)


def test_a_document_is_plain_json_without_ids(document, cdnow_orders: pd.DataFrame) -> None:
    text = json.dumps(document, allow_nan=False)
    assert json.loads(text) == document
    assert document["families"] == ["mbgnbd", "bgnbd"]
    assert document["horizon_days"] == 273
    assert not [one for one in cdnow_orders["customer_id"].unique() if f'"{one}"' in text]


def test_one_cut_that_misses_is_a_caution_and_its_widened_total_holds(document) -> None:
    record = document["forecasts"]["mbgnbd"]
    assert record["verdict"]["verdict"] == "caution"
    widened = document["origins"][0]["rows"][0]["purchases"]["widened"]
    assert widened["inside"]
    assert (widened["learnt_from"], widened["right"]) == (0, 0.5)


def test_loo_finds_bg_and_mbg_equal_on_cdnow(document) -> None:
    first, second = document["loo"]["families"]
    assert document["loo"]["rows"] == 1016
    # the log-likelihood at its maximum is -9582.1 and -9582.4, less about four parameters
    assert [first["elpd"], second["elpd"]] == pytest.approx([-9586.5, -9586.5], abs=0.7)
    assert abs(second["difference"]) < 2 * second["difference_se"]
    assert first["p"] == pytest.approx(4, abs=1.5)
    assert first["bad_k"] == 0


def test_diagnosis_of_cdnow(document) -> None:
    found = document["diagnosis"]
    assert found["independence"] == {"spearman": pytest.approx(0.206, abs=1e-3), "customers": 946}
    assert found["timing"]["lo"] < 1.05 < found["timing"]["hi"]  # Poisson
    assert found["early"]["ratio"] < 1.0
    assert found["ridge"]["at_boundary"] == []
    ratios = {row["name"]: row["ratio"] for row in found["identification"]}
    assert set(ratios) == {"r", "rate", "phi", "kappa", "p", "q", "scale"}
    assert max(ratios.values()) < 0.5
    assert max(abs(row["shift"]) for row in found["identification"]) < 0.25


def test_rolling_origins_end_with_the_data_and_learn_only_from_the_past(purchases) -> None:
    spec = load_spec("bgnbd")
    found = validate(purchases, spec, origins=3, horizon_days=91, families=["mbgnbd"], draws=200)
    assert [one["cut"] for one in found["origins"]] == ["1997-09-30", "1997-12-30", "1998-03-31"]
    for i, one in enumerate(found["origins"]):
        for row in one["rows"][:2]:
            assert row["purchases"]["widened"]["learnt_from"] == i
    path = found["chosen"]["path"]
    steps = [(step["cut"], step["learnt_from"]) for step in path]
    assert steps == [(one["cut"], i) for i, one in enumerate(found["origins"])]
    assert path[0]["family"] == "bgnbd"  # the model's own, where there is no past
    scores = [
        {row["name"]: row["purchases"]["crps"] for row in one["rows"][:2]}
        for one in found["origins"]
    ]
    assert path[1]["family"] == min(scores[0], key=scores[0].get)
    chosen = found["forecasts"]["chosen"]["purchases"]["bias"]
    by_name = {name: found["forecasts"][name]["purchases"]["bias"] for name in found["families"]}
    assert chosen == [by_name[step["family"]][i] for i, step in enumerate(path)]
    assert [step["purchases"]["bias"] for step in path] == chosen


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "say where to cut"),
        ({"cut": CUT, "origins": 2}, "say where to cut"),
        ({"cut": date(1996, 1, 1)}, "is not inside the data"),
        ({"cut": date(1998, 6, 30)}, "is not inside the data"),
        ({"cut": CUT, "horizon_days": 400}, "ends on 1998-11-04"),
        ({"origins": 20, "horizon_days": 91}, "20 origins of 91 days need more"),
        ({"origins": 1}, "must be 2 or more, not 1"),
        ({"cut": CUT, "families": ["bgnb"]}, "no shipped model has the purchase family 'bgnb'"),
    ],
)
def test_what_cannot_be_validated_is_refused_in_words(purchases, given, problem) -> None:
    with pytest.raises(UsageError, match=problem):
        validate(purchases, load_spec("retail"), **given)


def test_a_model_without_purchases_forecasts_nothing(purchases) -> None:
    with pytest.raises(UsageError, match="forecasts nothing"):
        validate(purchases, load_spec("segments"), cut=CUT)


def test_a_cut_too_early_to_fit_is_refused_with_the_reason(purchases) -> None:
    with pytest.raises(InputRejected, match="cannot carry a fit"):
        validate(purchases, load_spec("bgnbd"), cut=date(1997, 1, 2))


def test_spend_is_optional(purchases) -> None:
    spec = load_spec("bgnbd")
    alone = replace(spec, parts={"purchase": spec.parts["purchase"]})
    found = score_cut(purchases, alone, ["bgnbd"], CUT, 273, draws=100, seed=1).document
    assert all(row["spend"] is None for row in found["rows"])
