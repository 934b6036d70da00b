"""What a validation says in words: spoken on one side of each limit, silent on the other."""

import pytest
import validation_case as case

from bayesseg.validation import advice
from bayesseg.validation.comparison import comparison, paired, subject, values

SIX = (0.42, 0.50, 0.28, 0.11, -0.03, -0.20)


def found(document):
    return {one.name: one for one in advice.advise(document)}


def diagnosed(**more):
    return found(case.document(diagnosis=case.diagnosis(**more)))


def test_nothing_is_said_where_there_is_nothing_to_say():
    said = advice.advise(case.document((0.01, -0.01, 0.02), verdict="passed"))
    assert {one.name for one in said if one.level == "caution"} == set()
    assert {one.name for one in said} == {
        "totals_purchases",
        "totals_spend",
        "preference",
        "benchmarks",
    }


def test_the_verdict_stands_first_then_cautions_then_notes():
    said = advice.advise(
        case.document(
            SIX, diagnosis=case.diagnosis(independence={"spearman": 0.2, "customers": 946})
        )
    )
    assert [one.name for one in said][:3] == ["totals_purchases", "totals_spend", "one_cut_hides"]
    levels = [advice.LEVELS.index(one.level) for one in said[2:]]
    assert levels == sorted(levels)


def test_one_cut_hides_the_bias_of_the_others():
    said = found(case.document(SIX))["one_cut_hides"]
    assert said.level == "caution"
    assert "+42%, +50%, +28%, +11%, −3% and −20%" in said.says
    assert "falls with time" in said.says
    assert "may lie further along" in said.fix


def test_a_bias_that_jumps_is_not_called_a_trend():
    said = found(case.document((0.2, -0.2, 0.15, -0.1)))["one_cut_hides"]
    assert "changes its sign" in said.says
    assert "further along" not in said.fix


def seasonal(biases):
    """Six quarterly cuts, the first on 2010-06-05."""
    document = case.document(biases)
    cuts = ["2010-06-05", "2010-09-05", "2010-12-06", "2011-03-08", "2011-06-08", "2011-09-08"]
    for origin, cut in zip(document["origins"], cuts, strict=True):
        origin["cut"] = cut
    document["data"]["last"] = "2011-12-09"
    return found(document | {"horizon_days": 92})


def test_the_same_weeks_missed_alike_are_a_season():
    said = seasonal((0.07, -0.22, 0.80, 0.27, 0.21, -0.23))["season"]
    assert "(+7% and +21%; −22% and −23%)" in said.says
    assert "the 92 days after 2011-12-09 are the season of the cut at 2010-12-06" in said.fix
    assert "off by +80%" in said.fix


@pytest.mark.parametrize(
    "biases",
    [
        (0.07, -0.22, 0.80, 0.27, -0.22, 0.21),  # a year later it is otherwise
        (0.01, -0.02, 0.03, 0.00, 0.01, -0.02),  # nothing to explain
        SIX,
    ],
)
def test_misses_without_the_pattern_of_the_year_are_no_season(biases):
    assert "season" not in seasonal(biases)


@pytest.mark.parametrize("biases", [(0.04, -0.04), (0.02, 0.01), (0.3,)])
def test_small_or_single_biases_hide_nothing(biases):
    said = found(case.document(biases))
    assert "one_cut_hides" not in said
    assert "steady_lean" not in said


def test_a_steady_lean_comes_with_what_to_expect():
    said = found(case.document((-0.20, -0.22, -0.18)))["steady_lean"]
    assert "ran low (−20%, −22% and −18%)" in said.says
    assert "about 25% above the forecast" in said.fix  # 1 / 0.8
    assert "below the forecast" in found(case.document((0.20, 0.22)))["steady_lean"].fix


def test_a_single_cut_says_that_it_is_no_verdict():
    said = found(case.document((-0.164,)))["totals_purchases"]
    assert said.level == "caution"
    assert "1,573 forecast" in said.says
    assert "1,882 came: inside" not in said.says
    assert "outside the 95% interval, off by −16%" in said.says
    assert "--origins" in said.fix
    held = found(case.document((0.02,), verdict="not-assessed"))["totals_purchases"]
    assert held.level == "note"
    assert "inside the 95% interval" in held.says


