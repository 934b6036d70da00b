"""What the parts of a file add up to: per-draw sums and counts, of which its document is made. L7."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from bayesseg import population
from bayesseg._types import Array
from bayesseg.customers import Attributes, Customers
from bayesseg.features import Counts, counted
from bayesseg.posterior import Posterior
from bayesseg.scoring.plan import group_state
from bayesseg.scoring.table import conditions

FAR = 0.001
"""Customers of whom so little of the mixture lies farther out are like no segment."""
_LUCK, _SPREAD = "luck_", "spread_"


@dataclass(frozen=True, slots=True)
class Piece:
    """What some customers bring to the facts about their file.

    Attributes:
        sums: over customers, per draw: (S,) or, by segment, (..., S, K).
        counts: of how many customers something holds.
    """

    sums: Mapping[str, Array]
    counts: Counts


def piece_of(
    posterior: Posterior,
    data: Customers | Attributes,
    columns: Mapping[str, npt.NDArray[Any]],
    sums: Mapping[str, Array],
) -> Piece:
    """Count what the document of a file says of its customers."""
    outlier = columns.get("outlier_p", np.empty(0))
    counts: dict[tuple[str, ...], int] = {
        ("customers",): len(data),
        ("without_value",): int(np.isnan(columns.get("clv", np.empty(0))).sum()),
        ("placed",): int((~np.isnan(outlier)).sum()),
        ("far",): int((outlier < FAR).sum()),
    }
    if posterior.features is not None:
        counts |= counted(data, posterior.spec.features, posterior.features)
    if isinstance(data, Customers):
        counts["extrapolated",] = int(conditions(posterior, data, columns)["extrapolated"].sum())
        for name, part in posterior.spec.parts.items():
            if name != "segments":
                found = population.strangers(part, group_state(posterior, name), data)
                counts |= {("stranger", name, words): count for words, count in found.items()}
    return Piece(sums, counts)


def merged(pieces: Iterable[Piece]) -> Piece:
    """What all pieces say together, added in the order in which they come.

    What is realised is what is expected and luck. Single customers bring their own, and as equal ones
    have the same futures in every piece, each piece but the first takes it under other draws. Customers
    who share a row bring a variance; there are many of them, so their luck is normal.
    """
    sums: dict[str, Array] = {}
    counts: dict[tuple[str, ...], int] = {}
    for turn, piece in enumerate(pieces):
        for name, own in piece.sums.items():
            if turn and name.startswith(_LUCK):
                own = own[np.random.default_rng(turn).permutation(len(own))]
            sums[name] = sums[name] + own if name in sums else own
        for key, count in piece.counts.items():
            counts[key] = counts.get(key, 0) + count
    for name in [name.removeprefix(_LUCK) for name in sums if name.startswith(_LUCK)]:
        luck = sums.pop(f"{_LUCK}{name}")
        expected = sums[f"realised_{name}"]
        many = np.sqrt(sums.pop(f"{_SPREAD}{name}")) * _normals(expected)
        sums[f"realised_{name}"] = expected + luck + many
    return Piece(sums, counts)


def _normals(beside: Array) -> Array:
    """Standard normals, one a draw, evenly spread over their quantiles and unrelated to ``beside``."""
    count = len(beside)
    drawn = ndtri((np.random.default_rng(count).permutation(count) + 0.5) / count)
    centred = beside - beside.mean()
    if centred.any():
        drawn = drawn - (drawn @ centred) / (centred @ centred) * centred
    return np.asarray(drawn / drawn.std())


def packed(piece: Piece) -> bytes:
    """``piece`` as bytes, for where processes share no memory."""
    buffer = io.BytesIO()
    counts = json.dumps([[*key, count] for key, count in piece.counts.items()])
    np.savez(
        buffer,
        allow_pickle=False,
        **piece.sums,
        counts=np.frombuffer(counts.encode(), dtype=np.uint8),
    )
    return buffer.getvalue()


def unpacked(content: bytes) -> Piece:
    """The piece that was ``packed``."""
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        sums = {name: archive[name] for name in archive.files if name != "counts"}
        counts = json.loads(archive["counts"].tobytes())
    return Piece(sums, {tuple(key): count for *key, count in counts})
