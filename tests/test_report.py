"""The report: one safe, readable, self-contained page, and the same numbers as JSON."""

import base64
import hashlib
import html
import json
import re
import tomllib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import page_case
import pytest
import report_case
from page_case import Outline

import bayesseg.report
from bayesseg.decide import certainty, ranked
from bayesseg.decide.histories import customers_of, plan_for
from bayesseg.posterior import to_datatree
from bayesseg.report import Beside, build
from bayesseg.report import gates as gates_module
from bayesseg.report.blocks import Context, Details, Figure
from bayesseg.report.figures import dots
from bayesseg.report.rendering import plain
from bayesseg.report.sections import SECTIONS, forecasts
from bayesseg.report.sections.sampling import SEEN
from bayesseg.report.small import shown_safely
from bayesseg.report.words import load_words, spread
from bayesseg.scoring import Settings, score

HOSTILE = ["<img src=x onerror=alert(1)>", "</script><script>alert(2)</script>", "[/x]", "\"&'"]
SETTINGS = Settings(draws=100)


@pytest.fixture(scope="module")
def customers(cdnow_sample):
    """Three hundred customers of CDNOW; four at risk have ids that attack the page."""
    every = report_case.customers(cdnow_sample)
    some = every.take(np.sort(np.argsort(-every.x, kind="stable")[:300]))
    ids = some.ids.copy()
    ids[np.argsort(np.where(some.t_end - some.t_x < 30, -some.repeat_spend, 0))[:4]] = HOSTILE
    return replace(some, ids=ids)


@pytest.fixture(scope="module")
def run(customers):
    posterior = report_case.posterior(customers)
    return posterior, score(posterior, customers, SETTINGS)


@pytest.fixture(scope="module")
def page(run):
    posterior, scores = run
    return build(posterior, scores.table, scores.document, include_ids=True)


@pytest.fixture(scope="module")
def other(run):
    """The same run, failed, in euros and without ids."""
    posterior = report_case.failed(run[0])
    posterior = replace(posterior, manifest=posterior.manifest | {"currency": "EUR"})
    return build(posterior, run[1].table, run[1].document)


@pytest.fixture(scope="module")
def outline(page):
    return Outline(page.html)


@pytest.fixture(scope="module")
def clients():
    data = report_case.clients()
    posterior = report_case.posterior(data, "segments")
    return posterior, score(posterior, data, SETTINGS)


@pytest.fixture(scope="module")
def clients_page(clients):
    posterior, scores = clients
    return build(posterior, scores.table, scores.document)


def test_the_page_is_one_small_file_that_asks_for_nothing(page):
    page_case.asks_for_nothing(page.html)
    assert len(page.html) < 3_000_000


def test_the_policy_allows_exactly_the_style_and_the_script_on_the_page(page, outline):
    policy = next(a["content"] for t, a in outline.tags if a.get("http-equiv"))
    for tag, rule in (("style", "style-src"), ("script", "script-src")):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", page.html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{rule} 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert not any("style" in attributes for _, attributes in outline.tags)
    assert not any(name.startswith("on") for _, attributes in outline.tags for name in attributes)


def test_hostile_ids_stay_text(page, outline):
    for one in HOSTILE:
        assert one in outline.text
        assert html.escape(one, quote=False) in page.html.replace("&#34;", '"').replace(
            "&#39;", "'"
        )
    assert sum(tag == "script" for tag, _ in outline.tags) == 1
    assert not any("onerror" in attributes for _, attributes in outline.tags)


def test_headings_go_down_one_step_at_a_time(outline, clients_page):
    for headings in (outline.headings, Outline(clients_page.html).headings):
        assert headings[0] == 1
        assert headings.count(1) == 1
        steps = [after - before for before, after in pairwise(headings)]
        assert max(steps) == 1


def test_the_verdict_comes_first_and_tells_computation_from_forecast(page, outline, run):
    posterior, _ = run
    first = next(a["id"] for t, a in outline.tags if t == "section")
    assert first == "verdict"
    assert posterior.manifest["verdict"] == "caution"
    assert "These numbers may be used, with care" in outline.text
    assert "Computed correctly. In 2 backtests forecasts ran 13% low overall" in outline.text
    assert "2 of 2 totals fell outside their intervals" in outline.text
    reason = posterior.manifest["verdicts"]["purchase"]["reasons"][0].removeprefix("purchase: ")
    assert reason in outline.text