@pytest.mark.parametrize(
    ("verdict", "level", "fix"),
    [
        ("passed", "good", "plan totals with 0.55 to 1.80 times"),
        ("caution", "caution", "plan totals with 0.55 to 1.80 times"),
        ("failed", "caution", "do not plan totals"),
        ("not-assessed", "note", "plan totals with 0.55 to 1.80 times"),
    ],
)
def test_totals_follow_the_verdict(verdict, level, fix):
    said = found(case.document(SIX, verdict=verdict))["totals_purchases"]
    assert said.level == level
    assert fix in said.fix
    assert "1 of 6 totals came inside" in said.says


def test_spend_is_judged_by_its_own_totals():
    assert found(case.document((0.02, 0.01, 0.03)))["totals_spend"].level == "good"
    assert found(case.document((0.5, 0.5, 0.5)))["totals_spend"].level == "caution"
    without = case.document(SIX)
    for one in without["forecasts"].values():
        one["spend"] = None
    assert "totals_spend" not in found(without)


def test_one_family_is_not_compared():
    assert "preference" not in found(case.document(families=("mbgnbd",)))


def test_the_family_that_forecasts_better_is_recommended_where_it_matters():
    document = case.document(SIX)
    document["chosen"] |= {"next": "bgnbd", "mean_crps": {"mbgnbd": 0.55, "bgnbd": 0.51}}
    said = found(document)["preference"]
    assert "by 12.8 ± 5.0 in elpd before BG/NBD (a clear lead)" in said.says
    assert "7.8% in CRPS" in said.says
    assert "family bgnbd" in said.fix
    document["chosen"]["mean_crps"] = {"mbgnbd": 0.511, "bgnbd": 0.51}
    said = found(document)["preference"]
    assert "too little to matter" in said.says
    assert said.fix == "no reason to leave MBG/NBD"


def test_the_family_whose_totals_miss_less_is_named_where_totals_matter():
    document = case.document(SIX)
    for at, origin in enumerate(document["origins"]):
        origin["rows"][1]["purchases"]["bias"] = 0.9 * SIX[at]
    said = found(document)["preference"]
    assert "totals missed by 26% (MBG/NBD) and 23% (BG/NBD) on average" in said.says
    assert said.fix == "no reason to leave MBG/NBD"
    for at, origin in enumerate(document["origins"]):
        origin["rows"][1]["purchases"]["bias"] = 0.5 * SIX[at]
    assert found(document)["preference"].fix == "where totals matter, fit a model with family bgnbd"


def test_a_family_that_describes_the_past_clearly_better_is_the_safer_one():
    document = case.document(SIX)
    document["loo"]["families"].reverse()
    document["loo"]["families"][1] |= {"difference": -12.8, "difference_se": 5.0}
    assert "family bgnbd is the safer description" in found(document)["preference"].fix


def test_a_lead_within_its_error_is_no_lead():
    document = case.document(SIX)
    document["loo"]["families"][1] |= {"difference": -9.9, "difference_se": 5.0}
    assert "no clear lead" in found(document)["preference"].says
    document["loo"]["families"][1] |= {"difference": -10.1}
    assert "a clear lead" in found(document)["preference"].says


def test_high_k_is_said():
    document = case.document(SIX)
    document["loo"]["families"][1]["bad_k"] = 12
    assert "shaky for BG/NBD (12 customers with high k)" in found(document)["preference"].says


def edited(name, part, **numbers):
    document = case.document(SIX)
    for origin in document["origins"]:
        for row in origin["rows"]:
            if row["name"] == name:
                row[part] |= numbers
    return found(document)["benchmarks"]


@pytest.mark.parametrize(
    ("name", "part", "numbers", "said"),
    [
        ("logistic", "active", {"auc": 0.775}, "AUC of who buys 0.775 against 0.760"),
        ("logistic", "active", {"brier": 0.158}, "Brier score of who buys 0.158 against 0.161"),
        ("logistic", "active", {"top_decile_share": 0.5}, "0.500 against 0.475"),
        ("rate", "purchases", {"rmse": 1.5}, "RMSE per customer 1.500 against 1.600"),
        ("rate", "purchases", {"bias": 0.1}, "total off by 10% against 26%"),
    ],
)
def test_a_benchmark_that_wins_is_named_with_both_numbers(name, part, numbers, said):
    one = edited(name, part, **numbers)
    assert one.level == "note"
    assert said in one.says


