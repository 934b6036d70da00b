"""One-time buyers: inside one mixture of everybody, or a stratum of their own?

    python tests/benchmarks/hurdle.py orders.csv
    python tests/benchmarks/hurdle.py log.parquet --read extract=sheet order_id=InvoiceNo \
        "amount=Quantity * UnitPrice" drop_missing_id=1

A script, not a test. The features and priors of the model ``retail``. The *hurdle* is one mixture with
``has_repeated`` as a yes-or-no block; *strata* are 1 or 2 segments of those who bought once beside the
rest of as many segments, fitted apart. Prints of each the smallest bootstrap Jaccard, the smallest
prediction strength and the held-out log density of a customer, for strata with that of their stratum.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from bayesseg._types import Array
from bayesseg.customers import summarise
from bayesseg.features import apply, learn, raw_columns
from bayesseg.ingest import Options, read_purchases
from bayesseg.segmentation.compare import Candidate, compare, judge_of, with_stability
from bayesseg.segmentation.refits import QUICK, Layout
from bayesseg.segmentation.run import layout_of
from bayesseg.spec import PartSpec, load_spec


def candidate(
    matrix: Array, part: PartSpec, layout: Layout, components: int, seed: int
) -> Candidate:
    """So many segments of these rows, asked whether they come back."""
    judge = judge_of(matrix, QUICK, seed)
    found, _ = compare(judge, part, layout, [components])
    return with_stability(judge, found[-1])


def told(name: str, parts: Sequence[Candidate], sizes: Sequence[int]) -> str:
    """One line: mixtures of disjoint customers as one segmentation."""
    shares = np.array(sizes) / sum(sizes)
    asked = [one.stability for one in parts if one.stability is not None]
    density = sum(s * (one.density + math.log(s)) for s, one in zip(shares, parts, strict=True))
    spread = [one.densities.var() / len(one.densities) for one in parts]
    error = math.sqrt(float(shares**2 @ np.array(spread)))
    jaccard = ", ".join(f"{value:.2f}" for one in asked for value in one.jaccard)
    strength = min(one.strength for one in asked)
    return f"{name} | {jaccard} | {strength:.2f} | {density:.3f} ± {error:.3f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("log")
    parser.add_argument("--read", nargs="*", default=[], help="NAME=VALUE of ingest.Options")
    parser.add_argument("--components", nargs="+", type=int, default=[4, 6])
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    options: dict[str, Any] = dict(one.split("=", 1) for one in asked.read)
    began, spec = time.process_time(), load_spec("retail")
    raw = raw_columns(summarise(read_purchases(asked.log, Options(**options))), spec.features)
    state = learn(spec.features, raw)
    matrix, part, layout = apply(state, raw), spec.parts["segments"], layout_of(state)
    again = matrix[:, state.names.index("has_repeated")] > 0
    rest, once = matrix[again], matrix[~again]
    print(f"{len(matrix):,} customers, {len(once) / len(matrix):.0%} bought once")
    print("segments | Jaccard of each | prediction strength | held-out nats a customer")
    seen = ~np.isnan(once).all(0)  # what only repeaters have is no column of the others
    known = (int(seen[: layout[0]].sum()), *layout[1:])
    few = {k: candidate(once[:, seen], part, known, k, asked.seed) for k in (1, 2)}
    for K in asked.components:
        whole = candidate(matrix, part, layout, K, asked.seed)
        print(told(f"hurdle, {K}", [whole], [len(matrix)]))
        for k, own in few.items():
            parts = own, candidate(rest, part, layout, K - k, asked.seed)
            print(told(f"strata, {k} + {K - k}", parts, [len(once), len(rest)]))
    print(f"{time.process_time() - began:.0f} s of processor time")


if __name__ == "__main__":
    main()
