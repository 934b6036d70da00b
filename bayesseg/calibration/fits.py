"""The engines as production runs them, but compiled once for many data sets. L8."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bayesseg._types import Columns, Draws, Family, Table
from bayesseg.families import FAMILIES
from bayesseg.inference.laplace import laplace, shortfall
from bayesseg.priors import Scales
from bayesseg.spec import InferenceSpec, PartSpec

type Fit = Callable[[Columns, int], Draws]
"""(columns, seed) -> draws."""


def fitter(
    engine: str, family: Family, part: PartSpec, scales: Scales, inference: InferenceSpec
) -> Fit:
    """The engine of that name, bound to a model.

    ``laplace`` falls back to ``nuts`` where its importance weights fail, as in production; not for a
    family that is not the registered one of its name, which PyMC could not find.
    """
    program: Any = None

    def nuts_fit(table: Table, seed: int) -> Draws:
        nonlocal program
        from bayesseg.inference.build import build
        from bayesseg.inference.nuts import compile_model, nuts

        if program is None:
            program = compile_model(build(family, part, table, scales))
        return nuts(family, part, table, scales, inference, seed, cores=1, program=program)

    def laplace_fit(table: Table, seed: int) -> Draws:
        draws = laplace(family, part, table, scales, inference, seed)
        if shortfall(draws.info) is None or FAMILIES.get(family.name) is not family:
            return draws
        return nuts_fit(table, seed)

    engines: Mapping[str, Callable[[Table, int], Draws]] = {
        "nuts": nuts_fit,
        "laplace": laplace_fit,
        "auto": laplace_fit,
    }

    def fit(columns: Columns, seed: int) -> Draws:
        assert family.tabulate is not None
        return engines[engine](family.tabulate(columns), seed)

    return fit