@pytest.mark.parametrize(
    ("name", "part", "numbers"),
    [
        ("logistic", "active", {"auc": 0.765, "brier": 0.160}),
        ("rate", "purchases", {"rmse": 1.58, "bias": 0.22}),
        ("rate", "purchases", {"mae": 0.5}),  # what "nobody buys" would win
    ],
)
def test_a_lead_too_small_to_matter_wins_nothing(name, part, numbers):
    assert edited(name, part, **numbers).level == "good"


def test_benchmarks_are_compared_where_both_have_numbers():
    """A learner that has no first origin is not helped by it."""
    document = case.document((0.5, 0.1))
    first, second = document["origins"]
    for row in first["rows"]:
        if row["name"] == "logistic":
            row["active"] = None
        else:
            row["active"]["auc"] = 0.6
    for row in second["rows"]:
        row["active"]["auc"] = 0.8
    assert list(paired(document, "mbgnbd", "logistic", "active", "auc")) == [(0.8, 0.8)]
    assert found(document)["benchmarks"].level == "good"


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ([500, 100, 100, 100, 100, 100, 100, 100, 100, 500], "too narrow"),
        ([50, 100, 200, 300, 400, 400, 300, 200, 100, 50], "too wide"),
        ([10, 20, 40, 80, 100, 150, 200, 300, 400, 500], "bought more"),
        ([500, 400, 300, 200, 150, 100, 80, 40, 20, 10], "bought less"),
    ],
)
def test_the_shape_of_the_pit_is_put_into_words(counts, words):
    document = case.document()
    document["origins"][-1]["rows"][0]["pit"] |= {"counts": counts, "ks": 0.2, "p": 1e-9}
    said = found(document)["calibration"]
    assert words in said.says
    assert "off by 20% at most, p < 0.001" in said.says


@pytest.mark.parametrize(("ks", "p"), [(0.04, 1e-9), (0.2, 0.05)])
def test_a_pit_that_is_nearly_flat_or_unsure_is_not_spoken_of(ks, p):
    document = case.document()
    document["origins"][-1]["rows"][0]["pit"] |= {"ks": ks, "p": p}
    assert "calibration" not in found(document)


def test_a_ridge_is_said_by_boundary_or_by_correlation():
    ridge = {"dropout": ["phi", "kappa"], "correlation": 0.6, "at_boundary": ["kappa"]}
    row = case.diagnosis()["identification"][0]
    said = diagnosed(ridge=ridge, identification=[row | {"shift": 99.0}])["identification"]
    assert "runs off along a ridge (kappa without end" in said.says
    assert "moves" not in said.says
    said = diagnosed(ridge=ridge | {"correlation": -0.95, "at_boundary": []})["identification"]
    assert "known only together (correlation −0.95)" in said.says
    assert "identification" not in diagnosed(ridge=ridge | {"correlation": 0.85, "at_boundary": []})


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"ratio": 0.95}, "hardly inform kappa (posterior sd 0.95 of the prior's)"),
        ({"shift": -1.4}, "moves the estimate of kappa by 1.4 sd"),
        ({"ratio": 0.89, "shift": 0.9}, None),
    ],
)
def test_weak_and_moved_parameters_are_named(numbers, words):
    row = case.diagnosis()["identification"][0] | numbers
    said = diagnosed(identification=[row])
    assert (words is None) == ("identification" not in said)
    if words:
        assert words in said["identification"].says


@pytest.mark.parametrize(
    ("rho", "n", "level"),
    [
        (0.09, 5000, None),
        (0.206, 946, "note"),
        (-0.2, 946, "note"),
        (0.35, 946, "caution"),
        (0.25, 50, None),  # two standard errors are 0.28
    ],
)
def test_dependence_of_frequency_and_spend(rho, n, level):
    said = diagnosed(independence={"spearman": rho, "customers": n}).get("independence")
    assert level == (said and said.level)
    if rho < 0 and said:
        assert "less per purchase" in said.says


@pytest.mark.parametrize(
    ("k", "lo", "hi", "words"),
    [
        (1.8, 1.6, 2.0, "more regularly"),
        (1.8, 0.9, 2.9, None),
        (1.3, 1.1, 1.5, None),
        (0.7, 0.6, 0.8, "in bursts"),
        (0.7, 0.4, 1.1, None),
    ],
)
def test_timing(k, lo, hi, words):
    said = diagnosed(timing={"k": k, "lo": lo, "hi": hi, "customers": 480}).get("timing")
    assert (said is None) == (words is None)
    if words:
        assert words in said.says


