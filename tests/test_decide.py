"""The two lists: who is on them, in what order, and why."""

import pandas as pd
import pytest

from bayesseg.decide import facts_of, ranked, reasons
from bayesseg.errors import InputRejected, UsageError

LOYAL = {
    "customer_id": "loyal",
    "segment_name": "loyal",
    "frequency": 9,
    "days_since_last": 51,
    "typical_gap_days": 24.2,
    "overdue": 0.4,
    "p_alive": 0.9,
    "p_churn": 0.2,
    "clv": 310.4,
    "value_at_risk": 40.0,
    "win_back_value": 5.0,
    "value_horizon_days": 365,
    "verdict": "passed",
}
LAPSED = LOYAL | {
    "customer_id": "lapsed",
    "overdue": 0.001,
    "p_alive": 0.02,
    "p_churn": 0.99,
    "clv": 1.0,
    "value_at_risk": 0.5,
    "win_back_value": 400.0,
}
ONCE = LOYAL | {"customer_id": "once", "frequency": 0, "value_at_risk": 2.0, "clv": 12.0}


def frame(*rows):
    return pd.DataFrame(list(rows))


def test_a_lapsed_customer_is_never_on_the_save_list():
    """P(alive) 0.02 with a churn of 0.99: nothing is left to save, much to win back."""
    scores = frame(LAPSED, LOYAL, ONCE)
    assert ranked(scores, "save")["customer_id"].tolist() == ["loyal", "once"]
    assert ranked(scores, "win-back")["customer_id"].tolist() == ["lapsed"]


def test_save_takes_those_likely_here_win_back_those_gone_and_silent_beyond_their_rhythm():
    rows = [
        LOYAL | {"customer_id": f"{alive}-{overdue}", "p_alive": alive, "overdue": overdue}
        for alive in (0.0, 0.2, 0.49, 0.5, 1.0)
        for overdue in (0.0, 0.1, 0.11, 1.0)
    ]
    scores = frame(*rows)
    save, back = (set(ranked(scores, which)["customer_id"]) for which in ("save", "win-back"))
    assert save == {f"{alive}-{o}" for alive in (0.5, 1.0) for o in (0.0, 0.1, 0.11, 1.0)}
    assert back == {f"{alive}-{o}" for alive in (0.0, 0.2, 0.49) for o in (0.0, 0.1)}


def test_lists_are_ranked_by_the_stake_and_ties_by_id():
    scores = frame(
        LOYAL | {"customer_id": "b"},
        LOYAL | {"customer_id": "a"},
        LOYAL | {"customer_id": "c", "value_at_risk": 41.0},
    )
    listed = ranked(scores, "save")
    assert listed["customer_id"].tolist() == ["c", "a", "b"]
    assert listed["rank"].tolist() == [1, 2, 3]
    assert listed["value"].tolist() == [41.0, 40.0, 40.0]
    shuffled = ranked(scores.iloc[[2, 0, 1]], "save")
    pd.testing.assert_frame_equal(shuffled, listed)


def test_count_takes_the_first():
    listed = ranked(frame(ONCE, LOYAL), "save", 1)
    assert listed["customer_id"].tolist() == ["loyal"]


def test_a_customer_with_nothing_at_stake_is_not_listed():
    scores = frame(LOYAL | {"value_at_risk": 0.0}, ONCE | {"value_at_risk": float("nan")})
    assert len(ranked(scores, "save")) == 0


def test_the_reason_is_one_plain_line():
    scores = frame(LOYAL, ONCE, LOYAL | {"value_horizon_days": 180})
    assert reasons(scores).tolist() == [
        "buys every 24 days, silent 51 days, worth 310 a year",
        "bought once, silent 51 days, worth 12 a year",
        "buys every 24 days, silent 51 days, worth 310 in 180 days",
    ]
    assert ranked(frame(LAPSED), "win-back")["reason"].tolist() == [
        "bought every 24 days, silent 51 days, if back worth 408 a year"
    ]


def test_a_single_day_is_one_day():
    daily = LOYAL | {"typical_gap_days": 0.8, "days_since_last": 1}
    assert reasons(frame(daily)).tolist() == ["buys every day, silent 1 day, worth 310 a year"]


def test_the_numbers_of_a_reason_are_there_for_other_languages():
    facts = facts_of(frame(LOYAL, ONCE)).to_dict("records")
    assert facts[0] == {"once": False, "gap": 24, "silent": 51, "worth": 310, "span": 365}
    assert facts[1] == {"once": True, "gap": 24, "silent": 51, "worth": 12, "span": 365}
    assert facts_of(frame(LAPSED), "win_back_value")["worth"].tolist() == [408]


def test_scores_are_not_changed():
    scores = frame(LOYAL, LAPSED)
    before = scores.copy()
    ranked(scores, "save", 1)
    pd.testing.assert_frame_equal(scores, before)


def test_a_model_without_segments_can_be_listed():
    scores = frame(LOYAL).drop(columns="segment_name")
    assert "segment_name" not in ranked(scores, "save")


def test_scores_without_value_are_refused():
    with pytest.raises(InputRejected, match="no value_at_risk"):
        ranked(frame(LOYAL).drop(columns="value_at_risk"), "save")


@pytest.mark.parametrize(("which", "count"), [("keep", None), ("save", 0)])
def test_a_list_that_makes_no_sense_is_refused(which, count):
    with pytest.raises(UsageError):
        ranked(frame(LOYAL), which, count)
