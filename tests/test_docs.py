"""What the README promises is there."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from bayesseg.cli import app
from bayesseg.cli.verbs import VERBS
from bayesseg.spec import load_spec, model_names

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
COMMANDS = get_command(app).commands
CALLS = sorted(set(re.findall(r"^\$ (bayesseg \S.*)$|`(bayesseg [^`]+)`", README, re.MULTILINE)))
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
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README))
    assert named <= set().union(*FLAGS.values())


def test_what_is_planned_is_not_there_yet():
    planned = re.search(r"Planned, not there yet: ([^.]+)\.", README)[1].split(", ")
    assert not set(planned) & set(COMMANDS)


def test_every_gate_is_explained(demo):
    import json

    manifest = json.loads((demo.folder / "demo/run/manifest.json").read_text())
    explained = set(re.findall(r"`([a-z_]+)`", README.split("| gate |")[1].split("\n\n")[0]))
    for gate in manifest["gates"]:
        name = gate["name"].removeprefix("invariant_")
        assert name in explained or name.split("_")[0] in explained


@pytest.mark.parametrize("verb", list(VERBS))
def test_every_help_ends_with_an_example_that_parses(verb):
    text = VERBS[verb].__doc__
    example = re.search(r"Example: (bayesseg .*)", text)[1]
    _, name, *words = shlex.split(example)
    assert name == verb
    assert {word for word in words if word.startswith("-")} <= FLAGS[verb]


def test_every_column_explained_is_scored(demo):
    from bayesseg.cli.scorefile import read_scores

    scores = read_scores(demo.folder / "demo/scores.parquet")
    shown = [name for cell, _ in rows("column") for name in re.findall(r"`(\w+)`", cell)]
    assert set(shown) <= set(scores.columns)