def test_a_failed_run_says_so_before_anything_else(other):
    text = Outline(other.html).text
    assert "Do not use these numbers yet" in text
    assert text.index("UNTRUSTED RUN") < text.index("Purchases and churn")
    assert "Computation failed." in text
    assert "draws are incomplete (not finite: p)" in text
    rows = other.data["sections"]["sampling"]["diagnostics"]["spend"]
    assert {row["name"]: row["r_hat"] is None for row in rows} == {
        "p": True,
        "q": False,
        "scale": False,
        "v": True,
    }


def test_every_number_of_a_segment_card_is_in_the_scores(page, outline, run):
    words = load_words("en")
    for one in run[1].document["segments"]:
        for name, kind in (("p_churn", "percent"), ("clv", "money"), ("value_at_risk", "money")):
            assert words.interval(one[name], kind) in outline.text
    shown = json.loads(json.dumps(run[1].document["segments"]))
    assert page.data["sections"]["segments"]["segments"] == shown


def test_the_first_table_of_customers_is_the_save_list(page, run):
    table = run[1].table.set_index("customer_id")
    listed = page.data["sections"]["customers"]["save"]["listed"]
    values = [row["value"] for row in listed]
    assert values == sorted(values, reverse=True)
    assert values == [table.loc[row["customer_id"], "value_at_risk"] for row in listed]
    assert len({row["customer_id"] for row in listed}) == len(listed)


def test_ids_are_left_out_of_page_and_data_unless_asked_for(other, page):
    text = Outline(other.html).text
    assert not any(one in text for one in HOSTILE[:3])
    found = other.data["sections"]["customers"]
    assert found["save"]["on_the_list"] == page.data["sections"]["customers"]["save"]["on_the_list"]
    assert not {"listed"} & {*found["save"], *found["win-back"]}
    assert "without customer ids" in text


def test_maximum_likelihood_stands_beside_the_posterior(outline, page):
    assert "6.250" in outline.text
    assert "−9,582.136" in outline.text
    assert page.data["sections"]["baseline"]["spend"]["maximum_likelihood"]["q"] == 3.7442


def test_rows_in_are_rows_used_and_rows_left_out(page):
    rows = page.data["sections"]["data"]["accounting"]["rows"]
    assert rows["in"] == rows["used"] + sum(rows["excluded"].values())


def test_diagnostics_are_those_of_arviz(page, run):
    import arviz_base
    import arviz_stats

    values = run[0].parts["spend"].values["q"]
    (row,) = (
        r for r in page.data["sections"]["sampling"]["diagnostics"]["spend"] if r["name"] == "q"
    )
    tree = arviz_base.from_dict({"posterior": {"q": values}})
    assert row["r_hat"] == pytest.approx(float(arviz_stats.rhat(tree)["q"]), rel=1e-12)
    assert row["ess_bulk"] == pytest.approx(float(arviz_stats.ess(tree)["q"]), rel=1e-12)
    assert row["mean"] == pytest.approx(values.mean(), rel=1e-12)


def test_vector_parameters_are_called_by_segment_and_feature(page, run):
    names = {row["name"] for row in page.data["sections"]["sampling"]["diagnostics"]["segments"]}
    numbers = run[0].features.numbers
    first, binary = run[0].features.names[0], run[0].features.names[numbers]
    assert {f"mean[S1, {first}]", f"binary[S4, {binary}]", "weights[S2]"} <= names


def test_every_gate_is_on_the_page_with_its_verdict(page, outline, run):
    gates = run[0].manifest["gates"]
    assert page.data["sections"]["sampling"]["gates"] == json.loads(json.dumps(gates))
    assert f"{sum(g['passed'] for g in gates)} of {len(gates)} gates passed" in outline.text
    for gate in gates:
        assert gates_module._name(load_words("en"), gate) in outline.text


def test_every_gate_has_a_name_in_words():
    gates = Path(bayesseg.report.__file__).parents[1] / "gates"
    code = "".join(path.read_text("utf-8") for path in gates.glob("*.py"))
    names = set(re.findall(r'judge\(\s*s,\s*f?"([a-z_]+?)_?["{]', code)) - {"backtest"}
    assert len(names) > 15
    assert {
        name for name in names if not load_words("en").has(f"sampling.gates.names.{name}")
    } == set()


