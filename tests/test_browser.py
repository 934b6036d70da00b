"""The pages in a real browser with the network off: silent, safe, sortable, readable by everybody."""

import re
from dataclasses import replace
from importlib.resources import files
from itertools import pairwise

import numpy as np
import pytest
import report_case
import segmentation_case
import validation_case
from browser_case import DESK, PHONE, axe, visit
from browser_case import browser as browser

from bayesseg.report import build
from bayesseg.report.segmentation import stability as stability_page
from bayesseg.report.validation import build as validation_page
from bayesseg.scoring import Settings, score
from bayesseg.segmentation.refits import Effort
from bayesseg.segmentation.stability import stability

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    "[/x]",
    "\"&'",
    "\x1b[31mred",
    "\u202eabc123",
    "{{ 7 * 7 }}",
    "' onfocus='alert(4)",
]
SEGMENT = "</option></select><svg onload=alert(3)>"
SIZES = (DESK, PHONE)
FILTER = "[data-filters=listed]"


@pytest.fixture(scope="module")
def page(cdnow_sample):
    """A hundred and fifty customers of CDNOW: ids that attack the page, a segment that does."""
    every = report_case.customers(cdnow_sample)
    some = every.take(np.sort(np.argsort(-every.x, kind="stable")[:150]))
    ids = some.ids.copy()
    worth = np.where(some.t_end - some.t_x < 30, -some.repeat_spend, 0)
    ids[np.argsort(worth)[: len(HOSTILE)]] = HOSTILE
    customers = replace(some, ids=ids)
    posterior = report_case.posterior(customers)
    named = posterior.manifest["segments"]
    manifest = posterior.manifest | {
        "segments": named | {"names": named["names"] | {"S1": SEGMENT}}
    }
    posterior = replace(posterior, manifest=manifest)
    scores = score(posterior, customers, Settings(draws=100))
    return build(posterior, scores.table, scores.document, include_ids=True)


@pytest.fixture(scope="module")
def pages(page, tmp_path_factory):
    """Every kind of page as a file, by name."""
    clients = segmentation_case.clients(segmentation_case.groups(300, 1)[0])
    effort = Effort(rows=300, starts=10, refits=10, halves=2)
    again = stability(segmentation_case.fitted(clients, 3), clients, seed=1, effort=effort)
    found = {
        "report": page.html,
        "validation": validation_page(validation_case.document()).html,
        "french": validation_page(validation_case.document(), language="fr").html,
        "stability": stability_page.build(again).html,
    }
    folder = tmp_path_factory.mktemp("pages")
    for name, html in found.items():
        (folder / f"{name}.html").write_text(html, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in found}


KINDS = pytest.mark.parametrize("kind", ["report", "french", "validation", "stability"])


def sound(browser, path):
    """What is asked of every page, whatever it is about; the faults found."""
    with visit(browser, path) as here:
        here.unfold()
        heads = here.page.locator("th button")
        for n in range(heads.count()):
            heads.nth(n).click()
        assert here.faults == []
        levels = here.page.eval_on_selector_all(
            "h1, h2, h3, h4, h5, h6", "all => all.map((one) => Number(one.tagName[1]))"
        )
        assert levels[:2] == [1, 2]
        assert levels.count(1) == 1
        assert max(after - before for before, after in pairwise(levels)) == 1
        words = here.page.eval_on_selector_all("img", "all => all.map((one) => one.alt.length)")
        drawn = here.page.eval_on_selector_all("img", "all => all.map((one) => one.naturalWidth)")
        assert min(words, default=99) > 40
        assert min(drawn, default=99) > 0
        ids = here.page.eval_on_selector_all("[id]", "all => all.map((one) => one.id)")
        assert len(set(ids)) == len(ids)
        for width in (1440, 768, 390, 320):
            here.shape((width, 800))
            assert here.page.evaluate("document.documentElement.scrollWidth") <= width
    assert path.stat().st_size <= 3_000_000


DOZEN = """document.querySelectorAll("tbody").forEach(
    (body) => [...body.rows].slice(12).forEach((row) => row.remove()))"""


def accessible(browser, path, sizes, schemes=("light", "dark")):
    """axe-core in every size and colour scheme, all unfolded; of rows, which are alike, a dozen."""
    with visit(browser, path, bypass_csp=True) as here:
        here.unfold()
        here.page.evaluate(DOZEN)
        for size in sizes:
            for scheme in schemes:
                here.shape(size, scheme)
                assert axe(here.page) == [], (size, scheme)


