"""A model file with every kind of segment column, from text to scores."""

import numpy as np
import pytest

from bayesseg.customers import Attributes
from bayesseg.errors import UsageError
from bayesseg.fitting import fit
from bayesseg.inference.modes import rand_index
from bayesseg.posterior import load, save
from bayesseg.scoring import score
from bayesseg.spec import parse_spec

MODEL = """
schema      = 1
name        = "every kind"
description = "numbers with heavy tails, yes or no, a category, a count with exposure"
time_unit   = "week"

[segments]
family     = "gmm"
engine     = "gibbs"
components = 2
covariance = "full"
tails      = "t"
df         = "learn"
missing    = "model"

[segments.priors]
weights    = { dist = "Dirichlet", concentration = 4.0 }
mean       = { dist = "Normal", mean = 0.0, sd = 1.0 }
covariance = { dist = "InverseWishart", extra_df = 2.0, scale = "auto" }
binary     = { dist = "Beta", alpha = 1.0, beta = 1.0 }
category   = { dist = "Dirichlet", concentration = 1.0 }
rate       = { dist = "Exponential", scale = 3.0 }
size       = { dist = "LogNormal", median = 1.0, sigma = 1.0 }

[[features]]
column    = "spend"
transform = "box-cox"
scale     = "robust"
group     = "value"

[[features]]
column = "age"

[[features]]
column = "member"
type   = "binary"

[[features]]
column = "town"
type   = "category"

[[features]]
column   = "visits"
type     = "count"
exposure = "months"

[inference]
chains = 4
draws  = 250
tune   = 100
"""


@pytest.fixture(scope="module")
def clients() -> tuple[Attributes, np.ndarray]:
    rng = np.random.default_rng(8)
    n = 400
    z = (rng.random(n) < 0.4).astype(int)
    months = rng.uniform(1.0, 24.0, n)
    columns = {
        "spend": np.exp(3.0 + 1.0 * z + 0.4 * rng.standard_t(4, n)),
        "age": 40.0 + 8.0 * z + 6.0 * rng.standard_t(4, n),
        "member": (rng.random(n) < np.where(z, 0.9, 0.2)).astype(float),
        "visits": rng.poisson(months * np.where(z, 1.5, 0.4) * rng.gamma(2.0, 0.5, n)).astype(
            float
        ),
        "months": months,
    }
    for name in ("spend", "age", "member", "visits"):
        columns[name] = np.where(rng.random(n) < 0.1, np.nan, columns[name])
    town = np.array(["Lyon", "Nice", "Brest"], dtype=object)[rng.integers(3, size=n) * (1 - z)]
    town[rng.random(n) < 0.1] = None
    ids = np.array([f"c{i:03d}" for i in range(n)], dtype=object)
    return Attributes(ids, columns | {"town": town}), z


def test_every_kind_of_column_is_fitted_judged_stored_and_scored(clients, tmp_path):
    data, z = clients
    run = fit(data, parse_spec(MODEL), seed=3)
    assert run.manifest["verdict"] != "failed", [
        gate for gate in run.manifest["gates"] if not gate["passed"]
    ]
    save(run, tmp_path / "run")
    again = load(tmp_path / "run")
    assert again.features == run.features
    table = score(again, data).table
    found = table["segment"].to_numpy() == "S2"
    assert rand_index(found.astype(np.int64), z) > 0.7
    assert (table["segment_probability_lo"] <= table["segment_probability"] + 1e-9).all()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('df         = "learn"', "df = -1.0", "segments.df must be a positive number"),
        ('df         = "learn"', "", "segments.df is missing"),
        ('tails      = "t"', 'tails = "normal"', "segments.df is for Student-t segments"),
        ('tails      = "t"', 'tails = "fat"', "segments.tails is 'fat'"),
        ('"full"', '"round"', "segments.covariance is 'round'"),
        ("category   = {", "# category = {", "priors.category is missing: a feature is of type"),
        ("size       = {", "# size = {", "priors.size is missing: a feature is of type count"),
        ('type   = "category"', 'exposure = "months"', "exposure is for counts only"),
        ('"box-cox"', '"cube"', "transform is 'cube'"),
    ],
)
def test_a_model_file_that_makes_no_sense_is_refused_by_key(old, new, said):
    assert old in MODEL
    with pytest.raises(UsageError, match=said):
        parse_spec(MODEL.replace(old, new))
