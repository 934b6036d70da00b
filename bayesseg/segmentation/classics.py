"""What others would have found: the clusterings of scikit-learn beside ours. L7.

Reference only; nothing here decides. scikit-learn takes no missing values: such cells get the column's
mean, which the result says.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from bayesseg._types import Array, IntArray
from bayesseg.inference.modes import rand_index

_STARTS = 10
_REFERENCES = 10
_SILHOUETTE_ROWS, _FEWEST = 2_000, 30


def classics(
    rows: Array, components: Sequence[int], ours: Mapping[str, IntArray], seed: int
) -> dict[str, Any]:
    """k-means, density, hierarchy and mixtures on the same rows, and how far all of them agree.

    Args:
        rows: (n, D), NaN where missing; thousands at most (hierarchies hold all pairs).
        components: numbers of clusters tried, those above 1.
        ours: name -> labels (n,) to put beside.
        seed: of starts and references.

    Returns:
        JSON-able: ``kmeans`` (per K ``inertia, silhouette, davies_bouldin, gap, gap_se``), ``picks``
        (the K each index picks), ``methods`` (name, clusters, noise, note), ``names`` and ``rand``
        (their adjusted Rand indices), ``filled`` (share of cells filled).
    """
    holes = np.isnan(rows)
    filled = np.where(holes, np.nanmean(rows, axis=0), rows)
    rng = np.random.default_rng([seed, 5])
    sizes = [k for k in components if 1 < k < len(rows)]
    import sklearn.cluster  # noqa: F401 - a limit holds for libraries that are loaded
    from threadpoolctl import threadpool_limits

    # small tables: threads would wait for one another longer than they work
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")  # slow convergence: these are references
        table, partitions = _kmeans(filled, sizes, rng, seed)
        picks = _picks(table)
        labels = dict(ours)
        notes: dict[str, str] = {}
        chosen = picks["silhouette"]
        labels[f"k-means, K = {chosen}"] = partitions[chosen]
        notes[f"k-means, K = {chosen}"] = "K by silhouette"
        for name, label, note in _others(filled, sizes, chosen, seed):
            labels[name], notes[name] = label, note
    return {
        "kmeans": table,
        "picks": picks,
        "methods": [
            {
                "name": name,
                "clusters": len(np.unique(label[label >= 0])),
                "noise": float((label < 0).mean()),
                "note": notes.get(name, ""),
            }
            for name, label in labels.items()
        ],
        "names": list(labels),
        "rand": _agreement(list(labels.values())),
        "filled": float(holes.mean()),
    }


def _kmeans(
    rows: Array, sizes: Sequence[int], rng: np.random.Generator, seed: int
) -> tuple[list[dict[str, Any]], dict[int, IntArray]]:
    from sklearn.cluster import KMeans
    from sklearn.metrics import davies_bouldin_score, silhouette_score

    table, partitions = [], {}
    gaps = _gap_statistic(rows, [1, *sizes], rng, seed)
    for k in sizes:
        fitted = KMeans(k, n_init=_STARTS, random_state=seed).fit(rows)
        label = fitted.labels_.astype(np.int64)
        some = _stratified(label, rng)
        partitions[k] = label
        table.append(
            {
                "components": k,
                "inertia": float(fitted.inertia_),
                "silhouette": float(silhouette_score(rows[some], label[some])),
                "davies_bouldin": float(davies_bouldin_score(rows, label)),
                "gap": gaps[k][0],
                "gap_se": gaps[k][1],
            }
        )
    table.insert(0, {"components": 1, "gap": gaps[1][0], "gap_se": gaps[1][1]})
    return table, partitions


def _stratified(label: IntArray, rng: np.random.Generator) -> IntArray:
    """Some rows of every cluster: a plain sample loses small ones."""
    share = min(1.0, _SILHOUETTE_ROWS / len(label))
    found = []
    for k in np.unique(label):
        rows = np.flatnonzero(label == k)
        count = min(len(rows), max(_FEWEST, round(share * len(rows))))
        found.append(rng.choice(rows, count, replace=False))
    return np.sort(np.concatenate(found))


def _gap_statistic(
    rows: Array, sizes: Sequence[int], rng: np.random.Generator, seed: int
) -> dict[int, tuple[float, float]]:
    """Gap and its error for each K (Tibshirani, Walther & Hastie 2001, references of kind b)."""
    centred = rows - rows.mean(0)
    axes = np.linalg.svd(centred, full_matrices=False)[2]
    turned = centred @ axes.T
    low, high = turned.min(0), turned.max(0)
    own = _log_inertia(rows, sizes, seed)
    drawn = np.array(
        [_log_inertia(rng.uniform(low, high, rows.shape), sizes, seed) for _ in range(_REFERENCES)]
    )
    gap = drawn.mean(0) - own
    error = drawn.std(0) * np.sqrt(1 + 1 / _REFERENCES)
    return {k: (float(gap[i]), float(error[i])) for i, k in enumerate(sizes)}


def _log_inertia(rows: Array, sizes: Sequence[int], seed: int) -> Array:
    from sklearn.cluster import KMeans

    return np.array(
        [np.log(KMeans(k, n_init=2, random_state=seed).fit(rows).inertia_) for k in sizes]
    )


def _picks(table: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """The K each index would pick. The elbow is the weakest evidence: every curve has one."""
    own = [row for row in table if row["components"] > 1]
    one_error = next(
        (
            row["components"]
            for row, after in pairwise(table)
            if row["gap"] >= after["gap"] - after["gap_se"]
        ),
        table[-1]["components"],
    )
    return {
        "elbow": _elbow(own),
        "silhouette": max(own, key=lambda row: row["silhouette"])["components"],
        "davies_bouldin": min(own, key=lambda row: row["davies_bouldin"])["components"],
        "gap": one_error,
    }


def _elbow(table: Sequence[Mapping[str, Any]]) -> int:
    """The K farthest below the line from the first to the last inertia."""
    inertia = np.array([row["inertia"] for row in table])
    line = np.linspace(inertia[0], inertia[-1], len(inertia))
    return int(table[int(np.argmax(line - inertia))]["components"])


def _others(
    rows: Array, sizes: Sequence[int], chosen: int, seed: int
) -> list[tuple[str, IntArray, str]]:
    from sklearn.cluster import DBSCAN, HDBSCAN, AgglomerativeClustering
    from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
    from sklearn.neighbors import NearestNeighbors

    neighbours = min(max(4, 2 * rows.shape[1]), len(rows) - 1)
    far = NearestNeighbors(n_neighbors=neighbours).fit(rows).kneighbors(rows)[0][:, -1]
    radius = float(np.quantile(far, 0.9))
    least = max(min(20, len(rows) // 4), len(rows) // 100)
    best = min(
        (
            GaussianMixture(k, covariance_type=kind, random_state=seed, reg_covar=1e-4).fit(rows)
            for k in (1, *sizes)
            for kind in ("full", "diag")
        ),
        key=lambda one: one.bic(rows),
    )
    infinite = BayesianGaussianMixture(
        n_components=max(sizes), max_iter=500, random_state=seed
    ).fit(rows)
    dense = DBSCAN(eps=radius, min_samples=neighbours).fit_predict(rows)
    found = [
        (
            f"agglomerative, K = {chosen}",
            AgglomerativeClustering(chosen).fit_predict(rows),
            "Ward; K by silhouette of k-means",
        ),
        ("DBSCAN", dense, f"radius {radius:.2f}: nine in ten rows have {neighbours} neighbours"),
        (
            "HDBSCAN",
            HDBSCAN(min_cluster_size=least, copy=True).fit_predict(rows),
            f"clusters of {least} or more",
        ),
        (
            f"GaussianMixture, K = {best.n_components}",
            best.predict(rows),
            f"{best.covariance_type}; K by BIC",
        ),
        ("BayesianGaussianMixture", infinite.predict(rows), f"at most {max(sizes)} components"),
    ]
    return [(name, label.astype(np.int64), note) for name, label, note in found]


def _agreement(labels: Sequence[IntArray]) -> list[list[float]]:
    """Adjusted Rand index of every two; noise is a class of its own."""
    shifted = [label - label.min() for label in labels]
    return [[rand_index(a, b) for b in shifted] for a in shifted]
