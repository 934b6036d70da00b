"""Scores: definitions of the table, and numbers that depend on the customer alone."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from bayesseg import population
from bayesseg._random import customer_keys
from bayesseg._types import Draws
from bayesseg.clv import clock
from bayesseg.customers import Attributes, Customers, summarise
from bayesseg.errors import InputRejected, UsageError
from bayesseg.families import FAMILIES
from bayesseg.families._realise import realise
from bayesseg.features import apply, learn, raw_columns
from bayesseg.inference.mixing import ess
from bayesseg.ingest import read_purchases
from bayesseg.posterior import Posterior, textbook, thinned
from bayesseg.priors import Prior
from bayesseg.scoring import Scores, Settings, score
from bayesseg.scoring.plan import kept
from bayesseg.spec import CovariatesSpec, load_spec

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
        "gates": [],
        "customers": {"all": 2_000},
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
    found = score(posterior, customers, Settings(chunk=chunk))
    same(scores.table, found.table)
    for name, total in scores.document["totals"].items():
        assert found.document["totals"][name] == pytest.approx(total, rel=1e-12)


def test_threads_change_not_a_bit(posterior: Posterior, customers: Customers) -> None:
    some = customers.take(np.arange(0, len(customers), 3))
    one, three = (score(posterior, some, threads=n) for n in (1, 3))
    pd.testing.assert_frame_equal(
        one.table.drop(columns="scored_at"), three.table.drop(columns="scored_at"), check_exact=True
    )
    assert one.document["totals"] == three.document["totals"]


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


def test_realised_totals_vary_as_if_every_customer_had_a_future_of_its_own(
    posterior: Posterior, customers: Customers, scores: Scores
) -> None:
    """Rows of many customers share draws; the totals' intervals must not."""
    spec, own, index = posterior.spec, Settings(), np.arange(400)
    ticks = clock(own.horizon_days, own.value_horizon_days, own.annual_discount, spec.unit_days)
    columns = customers.columns(spec.unit_days)
    keys = customer_keys(customers.ids, 99)
    purchase = textbook("mbgnbd", thinned(posterior.parts["purchase"], own.draws))
    spend = textbook("gammagamma", thinned(posterior.parts["spend"], own.draws))
    order = np.random.default_rng(posterior.manifest["seed"]).permutation(own.draws)
    spend = {name: values[order] for name, values in spend.items()}
    latents = FAMILIES["mbgnbd"].latents(purchase, columns, keys, index)
    nu = FAMILIES["gammagamma"].latents(spend, columns, keys, index)
    share = posterior.manifest["paid_share"]
    money, soon, _ = realise(latents, nu, spend["p"], share, ticks, keys, index)
    for name, each in (("expected_purchases", soon), ("clv", money)):
        total, found = each.sum(axis=0), scores.document["totals"][name]
        assert found["mean"] == pytest.approx(total.mean(), abs=4 * total.std() / 20)
        assert (found["pred_lo"] + found["pred_hi"]) / 2 == pytest.approx(total.mean(), rel=0.03)
        assert found["pred_hi"] - found["pred_lo"] == pytest.approx(3.29 * total.std(), rel=0.15)
        assert found["pred_lo"] < found["lo"] < found["hi"] < found["pred_hi"]


def test_customers_of_one_history_get_one_answer(
    posterior: Posterior, customers: Customers
) -> None:
    one = customers.take(np.flatnonzero(customers.x == 3)[[0, 0, 0]])
    table = score(posterior, replace(one, ids=np.array(["a", "b", "c"], dtype=object))).table
    columns = table.columns.difference(["customer_id", "priority_rank"])
    assert (table[columns].astype(str).nunique() == 1).all()