def test_a_missed_backtest_is_told_by_how_far_it_missed(outline):
    assert (
        "Backtest from 1997-09-30 Purchases and churn outside, by 52% of its width" in outline.text
    )


def test_every_picture_has_words_and_every_business_figure_its_numbers(outline, page):
    images = [a for t, a in outline.tags if t == "img"]
    assert len(images) >= 10
    assert all(len(a["alt"]) > 20 for a in images)
    business = page.html.count("The numbers behind this figure")
    assert business >= 7


def test_a_model_without_purchases_drops_their_sections(clients_page):
    assert set(clients_page.data["sections"]) == {
        *("verdict", "data", "segments", "portrait", "sampling", "stability", "model", "limits"),
        "reproduce",
    }
    text = Outline(clients_page.html).text
    assert "P(alive)" not in text
    assert "None" not in text


def test_a_model_without_segments_drops_their_section(customers):
    posterior = report_case.posterior(customers, "bgnbd")
    scores = score(posterior, customers, SETTINGS)
    page = build(posterior, scores.table, scores.document)
    assert "segments" not in page.data["sections"]
    assert "Segments" not in Outline(page.html).text
    assert "P(alive) is 1 for one-time buyers" in page.html


def test_money_carries_a_currency_only_where_there_is_one(outline, other, run):
    total = run[1].document["totals"]["clv"]["mean"]
    assert f"{total:,.0f} EUR" in Outline(other.html).text
    assert f"{total:,.0f} (" in outline.text
    assert "EUR" not in outline.text


def test_the_data_are_plain_json(page):
    assert json.loads(json.dumps(page.data, allow_nan=False)) == page.data
    assert page.data["schema_version"] == 2


def test_the_same_run_gives_the_same_bytes(clients, clients_page):
    posterior, scores = clients
    assert build(posterior, scores.table, scores.document).html == clients_page.html


@pytest.mark.parametrize(
    ("of", "kind", "expected"),
    [
        ({"mean": 12.2, "lo": 9.1, "hi": 15.4}, "number", "12 (9–15)"),
        ({"mean": 0.3213, "lo": 0.3011, "hi": 0.3492}, "percent", "32% (30–35%)"),
        ({"mean": 62336.1, "lo": 59806.0, "hi": 65205.0}, "money", "62,336 (59,806–65,205)"),
        ({"mean": 200.0, "lo": 200.0, "hi": 200.001}, "number", "200 (200–200)"),
        ({"mean": 0.004, "lo": 0.001, "hi": 0.009}, "number", "0.004 (0.001–0.009)"),
        ({"mean": -0.4, "lo": -1.2, "hi": 0.4}, "number", "−0.4 (−1.2–0.4)"),
        ({"mean": None, "lo": None, "hi": None}, "money", "–"),
        ({"mean": 1e-9, "lo": 1e-10, "hi": 1e-8}, "percent", "<0.1%"),
        ({"mean": 1e-9, "lo": 1e-10, "hi": 1e-8}, "number", "0 (0–0)"),
        ({"mean": 0.11841, "lo": 0.11839, "hi": 0.11843}, "percent", "11.8% (11.8–11.8%)"),
        ({"mean": 1.0, "lo": 0.9999, "hi": 1.0}, "percent", "100%"),
        ({"mean": 0.72, "lo": 0.5, "hi": 1.0}, "index", "0.72 (0.50–1.00)"),
        ({"mean": 0.97913, "lo": 0.9781, "hi": 0.9799}, "index", "0.98 (0.98–0.98)"),
    ],
)
def test_intervals_are_written_no_finer_than_they_are(of, kind, expected):
    assert load_words("en").interval(of, kind) == expected


