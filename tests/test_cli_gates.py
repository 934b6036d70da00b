"""What may not pass, through the command line: each fault ends in exit 4 or 5, a healthy shop in 0."""

import json
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from fault_case import write_clients
from typer.testing import CliRunner

from bayesseg.cli import app
from bayesseg.cli.scorefile import read_scores
from bayesseg.gates import judged_today
from bayesseg.inference import gibbs, modes, parallel
from bayesseg.posterior import KEYS, load, save
from bayesseg.spec import load_spec
from bayesseg.validation import backtest

PADDED = slice(600, None)
FAST = "--no-predictive"


def call(*words):
    return CliRunner().invoke(app, list(map(str, words)))


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Orders of 400 customers of a shop as BG/NBD and Gamma-Gamma have it, one after the other."""
    rng = np.random.default_rng(11)
    start, rows = date(2024, 1, 1), []
    for customer in range(400):
        rate, leaves = rng.gamma(0.8, 1 / 6.0), rng.beta(0.9, 2.5)
        level = rng.gamma(3.8, 1 / 60.0)
        week = rng.uniform(0, 26)
        while week < 78:
            spent = max(rng.gamma(6.0, 1 / level), 0.01)
            rows.append((f"c{customer:03}", start + timedelta(days=int(7 * week)), round(spent, 2)))
            if rng.random() < leaves:
                break
            week += rng.exponential(1 / rate)
    path = tmp_path_factory.mktemp("shop") / "orders.csv"
    pd.DataFrame(rows, columns=["customer_id", "date", "amount"]).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def sampled():
    """Four independent chains of each part, as a sampler that did its work gives them."""
    known = {}

    def draws(task):
        if task.part not in known:
            arguments = parallel._arguments(task, None)
            found, rng = parallel.laplace(*arguments), np.random.default_rng(5)
            keep, shape = task.inference.draws, (task.inference.chains, task.inference.draws)
            sampler = {
                "diverging": np.zeros(shape),
                "energy": rng.normal(size=shape),
                "depth": np.full(shape, 3.0),
            }
            cut = {name: np.ascontiguousarray(v[:, :keep]) for name, v in found.values.items()}
            stats = {name: np.ascontiguousarray(v[:, :keep]) for name, v in found.stats.items()}
            info = {"engine": "nuts", "seconds": {"sample": 0.0}}
            known[task.part] = replace(found, values=cut, stats=stats | sampler, info=info)
        return known[task.part]

    return draws


@pytest.fixture
def fit(shop, sampled, monkeypatch, tmp_path):
    """``bayesseg fit`` whose sampler gives these draws, the purchase part damaged by ``harm``."""

    def fitted(harm=lambda draws: draws, *words, part="purchase"):
        def engine(task, on_progress, sampler=None):
            return harm(sampled(task)) if task.part == part else sampled(task)

        monkeypatch.setitem(parallel.ENGINES, "laplace", engine)
        monkeypatch.setattr(backtest, "backtest", lambda *_, **__: ())  # not what is asked here
        flags = ("--model", "bgnbd", "--engine", "laplace", "-o", tmp_path / "run")
        return call("fit", shop, *flags, *words)

    return fitted


def on(name, change):
    """Damage one parameter."""

    def harm(draws):
        values = draws.values[name].copy()
        return replace(draws, values={**draws.values, name: change(values)})

    return harm


def put(value, where=...):
    def change(values):
        values[where] = value
        return values

    return change


def everywhere(change):
    return lambda draws: replace(draws, values={n: change(v) for n, v in draws.values.items()})


HARM = {
    "an all-NaN parameter": (on("r", put(np.nan)), "completeness"),
    "one NaN draw": (on("kappa", put(np.nan, (2, 17))), "completeness"),
    "a parameter that never moved": (on("phi", put(0.4)), "completeness"),
    "a killed run padded with NaN": (
        everywhere(lambda v: put(np.nan, (slice(None), PADDED))(v.copy())),
        "completeness",
    ),
    "one chain": (everywhere(lambda v: v[:1]), "completeness"),
    "four chains of one seed": (everywhere(lambda v: np.repeat(v[:1], 4, axis=0)), "chains"),
    "a chain elsewhere": (on("r", lambda v: v + np.array([[0.5], [0], [0], [0]])), "rhat"),
}


def test_a_healthy_shop_passes_every_gate(fit, tmp_path):
    result = fit()
    assert result.exit_code == 0, result.output
    manifest = load(tmp_path / "run").manifest
    assert {v["computation"] for v in manifest["verdicts"].values()} == {"passed"}
    computed = [g for g in manifest["gates"] if g["kind"] == "computation"]
    assert [g["detail"] for g in computed if g["verdict"] != "passed"] == []
    assert {"mcse_exported", "prior_sensitivity", "chains"} <= {
        g["name"] for g in manifest["gates"]
    }


@pytest.mark.parametrize("what", HARM)
def test_it_exits_4_and_the_last_line_says_gate_value_limit_and_remedy(fit, tmp_path, what):
    harm, gate = HARM[what]
    result = fit(harm)
    assert result.exit_code == 4, what
    assert not (tmp_path / "run").exists()
    manifest = load(tmp_path / "run.untrusted").manifest
    missed = {g["name"]: g for g in manifest["gates"] if g["verdict"] == "failed"}
    assert gate in missed
    first = next(iter(missed.values()))
    last = result.stderr.strip().splitlines()[-1]
    for word in (first["name"], f"limit {first['limit']:g}", first["advice"]):
        assert word in last
    assert manifest["verdicts"]["spend"]["computation"] == "passed"


def test_scores_of_a_failed_part_are_blank_until_somebody_answers_for_them(fit, shop, tmp_path):
    assert fit(HARM["a chain elsewhere"][0]).exit_code == 4
    run, out = tmp_path / "run.untrusted", tmp_path / "scores.parquet"
    marked = tmp_path / "scores.untrusted.parquet"
    assert call("score", run, shop, "-o", out, FAST).exit_code == 4
    table = read_scores(marked)
    for column in ("p_alive", "p_churn", "clv", "value_at_risk", "priority_rank", "p_top_decile"):
        assert table[column].isna().all(), column
    assert (table["verdict"] == "failed").all()
    refused = call("prioritise", marked, "-o", tmp_path / "list.csv")
    assert refused.exit_code == 4
    assert "gate rhat is" in refused.stderr.splitlines()[-1]
    forced = ("--force", "--reason", "a drill")
    assert call("prioritise", marked, *forced).exit_code == 2  # nothing there to rank
    assert call("score", run, shop, "-o", out, FAST, "--reason", "a drill").exit_code == 2
    done = call("score", run, shop, "-o", out, FAST, *forced)
    assert done.exit_code == 0, done.output
    assert read_scores(marked)["clv"].notna().all()
    document = json.loads(marked.with_suffix(".json").read_text())
    assert document["released"] == {"purchase": "a drill"}
    assert call("prioritise", marked, "--force").exit_code == 4
    assert not (tmp_path / "list.csv").exists()
    assert call("prioritise", marked, "-o", tmp_path / "list.csv", *forced).exit_code == 0
    assert not (tmp_path / "list.csv").exists()
    assert (tmp_path / "list.untrusted.csv").exists()
    page = tmp_path / "page.html"
    assert call("report", run, "--scores", marked, "-o", page).exit_code == 0
    assert page.read_text().index("UNTRUSTED") < page.read_text().index("rhat")
    assert "The reason given: a drill" in page.read_text()
    numbers = json.loads(page.with_suffix(".json").read_text())
    assert numbers["sections"]["verdict"]["released"] == {"purchase": "a drill"}


def test_failed_spend_leaves_churn_alone(fit, shop, tmp_path):
    assert fit(on("q", put(0.5, (slice(None), slice(None, 100)))), part="spend").exit_code == 4
    out = tmp_path / "scores.csv"
    assert call("score", tmp_path / "run.untrusted", shop, "-o", out, FAST).exit_code == 4
    table = read_scores(tmp_path / "scores.untrusted.csv")
    assert table["p_churn"].notna().all()
    assert table[["clv", "expected_spend", "priority_rank"]].isna().all(axis=None)


def test_a_run_forged_to_have_passed_is_refused_before_a_score(fit, shop, tmp_path):
    assert fit().exit_code == 0
    good = load(tmp_path / "run")
    broken = HARM["one NaN draw"][0](good.parts["purchase"])
    save(replace(good, parts={**good.parts, "purchase": broken}), tmp_path / "forged")
    for words in (("score", shop, "-o", tmp_path / "s.csv"), ("inspect",), ("verify",)):
        verb, *rest = words
        if verb != "verify":
            assert call(verb, tmp_path / "forged", *rest).exit_code == 5
    assert not (tmp_path / "s.csv").exists()


# ---------------------------------------------------------------- waivers

UNTIL = date.today() + timedelta(days=300)
WAIVER = f'[[waive]]\ngate = "rhat"\npart = "purchase"\nreason = "ranks only"\nuntil = {UNTIL}\n'


def test_a_waiver_lets_a_run_pass_and_stands_on_top_of_everything(fit, shop, tmp_path):
    path = tmp_path / "waivers.toml"
    others = ("ess_bulk", "ess_tail", "mcse_mean", "mcse_exported")
    path.write_text("".join(WAIVER.replace("rhat", gate) for gate in ("rhat", *others)))
    result = fit(HARM["a chain elsewhere"][0], "--waivers", path, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["verdicts"]["purchase"]["computation"] == "caution"
    assert document["verdict"] == "caution"
    assert [one["gate"] for one in document["waivers"]] == ["rhat", *others]
    told = call("inspect", tmp_path / "run")
    assert f"waiver  purchase rhat until {UNTIL}, overlooked: ranks only" in told.stdout
    out, page = tmp_path / "s.parquet", tmp_path / "page.html"
    assert call("score", tmp_path / "run", shop, "-o", out, FAST).exit_code == 0
    assert read_scores(out)["clv"].notna().all()
    assert call("report", tmp_path / "run", "--scores", out, "-o", page).exit_code == 0
    text = page.read_text()
    assert text.index(f"Overlooked until {UNTIL}: ranks only") < text.index("Spend")


def test_a_waiver_that_ran_out_fails_the_run_it_let_pass(fit, shop, tmp_path, monkeypatch):
    path = tmp_path / "waivers.toml"
    others = ("ess_bulk", "ess_tail", "mcse_mean", "mcse_exported")
    path.write_text("".join(WAIVER.replace("rhat", gate) for gate in ("rhat", *others)))
    assert fit(HARM["a chain elsewhere"][0], "--waivers", path).exit_code == 0
    assert (
        call("score", tmp_path / "run", shop, "-o", tmp_path / "then.parquet", FAST).exit_code == 0
    )
    assert call("prioritise", tmp_path / "then.parquet").exit_code == 0
    monkeypatch.setattr("bayesseg.gates.waivers.today", lambda: date(3000, 1, 1))
    late = call("prioritise", tmp_path / "then.parquet")
    assert late.exit_code == 4
    assert f"its waiver ran out on {UNTIL}" in late.stderr.splitlines()[-1]
    assert "verdict failed" in call("verify", tmp_path / "run").stdout
    scored = call("score", tmp_path / "run", shop, "-o", tmp_path / "s.parquet", FAST)
    assert scored.exit_code == 4
    assert f"its waiver ran out on {UNTIL}" in scored.stderr.splitlines()[-1]
    assert read_scores(tmp_path / "s.untrusted.parquet")["clv"].isna().all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('"rhat"', '"completeness"'), "admits no waiver"),
        (('"rhat"', '"chains"'), "admits no waiver"),
        (('"rhat"', '"r_hat"'), "did you mean 'rhat'"),
        (('"purchase"', '"segments"'), "choices: purchase, spend"),
        ((str(UNTIL), "2020-01-01"), "is past"),
        ((str(UNTIL), "2999-12-31"), "more than a year from now"),
        (("ranks only", " "), "is empty"),
        (("reason", "because"), "is not a known key"),
        ((str(UNTIL), '"soon"'), "wrong type"),
        ((str(UNTIL), "2999-12-31T10:00:00Z"), "is a moment"),
        (("[[waive]]", "[waive]"), "wrong type"),
        ((WAIVER, WAIVER + WAIVER), "waived twice"),
        ((WAIVER, "waive = 3 ="), "cannot read --waivers"),
    ],
)
def test_a_waiver_is_refused_before_any_work(fit, tmp_path, change, said):
    path = tmp_path / "waivers.toml"
    path.write_text(WAIVER.replace(*change))
    result = fit(lambda draws: pytest.fail("sampled"), "--waivers", path)
    assert result.exit_code == 2
    assert said in result.stderr


# ---------------------------------------------------------------- mixtures


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A folder with a run of sixty clients in two groups, and the run."""
    folder = tmp_path_factory.mktemp("tiny")
    write_clients(folder)
    made = call(
        "fit", folder / "clients.csv", "--model", folder / "tiny.toml", "-o", folder / "run"
    )
    assert made.exit_code == 0, made.output
    return folder, load(folder / "run")


