"""Small score files that change from day to day, and what a table of a server holds."""

import datetime as dt
import json
from contextlib import contextmanager

import numpy as np
import pandas as pd

from bayesseg._files import sha256_of
from bayesseg.cli import scorefile

START = dt.date(2026, 1, 1)
GATE = {
    "name": "completeness",
    "part": "purchase",
    "value": 0.0,
    "limit": 0.0,
    "passed": True,
    "severity": "hard",
    "advice": "fit again",
    "kind": "computation",
    "detail": "",
    "verdict": "passed",
    "waiver": None,
}
HOSTILE = (
    "'; DROP TABLE crm.scores; --",
    '"quoted"',
    "=cmd|'/c calc'!A1",
    "0007",
    "%s $1 {} \\x",
    "Zoë 🛒",
    "null",
    "a" * 300,
    "\x1b[31mred",
    "\u202eright to left",
    "<img src=x onerror=alert(1)>",
)


def scores(day=0, n=40, *, ids=None, verdict="passed", model="bgnbd"):
    """A score table and its document; no row of a day says what it says within seven days."""
    ids = [f"c{i:05d}" for i in range(n)] if ids is None else list(ids)
    value = (100 + np.arange(len(ids)) % 50) * 2.0 ** (day % 8)
    at = dt.datetime(2026, 1, 1, 3, tzinfo=dt.UTC) + dt.timedelta(days=day)
    table = pd.DataFrame(
        {
            "customer_id": pd.Series(ids, dtype="str"),
            "p_churn": 0.2,
            "expected_purchases": value / 100,
            "clv": value,
            "clv_pred_lo": 0.0,
            "clv_pred_hi": 2 * value,
            "value_at_risk": value / 3,
            "model_id": f"model-{model}",
            "verdict": verdict,
            "scored_at": pd.Timestamp(at),
        }
    )
    document = {
        "schema_version": 1,
        "model": model,
        "model_id": f"model-{model}",
        "as_of": str(START + dt.timedelta(days=day)),
        "scored_at": at.isoformat(),
        "verdict": verdict,
        "verdicts": {
            part: {"computation": verdict, "forecast": "passed", "reasons": []}
            for part in ("purchase", "spend")
        },
        "gates": [
            GATE | {"part": part, "verdict": verdict, "passed": verdict == "passed"}
            for part in ("purchase", "spend")
        ],
        "segments": [],
        "table": {"rows": len(ids), "sha256": f"day {day}"},
    }
    return table, document


def write(folder, name="scores.parquet", *args, **kwargs):
    """The same as files."""
    table, document = scores(*args, **kwargs)
    path = folder / name
    path.write_bytes(scorefile.encoded(table, "parquet"))
    document["table"]["sha256"] = sha256_of(path)
    path.with_suffix(".json").write_text(json.dumps(document))
    return path


@contextmanager
def server(dsn):
    """Ask the server: ``ask("SELECT ...")`` gives rows."""
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(dsn, autocommit=True) as connection, connection.cursor() as cursor:

        def ask(statement, *values):
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

        yield ask


def held(ask, table, model="bgnbd"):
    """What a table holds, id to the rest of the row, without when it was written."""
    rows = ask(
        "SELECT customer_id, clv, p_churn, value_band, scored_at, active "
        f"FROM {table} WHERE model_name = $1::text",
        model,
    )
    return {key: tuple(rest) for key, *rest in rows}
