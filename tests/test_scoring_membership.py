"""Membership columns: each against plain NumPy and SciPy over every draw."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import report_case
from scipy import special, stats

from bayesseg._types import Draws
from bayesseg.customers import Attributes
from bayesseg.errors import InputRejected
from bayesseg.families import gmm
from bayesseg.families._beyond import beyond
from bayesseg.families._special import exp
from bayesseg.features import Feature, FeatureState
from bayesseg.naming import mapped
from bayesseg.posterior import Posterior
from bayesseg.scoring import meaning_of, score, unit_of
from bayesseg.segment_map import parse
from bayesseg.spec import FeatureSpec, load_spec

CHAINS, DRAWS, K, D = 4, 25, 3, 3
COLUMNS = ("entropy", "entropy_param", "n_missing", "outlier_p", "p_top_stable")
STATE = FeatureState(
    (
        *(Feature(name, "number", "identity", 0.0, 1.0) for name in "abc"),
        Feature("yes", "binary", "identity", 0.0, 1.0),
        Feature("kind", "category", "identity", 0.0, 1.0, levels=("u", "v", "w")),
        Feature("visits", "count", "identity", 0.0, 2.0, exposure="weeks"),
    ),
    texts=(Feature("town", "category", "identity", 0.0, 1.0, levels=("x", "y", "(other)")),),
)
SPEC = replace(
    load_spec("segments"),
    features=(
        *(FeatureSpec(name) for name in "abc"),
        FeatureSpec("yes", "binary"),
        FeatureSpec("kind", "category"),
        FeatureSpec("visits", "count", exposure="weeks"),
        FeatureSpec("town", role="descriptor"),
    ),
)


def posterior_of(values, state=STATE, spec=SPEC, segments=K) -> Posterior:
    ids = [f"S{k + 1}" for k in range(segments)]
    manifest = {
        "seed": 1,
        "model_id": "m",
        "verdict": "passed",
        "verdicts": {"segments": {"computation": "passed"}},
        "gates": [],
        "segments": {"ids": ids, "names": {name: f"segment {name}" for name in ids}},
    }
    return Posterior(spec, state, {"segments": Draws(values, {}, {})}, manifest, {})


def mixed(covariance: str, df: float | None) -> Posterior:
    """Independent draws of a small mixture with every kind of column."""
    rng, shape = np.random.default_rng(5), (CHAINS, DRAWS)
    centre = np.array([[-1.5, 0.0, 1.0], [1.0, 1.0, -1.0], [0.0, -2.0, 0.0]])
    values = {
        "weights": rng.dirichlet([20.0, 30.0, 10.0], size=shape),
        "mean": centre + 0.3 * rng.normal(size=(*shape, K, D)),
        "binary": rng.beta(2.0, 2.0, size=(*shape, K, 1)),
        "category": rng.dirichlet(np.ones(3), size=(*shape, K, 1)),
        "rate": rng.gamma(4.0, 0.5, size=(*shape, K, 1)),
        "size": np.repeat(rng.gamma(4.0, 0.5, size=(*shape, 1, 1)), K, axis=2),
    }
    if covariance == "full":
        noise = rng.normal(size=(*shape, K, D, 6))
        values["covariance"] = noise @ noise.swapaxes(-1, -2) / 6
    else:
        values["variance"] = rng.gamma(5.0, 0.2, size=(*shape, K, D))
    if df is not None:
        values["df"] = np.full((*shape, K), df)
    return posterior_of(values)


def clients(count: int) -> Attributes:
    """Rows with holes; the second has no number at all, the third nothing but its exposure."""
    rng = np.random.default_rng(6)
    columns = {name: np.round(2.0 * rng.normal(size=count), 2) for name in "abc"}
    columns |= {"yes": rng.integers(2, size=count).astype(float)}
    columns |= {"visits": rng.poisson(2.0, count).astype(float)}
    for values in columns.values():
        values[rng.random(count) < 0.2] = np.nan
    columns["weeks"] = rng.uniform(1.0, 3.0, count)
    for name, levels in (("kind", "uvw"), ("town", "xyz")):
        columns[name] = rng.choice([*levels, None], count)
    for row, names in ((1, "abc"), (2, ("a", "b", "c", "yes", "visits"))):
        for name in names:
            columns[name][row] = np.nan
    columns["kind"][2] = None
    ids = np.array([f"{i:05d}" for i in range(count)], dtype=object)
    return Attributes(ids, columns)


def oracle(posterior: Posterior, data: Attributes) -> pd.DataFrame:
    """Each column by its definition, one row, draw and segment after the other."""
    draws = posterior.parts["segments"].values
    theta = {name: values.reshape(-1, *values.shape[2:]) for name, values in draws.items()}
    S, rows = len(theta["weights"]), []
    for i in range(len(data)):
        row = {name: values[i] for name, values in data.columns.items()}
        x = np.array([row[name] for name in "abc"], dtype=float)
        seen = ~np.isnan(x)
        member, out = np.empty((S, K)), np.zeros((S, K))
        for s in range(S):
            for k in range(K):
                t = {name: values[s, k] for name, values in theta.items()}
                log_p, out[s, k] = one(t, x[seen], seen, row)
                member[s, k] = np.log(t["weights"]) + log_p
        member = np.exp(member - member.max(1, keepdims=True))
        member /= member.sum(1, keepdims=True)
        mean = member.mean(0)
        order = np.argsort(-mean, kind="stable")
        missing = [name for name in (*"abc", "yes", "visits") if np.isnan(row[name])]
        each = special.entr(member).sum(1).mean()
        rows.append(
            {
                "segment": f"S{order[0] + 1}",
                "segment_probability": mean[order[0]],
                "segment_probability_lo": np.quantile(member[:, order[0]], 0.05),
                "segment_probability_hi": np.quantile(member[:, order[0]], 0.95),
                "runner_up": f"S{order[1] + 1}",
                "runner_up_probability": mean[order[1]],
                "p_top_stable": (member.argmax(1) == order[0]).mean(),
                "entropy": stats.entropy(mean),
                "entropy_param": stats.entropy(mean) - each,
                "outlier_p": (member * out).sum(1).mean() if seen.any() else np.nan,
                "n_missing": len(missing) + (row["kind"] is None),
            }
        )
    return pd.DataFrame(rows)


def one(t, x, seen, row) -> tuple[float, float]:
    """Log density of a row in one segment, and how much of the segment lies farther out."""
    log_p, tail = 0.0, np.nan
    if seen.any():
        spread = t["covariance"] if "covariance" in t else np.diag(t["variance"])
        centre, spread = t["mean"][seen], spread[np.ix_(seen, seen)]
        square, width = (x - centre) @ np.linalg.solve(spread, x - centre), len(x)
        if "df" in t:
            log_p += stats.multivariate_t.logpdf(x, centre, spread, df=t["df"])
            tail = special.fdtrc(width, t["df"], square / width)
        else:
            log_p += stats.multivariate_normal.logpdf(x, centre, spread)
            tail = special.chdtrc(width, square)
    if not np.isnan(row["yes"]):
        log_p += np.log(t["binary"][0] if row["yes"] else 1 - t["binary"][0])
    if row["kind"] is not None:
        log_p += np.log(t["category"][0, "uvw".index(row["kind"])])
    if not np.isnan(row["visits"]):
        r, mean = t["size"][0], t["rate"][0] * row["weeks"] / 2.0
        log_p += stats.nbinom.logpmf(row["visits"], r, r / (r + mean))
    return log_p, tail


@pytest.mark.parametrize("df", [None, 5.0])
@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_every_membership_column_is_its_definition(covariance, df):
    posterior, data = mixed(covariance, df), clients(12)
    expected, actual = oracle(posterior, data), score(posterior, data).table
    for name, values in expected.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(actual[name], values, atol=1e-9, err_msg=name)
        else:
            assert actual[name].tolist() == values.tolist(), name


@pytest.fixture(scope="module")
def many():
    """1,200 rows, more than are in memory at a time, with their scores."""
    posterior, data = mixed("full", None), clients(1200)
    return posterior, data, score(posterior, data)


def same_bits(expected, actual):
    pd.testing.assert_frame_equal(
        expected.drop(columns="scored_at").reset_index(drop=True),
        actual.drop(columns="scored_at").reset_index(drop=True),
        check_exact=True,
    )


def test_rows_alone_in_part_or_shuffled_get_the_bits_they_got_in_the_whole(many):
    posterior, data, whole = many
    for place in ([700], [3, 800, 1199], range(50, 1150)):
        some = np.array(place)
        same_bits(whole.table.iloc[some], score(posterior, data.take(some)).table)
    shuffled = data.take(np.random.default_rng(7).permutation(1200))
    same_bits(whole.table, score(posterior, shuffled).table)


def test_threads_change_not_a_bit_of_memberships_or_profiles(many):
    posterior, data, _ = many
    first, second = (score(posterior, data, threads=n) for n in (1, 3))
    same_bits(first.table, second.table)
    assert first.document["segments"] == second.document["segments"]
    assert first.document["effects"] == second.document["effects"]


def test_entropy_is_ambiguity_plus_what_the_parameters_leave_open(many):
    table = many[2].table
    assert (table["entropy_param"] >= 0).all()
    assert (table["entropy_param"] <= table["entropy"]).all()
    assert (table["entropy"] <= np.log(K) + 1e-12).all()


def test_every_new_column_says_its_unit_and_what_it_means(many):
    document = many[2].document
    assert not [name for name in many[2].table if not meaning_of(name)]
    for name in COLUMNS:
        assert document["units"][name] == unit_of(name) != ""
        assert document["columns"][name] == meaning_of(name)
    assert meaning_of("p_churn_lo") == "low end of the 90 % interval of p_churn"


def test_segments_are_profiled_by_text_level_by_level(many):
    posterior, data, found = many
    found = found.document
    assert found["effects"]["town"]["role"] == "descriptor"
    assert found["effects"]["town"]["measure"] == "Cramér's V"
    assert found["effects"]["a"]["role"] == "base"
    theta = {
        name: values.reshape(-1, *values.shape[2:])
        for name, values in posterior.parts["segments"].values.items()
    }
    matrix = np.column_stack(
        [data.columns[name] for name in ("a", "b", "c", "yes")]
        + [[{"u": 0.0, "v": 1.0, "w": 2.0}.get(kind, np.nan) for kind in data.columns["kind"]]]
        + [data.columns["visits"], data.columns["weeks"] / 2.0]
    )
    member = gmm.responsibilities(theta, matrix)
    town = data.columns["town"]
    for k, segment in enumerate(found["segments"]):
        assert sum(one["mean"] for one in segment["levels"]["town"].values()) == pytest.approx(1.0)
        share = member[town == "y", :, k].sum(0) / member[town != None, :, k].sum(0)  # noqa: E711
        actual = segment["levels"]["town"]["y"]
        assert actual["mean"] == pytest.approx(share.mean())
        assert actual["lo"] < np.quantile(share, 0.05)  # so many customers are a sample, too
        assert segment["known"] == {
            name: pytest.approx(
                np.mean(member[~np.isnan(data.columns[name]), :, k].sum(0) / member[:, :, k].sum(0))
            )
            for name in segment["profile"]
        }


def everybody(count):
    """Customers of skewed numbers in one merged segment, and what is said of it."""
    values = np.random.default_rng(11).lognormal(0.0, 1.0, (count, 2))
    posterior = simple(np.zeros((2, 2)), np.stack([np.eye(2)] * 2), (0.5, 0.5))
    whole = mapped(posterior, parse('schema = 1\n[[merge]]\nof = ["S1", "S2"]\n'))
    ids = np.array([f"{i:05d}" for i in range(count)], dtype=object)
    data = Attributes(ids, {f"x{d}": values[:, d].copy() for d in range(2)})
    return values[:, 0], score(whole, data).document["segments"][0]


def test_the_mean_of_everybody_is_exact_and_known_as_a_sample_mean_is():
    values, one = everybody(600)
    assert one["customers"]["lo"] == pytest.approx(one["customers"]["hi"])
    assert one["profile"]["x0"]["mean"] == pytest.approx(values.mean())
    half = 1.645 * values.std() / np.sqrt(len(values))
    assert one["profile"]["x0"]["lo"] == pytest.approx(values.mean() - half, abs=0.25 * half)
    assert one["profile"]["x0"]["hi"] == pytest.approx(values.mean() + half, abs=0.25 * half)


def test_the_median_of_everybody_is_known_as_a_sample_median_is():
    values, one = everybody(600)
    assert one["medians"]["x0"]["mean"] == pytest.approx(np.median(values))
    low, high = np.sort(values)[stats.binom.ppf([0.05, 0.95], 600, 0.5).astype(int)]
    width = high - low
    assert one["medians"]["x0"]["lo"] == pytest.approx(low, abs=0.3 * width)
    assert one["medians"]["x0"]["hi"] == pytest.approx(high, abs=0.3 * width)


def test_what_no_customer_of_a_file_has_is_null_without_a_warning():
    posterior, data = mixed("diag", None), clients(3).take(np.array([1]))
    data.columns["kind"][0] = None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        document = score(posterior, data).document
    nothing = {"mean": None, "lo": None, "hi": None}
    assert [segment["profile"]["a"] for segment in document["segments"]] == [nothing] * K
    assert [segment["levels"]["kind"]["u"] for segment in document["segments"]] == [nothing] * K
    assert document["effects"]["a"] == {"measure": "eta squared", "role": "base"} | nothing


def test_a_column_that_the_file_lacks_is_integrated_out_counted_and_said():
    posterior, data = mixed("diag", None), clients(8)
    lacking = {n: v for n, v in data.columns.items() if n not in ("a", "kind", "town")}
    empty = data.columns | {
        "a": np.full(8, np.nan),
        "kind": np.full(8, None),
        "town": np.full(8, None),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = score(posterior, replace(data, columns=lacking))
    expected = score(posterior, replace(data, columns=empty)).table
    drop = {"columns": "scored_at"}
    pd.testing.assert_frame_equal(found.table.drop(**drop), expected.drop(**drop))
    assert found.table["n_missing"].min() >= 2
    features, profiled = found.document["notes"][:2]
    assert features.startswith("the data have no value of 'a', 'kind', which counts as missing")
    assert profiled == "the data have no value of 'town', by which segments are not profiled"


def test_a_model_that_refuses_missing_values_refuses_a_missing_column():
    part = replace(
        SPEC.parts["segments"], options=SPEC.parts["segments"].options | {"missing": "reject"}
    )
    strict = replace(mixed("diag", None), spec=replace(SPEC, parts={"segments": part}))
    data = clients(8)
    lacking = {n: v for n, v in data.columns.items() if n != "a"}
    with pytest.raises(InputRejected, match="no value of 'a', and the model refuses"):
        score(strict, replace(data, columns=lacking))


# ---------------------------------------------------------------- on data from the model


def simple(mean, spread, weights=(1.0,)) -> tuple[Posterior, FeatureState]:
    """Number columns alone, parameters known: every draw the same."""
    K, width = mean.shape
    names = [f"x{d}" for d in range(width)]
    state = FeatureState(tuple(Feature(n, "number", "identity", 0.0, 1.0) for n in names))
    spec = replace(SPEC, features=tuple(FeatureSpec(name) for name in names))
    draws = {"weights": np.array(weights), "mean": mean, "covariance": spread}
    values = {name: np.broadcast_to(v, (4, 25, *v.shape)).copy() for name, v in draws.items()}
    return posterior_of(values, state, spec, K)


def table_of(posterior, rows) -> pd.DataFrame:
    ids = np.array([f"{i:05d}" for i in range(len(rows))], dtype=object)
    columns = {f"x{d}": rows[:, d].copy() for d in range(rows.shape[1])}
    return score(posterior, Attributes(ids, columns)).table


@pytest.mark.parametrize("width", [1, 2, 5])
def test_outlier_p_is_uniform_on_data_from_one_gaussian(width):
    rng = np.random.default_rng(width)
    root = rng.normal(size=(width, width))
    spread = root @ root.T + np.eye(width)
    rows = rng.multivariate_normal(np.arange(width), spread, size=4000)
    rows[1000:2000, 0] = np.nan if width > 1 else rows[1000:2000, 0]
    table = table_of(simple(np.arange(width, dtype=float)[None], spread[None]), rows)
    assert stats.kstest(table["outlier_p"], "uniform").pvalue > 0.01


def test_more_outliers_than_chance_makes_are_said_and_fewer_are_not():
    posterior = simple(np.zeros((1, 2)), np.eye(2)[None])
    rows = np.random.default_rng(9).normal(size=(500, 2))
    ids = np.array([f"{i:05d}" for i in range(500)], dtype=object)

    def notes(rows):
        columns = {f"x{d}": rows[:, d].copy() for d in range(2)}
        return score(posterior, Attributes(ids, columns)).document["notes"]

    far = int((stats.chi2.sf((rows[12:] ** 2).sum(1), 2) < 0.001).sum())
    assert notes(rows) == []
    rows[:12] += 9.0
    (note,) = notes(rows)
    assert note.startswith(
        f"{12 + far} customers of 500 are like no segment (outlier_p below 0.001,"
    )


def test_one_segment_has_no_runner_up_and_no_doubt():
    table = table_of(simple(np.zeros((1, 2)), np.eye(2)[None]), np.zeros((3, 2)))
    assert table["runner_up"].isna().all()
    assert table["runner_up_probability"].isna().all()
    assert (table[["entropy", "entropy_param"]] == 0.0).all(axis=None)
    assert (table["p_top_stable"] == 1.0).all()


def test_a_planted_outlier_is_like_no_segment_whatever_its_membership_says():
    mean = np.array([[-3.0, 0.0], [3.0, 0.0]])
    posterior = simple(mean, np.tile(np.eye(2), (2, 1, 1)), (0.5, 0.5))
    table = table_of(posterior, np.array([[-3.0, 0.0], [3.2, 0.5], [9.0, 9.0], [0.0, 0.0]]))
    assert (table["outlier_p"] < 1e-8).tolist() == [False, False, True, False]
    assert table["segment_probability"][2] == pytest.approx(1.0)
    assert table["outlier_p"][0] == pytest.approx(1.0)


def test_the_certain_stay_and_those_between_two_are_ambiguous_not_unknown():
    mean = np.array([[-3.0, 0.0], [3.0, 0.0]])
    posterior = simple(mean, np.tile(np.eye(2), (2, 1, 1)), (0.5, 0.5))
    table = table_of(posterior, np.array([[-3.0, 0.0], [0.0, 0.0]]))
    assert table["p_top_stable"].tolist() == [1.0, 1.0]
    np.testing.assert_allclose(table["entropy"], [0.0, np.log(2)], atol=1e-6)
    np.testing.assert_allclose(table["entropy_param"], 0.0, atol=1e-12)


def test_the_vectorised_exponential_is_good_to_an_ulp():
    x = np.append(np.random.default_rng(1).uniform(-700.0, 700.0, 5000), [0.0, -1e-300, 1.0])
    np.testing.assert_allclose([exp(one) for one in x], np.exp(x), rtol=2.3e-16)
    assert np.isnan(exp(np.nan))


@pytest.mark.parametrize("df", [np.inf, 1.0, 3.0, 5.0, 30.0, 2.5, 250.0])
def test_the_tail_of_a_squared_distance_is_scipys(df):
    for width, square in [(w, q) for w in range(1, 10) for q in (0.0, 0.3, 1.0, 4.0, 30.0, 2e3)]:
        exact = stats.chi2.sf(square, width)
        if np.isfinite(df):
            exact = stats.f.sf(square / width, width, df)
        assert beyond(square, width, df) == pytest.approx(exact, abs=1e-13)


def test_a_split_that_divides_nobody_is_said():
    data = report_case.clients()
    posterior = report_case.posterior(data, "segments")
    own = parse('schema = 1\n[[split]]\nof = "S1"\ncolumn = "age"\nabove = 1e6')
    notes = score(mapped(posterior, own), data).document["notes"]
    assert [note for note in notes if "no customer" in note] == [
        "no customer is in S1a (hibernating, age above 1e+06): look at the rule that splits it off"
    ]
    assert not any("no customer" in note for note in score(posterior, data).document["notes"])
