"""Where a feed goes: one record a destination, its names, types, limits and files.

Held against what the makers publish (pages read in November 2026). Salesforce: "Prepare CSV Files"
(UTF-8, at most 100 MB a file, an empty cell leaves a field as it is, ``#N/A`` clears it). HubSpot:
"Upsert contacts" (``id``, ``idProperty`` and ``properties`` an input), "Update contacts" (the empty
text clears). Klaviyo: "Bulk Import Profiles" (10,000 profiles and 5 MB a request, 100 KB a profile;
null clears nothing). Braze: "CSV import" (500 MB a file of attributes; blanks do not overwrite, every
other value counts as a data point). Not found there and taken from common practice: that HubSpot takes
100 inputs a request for upserts too, and that an external id of Salesforce has 255 characters at most;
of the others no such limit is known, and a row is theirs to refuse.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pandas as pd

from bayesseg.errors import UsageError
from bayesseg.feed.schemas import braze, hubspot, klaviyo, plain, salesforce, warehouse

LABELS = {
    "p_churn": "Churn probability",
    "clv": "Customer lifetime value",
    "clv_pred_lo": "Customer lifetime value low",
    "clv_pred_hi": "Customer lifetime value high",
    "verdict": "Model verdict",
}
"""What a column is called for people, where that is not its name in words."""


@dataclass(frozen=True, slots=True)
class Target:
    """A destination.

    Attributes:
        key: what the id is called there.
        name: what a column is called there.
        names: the regular expression of a name there.
        schema: the text that says what to create there, of the kind of each name.
        kind: of its files, csv, ndjson (a request a line) or parquet.
        time: a column of times in UTC as it is written there; ISO 8601, but for HubSpot, which counts
            milliseconds since 1970, and for files that have times of their own.
        body: a batch of records as the request that takes them (ndjson).
        rows: the most records of a request.
        size: the most bytes of a request or file.
        null: what a cell says where there is nothing to say (csv).
        longest: the most characters of an id.
        people: whether people open the files, so that no cell may be taken for a formula.
        fixed: whether the id can be called nothing but ``key``.
        clears: whether it can be told that there is no longer anything to say.
    """

    key: str
    name: Callable[[str], str]
    names: str
    schema: Callable[[Mapping[str, str]], str]
    kind: str
    time: Callable[[pd.Series], pd.Series] = lambda times: times.dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    body: Callable[[list[dict[str, Any]]], Any] | None = None
    rows: int = 50_000
    size: int | None = None
    null: str = ""
    longest: int | None = None
    people: bool = False
    fixed: bool = False
    clears: bool = True


def label(column: str) -> str:
    """What a column of the feed is called for people."""
    return LABELS.get(column, column.replace("_", " ").capitalize())


def _words(column: str) -> str:
    return label(column).lower().replace(" ", "_")


def _salesforce(column: str) -> str:
    return "_".join(word.capitalize() for word in label(column).split()) + "__c"


def _inputs(records: list[dict[str, Any]]) -> dict[str, Any]:
    """A batch of HubSpot; the empty text clears."""
    return {
        "inputs": [
            {
                "id": next(iter(record.values())),
                "idProperty": next(iter(record)),
                "properties": {n: "" if v is None else v for n, v in record.items()},
            }
            for record in records
        ]
    }


def _profiles(records: list[dict[str, Any]]) -> dict[str, Any]:
    """A job of Klaviyo: the key is the profile's, the rest are its own properties; null says nothing."""
    profiles = [
        {
            "type": "profile",
            "attributes": {
                key: of,
                "properties": {n: v for n, v in rest.items() if v is not None},
            },
        }
        for record in records
        for (key, of), rest in [(next(iter(record.items())), dict([*record.items()][1:]))]
    ]
    return {
        "data": {
            "type": "profile-bulk-import-job",
            "attributes": {"profiles": {"data": profiles}},
        }
    }


_WORD = r"[A-Za-z](?:_?[A-Za-z0-9])*"
_SNAKE = r"[a-z][a-z0-9_]{0,39}"
_ANY = r"[^\x00-\x1f\x7f]{1,100}"
TARGETS: Mapping[str, Target] = {
    "salesforce": Target(
        key="Customer_Id__c",
        name=_salesforce,
        names=rf"(?:[A-Za-z](?:_?[A-Za-z0-9]){{0,14}}__)?(?=.{{1,40}}(?:__p?c)?$){_WORD}(?:__p?c)?",
        schema=salesforce,
        kind="csv",
        size=100_000_000,
        null="#N/A",
        longest=255,
    ),
    "hubspot": Target(
        key="customer_id",
        name=_words,
        names=r"[a-z][a-z0-9_]{0,99}",
        schema=hubspot,
        kind="ndjson",
        time=lambda times: (
            times.astype("datetime64[ms, UTC]").astype("int64").astype("Int64").where(times.notna())
        ),
        body=_inputs,
        rows=100,
    ),
    "klaviyo": Target(
        key="external_id",
        name=_words,
        names=_ANY,
        schema=klaviyo,
        kind="ndjson",
        body=_profiles,
        rows=10_000,
        size=5_000_000,
        fixed=True,
        clears=False,
    ),
    "braze": Target(
        key="external_id",
        name=_words,
        names=_ANY,
        schema=braze,
        kind="csv",
        size=500_000_000,
        fixed=True,
        clears=False,
    ),
    "warehouse": Target(
        key="customer_id",
        name=str,
        names=_SNAKE,
        schema=warehouse,
        kind="parquet",
        time=lambda times: times,
    ),
    "csv": Target(key="customer_id", name=str, names=_ANY, schema=plain, kind="csv", people=True),
}
"""The destinations; another one is another entry."""


