"""Gates fail closed: whatever cannot be computed, or did not move, or stopped early, is a failure."""

from dataclasses import replace

import numpy as np
import pytest

from bayesseg._types import Check, Draws
from bayesseg.errors import GateFailed, UsageError
from bayesseg.gates import (
    Release,
    gates,
    judged_today,
    judgement,
    overall,
    release,
    verdicts,
    withheld,
)
from bayesseg.gates.waivers import NEVER, WAIVABLE
from bayesseg.priors import sample
from bayesseg.spec import load_spec

SPEC = load_spec("bgnbd")
FACTS = {
    "scales": {"mean_window": 32.7, "median_order": 27.5},
    "spearman": 0.02,
    "backtests": [],
    "customers": 2357,
}
SHAPE = (4, 1000)


def healthy(names: tuple[str, ...], centre: float = 3.0) -> Draws:
    rng = np.random.default_rng(1)
    return Draws(
        values={name: centre + 0.1 * rng.normal(size=SHAPE) for name in names},
        stats={
            "diverging": np.zeros(SHAPE),
            "energy": rng.normal(size=SHAPE),
            "depth": np.full(SHAPE, 3.0),
        },
        info={},
    )


PURCHASE = replace(
    healthy(("r", "rate", "kappa")),
    values={
        **healthy(("r", "rate", "kappa")).values,
        "phi": 0.4 + 0.01 * np.random.default_rng(2).normal(size=SHAPE),
    },
)
PARTS = {"purchase": PURCHASE, "spend": healthy(("p", "q", "scale"))}


def judged(parts: dict[str, Draws], **facts: object) -> dict[tuple[str, str], Check]:
    return {(c.part, c.name): c for c in gates(SPEC, parts, FACTS | facts)}


def failed(parts: dict[str, Draws], part: str = "purchase") -> set[str]:
    return {c.name for c in judged(parts).values() if c.part == part and not c.passed}


def changed(name: str, values: np.ndarray) -> dict[str, Draws]:
    return PARTS | {"purchase": replace(PURCHASE, values=PURCHASE.values | {name: values})}


def test_healthy_draws_pass_every_gate() -> None:
    by_part = verdicts(gates(SPEC, PARTS, FACTS))
    assert overall(by_part) == "passed"
    assert {v["computation"] for v in by_part.values()} == {"passed"}


def test_an_all_nan_parameter_fails() -> None:
    assert {"completeness", "rhat", "ess_bulk", "ess_tail"} <= failed(
        changed("r", np.full(SHAPE, np.nan))
    )


def test_one_nan_draw_fails() -> None:
    values = PURCHASE.values["r"].copy()
    values[2, 17] = np.nan
    assert "completeness" in failed(changed("r", values))


def test_a_parameter_that_never_moved_fails() -> None:
    assert "completeness" in failed(changed("r", np.full(SHAPE, 0.5)))


def test_a_parameter_stuck_in_one_chain_fails() -> None:
    values = PURCHASE.values["r"].copy()
    values[1] = 3.0
    assert {"completeness", "rhat"} <= failed(changed("r", values))


def test_a_killed_run_padded_with_nan_fails() -> None:
    values = {name: v.copy() for name, v in PURCHASE.values.items()}
    for v in values.values():
        v[:, 600:] = np.nan
    assert "completeness" in failed(PARTS | {"purchase": replace(PURCHASE, values=values)})


def test_a_short_run_fails() -> None:
    values = {name: v[:, :600] for name, v in PURCHASE.values.items()}
    assert "completeness" in failed(PARTS | {"purchase": replace(PURCHASE, values=values)})


def test_one_chain_fails() -> None:
    values = {name: v[:1] for name, v in PURCHASE.values.items()}
    assert {"chains", "completeness"} <= failed(
        PARTS | {"purchase": replace(PURCHASE, values=values)}
    )


def test_four_chains_of_one_seed_are_one() -> None:
    values = {name: np.repeat(v[:1], 4, axis=0) for name, v in PURCHASE.values.items()}
    checks = judged(PARTS | {"purchase": replace(PURCHASE, values=values)})
    assert checks["purchase", "chains"].value == 1.0
    assert checks["purchase", "chains"].verdict == "failed"