def test_two_of_everybody_double_the_totals_and_leave_the_rows(
    posterior: Posterior, customers: Customers, scores: Scores
) -> None:
    twice = customers.take(np.repeat(np.arange(len(customers)), 2))
    names = np.array([f"{one}{end}" for one in customers.ids for end in "ab"], dtype=object)
    found = score(posterior, replace(twice, ids=names))
    once, both = scores.document["totals"], found.document["totals"]
    for name in ("expected_purchases", "clv", "value_at_risk"):
        for end in ("mean", "lo", "hi", "mcse"):
            assert both[name][end] == pytest.approx(2 * once[name][end], rel=1e-10)
    wide = [each["clv"]["pred_hi"] - each["clv"]["pred_lo"] for each in (once, both)]
    assert 1.4 < wide[1] / wide[0] < 2
    np.testing.assert_array_equal(found.table["clv_mean_hi"][::2], scores.table["clv_mean_hi"])


def test_realised_purchases_are_whole_and_mostly_none(scores: Scores) -> None:
    low, high = scores.table["purchases_pred_lo"], scores.table["purchases_pred_hi"]
    assert (low <= high).all()
    assert (low == 0).mean() > 0.9
    assert (high.sort_values().iloc[-20:] >= 4).all()


def test_without_predictive_nothing_is_drawn_and_its_columns_are_null(
    posterior: Posterior, customers: Customers, scores: Scores
) -> None:
    some = customers.take(np.argsort(customers.ids)[:200])
    found = score(posterior, some, Settings(predictive=False))
    assert list(found.table.columns) == list(scores.table.columns)
    drawn = ["purchases_pred_lo", "purchases_pred_hi", "clv_pred_lo", "clv_pred_hi", "p_top_decile"]
    assert found.table[drawn].isna().all(axis=None)
    assert not found.table["clv"].isna().any()
    assert "pred_lo" not in found.document["totals"]["clv"]


def test_groups_are_scored_by_their_own_parameters(
    posterior: Posterior, customers: Customers, scores: Scores
) -> None:
    """A covariate with an effect of 0 changes no number; one that doubles the rate does what it says."""
    kind = np.where(np.arange(len(customers)) % 3 == 0, "b", "a").astype(object)
    some = replace(customers, attributes=Attributes(customers.ids, {"kind": kind}))
    effect = Prior("Normal", {"mean": 0.0, "sd": 0.5})
    part = posterior.spec.parts["purchase"]
    linked = replace(part, covariates=CovariatesSpec(("kind",), (), effect))
    state = population.learn(linked, some)
    (name,) = (p.name for p in population.linked(linked, state)[0].params if "kind" in p.name)
    spec = replace(posterior.spec, parts={**posterior.spec.parts, "purchase": linked})
    manifest = {**posterior.manifest, "population": {"purchase": state}}

    def with_effect(size: float) -> Posterior:
        draws = posterior.parts["purchase"]
        values = {**draws.values, name: np.full_like(draws.values["r"], size)}
        parts = {**posterior.parts, "purchase": replace(draws, values=values)}
        return replace(posterior, spec=spec, parts=parts, manifest=manifest)

    same(expected(scores.table), expected(score(with_effect(0.0), some).table))
    draws = posterior.parts["purchase"]
    faster = replace(draws, values={**draws.values, "rate": 2 * draws.values["rate"]})
    fast = replace(posterior, parts={**posterior.parts, "purchase": faster})
    found = score(with_effect(np.log(2.0)), some).table
    of_b = kind[np.argsort(customers.ids)] == "b"
    same(expected(scores.table[~of_b]), expected(found[~of_b]))
    same(expected(score(fast, some).table[of_b]), expected(found[of_b]))


def expected(table: pd.DataFrame) -> pd.DataFrame:
    """Without what is realised: customers of another group have futures of their own."""
    return table.drop(columns=[name for name in table if "_pred_" in name])