@KINDS
def test_a_page_is_silent_asks_for_nothing_and_fits_every_screen(browser, pages, kind):
    sound(browser, pages[kind])


def test_axe_finds_nothing_serious_in_the_report_light_and_dark_wide_and_narrow(browser, pages):
    accessible(browser, pages["report"], SIZES)


@pytest.mark.parametrize("kind", ["validation", "stability"])
def test_axe_finds_nothing_serious_on_other_pages(browser, pages, kind):
    accessible(browser, pages[kind], [PHONE], ["dark"])


def test_axe_would_find_a_missing_alternative_and_pale_words(browser, pages):
    with visit(browser, pages["validation"], bypass_csp=True) as here:
        here.page.evaluate("document.querySelector('img').removeAttribute('alt')")
        here.page.add_style_tag(content=".lead { color: #aaa }")
        rules = {fault.split()[0] for fault in axe(here.page)}
    assert rules == {"image-alt", "color-contrast"}


def test_the_policy_would_stop_a_script_and_a_picture_that_got_in(browser, pages, tmp_path):
    attack = "<img src='http://example.org/x'><script>alert(1)</script><b onclick='alert(2)'>x</b>"
    html = pages["validation"].read_text("utf-8").replace("</h1>", f"</h1>{attack}", 1)
    (tmp_path / "broken.html").write_text(html, encoding="utf-8")
    with visit(browser, tmp_path / "broken.html") as here:
        here.page.locator("b", has_text=re.compile("^x$")).click()
        said = " ".join(here.faults)
    assert "dialog" not in said
    assert said.count("Content Security Policy") >= 3


# --- ids and names of others -------------------------------------------------------------------


def test_hostile_ids_and_names_stay_text_and_make_no_element(browser, pages):
    with visit(browser, pages["report"]) as here:
        here.unfold()
        shown = here.page.locator("#listed tbody th").all_text_contents()
        inside = here.page.locator("#listed tbody :is(img, script, svg, a)").count()
        options = here.page.locator(f"{FILTER} option").all_text_contents()
        heads = here.page.locator(".card .name").all_text_contents()
        scripts = here.page.locator("script").count()
        for cell in here.page.locator("#listed tbody th").all()[:10]:
            cell.click()
    assert set(HOSTILE) <= set(shown)
    assert SEGMENT in options
    assert SEGMENT in heads
    assert (inside, scripts, here.faults) == (0, 1, [])


# --- the table -----------------------------------------------------------------------------------


def table(here):
    """Ids as they are shown, top down, and the sorted column with its direction."""
    shown = here.page.eval_on_selector_all(
        "#listed tbody tr:not([hidden]) th", "all => all.map((one) => one.textContent)"
    )
    sorting = here.page.eval_on_selector_all(
        "#listed thead th",
        "all => all.flatMap((one, n) => one.ariaSort ? [[n, one.ariaSort]] : [])",
    )
    return shown, sorting


def test_every_column_sorts_up_and_down_and_says_so(browser, pages, page):
    listed = {
        row["customer_id"]: row for row in page.data["sections"]["customers"]["save"]["listed"]
    }
    of = ["rank", None, "segment_name", "value", "p_top", "p_churn", "clv", None]
    with visit(browser, pages["report"]) as here:
        assert table(here)[1] == [[0, "ascending"]]
        heads = here.page.locator("#listed th button")
        for n in [*range(1, heads.count()), 0]:
            heads.nth(n).click()
            up, sorting = table(here)
            assert sorting == [[n, "ascending"]]
            heads.nth(n).click()
            down, sorting = table(here)
            assert sorting == [[n, "descending"]]
            assert sorted(up) == sorted(down) == sorted(listed)
            if of[n]:
                values = [listed[one][of[n]] for one in up]
                assert values == sorted(values)
                assert [listed[one][of[n]] for one in down] == values[::-1]
            if n == 1:
                digits = [one for one in up if one.isdigit()]
                assert digits == sorted(digits)
                assert down == up[::-1]