def test_neighbours_have_the_digits_that_tell_them_apart():
    one, other = ({"mean": m, "lo": m - 0.02, "hi": m + 0.02} for m in (214.82, 214.97))
    words, apart = load_words("en"), spread([one, other, None])
    assert words.interval(one) == "215 (215–215)"
    assert words.interval(one, apart=apart) == "214.82 (214.80–214.84)"
    wide = {"mean": 214.82, "lo": 200.0, "hi": 230.0}
    assert words.interval(wide, apart=apart) == "215 (200–230)"


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0, "0%"), (0.0002, "<0.1%"), (0.004, "0.4%"), (0.5, "50%"), (0.996, "99.6%"), (1, "100%")],
)
def test_shares_near_the_ends_keep_a_decimal(share, expected):
    assert load_words("en").percent(share) == expected


def test_words_are_used_and_words_that_are_used_exist():
    """Every dotted key in the sections is in the language file (keys built at run time aside)."""
    folder = Path(bayesseg.report.__file__).parent
    texts = load_words("en").texts
    used = set()
    for path in [*folder.rglob("*.py"), *folder.glob("templates/*.j2")]:
        found = re.findall(r'words\(\s*["\']([a-z_.]+)["\']', path.read_text("utf-8"))
        used |= set(found)
    assert used - set(texts) == set()
    assert tomllib.loads((folder / "locale/en.toml").read_text("utf-8"))["page"]["lang"] == "en"


def test_figures_follow_the_readers_colour_scheme_and_bear_no_date():
    one = {"mean": 1.0, "lo": 0.5, "hi": 1.5}
    panels = [("Value", [one, one], str)]
    svg = base64.b64decode(dots(panels, ["a", "b"]).partition(",")[2]).decode()
    assert "prefers-color-scheme:dark" in svg
    assert "#3a4149" not in svg.partition("</style>")[2]
    assert "<dc:date>" not in svg
    assert dots(panels, ["a", "b"]) == dots(panels, ["a", "b"])


def test_a_point_estimate_has_a_page_with_means_and_no_intervals(customers, run):
    posterior, _ = run
    one = {
        part: draws
        if part == "segments"
        else replace(draws, values={name: v[:1, :1] for name, v in draws.values.items()}, stats={})
        for part, draws in posterior.parts.items()
    }
    point = replace(posterior, parts=one)
    scores = score(point, customers, SETTINGS)
    text = Outline(build(point, scores.table, scores.document).html).text
    mean = load_words("en").plain(scores.document["totals"]["expected_purchases"]["mean"])
    assert mean in text
    assert "nan" not in text.lower().split()


ORDER = [
    *("verdict", "data", "segments", "portrait", "customers", "forecasts", "fit", "sampling"),
    *("stability", "baseline", "model", "limits", "reproduce"),
]


def test_sections_stand_in_their_order_on_the_page_and_in_the_data(page, outline):
    shown = [a["id"] for t, a in outline.tags if t == "section"]
    assert shown == ORDER
    assert list(page.data["sections"]) == ORDER


@pytest.fixture(scope="module")
def sections(run):
    posterior, scores = run
    told = shown_safely(scores.document, scores.table)
    beside = Beside(listed=LIST)
    words, tree = load_words("en"), to_datatree(posterior)
    case = Context(posterior, scores.table, told, words, True, tree, beside)
    return [found for make in SECTIONS if (found := make(case)) is not None]


LIST = {
    "list": "save",
    "curve": [
        {"contacts": n, "cost": 1.5 * n, "net_benefit": b, "lo": b - 9.5, "hi": b + 11.25}
        for n, b in ((10, 31.25), (40, 72.5), (90, 64.75))
    ],
}


def figures_of(blocks):
    for block in blocks:
        if isinstance(block, Details):
            yield from figures_of(block.blocks)
        elif isinstance(block, Figure):
            yield block


def numbers(data):
    if isinstance(data, dict):
        named = [float(name) for name in data if re.fullmatch(r"\d+(\.\d+)?", name)]
        return [*named, *numbers(list(data.values()))]
    if not isinstance(data, list | tuple):
        return [float(data)] if isinstance(data, int | float) else []
    return [found for one in data for found in numbers(one)]


def test_every_number_behind_a_figure_is_in_the_data(sections):
    checked = 0
    for section in sections:
        own = plain(section.data)
        for figure in figures_of(section.blocks):
            there = np.array(numbers(own[figure.of]))
            for row in figure.table.rows:
                for cell, column in zip(row, figure.table.columns, strict=True):
                    if not column.number:
                        continue
                    scale = 100 if "%" in cell.text else 1
                    text = f"{cell.text} {cell.small}".replace("<0.1%", "").replace(",", "")
                    for digits, decimals in re.findall(r"(?<![\d.])([\d]+(?:\.(\d+))?)", text):
                        away = np.abs(np.abs(scale * there) - float(digits)).min()
                        assert away <= 0.5001 * 10.0 ** -len(decimals), (figure.title, cell.text)
                        checked += 1
    assert checked > 400