def test_a_missing_parameter_fails() -> None:
    values = {name: v for name, v in PURCHASE.values.items() if name != "kappa"}
    assert "completeness" in failed(PARTS | {"purchase": replace(PURCHASE, values=values)})


def test_a_missing_part_fails() -> None:
    assert "completeness" in failed({"purchase": PURCHASE}, "spend")


def test_chains_apart_fail_rhat() -> None:
    values = PURCHASE.values["r"].copy()
    values[0] += 1.0
    assert "rhat" in failed(changed("r", values))


def test_slow_mixing_fails_ess() -> None:
    steps = np.random.default_rng(3).normal(size=SHAPE).cumsum(axis=1)
    assert "ess_bulk" in failed(changed("r", steps - steps.mean(axis=1, keepdims=True)))


def test_a_single_divergence_fails() -> None:
    diverging = np.zeros(SHAPE)
    diverging[0, 0] = 1
    stats = PURCHASE.stats | {"diverging": diverging}
    assert failed(PARTS | {"purchase": replace(PURCHASE, stats=stats)}) == {"divergences"}


def test_low_energy_information_fails() -> None:
    walk = np.random.default_rng(4).normal(size=SHAPE).cumsum(axis=1)
    stats = PURCHASE.stats | {"energy": walk}
    assert failed(PARTS | {"purchase": replace(PURCHASE, stats=stats)}) == {"ebfmi"}


@pytest.mark.parametrize("name", ["diverging", "energy", "depth"])
def test_statistics_that_are_not_there_fail(name: str) -> None:
    stats = {key: v for key, v in PURCHASE.stats.items() if key != name}
    assert failed(PARTS | {"purchase": replace(PURCHASE, stats=stats)})


def test_spend_whose_mean_may_not_exist_fails_the_spend_part_alone() -> None:
    spend = PARTS["spend"]
    low = replace(spend, values=spend.values | {"q": spend.values["q"] - 2.1})
    by_part = verdicts(gates(SPEC, PARTS | {"spend": low}, FACTS))
    assert {part: v["computation"] for part, v in by_part.items()} == {
        "purchase": "passed",
        "spend": "failed",
    }


def test_correlated_spend_is_a_caution_with_its_number() -> None:
    by_part = verdicts(gates(SPEC, PARTS, FACTS | {"spearman": 0.206}))
    assert by_part["spend"]["computation"] == "passed"
    assert "0.21" in by_part["spend"]["reasons"][0]
    assert overall(by_part) == "caution"


def test_a_missed_backtest_is_a_forecast_caution_beside_a_passed_computation() -> None:
    missed = {
        "part": "purchase",
        "cut": "1997-09-30",
        "horizon_days": 273,
        "actual": 1882.0,
        "mean": 1573.0,
        "lo": 1383.0,
        "hi": 1769.0,
        "bias": 1573 / 1882 - 1,
    }
    verdict = verdicts(gates(SPEC, PARTS, FACTS | {"backtests": [missed]}))["purchase"]
    assert (verdict["computation"], verdict["forecast"]) == ("passed", "caution")
    assert "16% low" in verdict["reasons"][0]


def test_without_backtests_the_forecast_is_not_assessed() -> None:
    assert verdicts(gates(SPEC, PARTS, FACTS))["purchase"]["forecast"] == "not-assessed"


def test_a_log_that_starts_in_mid_life_of_the_shop_is_a_caution() -> None:
    early = {"until": "2009-12-21", "customers": 948, "usual": 39.0, "ratio": 8.1, "excess": True}
    verdict = verdicts(gates(SPEC, PARTS, FACTS | {"early": early}))["purchase"]
    assert verdict["computation"] == "passed"
    assert "948 customers" in verdict["reasons"][0]


def test_a_spearman_that_cannot_be_computed_is_a_caution_not_a_crash() -> None:
    by_part = verdicts(gates(SPEC, PARTS, FACTS | {"spearman": None}))
    assert by_part["spend"]["computation"] == "passed"
    assert by_part["spend"]["reasons"]


