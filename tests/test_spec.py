"""Model files are a closed enumeration: what is not known, or not given, is an error with its key."""

import re
from pathlib import Path

import pytest

from bayesseg import priors
from bayesseg.errors import UsageError
from bayesseg.families import FAMILIES
from bayesseg.priors import DISTRIBUTIONS, UNITS
from bayesseg.spec import (
    ENGINES_OF,
    FAMILIES_OF,
    OPTIONS_OF,
    PRIORS_OF,
    load_spec,
    model_names,
    parse_spec,
    with_engine,
)

RETAIL = load_spec("retail").text


def test_the_shipped_models_are_all_there() -> None:
    assert model_names() == ["bgnbd", "cohorts", "paretonbd", "retail", "segments"]


@pytest.mark.parametrize("name", ["bgnbd", "cohorts", "paretonbd", "retail", "segments"])
def test_a_shipped_model_carries_its_file_and_its_name(name: str) -> None:
    spec = load_spec(name)
    assert spec.name == name
    assert parse_spec(spec.text) == spec


def test_a_model_is_found_by_name_and_by_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(RETAIL)
    assert load_spec(path) == load_spec("retail")
    assert load_spec(str(path)) == load_spec("retail")


def test_the_tables_name_the_families_there_are() -> None:
    by_part = {part: {f.name for f in FAMILIES.values() if f.part == part} for part in FAMILIES_OF}
    assert {part: set(names) for part, names in FAMILIES_OF.items()} == by_part
    assert set(OPTIONS_OF) == set(ENGINES_OF) == set(FAMILIES_OF)


@pytest.mark.parametrize("name", ["bgnbd", "mbgnbd", "paretonbd", "gammagamma"])
def test_every_free_parameter_has_a_prior_of_its_support(name: str) -> None:
    family = FAMILIES[name]
    assert list(PRIORS_OF[name]) == [param.name for param in family.params]
    for param in family.params:
        allowed, unit = PRIORS_OF[name][param.name]
        assert {DISTRIBUTIONS[dist].support for dist in allowed} == {param.support}
        assert unit in UNITS


