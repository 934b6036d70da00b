"""What ``stability`` found, kept beside a run and told where the run is shown."""

import json

import pytest
import report_case

from bayesseg.errors import ArtefactBad
from bayesseg.report.blocks import Beside, Context
from bayesseg.report.sections import segments, verdict
from bayesseg.report.segmentation import assessed as told
from bayesseg.report.small import shown_safely
from bayesseg.report.words import load_words
from bayesseg.scoring import Settings, score
from bayesseg.segmentation import assessed

WORDS = load_words("en")


def interval(mean):
    return {"mean": mean, "lo": mean - 0.05, "hi": mean + 0.05}


def found(jaccard=0.93, strength=0.9, verdict="stable", word="highly stable", customers=400):
    return {
        "model_id": "5a0f" * 16,
        "assessed_on": "2026-01-06",
        "customers": customers,
        "missing": [],
        "refits": 50,
        "verdict": verdict,
        "words": ["Every segment comes back when the customers are drawn again."],
        "prediction_strength": interval(strength),
        "segments": [
            {"id": "S1", "name": "first", "jaccard": interval(0.97), "word": "highly stable"},
            {"id": "S2", "name": "second", "jaccard": interval(jaccard), "word": word},
        ],
    }


@pytest.fixture(scope="module")
def clients():
    data = report_case.clients()
    posterior = report_case.posterior(data, "segments")
    return posterior, score(posterior, data, Settings(draws=100))


def sections(clients, stability):
    """The first screen and the segments: their texts and the numbers of the first."""
    posterior, scores = clients
    document = shown_safely(scores.document, scores.table)
    context = Context(posterior, scores.table, document, WORDS, False, None, Beside(stability))
    first, second = verdict.section(context), segments.section(context)
    texts = [str(first), str([block for block in second.blocks if block.kind != "figure"])]
    return texts, first


def test_what_is_kept_is_read_back(tmp_path):
    path = assessed.keep(found(), tmp_path / "june", 400)
    assert path == tmp_path / "june.stability.json"
    assert assessed.of(tmp_path / "june", found()["model_id"]) == found()


def test_an_answer_about_others_never_replaces_one_about_the_customers_of_the_fit(tmp_path):
    run, model = tmp_path / "june", found()["model_id"]
    others = found(customers=300), found() | {"missing": ["the data have no value of 'milk'"]}
    assert assessed.keep(others[0], run, 400) is not None
    assert assessed.keep(found(), run, 400) is not None
    assert [assessed.keep(one, run, 400) for one in others] == [None, None]
    assert assessed.of(run, model) == found()


def test_nothing_is_kept_of_a_run_nobody_asked_about(tmp_path):
    assert assessed.of(tmp_path / "june", "m") is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (json.dumps(found()), "about another run"),
        (json.dumps({"model_id": "m"}), "not what bayesseg stability found"),
        ("[]", "not what bayesseg stability found"),
        ("{", "cannot be read"),
    ],
)
def test_what_is_not_about_the_run_is_refused(tmp_path, content, words):
    path = tmp_path / "june.stability.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ArtefactBad, match=words):
        assessed.read(path, "m")


@pytest.mark.parametrize(
    ("stability", "tone"),
    [
        (None, "note"),
        (found(), "passed"),
        (found(strength=0.7), "caution"),
        (found(0.7, verdict="doubtful"), "caution"),
        (found(0.5, verdict="untrusted"), "failed"),
    ],
)
def test_a_verdict_is_as_good_as_its_weakest_evidence(stability, tone):
    assert told.tone(stability) == tone


def test_the_line_names_the_weakest_segment_and_the_day():
    line = told.summary(WORDS, found(0.7, verdict="doubtful", word="doubtful"), 400)
    assert "smallest Jaccard 0.70 (0.65–0.75), of S2 second (doubtful)" in line
    assert "Asked on 2026-01-06" in line


def test_a_question_put_to_other_customers_is_told():
    assert "asked of 400 customers, the fit saw 500" in told.summary(WORDS, found(), 500)


def test_the_report_of_a_fit_says_that_stability_was_not_assessed(clients):
    texts, first = sections(clients, None)
    line = "Stability not assessed: run bayesseg stability RUN DATA."
    assert all(line in text for text in texts)
    assert first.data["stability"] is None


def test_the_report_shows_what_stability_found(clients):
    texts, first = sections(clients, found())
    assert all("smallest Jaccard 0.93 (0.88–0.98), of S2 second" in text for text in texts)
    assert "Comes back (Jaccard)" in texts[1]
    assert first.data["stability"] == found()


def test_segments_that_do_not_come_back_are_a_caution_to_the_whole(clients):
    assert clients[0].manifest["verdict"] == "passed"
    weak = found(0.5, verdict="untrusted", word="untrusted")
    titles = [sections(clients, one)[1].title for one in (found(), weak)]
    assert titles == ["These numbers may be used", "These numbers may be used, with care"]
