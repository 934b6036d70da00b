"""A Snowflake emulator for the tests: fakesnow, in an environment of its own, for it pins its tools."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ABSENT = (
    "fakesnow cannot be had here (uv and a package index): nothing is asked of a Snowflake emulator"
)
NEEDS = ("fakesnow>=0.12,<0.13", "snowflake-connector-python[pandas]>=4,<5")
_TYPES = {"O": "VARCHAR", "f": "DOUBLE", "M": "TIMESTAMP_NTZ", "i": "BIGINT", "b": "BOOLEAN"}


@pytest.fixture(scope="session")
def snowflake():
    """The emulator as a process that answers; see :func:`ask`."""
    if shutil.which("uv") is None:
        pytest.skip(ABSENT)
    needs = [word for need in NEEDS for word in ("--with", need)]
    uv = ["uv", "run", "--quiet", "--isolated", "--no-project", "--python", sys.executable, *needs]
    outside = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    process = subprocess.Popen(
        [*uv, "python", Path(__file__).with_name("snowflake_emulator.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=outside,
    )
    with process:
        if process.stdout.readline() != "ready\n":
            pytest.skip(ABSENT)
        yield process
        process.stdin.close()


def ask(process, frame, text, table="orders"):
    """Names and rows that the emulator answers to ``text`` about ``frame`` as ``shop.orders``.

    Under another name, ``table``, the frame stays for later questions.
    """
    kinds = {
        name: "DATE"
        if column.map(type).astype(str).str.endswith("date'>").any()
        # a moment with a zone, which no kind of NumPy is
        else "TIMESTAMP_TZ"
        if str(column.dtype).endswith("UTC]")
        else _TYPES.get(column.dtype.kind, "VARCHAR")
        for name, column in frame.items()
    }
    cells = frame.astype(object).where(frame.notna(), None)
    rows = [[cell if cell is None else str(cell) for cell in row] for row in cells.to_numpy()]
    asked = {"table": table.upper(), "columns": kinds, "rows": rows, "sql": text}
    process.stdin.write(json.dumps(asked) + "\n")
    process.stdin.flush()
    answer = json.loads(process.stdout.readline())
    assert "error" not in answer, answer
    return answer["names"], answer["rows"]
