"""What a contact is expected to bring, and to cost."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesseg._types import Array
from bayesseg.errors import UsageError

_NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_BETA = re.compile(rf"beta:\s*({_NUMBER})\s*,\s*({_NUMBER})")
_SHARE = re.compile(r"(\d*[.,]?\d+|\d+[.,])\s*(%?)")


@dataclass(frozen=True, slots=True)
class Rate:
    """The share of contacts that work: keep a customer who would leave, bring one back who has left.

    ``mean``, known exactly where ``beta`` is None; else uncertain, Beta(a, b).
    """

    mean: float
    beta: tuple[float, float] | None = None

    def draws(self, count: int, seed: int) -> Array:
        """So many draws of the rate, the same for all customers of a draw, (S,)."""
        if self.beta is None:
            return np.full(count, self.mean)
        return np.random.default_rng(seed).beta(*self.beta, size=count)

    def document(self) -> dict[str, Any]:
        """JSON-able."""
        return {"mean": self.mean, "beta": None if self.beta is None else list(self.beta)}


def written(a: float, b: float) -> str:
    """Beta(a, b) as ``rate_of`` reads it: ``beta:8,92``, four digits each."""
    both = (np.format_float_positional(one, 4, fractional=False, trim="-") for one in (a, b))
    return f"beta:{','.join(both)}"


def rate_of(text: str) -> Rate:
    """``0.08`` (also ``0,08`` and ``8%``), or ``beta:8,92``: as sure as 8 saved of 100 contacted are.

    Raises:
        UsageError: neither, or not between 0 and 1.
    """
    if match := _BETA.fullmatch(text.strip()):
        a, b = float(match[1]), float(match[2])
        if 0 < a < math.inf and 0 < b < math.inf:
            return Rate(a / (a + b), (a, b))
    elif match := _SHARE.fullmatch(text.strip()):
        mean = float(match[1].replace(",", ".")) / (100 if match[2] else 1)
        if mean == 0:
            raise UsageError(
                "a save rate of 0 says that no contact works: nobody is worth one",
                fix="leave --save-rate out for a list by value, or give what contacts achieve",
            )
        if mean <= 1:
            return Rate(mean)
    raise UsageError(
        f"{text!r} is no save rate",
        fix="give the share of contacts that work, such as 0.08, or its uncertainty, such as beta:8,92",
    )


@dataclass(frozen=True, slots=True)
class Terms:
    """What contacting takes; without a ``rate`` what it brings is unknown.

    ``contact_cost`` of one contact, (N,) or one for all; ``offer_cost`` of an offer that is taken up,
    which a share ``redeem_rate`` of all contacted do, those who would have stayed anyway too.
    """

    rate: Rate | None
    contact_cost: Array | float
    offer_cost: float = 0.0
    redeem_rate: float = 0.0

    def costs(self, count: int) -> Array:
        """Expected cost of each contact, (N,)."""
        return np.broadcast_to(self.contact_cost + self.redeem_rate * self.offer_cost, count) + 0.0

    def net(self, stake: Array) -> Array:
        """Expected net benefit, (N,): rate · stake - contact cost - redeem rate · offer cost.

        ``stake`` is the expected ``value_at_risk`` or ``win_back_value``. The rate does not depend on
        the customer, so this is the mean over all draws of their own (``stakes``), without its noise: a
        list cut by noisy means would promise more than it keeps.
        """
        assert self.rate is not None
        return np.asarray(self.rate.mean * stake - self.costs(len(stake)))
