"""Seconds and memory of a fit and of scores as the customers grow, and how far histories collapse.

    python tests/benchmarks/scale.py [--customers 100000 1000000 10000000] [--steps fit score]
    python tests/benchmarks/scale.py --steps distinct --customers 1000000 10000000 100000000

A script, not a test; see README.md. Every command is a process of its own. Memory is the proportional
share of a command and all its processes together (PSS), sampled.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bayesseg._compiled import compiled
from bayesseg._random import beta, exponential, gamma, stream, uniform

DAYS = 730
AS_OF = "2025-01-01"
PURCHASE = {"r": 0.2426, "alpha": 4.4136, "a": 0.793, "b": 2.426}
"""BG/NBD in weeks: the published CDNOW fit (Fader, Hardie & Lee 2005)."""
SPEND = {"p": 6.25, "q": 3.74, "v": 15.44}
"""Gamma-Gamma: the published CDNOW fit."""
CHUNK = 250_000
_PURCHASE, _SPEND = 1001, 1002


@compiled
def _simulate(first, seed, days, r, alpha, a, b, p, q, v, whole, money):  # type: ignore[no-untyped-def]
    """Fill ``whole`` (N, 4): x, t_x, t_end, orders, and ``money`` (N, 2): repeat and first spend."""
    for i in range(len(whole)):
        state = stream(np.uint64(first + i), np.uint64(seed), np.uint64(_PURCHASE))
        purse = stream(np.uint64(first + i), np.uint64(seed), np.uint64(_SPEND))
        state, start = uniform(state)
        state, rate = gamma(state, r)
        state, leaves = beta(state, a, b)
        purse, nu = gamma(purse, q)
        begun, now = int(start * days), start * days
        x, last, orders = 0, begun, 0
        spent, spent_first = 0.0, 0.0
        while now < days:
            day = int(now)
            x += day > last
            last = day
            orders += 1
            purse, order = gamma(purse, p)
            cents = max(np.rint(order * v / nu * 100.0), 1.0)
            if day == begun:
                spent_first += cents
            else:
                spent += cents
            if orders > 1:
                state, u = uniform(state)
                if u < leaves:
                    break
            state, gap = exponential(state)
            now += gap / (rate * (1.0 / alpha) / 7.0)
        whole[i, 0], whole[i, 1], whole[i, 2], whole[i, 3] = x, last - begun, days - begun, orders
        money[i, 0], money[i, 1] = spent / 100.0, spent_first / 100.0


def simulate(first: int, count: int, seed: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Customers ``first`` to ``first + count``, who come evenly over two years and buy to the day.

    A customer is the same whatever the chunk.

    Returns:
        x, t_x, t_end (days) and orders, (count, 4); repeat and first spend in whole cents, (count, 2).
    """
    whole, money = np.empty((count, 4), np.int64), np.empty((count, 2))
    _simulate(first, seed, DAYS, *PURCHASE.values(), *SPEND.values(), whole, money)
    return whole, money


def chunks(customers: int) -> Iterator[tuple[int, int]]:
    """Where each chunk begins and how many customers it has."""
    for first in range(0, customers, CHUNK):
        yield first, min(CHUNK, customers - first)


def written(path: Path, customers: int) -> Path:
    """The customers as a summary that ``--summary`` reads, a row group a chunk; made once."""
    if path.exists():
        return path
    schema = pa.schema(
        [
            ("customer_id", pa.string()),
            *((name, pa.int64()) for name in ("x", "t_x", "t_end", "x_paid", "n_orders")),
            *((name, pa.float64()) for name in ("repeat_spend", "first_spend")),
            ("as_of", pa.string()),
            ("money", pa.string()),
        ]
    )
    half = path.with_suffix(".half")
    with pq.ParquetWriter(half, schema, compression="zstd") as writer:
        for first, count in chunks(customers):
            whole, money = simulate(first, count)
            ids = pa.array(np.char.mod("C%09d", np.arange(first, first + count)))
            x, t_x, t_end, orders = whole.T
            said = (pa.repeat(AS_OF, count), pa.repeat("revenue", count))
            columns = (ids, x, t_x, t_end, x, orders, money[:, 0], money[:, 1], *said)
            arrays = [pa.array(one) for one in columns]
            writer.write_table(pa.table(arrays, schema=schema), row_group_size=CHUNK)
    half.rename(path)
    return path


# ---------------------------------------------------------------- how far histories collapse

UNITS = {"days": 1, "whole weeks": 7, "whole months": 30}


