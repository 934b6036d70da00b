"""A page in French has no English left, whatever became of the run."""

import ast
import itertools
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import report_case
import validation_case
from french_case import english_left, english_only, visible, words_of
from segmentation_case import clients, fitted, groups

import bayesseg
from bayesseg.cli.steps import showing
from bayesseg.decide import STAKE, ranked
from bayesseg.families import FAMILIES
from bayesseg.report import Beside, Page, build, gates
from bayesseg.report.blocks import Context, Items, Text
from bayesseg.report.quality import findings_table
from bayesseg.report.rendering import rendered
from bayesseg.report.sections import data, segments, verdict
from bayesseg.report.segmentation import comparison as compare_page
from bayesseg.report.segmentation import drift as drift_page
from bayesseg.report.segmentation import stability as stability_page
from bayesseg.report.small import shown_safely
from bayesseg.report.validation import build as validation_page
from bayesseg.report.words import load_words
from bayesseg.scoring import Settings, score
from bayesseg.segmentation.comparison import comparison
from bayesseg.segmentation.drift import drift
from bayesseg.segmentation.refits import Effort
from bayesseg.segmentation.stability import stability
from bayesseg.spec import load_spec

FR = load_words("fr")
PACKAGE = Path(bayesseg.__file__).parent
SHORT = Effort(rows=300, starts=10, refits=10, halves=2)
PARAMETERS = {param.name for family in FAMILIES.values() for param in family.params}
MARKS = re.compile(r"\d%|(?<![\w.-])\d+\.\d+(?![\w.-])|[^\W\d]: |\d; ")
"""Numbers and marks as English writes them."""


@pytest.fixture(scope="module")
def run(cdnow_sample):
    every = report_case.customers(cdnow_sample)
    some = every.take(np.sort(np.argsort(-every.x, kind="stable")[:300]))
    told = {"level": "note", "message": "8 free rows counted as purchases, not as spend"}
    some = replace(some, provenance=some.provenance | {"findings": [told]})
    posterior = report_case.posterior(some)
    return posterior, score(posterior, some, Settings(draws=100))


@pytest.fixture(scope="module")
def segmentation():
    known = clients(groups(300, 1)[0])
    own = fitted(known, 3)
    ids = np.concatenate([known.ids[30:], [f"n{i}" for i in range(30)]]).astype(object)
    later = replace(clients(groups(300, 2)[0]), ids=ids)
    options = {"components": (2, 3), "tails": ("normal",), "effort": SHORT, "seed": 1}
    return {
        "drift": drift(own, known, later, seed=1, effort=SHORT),
        "stability": stability(own, known, seed=1, effort=SHORT) | {"assessed_on": "2026-01-05"},
        "compare": comparison(known, load_spec("segments"), **options),
    }


@pytest.fixture(scope="module")
def pages(run, segmentation):
    """French pages of runs and of what other verbs found, by what they are about."""
    posterior, scores = run
    bad = report_case.failed(posterior)
    few = report_case.clients()
    alone = report_case.posterior(few, "segments")
    sorted_ = score(alone, few, Settings(draws=100))
    waived = [*posterior.manifest["gates"], _missed("caution")]
    overlooked = replace(posterior, manifest=posterior.manifest | {"gates": waived})
    released = {"released": {"spend": "accord de la direction"}}
    beside = Beside(drift=segmentation["drift"], stability=segmentation["stability"])
    forecasts = validation_case.document(
        (0.42, 0.50, 0.28, 0.11, -0.03, -0.20),
        families=("mbgnbd", "bgnbd", "paretonbd"),
        skipped=[{"cut": "1991-09-30", "reason": "9 repeat buyers, at least 10 are needed"}],
    )
    return {
        "report": build(overlooked, scores.table, scores.document, include_ids=True, language="fr"),
        "failed": _verdict(bad, scores, released),
        "segments": build(alone, sorted_.table, sorted_.document, beside=beside, language="fr"),
        "drift": drift_page.build(segmentation["drift"], language="fr"),
        "stability": stability_page.build(segmentation["stability"], language="fr"),
        "compare": compare_page.build(segmentation["compare"], language="fr"),
        "validation": validation_page(forecasts, currency="EUR", language="fr"),
    }