def test_a_parameter_the_data_say_nothing_of_is_a_caution() -> None:
    prior = np.exp(np.log(3.0) + np.random.default_rng(6).normal(size=SHAPE))
    checks = judged(changed("kappa", prior))
    assert not checks["purchase", "identified_kappa"].passed
    assert checks["purchase", "identified_r"].passed


def importance(**info: object) -> Draws:
    """Draws kept of importance sampling: duplicates and all, and no statistics of a sampler."""
    told = {"engine": "laplace", "kept": 250, "pareto_k": 0.3, "importance_ess": 900.0}
    told |= {"limits": {"pareto_k": 0.67, "importance_ess": 400.0}}
    values = {name: np.repeat(v[:, :125], 2, axis=1) for name, v in PURCHASE.values.items()}
    return Draws(values, {}, told | info)


def test_importance_draws_are_judged_by_their_weights_and_not_by_chains() -> None:
    checks = judged(PARTS | {"purchase": importance()})
    own = {name for part, name in checks if part == "purchase" and "identified" not in name}
    assert own == {"completeness", "pareto_k", "importance_ess", "prior_sensitivity"}
    assert failed(PARTS | {"purchase": importance()}) == set()


@pytest.mark.parametrize(
    ("info", "gate"),
    [
        ({"pareto_k": 0.68}, "pareto_k"),
        ({"pareto_k": float("nan")}, "pareto_k"),
        ({"pareto_k": None}, "pareto_k"),
        ({"importance_ess": 399.0}, "importance_ess"),
        ({"limits": {"pareto_k": 0.67}}, "importance_ess"),
        ({"kept": 251}, "completeness"),
    ],
)
def test_importance_draws_fail_on(info: dict[str, object], gate: str) -> None:
    assert failed(PARTS | {"purchase": importance(**info)}) == {gate}


@pytest.mark.parametrize("engine", ["", "mystery", None])
def test_draws_that_do_not_say_what_drew_them_are_held_to_the_strictest_gates(engine) -> None:
    nameless = importance(engine=engine, kept=1000)
    assert {"divergences", "ebfmi", "completeness"} <= failed(PARTS | {"purchase": nameless})


def test_means_with_too_large_a_monte_carlo_error_fail() -> None:
    """A chain that sits at 0 but visits a far value now and then: ranks hardly see it."""
    rng = np.random.default_rng(8)
    visits = 50.0 * np.repeat(rng.random((4, 50)) < 0.04, 20, axis=1)
    values = PURCHASE.values["r"] + visits
    assert "mcse_mean" in failed(changed("r", values))


def test_numbers_that_leave_are_judged_and_not_only_parameters() -> None:
    """Where parameters drift together, what they say of a customer drifts with them."""
    drift = 0.3 * np.sin(np.linspace(0, 6 * np.pi, SHAPE[1])) * np.ones(SHAPE)
    values = {n: PURCHASE.values[n] * np.exp(drift) for n in ("r", "kappa")}
    drawn = replace(PURCHASE, values=PURCHASE.values | values)
    check = judged(PARTS | {"purchase": drawn})["purchase", "mcse_exported"]
    assert (check.verdict, check.limit) == ("failed", 0.05)


def test_a_prior_that_the_numbers_hang_on_is_a_caution() -> None:
    """The draws are the prior's own: were it twice as strong, they would all be elsewhere."""
    rng = np.random.default_rng(4)
    scales = FACTS["scales"]
    own = {
        name: sample(prior, 4000, scales, rng).reshape(SHAPE)
        for name, prior in SPEC.parts["purchase"].priors.items()
    }
    checks = judged(PARTS | {"purchase": replace(PURCHASE, values=own)})
    assert checks["purchase", "prior_sensitivity"].verdict == "caution"
    assert checks["purchase", "prior_sensitivity"].value > 0.2
    assert judged(PARTS)["purchase", "prior_sensitivity"].verdict == "passed"


# ---------------------------------------------------------------- waivers and release

WAIVER = {"gate": "divergences", "part": "purchase", "reason": "known", "until": "2999-01-01"}


