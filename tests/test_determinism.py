"""The same data, model and seed give the same bytes, whatever surrounds the process."""

import json
import os
import subprocess
import sys
import time

import pytest
from fault_case import EPOCH

from bayesseg.posterior import unfinished

MODEL = """\
schema      = 1
name        = "tiny"
description = "purchases by importance, segments by Gibbs"
references  = ["nobody"]
time_unit   = "week"

[purchase]
family = "mbgnbd"
engine = "laplace"

[purchase.priors]
r     = { dist = "LogNormal", median = 0.7, sigma = 1.0 }
rate  = { dist = "LogNormal", median = 1.0, sigma = 1.5, unit = "per_mean_window" }
phi   = { dist = "Beta", alpha = 1.0, beta = 1.0 }
kappa = { dist = "LogNormal", median = 3.0, sigma = 1.0 }

[segments]
family     = "gmm"
engine     = "gibbs"
components = 2
covariance = "diag"
tails      = "normal"
missing    = "model"

[segments.priors]
weights    = { dist = "Dirichlet", concentration = 4.0 }
mean       = { dist = "Normal", mean = 0.0, sd = 1.0 }
covariance = { dist = "InverseWishart", extra_df = 2.0, scale = "auto" }

[[features]]
column    = "days_since_last"
transform = "log1p"

[[features]]
column    = "mean_spend"
transform = "log"

[inference]
chains = 4
draws  = 100
tune   = 100
"""
PLAIN = {"NUMBA_NUM_THREADS": "2", "PYTHONHASHSEED": "0", "TZ": "UTC", "LC_ALL": "C"}
OTHER = {"NUMBA_NUM_THREADS": "1", "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
FAR = {
    "NUMBA_NUM_THREADS": "4",
    "PYTHONHASHSEED": "99",
    "TZ": "America/St_Johns",
    "LC_ALL": "tr_TR.UTF-8",
    "OPENBLAS_NUM_THREADS": "2",
}


def bayesseg(folder, *words, **surroundings):
    done = subprocess.run(
        [sys.executable, "-m", "bayesseg", *words],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | EPOCH | PLAIN | surroundings,
    )
    assert done.returncode == 0, done.stderr
    return done


def fitted(folder, orders, name, **surroundings):
    """Bytes of a run and of its scores, as Parquet."""
    bayesseg(folder, "fit", orders, "--model", "./tiny.toml", "-o", name, **surroundings)
    scores = f"{name}.parquet"
    bayesseg(folder, "score", name, orders, "-o", scores, **surroundings)
    files = {path.name: path.read_bytes() for path in (folder / name).iterdir()}
    return files | {"scores": (folder / scores).read_bytes()}


@pytest.fixture(scope="module")
def case(tmp_path_factory, cdnow_orders):
    """A folder with 200 customers of CDNOW, and the run and scores of calm surroundings."""
    folder = tmp_path_factory.mktemp("case")
    some = cdnow_orders[
        cdnow_orders["customer_id"].isin(cdnow_orders["customer_id"].unique()[:200])
    ]
    some.to_csv(folder / "orders.csv", index=False)
    some.sample(frac=1.0, random_state=1).to_csv(folder / "shuffled.csv", index=False)
    (folder / "tiny.toml").write_text(MODEL)
    return folder, fitted(folder, "orders.csv", "calm")


@pytest.mark.slow
def test_threads_hash_seed_and_time_zone_change_no_byte(case):
    folder, expected = case
    actual = fitted(folder, "orders.csv", "other", **OTHER)
    assert {name for name in expected if expected[name] != actual[name]} == set()


def test_the_order_of_rows_changes_only_what_is_said_of_the_file(case):
    """In the manifest stand the file's own hash and where odd records are in it, and nothing else.

    Twice as many threads, another hash seed, locale and time zone change nothing either.
    """
    folder, expected = case
    actual = fitted(folder, "shuffled.csv", "far", **FAR)
    differing = {name for name in expected if expected[name] != actual[name]}
    assert differing == {"manifest.json", "manifest.sha256"}
    one, other = (json.loads(files["manifest.json"]) for files in (expected, actual))
    assert one.pop("accounting") != other.pop("accounting")
    assert one == other


@pytest.mark.slow
def test_a_nuts_fit_killed_between_its_chains_ends_in_the_same_bytes(case):
    """Two of four chains are lost; the others are taken as they are."""
    folder, _ = case
    model = MODEL[: MODEL.index("[segments]")].replace("laplace", "nuts")
    model += "[inference]\nchains = 4\ndraws = 500\ntune = 500\n"
    (folder / "nuts.toml").write_text(model)
    words = ("fit", "orders.csv", "--model", "./nuts.toml")
    bayesseg(folder, *words, "-o", "whole")
    command = [sys.executable, "-m", "bayesseg", *words, "-o", "stopped"]
    pieces = unfinished(folder / "stopped")
    with subprocess.Popen(
        command, cwd=folder, env=os.environ | EPOCH | PLAIN, stderr=subprocess.PIPE, text=True
    ) as process:
        while process.poll() is None and len(list(pieces.glob("*.piece"))) < 2:
            time.sleep(0.005)
        process.terminate()
        said = process.communicate()[1]
    assert process.returncode == 143, said
    kept = {path.name: path.stat().st_mtime_ns for path in pieces.glob("*.piece")}
    assert 2 <= len(kept) <= 4
    bayesseg(folder, *words, "--resume", "stopped")
    whole = {p.name: p.read_bytes() for p in (folder / "whole").iterdir()}
    assert {p.name: p.read_bytes() for p in (folder / "stopped").iterdir()} == whole
    assert not pieces.exists()
