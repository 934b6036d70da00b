"""Writes docs/bad-input.md from the folders of tests/cases: ``python tests/bad_input_table.py``."""

import re
from pathlib import Path

from bad_input_case import CASES

PAGE = Path(__file__).parents[1] / "docs" / "bad-input.md"
HEAD = """# What becomes of bad input

Made from `tests/cases/` by `python tests/bad_input_table.py`; every line is run by the tests: a source
through `bayesseg check` and through the Python API, several commands as they stand. Nothing is dropped
or changed without a count: rows in = rows used + rows left out, by reason. Exit 3 refuses the data,
exit 2 a flag, exit 5 a run or scores, exit 8 a place where somebody else is writing, exit 9 a machine
without room; all say what to do. Exit 4 keeps what is not trusted under a name of its own.

| case | input | flags or commands | what happens | what is said |
|---|---|---|---|---|
"""
FOOT = """
Number 99, a table in a warehouse whose columns do not fit, needs a server and so no folder here:
`tests/test_push_postgres.py` runs it against PostgreSQL. `bayesseg push` refuses it with exit 7 (code
`table_differs`), writes nothing and says what its owner has to run.
"""

KEPT, KILLED = 4, 137
"""Exit codes of a result that is kept under another name, and of a process that was killed."""


def line(name, case) -> str:
    """One row of the table."""
    cells = [name, case["what"], *(_steps(case["steps"]) if "steps" in case else _source(case))]
    return f"| {' | '.join(cell.replace('|', '/').replace(chr(10), ' ') for cell in cells)} |"


def _source(case) -> list[str]:
    flags = " ".join(word.replace("{here}/", "") for word in case["args"])
    return [f"`{flags}`" if flags else "", _happens(case), _said(case)]


def _happens(case) -> str:
    if case["exit"]:
        return f"refused (exit {case['exit']})"
    rows, left = case["rows"], case["rows"]["excluded"]
    lost = "".join(f", {n} {reason.replace('_', ' ')}" for reason, n in left.items())
    return f"{rows['used']} of {rows['in']} rows used{lost}"


def _steps(steps) -> list[str]:
    """The calls of bayesseg, how they end and what they say; how files are damaged stays aside."""
    ours = [step for step in steps if _calls(step)]
    codes = [step.get("exit", 0) for step in ours]
    refused = sorted({code for code in codes if code not in (0, KEPT, KILLED)})
    happens = [f"refused (exit {', '.join(map(str, refused))})"] * bool(refused)
    happens += ["kept, untrusted (exit 4)"] * (KEPT in codes) + ["goes on"] * (codes[-1] == 0)
    return [
        "; ".join(f"`{call}`" for step in ours for call in _calls(step)),
        ", ".join(happens),
        "; ".join(dict.fromkeys(filter(None, map(_said, steps)))),
    ]


def _calls(step) -> list[str]:
    if "run" in step:
        return [step["run"].strip()]
    return re.findall(r"bayesseg (\w[^;&|\n]*?)(?= *(?:\d?>|<&|[;&|\n]|$))", step["sh"])


def _said(case) -> str:
    """The pattern that the tests look for, as a person would read it."""
    plain = re.sub(r"\(\?s\)|\(\?!.*?\)|^\^|\\(?=\W)", "", case.get("message", ""))
    return re.sub(r"\s*\.\*\s*", " … ", re.sub(r"\[\d-\d\]\+?|\\d\+?", "#", plain))


def page() -> str:
    """The whole page."""
    return HEAD + "\n".join(line(name, case) for name, case in CASES.items()) + "\n" + FOOT


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
