"""Which column is what: given by name, or guessed from its name and always recorded."""

from __future__ import annotations

import csv
import difflib
import io
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bayesseg.errors import InputRejected
from bayesseg.ingest.options import COLUMNS, NO_CURRENCY, Options, flag

# In order of preference; compared without case, accents and punctuation.
KNOWN: Mapping[str, str] = {
    "customer_id": (
        "customerid idcustomer clientid idclient customer client custid customernumber customerno "
        "numeroclient numclient nclient noclient codeclient refclient clientnumber clientno userid user "
        "memberid buyerid shopperid accountid contactid householdid acheteur idacheteur adherent "
        "customeremail email id"
    ),
    "date": (
        "date orderdate orderedat dateordered invoicedate purchasedate transactiondate saledate "
        "datecommande datefacture dateachat datevente datetransaction datedecommande datedefacture "
        "datedachat datedevente orderedon createdat "
        "purchasedat day jour timestamp datetime"
    ),
    "amount": (
        "amount montant orderamount totalamount amounttotal ordertotal total totalprice linetotal "
        "montanttotal montantttc montantht totalttc totalht revenue sales turnover spend value "
        "ordervalue dollarvalue chiffredaffaires ca price prix prixttc prixht prixvente prixdevente"
    ),
    "unit_price": "unitprice priceperunit prixunitaire pu puht puttc",
    "quantity": "quantity qty quantite qte units",
    "currency": "currency currencycode devise codedevise monnaie",
}


_OF_ORDERS = (
    "orderamount totalamount amounttotal ordertotal total totalprice montanttotal totalttc totalht "
    "ordervalue"
)
"""Names of amounts that may be those of a whole order, repeated on each of its lines."""

