"""Sentences, numbers and days of each language."""

import string
import tomllib
from importlib.resources import files

import pytest

from bayesseg.errors import UsageError
from bayesseg.naming import RULES
from bayesseg.report.words import LANGUAGES, load_words

EN, FR = load_words("en"), load_words("fr", "EUR")
SAID = tomllib.loads(
    (files("bayesseg.report") / "locale" / "fr.said.toml").read_text(encoding="utf-8")
)


def blanks(text):
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def phrases(table):
    for key, value in table.items():
        yield from phrases(value) if isinstance(value, dict) else [(key, value)]


def test_every_language_has_every_sentence():
    for one in LANGUAGES:
        assert set(load_words(one).texts) == set(EN.texts)


def test_a_sentence_has_the_same_blanks_in_every_language():
    own = {key: blanks(text) for key, text in EN.texts.items() if key != "marks.date"}
    assert {key: blanks(FR.texts[key]) for key in own} == own


def test_a_translated_phrase_fills_only_blanks_that_it_has():
    wrong = [english for english, text in phrases(SAID) if not blanks(text) <= blanks(english)]
    assert wrong == []


def test_no_shape_of_a_phrase_stands_twice():
    shapes = [one.shape.pattern for one in FR.phrases]
    assert len(set(shapes)) == len(shapes)


def test_a_language_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(UsageError) as error:
        load_words("de")
    assert "en or fr" in error.value.fix


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (lambda w: w.count(1234567), "1\u202f234\u202f567"),
        (lambda w: w.number(0.5), "0,500"),
        (lambda w: w.percent(0.123), "12\u00a0%"),
        (lambda w: w.percent(0.0001), "<0,1\u00a0%"),
        (lambda w: w.money(-12.5), "−12,50\u00a0EUR"),
        (
            lambda w: w.interval({"mean": 0.5, "lo": 0.4, "hi": 0.6}, "percent"),
            "50\u00a0% (40–60\u00a0%)",
        ),
        (lambda w: w.date("1997-09-30"), "30 septembre 1997"),
        (lambda w: w.date("2011-08-01"), "1er août 2011"),
        (lambda w: w.date("a moment"), "a moment"),
        (lambda w: w.pair("a", "b"), "a\u00a0: b"),
        (lambda w: w.parts(["a", "b"]), "a\u00a0; b"),
    ],
)
def test_numbers_and_days_are_written_as_the_french_write_them(write, expected):
    assert write(FR) == expected


def test_nought_and_one_are_singular_in_french_and_one_in_english():
    key = "sampling.divergences"
    assert [FR.plural(key, n).startswith(f"{n} transition divergente.") for n in (0, 1, 2)] == [
        True,
        True,
        False,
    ]
    assert [EN.plural(key, n).endswith("transitions.") for n in (0, 1, 2)] == [True, False, True]


def test_no_line_breaks_before_a_mark_that_french_sets_apart():
    assert not [text for text in FR.texts.values() for mark in "%;:!?»" if f" {mark}" in text]


@pytest.mark.parametrize(
    ("english", "expected"),
    [
        (
            "the data hardly inform kappa (posterior sd is 0.93 of the prior's)",
            "les données n’apprennent presque rien sur kappa (écart-type a posteriori\u00a0: 0,93 de "
            "celui de la loi a priori)",
        ),
        (
            "forecast purchases ran 22% low over 273 days from 1997-09-30 (1,234 [1,000, 1,500] "
            "against 1,999)",
            "achats\u00a0: prévision trop basse de 22\u00a0% sur 273 jours à partir du 30 septembre "
            "1997 (1\u202f234 [1\u202f000\u00a0; 1\u202f500] contre 1\u202f999)",
        ),
        (
            "S1 loyal: took the place of S2 Moms and dads (Jaccard 0.71, kept from 0.75)",
            "S1 fidèles\u00a0: a pris la place de S2 Moms and dads (Jaccard 0,71, conservé à partir de "
            "0,75)",
        ),
        (
            "rhat of r is 1.2, limit 1.01; WAIVED until 2026-12-31: agreed, 1.5 is fine",
            "R-hat de «\u00a0r\u00a0»\u00a0: 1,2, limite 1,01\u00a0; DÉROGATION jusqu’au 31 décembre "
            "2026\u00a0: agreed, 1.5 is fine",
        ),
        (
            "the prior moves the estimate of r by 1.2 sd, alpha by 1.1 sd",
            "la loi a priori déplace l’estimation de r (de 1,2 écart-type), alpha (de 1,1 écart-type)",
        ),
        (
            "the data hardly inform rate and r (posterior sd is 0.93 of the prior's)",
            "les données n’apprennent presque rien sur «\u00a0rate\u00a0» et r (écart-type a "
            "posteriori\u00a0: 0,93 de celui de la loi a priori)",
        ),
        ("champions (2)", "champions (2)"),
        (
            "LogNormal(median 1, sigma 1.5) per mean window",
            "Log-normale(médiane 1\u00a0; sigma 1,5), par durée d’observation moyenne",
        ),
        (
            "500 draws a chain were not enough and more will not do: another division lies 3.1 nats "
            "below this one and agrees with it at 0.80 (Rand index); let bayesseg compare show which "
            "number of segments holds, and fit that one",
            "500 tirages par chaîne n’ont pas suffi et davantage n’y fera rien\u00a0: une autre "
            "division est 3,1 nats sous celle-ci et s’accorde avec elle à 0,80 (indice de Rand)\u00a0; "
            "voyez avec bayesseg compare quel nombre de segments tient, et ajustez celui-là",
        ),
        ("said by a gate of a later version", "said by a gate of a later version"),
    ],
)
def test_a_sentence_from_below_is_known_by_its_shape(english, expected):
    assert FR.said(english) == expected
    assert EN.said(english) == english


def test_what_the_rules_call_segments_is_translated_as_the_rules_have_it():
    def plain(text):
        return text.replace("’", "'").replace("\u00a0", " ")

    own = [(plain(FR.said(rule.name)), plain(FR.said(rule.action))) for rule in RULES]
    assert own == [(rule.name_fr, rule.action_fr) for rule in RULES]


def test_what_experts_call_a_segment_in_french_goes_before_all_else():
    segments = {"ids": ["S1"], "names": {"S1": "loyal"}, "map": None}
    segments["texts"] = {"S1": {"name_fr": "habitués", "action": "wave", "action_fr": "saluer"}}
    words = FR.naming(segments)
    assert words.called({"id": "S1", "name": "loyal"}) == "S1 habitués"
    assert words.said("wave") == "saluer"
    assert EN.naming(segments).called({"id": "S1", "name": "loyal"}) == "S1 loyal"
