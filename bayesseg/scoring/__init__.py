"""Scores: family quantities averaged over a posterior, one row a customer. L7.

Customers with one history share one row, and each quantity is computed once for the distinct values of
the columns it reads. Arrays draws x rows live only inside a block and are reduced there. A customer's
numbers depend on the posterior, the settings and the customer alone, never on who else is in the file,
on the order, on the chunk or on the number of threads (but for ``priority_rank`` and
``p_top_decile``, which are about the file). No PyMC is imported here.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import numpy as np

from bayesseg._types import OnProgress, Progress
from bayesseg.customers import Attributes, Customers, money_of
from bayesseg.errors import InputRejected, UsageError
from bayesseg.features import absent
from bayesseg.posterior import Posterior
from bayesseg.scoring.blocks import Found, forecasts, memberships
from bayesseg.scoring.document import document_of
from bayesseg.scoring.members import blank
from bayesseg.scoring.newcomer import newcomer
from bayesseg.scoring.plan import plan_of
from bayesseg.scoring.settings import FEWEST_DRAWS, LEVEL, TOP_SHARE, Scores, Settings
from bayesseg.scoring.table import COLUMNS, meaning_of, table_of, unit_of

__all__ = [
    "COLUMNS",
    "FEWEST_DRAWS",
    "LEVEL",
    "TOP_SHARE",
    "Scores",
    "Settings",
    "meaning_of",
    "score",
    "unit_of",
]

_USUAL = Settings()


def score(
    posterior: Posterior,
    data: Customers | Attributes,
    settings: Settings = _USUAL,
    *,
    threads: int | None = None,
    on_progress: OnProgress | None = None,
) -> Scores:
    """Score every customer of ``data``, those unseen at the fit included.

    More draws than ``settings`` asks for are kept where a thinned chain would be worth fewer, and as
    many as there are where a part holds fewer; the document says which and how precise that is.

    Args:
        posterior: what ``fit`` or ``load`` returned.
        data: customers, or attributes for a model of segments alone.
        settings: horizons, money and draws.
        threads: all cores by default; the numbers are the same for any.
        on_progress: told how many customers are done.

    Raises:
        InputRejected: the data do not fit the model (no purchases, an as-of before the training
            data's, no feature column; one that is missing, where the model refuses missing values;
            money, currency, zone of the day or size of amounts unlike those of the fit).
        UsageError: a ``margin`` of money that is margin already.
    """
    _accept(posterior, data)
    _accept_money(posterior, data, settings)
    _accept_units(posterior, data)
    if not (data.ids[:-1] <= data.ids[1:]).all():
        data = data.take(np.argsort(data.ids, kind="stable"))
    plan = plan_of(posterior, settings)

    def done(count: int) -> None:
        if on_progress:
            on_progress(Progress("score", count, len(data)))

    found: Found = {}, {}
    fresh = None
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        if isinstance(data, Customers) and plan.purchase:
            found = forecasts(plan, data, pool, done)
            fresh = newcomer(plan, data.as_of, pool)
        elif plan.segments:
            found = memberships(plan, data, pool, done)
    columns, sums = found
    if "segments" in posterior.spec.parts and not plan.segments:
        columns |= blank(posterior, len(data))
    table = table_of(posterior, data, columns, plan.settings)
    return Scores(table, document_of(plan, data, sums, table) | {"newcomer": fresh})


def _accept_money(posterior: Posterior, data: Customers | Attributes, settings: Settings) -> None:
    """Money of one kind throughout, and no margin of a margin."""
    trained, given = money_of(posterior.manifest.get("accounting")), money_of(data.provenance)
    if trained and given and trained != given:
        raise InputRejected(
            f"the model was fitted on {trained}, the data hold {given}",
            fix="read the data with --cost as at the fit"
            if trained == "margin"
            else "read the data without --cost, as at the fit",
            code="money_differs",
        )
    if trained == "margin" and settings.margin != 1:
        raise UsageError(
            f"--margin {settings.margin:g}, but the money is margin already: --cost took the costs off",
            fix="leave --margin out",
        )


_RESCALED = 30.0
"""Factor between median amounts that no change of habit explains; cents for euros make 100."""


def _accept_units(posterior: Posterior, data: Customers | Attributes) -> None:
    """Amounts and days mean what they meant at the fit, as far as both sides say it."""
    trained, given = posterior.manifest.get("accounting") or {}, data.provenance
    now, then = given.get("policies", {}), trained.get("policies", {})
    for key, what, fix in (
        ("currency", "amounts in", "turn them into that currency: --rates FILE"),
        ("day", "days of the zone", "give the --tz of the fit"),
    ):
        said = {then.get(key), now.get(key)} - {None, "as written"}
        if len(said) > 1:
            raise InputRejected(
                f"the model was fitted on {what} {then[key]}, the data hold {what} {now[key]}",
                fix=fix,
                code=f"{key}_differs",
            )
    medians = [
        side.get("quality", {}).get("amounts", {}).get("median") for side in (trained, given)
    ]
    if all(medians) and not 1 / _RESCALED < medians[1] / medians[0] < _RESCALED:
        raise InputRejected(
            f"half of the amounts are above {medians[1]:,.4g}, at the fit above {medians[0]:,.4g}: "
            "another unit, such as cents, or another currency",
            fix="give --amount the column in the unit of the fit, or fit a model of these amounts",
            code="unit_differs",
        )


def _accept(posterior: Posterior, data: Customers | Attributes) -> None:
    if len(data) == 0:
        raise InputRejected("there is no customer to score", code="empty")
    if posterior.features is not None:
        gone, _ = absent(data, posterior.features)
        if gone and posterior.spec.parts["segments"].options["missing"] == "reject":
            raise InputRejected(
                f"the data have no value of {', '.join(map(repr, gone))}, and the model refuses "
                "missing values",
                fix='give the column, or fit a model with missing = "model"',
                code="missing_column",
            )
    if "purchase" in posterior.spec.parts:
        if not isinstance(data, Customers):
            raise InputRejected(
                f"model {posterior.spec.name!r} reads purchases, not a table of clients",
                fix="give the purchase log",
            )
        trained = date.fromisoformat(posterior.manifest["as_of"])
        if data.as_of < trained:
            raise InputRejected(
                f"the data end on {data.as_of}, the model was fitted on data to {trained}",
                fix="score data that reach at least as far, or fit again with --as-of",
            )
