"""A refit that continues an earlier run: which ids, names and words of experts go on."""

from dataclasses import replace

import numpy as np
import pytest
from segmentation_case import clients, fitted, groups

from bayesseg import gates, naming, segment_map
from bayesseg.customers import Customers
from bayesseg.errors import InputRejected, UsageError
from bayesseg.gates.judge import Subject
from bayesseg.naming import Name
from bayesseg.segment_map import parse
from bayesseg.segmentation import lineage
from bayesseg.segmentation.align import Fate, align
from bayesseg.segmentation.run import matrix_of, segments_of

LATER = {"shares": (0.2, 0.3, 0.5)}  # the smallest group has become the largest
RECUT = {"centres": np.array([[0.0, -3.0], [6.0, 0.0], [0.0, 3.0]])}  # S1 in two, S3 gone
PASSED = {"verdicts": {"segments": {"computation": "passed"}}}


def take_days(days):
    """Two customers of a log of so many days."""
    zero = np.zeros(2)
    ends = np.array([days - 1, 3])
    ids = np.array(["a", "b"], dtype=object)
    return Customers(ids, zero, zero, ends, zero, zero, zero, zero, None)


def names(*rules, still=0.0):
    """Names by these rules; "loyal" is true in a share ``still`` of the draws."""
    return [
        Name(f"{rule}{k}", f"{rule}{k} fr", "act", "agir", rule, {"loyal": still})
        for k, rule in enumerate(rules)
    ]


@pytest.fixture(scope="module")
def before():
    run = fitted(clients(groups(600, 1)[0]), 3)
    return replace(run, manifest=run.manifest | PASSED)


@pytest.fixture(scope="module")
def refit():
    """Data of a later period with the fit of its own, by what changed."""

    def fit(**change):
        data = clients(groups(600, 2, **change)[0])
        run = fitted(data, 3)
        return data, run.parts["segments"], matrix_of(segments_of(run), data)

    return {"later": fit(**LATER), "recut": fit(**RECUT)}


def go_on(before, refit, text=None, seed=1):
    own = None if text is None else parse(f"schema = 1\n{text}")
    return lineage.named(*refit, own=own, previous=before, seed=seed)


def test_ids_and_names_stay_with_their_segments_when_sizes_change(before, refit):
    found = go_on(before, refit["later"])
    assert found["ids"] == ["S3", "S2", "S1"]
    assert found["names"] == before.manifest["segments"]["names"]
    assert found["previous"]["model_id"] == "m"
    assert {fate["fate"] for fate in found["previous"]["fates"]} == {"kept"}
    assert found["words"][0].startswith("S3 segment 3: kept (Jaccard 1.00)")


def test_a_segment_that_is_not_there_any_more_takes_its_id_along(before, refit):
    found = go_on(before, refit["recut"])
    assert sorted(found["ids"]) == ["S2", "S4", "S5"]
    assert found["ever"] == 5
    assert found["words"][0].startswith("S4 segment 4: took the place of S1 segment 1 (Jaccard 0.7")
    again = replace(before, manifest=before.manifest | {"segments": found | {"ever": 9}})
    assert sorted(go_on(again, refit["recut"])["ids"]) == ["S10", "S11", "S2"]


def test_neither_the_order_of_rows_nor_the_sample_of_them_changes_what_is_said(
    before, refit, monkeypatch
):
    data, draws, matrix = refit["later"]
    order = np.random.default_rng(4).permutation(len(data))
    monkeypatch.setattr(lineage, "ROWS", 200)
    mixed = go_on(before, (data.take(order), draws, matrix[order]))
    assert mixed == go_on(before, refit["later"])
    assert mixed["ids"] == ["S3", "S2", "S1"]


def test_the_map_goes_on_where_its_segments_do(before, refit):
    text = '[segments.S1]\nlabel = "ours"\n[[merge]]\nof = ["S2", "S3"]'
    own = segment_map.to_json(parse(f"schema = 1\n{text}"))
    mapped = replace(
        before, manifest=before.manifest | {"segments": before.manifest["segments"] | {"map": own}}
    )
    kept, lost = (go_on(mapped, refit[name]) for name in ("later", "recut"))
    assert [one.id for one in segment_map.shown(kept)] == ["S2_S3", "S1"]
    assert segment_map.shown(kept)[1].name == "ours"
    assert lost["words"][-1] == "the merge S2_S3 is dissolved: there is no S3"
    assert lost["map"]["merge"] == []