def test_every_figure_has_numbers_behind_it_and_in_its_words(sections):
    found = [one for section in sections for one in figures_of(section.blocks)]
    assert len(found) >= 25
    for figure in found:
        assert figure.table is not None, figure.title
        assert re.search(r"\d", figure.alt), figure.title


def test_the_benefit_curve_of_a_list_is_told_at_its_best(sections):
    (customers,) = (one for one in sections if one.id == "customers")
    (curve,) = figures_of(customers.blocks)
    assert "The benefit is largest at 40 contacts for 60.00: 72 (63–84)" in curve.caption


def test_places_on_a_list_are_as_sure_as_drawn_stakes_say(page, run):
    """The first tenth of the save list, by a simulation that knows only the families' latents."""
    posterior, scores = run
    plan = plan_for(posterior, scores.document)
    table = scores.table.set_index("customer_id", drop=False)
    listed = page.data["sections"]["customers"]["save"]["listed"]
    whole = table.loc[ranked(scores.table, "save")["customer_id"]]
    customers = customers_of(whole)
    columns = customers.columns(posterior.spec.unit_days)
    rng = np.random.default_rng(8)
    count, draws = len(whole), len(plan.index)
    stake = np.zeros((count, draws))
    for s in range(draws):
        theta = {name: values[s] for name, values in plan.purchase[0].items()}
        spend = {name: values[s] for name, values in plan.spend[0].items()}
        alive, rate, drop, death = np.moveaxis(_fresh(theta, columns, rng), 1, 0)
        nu = rng.gamma(spend["q"] + spend["p"] * columns["n"], 1 / (spend["v"] + columns["S"]))
        discount, span = plan.clock.discount, plan.clock.value_horizon
        left = discount + rate * drop + death
        lost = -np.expm1(-discount * span) / discount + np.expm1(-left * span) / left
        stake[:, s] = alive * rate * lost * spend["p"] / nu
    top = int(np.ceil(0.1 * count))
    sure = page.data["sections"]["customers"]["save"]["certainty"]
    assert (sure["of"], sure["top"]) == (count, top)
    ranks = np.argsort(np.argsort(-stake, axis=0, kind="stable"), axis=0)
    expected = (ranks < top).mean(axis=1)
    found = np.array([row["p_top"] for row in listed])
    assert np.abs(found - expected[: len(found)]).max() < 0.25
    assert found[:top].sum() == pytest.approx(expected[:top].sum(), rel=0.1)
    belong = (ranks[:top] < top).sum(axis=0)
    assert sure["belong"]["mean"] == pytest.approx(belong.mean(), rel=0.1)
    ends = [sure["belong"]["lo"], sure["belong"]["hi"]]
    assert ends == pytest.approx(np.quantile(belong, [0.05, 0.95]), abs=3)


def _fresh(theta, columns, rng):
    """Latents of MBG/NBD by rejection-free draws: state, then rate and dropout given it."""
    x, t_x, T = (columns[name] for name in ("x", "t_x", "T"))
    from bayesseg._types import Clock
    from bayesseg.families import FAMILIES

    one = {name: np.array([value]) for name, value in theta.items()}
    chance = FAMILIES["mbgnbd"].quantities["p_alive"].fn(one, columns, Clock(1.0, 1.0, 0.0))[0]
    alive = rng.uniform(size=len(x)) < chance
    rate = rng.gamma(theta["r"] + x, 1 / (theta["alpha"] + np.where(alive, T, t_x)))
    drop = rng.beta(theta["a"] + ~alive, theta["b"] + x + alive)
    return np.stack([alive.astype(float), rate, drop, np.zeros(len(x))], axis=1)


