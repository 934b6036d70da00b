"""The one way a function is compiled. L0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from numba import njit


def compiled[F: Callable[..., Any]](function: F) -> F:
    """Compile ``function`` to machine code, kept on disk between runs.

    ``error_model="numpy"``: a division by zero gives inf or NaN, which samplers reject and gates see,
    rather than an exception. No fastmath: it would assume NaN and infinity away.

    A function made inside another carries the numbers it closes over in its name. Numba names machine
    code by name, signature and a count that starts anew in every process; two variants kept by two
    processes could share all three, and a third process would then run one in place of the other.

    Raises:
        TypeError: the function closes over something else than numbers.
    """
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    if not all(isinstance(value, int | float) for value in cells):
        raise TypeError(f"{function.__qualname__} closes over something else than numbers")
    function.__qualname__ += "".join(f"_{value}" for value in cells)
    return cast(F, njit(cache=True, error_model="numpy", nogil=True)(function))