def test_rows_are_filtered_by_words_and_by_segment_and_counted(browser, pages, page):
    listed = page.data["sections"]["customers"]["save"]["listed"]
    names = sorted({row["segment_name"] for row in listed})
    with visit(browser, pages["report"]) as here:
        box, choice = here.page.locator(f"{FILTER} input"), here.page.locator(f"{FILTER} select")
        said = here.page.locator(f"{FILTER} output")

        def shown():
            rows = table(here)[0]
            assert said.text_content() == f"{len(rows)} of {len(listed)} rows"
            return set(rows)

        assert len(shown()) == len(listed)
        assert choice.locator("option").all_text_contents() == ["all", *sorted(names)]
        for name in names:
            choice.select_option(name)
            assert shown() == {r["customer_id"] for r in listed if r["segment_name"] == name}
        box.fill("8")
        eight = shown()
        assert 0 < len(eight) < sum(row["segment_name"] == names[-1] for row in listed)
        choice.select_option("")
        assert eight < shown()
        box.fill("ONERROR=ALERT")
        assert shown() == {HOSTILE[0]}
        box.fill("nobody is called so")
        assert shown() == set()
        box.fill(" ")
        assert len(shown()) == len(listed)


def test_without_scripts_the_rows_are_there_and_nothing_pretends_to_work(browser, pages, page):
    with visit(browser, pages["report"], java_script_enabled=False) as here:
        rows = here.page.locator("#listed tbody tr")
        assert rows.count() == len(page.data["sections"]["customers"]["save"]["listed"])
        assert rows.first.is_visible()
        assert not here.page.locator(".filter").first.is_visible()
        assert not here.page.locator("th button span").first.is_visible()
        assert here.faults == []


def test_a_page_says_what_language_it_is_in(browser, pages):
    for kind, language in (("report", "en"), ("french", "fr")):
        with visit(browser, pages[kind], java_script_enabled=False) as here:
            assert here.page.locator("html").get_attribute("lang") == language


# --- hands and eyes ------------------------------------------------------------------------------


def focused(here, script="one.textContent.trim()"):
    return here.page.evaluate(f"((one) => {script})(document.activeElement)")


def test_the_keyboard_alone_skips_sorts_filters_and_unfolds(browser, pages):
    with visit(browser, pages["report"]) as here:
        press = here.page.keyboard.press
        press("Tab")
        assert focused(here) == "Skip to the verdict"
        assert here.page.locator(".skip").bounding_box()["x"] >= 0
        press("Enter")
        assert here.page.evaluate("location.hash") == "#verdict"
        press("Tab")
        assert focused(here, "one.closest('section').id") == "verdict"

        here.page.locator(f"{FILTER} input").focus()
        here.page.keyboard.type("8")
        assert here.page.locator("#listed tbody tr[hidden]").count() > 0
        for _ in range(3):
            press("Tab")
        if focused(here, "one.tagName") == "DIV":  # the frame that scrolls the table
            press("Tab")
        while focused(here) != "Customer":
            press("Tab")
            assert focused(here, "one.tagName") == "BUTTON"
        width = focused(here, "getComputedStyle(one).outlineWidth")
        assert int(width.removesuffix("px")) >= 2
        press("Enter")
        assert table(here)[1] == [[1, "ascending"]]
        press("Space")
        assert table(here)[1] == [[1, "descending"]]

        summary = here.page.locator("details > summary").first
        summary.focus()
        press("Enter")
        assert here.page.locator("details").first.get_attribute("open") is not None


def test_only_tables_that_scroll_are_stops_of_the_tab_key(browser, pages):
    stops = """all => all.filter((one) => one.checkVisibility()).map((one) => [one.tabIndex,
        one.scrollWidth > one.clientWidth || one.scrollHeight > one.clientHeight ? 0 : -1])"""
    with visit(browser, pages["report"]) as here:
        for size in SIZES:
            here.shape(size)
            here.page.wait_for_timeout(100)  # a frame, in which the observer runs
            found = here.page.eval_on_selector_all(".scroll", stops)
            assert [stop for stop, _ in found] == [need for _, need in found]
            assert {need for _, need in found} == {0, -1}


@pytest.mark.parametrize("size", SIZES)
def test_the_first_screen_tells_verdict_next_step_and_numbers(browser, pages, size):
    with visit(browser, pages["report"], size) as here:
        parts = here.page.locator("#verdict > h2, #verdict > .note, #verdict .facts strong")
        boxes = [one.bounding_box() for one in parts.all()]
        text = here.page.locator("#verdict").inner_text()
    assert len(boxes) == 6
    assert max(box["y"] + box["height"] for box in boxes) <= size[1]
    assert text.startswith("These numbers may be used, with care")
    assert (
        text.index("Next step: ") < text.index("Value at risk") < text.index("Computed correctly")
    )


