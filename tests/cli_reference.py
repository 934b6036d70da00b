"""Writes docs/cli.md from the commands themselves: ``python tests/cli_reference.py``."""

import inspect
import re
from pathlib import Path
from typing import get_args

from typer.main import get_command

from bayesseg import errors
from bayesseg.cli import app
from bayesseg.cli.flags import SourceFlags
from bayesseg.cli.shell import SIGNALS, Shell

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"
COMMANDS = get_command(app).commands
EVERYWHERE = (*inspect.signature(Shell).parameters,)
"""Names of the flags that every verb has."""
READING = (*inspect.signature(SourceFlags).parameters,)
"""Names of the flags that verbs have which read a purchase log."""
ALWAYS = (0, 1, 2)
EXITS = {
    "run": (3, 4, 7, 8, 9, 130, 143),
    "demo": (8, 9, 130, 143),
    "check": (3, 9),
    "fit": (3, 4, 5, 8, 9, 130, 143),
    "score": (3, 4, 5, 8, 9),
    "segments": (4, 5, 8, 9),
    "compare": (3, 5, 8, 9),
    "stability": (3, 4, 5, 8, 9),
    "drift": (3, 4, 5, 8, 9),
    "report": (4, 5, 8, 9),
    "prioritise": (3, 4, 5, 8, 9),
    "export": (4, 5, 7, 8, 9),
    "push": (4, 5, 6, 7, 8, 9),
    "validate": (3, 4, 5, 8, 9),
    "stream": (3, 4, 5, 6, 8, 9),
    "sql": (),
    "init": (3, 9),
    "inspect": (5,),
    "verify": (4, 5),
    "erase": (3, 5, 8, 9),
    "doctor": (9,),
}
"""What a verb may exit with beside 0, 1 and 2."""
_KINDS = {bool: "", str: "TEXT", int: "INTEGER", float: "NUMBER", Path: "PATH"}
_HEAD = """# Commands

Made by `python tests/cli_reference.py` from the commands; a test makes it again and compares.

Data go to stdout, everything said goes to stderr; `-` is stdin or stdout. A secret is never given as a
flag, only as the name of a variable (`env:NAME`) or of a file.
"""


def page() -> str:
    """The whole page."""
    verbs = ", ".join(f"[{name}](#{name})" for name in COMMANDS)
    parts = [_HEAD, _exits(), _shared(), f"## Verbs\n\n{verbs}.\n"]
    return "\n".join([*parts, *map(_verb, COMMANDS)])


def example(name: str) -> str:
    """The command that the help of a verb ends with."""
    words = inspect.cleandoc(COMMANDS[name].help).replace("\b", "").partition("Example:")[2]
    return " ".join(words.split())


def shown(name: str) -> list:
    """The arguments and flags of a verb that are its own, arguments first."""
    params = COMMANDS[name].params
    shared = {*EVERYWHERE, "help", *(READING if reads(name) else ())}
    own = [p for p in params if p.name not in shared and not getattr(p, "hidden", False)]
    return sorted(own, key=lambda p: p.param_type_name == "option")


def reads(name: str) -> bool:
    """Whether a verb has all the flags about DATA."""
    return {*READING} <= {p.name for p in COMMANDS[name].params}


def meanings() -> dict[int, str]:
    """What each exit code means."""
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind)]
    told = {
        kind.exit_code: kind.__doc__.partition(" (exit")[0].rstrip(".")
        for kind in kinds
        if kind is not errors.BayessegError and issubclass(kind, errors.BayessegError)
    }
    stopped = {code: f"{word}; nothing half is left" for code, word in SIGNALS.values()}
    return {0: "Done", 1: "A mistake of ours", **dict(sorted(told.items())), **stopped}


def _exits() -> str:
    body = [(code, meaning) for code, meaning in meanings().items()]
    return f"## Exit codes\n\n{_table(('exit', 'meaning'), body)}\n"


def _shared() -> str:
    params = next(COMMANDS[name].params for name in COMMANDS if reads(name))
    common, reading = (
        _flags(p for p in params if p.name in names) for names in (EVERYWHERE, READING)
    )
    return f"## Flags of every verb\n\n{common}\n\n## Flags about DATA\n\n{reading}\n"


def _verb(name: str) -> str:
    text = inspect.cleandoc(COMMANDS[name].help).replace("\b", "").partition("Example:")[0].strip()
    exits = ", ".join(map(str, sorted((*ALWAYS, *EXITS[name]))))
    blocks = [f"### {name}", text, f"```console\n$ {example(name)}\n```"]
    if shown(name):
        blocks.append(_flags(shown(name)))
    if reads(name):
        blocks.append("And all [flags about DATA](#flags-about-data).")
    return "\n\n".join([*blocks, f"Exits: {exits}."]) + "\n"


def _flags(params) -> str:
    head = ("argument or flag", "takes", "default", "environment", "what it does")
    return _table(head, [_flag(p) for p in params])


def _flag(param) -> tuple[str, ...]:
    option = param.param_type_name == "option"
    name = ", ".join(f"`{word}`" for word in (*param.opts, *param.secondary_opts))
    switch = option and param.is_flag
    annotation = param.type_descriptor.annotation
    kind = param.metavar or _KINDS[(*get_args(annotation), annotation)[0]]
    takes = "" if switch else f"`{kind}`{_range(param)}"
    repeated = ", repeated" if option and param.multiple else ""
    given = param.default not in (None, False, [], ())
    default = "required" if param.required else f"`{param.default}`" if given else ""
    variable = f"`{param.envvar}`" if param.envvar else ""
    text = name if option else f"`{param.metavar or param.name.upper()}`"
    return text, takes if not option else takes + repeated, default, variable, param.help or ""


def _range(param) -> str:
    least, most = param.min, param.max
    if most is not None:
        return f" from {least} to {most}"
    return "" if least is None else f" from {least}"


def _table(head, body) -> str:
    lines = [head, ["---"] * len(head), *body]
    cells = ([re.sub(r"\s+", " ", str(c)).replace("|", "\\|") for c in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