EARLY = {
    "until": "2009-12-21",
    "customers": 948,
    "usual": 39.0,
    "ratio": 8.1,
    "weekly": [490, 299, 159],
    "rate": 0.107,
    "later_rate": 0.058,
    "weeks": 13,
    "later_customers": 1500,
    "apart": False,
}


@pytest.mark.parametrize(
    ("numbers", "level", "words"),
    [
        ({}, "caution", "490, 299 and 159 customers, where 39 a week is usual"),
        ({}, "caution", "0.107 a week against 0.058"),
        ({}, "caution", "1.8 times as often"),
        ({"rate": None, "later_rate": None}, "caution", "most of them had bought before"),
        ({"rate": 0.06}, "note", "0.060 a week against 0.058"),
        ({"ratio": 2.9}, None, ""),
    ],
)
def test_a_log_that_starts_in_mid_life(numbers, level, words):
    said = diagnosed(early=EARLY | numbers).get("early_cohort")
    assert level == (said and said.level)
    assert words in (said.says if said else "")


def test_a_model_that_fits_the_early_cohort_apart_is_not_told_to():
    plain, apart = (
        diagnosed(early=EARLY | {"apart": own})["early_cohort"] for own in (False, True)
    )
    assert "--model cohorts" in plain.fix
    assert "--model cohorts" not in apart.fix


@pytest.mark.parametrize(
    ("ratio", "lo", "hi", "spoken"),
    [
        (0.83, 0.92, 1.08, True),
        (1.2, 0.92, 1.08, True),
        (0.95, 0.97, 1.03, False),
        (0.83, 0.8, 1.2, False),
    ],
)
def test_a_break_at_the_cut_needs_both_size_and_certainty(ratio, lo, hi, spoken):
    numbers = case.diagnosis()["regime"] | {"ratio": ratio, "lo": lo, "hi": hi}
    assert ("regime" in diagnosed(regime=numbers)) == spoken


def test_numbers_that_are_absent_are_not_spoken_of():
    absent = dict.fromkeys(("ridge", "independence", "timing", "early", "regime"))
    assert diagnosed(identification=[], **absent).keys() == {
        "totals_purchases",
        "totals_spend",
        "preference",
        "benchmarks",
    }


def test_the_chosen_forecaster_takes_the_family_of_each_cut():
    document = case.document((0.1, 0.2))
    assert subject(document) == "chosen"
    document["chosen"]["path"][1] |= {"family": "bgnbd"}
    document["chosen"]["path"][1]["purchases"]["bias"] = -0.5
    document["origins"][1]["rows"][1]["active"]["auc"] = 0.9
    assert values(document, "chosen", "purchases", "bias") == pytest.approx([0.1, -0.5])
    assert values(document, "chosen", "active", "auc") == pytest.approx([0.76, 0.9])
    assert subject(case.document(families=("mbgnbd",))) == "mbgnbd"


def test_the_comparison_averages_over_the_cuts_that_have_numbers():
    document = case.document((0.4, -0.2))
    document["origins"][0]["rows"][0]["purchases"]["crps"] = None
    line = comparison(document)[0]
    assert line["name"] == "mbgnbd"
    assert line["bias"] == pytest.approx(0.1)
    assert line["miss"] == pytest.approx(0.3)
    assert line["crps"] == 0.51
    assert line["coverage"] == 0.95
    last = comparison(document)[-1]
    assert last["name"] == "logistic"
    assert last["mae"] is None
    assert last["auc"] == 0.76


def without_mean(document):
    for origin in document["origins"]:
        for row in origin["rows"]:
            if row["spend"]:
                row["spend"] |= {"mean": None, "bias": None}
    for one in document["forecasts"].values():
        one["spend"]["bias"] = [None] * len(document["origins"])
    return document


@pytest.mark.parametrize("families", [("mbgnbd",), ("mbgnbd", "bgnbd")])
@pytest.mark.parametrize("biases", [(0.02,), (0.02, 0.3, -0.1)])
def test_a_mean_that_does_not_exist_is_said(biases, families):
    said = found(without_mean(case.document(biases, families=families)))["totals_spend"]
    assert "mean spend does not exist" in said.says
    assert "None" not in said.says
    assert "[" not in said.says.partition("forecast")[0]


