"""From a list and what contacting takes to who is contacted, saying every number that decides it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayesseg.cli.flags import Facts, SourceFlags
from bayesseg.cli.shell import Shell
from bayesseg.cli.steps import reading
from bayesseg.cli.text import table as text_table
from bayesseg.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from bayesseg.customers import Customers
    from bayesseg.decide.benefit import Terms
    from bayesseg.decide.budget import Limits
    from bayesseg.decide.campaign import Chosen, Latents
    from bayesseg.ingest import Key
    from bayesseg.posterior import Posterior
    from bayesseg.report.words import Words

YES = ("true", "1", "oui", "yes")
"""What a permission must say, in any case; all else means no, blanks too."""


def _finite(value: float | None, option: str) -> None:
    if value is not None and not math.isfinite(value):
        raise UsageError(f"{option} {value} is not a number", fix="give one, or leave it out")


@dataclass(frozen=True, slots=True)
class TermFlags:
    """What contacting brings and takes; nothing has a default."""

    save_rate: Annotated[
        str | None,
        typer.Option(
            metavar="RATE",
            help="Share of contacts that keep whom one would lose, or win back: 0.08, or beta:8,92 for "
            "8 of 100. Without it benefit is unknown and the list goes by value.",
        ),
    ] = None
    contact_cost: Annotated[
        str | None,
        typer.Option(metavar="COST", help="Cost of a contact, or the attribute that holds it."),
    ] = None
    offer_cost: Annotated[
        float | None, typer.Option(min=0, help="Cost of an offer that is taken up.")
    ] = None
    redeem_rate: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Share of contacted who take it up, those who would stay too."
        ),
    ] = None

    def __post_init__(self) -> None:
        if (self.offer_cost is None) != (self.redeem_rate is None):
            raise UsageError(
                "an offer has a cost and a share who take it up",
                fix="give both: --offer-cost 5 --redeem-rate 0.2",
            )
        _finite(self.offer_cost, "--offer-cost")
        _finite(self.redeem_rate, "--redeem-rate")
        if self.contact_cost is None and (self.save_rate or self.offer_cost is not None):
            raise UsageError(
                "the cost of a contact is not given",
                fix="give --contact-cost 1.20 (0 where it costs nothing)",
            )


@dataclass(frozen=True, slots=True)
class LimitFlags:
    """How far contacting can go."""

    budget: Annotated[
        float | None, typer.Option(min=0, help="Most that contacts and offers may cost.")
    ] = None
    count: Annotated[int | None, typer.Option(min=1, help="At most this many customers.")] = None
    capacity: Annotated[
        str | None,
        typer.Option(
            metavar="N|FILE",
            help="Contacts that each adviser or channel can make: a number, or a table of names and "
            "numbers.",
        ),
    ] = None
    capacity_column: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Attribute that names the adviser or channel."),
    ] = None

    def __post_init__(self) -> None:
        _finite(self.budget, "--budget")
        if (self.capacity is None) != (self.capacity_column is None):
            raise UsageError(
                "a capacity is that of an adviser or channel",
                fix="give both: --capacity-column adviser --capacity 40",
            )


@dataclass(frozen=True, slots=True)
class CampaignFlags:
    """Who may be contacted at all, and who is left alone to learn from."""

    holdout: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Leave this share alone, drawn by lot: 0.1."),
    ] = None
    campaign: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name that draws the lots: the same ones every time; of pseudonyms others than "
            "of ids.",
        ),
    ] = None
    permission_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Attribute that must say true, 1, yes or oui; whoever has nothing there is not listed.",
        ),
    ] = None
    attributes: Facts = None

    def __post_init__(self) -> None:
        if (self.holdout is None) != (self.campaign is None):
            raise UsageError(
                "a hold-out needs its share and the name of a campaign",
                fix="give both: --holdout 0.1 --campaign june",
            )


def choose(
    table: pd.DataFrame,
    which: str,
    terms: TermFlags,
    limits: LimitFlags,
    campaign: CampaignFlags,
    shell: Shell,
    *,
    posterior: Posterior | None,
    document: Mapping[str, Any],
    key: Key | None,
) -> Chosen:
    """The list that the flags ask for, with what belongs beside it.

    ``key`` is that of the scores' pseudonyms, where they hold any.
    """
    from bayesseg.decide import ranked
    from bayesseg.decide.campaign import Campaign
    from bayesseg.decide.campaign import choose as chosen_of

    listed = ranked(table, which)
    customers = _customers(table, listed, campaign, shell, posterior, key)
    permission = None
    if campaign.permission_column is not None:
        permission, may = _permission(customers, campaign.permission_column, shell)
        listed, customers = listed[may].reset_index(drop=True), customers and customers.take(may)
    costs = _terms(terms, customers)
    reach, capacity = _limits(limits, costs, customers, shell)
    if posterior is not None and document.get("settings") is None:
        shell.warn(
            "scores on stdin do not say their margin and discount, which futures are drawn with: "
            "give --document FILE for intervals and contact_before"
        )
        posterior = None
    latents = _latents(table, listed, customers, posterior, document)
    asked = Campaign(which, costs, reach, campaign.campaign, campaign.holdout)
    chosen = chosen_of(listed, asked, latents)
    settings = document.get("settings") or {}
    said: dict[str, Any] = {
        "list": which,
        "model_id": document["model_id"],
        "as_of": document.get("as_of"),
        "money": document.get("money"),
        **{name: settings.get(name) for name in _SETTINGS},
        "terms": costs and _described(terms, costs),
        "limits": {"budget": limits.budget, "count": limits.count, "capacity": capacity},
        "campaign": campaign.campaign,
        "holdout": campaign.holdout,
        "permission": permission,
        "draws": latents and latents.plan.precision.draws,
        "seed": posterior and posterior.manifest["seed"],
    }
    return replace(chosen, document=said | chosen.document)


def plain(
    table: pd.DataFrame, which: str, document: Mapping[str, Any], shell: Shell
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """All of a list by value, and what belongs beside it: ``prioritise`` without a further flag."""
    nothing = TermFlags(), LimitFlags(), CampaignFlags()
    chosen = choose(table, which, *nothing, shell, posterior=None, document=document, key=None)
    return chosen.table, {**chosen.document, "renamed": False, "suppressed": None, "released": {}}


_SETTINGS = ("horizon_days", "value_horizon_days", "margin", "annual_discount")


def _customers(
    table: pd.DataFrame,
    listed: pd.DataFrame,
    flags: CampaignFlags,
    shell: Shell,
    posterior: Posterior | None,
    key: Key | None,
) -> Customers | None:
    """Histories and attributes of those listed, where either is asked for."""
    from bayesseg.customers import with_attributes
    from bayesseg.decide.histories import customers_of
    from bayesseg.ingest import pseudonyms

    if posterior is None and not flags.attributes:
        return None
    customers = customers_of(table.set_index("customer_id", drop=False).loc[listed["customer_id"]])
    for words in (flags.attributes or ()) if len(customers) else ():
        facts = reading.facts_of(words, "customer_id", SourceFlags(), shell)
        if key is not None:
            facts = replace(facts, ids=pseudonyms(facts.ids, key))
        customers = with_attributes(customers, facts)
    return customers


def _attribute(customers: Customers | None, name: str, option: str) -> npt.NDArray[Any]:
    """The attribute ``name`` of those listed; of nobody an empty one."""
    import numpy as np

    if customers is not None and len(customers) == 0:
        return np.array([])
    attributes = None if customers is None else customers.attributes
    known = {} if attributes is None else attributes.columns
    if name not in known:
        raise UsageError(
            f"{option} {name}: there is no such attribute",
            fix=f"the attributes are {', '.join(known)}"
            if known
            else "give --attributes FILE, one row a customer",
        )
    return known[name]


def _texts(values: npt.NDArray[Any]) -> npt.NDArray[np.object_]:
    """Attributes as text, None where there is nothing; whole numbers without a point."""
    import numpy as np
    import pandas as pd

    codes, known = pd.factorize(values)
    words = [f"{one:.15g}" if isinstance(one, float) else str(one).strip() for one in known]
    return np.array([*(word or None for word in words), None], dtype=object)[codes]


def _permission(
    customers: Customers | None, name: str, shell: Shell
) -> tuple[dict[str, Any], npt.NDArray[np.bool_]]:
    import numpy as np

    found = _texts(_attribute(customers, name, "--permission-column"))
    blank = found == np.array(None, dtype=object)
    may = np.isin(np.char.lower(np.where(blank, "", found).astype(str)), YES)
    counts = {"yes": int(may.sum()), "blank": int(blank.sum())}
    counts["no"] = len(found) - sum(counts.values())
    shell.say(
        f"permission {name}: {counts['yes']:,} may be contacted, {counts['no']:,} may not, "
        f"{counts['blank']:,} are blank and may not either"
    )
    return {"column": name, **counts}, may


def _terms(flags: TermFlags, customers: Customers | None) -> Terms | None:
    import numpy as np

    from bayesseg.decide.benefit import Terms, rate_of

    if flags.contact_cost is None:
        return None
    cost: Any
    try:
        cost = float(flags.contact_cost)
    except ValueError:
        cost = _attribute(customers, flags.contact_cost, "--contact-cost")
    if np.asarray(cost).dtype != np.float64 or not (np.isfinite(cost) & (cost >= 0)).all():
        raise UsageError(
            f"--contact-cost {flags.contact_cost} is not a cost of 0 or more for every customer",
            fix="give an amount, or an attribute that holds one for everybody on the list",
        )
    rate = None if flags.save_rate is None else rate_of(flags.save_rate)
    return Terms(rate, cost, flags.offer_cost or 0.0, flags.redeem_rate or 0.0)


def _described(flags: TermFlags, terms: Terms) -> dict[str, Any]:
    import numpy as np

    each = np.unique(terms.costs(np.size(terms.contact_cost))).tolist()
    return {
        "save_rate": terms.rate and terms.rate.document(),
        "contact_cost": flags.contact_cost if np.ndim(terms.contact_cost) else terms.contact_cost,
        "offer_cost": terms.offer_cost,
        "redeem_rate": terms.redeem_rate,
        "cost_per_contact": {"least": min(each, default=None), "most": max(each, default=None)},
    }


def _limits(
    flags: LimitFlags, terms: Terms | None, customers: Customers | None, shell: Shell
) -> tuple[Limits, dict[str, Any] | None]:
    """The limits, and what of advisers and channels belongs in the document."""
    import numpy as np

    from bayesseg.decide.budget import Limits

    if flags.budget is not None and terms is None:
        raise UsageError(
            "a --budget buys contacts, and their cost is not given", fix="give --contact-cost"
        )
    if flags.capacity_column is None or flags.capacity is None:
        return Limits(flags.budget, flags.count), None
    found = _texts(_attribute(customers, flags.capacity_column, "--capacity-column"))
    blank = found == np.array(None, dtype=object)
    names, channel = np.unique(np.where(blank, "", found).astype(str), return_inverse=True)
    room = _capacity(flags.capacity, [name for name in names.tolist() if name])
    if blank.any():
        shell.say(
            f"{int(blank.sum()):,} customers have no {flags.capacity_column} and are not contacted"
        )
    capacity = np.array([room.get(name, 0) for name in names.tolist()], dtype=np.int64)
    entry = {"column": flags.capacity_column, "contacts": room, "blank": int(blank.sum())}
    return Limits(flags.budget, flags.count, channel, capacity), entry


def _capacity(given: str, names: list[str]) -> dict[str, int]:
    """Contacts that each of ``names`` can make: one number for all, or a table's."""
    from bayesseg.ingest import read_table

    if given.isdecimal():
        return dict.fromkeys(names, int(given))
    if not Path(given).exists():
        raise UsageError(
            f"--capacity {given} is neither a number nor a file", fix="give 40, or FILE"
        )
    _, columns, said = read_table(given)
    # a column called like a customer's id stands apart: it names, unless another one is text
    named = said["columns"]["customer_id"]["value"]
    texts = [name for name, values in columns.items() if values.dtype != float]
    names_of = named if named and not texts else next(iter(texts or columns), None)
    ids, columns, _ = read_table(given, names_of)
    numbers = [values for values in columns.values() if values.dtype == float]
    if len(numbers) != 1 or not ((numbers[0] >= 0) & (numbers[0] % 1 == 0)).all():
        raise UsageError(
            f"--capacity {given} is not a table of names and whole numbers",
            fix="give two columns: adviser,contacts",
        )
    found = dict(zip(ids.tolist(), numbers[0].astype(int).tolist(), strict=True))
    if unknown := [name for name in names if name not in found]:
        raise UsageError(
            f"--capacity {given} has no row for {', '.join(unknown[:5])}",
            fix="give every adviser or channel of the list a row, 0 where there is no room",
        )
    return {name: found[name] for name in names}


