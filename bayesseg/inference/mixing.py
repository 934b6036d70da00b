"""How far a run has mixed, cheaply: the stopping rule of the Gibbs sampler. L5.

Split R-hat and effective sample size of raw values and of their distance from the median, all scalars at
once. The verdict on a fit is not taken here but by the gates, with rank-normalised diagnostics.
"""

from __future__ import annotations

import numpy as np
from scipy.fft import next_fast_len

from bayesseg._types import Array


def _halves(values: Array) -> Array:
    """(chain, draw, scalar) to twice as many chains of half the length."""
    half = values.shape[1] // 2
    return np.concatenate([values[:, :half], values[:, -half:]])


def rhat(values: Array) -> Array:
    """Split R-hat of each scalar of (chain, draw, scalar) (Gelman et al. 2013, section 11.4).

    Infinite where chains stand still apart, NaN where nothing ever moved.
    """
    split = _halves(values)
    draws = split.shape[1]
    within = split.var(1, ddof=1).mean(0)
    between = split.mean(1).var(0, ddof=1)
    with np.errstate(
        divide="ignore", invalid="ignore"
    ):  # chains that stand still: infinite, or NaN
        return np.asarray(np.sqrt((draws - 1) / draws + between / within))


def ess(values: Array) -> Array:
    """Effective sample size of each scalar, Geyer's initial positive sequence."""
    split = _halves(values)
    chains, draws, _ = split.shape
    size = next_fast_len(2 * draws, real=True)
    # scalar last would have the transform stride through memory
    centred = np.ascontiguousarray(np.moveaxis(split - split.mean(1, keepdims=True), 1, 2))
    power = np.abs(np.fft.rfft(centred, size)) ** 2
    autocovariance = np.moveaxis(np.fft.irfft(power, size)[..., :draws], 2, 1) / draws
    within = autocovariance[:, 0].mean(0) * draws / (draws - 1)
    total = within * (draws - 1) / draws + split.mean(1).var(0, ddof=1)
    rho = 1.0 - (within - autocovariance.mean(0)) / total
    pairs = rho[0 : draws - 1 : 2] + rho[1:draws:2]
    going = np.minimum.accumulate(pairs > 0, axis=0)
    decreasing = np.minimum.accumulate(pairs, axis=0)
    tau = np.maximum(2.0 * np.where(going, decreasing, 0.0).sum(0) - 1.0, 1.0 / np.log10(draws))
    return np.asarray(chains * draws / tau)


def worst(values: Array) -> tuple[float, float]:
    """Largest R-hat and smallest effective sample size over all scalars, folded ones included.

    Values that never moved are left to the gates.
    """
    both = np.concatenate([values, np.abs(values - np.median(values, axis=(0, 1)))], axis=2)
    both = both[..., np.ptp(both, axis=(0, 1)) > 0]
    if not both.size:
        return np.nan, np.nan
    return float(rhat(both).max()), float(ess(both).min())
