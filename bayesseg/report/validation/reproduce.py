"""How to get the same numbers again."""

from __future__ import annotations

from importlib.metadata import version

from bayesseg.report.blocks import Cell, Column, Formula, Section, Table
from bayesseg.report.validation.case import Case


def section(case: Case) -> Section:
    """The command, the settings and the versions."""
    words, document = case.words, case.document
    facts = {key: document[key] for key in ("model", "seed", "engine", "draws", "time_unit")}
    rows = [
        *(
            (Cell(words(f"validation.reproduce.{key}")), Cell(words.said(str(v))))
            for key, v in facts.items()
        ),
        *((Cell(name), Cell(version(name))) for name in ("bayesseg", "pymc", "scikit-learn")),
    ]
    head = (
        Column(words("reproduce.what"), number=False),
        Column(words("reproduce.value"), number=False, wide=True),
    )
    return Section(
        "reproduce",
        words("reproduce.title"),
        words("validation.reproduce.lead"),
        (
            *((Formula(case.command),) if case.command else ()),
            Table(words("validation.reproduce.caption"), head, tuple(rows)),
        ),
        {},
    )