def emptied(document):
    for origin in document["origins"]:
        for row in origin["rows"]:
            if row["purchases"]:
                row["purchases"] |= {"actual": 0.0, "bias": None, "inside": False}
    for one in document["forecasts"].values():
        one["purchases"] |= {"bias": [None] * len(document["origins"]), "inside": 0}
    return document


def test_a_holdout_in_which_nothing_came_is_called_that():
    said = found(emptied(case.document((0.02,))))["totals_purchases"]
    assert "nothing came: outside the 95% interval" in said.says
    assert "off by" not in said.says
    said = found(emptied(case.document(SIX[:3])))["totals_purchases"]
    assert "nothing came after 1995-09-30, 1996-09-30 and 1997-09-30" in said.says
    assert "times the forecast" not in said.fix


@pytest.mark.parametrize("lost", [(0,), (0, 1)])
def test_families_without_totals_that_came_are_compared_by_the_rest(lost):
    """A miss that is not there is no smallest miss."""
    document = case.document((0.3, 0.3, 0.3))
    for origin in document["origins"]:
        for at in lost:
            origin["rows"][at]["purchases"]["bias"] = None
    said = found(document)["preference"]
    assert "None" not in said.says
    assert said.fix == "no reason to leave MBG/NBD"


@pytest.mark.parametrize(
    ("part", "said", "unsaid"),
    [
        ("purchase", "read churn and P(alive)", "spend"),
        ("spend", "read the spend per purchase", "read churn"),
    ],
)
def test_weak_identification_says_what_leans_on_the_prior(part, said, unsaid):
    row = case.diagnosis()["identification"][0] | {"part": part, "shift": -1.4}
    fix = diagnosed(identification=[row])["identification"].fix
    assert said in fix
    assert unsaid not in fix
    assert "cohorts" not in fix  # one vector of parameters for all pools already


def test_findings_name_the_family_they_speak_of():
    document = case.document(SIX)
    assert "purchases by MBG/NBD: " in found(document)["totals_purchases"].says
    assert "the bias of MBG/NBD's total" in found(document)["one_cut_hides"].says
    document["chosen"]["path"][1] |= {"family": "bgnbd"}
    assert "purchases by MBG/NBD or BG/NBD: " in found(document)["totals_purchases"].says
    numbers = case.diagnosis()["regime"] | {"ratio": 0.83, "lo": 0.92, "hi": 1.08}
    assert "of what MBG/NBD expects came" in diagnosed(regime=numbers)["regime"].says


def test_every_sentence_ends_without_a_number_that_is_none():
    documents = [case.document(SIX), case.document(), case.document(SIX, verdict="failed")]
    for document in documents:
        for one in advice.advise(document):
            assert one.level in advice.LEVELS
            assert "None" not in one.says + one.fix
            assert one.says


def attributed(ours, theirs):
    """A document of one attribute: its groups forecast with it and, by maximum likelihood, without."""
    document = case.document(families=("bgnbd",), attributes=["channel"])
    (origin,) = document["origins"]
    cells = {"column": "channel", "level": ["shop", "web"], "customers": [60, 40]}
    origin["rows"][0]["by_group"] = [cells | {"actual": [0.5, 2.0], "expected": ours}]
    plain = {**origin["rows"][0], "name": "bgnbd_mle", "title": "BG/NBD, maximum likelihood"}
    plain["by_group"] = [cells | {"actual": [0.5, 2.0], "expected": theirs}]
    origin["rows"].insert(1, plain)
    return document


def test_attributes_say_what_they_gain_and_that_they_are_taken_as_known():
    # of 110 purchases 60 |Δ| + 40 |Δ| are misplaced: 5.5 with, 44 without
    own = found(attributed([0.55, 1.9375], [0.9, 1.5]))["attributes"]
    assert own.level == "good"
    assert "(channel) are taken as known at each cut" in own.says
    assert "by channel 5% with the attributes, 40% without" in own.says
    assert "recorded later" in own.fix


def test_attributes_that_gain_nothing_are_told_so():
    own = found(attributed([0.9, 1.5], [0.9, 1.5]))["attributes"]
    assert own.level == "note"
    assert "forecasts as well without any" in own.fix
    assert "attributes" not in found(case.document())