def diverging(**facts: object) -> tuple[Check, ...]:
    stats = PURCHASE.stats | {"diverging": np.ones(SHAPE)}
    return gates(SPEC, PARTS | {"purchase": replace(PURCHASE, stats=stats)}, FACTS | facts)


def judgement_of(*waivers: dict[str, str]) -> dict[str, object]:
    return judgement(diverging(waivers=waivers))


def test_a_waiver_makes_a_failure_a_caution_of_the_computation() -> None:
    assert judgement_of()["verdict"] == "failed"
    found = judgement_of(WAIVER)
    assert found["verdict"] == found["verdicts"]["purchase"]["computation"] == "caution"
    assert found["verdicts"]["spend"]["computation"] == "passed"
    assert "WAIVED until 2999-01-01: known" in found["verdicts"]["purchase"]["reasons"][0]


@pytest.mark.parametrize(
    "change", [{"until": "2020-01-01"}, {"part": "spend"}, {"gate": "completeness"}]
)
def test_a_waiver_of_something_else_or_of_the_past_changes_nothing(change: dict[str, str]) -> None:
    assert judgement_of(WAIVER | change)["verdict"] == "failed"


def test_completeness_and_chains_admit_no_waiver() -> None:
    values = {name: v[:1] for name, v in PURCHASE.values.items()}
    one = PARTS | {"purchase": replace(PURCHASE, values=values)}
    waivers = [WAIVER | {"gate": name} for name in (*WAIVABLE, *NEVER)]
    failures = {
        c.name for c in gates(SPEC, one, FACTS | {"waivers": waivers}) if c.verdict == "failed"
    }
    assert failures == set(NEVER)


def test_every_hard_gate_either_admits_a_waiver_or_never_does() -> None:
    judged_by = [
        *gates(SPEC, PARTS, FACTS),
        *gates(SPEC, {"purchase": importance()}, FACTS),
        *gates(MIXTURE, {"segments": mixture()}, FACTS),
    ]
    assert {c.name for c in judged_by if c.severity == "hard"} <= {*WAIVABLE, *NEVER}


def test_a_failed_part_leaves_by_force_with_a_reason_only() -> None:
    judged_by = judgement_of()
    assert release(judged_by, ["spend"]) == Release((), "")
    for given in ({}, {"force": True}):
        with pytest.raises(GateFailed, match="may not leave") as refused:
            release(judged_by, ["purchase", "spend"], **given)
        assert refused.value.exit_code == 4
        assert "gate divergences is 4000, limit 0" in refused.value.fix
    for given in ({"reason": "a drill"}, {"force": True, "reason": " "}):
        with pytest.raises(UsageError):
            release(judged_by, ["purchase"], **given)
    forced = release(judged_by, ["purchase", "spend"], force=True, reason="a drill")
    assert forced == Release(("purchase",), "a drill")


def test_a_point_estimate_leaves_with_its_verdict() -> None:
    point = Draws({n: v[:1, :1] for n, v in PURCHASE.values.items()}, {}, {"engine": "map"})
    judged_by = judgement(gates(SPEC, PARTS | {"purchase": point}, FACTS))
    assert release(judged_by, ["purchase"]).parts == ()
    assert judged_by["verdicts"]["purchase"]["computation"] == "not-assessed"


@pytest.mark.parametrize("word", ["failed", "fine", "Passed", "", None, 1])
def test_what_is_not_known_to_be_computed_well_stays(word: object) -> None:
    judged_by = judgement_of(WAIVER)
    verdicts = judged_by["verdicts"] | {"spend": {"computation": word, "reasons": []}}
    odd = judged_by | {"verdicts": verdicts}
    assert withheld(odd, ["purchase", "spend", "segments"]) == ("spend", "segments")
    again = judged_today(odd)
    assert (again["verdict"], withheld(again, ["spend"])) == ("failed", ("spend",))


def test_a_waiver_is_held_against_the_clock_whatever_time_results_bear(monkeypatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert judgement_of(WAIVER | {"until": "1999-01-01"})["verdict"] == "failed"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "32503680001")
    assert judgement_of(WAIVER)["verdict"] == "caution"


