"""Totals of a score: what the backtests of the fit missed goes with them."""

import math
from dataclasses import replace

import numpy as np
import pytest
import report_case

from bayesseg.cli.text import totals_lines
from bayesseg.discrepancy import learnt
from bayesseg.report import build
from bayesseg.scoring import LEVEL, Settings, score

SETTINGS = Settings(draws=100)
MISSES = ({"log": 0.16, "spread": 0.05}, {"log": 0.11, "spread": 0.06})


@pytest.fixture(scope="module")
def customers(cdnow_sample):
    every = report_case.customers(cdnow_sample)
    return every.take(np.sort(np.argsort(-every.x, kind="stable")[:200]))


@pytest.fixture(scope="module")
def bare(customers):
    """A run whose backtests hold no misses, as old ones do."""
    return report_case.posterior(customers)


@pytest.fixture(scope="module")
def tested(bare):
    """The same with two backtests a part, all of which ran low."""
    backtests = [
        {"part": part, "cut": cut, "horizon_days": 136, "bias": math.expm1(-one["log"])}
        | {"actual": 812.0, "mean": 690.0, "lo": 630.0, "hi": 750.0, "customers": 200, "miss": one}
        for part in ("purchase", "spend")
        for cut, one in zip(("1997-09-30", "1998-02-14"), MISSES, strict=True)
    ]
    return replace(bare, summary=bare.summary | {"backtests": backtests})


@pytest.fixture(scope="module")
def scored(tested, customers):
    return score(tested, customers, SETTINGS)


def test_totals_that_come_true_or_not_are_widened_beside_the_raw_interval(scored) -> None:
    low, high = learnt(MISSES).factor(LEVEL)
    for name in ("expected_purchases", "clv"):
        total = scored.document["totals"][name]
        assert total["widened_lo"] < total["pred_lo"] < total["pred_hi"] < total["widened_hi"]
        assert total["widened_hi"] > 0.9 * total["mean"] * high
        assert total["widened_lo"] < 1.1 * total["mean"] * low
    assert "widened_lo" not in scored.document["totals"]["value_at_risk"]


def test_the_factor_stands_in_the_document_by_part(scored) -> None:
    own = learnt(MISSES)
    for part in ("purchase", "spend"):
        found = scored.document["discrepancy"][part]
        assert (found["lo"], found["hi"], found["right"]) == (*own.factor(LEVEL), own.right)
        assert (found["learnt_from"], found["horizon_days"]) == (2, 136)
        assert found["bias"] == pytest.approx([-0.148, -0.104], abs=1e-3)


def test_it_is_said_why_totals_are_widened_or_why_not(bare, customers, scored) -> None:
    said = [note for note in scored.document["notes"] if note.startswith("the total of purchases")]
    assert len(said) == 1
    assert "past forecasts over 136 days missed (−15%, −10%)" in said[0]
    assert "not tested" not in said[0]  # 90 days, and 136 were
    assert any(
        "the total of money" in note and "the 365 days of this total were not tested" in note
        for note in scored.document["notes"]
    )
    without = score(bare, customers, SETTINGS).document
    assert without["discrepancy"] == {"purchase": None, "spend": None}
    assert "widened_lo" not in without["totals"]["clv"]
    assert any("total of money is not widened: this fit made no" in n for n in without["notes"])


def test_no_column_of_any_customer_changes(bare, customers, scored) -> None:
    expected = score(bare, customers, SETTINGS).table.drop(columns="scored_at")
    assert expected.equals(scored.table.drop(columns="scored_at"))


def test_without_futures_the_expectation_is_widened(tested, customers) -> None:
    total = score(tested, customers, replace(SETTINGS, predictive=False)).document["totals"]["clv"]
    assert "pred_lo" not in total
    assert total["widened_lo"] < total["lo"] < total["hi"] < total["widened_hi"]


def test_the_terminal_and_the_page_show_both_intervals(tested, scored) -> None:
    first, second, newcomer = totals_lines(scored.document)
    assert newcomer.startswith(
        "somebody who comes now, after the first purchase: purchases in 90 days"
    )
    assert first.startswith("purchases in 90 days: ")
    assert second.startswith("revenue in 365 days, discounted: ")
    for line in (first, second):
        assert " expected; " in line
        assert " to come; " in line
        assert line.endswith(" widened by past misses")
    page = build(tested, scored.table, scored.document)
    assert page.html.count("allowing for what past forecasts missed") == 2
