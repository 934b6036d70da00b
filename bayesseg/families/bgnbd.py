"""BG/NBD: a customer may leave after each repeat purchase.

One-time buyers have P(alive) = 1 by construction: nothing they did could have ended them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from bayesseg._compiled import compiled
from bayesseg._types import Array, Family
from bayesseg.families import _betageometric as shared

M = 0
"""b1 = b + M."""


@compiled
def kernel(
    theta: Array,
    at_x: Array,
    T: Array,
    t_x: Array,
    row_x: npt.NDArray[np.int64],
    row_T: npt.NDArray[np.int64],
    row_t_x: npt.NDArray[np.int64],
    weight: Array,
) -> tuple[float, Array]:
    """Log-likelihood and gradient; see ``_betageometric.value_and_gradient``."""
    return shared.value_and_gradient(theta, M, at_x, T, t_x, row_x, row_T, row_t_x, weight)


def logp(theta: Mapping[str, Any], columns: Mapping[str, Any]) -> Any:
    """Log-likelihood of each row (PyTensor)."""
    return shared.log_likelihood(theta, columns, M)


FAMILY = Family(
    name="bgnbd",
    title="BG/NBD",
    part="purchase",
    columns=shared.COLUMNS,
    params=shared.PARAMS,
    textbook=shared.TEXTBOOK,
    derive=shared.derive,
    underive=shared.underive,
    tabulate=shared.tabulate,
    logp=logp,
    kernel=kernel,
    simulate=partial(shared.simulate, m=M),
    quantities=shared.purchase_quantities(M),
    latents=partial(shared.latents, m=M),
    references=(
        "Fader, Hardie & Lee (2005), Counting Your Customers the Easy Way, equations 3-10",
        "Fader & Hardie, brucehardie.com notes 004, 021, 027",
    ),
)
