"""Families and models of segments keep their promises; a planted defect breaks each check of them."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest

from bayesseg._types import Family, Memberships, Quantity
from bayesseg.conformance import Finding, Report, check_family, check_segmenter, family, segmenter
from bayesseg.conformance.report import found
from bayesseg.errors import UsageError
from bayesseg.families import FAMILIES
from bayesseg.spec import parse_spec

BG, GG, GMM = (FAMILIES[name] for name in ("bgnbd", "gammagamma", "gmm"))


@pytest.mark.parametrize("name", ["bgnbd", "mbgnbd", "paretonbd", "gammagamma"])
def test_every_family_of_ours_conforms(name: str) -> None:
    report = check_family(FAMILIES[name])
    assert report.passed, report
    assert not report.skipped


@pytest.mark.parametrize("model", ["segments", pytest.param("retail", marks=pytest.mark.slow)])
def test_shipped_segments_conform(model: str) -> None:
    report = check_segmenter(model)
    assert report.passed, report


# ---------------------------------------------------------------- the judge


@pytest.mark.parametrize(
    ("deviations", "worst", "where"),
    [
        ([(0.0, "a"), (0.5, "b"), (0.1, "c")], 0.5, "b"),
        ([(0.0, "a"), (np.nan, "b")], np.inf, "b"),
        ([(0.5, "a"), (-2.0, "b")], 0.5, "a"),
        ([], np.inf, "nothing was compared"),
    ],
)
def test_a_check_is_as_good_as_its_worst_and_fails_on_nothing(deviations, worst, where) -> None:
    expected = Finding("one", False, worst, 0.25, where)
    assert found("one", 0.25, lambda: deviations) == expected


def test_an_error_inside_a_check_is_its_finding() -> None:
    def broken():
        raise ZeroDivisionError("here")
        yield

    assert found("one", 1.0, broken) == Finding(
        "one", False, np.inf, 1.0, "ZeroDivisionError: here"
    )


def test_a_report_without_findings_has_not_passed() -> None:
    assert not Report("nothing", ()).passed


def test_a_report_says_every_check_and_where_it_broke() -> None:
    findings = (Finding("order", True, 0.0, 1e-12, "x"), Finding("batch", False, 0.5, 1e-12, "y"))
    report = Report("mine", findings, {"reference": "not asked for"})
    assert report.broken == ("batch",)
    lines = str(report).splitlines()
    assert lines[0] == "mine: FAILED"
    assert "BROKEN  batch" in lines[2]
    assert lines[2].endswith("y")
    assert "not asked for" in lines[3]


# ---------------------------------------------------------------- a defect for every check


def said(name: str, change: Callable, of: Family = BG) -> Family:
    """The family with ``change(values, columns, clock)`` made to what it says of ``name``."""
    own = of.quantities[name]

    def changed(theta, columns, clock):
        return change(own.fn(theta, columns, clock), columns, clock)

    return replace(of, quantities={**of.quantities, name: replace(own, fn=changed)})


def tabulated(change: Callable, of: Family = BG) -> Family:
    return replace(of, tabulate=lambda columns: of.tabulate(change(columns)))


def by_place(values, columns, clock):
    return values * np.linspace(1.0, 0.5, values.shape[1])


def by_company(values, columns, clock):
    return values * (1.0 - 1e-9 * np.median(columns["T"]))


def by_size(values, columns, clock):
    return values * (1.0 - 1e-9 * (values.shape[1] == family.CUSTOMERS))


def grown(values, columns, clock):
    values = np.array(values)
    columns["T"] += 0.0 * columns["T"] + 1e-9
    return values


def unweighted(columns: Mapping) -> Mapping:
    return {name: values for name, values in columns.items() if name != "weight"}


def filled(columns: Mapping) -> Mapping:
    return {name: np.nan_to_num(values) for name, values in columns.items()}


def slope_of(of: Family) -> Family:
    def kernel(theta, *arrays):
        value, slope = of.kernel(theta, *arrays)
        return value, slope * (1 + 1e-8)

    return replace(of, kernel=kernel)


def drifting(of: Family) -> Family:
    """Parameters that depend on how often they were asked for."""
    asked = iter(range(10**9))

    def derive(free):
        return {
            name: values * (1 + 1e-15 * next(asked)) for name, values in of.derive(free).items()
        }

    return replace(of, derive=derive)


def in_weeks(of: Family) -> Family:
    """A likelihood with a constant in weeks."""

    def kernel(theta, *arrays):
        value, slope = of.kernel(theta, *arrays)
        return value - theta[1] * arrays[-1].sum(), slope

    return replace(of, kernel=kernel)


def in_euros(of: Family) -> Family:
    def kernel(theta, *arrays):
        value, slope = of.kernel(theta, *arrays)
        return value - theta[2] * arrays[1].sum(), slope

    return replace(of, kernel=kernel)


def simulating(of: Family) -> Family:
    """Histories from twice the rate of purchases."""
    return replace(
        of, simulate=lambda theta, *rest: of.simulate({**theta, "r": 2 * theta["r"]}, *rest)
    )


def caught(report: Report) -> str:
    """The one check made, where it broke by what it found and not by an error of its own."""
    (finding,) = report.findings
    return "" if finding.passed or "Error" in finding.where else finding.check


DEFECTS = {
    "order": said("p_alive", by_place),
    "subset": said("p_alive", by_company),
    "batch": said("p_alive", by_size),
    "weights are repetition": tabulated(unweighted),
    "days for weeks": in_weeks(BG),
    "refuses what cannot be": tabulated(filled),
    "input untouched": said("p_alive", grown),
    "horizons": said("silent", lambda values, columns, clock: 1.0 - values),
    "chances": said("overdue", lambda values, columns, clock: values + 1e-9),
    "derive and underive": replace(
        BG, underive=lambda theta: BG.underive({**theta, "a": theta["b"]})
    ),
    "fit twice": drifting(BG),
    "save and load": drifting(BG),
    "silence": said(
        "p_alive", lambda values, columns, clock: values * (1 - 1 / (1 + columns["T"]))
    ),
    "simulation": simulating(BG),
    "reference": slope_of(BG),
}


@pytest.mark.parametrize("check", DEFECTS)
def test_a_planted_defect_breaks_its_check(check: str) -> None:
    assert caught(check_family(DEFECTS[check], only=[check])) == check


def test_money_in_a_fixed_currency_breaks_its_check() -> None:
    checks = ("batch", "cents for euros", "days for weeks")
    assert check_family(in_euros(GG), only=checks).broken == ("cents for euros",)


def test_every_check_of_a_family_has_its_defect() -> None:
    names = {*family._CHECKS, *family._OF_PART["purchase"], "save and load"}
    assert names == set(DEFECTS)


def test_a_family_no_model_names_is_checked_but_for_storage() -> None:
    report = check_family(replace(BG, name="mine"), only=["order"])
    assert report.passed
    assert set(report.skipped) == {"save and load"}


def test_a_unit_nobody_knows_is_said() -> None:
    odd = Quantity("odd", "furlongs", "", ("x",), BG.quantities["p_alive"].fn)
    strange = replace(BG, quantities={**BG.quantities, "odd": odd})
    (finding,) = check_family(strange, only=["days for weeks"]).findings
    assert (finding.passed, "furlongs" in finding.where) == (False, True)


def test_a_check_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="no check 'odour'"):
        check_family(BG, only=["odour"])


def test_the_two_kinds_are_not_mixed_up() -> None:
    with pytest.raises(UsageError, match="check_segmenter"):
        check_family(GMM)
    with pytest.raises(UsageError, match="has no segments"):
        check_segmenter("bgnbd")


# ---------------------------------------------------------------- and of segments

BUYERS = """
    schema = 1
    name = "buyers"
    description = "segments of buyers"
    time_unit = "week"
    [segments]
    family = "gmm"
    engine = "gibbs"
    components = 2
    covariance = "diag"
    tails = "normal"
    missing = "model"
    [segments.priors]
    weights = { dist = "Dirichlet", concentration = 4.0 }
    mean = { dist = "Normal", mean = 0.0, sd = 1.0 }
    covariance = { dist = "InverseWishart", extra_df = 2.0, scale = 0.3 }
    [inference]
    chains = 4
    draws = 100
    tune = 100
    [[features]]
    column = "days_since_last"
    transform = "log1p"
    [[features]]
    column = "mean_spend"
    transform = "log"
    [[features]]
    column = "age"
