"""Seconds and memory from a purchase log to the value of every customer, beside lifetimes.

    python tests/benchmarks/clv.py [--customers 1000000] [--repeats 3] [--folder DIR] [--only NAME ...]

A script, not a test; see README.md. Every contender is a process of its own, on the same machine and
the same files, in alternating order; the table shows medians and their ratio to lifetimes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
DAYS = 730
FIRST = np.datetime64("2023-01-02")
AS_OF = FIRST + np.timedelta64(DAYS, "D")
PURCHASE = {"r": 0.2426, "alpha": 4.4136, "a": 0.793, "b": 2.426}
"""BG/NBD in weeks: the published CDNOW fit (Fader, Hardie & Lee 2005)."""
SPEND = {"p": 6.25, "q": 3.74, "v": 15.44}
"""Gamma-Gamma: the published CDNOW fit."""


@dataclass(frozen=True, slots=True)
class Files:
    """One purchase log twice: ``customer_id`` (text), ``date`` (day), ``amount``."""

    csv: Path
    parquet: Path


@dataclass(frozen=True, slots=True)
class Spent:
    """What one contender took: wall-clock seconds by phase, CPU seconds, peak resident memory in GB."""

    phases: Mapping[str, float]
    cpu: float
    peak: float
    said: Mapping[str, Any] = field(default_factory=dict)

    @property
    def total(self) -> float:
        """Seconds of all phases."""
        return sum(self.phases.values())


def simulate(customers: int, seed: int = 7) -> pd.DataFrame:
    """A log of customers who come evenly over two years and buy as BG/NBD says, to the day."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, DAYS, customers)
    rate = rng.gamma(PURCHASE["r"], 1 / PURCHASE["alpha"], customers) / 7
    drop = rng.beta(PURCHASE["a"], PURCHASE["b"], customers)
    who, at = [np.arange(customers)], [start]
    here, now = who[0], start
    while len(here):
        with np.errstate(over="ignore", divide="ignore"):
            now = now + rng.exponential(size=len(here)) / rate[here]
        here, now = here[now < DAYS], now[now < DAYS]
        who, at = [*who, here], [*at, now]
        stays = rng.random(len(here)) >= drop[here]
        here, now = here[stays], now[stays]
    buyer, days = np.concatenate(who), np.concatenate(at).astype(np.int64)
    each = rng.gamma(SPEND["q"], 1 / SPEND["v"], customers)
    amount = np.maximum(rng.gamma(SPEND["p"], 1 / each[buyer]).round(2), 0.01)
    order = rng.permutation(len(buyer))
    return pd.DataFrame(
        {
            "customer_id": np.char.mod("C%07d", buyer[order]),
            "date": (FIRST + days[order]).astype("datetime64[s]"),
            "amount": amount[order],
        }
    )


def written(folder: Path, customers: int) -> Files:
    """The files of so many customers, made once."""
    files = Files(folder / f"log-{customers}.csv", folder / f"log-{customers}.parquet")
    if not (files.csv.exists() and files.parquet.exists()):
        log = simulate(customers)
        log.to_parquet(files.parquet, index=False)
        log.assign(date=log["date"].dt.strftime("%Y-%m-%d")).to_csv(files.csv, index=False)
    return files


# ---------------------------------------------------------------- contenders


def lifetimes(log: Path) -> dict[str, float]:
    """What lifetimes' own Quickstart does, on a daily clock: point fits and 12-month values.

    Runs in a child of this script. Imports are a phase of their own; the repeat buyers alone go into
    the Gamma-Gamma fit, as its documentation asks.
    """
    seconds: dict[str, float] = {}
    began = time.perf_counter()

    def lap(phase: str) -> None:
        nonlocal began
        now = time.perf_counter()
        seconds[phase], began = now - began, now

    from lifetimes import BetaGeoFitter, GammaGammaFitter
    from lifetimes.utils import summary_data_from_transaction_data

    lap("import")
    if log.suffix == ".csv":
        orders = pd.read_csv(log, dtype={"customer_id": "str"}, parse_dates=["date"])
    else:
        orders = pd.read_parquet(log)
    lap("read")
    summary = summary_data_from_transaction_data(
        orders,
        "customer_id",
        "date",
        monetary_value_col="amount",
        observation_period_end=pd.Timestamp(AS_OF),
    )
    lap("summary")
    bought = BetaGeoFitter().fit(summary["frequency"], summary["recency"], summary["T"])
    lap("BG/NBD")
    again = summary[(summary["frequency"] > 0) & (summary["monetary_value"] > 0)]
    spent = GammaGammaFitter().fit(again["frequency"], again["monetary_value"])
    lap("Gamma-Gamma")
    value = spent.customer_lifetime_value(
        bought,
        summary["frequency"],
        summary["recency"],
        summary["T"],
        summary["monetary_value"],
        time=12,
        discount_rate=1.1 ** (1 / 12) - 1,
        freq="D",
    )
    lap("value")
    summary.assign(clv=value).to_parquet(log.with_name("lifetimes.parquet"))
    lap("write")
    return seconds


