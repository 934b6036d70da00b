"""From a log to lists through the command line, on the real default model."""

import hashlib
import json
import shlex
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from bayesseg.cli import app, scorefile
from bayesseg.cli.scorefile import read_scores
from bayesseg.errors import ArtefactBad

RUN, SCORES, ORDERS = "demo/run", "demo/scores.parquet", "demo/orders.csv"


@pytest.fixture
def cli(demo, monkeypatch):
    """Call a verb inside the demo's folder, in this process."""
    monkeypatch.chdir(demo.folder)
    return lambda *words, **options: CliRunner().invoke(app, list(map(str, words)), **options)


def commands(demo):
    return [line.removeprefix("$ ") for line in demo.stderr.splitlines() if line.startswith("$ ")]


def test_every_score_column_says_in_the_file_what_it_means(demo):
    said = {field.name: field.metadata for field in pq.read_schema(demo.folder / SCORES)}
    document = json.loads((demo.folder / "demo/scores.json").read_text())
    assert {name for name, fields in said.items() if not fields[b"description"]} == set()
    assert document["columns"] == {n: f[b"description"].decode() for n, f in said.items()}
    assert said["outlier_p"][b"unit"] == b"probability"


def test_the_demo_writes_everything_it_names(demo):
    written = demo.stdout.split("Written\n")[1].split()
    assert written == [
        "demo/run",
        "demo/scores.parquet",
        "demo/scores.json",
        "demo/report.html",
        "demo/report.json",
        "demo/save.csv",
        "demo/save.json",
        "demo/win-back.csv",
        "demo/win-back.json",
    ]
    assert all((demo.folder / name).exists() for name in written)


def test_the_demo_is_computed_correctly_and_says_its_cautions(demo):
    manifest = json.loads((demo.folder / RUN / "manifest.json").read_text())
    computed = {part: verdict["computation"] for part, verdict in manifest["verdicts"].items()}
    assert computed == dict.fromkeys(("purchase", "spend", "segments"), "passed")
    for part, verdict in manifest["verdicts"].items():
        assert f"{part:9} computed correctly" in demo.stdout
        assert all(reason.removeprefix(f"{part}: ") in demo.stdout for reason in verdict["reasons"])


def test_the_demo_shows_every_segment_with_intervals_and_ten_customers(demo):
    document = json.loads((demo.folder / "demo/scores.json").read_text())
    assert len(document["segments"]) > 1
    for segment in document["segments"]:
        line = next(x for x in demo.stdout.splitlines() if x.startswith(f"{segment['id']} "))
        assert line.count("(") - segment["name"].count("(") == 5
    scores = read_scores(demo.folder / SCORES)
    first = scores.sort_values("priority_rank")["customer_id"].head(10)
    assert all(f" {one} " in demo.stdout.split("Most value at risk")[1] for one in first)


def test_the_printed_commands_do_the_same_alone(demo, cli):
    """Each line after ``$``, but the fit, is run again elsewhere and writes the same numbers."""
    for line in commands(demo):
        program, verb, *words = shlex.split(line)
        assert program == "bayesseg"
        if verb == "fit":
            assert words == [ORDERS, "-o", RUN]
            continue
        if "-o" in words:
            words[words.index("-o") + 1] = words[words.index("-o") + 1].replace("demo/", "again/")
        assert cli(verb, *words).exit_code == 0
    drop = ["scored_at"]
    pd.testing.assert_frame_equal(
        read_scores(demo.folder / SCORES).drop(columns=drop),
        read_scores(demo.folder / "again/scores.parquet").drop(columns=drop),
    )
    for name in ("save.csv", "win-back.csv"):
        assert (demo.folder / "again" / name).read_bytes() == (
            demo.folder / "demo" / name
        ).read_bytes()


