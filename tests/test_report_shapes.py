"""Pictures of segments on the pages: report, drift, stability, compare."""

import base64
import hashlib
import json
import re
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
import report_case
from page_case import Outline
from segmentation_case import clients, fitted, groups

from bayesseg.report import figures, shapes
from bayesseg.report.blocks import Beside, Context, Figure
from bayesseg.report.sections import fit, forecasts, portrait, rivals, segments
from bayesseg.report.sections import stability as stability_section
from bayesseg.report.segmentation import comparison as compare_page
from bayesseg.report.segmentation import drift as drift_page
from bayesseg.report.segmentation import stability as stability_page
from bayesseg.report.small import shown_safely
from bayesseg.report.words import load_words
from bayesseg.scoring import Settings, score
from bayesseg.segmentation.comparison import comparison
from bayesseg.segmentation.drift import drift
from bayesseg.segmentation.refits import Effort
from bayesseg.segmentation.stability import stability
from bayesseg.spec import load_spec

SHORT = Effort(rows=300, starts=10, refits=10, halves=2)


@pytest.fixture(scope="module")
def data():
    return clients(groups(300, 1)[0])


@pytest.fixture(scope="module")
def run(data):
    return fitted(data, 3)


@pytest.fixture(scope="module")
def moved(run, data):
    """The same clients; a tenth of them gone, as many new, many elsewhere."""
    later = clients(groups(300, 2)[0])
    ids = np.concatenate([data.ids[30:], [f"n{i}" for i in range(30)]]).astype(object)
    return drift(run, data, replace(later, ids=ids), seed=1, effort=SHORT)


@pytest.fixture(scope="module")
def pages(run, data, moved):
    again = stability(run, data, seed=1, effort=SHORT)
    found = comparison(
        data, load_spec("segments"), components=(2, 3), tails=("normal",), effort=SHORT, seed=1
    )
    command = ("bayesseg verb",)
    return {
        "drift": drift_page.build(moved, command=command),
        "stability": stability_page.build(again, command=command),
        "compare": compare_page.build(found, command=command),
    }


@pytest.fixture(scope="module")
def cdnow(cdnow_sample):
    every = report_case.customers(cdnow_sample)
    some = every.take(np.sort(np.argsort(-every.x, kind="stable")[:300]))
    posterior = report_case.posterior(some)
    return posterior, score(posterior, some, Settings(draws=100))


def context(posterior, scores, **document):
    told = shown_safely({**scores.document, **document}, scores.table)
    return Context(posterior, scores.table, told, load_words("en"), include_ids=False, tree=None)


def said(section):
    """Every text of a section; pictures left out."""

    def texts(value):
        if isinstance(value, str):
            return [] if value.startswith("data:") else [value]
        if isinstance(value, tuple):
            return [text for one in value for text in texts(one)]
        return (
            [text for f in fields(value) for text in texts(getattr(value, f.name))]
            if (is_dataclass(value))
            else []
        )

    return " ".join(texts(section.blocks))


def with_modes(posterior, segmentations):
    part = posterior.parts["segments"]
    info = part.info | {"modes": {"segmentations": segmentations}}
    return replace(posterior, parts={**posterior.parts, "segments": replace(part, info=info)})


def segmentation(chains, below, weights=(0.6, 0.3, 0.05, 0.05)):
    return {
        "weights": list(weights),
        "mean": [[1.0, -2.1, 0.0, 0.3]] * 4,
        "binary": [[0.25]] * 4,
        "nats_below_best": below,
        "agreement_with_best": 0.43,
        "chains": chains,
    }


