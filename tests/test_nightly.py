"""The night of a CRM team, by its own shell script, into a real PostgreSQL server."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from push_case import server

pytest.importorskip("adbc_driver_postgresql.dbapi")

SCRIPT = Path(__file__).parents[1] / "examples/automation/nightly.sh"

pytestmark = pytest.mark.skipif(shutil.which("sh") is None, reason="no POSIX shell")


def spent(days, postgres, orders, folder, table, fit, score=""):
    """Nights in ``folder``: of each its end, its rows and the runs there; then what the ledger says."""
    orders.to_csv(folder / "orders.csv", index=False)
    own = {
        "DATA": "orders.csv",
        "MODEL": "bgnbd",
        "FIT_FLAGS": fit,
        "SCORE_FLAGS": score,
        "TABLE": table,
        "BAYESSEG_DSN": postgres,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PAUSE": "0",
    }
    found = []
    with server(postgres) as ask:
        for day in days:
            done = subprocess.run(
                ["sh", SCRIPT],
                cwd=folder,
                env={**os.environ, **own, "DAY": day},
                capture_output=True,
                text=True,
            )
            rows = ask(f"SELECT customer_id, xmin::text FROM {table}")
            found.append(
                (done, dict(rows), sorted(p.name for p in (folder / "runs").glob("????-W??")))
            )
        runs = ask(
            "SELECT as_of::text, inserted, updated, unchanged, gone "
            f"FROM {table.partition('.')[0]}.bayesseg_runs ORDER BY run_seq"
        )
    return found, runs


@pytest.fixture(scope="module")
def nights(postgres, cdnow_orders, tmp_path_factory):
    """30 June, and 30 June once more, for a quarter of the customers."""
    ids = cdnow_orders["customer_id"]
    some = cdnow_orders[ids.isin(ids.unique()[::4])]
    folder = tmp_path_factory.mktemp("nights")
    flags = ("--engine map", "--no-predictive")
    return spent(["1998-06-30"] * 2, postgres, some, folder, "night.scores", *flags)


def test_every_night_ends_well(nights):
    found, _ = nights
    assert [done.returncode for done, *_ in found] == [0, 0], found[-1][0].stderr


def test_the_fit_of_a_week_serves_its_nights(nights):
    found, _ = nights
    assert [runs for *_, runs in found] == [["1998-W27"]] * 2


def test_the_same_night_again_changes_no_row(nights):
    ((_, first, _), (_, again, _)), runs = nights
    assert again == first
    assert len(first) == 590
    assert runs == [("1998-06-30", 590, 0, 0, 0)]


@pytest.mark.slow
def test_a_quiet_night_rewrites_less_than_a_tenth(postgres, cdnow_orders, tmp_path):
    days, table = ("1998-06-30", "1998-07-01"), "quiet.scores"
    found, ledger = spent(days, postgres, cdnow_orders, tmp_path, table, "--engine laplace")
    (_, before, _), (done, after, runs) = found
    assert (done.returncode, runs, len(before)) == (0, ["1998-W27"], 2357)
    rewritten = sum(before[key] != version for key, version in after.items())
    assert rewritten < 0.1 * len(before)
    assert ledger == [
        ("1998-06-30", 2357, 0, 0, 0),
        ("1998-07-01", 0, rewritten, 2357 - rewritten, 0),
    ]


def test_no_night_shows_the_password(nights, postgres):
    secret = postgres.split(":")[2].partition("@")[0]
    assert not any(secret in done.stdout + done.stderr for done, *_ in nights[0])
