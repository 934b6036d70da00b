"""The experts' map of segments: its file, its checks, and what it does to memberships."""

from dataclasses import replace

import numpy as np
import pytest

from bayesseg import segment_map
from bayesseg.errors import UsageError
from bayesseg.segment_map import Entry, SegmentMap, Split, parse

IDS = ("S1", "S2", "S3", "S4")
FOUND = {
    "ids": list(IDS),
    "names": dict(zip(IDS, ("loyal", "at risk", "hibernating", "promising"), strict=True)),
    "texts": {one: {"name_fr": f"{one} fr", "action": f"do {one}"} for one in IDS},
}
WHOLE = """
schema = 1

[segments.S1]
label = "Fidèles à l'été"
lock  = true

[segments.S2_S3]
label    = "quiet"
label_fr = "silencieux"

[[merge]]
of = ["S2", "S3"]

[[split]]
of     = "S4"
column = "days"
above  = 180
"""


def refusal(text, ids=IDS):
    with pytest.raises(UsageError) as caught:
        segment_map.plan(parse(text, source="map.toml"), ids)
    return str(caught.value)


def shown(text):
    own = segment_map.to_json(parse(text))
    return {one.id: one for one in segment_map.shown(FOUND | {"map": own})}


def test_a_map_survives_the_manifest():
    own = parse(WHOLE)
    assert segment_map.from_json(segment_map.to_json(own)) == replace(
        own, source="the map of segments"
    )


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("[segments.S1]\ncolour = 1", "map.toml, line 4: segments.S1.colour is not a known key"),
        ('[segments.S1]\nlable = "x"', "did you mean 'label'?"),
        ('\n[segments.S9]\nlabel = "x"', "names S9, which is not there"),
        ('[[merge]]\nof = ["S1", "S7"]', "merges S7, which is not there"),
        ('[[merge]]\nof = ["S1"]', "line 4: merge[0].of must name two different segments"),
        ('[[merge]]\nof = ["S1", "S1"]', "must name two different segments"),
        ('[[merge]]\nof = ["S1", "S4a"]', "must be ids of the model's segments"),
        (
            '[[merge]]\nof = ["S1", "S2"]\n[[merge]]\nof = ["S2", "S3"]',
            "line 6: merge[1].of names S2, which is merged already",
        ),
        ('[[split]]\nof = "S9"\ncolumn = "d"\nabove = 1', "splits S9, which is not there"),
        ('[[split]]\nof = "S1"\ncolumn = "d"', "must give one rule of above, below, is, not 0"),
        ('[[split]]\nof = "S1"\ncolumn = "d"\nabove = 1\nbelow = 2', "not 2"),
        ('[[split]]\nof = "S1"\ncolumn = "d"\nabove = nan', "must be a number"),
        ('[[split]]\nof = "S1"\ncolumn = "d"\nis = [1]', "must be a list of texts"),
        ('[[split]]\nof = "S1"\ncolumn = "membership"\nabove = 2', "a probability inside 0 to 1"),
        (
            '[[split]]\nof="S1"\ncolumn="d"\nabove=1\n[[split]]\nof="S1"\ncolumn="d"\nabove=2',
            "splits S1 again",
        ),
        (
            '[segments.S1]\nlabel = "été"\n[segments.S2]\nlabel = "été"',
            "line 6: segments.S2.label is 'été', as is that of S1",
        ),
        ('[segments.S1]\nlabel = " "', "must have 1 to 80 characters"),
        ('[segments.S1]\nlabel = "a\\u202Eb"', "none of them invisible"),
        ("[segments.S1]\npin = 1", "has the wrong type (int)"),
        (
            '[segments.S1_S2]\npin = true\n[[merge]]\nof = ["S1", "S2"]',
            "is for a segment of the model",
        ),
        ("[segments]\nS1 = 3", "must be a table"),
        ("rows = [", "is not valid TOML"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(lines, words):
    assert words in refusal(f"schema = 1\n\n{lines}\n")


def test_another_schema_is_refused():
    assert "must be 1" in refusal("schema = 2\n")


def test_a_file_that_is_not_there_says_how_to_get_one(tmp_path):
    with pytest.raises(UsageError, match="--names-out"):
        segment_map.read(tmp_path / "no.toml")


def test_merged_stand_where_the_first_stood_and_parts_in_place_of_the_whole():
    assert segment_map.plan(parse(WHOLE), IDS).ids == ("S1", "S2_S3", "S4a", "S4b")
    assert segment_map.plan(parse(WHOLE), IDS[::-1]).ids == ("S4a", "S4b", "S2_S3", "S1")


def test_a_part_may_be_split_again():
    more = WHOLE + '[[split]]\nof = "S4b"\ncolumn = "city"\nis = ["Metz"]\n'
    assert segment_map.plan(parse(more), IDS).ids == ("S1", "S2_S3", "S4a", "S4ba", "S4bb")


def test_names_come_from_the_map_first_and_follow_from_the_rules_else():
    found = shown(WHOLE)
    assert [one.name for one in found.values()] == [
        "Fidèles à l'été",
        "quiet",
        "promising, days above 180",
        "promising, others",
    ]
    assert [one.name_fr for one in found.values()] == [
        "Fidèles à l'été",
        "silencieux",
        "S4 fr, days au-dessus de 180",
        "S4 fr, autres",
    ]
    assert (found["S2_S3"].of, found["S4b"].rule) == (("S2", "S3"), "not days above 180")
    assert found["S2_S3"].action == "do S2; do S3"


def test_a_rule_s_name_gives_way_to_the_same_label():
    found = shown('schema = 1\n[segments.S3]\nlabel = "loyal"\n')
    assert (found["S3"].name, found["S1"].name) == ("loyal", "loyal (S1)")


def test_a_label_that_only_repeats_the_name_keeps_its_french():
    found = shown('schema = 1\n[segments.S1]\nlabel = "loyal"\n[segments.S2]\nlabel = "mine"\n')
    assert (found["S1"].name_fr, found["S2"].name_fr) == ("S1 fr", "mine")


# --- memberships -----------------------------------------------------------------------------------

N, S = 300, 40
DAYS = np.where(np.arange(N) % 7 == 0, np.nan, np.arange(N) % 360)
CITY = np.array([None, "Metz", "Nancy"], dtype=object)[np.arange(N) % 3]
COLUMNS = {"days": DAYS, "city": CITY}


def member():
    return np.random.default_rng(3).dirichlet([0.5, 1.0, 2.0, 0.7], size=(N, S))


def divided(text, rows=slice(None)):
    laid = segment_map.plan(parse(text), IDS)
    columns = {name: values[rows] for name, values in COLUMNS.items()}
    return segment_map.divide(laid, member()[rows], lambda: columns)


def test_merges_add_and_splits_divide_each_draw_row_by_row():
    p, found = member(), divided(WHOLE)
    assert np.array_equal(found[..., 1], p[..., 1] + p[..., 2])
    for i in range(N):
        long = DAYS[i] > 180  # False where it is not known
        assert np.array_equal(found[i, :, 2], p[i, :, 3] * long)
        assert np.array_equal(found[i, :, 3], p[i, :, 3] * (not long))


def test_the_interval_of_a_merged_segment_is_that_of_the_summed_draws():
    merged = np.quantile(divided(WHOLE)[..., 1], [0.05, 0.95], axis=1)
    draws = [[p[1] + p[2] for p in row] for row in member()]
    expected = np.array([np.quantile(row, [0.05, 0.95]) for row in draws]).T
    assert merged == pytest.approx(expected, rel=1e-15)
    apart = np.quantile(member(), [0.05, 0.95], axis=1)
    assert (merged[1] - merged[0]).mean() < (apart[1] - apart[0])[:, 1:3].sum(1).mean()


def test_memberships_still_sum_to_one():
    assert divided(WHOLE).sum(-1) == pytest.approx(1.0, abs=1e-14)


def test_a_row_does_not_depend_on_the_others_by_a_bit():
    text = WHOLE + '[[split]]\nof = "S2_S3"\ncolumn = "membership"\nabove = 0.7\n'
    whole = divided(text)
    for size in (1, 7, 128):
        pieces = [divided(text, slice(at, at + size)) for at in range(0, N, size)]
        assert np.array_equal(np.concatenate(pieces), whole)


def test_a_split_by_membership_takes_the_customers_own_mean():
    found = divided('schema=1\n[[split]]\nof = "S3"\ncolumn = "membership"\nabove = 0.5\n')
    core = member()[..., 2].mean(1) > 0.5
    assert 20 < core.sum() < N - 20
    assert np.array_equal(found[..., 2].any(1), core)


def test_a_text_splits_by_its_levels_and_an_unknown_one_is_among_the_others():
    found = divided('schema=1\n[[split]]\nof = "S1"\ncolumn = "city"\nis = ["Metz", "None"]\n')
    assert np.array_equal(found[..., 0].any(1), np.arange(N) % 3 == 1)


def test_without_merge_or_split_nothing_is_touched():
    p = member()
    laid = segment_map.plan(parse('schema=1\n[segments.S1]\nlabel = "x"\n'), IDS)
    assert segment_map.divide(laid, p, dict) is p


@pytest.mark.parametrize(
    ("split", "words"),
    [
        (Split("S1", "dais", "above", 1.0), "did you mean 'days'?"),
        (Split("S1", "city", "above", 1.0), "which is text"),
        (Split("S1", "days", "is", ("Metz",)), "which is a number"),
    ],
)
def test_a_split_that_the_data_cannot_answer_is_refused(split, words):
    with pytest.raises(UsageError) as caught:
        segment_map.fulfils(split, COLUMNS, np.zeros(N))
    assert words in str(caught.value)


# --- labels that others have -------------------------------------------------------------------------


def doubles(text):
    with pytest.raises(UsageError) as caught:
        segment_map.refuse_doubles(parse(text, source="map.toml"), FOUND)
    return str(caught.value)


def test_a_label_that_another_segment_has_from_its_run_is_refused():
    said = doubles('schema = 1\n[segments.S1]\nlabel = "At Risk"\n')
    assert "map.toml calls S1 'At Risk', which is what S2 is called" in said
    assert "give S2 a label of its own too" in said


def test_a_french_label_that_another_segment_has_is_refused():
    said = doubles('schema = 1\n[segments.S1]\nlabel = "x"\nlabel_fr = "S3 fr"\n')
    assert "which is what S3 is called" in said


def test_two_segments_may_swap_their_names():
    text = 'schema=1\n[segments.S1]\nlabel="at risk"\n[segments.S2]\nlabel="loyal"\n'
    segment_map.refuse_doubles(parse(text), FOUND | {"texts": {}})


def test_the_name_of_a_segment_that_is_merged_away_is_free():
    text = 'schema=1\n[segments.S1]\nlabel="at risk"\n[[merge]]\nof=["S2","S3"]\n'
    segment_map.refuse_doubles(parse(text), FOUND)


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        (("post only: most came once", "post only"), "post only: most came once"),
        (("post only", "post only: most came once"), "post only: most came once"),
        (("post", "post only: most came once"), "post; post only: most came once"),
        (("call", "call"), "call"),
    ],
)
def test_the_action_of_a_merged_segment_says_nothing_twice(actions, expected):
    texts = {one: {"action": action} for one, action in zip(("S2", "S3"), actions, strict=True)}
    found = {**FOUND, "texts": texts, "map": segment_map.to_json(parse(WHOLE))}
    one = next(one for one in segment_map.shown(found) if one.id == "S2_S3")
    assert one.action == expected