def test_existing_output_is_refused_without_force(demo, cli):
    for words in (
        ("demo",),
        ("run", ORDERS, "-o", "demo"),
        ("fit", ORDERS, "-o", RUN),
        ("score", RUN, ORDERS, "-o", SCORES),
        ("report", RUN, "--scores", SCORES, "-o", "demo/report.html"),
        ("prioritise", SCORES, "-o", "demo/save.csv"),
    ):
        result = cli(*words)
        assert result.exit_code == 2
        assert "--force" in result.stderr


def test_scores_of_a_french_file_are_those_of_the_iso_one(demo, cli, tmp_path):
    lines = []
    for line in (demo.folder / ORDERS).read_text().splitlines()[1:]:
        one, day, money = line.split(",")
        year, month, number = day.split("-")
        lines.append(f"{one};{number}/{month}/{year};{money.replace('.', ',')};Besançon")
    path = tmp_path / "commandes.csv"
    path.write_text("\n".join(["client;date;montant;ville", *lines, ""]), encoding="cp1252")
    out = tmp_path / "scores.parquet"
    assert cli("score", RUN, path, "-o", out).exit_code == 0
    pd.testing.assert_frame_equal(
        read_scores(out).drop(columns="scored_at"),
        read_scores(demo.folder / SCORES).drop(columns="scored_at"),
    )


def test_a_subset_in_other_order_and_chunks_scores_the_same(demo, cli, tmp_path):
    """Ids, order, neighbours and chunks do not matter, but for the columns about the file."""
    orders = pd.read_csv(demo.folder / ORDERS, dtype=str)
    some = orders["customer_id"].drop_duplicates().iloc[::7]
    part = orders[orders["customer_id"].isin(some)].iloc[::-1]
    part.to_csv(tmp_path / "part.csv", index=False)
    out = tmp_path / "part.parquet"
    words = ("score", RUN, tmp_path / "part.csv", "-o", out, "--chunk", 37, "--as-of", "1998-06-30")
    assert cli(*words).exit_code == 0
    file = ["priority_rank", "p_top_decile", "scored_at"]
    whole = read_scores(demo.folder / SCORES).set_index("customer_id").drop(columns=file)
    found = read_scores(out).set_index("customer_id").drop(columns=file)
    numbers = found.select_dtypes("number").columns
    np.testing.assert_allclose(
        found[numbers].to_numpy(float), whole.loc[found.index, numbers].to_numpy(float), rtol=1e-12
    )
    assert found["segment"].tolist() == whole.loc[found.index, "segment"].tolist()


def test_scores_go_to_stdout_as_csv(demo, bayesseg):
    done = bayesseg("score", RUN, ORDERS, "-o", "-", "--no-predictive", cwd=demo.folder)
    assert done.returncode == 0
    assert done.stdout.count("\n") == 2358
    assert done.stdout.startswith("customer_id,frequency,recency,T,monetary_value,")
    assert "revenue (margin 1)" in done.stderr


def test_settings_change_what_they_say(demo, cli, tmp_path):
    out = tmp_path / "s.parquet"
    words = ("--horizon", "52w", "--margin", "0.25", "--annual-discount", "0", "--json")
    result = cli("score", RUN, ORDERS, "-o", out, *words)
    settings = json.loads(result.stdout)["settings"]
    assert settings["horizon_days"] == 364
    assert settings["margin"] == 0.25
    before, after = read_scores(demo.folder / SCORES), read_scores(out)
    assert (after["expected_purchases"] > before["expected_purchases"]).mean() > 0.99
    assert (after["clv"] < 0.5 * before["clv"]).mean() > 0.99


def test_inspect_gives_manifest_priors_posterior_and_gates(cli):
    found = json.loads(cli("inspect", RUN, "--json").stdout)
    assert found["manifest"]["name"] == "retail"
    assert set(found["priors"]["purchase"]) == {"r", "rate", "phi", "kappa"}
    rows = {(row["part"], row["name"]): row for row in found["posterior"]}
    assert all(row["sd"] > 0 for row in rows.values())
    assert 0 < rows["purchase", "r"]["quantile"] < 1
    assert {gate["part"] for gate in found["gates"]} == {"purchase", "spend", "segments"}
    assert "computed correctly" in cli("inspect", RUN).stdout