MIXTURE = load_spec("segments")
K, D = 3, 2
INFO = {
    "rows": 500,
    "modes": {"missed_nats": 0.1, "distinct_between_chains": 1},
    "relabel": {"disagreement": 0.0},
    "overlap": {"max_bhattacharyya": 0.2},
}


def mixture(components: int = K, **info: object) -> Draws:
    rng = np.random.default_rng(7)
    return Draws(
        values={
            "weights": rng.dirichlet(np.full(components, 50.0), size=SHAPE),
            "mean": rng.normal(size=(*SHAPE, components, D)),
            "variance": rng.gamma(9.0, size=(*SHAPE, components, D)),
        },
        stats={
            "log_likelihood": rng.normal(size=SHAPE),
            "log_density": rng.normal(size=(*SHAPE, 5)),
            "coassignment": np.concatenate(
                [rng.beta(2, 2, size=(*SHAPE, 2)), np.ones((*SHAPE, 1))], axis=2
            ),
        },
        info=INFO | info,
    )


def mixture_failures(draws: Draws) -> set[str]:
    return {c.name for c in gates(MIXTURE, {"segments": draws}, FACTS) if not c.passed}


def test_a_healthy_mixture_passes_and_pairs_never_apart_count_as_agreement() -> None:
    assert mixture_failures(mixture()) == set()


def test_a_single_segment_passes() -> None:
    assert mixture_failures(mixture(1)) == set()


@pytest.mark.parametrize(
    ("info", "gate"),
    [
        ({"modes": {"missed_nats": 10.1, "distinct_between_chains": 1}}, "mode_missed"),
        ({"modes": {"missed_nats": 0.0, "distinct_between_chains": 2}}, "mode_agreement"),
        ({"relabel": {"disagreement": 0.06}}, "labels_identified"),
        ({"overlap": {"max_bhattacharyya": 0.91}}, "overlap"),
        ({"rows": 2}, "smallest_segment"),
        ({"modes": {"missed_nats": None, "distinct_between_chains": 1}}, "mode_missed"),
        ({"relabel": {}}, "labels_identified"),
    ],
)
def test_a_mixture_fails_on(info: dict[str, object], gate: str) -> None:
    assert mixture_failures(mixture(**info)) == {gate}


def test_swapped_labels_in_one_chain_fail() -> None:
    draws = mixture()
    mean = draws.values["mean"] * 0.01 + np.arange(K)[:, None]
    mean[1] = mean[1, :, ::-1]
    values = draws.values | {"mean": mean}
    assert "rhat" in mixture_failures(replace(draws, values=values))


def test_chains_that_more_draws_did_not_mend_are_told_of_their_rival() -> None:
    rival = {"nats_below_best": 2.7, "agreement_with_best": 0.67}
    modes = INFO["modes"] | {"segmentations": [{}, rival]}
    drawn = mixture(draws=10 * MIXTURE.inference.draws, modes=modes)
    apart = drawn.values["mean"] + np.arange(4)[:, None, None, None]
    advice = {
        c.advice
        for draws in (drawn, mixture())
        for c in gates(
            MIXTURE, {"segments": replace(draws, values=draws.values | {"mean": apart})}, FACTS
        )
        if c.name == "rhat"
    }
    (said,) = (text for text in advice if "sample longer" not in text)
    assert "another division lies 2.7 nats below this one" in said
    assert "bayesseg compare" in said
    assert len(advice) == 2


def test_chains_in_different_places_fail_on_the_joint_likelihood() -> None:
    draws = mixture()
    stats = draws.stats | {"log_likelihood": draws.stats["log_likelihood"] + np.arange(4)[:, None]}
    assert "invariant_rhat" in mixture_failures(replace(draws, stats=stats))


def test_a_pair_together_in_some_chains_and_apart_in_others_fails() -> None:
    draws = mixture()
    pair = np.ones((*SHAPE, 1))
    pair[2:] = 0.0
    stats = draws.stats | {"coassignment": pair}
    assert "invariant_rhat" in mixture_failures(replace(draws, stats=stats))
