"""The cases of tests/cases as they are written down, and a small fitted run for those that need one.

A case is a folder with ``expected.toml``. One source is judged by ``bayesseg check``: ``args`` as on the
command line (``{here}`` is the folder), ``exit`` code, ``message`` (a pattern in the error, or in a
finding where the input is accepted) and the accounting of rows.

Or a case is several ``[[steps]]`` in a fresh copy of its folder, beside ``orders.csv`` (a small log),
``summary.csv`` (its customers) and ``run`` (its fit). A step is ``run``, a command line of bayesseg, or
``sh``, a script of a shell, with its ``exit`` code (0 where absent), ``message`` (a pattern in what is
said) and ``absent`` (files that must not be there).
"""

import datetime as dt
import tomllib
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from bayesseg.cli import app
from bayesseg.customers import summarise
from bayesseg.ingest import read_purchases

FOLDERS = sorted(path.parent for path in Path(__file__).parent.glob("cases/*/expected.toml"))
CASES = {
    folder.name: tomllib.loads((folder / "expected.toml").read_text(encoding="utf-8"))
    for folder in FOLDERS
}
CHECKED = {name: case for name, case in CASES.items() if "steps" not in case}
STEPPED = {name: case for name, case in CASES.items() if "steps" in case}


def folder_of(name):
    """Where a case lies."""
    return Path(__file__).parent / "cases" / name


def orders(customers=120, days=364, seed=1):
    """A log as CSV: buyers with rates, droppings-out and mean amounts of their own."""
    rng = np.random.default_rng(seed)
    lines = []
    for i in range(customers):
        day, stays = int(rng.integers(0, days // 3)), rng.beta(4.0, 1.5)
        pause, mean = 20.0 / rng.gamma(2.0), np.exp(rng.normal(3.3, 0.5))
        while day < days:
            when = dt.date(2024, 1, 1) + dt.timedelta(day)
            lines.append(f"{when},c{i:03},{mean * rng.gamma(6.0, 1 / 6):.2f}\n")
            day += 1 + int(rng.exponential(pause))
            if rng.random() > stays:
                break
    cells = (line.rstrip("\n").split(",") for line in sorted(lines))
    rows = [f"{who},{day},{amount}\n" for day, who, amount in cells]
    return "".join(["customer_id,date,amount\n", *rows])


def summary_of(log):
    """The customers of a log as CSV, one row each, as ``bayesseg sql`` has them."""
    with read_purchases(log) as purchases:
        c = summarise(purchases)
    names = ("x", "t_x", "t_end", "x_paid", "repeat_spend", "first_spend")
    columns = [c.ids.tolist(), *(getattr(c, name).tolist() for name in names)]
    head = ",".join(["customer_id", *names, "as_of", "money"])
    rows = [f"{','.join(map(str, row))},{c.as_of},revenue" for row in zip(*columns, strict=True)]
    return "\n".join([head, *rows, ""])


def prepare(folder):
    """Write ``orders.csv`` and ``summary.csv``, its customers, and fit ``run`` to it."""
    log = folder / "orders.csv"
    log.write_text(orders(), encoding="ascii")
    (folder / "summary.csv").write_text(summary_of(log), encoding="ascii")
    words = ["fit", log, "--model", "bgnbd", "--engine", "laplace", "-o", folder / "run"]
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == 0, done.stderr