def _latents(
    table: pd.DataFrame,
    listed: pd.DataFrame,
    customers: Customers | None,
    posterior: Posterior | None,
    document: Mapping[str, Any],
) -> Latents | None:
    """The customers' own draws, where there is a run to draw from."""
    import numpy as np

    from bayesseg.decide.campaign import Latents
    from bayesseg.decide.histories import plan_for, refuse_others, with_paid

    if posterior is None or customers is None or listed.empty:
        return None
    plan = plan_for(posterior, document)
    spend = table.set_index("customer_id")["expected_spend"].loc[listed["customer_id"]]
    refuse_others(plan, customers, listed["p_alive"].to_numpy(np.float64))
    return Latents(plan, with_paid(plan, customers, spend.to_numpy(np.float64)))


def say(document: Mapping[str, Any], shell: Shell) -> None:
    """Every number that decided the list, and what the list is expected to bring."""
    from bayesseg.report.words import load_words

    words, terms, counts = load_words("en"), document["terms"], document["counts"]
    if document["money"] == "revenue":
        shell.say("money is revenue, not profit (margin 1): give score the --margin")
    if terms is not None:
        rate = terms["save_rate"]
        sure = "" if rate is None or rate["beta"] is None else f" (Beta {rate['beta']})"
        said = "" if rate is None else f"save rate {words.percent(rate['mean'])}{sure}, "
        each = terms["cost_per_contact"]
        cost = " to ".join(dict.fromkeys(words.money(each[end]) for end in ("least", "most")))
        share, each = words.percent(terms["redeem_rate"]), words.money(terms["offer_cost"])
        offers = f", {share} of offers at {each} in it" if terms["offer_cost"] else ""
        shell.say(f"terms: {said}{cost} a contact{offers}")
    limits = document["limits"]
    reach = [
        f"{name} {limits[name]:,g}" for name in ("budget", "count") if limits[name] is not None
    ]
    reach += [f"capacity by {limits['capacity']['column']}"] if limits["capacity"] else []
    worth = "worth more than it costs" if "net_benefit" in document else "with something at stake"
    shell.say(
        f"{document['list']}: {counts['on_the_list']:,} customers, {counts['worth_contacting']:,} "
        f"{worth}; {counts['contacted']:,} to contact"
        + (f" (within {', '.join(reach)})" if reach else "")
        + (f" for {words.money(document['cost'])}" if terms is not None else "")
    )
    if not counts["contacted"]:
        shell.warn(
            "nobody is contacted: "
            + (
                "the limits leave room for none, or all are held out"
                if counts["worth_contacting"]
                else "no contact brings more than it costs"
                if "net_benefit" in document
                else "the list is empty"
            )
        )
    if "net_benefit" in document:
        _say_benefit(document, words, shell)
    else:
        shell.say(
            "ranked by value at stake; what contacting them brings is unknown (no save rate given)"
        )
    if document["holdout"] is not None:
        _say_holdout(document, words, shell)


