"""Totals that carry what the backtests of the fit missed. L7."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bayesseg._types import Array
from bayesseg.discrepancy import Discrepancy, learnt
from bayesseg.posterior import Posterior
from bayesseg.scoring.settings import LEVEL, Settings

TESTED = {"expected_purchases": "purchase", "clv": "spend"}
"""Totals that come true or not, and the part whose backtests tell of them."""


@dataclass(frozen=True, slots=True)
class Widening:
    """What past forecasts over ``horizon_days``, off by ``bias``, teach of the next."""

    discrepancy: Discrepancy
    horizon_days: int
    bias: tuple[float, ...]

    def document(self) -> dict[str, Any]:
        """JSON-able; the factor is at ``LEVEL``."""
        low, high = self.discrepancy.factor(LEVEL)
        return {
            "learnt_from": self.discrepancy.learnt_from,
            "horizon_days": self.horizon_days,
            "bias": list(self.bias),
            "right": self.discrepancy.right,
            "lo": low,
            "hi": high,
        }

    def ends(self, name: str, sums: Mapping[str, Array]) -> dict[str, float | None]:
        """The widened interval of a total: of what is realised, where futures were drawn."""
        low, high = self.discrepancy.widened(sums.get(f"realised_{name}", sums[name]), LEVEL)
        return {"widened_lo": low, "widened_hi": high}


def widenings(posterior: Posterior) -> dict[str, Widening | None]:
    """By part that forecasts totals; None where the fit made no backtest of it."""
    made = [one for one in posterior.summary.get("backtests", ()) if one.get("miss")]
    found: dict[str, Widening | None] = {}
    for part in (part for part in TESTED.values() if part in posterior.parts):
        own = [one for one in made if one["part"] == part]
        found[part] = (
            Widening(
                learnt([one["miss"] for one in own]),
                own[0]["horizon_days"],
                tuple(one["bias"] for one in own),
            )
            if own
            else None
        )
    return found


def said(found: Mapping[str, Widening | None], settings: Settings) -> list[str]:
    """Why totals are widened, or why not, in words; and where they look further than was tested."""
    ahead = {"purchase": settings.horizon_days, "spend": settings.value_horizon_days}
    words = []
    for part, own in found.items():
        what = "purchases" if part == "purchase" else "money"
        if own is None:
            words.append(
                f"the total of {what} is not widened: this fit made no backtest of it, and what a model "
                "misses beyond its own uncertainty only past forecasts can tell"
            )
            continue
        low, high = own.discrepancy.factor(LEVEL)
        biases = ", ".join(f"{round(100 * bias):+d}%" for bias in own.bias).replace("-", "−")
        words.append(
            f"the total of {what} is also given widened by what past forecasts over "
            f"{own.horizon_days} days missed ({biases}): with {LEVEL:.0%} probability {low:.2f} to "
            f"{high:.2f} times the forecast comes, chance apart; {own.discrepancy.learnt_from} are a "
            "beginning, validate --origins tells more"
            + (
                f"; the {ahead[part]} days of this total were not tested: it may miss by more"
                if ahead[part] > own.horizon_days
                else ""
            )
        )
    return words
