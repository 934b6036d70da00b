"""Gates fail closed: whatever cannot be computed, or did not move, or stopped early, is a failure."""

from dataclasses import replace

import numpy as np
import pytest

from bayesseg._types import Check, Draws
from bayesseg.gates import gates, overall, verdicts
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
    early = {"until": "2009-12-21", "customers": 948, "usual": 39.0, "ratio": 8.1}
    verdict = verdicts(gates(SPEC, PARTS, FACTS | {"early": early}))["purchase"]
    assert verdict["computation"] == "passed"
    assert "948 customers" in verdict["reasons"][0]