def target_of(name: str) -> Target:
    """The destination of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in TARGETS:
        raise UsageError(
            f"no destination is called {name!r}", fix=f"known: {', '.join(TARGETS)}, bi"
        )
    return TARGETS[name]


def key_of(target: Target, given: Mapping[str, str] | None) -> str:
    """What the id is called there."""
    return (given or {}).get("customer_id", target.key)


def names_of(
    feed: pd.DataFrame, target: Target, given: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The column of the feed to its name there, the id first; only those ``given`` where some are.

    Raises:
        UsageError: a name is not one there, two columns have the same, or a column is not in the feed.
    """
    if given is None:
        found = {
            column: target.name(column) for column in map(str, feed) if column != "customer_id"
        }
    else:
        found = {column: name for column, name in given.items() if column != "customer_id"}
    found = {"customer_id": key_of(target, given)} | found
    if target.fixed and found["customer_id"] != target.key:
        raise UsageError(
            f"the id is called {target.key} there, not {found['customer_id']!r}",
            fix=f'customer_id = "{target.key}" in --map, or no such line',
        )
    absent = [column for column in found if column not in feed]
    if absent:
        raise UsageError(
            f"the scores give no {', '.join(absent)}", fix=f"there are: {', '.join(map(str, feed))}"
        )
    for column, name in found.items():
        if not re.fullmatch(target.names, name):
            raise UsageError(
                f"{name!r}, for {column}, is no name of a field there",
                fix=f"another name in --map; they match {target.names}",
            )
    if len({name.casefold() for name in found.values()}) < len(found):
        raise UsageError("two columns would have the same name there", fix="correct the --map")
    return found


def mapped(feed: pd.DataFrame, target: Target, names: Mapping[str, str]) -> pd.DataFrame:
    """The feed in the names and values of the destination."""
    return pd.DataFrame(
        {
            name: target.time(feed[column])
            if isinstance(feed[column].dtype, pd.DatetimeTZDtype)
            else feed[column]
            for column, name in names.items()
        }
    )


def records(
    feed: pd.DataFrame, target: Target, given: Mapping[str, str] | None = None
) -> Iterator[list[dict[str, Any]]]:
    """The feed as batches of records, as many at once as the destination takes.

    Each is the name there to a text, a finite number, a truth value or None; the id comes first.
    """
    table = mapped(feed, target, names_of(feed, target, given))
    for start in range(0, len(table), target.rows):
        some = table.iloc[start : start + target.rows].astype("object")
        rows = some.where(some.notna(), None).to_dict("records")
        yield cast("list[dict[str, Any]]", rows)


def requests(
    feed: pd.DataFrame, target: Target, given: Mapping[str, str] | None = None
) -> Iterator[bytes]:
    """The requests of a destination that takes JSON, each within its rows and bytes."""
    assert target.body is not None
    for some in records(feed, target, given):
        yield from _within(some, target.body, target.size)


def _within(
    some: list[dict[str, Any]], body: Callable[[list[dict[str, Any]]], Any], size: int | None
) -> Iterator[bytes]:
    text = json.dumps(body(some), ensure_ascii=False, allow_nan=False).encode()
    if size is None or len(text) <= size or len(some) == 1:
        yield text
    else:
        half = len(some) // 2
        yield from _within(some[:half], body, size)
        yield from _within(some[half:], body, size)


def kinds(feed: pd.DataFrame, names: Mapping[str, str]) -> dict[str, str]:
    """What each name there holds: id, text, number, truth or time."""
    found = {}
    for column, name in names.items():
        dtype = feed[column].dtype
        if column == "customer_id":
            found[name] = "id"
        elif isinstance(dtype, pd.DatetimeTZDtype):
            found[name] = "time"
        elif pd.api.types.is_bool_dtype(dtype):
            found[name] = "truth"
        else:
            found[name] = "number" if pd.api.types.is_numeric_dtype(dtype) else "text"
    return found


def unfit(ids: Sequence[str] | pd.Series, target: Target) -> pd.Series:
    """Whether the destination cannot take each id: too long for its key, or its word for nothing."""
    ids = pd.Series(ids, dtype="str")
    found = ids == target.null
    return found if target.longest is None else found | (ids.str.len() > target.longest)
