"""Mixtures: a full posterior beside scikit-learn's point fit, effective draws beside those of NUTS.

    python tests/benchmarks/mixture.py [--rows 100000] [--repeats 3]      # against scikit-learn
    python tests/benchmarks/mixture.py --nuts                             # against NUTS, minutes
    python tests/benchmarks/mixture.py --score [--rows 1000000]           # memberships over 200 draws

A script, not a test. Both contenders run in one process on the same data, in turn, compiled before the
clock starts; seconds are wall clock and processor time.
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from arviz_stats.base import array_stats

from bayesseg._types import Array, Draws
from bayesseg.customers import Attributes
from bayesseg.families import FAMILIES, gmm
from bayesseg.features import apply, learn, raw_columns
from bayesseg.inference.gibbs import gibbs
from bayesseg.inference.modes import find_modes
from bayesseg.posterior import Posterior
from bayesseg.priors import Prior
from bayesseg.scoring import Settings, score
from bayesseg.spec import FeatureSpec, InferenceSpec, PartSpec, load_spec

GMM = FAMILIES["gmm"]


def part(components: int) -> PartSpec:
    """Full covariance, the default priors."""
    priors = {
        "weights": Prior("Dirichlet", {"concentration": 4.0}),
        "mean": Prior("Normal", {"mean": 0.0, "sd": 1.0}),
        "covariance": Prior("InverseWishart", {"extra_df": 2.0, "scale": "auto"}),
    }
    options = {
        "components": components,
        "covariance": "full",
        "tails": "normal",
        "missing": "model",
    }
    return PartSpec("gmm", "gibbs", priors, options)


def rows(count: int, width: int, components: int, seed: int = 0) -> Array:
    """Means N(0, 2^2), covariance factors 0.5 N(0, 1) + 0.7 I, standardised."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(components, 8.0))
    means = rng.normal(0.0, 2.0, (components, width))
    factors = 0.5 * rng.normal(size=(components, width, width)) + 0.7 * np.eye(width)
    z = rng.choice(components, count, p=weights)
    x = means[z] + np.einsum("nij,nj->ni", factors[z], rng.normal(size=(count, width)))
    return np.asarray((x - x.mean(0)) / x.std(0))


