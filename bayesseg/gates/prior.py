"""Did the data speak, or the prior: widths, and what happens when the prior counts more or less. L7."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bayesseg import priors
from bayesseg._types import Array, Check
from bayesseg.gates.exported import quantities
from bayesseg.gates.judge import Subject, judge, value, worst
from bayesseg.population import linked

WIDTH = 0.9
SENSITIVE = 0.1
_POWERS = (0.99, 1.01)


def identified(s: Subject) -> Iterator[Check]:
    """The data narrowed each prior: posterior sd below 0.9 of the prior's, on the unbounded scale."""
    family, own = linked(s.spec, s.state)
    # offsets of cohorts are in units of their spread, which the data inform in their stead
    offsets = {param.name for param in family.params if param.scaled_by}
    for name, prior in own.priors.items():
        if name not in s.draws.values or name in offsets:
            continue
        ratio = value(np.std, priors.unbounded(prior, s.draws.values[name]))
        ratio /= priors.unbounded_sd(prior, s.facts["scales"])
        yield judge(
            s,
            f"identified_{name}",
            ratio,
            WIDTH,
            severity="soft",
            says=f"the data hardly inform {name} (posterior sd is {ratio:.2f} of the prior's)",
            advice="treat numbers that lean on it as prior opinion",
        )


def prior_sensitivity(s: Subject) -> Iterator[Check]:
    """How far what is said of typical customers moves when the prior is raised to a power near 1.

    Measured by weights of the draws, without a refit: the gradient of the cumulative Jensen-Shannon
    distance by the power's binary logarithm (Kallioinen et al. 2024, Statistics and Computing 34, 57).
    Above 0.1 a prior twice as strong moves a number by about half its standard deviation; the paper's
    0.05 is where it starts to be seen. Offsets of cohorts are no prior of anybody's and stay.
    """
    family, own = linked(s.spec, s.state)
    offsets = {param.name for param in family.params if param.scaled_by}
    density = sum(
        priors.logpdf(own.priors[name], values, s.facts["scales"])
        for name, values in s.draws.values.items()
        if name in own.priors and name not in offsets
    )
    moved = {
        name: value(sensitivity, values, density)
        for name, values in quantities(s).items()
        if np.ptp(values) > 0
    }
    where, most = worst(moved, largest=True)
    yield judge(
        s,
        "prior_sensitivity",
        most,
        SENSITIVE,
        severity="soft",
        says=f"the prior moves {where} (power-scaling sensitivity {most:.2f}, limit {SENSITIVE:g})",
        advice="ask whether the priors are meant; fit a copy of the model file with wider ones beside",
    )


def sensitivity(values: Array, density: Array) -> float:
    """How far draws (chain, draw) move when a log ``density`` of theirs is raised to a power near 1."""
    from arviz_stats.base import array_stats

    weights = [np.exp(array_stats.power_scale_lw(density, alpha=a, axis=(0, 1))) for a in _POWERS]
    lower, upper = (weight / weight.sum() for weight in weights)
    return float(
        array_stats.power_scale_sense(values, lower, upper, *_POWERS, chain_axis=0, draw_axis=1)
    )