def test_a_long_list_says_of_how_many_its_order_is_drawn(run, monkeypatch):
    posterior, scores = run
    monkeypatch.setattr(certainty, "MOST", 120)
    page = build(posterior, scores.table, scores.document, include_ids=True)
    text = Outline(page.html).text
    assert "12 customers in the first tenth of the first 120 on this list" in text
    assert page.data["sections"]["customers"]["save"]["on_the_list"] > 120


def test_nothing_is_said_of_ranks_that_are_not_shown(page, other):
    assert "Under each rank" in Outline(page.html).text
    assert "Under each rank" not in Outline(other.html).text


def test_one_quantity_has_one_interval(sections):
    """Cards speak of these customers; the heat map does not give another interval of the same."""
    (portrait,) = (one for one in sections if one.id == "portrait")
    (heat,) = (one for one in portrait.blocks if getattr(one, "id", "") == "heat")
    row = next(row for row in heat.rows if row[0].text == "Share that bought again")
    (cards,) = (one.data["segments"] for one in sections if one.id == "segments")
    words = load_words("en")
    for cell, one in zip(row[1:], cards, strict=True):
        mean, span = words.halves(one["profile"]["has_repeated"], "percent")
        assert (cell.text, cell.small) == (mean, f"({span})" if span else "")


def test_customers_drawn_are_said_to_be_some_of_all(sections):
    (fit,) = (one for one in sections if one.id == "fit")
    said = " ".join(text for one in fit.blocks for text in getattr(one, "paragraphs", ()))
    assert "drawn at random (2,000 of the 2,357 customers of 1997-09-30" in said


def test_a_forecast_that_was_right_has_no_sign():
    said = [forecasts._signed(load_words("en"), bias) for bias in (0.0, -0.0, 0.05, -0.05)]
    assert said == ["0%", "0%", "+5%", "−5%"]


def test_the_curve_of_value_tells_nothing_of_fewer_than_eleven(run):
    """241 customers: steps of a twentieth, 12 of them; the curve is what stands in the data."""
    posterior, scores = run
    page = build(posterior, scores.table.head(241), scores.document)
    found = page.data["sections"]["forecasts"]["concentration"]
    assert np.diff(found["customers"]).min() * 241 >= 11
    assert set(found["top"]) == {"0.05", "0.1", "0.2", "0.5"}
    value = np.sort(scores.table["clv"].head(241).fillna(0).to_numpy())[::-1]
    held = np.interp(0.1, np.linspace(0, 1, 242), np.append(0, value.cumsum()) / value.sum())
    assert found["top"]["0.1"] == pytest.approx(held)
    assert found["value"][2] == found["top"]["0.1"]


def test_what_the_page_says_of_calibration_is_what_was_found():
    root = Path(bayesseg.report.__file__).parents[2]
    whole = tomllib.loads((root / "docs/calibration.toml").read_text("utf-8"))
    told = tomllib.loads((root / "bayesseg/report/calibrated.toml").read_text("utf-8"))
    keys = ("simulations", "customers", "quantities", "verdict")
    assert told["version"] == whole["version"]
    assert told["families"] == {
        one["family"]: {key: one[key] for key in keys} for one in whole["verdicts"]
    }


def test_a_prior_that_pulls_is_seen_and_one_that_does_not_is_not():
    from bayesseg.report import diagnostics

    rng = np.random.default_rng(2)
    values = {"a": rng.normal(size=(4, 500)), "b": rng.normal(size=(4, 500))}
    stats = {"log_prior": -0.5 * values["a"] ** 2, "log_likelihood": -0.5 * values["b"] ** 2}
    found = {one["name"]: one for one in diagnostics.sensitivity(values, stats)}
    assert found["a"]["prior"] > SEEN > 2 * found["b"]["prior"]
    assert found["b"]["likelihood"] > SEEN > 2 * found["a"]["likelihood"]
    assert diagnostics.sensitivity(values, {}) == []


def test_the_page_says_why_there_are_so_many_segments(clients, clients_page):
    posterior, scores = clients
    own = posterior.parts["segments"]
    why = {"chosen": {"components": 2, "words": ["Stable: K = 2 (natural)."]}}
    parts = posterior.parts | {"segments": replace(own, info={**own.info, **why})}
    page = build(replace(posterior, parts=parts), scores.table, scores.document)
    assert "Stable: K = 2 (natural)." in Outline(page.html).text
    assert "How many segments" not in Outline(clients_page.html).text
