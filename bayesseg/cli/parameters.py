"""Posterior means and standard deviations beside their priors, as rows for tables and JSON. L10."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayesseg._types import Draws
    from bayesseg.posterior import Posterior


def parameters(posterior: Posterior) -> list[dict[str, Any]]:
    """One entry a scalar: ``part, name, mean, sd, lo, hi`` (90 %).

    Where there is a scalar prior also ``prior``, ``prior_sd`` and the ``quantile`` of the posterior
    mean in it. Textbook parameters stand after the free ones from which they follow.
    """
    known = posterior.summary["priors"]
    return [
        {"part": part, **row}
        for part, draws in posterior.parts.items()
        for row in known.get(part) or _scalars(draws)
    ]


def _scalars(draws: Draws) -> Iterator[dict[str, Any]]:
    import numpy as np

    for name, array in draws.values.items():
        for index in np.ndindex(*array.shape[2:]):
            draw = array[(..., *index)]
            low, high = np.quantile(draw, (0.05, 0.95))
            yield {
                "name": f"{name}[{', '.join(map(str, index))}]" if index else name,
                "mean": float(draw.mean()),
                "sd": float(draw.std()),
                "lo": float(low),
                "hi": float(high),
            }
