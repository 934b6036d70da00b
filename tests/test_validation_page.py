"""The page of a validation: verdict first, every number beside its figure, no customer on it."""

import json

import page_case
import pytest
import validation_case as case
from page_case import Outline

from bayesseg.report.validation import build, numbers

SIX = (0.42, 0.50, 0.28, 0.11, -0.03, -0.20)
COMMAND = ("bayesseg validate DATA --origins 6 -o OUT.html",)


@pytest.fixture(scope="module")
def document():
    return case.document(
        SIX,
        families=("mbgnbd", "bgnbd", "paretonbd"),
        skipped=[{"cut": "1991-09-30", "reason": "9 repeat buyers, at least 10 are needed"}],
        notes=["a note"],
    )


@pytest.fixture(scope="module")
def page(document):
    return build(document, command=COMMAND, currency="EUR")


@pytest.fixture(scope="module")
def outline(page):
    return Outline(page.html)


def test_the_page_is_one_small_file_that_asks_for_nothing(page):
    page_case.asks_for_nothing(page.html)
    assert len(page.html) < 1_000_000


def test_a_mean_that_does_not_exist_leaves_its_interval_on_the_page():
    document = case.document((0.02, 0.1))
    for origin in document["origins"]:
        for row in origin["rows"]:
            if row["spend"]:
                row["spend"] |= {"mean": None, "bias": None}
    html = build(document).html
    assert "– (58,320–76,320)" in html
    assert "None" not in html


def test_the_verdict_comes_first_and_headings_go_down_one_step_at_a_time(outline):
    sections = [a["id"] for t, a in outline.tags if t == "section"]
    assert sections == [
        "verdict",
        "findings",
        "totals",
        "forecasters",
        "weekly",
        "money",
        "reproduce",
    ]
    steps = [b - a for a, b in zip(outline.headings, outline.headings[1:], strict=False)]
    assert outline.headings[0] == 1
    assert max(steps) == 1


@pytest.mark.parametrize(
    ("verdict", "title"),
    [
        ("passed", "These forecasts keep their word"),
        ("caution", "Use the totals with care"),
        ("failed", "Do not plan totals with these forecasts"),
        ("not-assessed", "Too few cuts for a verdict"),
    ],
)
def test_each_verdict_has_its_words(verdict, title):
    assert title in Outline(build(case.document(SIX, verdict=verdict)).html).text


def test_every_finding_is_on_the_page_with_what_to_do(page, outline):
    for one in page.data["advice"]:
        assert one["says"][1:].rstrip(".") in outline.text
        assert one["fix"][1:].rstrip(".") in outline.text


def test_every_cut_and_every_forecaster_is_on_the_page(document, outline):
    for origin in document["origins"]:
        assert origin["cut"] in outline.text
    for row in document["origins"][0]["rows"]:
        assert row["title"] in outline.text
    assert "The cut at 1991-09-30 was left out: 9 repeat buyers" in outline.text
    assert "a note" in outline.text


def test_raw_and_widened_intervals_stand_beside_what_came(outline):
    assert "2,672 (2,482–2,862) 2,292–3,052 1,882 +42% outside" in outline.text
    assert "1,506 (1,316–1,696) 1,126–1,886 1,882 −20% inside the widened" in outline.text


def test_money_carries_its_currency_and_is_left_out_where_none_was_forecast(page, outline):
    assert "66,000 EUR" in outline.text
    without = case.document(SIX)
    for one in without["forecasts"].values():
        one["spend"] = None
    for origin in without["origins"]:
        for row in origin["rows"]:
            row["spend"] = None
    assert "In money" not in Outline(build(without).html).text


def test_one_cut_of_one_family_needs_less_of_a_page():
    text = Outline(build(case.document(families=("mbgnbd",))).html).text
    assert "Which family was chosen when" not in text
    assert "leave-one-out" not in text
    assert "None" not in text


def test_small_groups_of_customers_are_hidden():
    document = case.document()
    for row in document["origins"][0]["rows"]:
        if row["by_x"]:
            row["by_x"]["customers"][2] = 10
    text = Outline(build(document).html).text
    assert "2+" not in text
    assert "2+" in Outline(build(case.document()).html).text


def test_every_picture_has_words_and_its_numbers(outline, page):
    images = [a for t, a in outline.tags if t == "img"]
    assert len(images) == 6
    assert all(len(a["alt"]) > 40 for a in images)
    assert page.html.count("The numbers behind this figure") == 4  # the totals' tables stand open


def test_the_command_that_gives_it_again_is_on_the_page(outline):
    assert COMMAND[0] in outline.text


def test_the_numbers_are_plain_json_and_those_of_the_document(document, page):
    assert json.loads(json.dumps(page.data, allow_nan=False)) == page.data
    assert page.data == numbers(document, COMMAND)
    assert {key: page.data[key] for key in document} == document


def test_hostile_words_of_the_data_stay_text():
    page = build(case.document(notes=["<script>alert(1)</script>"], model="<b>"))
    assert "<script>alert" not in page.html
    assert sum(tag == "script" for tag, _ in Outline(page.html).tags) == 1


def test_the_same_document_gives_the_same_bytes(document, page):
    assert build(document, command=COMMAND, currency="EUR").html == page.html


def test_groups_of_customers_stand_beside_what_came_and_small_ones_are_hidden():
    document = case.document(attributes=["channel"])
    cells = {"customers": [900, 10, 700], "actual": [0.5, 0.7, 0.9], "expected": [0.6, 0.7, 0.8]}
    for row in document["origins"][0]["rows"]:
        if row["by_group"] is not None:
            row["by_group"] = [{"column": "channel", "level": ["shop", "fax", "web"], **cells}]
    text = Outline(build(document).html).text
    assert "Purchases by channel" in text
    assert "web 700 0.900 0.800" in text
    assert "fax" not in text


def test_figures_draw_any_number_of_families():
    for families in (("mbgnbd",), ("mbgnbd", "bgnbd"), ("mbgnbd", "bgnbd", "paretonbd")):
        drawn = page_case.pictures(build(case.document(families=families)).html)
        assert drawn
        assert all("<svg" in svg for svg in drawn)
