"""Two classifiers from scikit-learn for "buys again": a fair benchmark, shown also where it wins.

They are trained as an analyst would have to on the day of the cut: features at an earlier inner cut,
label "bought in the horizon that followed", applied at the cut. Nothing after the cut is seen.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np

from bayesseg._types import SMALLEST, Array
from bayesseg.customers import Attributes, Customers
from bayesseg.errors import InputRejected, UsageError
from bayesseg.ingest import Purchases
from bayesseg.validation.baselines import Rule, carried, told
from bayesseg.validation.holdout import Holdout, holdout

FEWEST = 20
"""Buyers, and others, from which a learner can learn."""


def inner_cut(
    purchases: Purchases, held: Holdout, *, seed: int, attributes: Attributes | None = None
) -> Holdout | str:
    """The cut at which learners look back from ``held``, or why there is none.

    Its horizon is that of the holdout, or half the history where that is shorter; it ends at the cut.
    """
    days = max(min(held.horizon_days, int(held.known.t_end.max()) // 2), 1)
    try:
        return holdout(
            purchases,
            held.cut - timedelta(days=days),
            days,
            seed=seed,
            as_of=held.cut,
            attributes=attributes,
        )
    except (InputRejected, UsageError) as error:
        return f"the history before the cut is too short to learn from: {error.message}"


def features(known: Customers) -> Array:
    """What both learners see, (N, 10): counts and times and their logarithms, no ids."""
    x, t_x, T = (v.astype(np.float64) for v in (known.x, known.t_x, known.t_end))
    silence, paid = T - t_x, known.x_paid
    spend = known.first_spend + known.repeat_spend
    return np.column_stack(
        [
            np.log1p(x),
            np.log1p(silence),
            np.log1p(T),
            silence / np.maximum(T, 1),
            x / np.maximum(T, 1),
            np.log1p(t_x / np.maximum(x, 1)),
            silence * x / np.maximum(t_x, 1),  # silence in own gaps
            np.log1p(spend),
            np.log1p(spend / (1 + paid)),
            np.log1p(known.n_orders),
        ]
    )


def attributed(names: Sequence[str], known: Customers, learnt: Customers) -> Array:
    """Attributes for learners, (N, columns): numbers, and an indicator of each level of a text.

    Levels of ``SMALLEST`` customers and more, and the mean that stands for a missing number, are those
    of ``learnt``.
    """
    columns = []
    for name in names:
        assert known.attributes is not None
        assert learnt.attributes is not None
        now, then = known.attributes.columns[name], learnt.attributes.columns[name]
        if now.dtype.kind == "f":
            mean = np.nanmean(then) if np.isfinite(then).any() else 0.0
            columns.append(np.where(np.isfinite(now), now, mean))
            continue
        levels, counts = np.unique([str(v) for v in then if v is not None], return_counts=True)
        columns += [(now == level).astype(float) for level in levels[counts >= SMALLEST]]
    return np.column_stack(columns) if columns else np.empty((len(known), 0))


def learners(
    held: Holdout, inner: Holdout | str, seed: int, attributes: Sequence[str] = ()
) -> list[Rule]:
    """Logistic regression and gradient boosting; a rule without numbers says why.

    They see the ``attributes`` named beside the histories.
    """
    names = {"logistic": "logistic regression", "boosting": "gradient boosting"}
    blank = np.full(len(held.scored), np.nan)
    why = inner if isinstance(inner, str) else _too_few(inner)
    if isinstance(inner, str) or why:
        return [
            Rule(name, title, "learner", None, None, blank, why) for name, title in names.items()
        ]

    def seen(known: Customers) -> Array:
        return np.hstack([features(known), attributed(attributes, known, inner.scored)])

    trained = _trained(seen(inner.scored), inner.purchases > 0, seed)
    now = seen(held.scored)
    note = told(held, inner)
    rules = []
    for name, title in names.items():
        p = carried(np.asarray(trained[name].predict_proba(now)[:, 1]), held, inner)
        rules.append(Rule(name, title, "learner", None, p, p, note))
    return rules


def _too_few(inner: Holdout) -> str:
    """Why the inner cut teaches nothing of who buys; empty where it does."""
    bought = int((inner.purchases > 0).sum())
    if min(bought, len(inner.purchases) - bought) >= FEWEST:
        return ""
    return (
        f"{bought:,} of {len(inner.purchases):,} customers bought in the {inner.horizon_days} days "
        f"after {inner.cut}: at least {FEWEST} who did and {FEWEST} who did not are needed to learn"
    )


def _trained(seen: Array, bought: Any, seed: int) -> Mapping[str, Any]:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    models = {
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000)),
        "boosting": HistGradientBoostingClassifier(
            learning_rate=0.05,
            max_leaf_nodes=15,
            min_samples_leaf=40,
            l2_regularization=1.0,
            early_stopping=True,
            random_state=seed,
        ),
    }
    # one thread: the same trees everywhere, and tables this small only lose time to more
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        return {name: model.fit(seen, bought) for name, model in models.items()}
