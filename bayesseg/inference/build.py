"""A family, its priors and a table to a PyMC model. L5."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import pymc as pm
import pytensor.tensor as pt

from bayesseg._types import Family, Param, Table
from bayesseg.errors import UsageError
from bayesseg.inference.op import FusedLogLik, pack
from bayesseg.priors import Prior, Scales
from bayesseg.spec import PartSpec


def _lognormal(name: str, prior: Prior, factor: float) -> Any:
    mu = math.log(prior.arguments["median"] * factor)
    return pm.LogNormal(name, mu=mu, sigma=prior.arguments["sigma"])


def _beta(name: str, prior: Prior, factor: float) -> Any:
    return pm.Beta(name, prior.arguments["alpha"], prior.arguments["beta"])


def _normal(name: str, prior: Prior, factor: float) -> Any:
    mean, sd = prior.arguments["mean"], prior.arguments["sd"]
    return pm.Normal(name, mu=mean * factor, sigma=sd * factor)


def _halfnormal(name: str, prior: Prior, factor: float) -> Any:
    return pm.HalfNormal(name, sigma=prior.arguments["sd"] * factor)


_PYMC: Mapping[str, tuple[str, Callable[[str, Prior, float], Any]]] = {
    "LogNormal": ("positive", _lognormal),
    "Beta": ("unit", _beta),
    "Normal": ("real", _normal),
    "HalfNormal": ("positive", _halfnormal),
}


def _prior_of(family: Family, part: PartSpec, param: Param) -> Prior:
    """The prior of ``param``, refused where missing or of another support."""
    if param.name not in part.priors:
        raise UsageError(
            f"{family.title} needs a prior for {param.name} ({param.meaning})",
            fix=f"add {param.name} under [{family.part}.priors] in the model file",
        )
    prior = part.priors[param.name]
    if prior.dist not in _PYMC or _PYMC[prior.dist][0] != param.support:
        fitting = [name for name, (support, _) in _PYMC.items() if support == param.support]
        raise UsageError(
            f"the prior of {param.name} is {prior.dist}, but {param.name} is {param.support}",
            fix=f"use {' or '.join(fitting)}",
        )
    return prior


def build(family: Family, part: PartSpec, table: Table, scales: Scales) -> pm.Model:
    """The PyMC model of one part: priors on the free parameters, one potential for the data.

    The table is data, not constants. A family without a kernel is read through its ``logp``: its table
    then holds the family's columns and ``weight``.
    """
    priors = {p.name: _prior_of(family, part, p) for p in family.params}
    with pm.Model() as model:
        free = {
            name: _PYMC[prior.dist][1](name, prior, prior.factor(scales))
            for name, prior in priors.items()
        }
        theta = family.derive(free)
        if family.kernel is not None:
            words, kinds = pack(table.arrays)
            one = kinds[: len(kinds) // table.groups]
            vector = pt.stack([theta[name] for name in family.textbook], axis=-1).reshape((-1,))
            total = FusedLogLik(family.name, one)(vector, pm.Data("table", words))[0]
        else:
            assert family.logp is not None
            data = {name: pm.Data(f"data_{name}", v) for name, v in table.arrays.items()}
            total = pt.dot(data["weight"], family.logp(theta, data))
        pm.Potential("log_likelihood", total)
    return model