def test_a_covariate_of_pure_noise_leaves_realised_totals_as_wide_as_they_were(
    posterior: Posterior, customers: Customers
) -> None:
    """Of one-time buyers, many of whom have one history."""
    once = customers.take(np.flatnonzero(customers.x == 0))
    levels = np.random.default_rng(8).choice(list("abcdefgh"), len(once)).astype(object)
    some = replace(once, attributes=Attributes(once.ids, {"kind": levels}))
    effect = Prior("Normal", {"mean": 0.0, "sd": 0.5})
    linked = replace(
        posterior.spec.parts["purchase"], covariates=CovariatesSpec(("kind",), (), effect)
    )
    state = population.learn(linked, some)
    draws = posterior.parts["purchase"]
    none = np.zeros_like(draws.values["r"])
    effects = {p.name: none for p in population.linked(linked, state)[0].params if "kind" in p.name}
    grouped = replace(
        posterior,
        spec=replace(posterior.spec, parts={**posterior.spec.parts, "purchase": linked}),
        parts={
            **posterior.parts,
            "purchase": replace(draws, values={**draws.values, **effects}),
        },
        manifest={**posterior.manifest, "population": {"purchase": state}},
    )
    apart, whole = (score(one, some).document["totals"] for one in (grouped, posterior))
    for name in ("expected_purchases", "clv"):
        was, now = (t[name]["pred_hi"] - t[name]["pred_lo"] for t in (whole, apart))
        assert now == pytest.approx(was, rel=0.12), name


@pytest.fixture(scope="module")
def points(posterior: Posterior, customers: Customers) -> Scores:
    """Purchases and spend of a single draw, as the map engine leaves them."""

    def first(draws: Draws) -> Draws:
        return replace(draws, values={n: v[:1, :1] for n, v in draws.values.items()})

    parts = {
        part: draws if part == "segments" else first(draws)
        for part, draws in posterior.parts.items()
    }
    return score(replace(posterior, parts=parts), customers)


def test_under_a_point_estimate_nothing_expected_has_an_interval(points: Scores) -> None:
    table, totals = points.table, points.document["totals"]
    for name in ("p_churn", "expected_purchases", "expected_spend", "clv_mean"):
        assert table[[f"{name}_lo", f"{name}_hi"]].isna().all(axis=None), name
    assert np.isfinite(table["clv"]).all()
    assert all(total["lo"] is total["hi"] is total["mcse"] is None for total in totals.values())
    assert all(one["clv"]["lo"] is None for one in points.document["segments"])


def test_under_a_point_estimate_futures_and_memberships_still_vary(points: Scores) -> None:
    table, total = points.table, points.document["totals"]["clv"]
    assert total["pred_lo"] < total["mean"] < total["pred_hi"]
    assert (table["clv_pred_hi"] > table["clv_pred_lo"]).any()
    assert table["p_top_decile"].mean() == pytest.approx(0.1, abs=0.01)
    assert (table["segment_probability_hi"] > table["segment_probability_lo"]).any()
    assert points.document["settings"]["draws"] == 400


def test_a_posterior_of_few_draws_is_scored_with_all_of_them(
    posterior: Posterior, customers: Customers
) -> None:
    parts = {
        part: replace(draws, values={n: v[:, :10] for n, v in draws.values.items()})
        for part, draws in posterior.parts.items()
    }
    found = score(replace(posterior, parts=parts), customers.take(np.arange(50)))
    assert found.document["settings"]["draws"] == 40
    assert (found.table["p_churn_lo"] <= found.table["p_churn_hi"]).all()


# ---------------------------------------------------------------- the draws that are kept


def chain(rho: float, shape: tuple[int, int] = (4, 1000)) -> Draws:
    """An AR(1) a chain, with variance 1."""
    noise = np.random.default_rng(5).standard_normal(shape)
    values = np.empty(shape)
    values[:, 0] = noise[:, 0]
    for i in range(1, shape[1]):
        values[:, i] = rho * values[:, i - 1] + np.sqrt(1 - rho**2) * noise[:, i]
    return Draws({"r": values}, {}, {})


def test_independent_draws_are_thinned_to_what_was_asked() -> None:
    found = kept({"purchase": chain(0.0)}, 400)
    assert (found.draws, found.of) == (400, 4000)
    assert found.ess == pytest.approx(400, rel=0.05)
    assert found.means == pytest.approx(0.05, rel=0.03)