def test_a_map_that_is_given_takes_the_place_of_the_stored_one(before, refit):
    found = go_on(before, refit["later"], '[segments.S2]\nlabel = "given"')
    assert segment_map.labels(found) == {"S3": "segment 3", "S2": "given", "S1": "segment 1"}


def called(
    before,
    refit,
    monkeypatch,
    text="",
    then=("loyal", "loyal", ""),
    now=("", "at risk", "at risk"),
    still=0.0,
):
    """Names after a refit in which the rules call S3, S2 and S1 ``now``, and S1, S2, S3 ``then``."""
    entry = naming.entry(["S1", "S2", "S3"], names(*then))
    monkeypatch.setattr(naming, "by_rules", lambda *_: names(*now, still=still))
    mine = replace(before, manifest=before.manifest | {"segments": entry})
    found = go_on(mine, refit["later"], text)
    return segment_map.labels(found), found["words"][3:]


def test_a_rule_s_name_follows_the_rules_and_the_refit_says_so(before, refit, monkeypatch):
    found, said = called(before, refit, monkeypatch)
    assert found == {"S1": "at risk2", "S2": "at risk1", "S3": "2"}
    assert [words.partition(" (")[0] for words in said] == [
        "S2 is called at risk1 now: loyal1 is true in 0% of the draws",
        "S1 is called at risk2 now: loyal0 is true in 0% of the draws",
    ]


@pytest.mark.parametrize("then", ["between at risk and need attention", "segment 2"])
def test_a_name_no_rule_was_sure_of_follows_the_first_sure_rule(before, refit, monkeypatch, then):
    plain = [Name(name, name, "", "") for name in ("one", then, "three")]
    entry = naming.entry(["S1", "S2", "S3"], plain)
    sure = [Name("loyal", "", "", "", "loyal", {"loyal": 1.0}), *[Name("x", "", "", "")] * 2]
    monkeypatch.setattr(naming, "by_rules", lambda *_: [sure[1], sure[0], sure[2]])
    mine = replace(before, manifest=before.manifest | {"segments": entry})
    found = go_on(mine, refit["later"])
    assert segment_map.labels(found) == {"S1": "one", "S2": "loyal", "S3": "three"}
    assert found["words"][3:] == [
        f"S2 is called loyal now: that is true in 100% of the draws, no rule was sure of {then} (a pin "
        "in the map keeps a name)"
    ]


def test_a_lost_lock_is_called_as_the_map_that_is_given_calls_it(before, refit):
    text = '[segments.S3]\nlabel = "fans"\nlock = true'
    (lock,) = go_on(before, refit["recut"], text)["previous"]["locked"]
    assert (lock["id"], lock["name"]) == ("S3", "fans")


@pytest.mark.parametrize(
    ("fate", "expected"),
    [
        (Fate("empty", "S1", "", 0.0), "S1 a: no customers left"),
        (
            Fate("died", "S1", "", 0.1, ("S2",), (0.9,)),
            "S1 a: merged into S2 b, which took 90% of its customers",
        ),
        (
            Fate("died", "S1", "", 0.1, ("S2", "S4"), (0.5, 0.3)),
            "S1 a: died; of its customers 50% went to S2 b, 30% went to S4",
        ),
        (Fate("died", "S1", "", 0.1), "S1 a: died; its customers are scattered over the others"),
    ],
)
def test_what_became_of_the_customers_of_a_lost_segment_is_said(fate, expected):
    assert lineage.words(fate, {"S1": "a"}, {"S2": "b", "S4": ""}) == expected


@pytest.mark.parametrize(("length", "said"), [(365, 0), (400, 0), (546, 1)])
def test_windows_of_unlike_length_are_said_with_the_fates(length, said):
    first = {"as_of": "1997-12-31", "accounting": {"days": {"first": "1997-01-01"}}}
    data = take_days(length)
    words = lineage.unlike(first, data, align(np.eye(2), np.eye(2), ("S1", "S2")))
    assert len(words) == said
    assert all(
        w.startswith(f"this log covers {length} days, that of the previous run 365") for w in words
    )