def _command(words: Sequence[object], folder: Path) -> tuple[float, float, float]:
    """Seconds, CPU seconds and peak memory (GB, the largest process) of one command."""
    began = time.perf_counter()
    child = subprocess.Popen(
        [str(word) for word in words],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert child.stderr is not None
    said = child.stderr.read().decode()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    spent = time.perf_counter() - began
    if child.returncode not in (0, 4):  # 4: a statistical gate failed, and the result is there
        raise SystemExit(f"{' '.join(map(str, words))}\n{said}")
    return spent, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024**2


def ours(*flags: str, engine: str = "auto", model: str = "bgnbd") -> Callable[[Path, Path], Spent]:
    """``bayesseg fit`` and ``bayesseg score`` as a user types them, two processes."""

    def contend(log: Path, folder: Path) -> Spent:
        run, out = folder / "run", folder / "scores.parquet"
        cli = (sys.executable, "-m", "bayesseg")
        source = ("--as-of", str(AS_OF))
        shutil.rmtree(run, ignore_errors=True)
        fit = (*cli, "fit", log, "--model", model, "--engine", engine, *source, "-o", run)
        score = (*cli, "score", run, log, *source, *flags, "--force", "-o", out)
        fitted, fit_cpu, fit_peak = _command(fit, folder)
        scored, score_cpu, score_peak = _command(score, folder)
        manifest = json.loads((run / "manifest.json").read_text())
        return Spent(
            {"fit": fitted, "score": scored},
            fit_cpu + score_cpu,
            max(fit_peak, score_peak),
            {"inside fit": manifest["seconds"], "verdicts": manifest["verdicts"]},
        )

    return contend


def peer(log: Path, folder: Path) -> Spent:
    """This script again, as a process that runs :func:`lifetimes`."""
    out = folder / "lifetimes.json"
    spent, cpu, peak = _command((sys.executable, __file__, "--lifetimes", log, out), folder)
    phases = json.loads(out.read_text())
    return Spent({"start": spent - sum(phases.values()), **phases}, cpu, peak)


CONTENDERS: Mapping[str, Callable[[Path, Path], Spent]] = {
    "lifetimes": peer,
    "bayesseg": ours("--no-predictive"),
    "bayesseg, realised values too": ours(),
    "bayesseg, nuts": ours("--no-predictive", engine="nuts"),
}
"""Their own environment keeps pymc-marketing out of this table: see ``pymc_marketing.py``."""


# ---------------------------------------------------------------- the run


def compare(log: Path, names: Sequence[str], repeats: int) -> dict[str, list[Spent]]:
    """Every contender ``repeats`` times, the order turned round each time."""
    found: dict[str, list[Spent]] = {name: [] for name in names}
    for turn in range(repeats):
        for name in names if turn % 2 == 0 else reversed(names):
            with tempfile.TemporaryDirectory() as folder:
                found[name].append(CONTENDERS[name](log, Path(folder)))
            print(f"{log.suffix[1:]}: {name}: {found[name][-1].total:.1f} s", file=sys.stderr)
    return found


def show(found: Mapping[str, Sequence[Spent]]) -> None:
    """One line a contender: medians of seconds (in all and by phase), of memory, and the ratio."""
    base = found.get("lifetimes") and statistics.median(s.total for s in found["lifetimes"])
    for name, runs in found.items():
        total = statistics.median(s.total for s in runs)
        phases = ", ".join(
            f"{phase} {statistics.median(s.phases[phase] for s in runs):.1f}"
            for phase in runs[0].phases
        )
        ratio = f"  {total / base:5.2f} x lifetimes" if base else ""
        cpu, peak = (
            statistics.median(getattr(s, which) for s in runs) for which in ("cpu", "peak")
        )
        print(f"{name:32s}{total:7.1f} s{ratio}  cpu {cpu:.1f} s  peak {peak:.2f} GB  ({phases})")
        for what, said in runs[-1].said.items():
            print(f"    {what}: {said}")


def main() -> None:
    """Read the flags, make the data, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    folder = Path(tempfile.gettempdir()) / "clv-benchmark"
    parser.add_argument("--folder", type=Path, default=folder)
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    kinds = ("csv", "parquet")
    parser.add_argument("--format", nargs="+", choices=kinds, default=kinds)
    parser.add_argument("--lifetimes", nargs=2, type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.lifetimes:
        log, out = given.lifetimes
        out.write_text(json.dumps(lifetimes(log)))
        return
    given.folder.mkdir(parents=True, exist_ok=True)
    files = written(given.folder, given.customers)
    for kind in given.format:
        log = getattr(files, kind)
        print(f"\n{given.customers:,} customers, {log.name}, {os.cpu_count()} cores")
        show(compare(log, given.only, given.repeats))


if __name__ == "__main__":
    main()