def test_segments_that_failed_are_shown_by_no_verb(tiny):
    folder, good = tiny
    hard = next(i for i, g in enumerate(good.manifest["gates"]) if g["severity"] == "hard")
    checks = [dict(gate) for gate in good.manifest["gates"]]
    checks[hard] |= {"passed": False, "verdict": "failed", "detail": "segments: broken"}
    manifest = judged_today({**good.manifest, "gates": checks})
    bad = save(replace(good, manifest=manifest), folder / "bad")
    for verb, *data in (("segments",), ("drift", "clients.csv"), ("stability", "clients.csv")):
        refused = call(verb, bad, *(folder / name for name in data))
        assert (refused.exit_code, "failed their gates" in refused.stderr) == (4, True), verb


def test_a_manifest_with_holes_is_refused_by_every_verb_that_shows_it(tiny):
    folder, good = tiny
    scores, page = folder / "s.parquet", folder / "page.html"
    assert call("score", folder / "run", folder / "clients.csv", "-o", scores).exit_code == 0
    passed = []
    for key in sorted({*KEYS} - {"files", "as_of", "currency", "trained_on", "segments"}):
        odd = save(replace(good, manifest={**good.manifest, key: None}), folder / f"no_{key}")
        found = call("report", odd, "--scores", scores, "-o", page, "--force")
        passed += [key] if found.exit_code != 5 else []
    assert passed == []


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    """Five groups, of which two lie near: four segments have one right division and many traps."""
    rng = np.random.default_rng(3)
    centre = np.repeat([[0, 0], [12, 0], [60, 0], [0, 60], [30, 60]], 60, axis=0)
    frame = pd.DataFrame(100 + centre + rng.normal(size=centre.shape), columns=["age", "visits"])
    frame.insert(0, "client", [f"{i:04}" for i in range(len(frame))])
    folder = tmp_path_factory.mktemp("clients")
    frame.to_csv(folder / "clients.csv", index=False)
    return folder / "clients.csv", frame[["age", "visits"]].to_numpy()


