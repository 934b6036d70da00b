"""Rows a second and memory from purchase lines to the customer summary, beside pandas and lifetimes.

    python tests/benchmarks/ingest.py [--rows 100000000] [--memory 2] [--folder DIR] [--only NAME ...]

A script, not a test; see README.md. The log is written in chunks and deleted at the end. Every contender
is a process of its own, ended where its resident memory passes ``--memory``; one that was ended tries
again with half the rows, until it survives.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

CHUNK = 1_000_000
LINES_EACH = 25
"""Lines a customer on average."""
FIRST = dt.date(2023, 1, 2)
DAYS = 730
AS_OF = FIRST + dt.timedelta(DAYS)
SAMPLED = 0.05
"""Seconds between two looks at a contender's memory."""

type Answer = Mapping[str, float]


def write_log(path: Path, rows: int, seed: int = 3) -> None:
    """A log in time order, a row group a chunk: text ids, moments, amounts in cents as floats."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng, customers = np.random.default_rng(seed), max(rows // LINES_EACH, 1)
    schema = pa.schema(
        [("customer_id", pa.string()), ("date", pa.timestamp("us")), ("amount", pa.float64())]
    )
    start = np.datetime64(FIRST, "us").astype(np.int64)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for done in range(0, rows, CHUNK):
            n = min(CHUNK, rows - done)
            at = np.sort(rng.uniform(done, done + n, n)) / rows * DAYS * 86_400e6
            who = (customers * rng.random(n) ** 2).astype(np.int64)
            names = np.char.add("c", np.char.zfill(who.astype(str), 8))
            money = np.maximum(rng.gamma(2.0, 20.0, n).round(2), 0.01)
            days = pa.array(start + at.astype(np.int64)).cast(pa.timestamp("us"))
            writer.write_table(pa.table([pa.array(names), days, pa.array(money)], schema=schema))


def by_sql(path: Path, rows: int, memory: float) -> Answer:
    """The text of ``bayesseg sql``, run by DuckDB over the file; it spills beyond three quarters."""
    import duckdb

    from bayesseg import sql

    own = path.with_suffix(".summary.parquet")
    head = f"LIMIT {rows}" if rows < _rows(path) else ""
    text = sql.statement(
        sql.Log("orders", "customer_id", "date", "amount"), AS_OF, "duckdb", dbt=False
    )
    with tempfile.TemporaryDirectory(dir=path.parent) as spill, duckdb.connect() as connection:
        connection.execute(f"SET memory_limit = '{int(memory * 750)}MB'")
        connection.execute(f"SET temp_directory = '{spill}'")
        connection.execute("SET preserve_insertion_order = false")
        connection.execute(f"CREATE VIEW orders AS SELECT * FROM read_parquet('{path}') {head}")
        connection.execute(f"COPY ({text}) TO '{own}'")
        answer = connection.execute(
            f"SELECT count(*), sum(x), sum(t_end), sum(repeat_spend) FROM '{own}'"
        ).fetchone()
    own.unlink()
    return _answer(*answer)


def by_ingest(path: Path, rows: int, memory: float) -> Answer:
    """All that ``bayesseg fit`` reads: dialect, policies, every row accounted for, the customers."""
    from bayesseg.customers import summarise
    from bayesseg.ingest import read_purchases

    with read_purchases(path) as purchases:
        c = summarise(purchases, AS_OF)
    return _answer(len(c), c.x.sum(), c.t_end.sum(), c.repeat_spend.sum())


def by_pandas(path: Path, rows: int, memory: float) -> Answer:
    """``groupby`` by day, then by customer."""
    frame = _frame(path, rows)
    frame["date"] = frame["date"].dt.normalize()
    daily = frame.groupby(["customer_id", "date"], sort=False)["amount"].sum().reset_index()
    del frame
    by = daily.groupby("customer_id", sort=False)
    first = by["date"].transform("min")
    daily["spent"] = daily["amount"].where(daily["date"] > first, 0.0)
    table = by.agg(days=("date", "size"), first=("date", "min"), last=("date", "max"))
    table["spend"] = daily.groupby("customer_id", sort=False)["spent"].sum()
    ages = (np.datetime64(AS_OF, "s") - table["first"].to_numpy("datetime64[s]")).astype(int)
    return _answer(
        len(table), table["days"].sum() - len(table), (ages // 86_400).sum(), table["spend"].sum()
    )


def by_lifetimes(path: Path, rows: int, memory: float) -> Answer:
    """``summary_data_from_transaction_data``."""
    from lifetimes.utils import summary_data_from_transaction_data

    table = summary_data_from_transaction_data(
        _frame(path, rows), "customer_id", "date", "amount", observation_period_end=str(AS_OF)
    )
    spend = (table["frequency"] * table["monetary_value"]).sum()
    return _answer(len(table), table["frequency"].sum(), table["T"].sum(), spend)


def _rows(path: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)


def _frame(path: Path, rows: int) -> Any:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        groups = range(-(-rows // CHUNK))
        return file.read_row_groups(list(groups)).slice(0, rows).to_pandas()


def _answer(customers: Any, x: Any, age: Any, spend: Any) -> Answer:
    return {
        "customers": int(customers),
        "repeat days": int(x),
        "ages": int(age),
        "spend": round(float(spend), 2),
    }


CONTENDERS: Mapping[str, Callable[[Path, int, float], Answer]] = {
    "bayesseg sql": by_sql,
    "bayesseg ingest": by_ingest,
    "pandas groupby": by_pandas,
    "lifetimes": by_lifetimes,
}
WHOLE = ("bayesseg ingest",)
"""Contenders that take the whole file only."""


def measured(name: str, path: Path, rows: int, memory: float) -> dict[str, Any] | None:
    """One contender in a process of its own; None where it needed more memory than there is."""
    words = [sys.executable, __file__, "--one", name, "--folder", str(path)]
    words += ["--rows", str(rows), "--memory", str(memory)]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    while child.poll() is None:
        if _resident(child.pid) > memory:
            child.kill()
            child.wait()
            return None
        time.sleep(SAMPLED)
    output = child.stdout.read()
    return json.loads(output) if child.returncode == 0 else None


def _resident(pid: int) -> float:
    """GB in memory now, 0 where the process has just ended."""
    try:
        text = Path(f"/proc/{pid}/statm").read_text()
    except OSError:
        return 0.0
    return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e9 if text else 0.0


def one(name: str, path: Path, rows: int, memory: float) -> None:
    """Run a contender here and print what it found and took."""
    began = time.perf_counter()
    answer = CONTENDERS[name](path, rows, memory)
    wall, used = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    spent = {"wall": wall, "cpu": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss / 1e6}
    print(json.dumps({**spent, "answer": answer}))


def main() -> None:
    """Write the log, run the contenders, print a table, delete the log."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--memory", type=float, default=2.0, help="GB that a contender may hold")
    parser.add_argument("--folder", type=Path, help="where the log goes (default: temporary)")
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        one(asked.one, asked.folder, asked.rows, asked.memory)
        return
    with tempfile.TemporaryDirectory(dir=asked.folder, prefix="bayesseg-ingest-") as folder:
        path, began = Path(folder) / "orders.parquet", time.perf_counter()
        write_log(path, asked.rows)
        size, took = path.stat().st_size / 1e9, time.perf_counter() - began
        print(f"{asked.rows:,} lines, {size:.2f} GB of Parquet, written in {took:.0f} s")
        head = ("", "rows", "rows/s", "seconds", "CPU s", "peak GB")
        print(("{:16}" + "{:>14}" * 5).format(*head))
        answers: dict[int, Answer] = {}
        for name in asked.only:
            rows, found = asked.rows, None
            while rows and found is None:
                found = measured(name, path, rows, asked.memory)
                if found is None:
                    print(f"{name:16}{rows:>14,}{'':>14}  more than {asked.memory:g} GB")
                    rows = 0 if name in WHOLE else rows // 2
            if found is None:
                continue
            speed = f"{rows / found['wall']:,.0f}"
            print(
                f"{name:16}{rows:>14,}{speed:>14}{found['wall']:>14.1f}"
                f"{found['cpu']:>14.1f}{found['peak']:>14.2f}",
                flush=True,
            )
            first = answers.setdefault(rows, found["answer"])
            if any(abs(first[k] - v) > 1e-6 * v for k, v in found["answer"].items()):
                print(f"  differs: {found['answer']} from {first}")


if __name__ == "__main__":
    main()
