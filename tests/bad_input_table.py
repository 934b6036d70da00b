"""Writes docs/bad-input.md from the folders of tests/cases: ``python tests/bad_input_table.py``."""

import re
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "bad-input.md"
HEAD = """# What becomes of bad input

Made from `tests/cases/` by `python tests/bad_input_table.py`; every line is run by the tests, through
`bayesseg check` and through the Python API. Nothing is dropped or changed without a count: rows in =
rows used + rows left out, by reason. Exit 3 refuses the data, exit 2 a flag; both say what to do.

| case | input | flags | what happens | what is said |
|---|---|---|---|---|
"""


def line(folder: Path) -> str:
    """One row of the table."""
    case = tomllib.loads((folder / "expected.toml").read_text(encoding="utf-8"))
    flags = " ".join(word.replace("{here}/", "") for word in case["args"])
    cells = [folder.name, case["what"], f"`{flags}`" if flags else "", _happens(case), _said(case)]
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _happens(case) -> str:
    if case["exit"]:
        return f"refused (exit {case['exit']})"
    rows, left = case["rows"], case["rows"]["excluded"]
    lost = "".join(f", {n} {reason.replace('_', ' ')}" for reason, n in left.items())
    return f"{rows['used']} of {rows['in']} rows used{lost}"


def _said(case) -> str:
    """The pattern that the tests look for, as a person would read it."""
    plain = re.sub(r"\(\?s\)|\\(?=\W)", "", case.get("message", ""))
    return re.sub(r"\s*\.\*\s*", " … ", re.sub(r"\[\d-\d\]|\\d\+?", "#", plain))


def page() -> str:
    """The whole page."""
    folders = sorted(path.parent for path in HERE.glob("cases/*/expected.toml"))
    return HEAD + "\n".join(map(line, folders)) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