@pytest.fixture
def mixture(clients, tmp_path):
    text = load_spec("segments").text.replace("components = 2", "components = 4")
    model = tmp_path / "model.toml"
    model.write_text(text)

    def fitted():
        return call("fit", clients[0], "--model", model, "-o", tmp_path / "run", "--json")

    return fitted


def failures(result):
    return {g["name"] for g in json.loads(result.stdout)["gates"] if g["verdict"] == "failed"}


def test_all_chains_in_one_wrong_mode_fail_because_a_better_one_is_known(
    clients, mixture, monkeypatch
):
    """R-hat and effective sizes are perfect there: nothing but the known mode tells."""
    values = clients[1]
    group = np.repeat(np.arange(5), 60)[np.lexsort(values.T[::-1])]

    def trapped(run, found, rng):
        theta = {n: v.copy() for n, v in modes.take(found.theta, [0] * run.chains).items()}
        own = np.array([run.rows[group == i].mean(0) for i in range(5)])
        theta["mean"][:] = [*own[:3], own[3:].mean(0)]
        theta["variance"][:] = 0.01
        theta["variance"][:, 3, 0] = 0.3
        theta["weights"][:] = 0.25
        return modes.climb(run.plan, theta, run.rows, 100)[0]

    monkeypatch.setattr(gibbs, "_starts", trapped)
    result = mixture()
    assert result.exit_code == 4
    assert failures(result) == {"mode_missed"}


def test_one_segment_draw_that_is_no_number_fails(mixture, monkeypatch):
    labelled = gibbs._labelled

    def holed(values, first, reference):
        found, facts = labelled(values, first, reference)
        found["mean"][2, 17, 1] = np.nan
        return found, facts

    monkeypatch.setattr(gibbs, "_labelled", holed)
    result = mixture()
    assert result.exit_code == 4, result.output
    assert "completeness" in failures(result)


def test_swapped_labels_in_one_chain_fail(mixture, monkeypatch):
    labelled = gibbs._labelled

    def swapped(values, first, reference):
        found, facts = labelled(values, first, reference)
        for array in found.values():
            array[1] = array[1, :, ::-1].copy()
        return found, facts

    monkeypatch.setattr(gibbs, "_labelled", swapped)
    result = mixture()
    assert result.exit_code == 4
    assert "rhat" in failures(result)


def test_the_same_mixture_undisturbed_passes(mixture):
    result = mixture()
    assert result.exit_code == 0, result.stderr
    assert failures(result) == set()
