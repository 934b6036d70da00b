"""Negative controls: is one crowd sold as segments?

    python tests/benchmarks/controls.py --seeds 200 --crowds gaussian     # components = "auto"
    python tests/benchmarks/controls.py --seeds 10 --shapes               # every shape compare tries

A script, not a test. N = 2,000 in two columns. Prints of each crowd how often the answer was one group
and how often any candidate was called natural; with ``--shapes``, of 2 to 5 segments, diagonal and full,
normal and Student-t, how many had a gap between every two, without which none is natural.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping

import numpy as np

from bayesseg._types import Array
from bayesseg.segmentation.choose import automatic
from bayesseg.segmentation.compare import compare, judge_of, variants_of
from bayesseg.segmentation.refits import QUICK
from bayesseg.spec import load_spec

CROWDS: Mapping[str, Callable[[np.random.Generator], Array]] = {
    "gaussian": lambda rng: rng.normal(size=(2000, 2)),
    "box": lambda rng: rng.random((2000, 2)),
    "log-normal": lambda rng: np.exp(rng.normal(size=(2000, 2))),
}

PART, LAYOUT = load_spec("segments").parts["segments"], (2, 0, (), 0)


def rows_of(crowd: str, seed: int) -> Array:
    """One crowd, standardised."""
    values = CROWDS[crowd](np.random.default_rng(seed))
    return np.asarray((values - values.mean(0)) / values.std(0))


def answered(crowd: str, seeds: int) -> str:
    """What ``components = "auto"`` says of it."""
    found = [automatic(rows_of(crowd, seed), PART, LAYOUT, seed=seed)[1] for seed in range(seeds)]
    one = sum(facts["components"] == 1 for facts in found)
    natural = sum("natural" in {row["kind"] for row in facts["table"]} for facts in found)
    return f"one group in {one} of {seeds}, natural in {natural}"


def apart(crowd: str, seeds: int) -> str:
    """Of how many candidates all segments have gaps between them."""
    shapes = variants_of(PART, ("diag", "full"), ("normal", "t"))
    found = [
        one
        for seed in range(seeds)
        for one in compare(
            judge_of(rows_of(crowd, seed), QUICK, seed), PART, LAYOUT, range(2, 6), shapes
        )[0]
        if one.components > 1
    ]
    return f"{sum(one.groups == one.components for one in found)} of {len(found)} candidates apart"


def main() -> None:
    """Print a line a crowd."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--crowds", nargs="+", default=list(CROWDS), choices=list(CROWDS))
    parser.add_argument("--shapes", action="store_true", help="diag and full, normal and t")
    asked = parser.parse_args()
    for crowd in asked.crowds:
        began = time.process_time()
        said = (apart if asked.shapes else answered)(crowd, asked.seeds)
        print(f"{crowd}: {said}, {time.process_time() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