def _say_benefit(document: Mapping[str, Any], words: Words, shell: Shell) -> None:
    gap = document["gap"]
    shell.say(
        f"expected net benefit {words.interval(document['net_benefit'], 'money')}; "
        f"{words.money(gap['below'])} below the most that any list within the limits could bring"
    )
    if document["draws"] is None:
        shell.say(
            "without --model RUN (and --document, of scores on stdin) there are no intervals, "
            "no P(net > 0) and no contact_before"
        )
    points = document["curve"]
    some = sorted({round(i * (len(points) - 1) / 5) for i in range(6)}) if points else []
    rows = [
        (
            words.count(points[i]["contacts"]),
            words.money(points[i]["cost"]),
            words.interval({**points[i], "mean": points[i]["net_benefit"]}, "money"),
        )
        for i in some
    ]
    if rows:
        sure = "" if document["draws"] is None else " (90 %)"
        shell.say(text_table(("contacts", "cost", f"net benefit{sure}"), rows))


def _say_holdout(document: Mapping[str, Any], words: Words, shell: Shell) -> None:
    counts, found = document["counts"], document.get("detectable")
    shell.say(
        f"hold-out of campaign {document['campaign']}: {counts['held_out']:,} customers are left alone "
        f"beside {counts['contacted']:,} contacted"
    )
    if found is None or counts["held_out"] == 0:
        shell.warn("nobody is held out: the campaign will teach nothing; give a larger --holdout")
        return
    days, buying = document["horizon_days"], words.percent(found["buying"])
    within = "the horizon" if days is None else f"{days} days"
    shell.say(
        f"with 80 % power it shows a rise of those who buy within {within} from {buying} to "
        f"{words.percent(found['buying'] + found['rise'])} or more"
        if found["rise"] is not None
        else f"it cannot show any rise of those who buy within {within} (from {buying})"
    )
    if found.get("spend") is not None:
        shell.say(
            f"and of spend by {words.money(found['spend'])} a customer or more; smaller effects are "
            "likely to go unseen"
        )
