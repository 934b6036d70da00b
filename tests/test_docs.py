"""What the README promises is there."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import report_case
from typer.main import get_command
from typer.testing import CliRunner

from bayesseg._types import Draws
from bayesseg.cli import app
from bayesseg.cli.verbs import PLANNED, VERBS
from bayesseg.gates import COMPUTATION, FINDINGS
from bayesseg.gates.judge import Subject
from bayesseg.spec import load_spec, model_names

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDES = "".join(
    (ROOT / "docs" / name).read_text("utf-8") for name in ("sources.md", "segments.md")
)
COMMANDS = get_command(app).commands
CALLS = sorted(
    set(re.findall(r"^\$ (bayesseg \S.*)$|`(bayesseg [^`]+)`", README + GUIDES, re.MULTILINE))
)
FLAGS = {
    name: {opt for p in c.params for opt in p.opts + p.secondary_opts}
    for name, c in COMMANDS.items()
}


def rows(first_cell):
    """The two cells of each row of the table whose head starts with ``first_cell``."""
    table = README.split(f"| {first_cell} |", 1)[1].split("\n\n")[0].splitlines()[2:]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in table]


def test_the_verb_table_is_that_of_the_command_line():
    ours = [(f"`{name}`", verb.__doc__.splitlines()[0]) for name, verb in VERBS.items()]
    assert rows("verb") == ours
    assert list(COMMANDS) == list(VERBS)


def test_the_model_table_is_that_of_the_package():
    assert rows("model") == [(f"`{name}`", load_spec(name).description) for name in model_names()]


@pytest.mark.parametrize("call", [a or b for a, b in CALLS])
def test_every_command_shown_exists_with_its_flags(call):
    _, verb, *words = shlex.split(call)
    assert verb in COMMANDS
    assert {word for word in words if word.startswith("-") and word != "-"} <= FLAGS[verb]


def test_every_flag_named_exists():
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README + GUIDES))
    assert named <= set().union(*FLAGS.values())


def test_what_is_planned_is_not_there_yet():
    planned = re.search(r"Planned, not there yet: ([^.]+)\.", README)[1].split(", ")
    assert tuple(planned) == PLANNED
    assert not set(planned) & set(COMMANDS)


def test_the_gate_table_names_every_gate_there_is_and_no_other(cdnow_sample):
    """Every gate function, on a posterior and facts with which each has something to judge."""
    posterior = report_case.posterior(report_case.customers(cdnow_sample))
    early = {"until": "1997-01-21", "customers": 300, "usual": 20.0, "ratio": 5.0, "excess": True}
    locked = [{"id": "S1", "name": "loyal", "jaccard": 0.5, "limit": 0.75}]
    facts = posterior.manifest["facts"] | {"early": early, "locked": locked}
    spec = posterior.spec
    subjects = {
        part: Subject(part, own, spec.inference, posterior.parts[part], facts)
        for part, own in spec.parts.items()
    }
    weighed = {"pareto_k": 0.1, "importance_ess": 2e3}
    weighed["limits"] = {"pareto_k": 0.7, "importance_ess": 400.0}
    limits = {"rhat": 1.05, "share_error": 0.1}
    told = {"components": 3, "distribution": {3: 1.0}, "rhat": 1.0, "share_error": 0.0, "most": 9}
    drawn, mixture = subjects["purchase"], subjects["segments"]
    own = {
        "nuts": drawn,
        "laplace": replace(drawn, draws=Draws(drawn.draws.values, {}, weighed)),
        "map": drawn,
        "gibbs": replace(
            mixture,
            draws=replace(
                mixture.draws, info=mixture.draws.info | {"chosen": told | {"limits": limits}}
            ),
        ),
    }
    judged = [(own[engine], gate) for engine, gates in COMPUTATION.items() for gate in gates]
    judged += [(subjects[part], gate) for part, gates in FINDINGS.items() for gate in gates]
    emitted = set()
    for subject, gate in judged:
        found = {one.name.removeprefix("invariant_") for one in gate(subject)}
        assert found, f"{gate.__name__} judged nothing"
        emitted |= found
    explained = {name for cell, *_ in rows("gate") for name in re.findall(r"`([a-z_]+)`", cell)}

    def of(name):
        return next((e for e in explained if name == e or name.startswith(f"{e}_")), name)

    assert {of(name) for name in emitted} == explained


def samples():
    """Each command of a console block with the output shown under it."""
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        for shown in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *output = shown.splitlines()
            if output:
                yield pytest.param(command, output, id=command.split()[1])


NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def alike(shown, said):
    """The same words, and numbers within a tenth: draws differ a little between processors."""
    if shown.endswith(" ..."):
        said = said[: len(shown) - 4] + " ..."
    numbers = [[float(n.replace(",", "")) for n in NUMBER.findall(line)] for line in (shown, said)]
    words = [NUMBER.sub("#", " ".join(line.split())) for line in (shown, said)]
    return words[0] == words[1] and numbers[0] == pytest.approx(numbers[1], rel=0.1, abs=1)


@pytest.mark.parametrize(("command", "output"), list(samples()))
def test_the_output_shown_is_what_is_printed(command, output, demo, tmp_path, monkeypatch):
    """The fit's is taken from the demo; the others are run on what it wrote, by the README's names."""
    for name, of in {
        "june": "run",
        "june.parquet": "scores.parquet",
        "june.json": "scores.json",
    }.items():
        (tmp_path / name).symlink_to(demo.folder / "demo" / of)
    (tmp_path / "demo").symlink_to(demo.folder / "demo")
    monkeypatch.chdir(tmp_path)
    _, verb, *words = shlex.split(command)
    said = demo.stdout if verb == "fit" else CliRunner().invoke(app, [verb, *words]).output
    for line in output:
        assert line == "..." or any(alike(line, one) for one in said.splitlines()), line


@pytest.mark.parametrize("verb", list(VERBS))
def test_every_help_ends_with_an_example_that_parses(verb):
    text = VERBS[verb].__doc__
    example = re.search(r"Example: (bayesseg .*)", text)[1]
    _, name, *words = shlex.split(example)
    assert name == verb
    assert {word for word in words if word.startswith("-")} <= FLAGS[verb]


def test_the_row_of_scores_explained_is_the_customer_s(demo):
    """Cells such as "`p_churn` 0.20 (0.19–0.22)": a column, or a column with its interval."""
    from bayesseg.cli.scorefile import read_scores

    head = re.search(r"\| (column \| customer (\d+) says) \|", README)
    scores = read_scores(demo.folder / "demo/scores.parquet").set_index("customer_id")
    for cell, _ in rows(head[1]):
        for names, shown in re.findall(r"((?:`\w+`(?:, )?)+) ([\d.,–() ]+)", cell):
            columns = re.findall(r"\w+", names)
            if "(" in shown:
                columns += [f"{columns[0]}_lo", f"{columns[0]}_hi"]
            numbers = [float(n.replace(",", "")) for n in NUMBER.findall(shown)]
            found = scores.loc[head[2], columns].tolist()
            assert numbers == pytest.approx(found, rel=0.1, abs=0.011), cell
