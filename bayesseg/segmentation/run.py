"""A stored run on rows: its matrix, its memberships, the point from which it is refitted. L7."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesseg._types import Array
from bayesseg.customers import Attributes, Customers
from bayesseg.errors import UsageError
from bayesseg.families.gmm import Plan, log_density, responsibilities
from bayesseg.features import FeatureState, absent, apply, raw_columns
from bayesseg.posterior import Posterior, thinned
from bayesseg.segment_map import labels
from bayesseg.segmentation.refits import Layout, Theta, plan_of, with_options

DRAWS = 100
_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Segments:
    """The segments of a run. ``theta`` holds S thinned draws, ``start`` their mean (1, ...)."""

    posterior: Posterior
    state: FeatureState
    plan: Plan
    theta: Theta
    start: Theta
    ids: tuple[str, ...]
    names: tuple[str, ...]


def layout_of(state: FeatureState) -> Layout:
    """What the columns of the matrix are, for the family's plan."""
    layout = state.layout
    binaries = sum(feature.type == "binary" for feature in state.features)
    return layout["numbers"], binaries, layout["levels"], layout["counts"], layout["ranks"]


def segments_of(posterior: Posterior, draws: int = DRAWS) -> Segments:
    """The segments of a run.

    Raises:
        UsageError: the run has none.
    """
    if "segments" not in posterior.parts or posterior.features is None:
        raise UsageError(
            f"model {posterior.spec.name!r} has no segments",
            fix="give a run of a model with a [segments] part, such as retail",
        )
    theta = thinned(posterior.parts["segments"], draws)
    start = {name: values.mean(0, keepdims=True) for name, values in theta.items()}
    found = posterior.manifest["segments"]
    ids = tuple(found["ids"])
    state = posterior.features
    # the draws know the number of segments where the model file says "auto"
    part = with_options(posterior.spec.parts["segments"], components=theta["weights"].shape[1])
    plan = plan_of(part, layout_of(state))
    names = tuple(map(labels(found).__getitem__, ids))
    return Segments(posterior, state, plan, theta, start, ids, names)


def segmentations(info: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The segmentations that the search of a fit came upon, best first, from its ``info``."""
    found: Sequence[Mapping[str, Any]] = info.get("modes", {}).get("segmentations", ())
    return found


def matrix_of(segments: Segments, data: Customers | Attributes) -> Array:
    """The features on the scale learned at the fit: (N, D); NaN in columns that the data lack.

    Raises:
        InputRejected: they lack all of them.
    """
    absent(data, segments.state)
    raw = raw_columns(data, segments.posterior.spec.features, segments.state)
    return apply(segments.state, raw)


def in_chunks(segments: Segments, matrix: Array) -> Iterator[tuple[slice, Array]]:
    """Rows and their memberships under each draw, (n, S, K), a bounded number at a time."""
    return _in_chunks(segments.theta, matrix)


def _in_chunks(theta: Theta, matrix: Array) -> Iterator[tuple[slice, Array]]:
    for start in range(0, len(matrix), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        yield rows, responsibilities(theta, matrix[rows])


def mean_membership(segments: Segments, matrix: Array) -> Array:
    """(N, K), averaged over draws."""
    return averaged(segments.theta, matrix)


def averaged(theta: Theta, matrix: Array) -> Array:
    """Memberships averaged over the draws ``theta``, (N, K)."""
    return np.concatenate([member.mean(1) for _, member in _in_chunks(theta, matrix)])


def densities(segments: Segments, matrix: Array) -> Array:
    """Log density of each row at the mean of the draws: (N,)."""
    return np.asarray(log_density(segments.start, matrix)[:, 0])


def interval(values: Sequence[float] | Array, level: float = 0.90) -> dict[str, float]:
    """Mean and central interval."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return {"mean": float(np.mean(values)), "lo": float(low), "hi": float(high)}
