"""Clients in clear groups, and a fitted run of them, for the tests of segmentation."""

from dataclasses import replace

import numpy as np

from bayesseg import naming
from bayesseg.customers import Attributes
from bayesseg.families import FAMILIES
from bayesseg.features import apply, learn, raw_columns
from bayesseg.inference.gibbs import gibbs
from bayesseg.posterior import Posterior
from bayesseg.spec import load_spec

CENTRES = np.array([[0.0, 0.0], [6.0, 0.0], [3.0, 6.0]])
SHARES = (0.5, 0.3, 0.2)


def groups(rows, seed, shares=SHARES, centres=CENTRES):
    """Rows around ``centres`` with unit noise, and the group of each."""
    rng = np.random.default_rng(seed)
    z = rng.choice(len(centres), size=rows, p=shares)
    return centres[z] + rng.standard_normal((rows, 2)), z


def clients(values, prefix="c"):
    """A table of clients with columns a, b, ..."""
    ids = np.array([f"{prefix}{i:05d}" for i in range(len(values))], dtype=object)
    names = "abcdef"[: values.shape[1]]
    return Attributes(ids, dict(zip(names, values.T.copy(), strict=True)))


def scaled(values):
    """Columns with mean 0 and standard deviation 1."""
    return (values - values.mean(0)) / values.std(0)


def part(**options):
    """The segments part of the shipped model for tables of clients."""
    own = load_spec("segments").parts["segments"]
    return replace(own, options={**own.options, **options})


def fitted(data, components):
    """A run of segments on ``data``: real draws, few of them."""
    spec = load_spec("segments")
    spec = replace(spec, parts={"segments": part(components=components)})
    raw = raw_columns(data, spec.features)
    state = learn(spec.features, raw)
    matrix = apply(state, raw)
    short = replace(spec.inference, chains=2, draws=100, tune=50)
    draws = gibbs(
        FAMILIES["gmm"], spec.parts["segments"], matrix, short, 1, **state.layout, threads=1
    )
    named = naming.named(data, draws, matrix)
    return Posterior(spec, state, {"segments": draws}, {"segments": named, "model_id": "m"}, {})