@pytest.mark.parametrize("verb", ["drift", "stability", "compare"])
def test_pages_keep_the_policy_and_say_everything_in_order(pages, verb):
    page = pages[verb]
    outline = Outline(page.html)
    policy = next(a["content"] for t, a in outline.tags if a.get("http-equiv"))
    (style,) = re.findall("<style>(.*?)</style>", page.html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert not any("style" in attributes for _, attributes in outline.tags)
    assert outline.headings[:2] == [1, 2]
    assert all(len(a["alt"]) > 20 for t, a in outline.tags if t == "img")
    assert "bayesseg verb" in outline.text
    assert not re.search(r"\bc00\d{3}\b", page.html)
    assert json.loads(json.dumps(page.data, allow_nan=False)) == page.data
    assert len(page.html) < 500_000


def test_drift_shows_each_share_beside_the_one_without_change(pages, moved):
    text, words = Outline(pages["drift"].html).text, load_words("en")
    moves = moved["migration"]
    for row, still in zip(moves["matrix"], moves["baseline"], strict=True):
        for one, other in zip(row, still, strict=True):
            assert words.interval(one, "percent") in text
            assert f"unmoved: {words.percent(other['mean'])}" in text


def test_flows_are_the_customers_of_both_periods(moved):
    own = moved["migration"]["customers"]
    whole = sum(one["mean"] for row in own["flow"] for one in row)
    left, came = (sum(one["mean"] for one in own[key]) for key in ("left", "came"))
    assert (whole, left, came) == pytest.approx((270, 30, 30), rel=0.15)


def test_entries_are_the_newcomers_among_the_members(moved):
    own = moved["migration"]
    came = own["customers"]["came"][0]["mean"]
    stayed = sum(row[0]["mean"] for row in own["customers"]["flow"])
    assert own["entries"][0]["mean"] == pytest.approx(came / (came + stayed), rel=0.02)


def test_few_customers_are_not_counted_out_on_the_page_nor_in_its_numbers(pages, moved):
    counts = [n for row in moved["migration"]["sure"]["counts"] for n in row]
    assert counts.count(None) >= 2
    assert not any(0 < n < 11 for n in counts if n is not None)
    text = Outline(pages["drift"].html).text
    assert "hidden" in text
    assert "<11" in text


def test_the_report_shows_plane_heat_pairs_and_tree(cdnow):
    found = portrait.section(context(*cdnow))
    text = said(found)
    for title in ("Where the segments lie", "What each segment is like", "Who belongs together"):
        assert title in text
    assert "Which segments would be merged first" in text
    assert found.data["merges"] == cdnow[0].summary["segments"]["merges"]


def test_heat_has_the_values_of_the_profile_and_a_hint(cdnow):
    words, first = load_words("en"), cdnow[1].document["segments"][0]
    table = next(
        one for one in portrait.section(context(*cdnow)).blocks if getattr(one, "id", "") == "heat"
    )
    cell = table.rows[0][1]
    mean, span = words.halves(first["profile"]["days_since_last"])
    assert (cell.text, cell.small) == (mean, f"({span})")
    away = cdnow[0].summary["segments"]["profile"][0]["away"][0]["mean"]
    assert cell.heat == shapes.shade(away)
    assert "standard deviations from the average customer" in cell.hint


@pytest.mark.parametrize(
    ("away", "expected"), [(0.1, 0), (-0.3, -1), (0.8, 2), (-1.3, -3), (2.5, 4)]
)
def test_shades_grow_with_the_distance(away, expected):
    assert shapes.shade(away) == expected


def test_pictures_of_segments_stay_small_and_ask_for_nothing(cdnow):
    found = cdnow[0].summary["segments"]
    ids = ["S1", "S2", "S3", "S4"]
    drawn = (
        shapes.plane(found["projection"], ids, ("one", "two"), load_words("en").plain),
        shapes.together(found["together"]["matrix"], found["together"]["segment"], ids),
    )
    for one in drawn:
        svg = base64.b64decode(one.partition(",")[2]).decode()
        assert not re.search(r'(href|src)="(?!#)', svg)
        assert len(one) < 300_000


def test_no_two_ticks_of_a_small_panel_read_the_same():
    from matplotlib.figure import Figure

    axis = Figure().subplots().xaxis
    axis.axes.set_xlim(129.71, 129.84)
    figures.ticks(axis, load_words("en").plain, 4)
    places = [place for place in axis.get_majorticklocs() if 129.71 <= place <= 129.84]
    read = [axis.get_major_formatter()(place) for place in places]
    assert read == sorted(set(read)) != []


def test_branches_of_a_tree_do_not_cross():
    merges = [([0], [3], 0.1), ([1], [2], 0.3), ([0, 3], [1, 2], 1.0)]
    assert shapes._leaves(merges, 4) == [0, 3, 1, 2]


def test_competing_segmentations_are_told(cdnow):
    posterior, scores = cdnow
    told = [segmentation([0, 1], 0.0), segmentation([2, 3], 1.2)]
    found = rivals.section(context(with_modes(posterior, told), scores))
    assert "The chains did not stay in one segmentation" in said(found)
    assert "60%, 30%, 5%, 5%" in said(found)
    assert found.data["segmentations"] == told


def test_a_rival_that_no_chain_visited_is_told_apart(cdnow):
    posterior, scores = cdnow
    told = [segmentation([0, 1, 2, 3], 0.0), segmentation([], 8.0)]
    text = said(rivals.section(context(with_modes(posterior, told), scores)))
    assert "all chains stayed in one" in text


def test_one_segmentation_has_no_rivals(cdnow):
    assert rivals.section(context(*cdnow)) is None


def test_segments_without_labels_show_what_needs_none(cdnow):
    posterior, scores = cdnow
    without = context(posterior, scores, segments=[])
    assert portrait.section(without) is None
    text = said(rivals.section(without))
    assert "Segments are not shown" in text
    assert "Who belongs together" in text


def test_merged_segments_are_said_to_differ_from_the_pictures(cdnow):
    posterior, scores = cdnow
    one, *others = scores.document["segments"]
    merged = {**one, "id": "S1_S2", "of": ("S1", "S2")}
    found = portrait.section(context(posterior, scores, segments=[merged, *others[1:]]))
    assert "before it" in said(found)


def test_a_sampled_rootogram_says_so(cdnow):
    words, own = load_words("en"), cdnow[0].summary["rootogram"]
    (some,), (every,) = (fit._rootogram(words, own | more) for more in ({"simulated": 100}, {}))
    assert "simulates 100 of the 300 customers anew" in some.caption
    assert "for the same customers" in every.caption


def test_a_backtest_on_some_customers_says_of_how_many(cdnow):
    posterior, scores = cdnow
    tests = [one | {"share": 0.25} for one in posterior.summary["backtests"]]
    some = replace(posterior, summary=posterior.summary | {"backtests": tests})
    texts = [said(forecasts.section(context(one, scores))) for one in (some, posterior)]
    assert "25% of the customers" in texts[0]
    assert ["Cuts marked with a share" in text for text in texts] == [True, False]


def test_what_is_known_of_some_members_says_of_how_many(cdnow):
    told = [dict(one) for one in cdnow[1].document["segments"]]
    told[0]["known"] = {**told[0]["known"], "days_between_orders": 0.214}
    (figure,) = (
        one
        for one in segments.section(context(*cdnow, segments=told)).blocks
        if isinstance(one, Figure)
    )
    at = [column.label for column in figure.table.columns].index("Days between purchases")
    assert "known of 21%" in figure.table.rows[0][at].small
    assert "known" not in figure.table.rows[1][at].small
    svg = base64.b64decode(figure.src.partition(",")[2]).decode()
    assert "where known" in svg
    heat = next(
        one
        for one in portrait.section(context(*cdnow, segments=told)).blocks
        if getattr(one, "id", "") == "heat"
    )
    assert sum("known of 21%" in cell.small for row in heat.rows for cell in row) == 1


def test_a_merged_segment_has_one_mark_on_every_picture(cdnow):
    """Of the third segment where the first two are one."""
    first, *_, last = cdnow[1].document["segments"]
    told = [{**first, "id": "S1_S2", "of": ["S1", "S2"]}, {**last, "id": "S3", "of": ["S3"]}]
    assert segments.marks(context(*cdnow), told) == [0, 2]
    found = segments.section(context(*cdnow, segments=told)).blocks
    assert [card.mark for card in found[0].cards] == [0, 2]
    (figure,) = (one for one in found if isinstance(one, Figure))
    svg = base64.b64decode(figure.src.partition(",")[2]).decode()
    assert figures.PALETTE[2].lower() in svg
    assert figures.PALETTE[1].lower() not in svg


def test_the_report_tells_what_drift_found(run, moved):
    beside = Beside(drift=moved)
    words = load_words("en")
    counted = replace(run, manifest=run.manifest | {"customers": {"all": 300}})
    case = Context(counted, None, {}, words, include_ids=False, tree=None, beside=beside)
    section = stability_section.section(case)
    status = words(f"drift.verdict.{moved['status']}")
    assert words("steady.found", status=status) in said(section)
    figures = [one for one in section.blocks if isinstance(one, Figure)]
    assert {one.of for one in figures} == {"drift"}
    assert section.data == {"stability": None, "drift": moved}
