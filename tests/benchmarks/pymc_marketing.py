"""The same posterior and the same customer values, beside pymc-marketing.

    python tests/benchmarks/pymc_marketing.py --peer PYTHON [--repeats 3] [--draws 400]
        [--peer-draws 4000] [--folder DIR]

A script, not a test; see README.md. PYTHON is the interpreter of an environment of its own that holds
pymc-marketing 1.3 and nutpie. Every contender is a process of its own, on the same machine and the same
customers (the CDNOW master file that lifetimes ships, up to 1997-09-30, in weeks), in alternating order.

pymc-marketing gets our priors, not its own (which shut the CDNOW values out), in our parametrisation,
and the same sampler (nutpie): what is compared is the likelihood and what is done with the draws.
Values are computed as each does by default: from all 4,000 draws there, from 400 thinned ones here,
whose Monte-Carlo error the score document states. ``--peer-draws 400`` compares them draw by draw.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

AS_OF = "1997-09-30"
NAMES = ("r", "alpha", "a", "b")
CHAINS, DRAWS, TUNE, SEED = 4, 1000, 1000, 1
ANNUAL = 0.10
BOTH = ("bayesseg", "pymc-marketing")


def peak() -> float:
    """Largest resident memory of this process so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


# ---------------------------------------------------------------- bayesseg


def customers() -> Any:
    """The master file as customers."""
    from importlib.util import find_spec

    import bayesseg as bs

    spec = find_spec("lifetimes")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0]) / "datasets" / "CDNOW_master.txt"
    names = ["customer_id", "date", "cds", "amount"]
    orders = pd.read_csv(path, sep=r"\s+", header=0, names=names, dtype={"customer_id": str})
    orders["date"] = pd.to_datetime(orders["date"].astype(str))
    return bs.summarise(orders[["customer_id", "date", "amount"]], as_of=AS_OF)


def prepare(folder: Path) -> None:
    """The customers for the peer, the prior scales, and a run to score from."""
    from dataclasses import replace

    import bayesseg as bs
    from bayesseg.priors import scales_of
    from bayesseg.spec import load_spec

    people, spec = customers(), load_spec("bgnbd")
    columns = people.columns(spec.unit_days)
    paid = np.maximum(people.x_paid, 1)
    pd.DataFrame(
        {
            "customer_id": people.ids,
            "frequency": columns["x"],
            "recency": columns["t_x"],
            "T": columns["T"],
            "paid": people.x_paid,
            "monetary_value": people.repeat_spend / paid,
        }
    ).to_csv(folder / "customers.csv", index=False)
    (folder / "scales.json").write_text(json.dumps(scales_of(columns)))
    parts = {name: replace(part, engine="nuts") for name, part in spec.parts.items()}
    bs.save(bs.fit(people, replace(spec, parts=parts), seed=SEED), folder / "run")


def sample_bayesseg(folder: Path) -> dict[str, Any]:
    """Compile and sample BG/NBD as ``bayesseg fit --engine nuts`` does."""
    from bayesseg.families import FAMILIES
    from bayesseg.inference.nuts import nuts
    from bayesseg.priors import scales_of
    from bayesseg.spec import InferenceSpec, load_spec

    spec, family = load_spec("bgnbd"), FAMILIES["bgnbd"]
    columns = customers().columns(spec.unit_days)
    began = time.perf_counter()
    table = family.tabulate(columns)
    tabulated = time.perf_counter() - began
    draws = nuts(
        family,
        spec.parts["purchase"],
        table,
        scales_of(columns),
        InferenceSpec(CHAINS, DRAWS, TUNE),
        SEED,
    )
    theta = family.derive(draws.values)
    np.savez(folder / "bayesseg.npz", **{name: theta[name] for name in NAMES})
    seconds = draws.info["seconds"]
    return {"compile": tabulated + seconds["compile"], "sample": seconds["sample"]}


def value_bayesseg(folder: Path) -> dict[str, Any]:
    """Value of every customer over a year with the interval of its expectation."""
    import bayesseg as bs

    people, posterior = customers(), bs.load(folder / "run")
    count = int((folder / "draws.txt").read_text())
    before, began = peak(), time.perf_counter()
    scores = bs.score(posterior, people, draws=count, predictive=False, annual_discount=ANNUAL)
    seconds = time.perf_counter() - began
    return {
        "seconds": seconds,
        "before": before,
        "peak": peak(),
        "total": float(scores["clv"].sum()),
    }


# ---------------------------------------------------------------- pymc-marketing


