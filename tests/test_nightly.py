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
TABLE = "crm.scores"

pytestmark = pytest.mark.skipif(shutil.which("sh") is None, reason="no POSIX shell")


@pytest.fixture(scope="module")
def nights(postgres, cdnow_orders, tmp_path_factory):
    """Three nights: 30 June, 30 June once more, and 1 July, a day without purchases."""
    folder = tmp_path_factory.mktemp("nights")
    cdnow_orders.to_csv(folder / "orders.csv", index=False)
    own = {
        "DATA": "orders.csv",
        "MODEL": "bgnbd",
        "FIT_FLAGS": "--engine laplace",
        "TABLE": TABLE,
        "BAYESSEG_DSN": postgres,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PAUSE": "0",
    }
    found = []
    with server(postgres) as ask:
        for day in ("1998-06-30", "1998-06-30", "1998-07-01"):
            done = subprocess.run(
                ["sh", SCRIPT],
                cwd=folder,
                env={**os.environ, **own, "DAY": day},
                capture_output=True,
                text=True,
            )
            rows = ask(f"SELECT customer_id, xmin::text FROM {TABLE}")
            found.append(
                (done, dict(rows), sorted(p.name for p in (folder / "runs").glob("????-W??")))
            )
        runs = ask(
            "SELECT as_of::text, inserted, updated, unchanged, gone FROM crm.bayesseg_runs "
            "ORDER BY run_seq"
        )
    return found, runs


def test_every_night_ends_well(nights):
    found, _ = nights
    assert [done.returncode for done, *_ in found] == [0, 0, 0], found[-1][0].stderr


def test_the_fit_of_a_week_serves_its_nights(nights):
    found, _ = nights
    assert [runs for *_, runs in found] == [["1998-W27"]] * 3


def test_the_same_night_again_changes_no_row(nights):
    (_, first, _), (_, again, _), _ = nights[0]
    assert again == first
    assert len(first) == 2357


def test_a_quiet_night_rewrites_less_than_a_tenth(nights):
    _, (_, before, _), (_, after, _) = nights[0]
    rewritten = sum(before[key] != version for key, version in after.items())
    assert rewritten < 0.1 * len(before)
    assert nights[1] == [
        ("1998-06-30", 2357, 0, 0, 0),
        ("1998-07-01", 0, rewritten, 2357 - rewritten, 0),
    ]


def test_no_night_shows_the_password(nights, postgres):
    secret = postgres.split(":")[2].partition("@")[0]
    assert not any(secret in done.stdout + done.stderr for done, *_ in nights[0])
