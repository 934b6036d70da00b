"""``compare``, ``stability`` and ``drift`` from the command line."""

import json

import pandas as pd
import pytest
from segmentation_case import clients, groups


def write(path, seed, **more):
    table = clients(groups(400, seed, **more)[0])
    pd.DataFrame({"customer_id": table.ids, **table.columns}).to_csv(path, index=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, bayesseg):
    """Two tables of clients and a run of the first."""
    at = tmp_path_factory.mktemp("segments")
    write(at / "old.csv", 1)
    write(at / "new.csv", 2, shares=(0.1, 0.1, 0.8))
    done = bayesseg("fit", "old.csv", "--model", "segments", "-o", "run", cwd=at)
    assert done.returncode == 0, done.stderr
    return at


def test_compare_prints_one_table_and_the_answer(folder, bayesseg):
    done = bayesseg(
        *("compare", "--data", "old.csv", "--model", "segments", "--components", "2:4"),
        *("--covariance", "diag", "--tails", "normal", "--refits", "10"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    assert "Stable: K = 3, diag (natural)" in done.stdout
    assert "k-means: K = 3 by silhouette" in done.stdout
    assert "What K = 3, diag loses when a feature is not known" in done.stdout


def test_compare_of_very_few_clients_finds_one_group(folder, bayesseg):
    pd.read_csv(folder / "old.csv").head(12).to_csv(folder / "few.csv", index=False)
    words = ("--model", "segments", "--components", "1:2", "--refits", "10", "--json")
    done = bayesseg("compare", "--data", "few.csv", *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["stable"].startswith("K = 1")


def test_compare_refuses_an_empty_range(folder, bayesseg):
    done = bayesseg(
        "compare", "--data", "old.csv", "--model", "segments", "--components", "5:2", cwd=folder
    )
    assert done.returncode == 2
    assert "write 2:8" in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--covariance", "full,foo"), "choices: full, tied, diag, spherical"),
        (("--tails", "foo"), "choices: normal, t"),
        (("--min-segment", "201"), "at most 200"),
    ],
)
def test_compare_refuses_what_no_candidate_can_be(folder, bayesseg, words, says):
    done = bayesseg("compare", "--data", "old.csv", "--model", "segments", *words, cwd=folder)
    assert (done.returncode, says in done.stderr) == (2, True), done.stderr


def test_what_stability_found_is_told_by_inspect_and_report(folder, bayesseg):
    def looked():
        return json.loads(bayesseg("inspect", "run", "--json", cwd=folder).stdout)["stability"]

    kept = folder / "run.stability.json"
    done = bayesseg("stability", "run", "old.csv", "--refits", "10", "--json", cwd=folder)
    found = json.loads(done.stdout)
    assert done.returncode == (4 if found["verdict"] == "untrusted" else 0)
    assert [one["id"] for one in found["segments"]] == ["S1", "S2"]
    kept_then = looked()
    assert kept_then["segments"] == found["segments"]
    assert bayesseg("score", "run", "old.csv", "-o", "x.parquet", cwd=folder).returncode == 0
    report = ("report", "run", "--scores", "x.parquet", "-o", "x.html", "--json")
    shown = bayesseg(*report, cwd=folder)
    assert json.loads(shown.stdout)["written"] == ["x.html", "x.report.json"]
    sections = json.loads((folder / "x.report.json").read_text("utf-8"))["sections"]
    assert sections["verdict"]["stability"] == kept_then
    kept.write_text(json.dumps(kept_then | {"model_id": "another"}), encoding="utf-8")
    stale = bayesseg("inspect", "run", cwd=folder)
    assert "is about another run" in stale.stderr
    assert "stability not assessed" in stale.stdout


def test_drift_exits_4_at_the_status_that_was_named(folder, bayesseg):
    words = ("drift", "run", "new.csv", "--before", "old.csv", "--json")
    page = ("--fail-on", "refit", "-o", "drift.html")
    calm, strict = (bayesseg(*words, *more, cwd=folder) for more in ((), page))
    assert (calm.returncode, strict.returncode) == (0, 4)
    assert json.loads(strict.stdout)["status"] == "refit"
    assert json.loads(strict.stdout)["written"] == ["drift.html", "drift.json"]
    assert json.loads((folder / "drift.json").read_text("utf-8"))["status"] == "refit"
    assert "Refit: the customers" in (folder / "drift.html").read_text("utf-8")


def test_a_page_that_is_there_is_kept(folder, bayesseg):
    (folder / "mine.html").write_text("mine", encoding="utf-8")
    done = bayesseg("stability", "run", "old.csv", "-o", "mine.html", cwd=folder)
    assert done.returncode == 2
    assert (folder / "mine.html").read_text("utf-8") == "mine"


def test_drift_of_clients_needs_the_table_before(folder, bayesseg):
    done = bayesseg("drift", "run", "new.csv", cwd=folder)
    assert done.returncode == 2
    assert "--before" in done.stderr


def test_drift_refuses_an_unknown_status(folder, bayesseg):
    done = bayesseg("drift", "run", "new.csv", "--fail-on", "panic", cwd=folder)
    assert done.returncode == 2