def test_paper_is_light_whole_and_without_what_cannot_be_pressed(browser, pages):
    with visit(browser, pages["report"]) as here:
        here.page.locator("details > summary").first.click()
        here.shape(scheme="dark", media="print")
        hidden = here.page.locator("nav, .filter, .skip, th button span, details:not([open])")
        assert not any(one.is_visible() for one in hidden.all())
        assert here.page.locator("details[open] table, details[open] p").first.is_visible()
        cut = here.page.eval_on_selector_all(
            ".scroll", "all => all.filter((one) => one.scrollHeight > one.clientHeight + 1).length"
        )
        ground = here.page.evaluate("getComputedStyle(document.body).backgroundColor")
        ink = here.page.evaluate("getComputedStyle(document.body).color")
        sheets = here.page.pdf(format="A4", margin=None)
    assert (cut, ground, ink) == (0, "rgb(255, 255, 255)", "rgb(0, 0, 0)")
    assert len(re.findall(rb"/Type\s*/Page\b", sheets)) > 5


# --- colours -------------------------------------------------------------------------------------


def luminance(colour):
    """Relative luminance of ``#rrggbb`` or three numbers (WCAG 2.2)."""
    if isinstance(colour, str):
        colour = [int(colour[n : n + 2], 16) for n in (1, 3, 5)]
    linear = [c / 3294.6 if c <= 10.3148 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def mixed(colour, ground, share):
    parts = [[int(c[n : n + 2], 16) for n in (1, 3, 5)] for c in (colour, ground)]
    return [share * a + (1 - share) * b for a, b in zip(*parts, strict=True)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_every_ground(scheme):
    style = (files("bayesseg.report") / "templates" / "style.css").read_text("utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", style, re.DOTALL)[:2]
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", light))
    if scheme == "dark":
        colours |= dict(re.findall(r"--([\w-]+): (#\w{6})", dark))
    grounds = ["paper", "panel", "passed-soft", "caution-soft", "failed-soft"]
    pairs = [(ink, ground) for ink in ("ink", "soft") for ground in grounds]
    pairs += [(ink, "paper") for ink in ("accent", "passed", "caution", "failed")]
    weak = {pair: contrast(*(colours[one] for one in pair)) for pair in pairs}
    shades = dict(re.findall(r"\.(\w+4) \{ background: color-mix\(in srgb, var\(--(\w+)\)", style))
    assert set(shades) == {"more4", "less4"}
    for name, colour in shades.items():
        ground = mixed(colours[colour], colours["paper"], 0.5)
        weak[name, "ink"] = contrast(colours["ink"], ground)
    assert {pair: ratio for pair, ratio in weak.items() if ratio < 4.5} == {}
    glyphs = {f"s{n}": contrast(colours[f"s{n}"], colours["panel"]) for n in range(8)}
    assert {name: ratio for name, ratio in glyphs.items() if ratio < 1.9} == {}


# --- whole runs ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_report_of_the_demo_is_sound_and_accessible(
    browser, demo, bayesseg, tmp_path, language
):
    out, made = tmp_path / "report.html", demo.folder / "demo"
    words = ["--scores", str(made / "scores.parquet"), "-o", str(out), "--lang", language]
    done = bayesseg("report", str(made / "run"), *words, "--include-ids", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    sound(browser, out)
    accessible(browser, out, SIZES)
    with visit(browser, out) as here:
        said = here.page.locator(f"{FILTER} output").text_content()
    assert said == {"en": "300 of 300 rows", "fr": "300 lignes sur 300"}[language]


@pytest.mark.slow
def test_the_report_of_online_retail_is_sound_and_accessible(browser, bayesseg, shared, tmp_path):
    data = shared / "data" / "online_retail_ii.parquet"
    extract = ["--extract", "sheet", "--amount", "Quantity * UnitPrice", "--order-id", "InvoiceNo"]
    done = bayesseg("run", str(data), *extract, "--drop-missing-id", "-o", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    sound(browser, tmp_path / "out" / "report.html")
    accessible(browser, tmp_path / "out" / "report.html", SIZES)