def test_labels_that_differ_in_capitals_alone_are_refused():
    said = refusal('schema=1\n[segments.S1]\nlabel="Ours"\n[segments.S2]\nlabel="ours"\n')
    assert "as is that of S1" in said


# --- through a refit -------------------------------------------------------------------------------


def test_what_died_leaves_the_map_and_is_said():
    own = parse(WHOLE.replace('"S3"]', '"S3", "S1"]').replace("S2_S3", "S1_S2_S3"))
    kept, said = segment_map.carried(own, ("S1", "S3", "S9"))
    assert kept.merges == (("S3", "S1"),)
    assert kept.entry("S1_S3").label == "quiet"
    assert kept.splits == ()
    assert said == (
        "the merge S1_S2_S3 is now S1_S3: there is no S2",
        "the split of S4 is dropped: there is no S4",
    )
    assert segment_map.plan(kept, ("S1", "S3", "S9")).ids == ("S1_S3", "S9")


def test_a_merge_of_which_one_is_left_is_dissolved():
    kept, said = segment_map.carried(parse(WHOLE), ("S1", "S3", "S4"))
    assert (kept.merges, list(kept.entries)) == ((), ["S1"])
    assert said == ("the merge S2_S3 is dissolved: there is no S2",)


def test_a_lock_on_a_merged_segment_or_a_part_locks_what_it_is_made_of():
    own = SegmentMap({"S2_S3": Entry(lock=True), "S4a": Entry(lock=True), "S1": Entry(pin=True)})
    assert own.locked == ("S2", "S3", "S4")


def test_a_label_answers_the_hint_to_give_a_name_and_nothing_else():
    texts = {one: {"action": "find a name", "action_fr": "nommer", "rule": ""} for one in IDS}
    texts["S4"] = {"action": "call", "action_fr": "appeler", "rule": "promising"}
    own = segment_map.to_json(
        parse(
            """
            schema = 1
            [segments.S1]
            label = "ours"
            action = "find a name"
            [segments.S2_S3]
            label = "both"
            [segments.S4]
            label = "soon"
            [[merge]]
            of = ["S2", "S3"]
            """
        )
    )
    found = {one.id: one for one in segment_map.shown({**FOUND, "texts": texts, "map": own})}
    assert {name: one.action for name, one in found.items()} == {
        "S1": "",
        "S2_S3": "",
        "S4": "call",
    }
    plain = segment_map.shown({**FOUND, "texts": texts})
    assert [one.action for one in plain] == ["find a name"] * 3 + ["call"]
