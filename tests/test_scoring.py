"""Scores: definitions of the table, and numbers that depend on the customer alone."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from bayesseg._types import Draws
from bayesseg.clv import clock
from bayesseg.customers import Customers, summarise
from bayesseg.errors import InputRejected, UsageError
from bayesseg.families import FAMILIES
from bayesseg.features import apply, learn, raw_columns
from bayesseg.ingest import read_purchases
from bayesseg.posterior import Posterior, textbook, thinned
from bayesseg.scoring import Scores, Settings, score
from bayesseg.spec import load_spec

AS_OF = date(1998, 6, 30)
FILE_LEVEL = {"priority_rank", "p_top_decile", "scored_at"}


@pytest.fixture(scope="module")
def customers(cdnow_orders: pd.DataFrame) -> Customers:
    with read_purchases(cdnow_orders) as purchases:
        return summarise(purchases, as_of=AS_OF)


@pytest.fixture(scope="module")
def posterior(customers: Customers) -> Posterior:
    """Draws around the reference posterior of CDNOW: a fit's shape without a fit's minutes."""
    rng, shape = np.random.default_rng(0), (4, 500)

    def around(centre: float, spread: float) -> np.ndarray:
        return centre * np.exp(spread * rng.normal(size=shape))

    spec = load_spec("retail")
    raw = raw_columns(customers, spec.features)
    state = learn(spec.features, raw)
    matrix = apply(state, raw)
    K, D = 2, state.numbers
    parts = {
        "purchase": Draws(
            {
                "r": around(0.53, 0.15),
                "rate": around(0.085, 0.1),
                "phi": rng.beta(20, 37, size=shape),
                "kappa": around(2.6, 0.25),
            },
            {},
            {},
        ),
        "spend": Draws(
            {"p": around(6.4, 0.2), "q": around(3.75, 0.08), "scale": around(27.0, 0.05)}, {}, {}
        ),
        "segments": Draws(
            {
                "weights": rng.dirichlet([60.0, 40.0], size=shape),
                "mean": np.array([-0.5, 0.5])[:, None] + 0.05 * rng.normal(size=(*shape, K, D)),
                "variance": np.exp(0.05 * rng.normal(size=(*shape, K, D))),
                "binary": rng.beta(
                    [[2.0], [40.0]], [[40.0], [2.0]], size=(*shape, K, matrix.shape[1] - D)
                ),
            },
            {},
            {},
        ),
    }
    manifest = {
        "as_of": AS_OF.isoformat(),
        "seed": 1,
        "paid_share": 0.98,
        "model_id": "m",
        "verdict": "passed",
        "verdicts": {part: {"computation": "passed"} for part in parts},
        "trained_on": {"max_x": 43, "max_t_end": 545, "early_until": None},
        "segments": {"ids": ["S1", "S2"], "names": {"S1": "one-time", "S2": "loyal"}},
    }
    return Posterior(spec, state, parts, manifest, {})


@pytest.fixture(scope="module")
def scores(posterior: Posterior, customers: Customers) -> Scores:
    return score(posterior, customers)


def same(expected: pd.DataFrame, actual: pd.DataFrame) -> None:
    for name in expected.columns.difference(list(FILE_LEVEL)):
        if expected[name].dtype.kind == "f":
            np.testing.assert_allclose(
                actual[name], expected[name], rtol=1e-12, atol=0, err_msg=name
            )
        else:
            assert list(expected[name]) == list(actual[name]), name


def test_one_row_a_customer_sorted_by_id(scores: Scores, customers: Customers) -> None:
    assert list(scores.table["customer_id"]) == sorted(customers.ids)


@pytest.mark.parametrize("chunk", [100, 100_000])
def test_chunk_size_changes_nothing(
    posterior: Posterior, customers: Customers, scores: Scores, chunk: int
) -> None:
    same(scores.table, score(posterior, customers, Settings(chunk=chunk)).table)


def test_row_order_changes_nothing(
    posterior: Posterior, customers: Customers, scores: Scores
) -> None:
    shuffled = customers.take(np.random.default_rng(3).permutation(len(customers)))
    same(scores.table, score(posterior, shuffled).table)


def test_a_subset_gets_the_numbers_it_got_in_the_whole(
    posterior: Posterior, customers: Customers, scores: Scores
) -> None:
    rows = np.sort(np.random.default_rng(4).choice(len(customers), 50, replace=False))
    order = np.argsort(customers.ids)
    part = score(posterior, customers.take(order[rows])).table
    same(scores.table.iloc[rows].reset_index(drop=True), part)


def test_memberships_sum_to_one(scores: Scores) -> None:
    total = scores.table[["membership_S1", "membership_S2"]].sum(axis=1)
    np.testing.assert_allclose(total, 1.0, atol=1e-12)


def test_the_segment_is_the_largest_membership_with_its_interval(scores: Scores) -> None:
    table = scores.table
    both = table[["membership_S1", "membership_S2"]].to_numpy()
    assert list(table["segment"]) == [f"S{k + 1}" for k in both.argmax(axis=1)]
    np.testing.assert_array_equal(table["segment_probability"], both.max(axis=1))
    np.testing.assert_array_equal(table["runner_up_probability"], both.min(axis=1))
    first = table["segment"] == "S1"
    np.testing.assert_array_equal(
        table["segment_probability_lo"][first], table["membership_S1_lo"][first]
    )


def test_every_interval_holds_its_mean(scores: Scores) -> None:
    table = scores.table
    for name in ("p_churn", "expected_purchases", "expected_spend"):
        assert (table[f"{name}_lo"] <= table[name]).mean() > 0.99
        assert (table[f"{name}_hi"] >= table[name]).mean() > 0.99
    assert (table["clv_mean_lo"] <= table["clv"]).all()
    assert (table["clv"] <= table["clv_mean_hi"]).all()


def test_value_is_the_papers_formula_draw_by_draw(
    posterior: Posterior, customers: Customers, scores: Scores
) -> None:
    """clv = E over draws of margin x paid share x E[spend] x A x D, spend draws permuted once."""
    spec, own = posterior.spec, Settings()
    one = customers.take(np.argsort(customers.ids)[[2]])
    columns = one.columns(spec.unit_days)
    ticks = clock(own.horizon_days, own.value_horizon_days, own.annual_discount, spec.unit_days)
    purchase = textbook("mbgnbd", thinned(posterior.parts["purchase"], own.draws))
    spend = textbook("gammagamma", thinned(posterior.parts["spend"], own.draws))
    order = np.random.default_rng(posterior.manifest["seed"]).permutation(own.draws)
    q = {
        name: quantity.fn(purchase, columns, ticks)[:, 0]
        for name, quantity in FAMILIES["mbgnbd"].quantities.items()
    }
    each = FAMILIES["gammagamma"].quantities["expected_spend"].fn(spend, columns, ticks)[order, 0]
    each = each * posterior.manifest["paid_share"]
    row = scores.table.iloc[2]
    A, D, D0 = q["p_alive"], q["discounted_purchases"], q["stayed_purchases"]
    assert row["clv"] == pytest.approx((each * A * D).mean(), rel=1e-12)
    assert row["value_at_risk"] == pytest.approx((each * A * (D0 - D)).mean(), rel=1e-12)
    assert row["win_back_value"] == pytest.approx((each * (1 - A) * D0).mean(), rel=1e-12)


def test_margin_multiplies_money_and_nothing_else(
    posterior: Posterior, customers: Customers, scores: Scores
) -> None:
    some = customers.take(np.argsort(customers.ids)[:40])
    third = score(posterior, some, Settings(margin=0.3)).table
    whole = scores.table.iloc[:40]
    for name in ("clv", "clv_mean_hi", "clv_pred_hi", "residual_value", "value_at_risk"):
        np.testing.assert_allclose(third[name], 0.3 * whole[name], rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(third["expected_spend"], whole["expected_spend"])


def test_the_predictive_interval_is_wider_than_that_of_the_expectation(scores: Scores) -> None:
    table = scores.table
    predictive = (table["clv_pred_hi"] - table["clv_pred_lo"]).sum()
    assert predictive > 2 * (table["clv_mean_hi"] - table["clv_mean_lo"]).sum()
    assert (table["clv_pred_lo"] == 0).mean() > 0.5


def test_realised_values_average_to_clv(posterior: Posterior, customers: Customers) -> None:
    """Own latents given history must average back to the closed form: sum over customers, 4 MCSE."""
    from bayesseg.scoring import _own, _own_value, _plan

    plan = _plan(posterior, Settings())
    totals = _own_value(plan, _own(plan, customers)).sum(axis=0)
    closed = score(posterior, customers, Settings(predictive=False)).document["totals"]["clv"]
    error = totals.std() / np.sqrt(len(totals))
    assert abs(totals.mean() - closed["mean"]) < 4 * error


def test_ranks_follow_value_at_risk(scores: Scores) -> None:
    ordered = scores.table.sort_values("priority_rank")
    assert list(ordered["priority_rank"]) == list(range(1, len(ordered) + 1))
    assert ordered["value_at_risk"].is_monotonic_decreasing


def test_the_long_gone_do_not_lead_the_save_ranking(scores: Scores) -> None:
    assert scores.table.nsmallest(20, "priority_rank")["p_alive"].min() > 0.1


def test_a_tenth_of_the_file_is_in_the_top_tenth(scores: Scores) -> None:
    assert scores.table["p_top_decile"].mean() == pytest.approx(0.10, abs=0.002)


def test_segments_add_up_to_totals(scores: Scores) -> None:
    segments, totals = scores.document["segments"], scores.document["totals"]
    assert sum(s["customers"]["mean"] for s in segments) == pytest.approx(len(scores.table))
    at_risk = sum(s["value_at_risk"]["mean"] for s in segments)
    assert at_risk == pytest.approx(totals["value_at_risk"]["mean"])
    assert totals["clv"]["mean"] == pytest.approx(scores.table["clv"].sum())


def test_unseen_customers_are_scored_and_flagged_new(
    posterior: Posterior, customers: Customers
) -> None:
    later = AS_OF + timedelta(days=30)
    first = customers.take(np.arange(2))
    stranger = replace(
        first,
        ids=np.array(["old", "stranger"], dtype=object),
        t_end=np.array([first.t_end[0] + 30, 10]),
        x=np.array([first.x[0], 0]),
        t_x=np.array([first.t_x[0], 0]),
        x_paid=np.array([first.x_paid[0], 0]),
        repeat_spend=np.array([first.repeat_spend[0], 0.0]),
        as_of=later,
    )
    table = score(posterior, stranger).table
    assert ["new" in flags for flags in table["flags"]] == [False, True]
    assert np.isfinite(table["clv"]).all()


def test_flags_say_one_time_and_prior_spend(scores: Scores) -> None:
    table = scores.table
    one_time = table["flags"].map(lambda flags: "one_time" in flags)
    assert (one_time == (table["frequency"] == 0)).all()
    prior = table["flags"].map(lambda flags: "spend_prior_only" in flags)
    assert (prior == table["monetary_value"].isna()).all()


def test_data_that_end_before_the_training_data_are_refused(
    posterior: Posterior, customers: Customers
) -> None:
    early = replace(customers, as_of=date(1998, 1, 1))
    with pytest.raises(InputRejected, match="1998-01-01"):
        score(posterior, early)


def test_a_failed_segments_part_blanks_its_columns_and_leaves_value(
    posterior: Posterior, customers: Customers, scores: Scores
) -> None:
    verdicts = posterior.manifest["verdicts"] | {"segments": {"computation": "failed"}}
    failed = replace(posterior, manifest=posterior.manifest | {"verdicts": verdicts})
    some = customers.take(np.argsort(customers.ids)[:30])
    table = score(failed, some).table
    assert list(table.columns) == list(scores.table.columns)
    assert table["segment"].isna().all()
    assert table["membership_S1"].isna().all()
    np.testing.assert_array_equal(table["clv"], scores.table["clv"][:30])


def test_spend_whose_mean_does_not_exist_is_null_flagged_and_outside_the_totals(
    posterior: Posterior, customers: Customers, scores: Scores
) -> None:
    """One draw with q below 1: the mean spend of those without paid repeats is infinite."""
    spend = posterior.parts["spend"]
    q = spend.values["q"].copy()
    q[0, 0] = 0.9
    odd = replace(spend, values=spend.values | {"q": q})
    parts = {**posterior.parts, "spend": odd}
    found = score(replace(posterior, parts=parts), customers, Settings(predictive=False))
    prior_only = found.table["monetary_value"].isna()
    assert found.table["clv"].isna().equals(prior_only)
    assert (found.table["flags"].map(lambda f: "spend_undefined" in f) == prior_only).all()
    assert found.document["without_value"] == prior_only.sum()
    assert found.document["totals"]["clv"]["mean"] == pytest.approx(found.table["clv"].sum())


def test_the_fewest_draws_of_any_part_are_used_of_all(
    posterior: Posterior, customers: Customers
) -> None:
    found = score(posterior, customers.take(np.arange(5)), Settings(draws=5_000))
    assert np.isfinite(found.table["clv"]).all()
    assert found.document["settings"]["draws"] == 2_000


@pytest.mark.parametrize(
    "wrong",
    [
        {"horizon_days": 0},
        {"margin": 0.0},
        {"annual_discount": -0.1},
        {"annual_discount": np.inf},
        {"margin": np.nan},
        {"draws": 99},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Settings(**wrong)  # type: ignore[arg-type]