def rounded(x: np.ndarray, t_x: np.ndarray, t_end: np.ndarray, days: int) -> tuple[np.ndarray, ...]:
    """The history on a clock of so many days, to the nearest; still one that can be."""
    last = np.maximum((t_x + days // 2) // days * days, x)
    return x, last, np.maximum((t_end + days // 2) // days * days, last)


def merged(pieces: Sequence[np.ndarray]) -> np.ndarray:
    """Sorted distinct keys of all pieces."""
    return np.unique(np.concatenate(pieces))


def distinct(customers: Sequence[int]) -> None:
    """Print the distinct histories by clock, and pairs of paid days and spend, after each number."""
    held: dict[str, list[np.ndarray]] = {}
    print("customers", *UNITS, "spend", sep="\t")
    for first, count in chunks(max(customers)):
        whole, money = simulate(first, count)
        x, t_x, t_end, _ = whole.T
        found = {
            name: np.ravel_multi_index(rounded(x, t_x, t_end, days), (1024, 1024, 1024))
            for name, days in UNITS.items()
        }
        cents = np.rint(money[x > 0, 0] * 100).astype(np.int64)
        found["spend"] = x[x > 0] * 2**40 + cents
        for name, keys in found.items():
            held.setdefault(name, []).append(np.unique(keys))
        asked = first + count in customers
        if asked or len(held["spend"]) == 20:
            held = {name: [merged(pieces)] for name, pieces in held.items()}
        if asked:
            print(
                first + count, *(len(pieces[0]) for pieces in held.values()), sep="\t", flush=True
            )


# ---------------------------------------------------------------- fit and score

HISTOGRAM = """
COPY (SELECT x, {t_x} AS t_x, {t_end} AS t_end, x_paid, repeat_spend, count(*) AS n, as_of, money
      FROM '{path}' GROUP BY ALL) TO '{out}'
"""
_WEEK = "greatest((t_x + 3) // 7 * 7, x)"
SOURCES: Mapping[str, tuple[str, str] | None] = {
    "customers": None,
    "histogram": ("t_x", "t_end"),
    "whole weeks": (_WEEK, f"greatest((t_end + 3) // 7 * 7, {_WEEK})"),
}
"""What a fit reads: customers with ids, distinct histories with n, or these on a clock of weeks."""
TRUTH = {**PURCHASE, **SPEND}


@dataclass(frozen=True, slots=True)
class Spent:
    """Wall-clock and processor seconds of a command, and the peak of its memory in GiB."""

    seconds: float
    cpu: float
    peak: float

    def __str__(self) -> str:
        return f"{self.seconds:8.1f} s  cpu {self.cpu:8.1f} s  peak {self.peak:5.2f} GiB"


def _family(pid: int) -> Iterator[int]:
    """A process and all that came from it."""
    yield pid
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _family(int(child))
    except OSError:  # it ended while we looked
        return


def _share(pid: int) -> int:
    """Bytes of a process, each page divided by those who share it."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(one.split()[1]) * 1024 for one in lines if one.startswith("Pss:")), 0)


def run(*words: object) -> Spent:
    """One command of bayesseg, watched five times a second."""
    began, peak = time.perf_counter(), 0
    with tempfile.TemporaryFile() as said:
        line = [sys.executable, "-m", "bayesseg", *map(str, words)]
        child = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=said)
        while not (done := os.wait4(child.pid, os.WNOHANG))[0]:
            peak = max(peak, sum(map(_share, _family(child.pid))))
            time.sleep(0.2)
        _, status, used = done
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            said.seek(0)
            raise SystemExit(f"{' '.join(line)}\n{said.read().decode()}")
    spent = time.perf_counter() - began
    return Spent(spent, used.ru_utime + used.ru_stime, peak / 2**30)


def _source(path: Path, kind: str) -> Path:
    """The table of a kind in ``SOURCES``; made once."""
    columns, out = SOURCES[kind], path.with_name(f"{path.stem}-{kind.replace(' ', '-')}.parquet")
    if columns is None:
        return path
    if not out.exists():
        duckdb.sql(HISTOGRAM.format(path=path, out=out, t_x=columns[0], t_end=columns[1]))
    return out


def fit(path: Path) -> None:
    """Fit each kind of table, and say how far posterior means lie from what the customers follow."""
    for kind in SOURCES:
        source, out = (
            _source(path, kind),
            path.with_name(f"{path.stem}-{kind.replace(' ', '-')}-run"),
        )
        spent = run(
            "fit", "--summary", source, "--model", "bgnbd", "-o", out, "--force", "--seed", 1
        )
        rows = pq.read_metadata(source).num_rows
        print(f"fit {path.stem}, {kind:12s}{rows:12,} rows {spent}", flush=True)
        for part in json.loads((out / "summary.json").read_text())["priors"].values():
            for one in part:
                if one["name"] in TRUTH:
                    off = one["mean"] - TRUTH[one["name"]]
                    print(
                        f"    {one['name']:6s}{one['mean']:10.4f} sd {one['sd']:.5f}: "
                        f"{off / TRUTH[one['name']]:+.1%}, {off / one['sd']:+.1f} sd from the truth"
                    )


def score(path: Path) -> None:
    """Score all customers by the command line, with a fit of the histogram of the same."""
    out = path.with_name(f"{path.stem}-histogram-run")
    if not out.exists():
        source = _source(path, "histogram")
        run("fit", "--summary", source, "--model", "bgnbd", "-o", out, "--seed", 1)
    spent = run(
        "score", out, "--summary", path, "--force", "-o", path.with_suffix(".scores.parquet")
    )
    customers = pq.read_metadata(path).num_rows
    print(f"score {path.stem} {spent}  {customers / spent.seconds:10,.0f} customers/s", flush=True)


STEPS: Mapping[str, Callable[[Path], None]] = {"fit": fit, "score": score}


def main() -> None:
    """Read the flags, make the customers, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--customers", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000]
    )
    parser.add_argument("--steps", nargs="+", choices=[*STEPS, "distinct"], default=[*STEPS])
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "scale-benchmark"
    )
    asked = parser.parse_args()
    if "distinct" in asked.steps:
        distinct(asked.customers)
    asked.folder.mkdir(parents=True, exist_ok=True)
    for step in STEPS:
        for customers in asked.customers if step in asked.steps else ():
            STEPS[step](written(asked.folder / f"customers-{customers}.parquet", customers))


if __name__ == "__main__":
    main()
