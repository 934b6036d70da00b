"""Segments as text: tables, and the map to edit."""

import re

import numpy as np
from segmentation_case import clients, fitted, groups

from bayesseg.cli.steps.naming import text_of
from bayesseg.cli.text import effect_table, profile_table


def span(mean, lo, hi):
    return {"mean": mean, "lo": lo, "hi": hi}


def segment(name, known):
    return {
        "id": name,
        "profile": {"gap": span(31.9, 28.0, 36.0), "repeated": span(0.118, 0.104, 0.132)},
        "medians": {"gap": span(14.0, 13.0, 15.0)},
        "known": {"gap": known, "repeated": 1.0},
        "levels": {},
    }


def rows(text):
    cells = (re.split("  +", line.strip()) for line in text.split("\n"))
    return {name: values for name, *values in cells}


def test_what_is_known_of_some_members_says_of_how_many():
    found = rows(profile_table([segment("S1", 0.213), segment("S2", 1.0)]))
    assert found["known of"] == ["21%", "100%"]


def test_what_is_known_of_everybody_needs_no_line():
    assert "known of" not in profile_table([segment("S1", 1.0)])


def test_a_yes_or_no_is_a_percentage():
    found = rows(profile_table([segment("S1", 1.0)]))
    assert found["repeated"] == ["11.8% (10.4–13.2%)"]


def test_effect_sizes_all_have_two_decimals():
    sizes = {"a": span(0.979, 0.9781, 0.9799), "b": span(0.7, 0.5, 1.0), "c": span(1e-9, 0.0, 1e-8)}
    text = effect_table({n: {"measure": "eta", "role": "base"} | one for n, one in sizes.items()})
    for said in ("0.98 (0.98–0.98)", "0.70 (0.50–1.00)", "0.00 (0.00–0.00)"):
        assert said in text


def test_the_map_to_edit_lists_text_that_a_split_may_go_by():
    data = clients(groups(120, 1)[0])
    data.columns["town"] = np.array(["Lyon", "Metz", "Nice"] * 40, dtype=object)
    text = text_of(fitted(data, 2))
    assert "#   a, b, town (text)" in text
