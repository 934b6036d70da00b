"""Truths and data sets drawn from a model: what simulation-based calibration is fed with. L8."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bayesseg import priors
from bayesseg._types import Columns, Family
from bayesseg.priors import Scales
from bayesseg.spec import PartSpec


@dataclass(frozen=True, slots=True)
class Design:
    """What stays the same in every simulated data set.

    Attributes:
        customers: how many.
        oldest_days: days since the first purchase of the oldest customer.
        youngest_days: the same of the youngest; the others lie evenly between.
        order: what one ``median_order`` of the priors is worth.
        repeaters: fewer repeat buyers than this and the data are drawn again, truth and all, as
            production refuses them (``readiness``). The choice looks at the data alone, so that
            ranks stay uniform.
    """

    customers: int = 200
    oldest_days: float = 455.0
    youngest_days: float = 91.0
    order: float = 30.0
    repeaters: int = 10

    def window(self, unit_days: float) -> float:
        """Mean time observed, in the model's unit."""
        return (self.oldest_days + self.youngest_days) / 2 / unit_days

    def scales(self, unit_days: float) -> Scales:
        """What prior units are worth: fixed, so that the prior fitted is the one drawn from."""
        return {"mean_window": self.window(unit_days), "median_order": self.order}

    def exposure(self, family: Family, unit_days: float) -> Columns:
        """The columns that a family's ``simulate`` is given."""
        if family.part == "purchase":
            days = np.linspace(self.youngest_days, self.oldest_days, self.customers)
            return {"T": days / unit_days}
        shares = (np.arange(self.customers) + 0.5) / self.customers  # geometric with mean 2
        return {"n": np.floor(np.log(shares) / np.log(2.0 / 3.0))}


@dataclass(frozen=True, slots=True)
class Simulated:
    """One truth and the data it made.

    Attributes:
        truth: free parameters, each (1,).
        columns: customers to learn from.
        held_out: one customer more, of a truth of its own: one of the same truth is likelier under it
            than under draws that never saw that customer, and ranks would not be uniform.
        redrawn: data sets refused before this one.
    """

    truth: Mapping[str, np.ndarray]
    columns: Columns
    held_out: Columns
    redrawn: int


def simulated(
    family: Family, part: PartSpec, design: Design, unit_days: float, rng: np.random.Generator
) -> Simulated:
    """Free parameters from the priors of ``part`` and customers from ``family.simulate``."""
    assert family.simulate is not None
    scales, exposure = design.scales(unit_days), design.exposure(family, unit_days)

    def drawn(rng: np.random.Generator) -> tuple[Columns, dict[str, float]]:
        truth = {p.name: priors.sample(part.priors[p.name], 1, scales, rng) for p in family.params}
        return truth, {name: float(value[0]) for name, value in family.derive(truth).items()}

    redrawn, own = 0, rng.spawn(1)[0]
    while True:
        truth, theta = drawn(rng)
        columns = family.simulate(theta, exposure, rng)
        if (columns[family.columns[0]] > 0).sum() >= design.repeaters:
            middle = {name: np.median(values, keepdims=True) for name, values in exposure.items()}
            held_out = family.simulate(drawn(own)[1], middle, own)
            return Simulated(truth, columns, held_out, redrawn)
        redrawn += 1