type Terms = tuple[tuple[int, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Roles:
    """The columns of a purchase log and how they were found.

    ``terms`` is the amount as a sum of signed products of columns, ``cost`` likewise, if any;
    ``shares`` has the levels asked for by column, none where they are to be learned. ``origin`` is
    ``"given"`` or ``"guessed"`` by role.
    """

    customer_id: str
    date: str
    terms: Terms
    cost: Terms
    order_id: str | None
    extract: str | None
    currency: str | None
    group: str | None
    shares: Mapping[str, tuple[str, ...]]
    values: Mapping[str, str]
    origin: Mapping[str, str]

    @property
    def amounts(self) -> tuple[str, ...]:
        """The columns that amount and cost are made of, each once."""
        return tuple(dict.fromkeys(n for _, names in (*self.terms, *self.cost) for n in names))

    def record(self) -> dict[str, dict[str, Any]]:
        """Role -> column, origin and the flag that overrides it (JSON-able)."""
        return {
            role: {"value": value, "origin": self.origin[role], "flag": flag(role)}
            for role, value in self.values.items()
        }


def resolve(names: Sequence[str], options: Options) -> Roles:
    """Find the columns of a purchase log among ``names``.

    Raises:
        InputRejected: a given column is absent, or none can be guessed; the message lists the
            columns and the flags that settle it.
    """
    given = {role: value for role in COLUMNS if (value := getattr(options, role)) is not None}
    guesses = {
        role: guess
        for role in ("customer_id", "date", "amount", "currency")
        if role not in given and (guess := _guess(role, names)) is not None
    }
    if missing := [r for r in ("customer_id", "date", "amount") if r not in {**given, **guesses}]:
        raise InputRejected(
            f"no column looks like the {' or the '.join(r.replace('_', ' ') for r in missing)}; "
            f"the columns are {_listed(names)}",
            fix=f"name them: {' '.join(f'{flag(role)} COLUMN' for role in missing)}",
            code="columns_unknown",
            details={"columns": list(names), "missing": missing},
        )
    if given.get("currency") == NO_CURRENCY:
        del given["currency"]
    values = {**given, **guesses}
    for role in given.keys() - {"amount", "cost"}:
        known(values[role], names, flag(role))
    return Roles(
        customer_id=values["customer_id"],
        date=values["date"],
        terms=expression(values["amount"], names),
        cost=expression(values["cost"], names, "--cost") if "cost" in values else (),
        order_id=values.get("order_id"),
        extract=values.get("extract"),
        currency=values.get("currency"),
        group=values.get("group"),
        shares=_shares(options.shares, names),
        values=values,
        origin={role: "given" if role in given else "guessed" for role in values},
    )


def plain(name: str) -> str:
    """A name without case, accents and punctuation: ``N° Client`` is ``nclient``."""
    folded = unicodedata.normalize("NFKD", name).casefold()
    return re.sub(r"[^a-z0-9]", "", "".join(c for c in folded if not unicodedata.combining(c)))


def matching(role: str, names: Iterable[str]) -> list[str]:
    """Columns whose name is known for ``role``, best first."""
    by_plain = {plain(name): name for name in reversed(list(names))}
    return [by_plain[word] for word in KNOWN[role].split() if word in by_plain]


def _guess(role: str, names: Sequence[str]) -> str | None:
    found = matching(role, names)
    if role != "amount":
        return found[0] if found else None
    unit, quantity = matching("unit_price", names), matching("quantity", names)
    times = f"{quantity[0]} * " if quantity else ""
    if found:
        _settle_tax(found)
        name = plain(found[0])
        if quantity and name.startswith(("price", "prix")):
            why = f"may be the price of one unit or of the line ({quantity[0]!r} is there)"
            raise _either(found[0], why, found[0], f"{times}{found[0]}")
        if quantity and unit and name in _OF_ORDERS.split():
            why = f"may be the total of an order, repeated on its lines ({unit[0]!r} is there)"
            raise _either(found[0], why, f"{times}{unit[0]}", found[0])
        return found[0]
    if unit and quantity:
        _settle_tax(unit, times)
        return f"{times}{unit[0]}"
    return None


def _settle_tax(found: Sequence[str], times: str = "") -> None:
    """Refuse the best of ``found`` where it is a money before or with tax and the other is there."""
    net, gross = ([n for n in found if plain(n).endswith(tax)] for tax in ("ht", "ttc"))
    if net and gross and found[0] in (*net, *gross):
        why = f"is before tax and {gross[0]!r} with tax: spend is one or the other"
        raise _either(net[0], why, f"{times}{net[0]}", f"{times}{gross[0]}")


def _either(name: str, why: str, *expressions: str) -> InputRejected:
    return InputRejected(
        f"{name!r} {why}",
        fix="give " + " or ".join(f'--amount "{one}"' for one in expressions),
        code="amount_ambiguous",
    )


def known(name: str, names: Sequence[str], option: str) -> str:
    """``name``, if it is a column; else a refusal that suggests the nearest one."""
    if name in names:
        return name
    near = {plain(n): n for n in reversed(names)}
    match = difflib.get_close_matches(plain(name), list(near), n=1, cutoff=0.5)
    hint = f"did you mean {near[match[0]]!r}? " if match else ""
    raise InputRejected(
        f"{option}: there is no column {name!r}",
        fix=f"{hint}the columns are {_listed(names)}",
        code="column_missing",
    )


def _shares(asked: Sequence[str], names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Levels by column of ``category`` and ``category|toys|books``, quoted as a line of CSV is."""
    whole = [
        (text,) if text in names else next(csv.reader([text], delimiter="|")) for text in asked
    ]
    return {known(column, names, "--shares"): tuple(levels) for column, *levels in whole}


def asked(column: str, levels: Sequence[str]) -> str:
    """The text of ``--shares`` that asks for these levels of a column."""
    line = io.StringIO()
    csv.writer(line, delimiter="|", lineterminator="").writerow((column, *levels))
    return line.getvalue()


def expression(text: str, names: Sequence[str], option: str = "--amount") -> Terms:
    """``"Quantity * UnitPrice - Discount"`` as ``((1, (Quantity, UnitPrice)), (-1, (Discount,)))``.

    Only names of columns joined by ``*``, ``+`` and ``-`` are read; a name that itself holds such
    a character is found first, as the longest name that fits.
    """
    longest = sorted(names, key=len, reverse=True)
    terms: list[tuple[int, list[str]]] = [(1, [])]
    rest = text.strip()
    while True:
        name = next((n for n in longest if re.match(re.escape(n) + r"\s*([-+*]|$)", rest)), None)
        if name is None:
            known(re.split(r"[-+*]", rest)[0].strip(), names, option)
            raise InputRejected(
                f"{option} {text!r} is not made of columns joined by *, + and -",
                fix=f'for example {option} "Quantity * UnitPrice"',
                code="amount_expression",
            )
        terms[-1][1].append(name)
        rest = rest[len(name) :].lstrip()
        if not rest:
            return tuple((sign, tuple(factors)) for sign, factors in terms)
        if rest[0] != "*":
            terms.append((1 if rest[0] == "+" else -1, []))
        rest = rest[1:].lstrip()


def _listed(names: Sequence[str], most: int = 20) -> str:
    more = f", and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