class Derived:
    """A variable of pymc-marketing's model that is made from others: ``make(model) -> tensor``."""

    dims = None

    def __init__(self, make: Any) -> None:
        self.make = make

    def create_variable(self, name: str, xdist: bool = False) -> Any:
        """Called by pymc-marketing while it builds its model."""
        import pymc as pm

        return pm.Deterministic(name, self.make(pm.modelcontext(None)))

    def to_dict(self) -> dict[str, str]:
        """What pymc-marketing stores beside a posterior."""
        return {"class": "Derived"}


def peer_models(folder: Path) -> tuple[Any, Any, pd.DataFrame, pd.DataFrame]:
    """BG/NBD and Gamma-Gamma with our priors, built, and the customers of each."""
    import pymc as pm
    from pymc_extras.prior import Prior
    from pymc_marketing.clv import BetaGeoModel, GammaGammaModel

    scales = json.loads((folder / "scales.json").read_text())
    people = pd.read_csv(folder / "customers.csv", dtype={"customer_id": str})
    window, order = np.log(scales["mean_window"]), np.log(scales["median_order"])

    def lognormal(median: float, sigma: float) -> Any:
        return Prior("LogNormal", mu=float(np.log(median)), sigma=sigma)

    def alpha(model: Any) -> Any:
        rate = pm.LogNormal("rate", mu=-window, sigma=1.5)
        return pm.LogNormal("shape", mu=np.log(0.7), sigma=1.0) / rate

    def v(model: Any) -> Any:
        return pm.LogNormal("scale", mu=order, sigma=1.0) * model["q"] / model["p"]

    bought = BetaGeoModel(
        model_config={
            "alpha": Derived(alpha),
            "r": Derived(lambda model: model["shape"] * 1.0),
            "phi_dropout": Prior("Beta", alpha=1, beta=1),
            "kappa_dropout": lognormal(3.0, 1.0),
        }
    )
    bought.build_model(people[["customer_id", "frequency", "recency", "T"]])
    payers = people[people["paid"] > 0]
    payers = payers.assign(frequency=payers["paid"])[["customer_id", "frequency", "monetary_value"]]
    spent = GammaGammaModel(
        model_config={"p": lognormal(4.0, 1.0), "q": lognormal(3.0, 0.8), "v": Derived(v)}
    )
    spent.build_model(payers)
    return bought, spent, people, payers


def sample_peer(folder: Path) -> dict[str, Any]:
    """Compile and sample pymc-marketing's model with nutpie, the faster of the samplers it offers."""
    import nutpie

    bought, *_ = peer_models(folder)
    began = time.perf_counter()
    program = nutpie.compile_pymc_model(bought.model)
    compiled = time.perf_counter() - began
    trace = nutpie.sample(
        program,
        draws=DRAWS,
        tune=TUNE,
        chains=CHAINS,
        cores=min(CHAINS, os.cpu_count() or 1),
        seed=SEED,
        save_warmup=False,
        progress_bar=False,
    )
    sampled = time.perf_counter() - began - compiled
    found = {name: np.asarray(trace["posterior"][name]) for name in NAMES}
    np.savez(folder / "pymc-marketing.npz", **found)
    return {"compile": compiled, "sample": sampled}


def value_peer(folder: Path) -> dict[str, Any]:
    """``expected_customer_lifetime_value`` over 12 months from draws of the run that bayesseg scores.

    It knows months only, so the annual rate goes in as the monthly one that compounds to it.
    """
    import xarray as xr

    bought, spent, people, _ = peer_models(folder)
    with np.load(folder / "peer.npz") as draws:
        for model, names in ((bought, NAMES), (spent, ("p", "q", "v"))):
            values = {name: (("chain", "draw"), draws[name]) for name in names}
            model.idata = xr.DataTree.from_dict({"posterior": xr.Dataset(values)})
    before, began = peak(), time.perf_counter()
    value = spent.expected_customer_lifetime_value(
        transaction_model=bought,
        data=people.assign(monetary_value=people["monetary_value"]),
        future_t=12,
        discount_rate=(1 + ANNUAL) ** (1 / 12) - 1,
        time_unit="W",
    )
    each = value.mean(("chain", "draw"))
    value.quantile([0.05, 0.95], ("chain", "draw"))
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "before": before, "peak": peak(), "total": float(each.sum())}


