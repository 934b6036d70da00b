"""From a contact list and what came to what the contact brought."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesseg.cli import scorefile
from bayesseg.cli.flags import SourceFlags, TruthFlags
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.cli.steps import reading
from bayesseg.cli.text import table
from bayesseg.errors import ArtefactBad, InputRejected, UsageError
from bayesseg.spans import day

if TYPE_CHECKING:
    import pandas as pd

    from bayesseg._types import Array

_YES, _NO = {"1", "1.0", "true", "yes", "oui"}, {"0", "0.0", "false", "no", "non"}
_MEASURES = ("bought", "spend")
_SURE = 1.64
"""Standard deviations beyond which a save rate below 0 or above 1 is no accident (one in twenty)."""


@dataclass(frozen=True, slots=True)
class _Terms:
    """What a list was drawn by, as the document beside it says; None where it says nothing.

    ``drawn``: the ids of the list are those that the lot was drawn of.
    """

    which: str | None = None
    share: float | None = None
    campaign: str | None = None
    drawn: bool = False
    counts: Mapping[str, int] | None = None
    as_of: date | None = None
    margin: float | None = None
    value_horizon_days: int | None = None
    annual_discount: float = 0.0


def read_out(
    data: str | None,
    source: SourceFlags,
    truth: TruthFlags,
    horizon_days: int | None,
    seed: int,
    shell: Shell,
) -> Outcome:
    """Compare those contacted with those held out, and say what the contact brought."""
    import numpy as np

    from bayesseg.decide.benefit import rate_of
    from bayesseg.validation import campaign

    assert truth.campaign is not None
    prior = None if truth.save_rate is None else rate_of(truth.save_rate).beta
    if truth.save_rate is not None and prior is None:
        raise UsageError(
            f"--save-rate {truth.save_rate} is certain: no campaign can change it",
            fix="give what was believed with its uncertainty, such as beta:8,92",
        )
    listed, terms = _list_of(truth.campaign), _terms_of(truth.campaign)
    contacted, held = _groups(listed, terms, shell)
    came = _outcomes(listed, terms, data, source, truth, horizon_days, shell)
    compared = (contacted | held).to_numpy()
    some = listed[compared]
    loss = None
    if prior is not None:
        loss = _loss(some, terms, horizon_days, shell)

    def column(table: pd.DataFrame, name: str) -> Array | None:
        return table[name].to_numpy(np.float64) if name in table else None

    churn = column(some, "p_churn")
    found = campaign.read_out(
        campaign.Campaign(
            contacted=contacted[compared].to_numpy(),
            bought=column(came[compared], "bought"),
            spend=column(came[compared], "spend"),
            p_buy=None if churn is None else 1 - churn,
            clv=column(some, "clv"),
            loss=loss,
            reached=_told(came[compared], "contacted").to_numpy() if "contacted" in came else None,
        ),
        seed=seed,
        share=terms.share,
        margin=terms.margin or 1.0,
        prior=prior,
    )
    if loss is not None and found["rate"] is None:
        shell.warn("the save rate is not updated: nothing to prevent, or no spend that compares")
    show(found, terms, shell)
    return Outcome({"campaign": found, "seed": seed})


def _list_of(path: Path) -> pd.DataFrame:
    """The list, one row a customer, sorted by id."""
    import pandas as pd

    from bayesseg.customers import read_attributes

    read = read_attributes(path)
    found = pd.DataFrame(dict(read.columns), index=pd.Index(read.ids, name="customer_id"))
    for name in ("selected", "holdout"):
        if name not in found:
            raise InputRejected(
                f"{path} has no column {name!r}: it does not say who was to be contacted",
                fix="give the list of bayesseg prioritise --holdout 0.1 --campaign NAME",
                code="columns_unknown",
            )
    if path.suffix == ".csv":
        found.index = _unguarded(found.index)
    return found.sort_index()


def _unguarded(ids: pd.Index, known: pd.Index | None = None) -> pd.Index:
    """Ids without the guard of a CSV for people, but those ``known`` as they are.

    Raises:
        InputRejected: two are the same without it.
    """
    there = ids[:0] if known is None else known
    found = ids.where(ids.isin(there), ids.map(scorefile.unguarded))
    if found.has_duplicates:
        raise InputRejected(
            f"{int(found.duplicated().sum()):,} ids are there twice, once with a ' in front",
            fix="give one row a customer",
            code="id_repeated",
        )
    return found


def _groups(listed: pd.DataFrame, terms: _Terms, shell: Shell) -> tuple[pd.Series, pd.Series]:
    """Who was to be contacted and who was held out, as the list says and the lot confirms."""
    import numpy as np

    from bayesseg.decide.holdout import held as lot

    contacted, held = _told(listed, "selected"), _told(listed, "holdout")
    if both := int((contacted & held).sum()):
        raise InputRejected(
            f"{both:,} customers of the list are to be contacted and held out at once",
            fix="give the list as prioritise wrote it",
            code="groups_overlap",
        )
    if terms.drawn and terms.campaign is not None and terms.share is not None:
        drawn = lot(listed.index.to_numpy(dtype=object), terms.campaign, terms.share)
        if others := int(np.where(drawn, contacted, held).sum()):
            raise InputRejected(
                f"{others:,} customers of the list are not in the group that the lot of campaign "
                f"{terms.campaign} put them in",
                fix="give the list as prioritise wrote it, ids and groups unchanged (a spreadsheet "
                "takes leading zeros off)",
                code="lot_differs",
            )
    if terms.counts is not None:
        then = terms.counts["contacted"], terms.counts["held_out"]
        if then != (now := (int(contacted.sum()), int(held.sum()))):
            shell.warn(
                f"the list held {then[0]:,} to contact and {then[1]:,} held out when it was drawn, and "
                f"now {now[0]:,} and {now[1]:,}: who was taken off since, and why?"
            )
    return contacted, held


def _told(table: pd.DataFrame, name: str) -> pd.Series:
    """A column of yes and no, refused where it says anything else."""
    words = table[name].astype("str").str.strip().str.lower()
    if odd := sorted(set(words) - _YES - _NO):
        raise InputRejected(
            f"column {name!r} says {odd[0]!r} where it should say true or false",
            fix="write true or false, 1 or 0",
            code="column_unreadable",
        )
    return words.isin(_YES)


def _terms_of(path: Path) -> _Terms:
    """What stands beside a list; nothing where no document does."""
    beside = scorefile.sidecar(path)
    if not beside.exists():
        return _Terms()
    try:
        document = json.loads(beside.read_bytes())
        if not scorefile.intact(document):
            raise ArtefactBad(
                f"{beside} has changed since it was written",
                fix="give the list with the document that prioritise wrote beside it",
            )
        as_of = document["as_of"]
        return _Terms(
            which=document["list"],
            share=document["holdout"],
            campaign=document["campaign"],
            drawn=document.get("renamed") is False,
            counts=document["counts"],
            as_of=None if as_of is None else day(str(as_of)[:10]),
            margin=document["margin"],
            value_horizon_days=document["value_horizon_days"],
            annual_discount=document["annual_discount"] or 0.0,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ArtefactBad(
            f"{beside} is not the document of a list", fix="give the list where prioritise wrote it"
        ) from error


def _outcomes(
    listed: pd.DataFrame,
    terms: _Terms,
    data: str | None,
    source: SourceFlags,
    truth: TruthFlags,
    horizon_days: int | None,
    shell: Shell,
) -> pd.DataFrame:
    """What came of each customer of the list: ``bought``, ``spend``, ``contacted`` where known."""
    import numpy as np
    import pandas as pd

    from bayesseg.customers import read_attributes
    from bayesseg.ingest import pseudonyms

    if data is not None or source.from_ is not None:
        if truth.outcomes is not None:
            raise UsageError("--outcomes and DATA are both given", fix="give one of them")
        return _purchases(listed, terms, data, source, truth, horizon_days, shell)
    if truth.contacted_on is not None:
        raise UsageError(
            "--contacted-on counts purchases in DATA, and there is none", fix="give it"
        )
    found, where = listed, "the list"
    if truth.outcomes is not None:
        read, where = read_attributes(truth.outcomes), truth.outcomes
        ids, key = _unguarded(pd.Index(read.ids), listed.index), source.key()
        found = pd.DataFrame(dict(read.columns), index=ids if key is None else pseudonyms(ids, key))
        if not found.index.isin(listed.index).any():
            raise _strangers(truth.outcomes)
        strangers = int((~found.index.isin(listed.index)).sum())
        absent = int((~listed.index.isin(found.index)).sum())
        if strangers and absent:
            shell.warn(
                f"{strangers:,} outcomes are of customers not on the list, and {absent:,} of the "
                "list have none: are ids written in the same way?"
            )
        elif strangers:
            shell.say(f"note: {strangers:,} outcomes are of customers who are not on the list")
        found = found.reindex(listed.index)
    given = [name for name in _MEASURES if name in found]
    if not given:
        raise InputRejected(
            f"{where} has no column bought (0 or 1) or spend: nothing says what came",
            fix="add one, give --outcomes FILE, or the purchase log: bayesseg validate DATA "
            "--campaign LIST --contacted-on 2025-06-01 --horizon 90d",
            code="columns_unknown",
        )
    columns = {name: _numbers(found[name], name, where) for name in given}
    if len(columns) == len(_MEASURES):  # who bought nothing spent nothing, said or not
        spend, none = columns["spend"], columns["bought"] == 0
        columns["spend"] = spend.mask(none & spend.isna(), 0.0)
    if "bought" not in columns:
        spend = columns["spend"]
        columns["bought"] = (spend > 0).astype(np.float64).where(spend.notna())
    if columns["bought"].min() == 1.0:
        raise InputRejected(
            f"everybody in {where} bought: it seems to hold buyers only",
            fix="add those who did not, with 0, or give the purchase log as DATA",
            code="outcomes_of_buyers_only",
        )
    if "spend" in columns and columns["spend"].max() <= 0 > columns["spend"].min():
        shell.warn("every amount of spend is negative: did they buy, or send back?")
    return found.assign(**columns)


def _numbers(column: pd.Series, name: str, where: str) -> pd.Series:
    """``bought`` as 1 and 0, ``spend`` as it is; NaN where missing."""
    import numpy as np
    import pandas as pd

    known = column.dropna()
    if name == "bought" and not set(known.unique()) <= {0.0, 1.0}:
        known = _told(known.to_frame(), name)
    if not pd.api.types.is_numeric_dtype(known):
        raise InputRejected(
            f"column {name!r} of {where} holds {known.iloc[0]!r} where an amount should be",
            fix="write plain numbers, without a currency",
            code="column_unreadable",
        )
    return known.astype(np.float64).reindex(column.index)


def _strangers(where: str) -> InputRejected:
    return InputRejected(
        f"no customer of {where} is on the list: the ids do not agree",
        fix="write ids in the same way; where the list holds pseudonyms, give its key by --pseudonymise",
        code="ids_differ",
    )


def _purchases(
    listed: pd.DataFrame,
    terms: _Terms,
    data: str | None,
    source: SourceFlags,
    truth: TruthFlags,
    horizon_days: int | None,
    shell: Shell,
) -> pd.DataFrame:
    """The same from the log: purchases on the day of the contact and ``horizon_days`` in all."""
    import pandas as pd

    from bayesseg.customers import activity
    from bayesseg.ingest import pseudonyms
    from bayesseg.validation.record import refuse_late

    if truth.contacted_on is None or horizon_days is None:
        raise UsageError(
            "purchases in DATA are counted from --contacted-on DAY over --horizon SPAN",
            fix="bayesseg validate DATA --campaign LIST --contacted-on 2025-06-01 --horizon 90d",
        )
    if terms.as_of is not None and day(truth.contacted_on) <= terms.as_of:
        raise UsageError(
            f"--contacted-on {truth.contacted_on}, and the list knew purchases up to {terms.as_of}",
            fix="give the day on which the customers of this list were contacted",
        )
    loaded = reading.load_purchases(reading.source_of(data, source, shell), source, shell)
    assert loaded.purchases is not None
    refuse_late(loaded.purchases, day(truth.contacted_on))
    before = day(truth.contacted_on) - timedelta(days=1)
    until, last = before + timedelta(days=horizon_days), reading.buyers(loaded).as_of
    if last < until:
        raise InputRejected(
            f"{horizon_days} days from {truth.contacted_on} end on {until}, and the data end on {last}",
            fix=f"give data up to {until} or later, or a shorter --horizon",
            code="too_early",
        )
    ids, _, spend = activity(loaded.purchases, before, until)
    known = reading.buyers(loaded).ids
    key = source.key()
    if key is not None:
        ids, known = pseudonyms(ids, key), pseudonyms(known, key)
    if not listed.index.isin(known).any():
        raise _strangers("the data")
    came = pd.DataFrame({"bought": 1.0, "spend": spend}, index=ids).reindex(listed.index)
    if came["bought"].isna().all():
        raise InputRejected(
            f"nobody on the list bought between {truth.contacted_on} and {until}",
            fix="see --contacted-on and --horizon, and whether the data are whole",
            code="nobody_bought",
        )
    # who is not in a log that reaches back is not known to have bought nothing
    begun = day(loaded.purchases.provenance["days"]["first"])
    silent = listed.index.isin(known) | (begun > before)
    return came.where(came.notna() | ~silent[:, None], 0.0)


def _loss(
    some: pd.DataFrame, terms: _Terms, horizon_days: int | None, shell: Shell
) -> Array | None:
    """What contact could have saved or brought back within the days counted, by the list's own value."""
    import numpy as np

    from bayesseg.validation.campaign import loss_within, part_within

    needs = {
        "--horizon, the days that outcomes were counted": horizon_days,
        "the document that prioritise writes beside the list": terms.value_horizon_days,
        "columns value and clv": ("value" in some and "clv" in some) or None,
    }
    if absent := [what for what, value in needs.items() if value is None]:
        shell.warn(f"the save rate is not updated: that needs {' and '.join(absent)}")
        return None
    assert horizon_days is not None
    assert terms.value_horizon_days is not None
    value, clv = (some[name].to_numpy(np.float64) for name in ("value", "clv"))
    spans = horizon_days, terms.value_horizon_days, terms.annual_discount
    if terms.which == "win-back":
        return np.asarray(value * part_within(*spans))
    return loss_within(value, clv, *spans)