PAGES = ("report", "failed", "segments", "drift", "stability", "compare", "validation")


def _context(run, language, **more):
    posterior, scores = run
    told = shown_safely(scores.document | more, scores.table)
    return Context(posterior, scores.table, told, load_words(language), True, None)


def _verdict(bad, scores, released):
    """The first screen of a run that failed, by itself."""
    found = verdict.section(_context((bad, scores), "fr", **released))
    bare = {"title": "Titre", "facts": (), "verdict": "failed", "hint": ""}
    return Page(rendered(FR, [found], **bare), {})


def _missed(verdict):
    return {
        "name": "ess_bulk",
        "part": "spend",
        "value": 312.4,
        "limit": 400.0,
        "passed": False,
        "severity": "hard",
        "advice": "sample longer (inference.draws) or simplify the model",
        "kind": "computation",
        "detail": "spend: ess_bulk of p is 312.4, limit 400",
        "verdict": verdict,
        "waiver": {"reason": "accord de la direction", "until": "2026-12-31"},
    }


@pytest.mark.parametrize("name", PAGES)
def test_a_french_page_has_no_english_left(pages, name):
    left = english_left(pages[name].html, names=PARAMETERS)
    assert left == []


@pytest.mark.parametrize("name", PAGES)
def test_a_french_page_writes_numbers_and_marks_as_the_french_do(pages, name):
    wrong = [text for text in visible(pages[name].html) if MARKS.search(text)]
    literature = [text for text in wrong if " (19" in text or " (20" in text or "LogNormal" in text]
    assert [text for text in wrong if text not in literature] == []


def test_a_french_page_says_that_it_is_french(pages):
    assert all('<html lang="fr">' in pages[name].html for name in PAGES)


def test_the_detector_finds_a_single_english_sentence(pages):
    planted = pages["report"].html.replace(
        "</main>", "<p>The data hardly inform anybody.</p></main>"
    )
    assert [text for text, _ in english_left(planted, names=PARAMETERS)] == [
        "The data hardly inform anybody."
    ]


@pytest.mark.parametrize("section", [verdict.section, segments.section, data.section])
def test_the_numbers_for_programs_stay_untranslated(run, section):
    assert section(_context(run, "fr")).data == section(_context(run, "en")).data


def test_the_reasons_of_a_list_are_in_french(run):
    scores = run[1].table
    listed = pd.concat([ranked(scores, which) for which in STAKE], ignore_index=True)
    told = showing.told(listed, "fr")
    assert told["reason"].tolist() == [FR.said(one) for one in listed["reason"]]
    assert words_of(told["reason"]) & english_only() == set()
    assert showing.told(listed, "en").equals(listed)
    assert showing.told(listed.head(0), "fr").empty


def test_a_waiver_is_told_with_its_reason_as_it_was_written():
    title, items = gates.waivers(FR, [_missed("caution")])
    assert (type(title), type(items)) == (Text, Items)
    assert items.items[0] == (
        "Dépense, ESS central\u00a0: 312,4, limite 400. Ignoré jusqu’au 31 décembre 2026\u00a0: "
        "accord de la direction"
    )


def test_a_finding_of_check_is_in_french_with_what_to_do():
    found = {
        "level": "warning",
        "message": "12 amounts (0.5%) outside 2.84 to 219.42 (Tukey's fences of the logarithm), 2 "
        "with a robust z above 3.5: flagged, kept",
        "fix": "if so, divide them by 100 in the source",
        "records": [3],
    }
    (table,) = findings_table(FR, [found])
    assert [cell.text for cell in table.rows[0]][:3] == [
        "avertissement",
        "12 montants (0,5\u00a0%) hors de la plage de 2,84 à 219,42 (bornes de Tukey du logarithme), 2 "
        "dont le z robuste dépasse 3,5\u00a0; conservés",
        "si c’est le cas, divisez-les par 100 dans la source",
    ]


# --- every sentence of the code has a translation --------------------------------------------------


