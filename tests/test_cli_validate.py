"""bayesseg validate: what is asked for, what is refused, what is printed and written."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import validation_case
from typer.testing import CliRunner, Result

from bayesseg.cli import app
from bayesseg.cli.demo import cdnow_csv
from bayesseg.cli.shell import Shell
from bayesseg.cli.steps.validating import judged, show


def validate(*words):
    return CliRunner().invoke(app, ["validate", *map(str, words)])


@pytest.fixture(scope="module")
def orders(tmp_path_factory):
    path = tmp_path_factory.mktemp("cdnow") / "orders.csv"
    path.write_text(cdnow_csv(), encoding="ascii")
    return path


REFUSED = {
    "neither cut nor origins": ((), "either --cut or --origins"),
    "both": (("--cut", "1997-09-30", "--origins", 3), "--origins, not both"),
    "no day": (("--cut", "yesterday"), "'yesterday' is not a day"),
    "no span": (("--cut", "1997-09-30", "--horizon", "soon"), "'soon' is not a span of time"),
    "no such family": (("--origins", 2, "--families", "mbgnbdd"), "did you mean 'mbgnbd'?"),
    "no purchases": (("--origins", 2, "--model", "segments"), "forecasts no purchases"),
    "other engine": (("--origins", 2, "--engine", "nuts"), "with laplace, not with nuts"),
    "data with sbc": (("--sbc", 20), "goes without DATA"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_sense_is_refused_with_what_to_do(name, orders):
    words, said = REFUSED[name]
    result = validate(orders, *words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "fix:" in result.stderr
    assert "Traceback" not in result.output


COVARIATES = """
[purchase.covariates]
rate    = ["channel"]
dropout = []
effect  = { dist = "Normal", mean = 0.0, sd = 0.5 }
"""


@pytest.fixture
def linked(tmp_path):
    text = (Path(__file__).parents[1] / "models" / "bgnbd.toml").read_text()
    path = tmp_path / "linked.toml"
    path.write_text(text.replace("[spend]", f"{COVARIATES}\n[spend]"))
    return path


def test_a_model_that_reads_attributes_asks_for_them_before_any_work(linked):
    result = validate("nowhere.csv", "--origins", 2, "--model", linked)
    assert result.exit_code == 3
    assert "'channel' is not among the attributes" in result.stderr
    assert "give --attributes with that column" in result.stderr


def test_a_model_with_covariates_is_validated_on_the_attributes_given(linked, tmp_path):
    log, web = validation_case.shop(500, days=200, until=150, factor=4.0)
    ids = [f"c{i:04}" for i in range(500)]
    log.to_csv(tmp_path / "orders.csv", index=False)
    kinds = ["web" if one else "shop" for one in web]
    rows = ["customer_id,channel", *map(",".join, zip(ids, kinds, strict=True))]
    (tmp_path / "facts.csv").write_text("\n".join(rows))
    words = ("--cut", "2024-05-29", "--model", linked, "--attributes", tmp_path / "facts.csv")
    result = validate(tmp_path / "orders.csv", *words, "-o", tmp_path / "page.html")
    assert result.exit_code == 0, result.stderr
    assert "static attributes (channel) are taken as known at each cut" in result.stdout
    assert "Purchases by channel" in (tmp_path / "page.html").read_text()


def test_without_data_it_says_what_to_give():
    result = validate("--origins", 2)
    assert result.exit_code == 2
    assert "no DATA" in result.stderr


def test_existing_output_is_refused_before_any_work(orders, tmp_path):
    for name in ("page.html", "page.json"):
        (tmp_path / name).write_text("mine")
        result = validate(orders, "--origins", 2, "-o", tmp_path / "page.html")
        assert result.exit_code == 2
        assert "--force" in result.stderr
        assert (tmp_path / name).read_text() == "mine"
        (tmp_path / name).unlink()


OUTSIDE = {
    "cut after the end": (("--cut", "1999-01-01"), 2, "not inside the data"),
    "horizon past the end": (("--cut", "1997-09-30", "--horizon", "2y"), 2, "the data cover"),
    "too many origins": (("--origins", 40, "--horizon", "39w"), 2, "need more than the 546 days"),
    "origins of single days": (("--origins", 300), 2, "origins of"),
    "history too short": (("--cut", "1997-01-02"), 3, "the data cannot carry a fit"),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_cuts_that_the_data_do_not_carry_are_refused(name, orders):
    words, code, said = OUTSIDE[name]
    result = validate(orders, *words)
    assert result.exit_code == code
    assert said in result.stderr
    assert "fix:" in result.stderr
    assert "Traceback" not in result.output


HOSTILE = "<img src=x onerror=alert(1)>"
FAMILIES = ("bgnbd", "mbgnbd", "paretonbd")


@dataclass(frozen=True)
class Validated:
    folder: Path
    result: Result

    @property
    def document(self):
        return json.loads(self.result.stdout)


@pytest.fixture(scope="module")
def cdnow(orders):
    """The published cut: 39 weeks, and 39 weeks after; one customer has an id that attacks pages."""
    path = orders.with_name("hostile.csv")
    assert "\n00004," in orders.read_text()
    path.write_text(orders.read_text().replace("\n00004,", f"\n{HOSTILE},"), encoding="ascii")
    words = ("--cut", "1997-09-30", "--horizon", "39w", "--families", ",".join(FAMILIES))
    result = validate(path, *words, "-o", orders.with_name("v.html"), "--json")
    return Validated(orders.parent, result)


def test_a_miss_is_a_caution_and_no_failure(cdnow):
    assert cdnow.result.exit_code == 0
    forecasts = cdnow.document["forecasts"]
    assert forecasts["mbgnbd"]["verdict"]["verdict"] == "caution"
    assert forecasts["bgnbd"]["verdict"]["verdict"] == "caution"
    # what came lies at the very end of this interval: inside or out by the seed
    assert forecasts["paretonbd"]["verdict"]["verdict"] in ("not-assessed", "caution")


def test_the_published_holdout_is_there_in_the_json(cdnow):
    document = cdnow.document
    assert document["exit_code"] == 0
    assert document["families"] == ["mbgnbd", "bgnbd", "paretonbd"]
    (origin,) = document["origins"]
    assert origin["customers"] == 2357
    assert origin["actual"]["purchases"] == 1882
    assert origin["actual"]["active"] == 684
    by_name = {row["name"]: row for row in origin["rows"]}
    assert by_name["mbgnbd"]["purchases"]["mean"] == pytest.approx(1573, abs=15)
    assert by_name["rate"]["purchases"]["mean"] == pytest.approx(2930.1, abs=0.1)
    assert {row["kind"] for row in origin["rows"]} == {"family", "plug_in", "benchmark", "learner"}
    assert document["advice"][0]["name"] == "totals_purchases"


def test_page_and_numbers_are_written_beside_each_other(cdnow):
    page, beside = (Path(name) for name in cdnow.document["written"])
    assert (page.name, beside.name) == ("v.html", "v.json")
    numbers = json.loads(beside.read_text())
    assert {key: cdnow.document[key] for key in numbers if key != "schema_version"} == {
        key: value for key, value in numbers.items() if key != "schema_version"
    }


def test_no_customer_is_named_anywhere(cdnow):
    html, text = ((cdnow.folder / name).read_text() for name in ("v.html", "v.json"))
    for content in (html, text, cdnow.result.stdout):
        assert "onerror" not in content
    assert str(cdnow.folder) not in html + text
    assert "Use the totals with care" in html


def test_the_command_on_the_page_is_the_one_that_was_given(cdnow):
    (command,) = cdnow.document["command"]
    given = "--cut 1997-09-30 --horizon 39w --families bgnbd,mbgnbd,paretonbd"
    assert command == f"bayesseg validate DATA {given} -o OUT.html"


def test_the_terminal_shows_totals_forecasters_and_advice(cdnow, capsys):
    show(cdnow.document, Shell())
    lines = capsys.readouterr().out.splitlines()
    assert "1997-09-30" in lines[1]
    assert "1,882" in lines[1]
    names = [line.split("  ")[0] for line in lines]
    rule = next(at for at, line in enumerate(lines) if line.startswith("----"))
    for family in ("MBG/NBD", "BG/NBD", "Pareto/NBD"):
        assert names.index(family) < rule
    assert names.index("gradient boosting") > rule
    notes = [line for line in lines if "learnt at 1997-05-17" in line]
    assert [line.partition(":")[0] for line in notes] == [
        "RFM tenths, logistic regression, gradient boosting"
    ]
    for one in cdnow.document["advice"]:
        assert any(line.startswith(one["level"]) and one["says"] in line for line in lines)


def test_a_failed_verdict_exits_4_and_keeps_what_was_written(tmp_path):
    document = validation_case.document((0.9,) * 6, verdict="failed")
    outcome = judged(document, (), tmp_path / "v.html", Shell(), lang="en", force=False)
    assert outcome.error.exit_code == 4
    assert outcome.error.fix.startswith("do not plan totals with this model")
    assert "Do not plan totals" in (tmp_path / "v.html").read_text()


def test_too_few_simulations_are_refused():
    result = validate("--sbc", 5, "--model", "bgnbd")
    assert result.exit_code == 2
    assert "5 simulations show nothing" in result.stderr


@pytest.mark.slow
def test_calibration_prints_a_table_a_part(tmp_path):
    result = validate("--sbc", 20, "--model", "bgnbd", "--sbc-folder", tmp_path, "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == (0 if document["passed"] else 4)
    assert document["parts"]["purchase"]["simulations"] == 20
    again = validate("--sbc", 20, "--model", "bgnbd", "--sbc-folder", tmp_path)
    assert "quantity" in again.stdout
    assert "BG/NBD: calibration" in again.stdout