CHANGES = {
    "an unknown key": (r"^time_unit", "colour = 1\ntime_unit", "colour is not a known key"),
    "an unknown family": ('"mbgnbd"', '"mbgnbdd"', "did you mean 'mbgnbd'"),
    "an unknown engine": ('engine = "auto"', 'engine = "gibbs"', "purchase.engine"),
    "an unknown distribution": ('"Beta"', '"Betta"', "phi.dist"),
    "another support": ('"Beta"', '"Normal"', "phi.dist"),
    "a prior of no parameter": (r"^kappa", "zeta = { }\nkappa", "purchase.priors.zeta"),
    "a missing prior": (r"^kappa.*$", "", "purchase.priors.kappa is missing"),
    "a missing number": (r"median = 0\.7, ", "", "r.median is missing"),
    "a number that is none": ("median = 0.7", 'median = "auto"', "r.median must be a number"),
    "a negative scale": ("median = 0.7", "median = -0.7", "r.median must be a positive"),
    "an infinite scale": ("median = 0.7", "median = inf", "r.median must be a positive"),
    "a missing unit": (', unit = "per_mean_window"', "", "rate.unit must be 'per_mean_window'"),
    "a unit of nothing": ("median = 0.7", 'unit = "median_order", median = 0.7', "r.unit"),
    "a misspelt option": ('"diag"', '"daig"', "segments.covariance"),
    "a misspelt policy": (r'missing( +)= "model"', r'missing\1= "rejekt"', "segments.missing"),
    "a missing option": (r"^covariance +=.*$", "", "segments.covariance is missing"),
    "no component": (r"components( +)= \d", r"components\1= 0", "segments.components"),
    "a binary feature without prior": (r"^binary.*$", "", "segments.priors.binary is missing"),
    "an ordinal without levels": (
        'type   = "binary"',
        'type = "ordinal"',
        "levels and the type ordinal",
    ),
    "levels of no ordinal": (
        'type   = "binary"',
        'levels = ["a", "b"]',
        "levels and the type ordinal",
    ),
    "a level twice": (
        'type   = "binary"',
        'type = "ordinal"\nlevels = ["a", "b", "a"]',
        "2 to 50 different texts",
    ),
    "an ordinal without prior": (
        'type   = "binary"',
        'type = "ordinal"\nlevels = ["a", "b"]',
        "segments.priors.ordinal is missing",
    ),
    "an unknown transform": ('transform = "log1p"', 'transform = "sqrt"', "transform is 'sqrt'"),
    "an unknown time unit": ('"week"', '"fortnight"', "time_unit is 'fortnight'"),
    "another schema": (r"schema( +)= 1", r"schema\1= 2", "schema must be 1"),
    "no chain": (r"chains = 4", "chains = 0", "inference.chains"),
    "no TOML": (r"\[purchase\]", "[purchase", "not valid TOML"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_model_file_is_refused_for(case: str) -> None:
    old, new, says = CHANGES[case]
    changed = re.sub(old, new, RETAIL, count=1, flags=re.M)
    assert changed != RETAIL
    with pytest.raises(UsageError, match=re.escape(says)):
        parse_spec(changed)


COHORTS = load_spec("cohorts").text
LINKS = COHORTS.replace(
    "[spend]",
    """[purchase.covariates]
rate    = ["channel"]
dropout = []
effect  = { dist = "Normal", mean = 0.0, sd = 0.5 }

[spend]""",
)
LINK_CHANGES = {
    "another period": ('"quarter"', '"week"', "purchase.cohorts.by"),
    "an early day that is none": ('early  = "auto"', 'early  = "soon"', "nor a day such as"),
    "no spread": (r"^spread.*$", "", "purchase.cohorts.spread"),
    "a spread below 0 too": ('"HalfNormal"', '"Normal"', "purchase.cohorts.spread.dist"),
    "no prior of the early cohort": (r"^apart.*$", "", "purchase.cohorts.apart"),
    "an unknown key": (r"^by ", "per = 1\nby ", "purchase.cohorts.per is not a known key"),
    "no column": (r'\["channel"\]', "[]", "names no column"),
    "a column twice": (r'\["channel"\]', '["channel", "channel"]', "different column names"),
    "a number for columns": (r'\["channel"\]', "1", "purchase.covariates.rate has the wrong type"),
    "no effect": (r"^effect.*$", "", "purchase.covariates.effect"),
    "links of spend": (r"^\[purchase.covariates\]", "[spend.covariates]", "covariates is not"),
}


@pytest.mark.parametrize("case", LINK_CHANGES)
def test_covariates_and_cohorts_are_refused_for(case: str) -> None:
    old, new, says = LINK_CHANGES[case]
    changed = re.sub(old, new, LINKS, count=1, flags=re.M)
    assert changed != LINKS
    with pytest.raises(UsageError, match=re.escape(says)):
        parse_spec(changed)


def test_covariates_and_cohorts_are_read() -> None:
    part = parse_spec(LINKS).parts["purchase"]
    assert part.covariates is not None
    assert (part.covariates.rate, part.covariates.dropout) == (("channel",), ())
    assert part.cohorts is not None
    assert (part.cohorts.by, part.cohorts.early) == ("quarter", "auto")


def test_another_engine_is_taken_for_purchases_and_spend_alone() -> None:
    spec = with_engine(load_spec("retail"), "map")
    assert {name: part.engine for name, part in spec.parts.items()} == {
        "purchase": "map",
        "spend": "map",
        "segments": "gibbs",
    }
    assert spec.text == RETAIL


@pytest.mark.parametrize(
    ("model", "engine", "says"),
    [("retail", "nutz", "did you mean 'nuts'"), ("segments", "map", "neither purchases nor spend")],
)
def test_an_engine_is_refused(model: str, engine: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        with_engine(load_spec(model), engine)


def test_a_refusal_names_the_file() -> None:
    with pytest.raises(UsageError, match=r"^mine\.toml: "):
        parse_spec("schema = 1\nfoo = 2", source="mine.toml")


def test_an_unknown_model_name_lists_the_models() -> None:
    with pytest.raises(UsageError, match="did you mean 'retail'"):
        load_spec("retial")


@pytest.mark.parametrize(
    ("family", "values", "expected"),
    [
        # quantiles of the maximum-likelihood values of CDNOW, stated with the priors
        ("bgnbd", (0.24259, 4.41360, 0.79292, 2.42591), (0.145, 0.652, 0.246, 0.528)),
        ("mbgnbd", (0.52484, 6.18309, 0.89136, 1.61400), (0.387, 0.752, 0.356, 0.429)),
        ("gammagamma", (6.24957, 3.74422, 15.44352), (0.672, 0.609, 0.474)),
    ],
)
def test_the_shipped_priors_do_not_fight_cdnow(
    family: str, values: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    scales = {"mean_window": 32.716, "median_order": 27.4975}
    spec = load_spec("bgnbd" if family == "bgnbd" else "retail")
    own = spec.parts["spend" if family == "gammagamma" else "purchase"].priors
    free = FAMILIES[family].underive(dict(zip(FAMILIES[family].textbook, values, strict=True)))
    actual = [priors.quantile_of(own[name], free[name], scales) for name in own]
    assert actual == pytest.approx(expected, abs=0.002)


def test_the_models_are_packed_where_the_package_looks_for_them() -> None:
    import tomllib

    text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    wheel = tomllib.loads(text)["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"] == {"models": "bayesseg/_models"}