def shapes(node):
    """Every text that an expression may give, 7 in its blanks; none where that cannot be told."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else ["7"]
    if isinstance(node, ast.IfExp):
        return shapes(node.body) + shapes(node.orelse)
    if isinstance(node, ast.BinOp):
        return [a + b for a in shapes(node.left) for b in shapes(node.right)]
    if isinstance(node, ast.JoinedStr):
        pieces = [
            shapes(part if isinstance(part, ast.Constant) else part.value)
            if isinstance(getattr(part, "value", None), str | ast.IfExp)
            else ["7"]
            for part in node.values
        ]
        return ["".join(one) for one in itertools.product(*pieces)]
    return []


@cache
def calls():
    """Every call of a plain name in the package."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))]
    nodes = itertools.chain.from_iterable(map(ast.walk, trees))
    return [one for one in nodes if isinstance(one, ast.Call) and isinstance(one.func, ast.Name)]


def arguments(name, places, keywords=()):
    """What the calls of ``name`` in the package are given at those places or under those keywords."""
    for node in calls():
        if node.func.id == name:
            yield from (node.args[at] for at in places if at < len(node.args))
            yield from (one.value for one in node.keywords if one.arg in keywords)


def untranslated(nodes):
    said = {text for node in nodes for text in shapes(node) if re.search("[a-z] [a-z]", text)}
    assert len(said) > 10
    return sorted(text for text in said if FR.said(text) == text)


def test_every_gate_and_its_advice_is_translated():
    assert untranslated(arguments("judge", (), ("says", "advice"))) == [
        "7; these data support competing segmentations"  # after what to do of fewer components
    ]


def test_every_finding_about_data_is_translated():
    assert untranslated(arguments("finding", (3, 4), ("message", "fix"))) == [
        "7 (7) netted within 7"  # the day, or the order
    ]


def test_every_condition_on_data_is_translated():
    tree = ast.parse((PACKAGE / "readiness.py").read_text(encoding="utf-8"))
    told = [node.value for node in ast.walk(tree) if isinstance(node, ast.Assign)]
    assert untranslated([*told, *arguments("_gate", (4, 5))]) == [
        "7 repeat buyer7, at least 10 are needed",  # one or several
        "7 repeat buyers7",
    ]