def test_a_name_stays_while_its_rule_is_not_surely_false(before, refit, monkeypatch):
    found, said = called(before, refit, monkeypatch, still=0.3)
    assert (found["S1"], found["S2"], said) == ("loyal0", "loyal1", [])
    assert len(called(before, refit, monkeypatch, still=0.1)[1]) == 2


def test_a_pin_holds_the_name_and_so_does_a_label_of_ones_own(before, refit, monkeypatch):
    text = '[segments.S1]\npin = true\n[segments.S2]\nlabel = "our best"'
    found, said = called(before, refit, monkeypatch, text)
    assert (found["S1"], found["S2"], said) == ("loyal0", "our best", [])


def test_a_label_that_only_repeats_a_rule_s_name_follows_the_rules(before, refit, monkeypatch):
    text = '[segments.S1]\nlabel = "loyal"\naction = "old"\n[segments.S2]\nlabel = "loyal (more often)"'
    found, said = called(before, refit, monkeypatch, text)
    assert (found["S1"], found["S2"], len(said)) == ("at risk2", "at risk1", 2)


def test_a_new_name_gives_way_to_one_that_was_kept(before, refit, monkeypatch):
    monkeypatch.setattr(naming, "by_rules", lambda *_: [Name("segment 2", "", "", "")] * 3)
    found = go_on(before, refit["recut"])
    assert found["names"] == {"S2": "segment 2", "S4": "segment 2 (S4)", "S5": "segment 2 (S5)"}


def test_a_lost_lock_is_a_caution_of_the_gates_and_a_kept_one_is_not(before, refit):
    lock = "[segments.S2]\nlock = true\n[segments.S3]\nlock = true"
    judged = {}
    for name in ("later", "recut"):
        facts = {"locked": go_on(before, refit[name], lock)["previous"]["locked"]}
        subject = Subject(
            "segments", before.spec.parts["segments"], before.spec.inference, None, facts
        )
        judged[name] = {
            one.name: (one.passed, one.severity)
            for gate in gates.FINDINGS["segments"]
            for one in gate(subject)
        }
    assert judged["later"] == {"locked_S2": (True, "soft"), "locked_S3": (True, "soft")}
    assert judged["recut"] == {"locked_S2": (True, "soft"), "locked_S3": (False, "soft")}


def test_what_could_only_fail_after_the_fit_is_refused_before_it(before):
    data = clients(groups(20, 3)[0])
    other = parse('schema=1\n[segments.S7]\nlabel="x"')
    split = parse('schema=1\n[[split]]\nof="S1"\ncolumn="c"\nabove=1')
    for own in (other, split):
        with pytest.raises(UsageError):
            lineage.accept(data, None, own, before)
    with pytest.raises(UsageError, match="splits S1 by c"):
        lineage.accept(data, None, split, None)
    lineage.accept(data, None, other, None)  # how many there will be is not known yet
    unknown = np.vstack([[np.nan, np.nan], groups(20, 3)[0]])
    lineage.accept(clients(unknown), None, None, before)  # of the first client only
    narrow = clients(groups(20, 3)[0][:, :1])
    with pytest.raises(InputRejected):
        lineage.accept(narrow, None, None, before)
    failed = {"verdicts": {"segments": {"computation": "failed"}}}
    with pytest.raises(UsageError, match="failed their gates"):
        lineage.accept(data, None, None, replace(before, manifest=before.manifest | failed))


def test_without_a_run_before_the_map_is_stored_and_what_is_not_there_dropped(refit):
    own = parse('schema=1\n[segments.S2]\nlabel="two"\n[[merge]]\nof=["S2","S9"]')
    found = lineage.named(*refit["later"], own=own, previous=None, seed=1)
    assert (found["previous"], found["ever"]) == (None, 3)
    assert segment_map.labels(found)["S2"] == "two"
    assert found["words"] == ["the merge S2_S9 is dissolved: there is no S9"]