def thinned(folder: Path, count: int) -> None:
    """So many draws of the run, evenly spaced, in textbook parameters, for the peer."""
    import bayesseg as bs
    from bayesseg.families import FAMILIES

    run = bs.load(folder / "run")
    found = {}
    for name, draws in run.parts.items():
        for parameter, values in FAMILIES[run.spec.parts[name].family].derive(draws.values).items():
            flat = values.reshape(-1)
            found[parameter] = flat[np.arange(count) * len(flat) // count][None, :]
    np.savez(folder / "peer.npz", **found)


# ---------------------------------------------------------------- the run

STEPS = {
    ("sample", "bayesseg"): sample_bayesseg,
    ("sample", "pymc-marketing"): sample_peer,
    ("value", "bayesseg"): value_bayesseg,
    ("value", "pymc-marketing"): value_peer,
}


def step(what: str, who: str, python: Path, folder: Path) -> dict[str, Any]:
    """One contender in a process of its own."""
    interpreter = sys.executable if who == "bayesseg" else str(python)
    out = folder / f"{what}-{who}.json"
    # -P: this folder off the path, where this very file would pass for the package
    words = [interpreter, "-P", __file__, "--step", what, who, str(folder), str(out)]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def effective(path: Path) -> tuple[float, Mapping[str, Any]]:
    """The smallest bulk effective sample size of r, alpha, a, b, and their mean and sd."""
    from arviz_stats.base import array_stats

    with np.load(path) as draws:
        values = {name: draws[name] for name in NAMES}
    sizes = [array_stats.ess(one) for one in values.values()]
    return float(np.min(sizes)), {n: (float(v.mean()), float(v.std())) for n, v in values.items()}


def show(
    runs: Mapping[tuple[str, str], list[dict[str, Any]]], folder: Path, counts: Mapping[str, int]
) -> None:
    """Medians, ratios, and whether the two posteriors are one."""

    def median(what: str, who: str, key: str) -> float:
        return statistics.median(run[key] for run in runs[what, who])

    per_thousand, moments = {}, {}
    print(f"BG/NBD, {CHAINS} chains x ({TUNE} + {DRAWS}), nutpie, {os.cpu_count()} cores")
    for who in BOTH:
        size, moments[who] = effective(folder / f"{who}.npz")
        compiled, sampled = (median("sample", who, key) for key in ("compile", "sample"))
        per_thousand[who] = np.array([sampled, compiled + sampled]) * 1000 / size
        print(
            f"  {who:15s} compile {compiled:6.1f} s  sample {sampled:7.1f} s  smallest ESS {size:6.0f}"
            f"  per 1,000 effective draws {per_thousand[who][0]:7.2f} s"
            f" ({per_thousand[who][1]:.2f} s with compiling)"
        )
    alone, both = per_thousand["pymc-marketing"] / per_thousand["bayesseg"]
    print(f"  {alone:.1f} times less sampling, {both:.1f} times less with compiling")
    for name in NAMES:
        (ours, sd), (theirs, _) = (moments[who][name] for who in BOTH)
        print(f"  {name:6s} {ours:8.4f} and {theirs:8.4f}: {abs(ours - theirs) / sd:.3f} sd apart")
    print("\n12-month value of every customer, mean and 90 % interval")
    for who in BOTH:
        seconds, top, before = (median("value", who, key) for key in ("seconds", "peak", "before"))
        total = runs["value", who][-1]["total"]
        print(
            f"  {who:15s} {counts[who]:5d} draws  {seconds:7.2f} s  peak {top:.2f} GB "
            f"({before:.2f} before)  total {total:,.0f}"
        )
    ours, theirs = (
        {k: median("value", who, k) for k in ("seconds", "before", "peak")} for who in BOTH
    )
    above = (theirs["peak"] - theirs["before"]) / (ours["peak"] - ours["before"])
    print(
        f"  {theirs['seconds'] / ours['seconds']:.1f} times less time,"
        f" {theirs['peak'] / ours['peak']:.1f} times less memory"
        f" ({above:.1f} times less beyond the interpreter and the data)"
    )


def main() -> None:
    """Prepare once, run every step in alternating order, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", type=Path, help="the interpreter that has pymc-marketing")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--draws", type=int, default=400, help="draws that values are computed from"
    )
    parser.add_argument(
        "--peer-draws", type=int, default=CHAINS * DRAWS, help="the same, of the peer"
    )
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--step", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        what, who, folder, out = given.step
        Path(out).write_text(json.dumps(STEPS[what, who](Path(folder))))
        return
    if given.peer is None:
        parser.error("--peer is missing: the interpreter of an environment with pymc-marketing 1.3")
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "run").exists():
            prepare(folder)
        thinned(folder, given.peer_draws)
        (folder / "draws.txt").write_text(str(given.draws))
        runs: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for turn in range(given.repeats):
            for what in ("sample", "value"):
                for who in BOTH if turn % 2 == 0 else reversed(BOTH):
                    runs.setdefault((what, who), []).append(step(what, who, given.peer, folder))
                    print(f"{what}, {who}: {runs[what, who][-1]}", file=sys.stderr)
        show(runs, folder, dict(zip(BOTH, (given.draws, given.peer_draws), strict=True)))


if __name__ == "__main__":
    main()