def test_prioritise_writes_a_list_without_the_suppressed(demo, cli, tmp_path):
    listed = json.loads(cli("prioritise", SCORES, "--count", "5", "--json").stdout)["customers"]
    (tmp_path / "no.txt").write_text(listed[0]["customer_id"] + "\n")
    out = tmp_path / "list.csv"
    words = ("--count", "5", "--suppress-list", tmp_path / "no.txt", "-o", out)
    result = cli("prioritise", SCORES, *words)
    ids = pd.read_csv(out, dtype={"customer_id": str})["customer_id"].tolist()
    assert ids[:4] == [row["customer_id"] for row in listed[1:]]
    assert "unknown" in result.stderr


def test_segments_sum_to_all_customers(cli):
    found = json.loads(cli("segments", RUN, SCORES, "--json").stdout)["segments"]
    assert sum(one["customers"]["mean"] for one in found) == pytest.approx(2357)
    assert sum(one["share"]["mean"] for one in found) == pytest.approx(1)


def test_a_changed_run_is_refused_before_it_is_used(demo, cli, tmp_path):
    assert cli("verify", RUN).exit_code == 0
    broken = tmp_path / "run"
    shutil.copytree(demo.folder / RUN, broken)
    draws = broken / "posterior.npz"
    content = bytearray(draws.read_bytes())
    content[len(content) // 2] ^= 1
    draws.write_bytes(content)
    for words in (
        ("verify", broken),
        ("inspect", broken),
        ("score", broken, ORDERS, "-o", tmp_path / "s.csv"),
        ("report", broken, "--scores", SCORES, "-o", tmp_path / "r.html"),
    ):
        result = cli(*words)
        assert result.exit_code == 5
        assert "has changed" in result.stderr


@pytest.mark.parametrize("foreign", ["table", "document"])
def test_scores_of_another_run_are_refused(foreign, demo, cli, tmp_path):
    """Whichever of the two files is of the other run."""
    table = read_scores(demo.folder / SCORES)
    document = json.loads((demo.folder / "demo/scores.json").read_text())
    if foreign == "table":
        table = table.assign(model_id="f" * 64)
    else:
        document["model_id"] = "f" * 64
    scores = tmp_path / "scores.parquet"
    table.to_parquet(scores)
    document["table"] = {"sha256": hashlib.sha256(scores.read_bytes()).hexdigest()}
    (tmp_path / "scores.json").write_text(json.dumps(scorefile.sealed(document)))
    for words in (
        ("report", RUN, "--scores", scores, "-o", tmp_path / "r.html"),
        ("segments", RUN, scores),
    ):
        result = cli(*words)
        assert result.exit_code == 5
        assert "was not made with this run" in result.stderr


@pytest.mark.parametrize("change", [('"seal"', '"sea1"'), ('"clv"', '"clw"'), ("0.", "1.")])
def test_a_changed_document_of_scores_is_noticed(demo, tmp_path, change):
    scores = shutil.copy(demo.folder / SCORES, tmp_path / "scores.parquet")
    text = (demo.folder / "demo/scores.json").read_text()
    assert text.replace(*change, 1) != text
    (tmp_path / "scores.json").write_text(text.replace(*change, 1))
    with pytest.raises(ArtefactBad, match="has changed since it was written"):
        scorefile.read_document(scores)


def test_a_document_of_somebody_else_is_not_written_over(cli, tmp_path):
    (tmp_path / "keep.json").write_text("mine")
    result = cli("score", RUN, ORDERS, "-o", tmp_path / "keep.csv")
    assert result.exit_code == 2
    assert "keep.json exists already" in result.stderr
    assert (tmp_path / "keep.json").read_text() == "mine"
    assert not (tmp_path / "keep.csv").exists()
    done = cli("score", RUN, ORDERS, "-o", tmp_path / "keep.csv", "--no-predictive", "--force")
    assert done.exit_code == 0
    assert json.loads((tmp_path / "keep.json").read_text())["customers"] == 2357


def test_a_list_on_stdout_is_nothing_but_the_list(cli):
    result = cli("prioritise", SCORES, "--count", 3, "-o", "-")
    header, *rows = result.stdout.splitlines()
    assert header.startswith("rank,customer_id,")
    assert len(rows) == 3


def test_a_page_names_customers_only_when_asked(demo, cli, tmp_path):
    ids = read_scores(demo.folder / SCORES)["customer_id"]
    page = tmp_path / "r.html"
    words = ("report", RUN, "--scores", SCORES, "--force", "-o", page)
    assert cli(*words).exit_code == 0
    numbers = json.loads(page.with_suffix(".json").read_text())["sections"]["customers"]
    assert {name for which in ("save", "win-back") for name in numbers[which]} == {
        "on_the_list",
        "certainty",
    }
    assert not any(f">{one}</t" in page.read_text() for one in ids)
    assert cli(*words, "--include-ids").exit_code == 0
    assert any(f">{one}</t" in page.read_text() for one in ids)


def test_an_empty_folder_may_be_given_a_full_one_or_a_file_may_not(cli, tmp_path):
    """Data that carry nothing: the call ends before the fit, after the folder was looked at."""
    (tmp_path / "none.csv").write_text("")
    (tmp_path / "empty").mkdir()
    exits = [
        cli("run", tmp_path / "none.csv", "-o", tmp_path / out, *force).exit_code
        for out, *force in (("empty",), (".",), ("none.csv",), ("none.csv", "--force"))
    ]
    assert exits == [3, 2, 2, 2]
    assert (tmp_path / "none.csv").read_text() == ""


def test_the_demo_says_how_long_the_fit_took(demo):
    said = next(line for line in demo.stderr.splitlines() if line.startswith("fitted in "))
    total, _, steps = said.removeprefix("fitted in ").partition(" s: ")
    spent = {name: float(s) for name, s in (one.rsplit(" ", 1) for one in steps.split(", "))}
    assert set(spent) & {
        "segments",
        "sampling",
        "backtests",
    }  # a step nobody waited for is not told
    assert 0 < max(spent.values()) <= float(total)


def test_data_that_end_before_the_training_data_are_refused(cli, tmp_path):
    result = cli("score", RUN, ORDERS, "-o", tmp_path / "s.csv", "--as-of", "1997-09-30")
    assert result.exit_code == 3
    assert "1997-09-30" in result.stderr


SHORT = """
schema      = 1
name        = "short"
description = "too short to be believed"
time_unit   = "week"

[segments]
family     = "gmm"
engine     = "gibbs"
components = 3
covariance = "diag"
tails      = "normal"
missing    = "model"

[segments.priors]
weights    = { dist = "Dirichlet", concentration = 4.0 }
mean       = { dist = "Normal", mean = 0.0, sd = 1.0 }
covariance = { dist = "InverseWishart", extra_df = 2.0, scale = "auto" }

[[features]]
column = "*"

[inference]
chains = 2
draws  = 100
tune   = 50
"""


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    rng = np.random.default_rng(7)
    centre = np.repeat([[0.0, 0.0], [4.0, 4.0]], 90, axis=0)
    values = centre + rng.normal(size=centre.shape)
    path = tmp_path_factory.mktemp("clients") / "clients.csv"
    frame = pd.DataFrame(values, columns=["spend", "visits"])
    frame.insert(0, "client", [f"{i:04}" for i in range(len(frame))])
    frame.to_csv(path, index=False)
    return path


def test_a_failed_gate_exits_4_and_marks_everything_untrusted(clients, tmp_path):
    model = tmp_path / "short.toml"
    model.write_text(SHORT)
    run = tmp_path / "run"
    call = CliRunner().invoke
    result = call(app, ["fit", str(clients), "--model", str(model), "-o", str(run)])
    assert result.exit_code == 4
    assert "limit" in result.stderr
    assert "fix:" in result.stderr
    untrusted = tmp_path / "run.untrusted"
    assert untrusted.is_dir()
    assert not run.exists()
    out = tmp_path / "scores.csv"
    result = call(app, ["score", str(untrusted), str(clients), "-o", str(out)])
    assert result.exit_code == 4
    assert not out.exists()
    assert (read_scores(tmp_path / "scores.untrusted.csv")["verdict"] == "failed").all()


def test_a_refit_leaves_no_stale_run_and_a_failed_one_leaves_the_old(clients, tmp_path):
    (tmp_path / "short.toml").write_text(SHORT)
    run, untrusted = tmp_path / "run", tmp_path / "run.untrusted"

    def fit(model):
        words = ["fit", str(clients), "--model", str(model), "-o", str(run), "--force"]
        return CliRunner().invoke(app, words)

    assert fit(tmp_path / "short.toml").exit_code == 4
    passed = fit("segments")
    assert passed.exit_code == 0
    assert f"removed {untrusted}" in passed.stderr
    assert not untrusted.exists()
    before = (run / "manifest.json").read_bytes()
    failed = fit(tmp_path / "short.toml")
    assert failed.exit_code == 4
    assert f"{run} is still the run of an earlier fit" in failed.stderr
    assert (run / "manifest.json").read_bytes() == before
    assert untrusted.is_dir()


def test_clients_without_purchases_are_segmented(clients, tmp_path):
    """``--model segments``: one row a client in, two well separated groups out."""
    run, out = tmp_path / "run", tmp_path / "scores.parquet"
    call = CliRunner().invoke
    fitted = call(app, ["fit", str(clients), "--model", "segments", "-o", str(run), "--json"])
    assert fitted.exit_code == 0, fitted.output
    assert call(app, ["score", str(run), str(clients), "-o", str(out)]).exit_code == 0
    scores = read_scores(out)
    assert scores["customer_id"].tolist() == [f"{i:04}" for i in range(180)]
    first, second = (
        group.value_counts() for group in (scores["segment"][:90], scores["segment"][90:])
    )
    assert first.index[0] != second.index[0]
    assert min(first.iloc[0], second.iloc[0]) >= 88
    listed = call(app, ["prioritise", str(out)])
    assert listed.exit_code == 3
    assert "value_at_risk" in listed.stderr


def test_a_table_cut_or_filtered_since_it_was_scored_is_refused(demo, cli, tmp_path):
    """Totals and settings beside it are those of the whole: a cut file would be ranked in silence."""
    scores = tmp_path / "scores.parquet"
    read_scores(demo.folder / SCORES).head(1000).to_parquet(scores)
    shutil.copy(demo.folder / "demo/scores.json", tmp_path / "scores.json")
    for words in (
        ("prioritise", scores),
        ("segments", RUN, scores),
        ("report", RUN, "--scores", scores, "-o", tmp_path / "r.html"),
    ):
        result = cli(*words)
        assert result.exit_code == 5, words
        assert "has changed since it was scored" in result.stderr


def test_a_run_of_the_map_engine_is_scored_and_reported(cli, tmp_path):
    run, scores, page = tmp_path / "run", tmp_path / "s.parquet", tmp_path / "r.html"
    flags = ("--model", "bgnbd", "--engine", "map", "-o", run)
    assert cli("fit", ORDERS, *flags).exit_code == 0
    assert cli("score", run, ORDERS, "-o", scores).exit_code == 0
    assert cli("report", run, "--scores", scores, "-o", page).exit_code == 0
    assert page.exists()
