"""Simulation-based calibration: the statistic, the ledger, and mistakes that must be found."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import planted
import pytest
from scipy import stats

from bayesseg.calibration import HEADERS, Design, Job, run, said, sbc, simulations, table
from bayesseg.calibration import uniformity as u
from bayesseg.calibration.design import simulated
from bayesseg.errors import BayessegError, UsageError
from bayesseg.families import FAMILIES
from bayesseg.inference.pointwise import pointwise
from bayesseg.spec import load_spec

BG, MBG, GG = (FAMILIES[name] for name in ("bgnbd", "mbgnbd", "gammagamma"))
SMALL, TINY = planted.SMALL, planted.TINY


def job(model: str = "bgnbd", part: str = "purchase", design: Design = SMALL, seed: int = 1) -> Job:
    return Job(load_spec(model), part, "laplace", design, seed)


def breaches(document: dict) -> dict[str, str]:
    return {q["name"]: q["direction"] for q in document["quantities"] if not q["passed"]}


# ---------------------------------------------------------------- the statistic


@pytest.mark.parametrize("seed", range(3))
def test_gamma_is_the_smallest_binomial_tail_of_the_ecdf(seed: int) -> None:
    ranks = np.random.default_rng(seed).integers(0, 100, 150)
    tails = []
    for k in range(1, 50):
        below = int(((ranks + 0.5) / 100 <= k / 50).sum())
        tails += [stats.binom.cdf(below, 150, k / 50), stats.binom.sf(below - 1, 150, k / 50)]
    assert u.gamma(ranks) == pytest.approx(min(tails), rel=1e-9)


def test_p_values_of_uniform_ranks_are_uniform() -> None:
    ranks = np.random.default_rng(5).integers(0, 100, (2000, 80))
    p = np.array([u.p_value(u.gamma(one), 80) for one in ranks])
    for level in (0.01, 0.05, 0.5):
        spread = np.sqrt(level * (1 - level) / len(p))
        assert abs((p <= level).mean() - level) < 4 * spread + 0.002


@pytest.mark.parametrize(
    ("n", "alpha", "bias", "narrow", "wide"),
    [
        (50, 0.05, 0.54, 0.60, 1.82),
        (100, 0.05, 0.40, 0.70, 1.46),
        (200, 0.05, 0.28, 0.78, 1.34),
        (200, 0.001, 0.38, 0.70, 1.46),
        (500, 0.001, 0.26, 0.80, 1.30),
    ],
)
def test_what_n_can_see_equals_the_published_table(
    n: int, alpha: float, bias: float, narrow: float, wide: float
) -> None:
    """The table was measured with normal draws and ranks, not with this shortcut."""
    found = u.detectable(n, alpha)
    assert found["bias"] == pytest.approx(bias, abs=0.04)
    assert found["narrow"] == pytest.approx(narrow, abs=0.04)
    assert found["wide"] == pytest.approx(wide, rel=0.06)


@pytest.mark.parametrize(
    ("shift", "width", "said"),
    [
        (0.6, 1.0, "biased low"),
        (-0.6, 1.0, "biased high"),
        (0, 2, "too narrow"),
        (0, 0.4, "too wide"),
    ],
)
def test_a_breach_says_how_the_posterior_errs(shift: float, width: float, said: str) -> None:
    """Truths normal around a posterior of sd 1: ``shift`` above its mean, ``width`` times as wide."""
    rng = np.random.default_rng(2)
    truths = shift + width * rng.standard_normal(200)
    ranks = (rng.standard_normal((200, u.DRAWS)) < truths[:, None]).sum(axis=1)
    found = u.judge({"one": ranks})["one"]
    assert (found.passed, found.direction) == (False, said)


def test_holm_adjusts_by_the_number_of_quantities_left() -> None:
    rng = np.random.default_rng(8)
    ranks = {f"q{i}": rng.integers(0, 100 + 6 * i, 100).clip(max=99) for i in range(4)}
    judged = u.judge(ranks)
    p = sorted(one.p for one in judged.values())
    expected = np.minimum(np.maximum.accumulate(np.array(p) * [4, 3, 2, 1]), 1.0)
    np.testing.assert_allclose(sorted(one.p_holm for one in judged.values()), np.sort(expected))


# ---------------------------------------------------------------- the loop


def test_thin_data_are_drawn_again_and_counted() -> None:
    rng = np.random.default_rng(1)
    part = load_spec("bgnbd").parts["purchase"]
    made = [simulated(BG, part, Design(customers=20, repeaters=15), 7.0, rng) for _ in range(20)]
    assert all((one.columns["x"] > 0).sum() >= 15 for one in made)
    assert sum(one.redrawn for one in made) > 0


def test_simulations_are_the_same_for_any_number_of_processes() -> None:
    rows = [simulations.simulate_all(job(), 4, processes=processes) for processes in (1, 2)]
    one, two = ([{**row, "seconds": 0} for row in own] for own in rows)
    assert one == two


def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path) -> None:
    whole = simulations.simulate_all(job(), 5, folder=tmp_path / "a")
    simulations.simulate_all(job(), 2, folder=tmp_path / "b")
    (ledger,) = (tmp_path / "b").glob("*.jsonl")
    ledger.write_text(ledger.read_text() + '{"simulation": 2, "ra')  # the writer was killed here
    seen = []
    again = simulations.simulate_all(job(), 5, folder=tmp_path / "b", on_progress=seen.append)
    assert [row["ranks"] for row in again] == [row["ranks"] for row in whole]
    assert [message.done for message in seen] == [3, 4, 5]


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    """SIGKILL, and not an error that somebody could tidy up after."""
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1])\n"
        "import test_calibration as t\n"
        "t.simulations.simulate_all(t.job(part='spend', design=t.TINY), 10**6,"
        " folder=pathlib.Path(sys.argv[2]))"
    )
    words = (sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path))
    ledger = tmp_path / "spend-gammagamma-laplace.jsonl"
    with subprocess.Popen(words) as child:
        while not ledger.exists() or ledger.read_bytes().count(b"\n") < 4:
            assert child.poll() is None
            time.sleep(0.05)
        child.kill()
    kept = ledger.read_bytes().count(b"\n") - 1
    own, seen = job(part="spend", design=TINY), []
    again = simulations.simulate_all(own, kept + 2, folder=tmp_path, on_progress=seen.append)
    whole = simulations.simulate_all(own, kept + 2)
    assert [row["ranks"] for row in again] == [row["ranks"] for row in whole]
    assert [message.done for message in seen] == [kept + 1, kept + 2]


def test_simulations_of_another_seed_are_refused(tmp_path: Path) -> None:
    simulations.simulate_all(job(), 1, folder=tmp_path)
    with pytest.raises(UsageError, match="another model, design, seed or version"):
        simulations.simulate_all(job(seed=2), 1, folder=tmp_path)


def test_a_fit_that_fails_is_listed_and_fails_the_verdict() -> None:
    calls = iter(range(10_000_000))

    def tabulate(columns):
        if next(calls) == 3:
            raise BayessegError("planted")
        return BG.tabulate(columns)

    found = sbc(job(), 20, fitted=replace(BG, tabulate=tabulate))
    assert found["failures"] == [{"simulation": 3, "faults": ["BayessegError: planted"]}]
    assert (found["verdict"], found["clean"]) == ("failed", 0.95)
    assert {q["n"] for q in found["quantities"]} == {19}
    assert found["answered"]["none"] == 1
    assert "  simulation 3: BayessegError: planted" in said({**found, "title": "one"})


def test_links_that_are_not_simulated_are_said() -> None:
    found = sbc(job("cohorts"), 20)
    assert found["without"] == ["cohorts"]
    assert any("without cohorts" in line for line in said(found))


def test_a_model_is_calibrated_part_by_part() -> None:
    seen = []
    found = run(load_spec("bgnbd"), 20, seed=1, customers=60, on_progress=seen.append)
    assert json.loads(json.dumps(found)) == found
    assert (found["passed"], list(found["parts"])) == (True, ["purchase", "spend"])
    assert found["parts"]["purchase"]["constant"] == ["p_alive[x=0]"]
    for part in found["parts"].values():
        assert all(len(row) == len(HEADERS) for row in table(part))
        assert part["quantities"][0]["n"] == part["simulations"] == 20
        assert "calibration passed" in said(part)[0]
        assert "9 times in 10" in said(part)[-1]
    assert len(seen) == 40


@pytest.mark.parametrize(
    ("model", "arguments", "match"),
    [
        ("bgnbd", {"simulations": 5}, "show nothing"),
        ("bgnbd", {"engine": "map"}, "no draws to calibrate"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(model: str, arguments: dict, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        run(load_spec(model), **{"simulations": 20, "seed": 1, **arguments})


# ---------------------------------------------------------------- planted mistakes


@pytest.mark.parametrize(
    ("bug", "wrong"),
    [
        (planted.off_by_one, lambda x: (np.log(0.9 + x), np.log(0.9 + np.maximum(x, 1) - 1))),
        (planted.greater_for_greater_equal, None),
    ],
    ids=["off by one", "> for >="],
)
def test_a_planted_kernel_is_the_mistake_it_says(bug, wrong) -> None:
    """Against the readable likelihood with that one sign changed, and its own differences."""
    theta = np.array([0.6, 8.0, 0.7, 0.9])
    r, alpha, a, b = theta
    part = load_spec("bgnbd").parts["purchase"]
    columns = simulated(BG, part, SMALL, 7.0, np.random.default_rng(3)).columns
    x, t_x, T = (columns[name] for name in ("x", "t_x", "T"))
    family = bug()
    arrays = tuple(family.tabulate(columns).arrays.values())
    value, gradient = family.kernel(theta, *arrays)
    named = {name: np.array([v]) for name, v in zip(BG.textbook, theta, strict=True)}
    alive, gone = -(r + x) * np.log(alpha + T), -(r + x) * np.log(alpha + t_x) + np.log(a)
    if wrong:
        right = pointwise(BG, named, columns)[0]
        after, before = (gone - odds for odds in wrong(x))
    else:
        right = pointwise(MBG, named, columns)[0]
        after, before = np.where(x > 0, gone - np.log(b + x), -np.inf), gone - np.log(b + x)
    changed = np.logaddexp(alive, after) - np.logaddexp(alive, before)
    expected = right.sum() + changed[(x > 0) if wrong else slice(None)].sum()
    assert value == pytest.approx(expected, rel=1e-10)
    step = 1e-6 * np.eye(4)
    slopes = [
        family.kernel(theta + h, *arrays)[0] - family.kernel(theta - h, *arrays)[0] for h in step
    ]
    np.testing.assert_allclose(gradient, np.array(slopes) / 2e-6, rtol=1e-4)


_FAST = ("off by one in b + x - 1", "half the rows ignored", "rate for scale")


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n in _FAST else pytest.mark.slow) for n in planted.EIGHT],
)
def test_a_planted_mistake_is_found(name: str) -> None:
    one = planted.EIGHT[name]
    found = sbc(one.job, one.simulations, fitted=one.fitted)
    assert found["verdict"] == "failed"
    assert one.where in breaches(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", planted.EIGHT)
def test_without_the_mistake_the_same_simulations_pass(name: str) -> None:
    one = planted.EIGHT[name]
    assert not breaches(sbc(one.job, one.simulations))


@pytest.mark.slow
def test_a_computation_that_ignores_its_data_is_found_by_the_likelihood_alone() -> None:
    found = sbc(job(), 40, fitted=planted.ignored_data(BG))
    assert list(breaches(found)) == ["log_likelihood"]


# ---------------------------------------------------------------- the families themselves


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["laplace", "nuts"])
@pytest.mark.parametrize("model", ["bgnbd", "retail", "paretonbd"])
def test_every_family_is_calibrated(model: str, engine: str) -> None:
    found = run(load_spec(model), 200, seed=1, engine=engine, processes=2)
    assert [reason for part in found["parts"].values() for reason in part["reasons"]] == []
