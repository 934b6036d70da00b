"""The map of segments and refits that keep ids and names, from the command line on CDNOW."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import bayesseg as bs
from bayesseg.cli import app
from bayesseg.cli.scorefile import read_scores
from bayesseg.families.gmm import responsibilities
from bayesseg.features import apply, raw_columns
from bayesseg.posterior import thinned

FIT = ("fit", "orders.csv", "--engine", "map")
MAP = """
schema = 1

[segments.{gone}]
label = "Perdus de vue, l'été"
lock  = true

[[merge]]
of = ["{a}", "{b}"]

[[split]]
of     = "{gone}"
column = "days_since_last"
above  = 450
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, cdnow_orders):
    """Every other customer of CDNOW, a run of 31 May 1998 and its refit a month later."""
    at = tmp_path_factory.mktemp("names")
    kept = cdnow_orders[cdnow_orders["customer_id"].astype(int) % 2 == 0]
    kept.to_csv(at / "orders.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(at)
        call("--as-of", "1998-05-31", "-o", "old", start=FIT)
        ids = json.loads((at / "old/manifest.json").read_text())["segments"]["ids"]
        names = dict(zip(("gone", "a", "b"), ids, strict=False))
        (at / "map.toml").write_text(MAP.format(**names), encoding="utf-8")
        said = call("--previous", "old", "--names", "map.toml", "-o", "new", start=FIT).stderr
        call("new", "orders.csv", "--no-predictive", "-o", "new.parquet", start=("score",))
    return at, said


def call(*words, start=(), code=0):
    done = CliRunner().invoke(app, [*start, *words])
    assert done.exit_code == code, done.output
    return done


@pytest.fixture
def at(folder, monkeypatch):
    """Inside the folder."""
    monkeypatch.chdir(folder[0])
    return folder[0]


def segments(run):
    return json.loads((run / "manifest.json").read_text())["segments"]


def test_a_refit_keeps_ids_and_names_and_says_so(folder, at):
    old, new = segments(at / "old"), segments(at / "new")
    model = json.loads((at / "old/manifest.json").read_text())["model_id"]
    assert sorted(new["ids"]) == sorted(old["ids"])
    assert new["names"] == old["names"]
    assert new["previous"]["model_id"] == model
    for one in old["ids"]:
        assert f"segments: {one} " in folder[1]
    assert folder[1].count(": kept (Jaccard") == 4
    assert call("inspect", "new").stdout.count(": kept (Jaccard") == 4


def test_scores_follow_the_map_that_the_run_stored(at):
    table, document = read_scores(at / "new.parquet"), json.loads((at / "new.json").read_text())
    gone, a, b, last = segments(at / "old")["ids"]
    ids = {f"{gone}a", f"{gone}b", f"{a}_{b}", last}
    assert {one["id"] for one in document["segments"]} == ids
    assert sum(one["customers"]["mean"] for one in document["segments"]) == pytest.approx(
        len(table)
    )
    member = table[[f"membership_{one}" for one in ids]].sum(axis=1)
    assert member.to_numpy() == pytest.approx(1.0)
    long = table["days_since_last"] > 450
    assert 0 < long.sum() < len(table)
    assert (table.loc[long, f"membership_{gone}b"] == 0).all()
    assert (table.loc[~long, f"membership_{gone}a"] == 0).all()
    assert "Perdus de vue, l'été, others" in set(table["segment_name"])


def test_a_merged_segment_has_the_interval_of_the_summed_draws(at):
    """Every draw of every customer at once, with NumPy's own quantiles."""
    posterior, table = bs.load("new"), read_scores(at / "new.parquet")
    document = json.loads((at / "new.json").read_text())
    data = bs.summarise("orders.csv")
    matrix = apply(posterior.features, raw_columns(data, posterior.spec.features))
    theta = thinned(posterior.parts["segments"], document["settings"]["draws"])
    ids = segments(at / "new")["ids"]
    a, b = segments(at / "old")["ids"][1:3]
    summed = responsibilities(theta, matrix)[..., [ids.index(a), ids.index(b)]].sum(-1)
    low, high = np.quantile(summed, [0.05, 0.95], axis=1)
    for end, expected in (("", summed.mean(1)), ("_lo", low), ("_hi", high)):
        found = table.set_index("customer_id").loc[data.ids, f"membership_{a}_{b}{end}"]
        assert found.to_numpy() == pytest.approx(expected, abs=1e-12)


def test_lists_carry_the_names_of_merged_segments(at):
    listed = json.loads(call("prioritise", "new.parquet", "--json").stdout)["customers"]
    old = segments(at / "old")
    assert f"{old['names'][old['ids'][1]]} + {old['names'][old['ids'][2]]}" in {
        one["segment_name"] for one in listed
    }


def test_the_written_map_is_read_back_to_the_same_segments(at):
    said = call("segments", "new", "--names-out", "again.toml", "--force").stdout
    text = (at / "again.toml").read_text(encoding="utf-8")
    assert "Perdus de vue, l'été" in text
    assert call("segments", "new", "--names", "again.toml").stdout == said
    usage = call("segments", "new", "--names-out", "again.toml", code=2).output
    assert "exists already" in usage


def test_other_labels_show_at_once_and_other_merges_ask_for_scores(at):
    call("segments", "new", "--names-out", "mine.toml", "--force")
    text = (at / "mine.toml").read_text(encoding="utf-8")
    last = segments(at / "old")["ids"][3]
    mine = text.replace(f"[segments.{last}]\nlabel = ", f'[segments.{last}]\nlabel = "ours" # ')
    (at / "mine.toml").write_text(mine, encoding="utf-8")
    shown = call("segments", "new", "new.parquet", "--names", "mine.toml").stdout
    assert f"{last} ours: " in shown
    (at / "plain.toml").write_text("schema = 1\n")
    done = call("segments", "new", "new.parquet", "--names", "plain.toml", code=2)
    assert "score again with the same --names" in done.output


def test_a_lost_lock_exits_4_and_keeps_the_run(at):
    """A model of two segments cannot keep all of four."""
    from bayesseg.spec import load_spec

    two = load_spec("retail").text.replace("components = 4", "components = 2")
    (at / "two.toml").write_text(two)
    ids = segments(at / "new")["ids"]
    locks = "".join(f"[segments.{one}]\nlock = true\n" for one in ids)
    (at / "locks.toml").write_text(f"schema = 1\n{locks}")
    done = call(
        *("--model", "two.toml", "--previous", "new", "--names", "locks.toml"),
        *("-o", "lost", "--force", "--json"),
        start=FIT,
        code=4,
    )
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "locked_segment_lost"
    manifest = json.loads((at / "lost/manifest.json").read_text())
    assert manifest["verdicts"]["segments"]["computation"] == "passed"
    assert "is locked, and this refit has lost it" in manifest["verdicts"]["segments"]["reasons"][0]
    lost = {gate["name"] for gate in error["details"]["gates"]}
    assert lost == {f"locked_{one}" for one in set(ids) - set(manifest["segments"]["ids"])}


def test_a_map_of_other_segments_is_refused_before_the_fit(at):
    (at / "odd.toml").write_text('schema = 1\n[segments.S44]\nlabel = "x"\n')
    done = call("--names", "odd.toml", "-o", "never", start=FIT, code=2)
    assert "names S44, which is not there" in done.output
    assert not (at / "never").exists()


def test_a_model_without_segments_has_nothing_to_go_on_with(at):
    done = call("--model", "bgnbd", "--previous", "old", "-o", "never", start=FIT, code=2)
    assert "has no segments" in done.output


def test_scores_under_a_plain_map_have_the_model_s_own_segments_in_both_languages(at):
    (at / "plain.toml").write_text("schema = 1\n")
    words = ("--names", "plain.toml", "--no-predictive", "-o", "plain.parquet")
    call("score", "new", "orders.csv", *words)
    found = json.loads((at / "plain.json").read_text())["segments"]
    assert [one["id"] for one in found] == segments(at / "new")["ids"]
    assert len({one["name_fr"] for one in found}) == len(found)
    assert all(one["action_fr"] not in ("", one["action"]) for one in found)


def test_the_page_says_what_experts_made_and_what_became_of_each_segment(at):
    call("report", "new", "--scores", "new.parquet", "-o", "page.html", "--force")
    page = (at / "page.html").read_text(encoding="utf-8")
    gone, a, b, _ = segments(at / "old")["ids"]
    assert f"People put some of them together or apart ({gone}a: days_since_last above 450;" in page
    assert f"{a}_{b}: {a} + {b}" in page
    assert "made by merging or splitting the 4 that the model found" in page
    assert "not drawn by hand" not in page
    assert "Nothing was cut by hand" not in page
    assert page.count(": kept (Jaccard") == 4
    assert "Perdus de vue, l&#39;été, others" in page


def test_the_python_api_reads_the_same_map_and_goes_on_from_the_same_run(at):
    (at / "plain.toml").write_text("schema = 1\n")
    data = bs.summarise("orders.csv")
    scores = bs.score(bs.load("new"), data, names="plain.toml", predictive=False)
    found = scores.attrs["bayesseg"]["segments"]
    assert [one["id"] for one in found] == segments(at / "new")["ids"]
    few = data.take(np.arange(300))
    clients = bs.Attributes(few.ids, {"spend": np.log1p(few.first_spend + few.repeat_spend)})
    first = bs.fit(clients, "segments", seed=1)
    again = bs.fit(clients, "segments", seed=2, previous=first, names="plain.toml")
    assert again.manifest["segments"]["ids"] == first.manifest["segments"]["ids"]
    assert again.manifest["segments"]["previous"]["model_id"] == first.manifest["model_id"]