"""


def test_segments_of_buyers_conform() -> None:
    report = check_segmenter(parse_spec(BUYERS))
    assert report.passed, report
    assert not report.skipped


def sharing(change: Callable) -> Family:
    """The mixture with ``change(shares, matrix)`` made to its memberships."""

    def memberships(theta, matrix):
        own = GMM.memberships(theta, matrix)
        return Memberships(np.asarray(change(own.shares, matrix)), own.beyond)

    return replace(GMM, memberships=memberships)


def leaning(size: Callable) -> Callable:
    """A little of the first segment given to the last; they still sum to one."""

    def change(shares, matrix):
        moved = shares[..., :1] * 1e-6 * np.broadcast_to(size(matrix), len(matrix))[:, None, None]
        return np.concatenate([shares[..., :1] - moved, shares[..., 1:] + moved], axis=2)

    return change


def relabelled(theta, size, rng):
    return GMM.simulate({**theta, "weights": theta["weights"][::-1]}, size, rng)


SHARING = {
    "order": sharing(leaning(lambda matrix: np.linspace(0, 1, len(matrix)))),
    "subset": sharing(leaning(lambda matrix: np.tanh(np.nanmean(matrix)))),
    "batch": sharing(leaning(lambda matrix: len(matrix) / 1e3)),
    "memberships sum to one": sharing(lambda shares, matrix: shares * 0.999),
    "chances": sharing(lambda shares, matrix: shares + np.array([1.0, -1.0])),
    "simulation": replace(GMM, simulate=relabelled),
}


@pytest.mark.parametrize("check", SHARING)
def test_a_planted_defect_in_memberships_breaks_its_check(check: str, monkeypatch) -> None:
    monkeypatch.setitem(FAMILIES, "gmm", SHARING[check])
    assert caught(check_segmenter(parse_spec(BUYERS), only=[check])) == check


def careless(posterior, data, settings):
    """Infinity taken for a large number."""
    columns = {
        name: np.nan_to_num(values, posinf=9.0) for name, values in data.attributes.columns.items()
    }
    tame = replace(data, attributes=replace(data.attributes, columns=columns))
    return segmenter_score(posterior, tame, settings)


def greedy(posterior, data, settings):
    """Its input is its own."""
    found = segmenter_score(posterior, data, settings)
    data.repeat_spend[0] += 1.0
    return found


segmenter_score, segmenter_fit, segmenter_load = segmenter.score, segmenter.fit, segmenter.load


def rounding(path):
    """A file in single precision."""
    found = segmenter_load(path)
    draws = found.parts["segments"]
    values = {name: own.astype("f4").astype("f8") for name, own in draws.values.items()}
    return replace(found, parts={"segments": replace(draws, values=values)})


AROUND = {
    "fit twice": (
        "fit",
        lambda data, spec, seed: segmenter_fit(data, spec, seed=ord(data.ids[0][0])),
    ),
    "days for weeks": (
        "fit",
        lambda data, spec, seed: segmenter_fit(data, spec, seed=int(spec.unit_days)),
    ),
    "save and load": ("load", rounding),
    "refuses what cannot be": ("score", careless),
    "input untouched": ("score", greedy),
}


@pytest.mark.parametrize("check", AROUND)
def test_a_planted_defect_around_the_family_breaks_its_check(check: str, monkeypatch) -> None:
    monkeypatch.setattr(segmenter, *AROUND[check])
    assert caught(check_segmenter(parse_spec(BUYERS), only=[check])) == check


def test_segments_by_a_transform_of_money_that_has_a_unit_are_found_out() -> None:
    euros = BUYERS.replace(
        'column = "mean_spend"\n    transform = "log"',
        'column = "mean_spend"\n    transform = "log1p"',
    )
    assert euros != BUYERS
    assert check_segmenter(parse_spec(euros), only=["cents for euros"]).broken == (
        "cents for euros",
    )


def test_every_check_of_segments_has_its_defect() -> None:
    assert {*SHARING, *AROUND, "cents for euros"} == set(segmenter._CHECKS)
