"""What ``compare`` recommends by itself where the groups are known.

    python tests/benchmarks/recommended.py                        # iris and wine
    python tests/benchmarks/recommended.py banknote.csv=Status    # and files with the truth in them

A script, not a test. Every numeric column but the truth enters through the model ``segments``, as
``bayesseg compare --data FILE --model segments`` reads it; 1 to 6 segments, its shapes unless asked.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd
from sklearn import datasets

from bayesseg.customers import Attributes
from bayesseg.features import apply, learn, raw_columns
from bayesseg.inference.modes import rand_index
from bayesseg.segmentation.choose import choose, kind, smallest_of
from bayesseg.segmentation.compare import (
    called,
    compare,
    judge_of,
    variants_of,
    with_all_stability,
)
from bayesseg.segmentation.refits import THOROUGH
from bayesseg.segmentation.run import layout_of
from bayesseg.spec import load_spec


def bundled(name: str) -> tuple[pd.DataFrame, np.ndarray]:
    """A table that comes with scikit-learn."""
    data = getattr(datasets, f"load_{name}")(as_frame=True)
    return data.data, data.target.to_numpy()


def filed(path: str, truth: str, drop: list[str]) -> tuple[pd.DataFrame, np.ndarray]:
    """A table in a file, its column ``truth`` apart."""
    table = pd.read_csv(path)
    known = pd.factorize(table.pop(truth))[0]
    return table.drop(columns=drop, errors="ignore").select_dtypes("number"), known


def recommended(
    name: str, table: pd.DataFrame, truth: np.ndarray, covariances: list[str], seed: int
) -> str:
    """One line: the stable segmentation, how it agrees with the truth, and the best agreement."""
    began = time.process_time()
    spec = load_spec("segments")
    ids = np.array([f"{i:06d}" for i in range(len(table))], dtype=object)
    columns = {str(one): table[one].to_numpy(float) for one in table}
    raw = raw_columns(Attributes(ids, columns), spec.features)
    state = learn(spec.features, raw)
    matrix = apply(state, raw)
    judge = judge_of(matrix, THOROUGH, seed)
    part, layout = spec.parts["segments"], layout_of(state)
    shapes = variants_of(part, covariances, ("normal", "t"))
    found = with_all_stability(judge, compare(judge, part, layout, range(1, 7), shapes)[0])
    least = smallest_of(len(matrix))
    choice = choose(found, min_segment=least)
    known = truth[np.lexsort(matrix.T[::-1])]  # rows are judged sorted by content
    agreement = [rand_index(known, one.member.argmax(1).astype(np.int64)) for one in found]
    stable, best = found.index(choice.stable), int(np.argmax(agreement))
    return " | ".join(
        [
            name,
            f"{called(found[stable].options)} ({kind(found[stable], least)})",
            f"{agreement[stable]:.2f}",
            f"{called(found[best].options)} {agreement[best]:.2f}",
            f"{time.process_time() - began:.0f} s",
            choice.words[0] if found[stable].components == 1 else "",
        ]
    )


def main() -> None:
    """Print a line a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="*", help="FILE.csv=TRUTH")
    parser.add_argument("--drop", nargs="*", default=[], help="columns that say nothing of clients")
    parser.add_argument("--covariances", nargs="+", default=["diag", "full"])
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    tables = {name: bundled(name) for name in ("iris", "wine")}
    for one in asked.files:
        path, truth = one.split("=")
        tables[path] = filed(path, truth, asked.drop)
    print("table | stable | ARI | best ARI of all candidates | processor time | says")
    for name, (table, truth) in tables.items():
        print(recommended(name, table, truth, asked.covariances, asked.seed), flush=True)


if __name__ == "__main__":
    main()