def show(found: Mapping[str, Any], terms: _Terms, shell: Shell) -> None:
    """Print the groups, what the contact brought, and what speaks against it."""
    from bayesseg.decide.benefit import written
    from bayesseg.report.words import load_words

    words, groups = load_words("en"), found["customers"]
    for one in found["warnings"]:
        shell.warn(one["message"])
    if terms.share is None:
        shell.say(
            "note: no document beside the list says what share was to be held out: not checked"
        )
    shell.say(
        f"{groups['contacted']['all']:,} to be contacted beside {groups['held']['all']:,} held out; "
        "everybody counts in "
        "the group the list put them in, reached or not"
    )
    rows = []
    for name, what, kind in (
        ("bought", "share who bought", "percent"),
        ("spend", "spend", "money"),
    ):
        if (one := found[name]) is None:
            continue
        write = words.percent if kind == "percent" else words.money
        for key, how in (("uplift", ""), ("adjusted", ", adjusted by the forecast")):
            if one[key] is None:
                continue
            means = [write(one[group]) if not how else "" for group in ("contacted", "held")]
            scale = 100.0 if kind == "percent" else 1.0
            rise = {end: scale * one[key][end] for end in ("mean", "lo", "hi")}
            points = " points" if kind == "percent" else ""
            sure = words.percent(one[key]["p_positive"])
            rows.append((what + how, *means, words.interval(rise) + points, sure))
    heads = (
        "per customer",
        "contacted",
        "held out",
        f"uplift ({found['level']:.0%})",
        "P(uplift > 0)",
    )
    shell.show(table(heads, rows))
    best = (found["spend"] or {}).get("adjusted") or (found["spend"] or {}).get("uplift")
    if best is not None:
        count = found["spend"]["customers"]["contacted"]
        every = {name: count * best[name] for name in ("mean", "lo", "hi")}
        shell.show(f"In all the contact brought {words.interval(every, 'money')} of spend.")
    if rate := found["rate"]:
        shell.show(
            f"Save rate: {words.percent(rate['measured'])} ± {words.percent(rate['sd'])} in this "
            f"campaign, {words.percent(rate['mean'])} with what was believed: "
            f"--save-rate {written(*rate['posterior'])}"
        )
        far = abs(rate["measured"] - rate["mean"]) > 3 * rate["sd"]
        beyond = max(-rate["measured"], rate["measured"] - 1) > _SURE * rate["sd"]
        if far or beyond:
            shell.warn(
                "what the contact brought lies far from what that save rate allows: it moved more than "
                "the loss that it could prevent, or harmed; plan with the uplift itself"
            )
