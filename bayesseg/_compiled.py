"""The one way a function is compiled. L0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from numba import njit


def compiled[F: Callable[..., Any]](function: F) -> F:
    """Compile ``function`` to machine code, kept on disk between runs.

    ``error_model="numpy"``: a division by zero gives inf or NaN, which samplers reject and gates see,
    rather than an exception. No fastmath: it would assume NaN and infinity away.
    """
    return cast(F, njit(cache=True, error_model="numpy", nogil=True)(function))