TOLD = (
    *("validation/advice/totals", "validation/advice/data", "validation/advice/attributes"),
    *("validation/advice/forecasters", "segmentation/drift", "segmentation/stability"),
    *(
        "segmentation/choose",
        "segmentation/price",
        "segmentation/comparison",
        "segmentation/compare",
    ),
)
"""Modules whose sentences reach a page as they are."""
WHOLE = (
    "12% of them sit in another segment than before; without any change it would be 9%, for memberships "
    "are not certain: nobody need have moved.",
    "S2 loyal comes back only in part in a refit: Jaccard 0.70, 0.90 without any change",
    "S2 loyal does not come back in a refit: Jaccard 0.40, 0.90 without any change",
    "In the later period all purchases are of one day.",
    "S1 loyal grew from 20% to 25% of the customers.",
    "K = 3 was chosen among segments that are full and normal: K = 4, diag predicts held-out customers "
    "better by 0.12 ± 0.03 nats each. bayesseg compare asks other covariances and Student-t tails too.",
    "Limited by size: K = 4 predicts held-out customers better by 0.120 nats each, but the smallest "
    "segment has 40 of the 50 customers it needs.",
    "Working, from 3 to 5: the same.",
    "Working: no candidate with 3 to 5 segments could be judged.",
    "Working, from 3 to 5: K = 4 (constructive: a cut made for use).",
    "S1 loyal is doubtful (Jaccard 0.70): its core returns, its border does not.",
    "S1 loyal is untrusted (Jaccard 0.50): do not act on it by itself.",
    "RFM tenths: RMSE per customer 1.200 against 1.300, AUC of who buys 0.800 against 0.700",
    "frequent buyers spend less per purchase than rare ones (Spearman −0.21 over 1,234 repeat buyers), "
    "and the spend model assumes that they do not",
    "the value of the most frequent buyers is too high, that of one-time buyers errs the other way; the "
    "order hardly changes. Most shops show +0.1 to +0.3",
    "static attributes (a and b) are taken as known at each cut; purchases of groups were missed by a "
    "12% with the attributes, 15% without (Pareto/NBD of everybody alike)",
    "static attributes (a) are taken as known at each cut",
    "MBG/NBD describes the histories best, by 4.1 ± 1.2 in elpd before BG/NBD (no clear lead)",
    "purchases by MBG/NBD: 120 forecast [90, 140] for the 90 days after 2011-06-01, nothing came: "
    "outside the 90% interval; mean spend does not exist",
    "purchases by MBG/NBD: 3 of 4 totals came inside the 90% interval of the model alone, 4 inside the "
    "interval widened by the misses of earlier cuts; nothing came after 2011-06-01",
    "rank customers by it as it is; plan totals with 0.90 to 1.20 times the forecast, the range these "
    "cuts teach",
    "the same weeks of two years were missed alike (+12% and +14%; −20% and −22%), and all cuts by "
    "anything from −22% to +14%: the shop has seasons, which the model does not know",
    "the 90 days after 2011-06-01 are the season of the cut at 2010-06-01, which was off by +12%: "
    "expect it to run high again. Forecast whole years, or correct a total by what the same weeks "
    "missed the year before",
    'the log seems to start in mid-life of the shop: its first weeks, to 2010-01-01, "acquire" 90, 80 '
    "and 70 customers, where 20 a week is usual; most of them had bought before. They repeat at 0.100 a "
    "week against 0.050 of later customers in their first 12 weeks, 2.0 times as often.",
    "the value of the most frequent buyers is too low, that of one-time buyers errs the other way; the "
    "order hardly changes. Most shops show +0.1 to +0.3",
    "They repeat at 0.100 a week against 0.050 of later customers in their first 12 weeks.",
    "an attribute that is only recorded later, or that follows from buying (a loyalty card, a "
    "complaint), lets every forecast here look ahead: leave such out; by these groups the model "
    "forecasts as well without any",
    "MBG/NBD describes the histories best, by 4.1 ± 1.2 in elpd before BG/NBD (a clear lead); forecasts "
    "of single customers differ by 0.4% in CRPS, too little to matter; totals missed by 12% (MBG/NBD) "
    "and 9% (BG/NBD) on average",
    "gradient boosting: Brier score of who buys 0.100 against 0.120, CRPS per customer 1.000 against "
    "1.100, share of purchases caught by the tenth ranked first 0.400 against 0.380",
    "MBG/NBD after 2011-06-01: customers bought more than their own forecasts say, across the board "
    "(PIT off by 9% at most, p < 0.001)",
    "MBG/NBD after 2011-06-01: customers bought less than their own forecasts say, across the board "
    "(PIT off by 9% at most, p = 0.004)",
    "In the earlier period all purchases are of one day.",
    "the shares of the segments moved: PSI 0.30, above 0.25 and above chance (0.02)",
)
"""Sentences that the code puts together from pieces, whole."""
WORKING = {
    *("have the segments changed", "who moved", "7 refits to reweighted customers"),
    *("7 pairs of halves", "does 7 come back?", "posterior mode"),
}
"""Texts of progress, which stay on the terminal, and what a program reads."""


def sentences(path):
    """Every text that a module writes, joined from its pieces as far as the code shows how."""
    tree = ast.parse((PACKAGE / path).with_suffix(".py").read_text(encoding="utf-8"))
    quiet = (ast.Raise, ast.Expr)  # errors, and docstrings
    waiting, found = [tree], []
    while waiting:
        node = waiting.pop()
        if isinstance(node, quiet) and not isinstance(getattr(node, "value", None), ast.Call):
            continue
        if said := shapes(node):
            found += [text for text in said if re.search("[a-z] [a-z]", text)]
        else:
            waiting += ast.iter_child_nodes(node)
    return set(found)


@pytest.mark.parametrize("path", TOLD)
def test_every_sentence_of_advice_and_drift_is_translated(path):
    wrong = english_only()
    told = {one: FR.said(one) for one in sentences(path)}
    left = {one for one, text in told.items() if text == one or words_of([text]) & wrong}
    whole = " | ".join(WHOLE)
    pieces = {one for one in left if all(piece in whole for piece in one.split("7"))}
    assert left - pieces - WORKING == set()


@pytest.mark.parametrize("sentence", WHOLE)
def test_a_sentence_put_together_from_pieces_is_translated_whole(sentence):
    assert words_of([FR.said(sentence)]) & english_only() == set()
