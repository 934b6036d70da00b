"""A random group that is left alone, and what it can show."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from bayesseg.errors import UsageError
from bayesseg.ingest import Key, pseudonyms

POWER, LEVEL = 0.80, 0.05
_DIGITS = 13
"""52 bits of the hash: what a double holds."""


def held(ids: npt.ArrayLike, campaign: str, share: float) -> npt.NDArray[np.bool_]:
    """Who is held out of a campaign, (N,): as if by lot, and the same whenever it is asked.

    A customer is held out where the first 13 hex digits of HMAC-SHA-256(key ``campaign``, message the
    id in UTF-8), over 16^13, are below ``share``: anything that knows both can tell. Another campaign
    draws other customers; who is held out at a small share is so at a larger one.

    Args:
        ids: text.
        campaign: its name, the key of the hash.
        share: of customers, between 0 and 1.

    Raises:
        UsageError: no name, or no such share.
    """
    if not campaign:
        raise UsageError("the campaign has no name", fix="name it: --campaign june")
    if not 0 < share < 1:
        raise UsageError(
            f"a hold-out of {share:g} is no group", fix="give a share between 0 and 1, such as 0.1"
        )
    if not np.size(ids):
        return np.zeros(0, dtype=bool)
    # "p" and the hexadecimal digits of the HMAC
    digits = pseudonyms(ids, Key(campaign.encode())).astype(f"S{1 + _DIGITS}")
    letters = digits.view(np.uint8).reshape(len(digits), -1)[:, 1:]
    value = np.where(letters >= ord("a"), letters - (ord("a") - 10), letters - ord("0"))
    return np.asarray(value @ (16.0 ** -np.arange(1, _DIGITS + 1)) < share)


def detectable_share(share: float, contacted: int, left: int) -> float | None:
    """The smallest rise of the ``share`` who buy that a test of level 5 % finds with power 80 %.

    The two-sided test of two proportions with pooled variance rejects where |p̂₁ - p̂₀| exceeds
    z_(1-α/2) √(p̄ (1-p̄) (1/n₁ + 1/n₀)); so the effect δ solves (Fleiss, Levin & Paik 2003, eq. 4.14)

        δ = z_(1-α/2) √(p̄ (1-p̄) (1/n₁ + 1/n₀)) + z_(1-β) √(p₁ (1-p₁)/n₁ + p₀ (1-p₀)/n₀)

    with p₁ = p₀ + δ and p̄ = (n₁ p₁ + n₀ p₀)/(n₁ + n₀).

    Args:
        share: p₀, who buy within the horizon uncontacted.
        contacted: n₁.
        left: n₀, held out.

    Returns:
        δ; None where none is large enough, not even that all buy, or one group is empty.
    """
    if min(contacted, left) < 1:
        return None

    def short(rise: float) -> float:
        """How far ``rise`` is below what it needs; falls to its root, then is negative."""
        other = share + rise
        both = (contacted * other + left * share) / (contacted + left)
        null = both * (1 - both) * (1 / contacted + 1 / left)
        true = other * (1 - other) / contacted + share * (1 - share) / left
        return _Z[0] * math.sqrt(null) + _Z[1] * math.sqrt(true) - rise

    low, high = 0.0, 1.0 - share
    if short(high) > 0:
        return None
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if short(middle) > 0 else (low, middle)
    return high


def detectable_mean(sd: float, contacted: int, left: int) -> float | None:
    """The smallest difference of mean spend that a test of level 5 % finds with power 80 %.

    δ = (z_(1-α/2) + z_(1-β)) σ √(1/n₁ + 1/n₀), the two-sided z test of two means.

    Args:
        sd: σ of the spend of one customer, what lies between customers included.
        contacted: n₁.
        left: n₀, held out.
    """
    if min(contacted, left) < 1:
        return None
    return float(sum(_Z) * sd * math.sqrt(1 / contacted + 1 / left))


_Z = float(ndtri(1 - LEVEL / 2)), float(ndtri(POWER))
