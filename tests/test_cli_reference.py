"""docs/cli.md says what the commands are."""

import shlex

import cli_reference
import pytest
from cli_reference import COMMANDS, EVERYWHERE, EXITS


def test_the_page_is_that_of_the_commands():
    again = "run python tests/cli_reference.py"
    assert cli_reference.PAGE.read_text(encoding="utf-8") == cli_reference.page(), again


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_of_each_verb_is_one_of_its_calls(name):
    program, verb, *words = shlex.split(cli_reference.example(name))
    assert (program, verb) == ("bayesseg", name)
    COMMANDS[name].make_context(name, words)


def test_every_flag_says_what_it_does():
    silent = [(name, p.name) for name in COMMANDS for p in cli_reference.shown(name) if not p.help]
    assert silent == []


def test_every_verb_has_the_common_flags():
    for command in COMMANDS.values():
        assert {p.name for p in command.params} >= {*EVERYWHERE}


def test_every_exit_of_a_verb_has_a_meaning():
    assert {code for name in COMMANDS for code in EXITS[name]} <= {*cli_reference.meanings()}