def test_more_are_kept_where_neighbours_are_alike() -> None:
    draws = chain(0.75)
    found = kept({"purchase": draws}, 400)
    assert 400 < found.draws < 4000
    assert found.ess > 370
    left = thinned(draws, found.draws)["r"]
    per_chain = left[: len(left) // 4 * 4].reshape(4, -1, 1)
    assert ess(per_chain)[0] == pytest.approx(found.ess, rel=0.25)


def test_no_more_are_kept_than_all_of_them_are_worth() -> None:
    """Every tenth draw of so slow a chain says nearly as much as the whole of it."""
    draws = chain(0.95)
    found = kept({"purchase": draws}, 400)
    assert found.draws == 400
    assert found.ess == pytest.approx(ess(draws.values["r"][..., None])[0], rel=0.05)


def test_importance_weights_bound_what_draws_are_worth() -> None:
    draws = replace(chain(0.0), info={"importance_ess": 150.0})
    assert kept({"purchase": draws}, 400).ess < 160


def test_a_point_has_no_monte_carlo_error() -> None:
    draws = Draws({"r": np.ones((4, 250))}, {}, {})
    found = kept({"purchase": draws}, 400)
    assert (found.draws, found.ess, found.means, found.ends) == (400, None, None, None)


def test_the_document_says_the_error_of_thinning(scores: Scores) -> None:
    said, total = scores.document["monte_carlo"], scores.document["totals"]["clv"]
    assert (said["draws"], said["of"]) == (400, 2000)
    assert said["mcse_of_means"] == pytest.approx(said["ess"] ** -0.5)
    sd = (total["hi"] - total["lo"]) / 3.29
    assert total["mcse"] == pytest.approx(said["mcse_of_means"] * sd, rel=0.15)


# ---------------------------------------------------------------- ranks, flags, refusals


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


def test_what_is_realised_leaves_out_whom_the_mean_leaves_out(
    posterior: Posterior, customers: Customers
) -> None:
    """q below 1 in a third of the draws: no row and no total counts customers without a value."""
    spend = posterior.parts["spend"]
    q = np.where(np.arange(spend.values["q"].size) % 3 == 0, 0.9, spend.values["q"].ravel())
    values = spend.values | {"q": q.reshape(spend.values["q"].shape)}
    parts = {**posterior.parts, "spend": replace(spend, values=values)}
    undefined = replace(posterior, parts=parts)
    found = score(undefined, customers)
    nowhere = found.table["clv"].isna()
    assert nowhere.any()
    assert not nowhere.all()
    for name in ("clv_pred_lo", "clv_pred_hi", "p_top_decile"):
        assert found.table[name].isna().equals(nowhere), name
    assert found.table["purchases_pred_hi"].notna().all()
    paid = customers.x_paid > 0
    alone = score(undefined, customers.take(np.flatnonzero(paid))).document["totals"]["clv"]
    for end in ("mean", "pred_lo", "pred_hi"):
        assert found.document["totals"]["clv"][end] == pytest.approx(alone[end], rel=1e-9), end


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


def test_somebody_who_comes_now_is_expected_to_do_what_a_customer_of_today_is(
    posterior: Posterior, customers: Customers
) -> None:
    nothing = dict.fromkeys(("x", "t_x", "t_end", "x_paid"), np.zeros(1, dtype=np.int64))
    today = replace(customers.take(np.array([0])), **nothing, repeat_spend=np.zeros(1))
    row = score(posterior, today, Settings(predictive=False)).table.iloc[0]
    found = score(posterior, customers, Settings(predictive=False)).document["newcomer"]
    for name, own in (("expected_purchases", "expected_purchases"), ("clv", "clv_mean")):
        expected = [row[name], row[f"{own}_lo"], row[f"{own}_hi"]]
        assert list(found[name].values()) == pytest.approx(expected, rel=1e-12)