def clocked[T](work: Callable[[], T]) -> tuple[T, float, float]:
    """What ``work`` returns, wall-clock and processor seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    found = work()
    return found, time.perf_counter() - wall, time.process_time() - processor


def quality(draws: Draws) -> tuple[float, float]:
    """Smallest bulk or tail effective sample size and largest R-hat of all weights and means."""
    scalars = [
        draws.values[name][(..., *index)]
        for name in ("weights", "mean")
        for index in np.ndindex(draws.values[name].shape[2:])
    ]
    tails = [array_stats.ess(one, method="tail", prob=(0.05, 0.95)) for one in scalars]
    least = min([array_stats.ess(one) for one in scalars] + tails)
    return float(least), float(max(array_stats.rhat(one) for one in scalars))


def against_sklearn(count: int, repeats: int) -> None:
    """A whole posterior against one point."""
    from sklearn.mixture import BayesianGaussianMixture

    matrix, inference = rows(count, 5, 6), InferenceSpec(4, 250, 30)
    gibbs(GMM, part(6), matrix[:500], InferenceSpec(4, 10, 5), 0, numbers=5)  # compiles
    for seed in range(repeats):
        draws, wall, processor = clocked(
            lambda seed=seed: gibbs(GMM, part(6), matrix, inference, seed, numbers=5)
        )
        ess, rhat = quality(draws)
        print(
            f"bayesseg      {wall:7.1f} s wall {processor:7.1f} s processor   "
            f"4 x {draws.info['draws']} draws, ESS {ess:.0f}, R-hat {rhat:.4f}, "
            f"modes in {draws.info['seconds_modes']} s",
            flush=True,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = BayesianGaussianMixture(
                n_components=6, n_init=5, max_iter=500, random_state=seed
            )
            _, theirs, theirs_processor = clocked(lambda model=model: model.fit(matrix))
        print(
            f"scikit-learn  {theirs:7.1f} s wall {theirs_processor:7.1f} s processor   "
            f"ratio {wall / theirs:.2f} wall, {processor / theirs_processor:.2f} processor",
            flush=True,
        )


def against_nuts(count: int, repeats: int) -> None:
    """Processor time per effective draw of the slowest mean or weight, everything counted.

    Ours counts the search for modes and the relabelling; theirs, which starts in the best mode, its
    compiling (cold) or not (warm).
    """
    from bayesseg.inference.marginal import marginal

    matrix, own = rows(count, 4, 4, seed=1), part(4)
    modes = find_modes(gmm.plan(own, 4, 0), matrix, np.random.default_rng(0))
    start = {name: values[0] for name, values in modes.theta.items()}
    long, short = InferenceSpec(4, 2000, 50), InferenceSpec(4, 250, 250)
    gibbs(GMM, own, matrix, replace(long, draws=100), 0, numbers=4)  # loads what is compiled
    ratios = []
    for seed in range(repeats):
        ours, wall, processor = clocked(
            lambda seed=seed: gibbs(GMM, own, matrix, long, seed, numbers=4)
        )
        ess, rhat = quality(ours)
        print(
            f"gibbs  {wall:.1f} s wall, {processor:.1f} s processor, ESS {ess:.0f}, R-hat {rhat:.4f}"
        )
        theirs, wall, cold = clocked(lambda seed=seed: marginal(own, matrix, short, seed, start))
        their_ess, rhat = quality(theirs)
        spent = theirs.info["seconds"]
        warm = cold * spent["sample"] / sum(spent.values())
        print(
            f"nuts   {wall:.1f} s wall ({spent}), {cold:.1f} s processor, "
            f"ESS {their_ess:.0f}, R-hat {rhat:.4f}",
            flush=True,
        )
        ratios.append([one / their_ess * ess / processor for one in (cold, warm)])
    cold, warm = np.median(ratios, axis=0)
    print(
        f"processor seconds per effective draw, nuts / gibbs: cold {cold:.0f}, warm {warm:.0f} (median)"
    )


def scoring(count: int) -> None:
    """Every membership column of every row over 200 draws: rate, peak memory, scikit-learn's pace."""
    from sklearn.mixture import GaussianMixture

    matrix = rows(count, 5, 6)
    columns = {f"x{d}": np.ascontiguousarray(matrix[:, d]) for d in range(5)}
    ids = np.array([f"{i:08d}" for i in range(count)], dtype=object)
    data = Attributes(ids, columns)
    spec = replace(load_spec("segments"), features=tuple(FeatureSpec(name) for name in columns))
    few = data.take(np.arange(min(count, 5000)))
    state = learn(spec.features, raw_columns(few, spec.features))
    seen = apply(state, raw_columns(few, spec.features))
    draws = gibbs(GMM, part(6), seen, InferenceSpec(4, 250, 100), 0, numbers=5)
    names = {f"S{k + 1}": f"segment {k + 1}" for k in range(6)}
    manifest = {
        "seed": 0,
        "model_id": "benchmark",
        "verdict": "not-assessed",
        "verdicts": {"segments": {"computation": "not-assessed"}},
        "segments": {"ids": list(names), "names": names},
    }
    posterior, settings = (
        Posterior(spec, state, {"segments": draws}, manifest, {}),
        Settings(draws=200),
    )
    score(posterior, few, settings)  # compiles
    scores, wall, processor = clocked(lambda: score(posterior, data, settings))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    used = scores.document["settings"]["draws"]
    print(
        f"bayesseg      {count} rows x {used} draws, {len(scores.table.columns)} columns: "
        f"{wall:.1f} s wall, {processor:.1f} s processor, {count / processor:.0f} rows a processor "
        f"second, peak {peak:.2f} GiB",
        flush=True,
    )
    some = matrix[: min(count, 20_000)]
    model = GaussianMixture(6, max_iter=10, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(some[:5000])
    _, _, theirs = clocked(lambda: [model.predict_proba(some) for _ in range(5)])
    each = theirs / 5 / len(some) * used
    print(
        f"scikit-learn  predict_proba {used} times, means alone: {each * count:.1f} s processor "
        f"(from {len(some)} rows), {processor / count / each:.2f} of it is ours"
    )


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--nuts", action="store_true")
    parser.add_argument("--score", action="store_true")
    given = parser.parse_args()
    if given.score:
        scoring(given.rows or 1_000_000)
    elif given.nuts:
        against_nuts(given.rows or 2000, given.repeats)
    else:
        against_sklearn(given.rows or 100_000, given.repeats)


if __name__ == "__main__":
    main()
