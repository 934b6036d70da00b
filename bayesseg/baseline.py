"""The usual point estimates: maximum likelihood, beside which a posterior is shown. L7.

The only module that imports lifetimes. Its answer is reported as it is; where it has none the reason
is, since a point estimate that fails to converge is a fact about the data too. Where lifetimes has no
such family, or would take long, the estimate is our own.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bayesseg._types import Columns, Family, Table
from bayesseg.errors import InputRejected
from bayesseg.families import FAMILIES
from bayesseg.inference.map import maximum
from bayesseg.priors import scales_of

_TOLERANCES = (1e-8, 1e-7, 1e-6)
"""Tried in turn: near the optimum lifetimes' line search can fail for want of precision."""
MANY = 100_000
"""Customers from which the estimate is our own: at a million lifetimes takes ten seconds."""


def maximum_likelihood(
    columns: Columns, families: Mapping[str, str]
) -> dict[str, dict[str, float | str]]:
    """Estimates of each part from weighted distinct histories.

    Args:
        columns: ``x, t_x, T, n, S`` in the model's time unit, as ``Customers.columns`` gives them.
        families: part -> family name.

    Returns:
        part -> textbook parameters, ``log_likelihood`` at them (our kernel; event-time constants left
        out) and ``by``, whose estimate it is (``lifetimes`` or ``bayesseg``); or
        ``{"unavailable": reason}``.
    """
    return {part: _estimate(columns, name) for part, name in families.items()}


def _estimate(columns: Columns, name: str) -> dict[str, float | str]:
    family = FAMILIES[name]
    assert family.tabulate is not None
    assert family.kernel is not None
    theirs = name in _FITS and _weights(columns).sum() < MANY
    try:
        table = family.tabulate(columns)
        estimates = _lifetimes(name, columns) if theirs else _ours(family, table, columns)
    except InputRejected as error:
        return {"unavailable": error.message}
    except (ValueError, np.linalg.LinAlgError) as error:
        return {"unavailable": " ".join(str(error).split())}
    theta = np.array([float(estimates[parameter]) for parameter in family.textbook])
    value, _ = family.kernel(theta, *table.arrays.values())
    if not (np.isfinite(theta).all() and np.isfinite(value)):
        return {"unavailable": "lifetimes returned a parameter that is not a number"}
    return {
        **dict(zip(family.textbook, theta.tolist(), strict=True)),
        "log_likelihood": float(value),
        "by": "lifetimes" if theirs else "bayesseg",
    }


def _ours(family: Family, table: Table, columns: Columns) -> Mapping[str, float]:
    return maximum(family, None, table, scales_of(columns))[0]


def _lifetimes(name: str, columns: Columns) -> Any:
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        np.errstate(all="ignore"),
    ):
        # lifetimes switches warnings off for everybody on import; the context undoes it
        warnings.simplefilter("ignore")
        return _converged(_FITS[name], columns)


def _converged(fit: Callable[[Columns, float], Any], columns: Columns) -> Any:
    from lifetimes.utils import ConvergenceError

    for tolerance in _TOLERANCES:
        with contextlib.suppress(ConvergenceError):
            return fit(columns, tolerance)
    raise ValueError("lifetimes' maximum likelihood did not converge")


def _weights(columns: Columns) -> Any:
    return np.broadcast_to(columns.get("weight", 1.0), len(columns["x"]))


def _distinct(*columns: Any, weights: Any) -> tuple[list[Any], Any]:
    rows, index = np.unique(np.column_stack(columns), axis=0, return_inverse=True)
    return list(rows.T), np.bincount(index, weights=weights)


def _bgnbd(columns: Columns, tolerance: float) -> Any:
    from lifetimes import BetaGeoFitter

    x, t_x, T = columns["x"], columns["t_x"], columns["T"]
    (x, t_x, T), counts = _distinct(x, t_x, T, weights=_weights(columns))
    return BetaGeoFitter().fit(x, t_x, T, weights=counts, tol=tolerance).params_


def _mbgnbd(columns: Columns, tolerance: float) -> Any:
    from lifetimes import ModifiedBetaGeoFitter

    x, t_x, T = columns["x"], columns["t_x"], columns["T"]
    (x, t_x, T), counts = _distinct(x, t_x, T, weights=_weights(columns))
    return ModifiedBetaGeoFitter().fit(x, t_x, T, weights=counts, tol=tolerance).params_


def _gammagamma(columns: Columns, tolerance: float) -> Any:
    from lifetimes import GammaGammaFitter

    paid = (columns["n"] > 0) & (columns["S"] > 0)
    n, S = columns["n"][paid], columns["S"][paid]
    (n, S), counts = _distinct(n, S, weights=_weights(columns)[paid])
    unit = np.median(S / n)  # lifetimes starts at v = 0.1 whatever the currency
    estimates = GammaGammaFitter().fit(n, S / n / unit, weights=counts, tol=tolerance).params_
    return {"p": estimates["p"], "q": estimates["q"], "v": estimates["v"] * unit}


_FITS: Mapping[str, Callable[[Columns, float], Any]] = {
    "bgnbd": _bgnbd,
    "mbgnbd": _mbgnbd,
    "gammagamma": _gammagamma,
}
