"""Contacts of HubSpot, upserted by a unique property in batches of 100. L10.

``POST /crm/v3/objects/contacts/batch/upsert``, to empty contacts ``batch/update``, which makes none,
with an ``objectWriteTraceId`` a row, by which HubSpot takes the good rows of a batch, answers 207 and
says which are not (HubSpot's pages "Upsert contacts", "Update contacts", "Error handling" and "Usage
guidelines"; all fields of an error are optional there). Both do the same twice as once, so every request
may be repeated. ``Retry-After`` is honoured, but it is not
documented for this call: without it the ten-second limit is waited out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import batched, chain
from typing import Any

from bayesseg.errors import DestinationFailed, UsageError
from bayesseg.feed.targets import TARGETS
from bayesseg.push.http import Answer, Line, Patience, Say, ask, barred, connect, refused, without
from bayesseg.push.pushed import Pushed

MOST = TARGETS["hubspot"].rows
"""Inputs a request may have."""
TOKEN = "HUBSPOT_TOKEN"  # the name of a variable
_ALL, _SOME = (200, 201), 207
_WRONG = (400, 404, 409, 413)
_SCHEMA = "bayesseg export --to hubspot --schema shows the properties to create first"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where to and how patiently. The first column of a record is the unique property (idProperty)."""

    address: str = "https://api.hubapi.com"
    object: str = "contacts"
    patience: Patience = field(default_factory=Patience)


def login(environ: Mapping[str, str] = os.environ) -> str:
    """The access token of a private app, from ``HUBSPOT_TOKEN``.

    Raises:
        UsageError: it is not there.
    """
    if token := environ.get(TOKEN, "").strip():
        return token
    raise UsageError(
        f"no {TOKEN} in the environment",
        fix=f"export {TOKEN}: the access token of a private app with crm.objects.contacts.write",
    )


def push(
    records: Iterator[list[dict[str, Any]]], settings: Settings, secret: str, say: Say
) -> Pushed:
    """Create or update one contact a record.

    Args:
        records: batches of records, of any size; column to value, the unique property first. None
            clears a property.
        settings: where to.
        secret: the access token.
        say: told of waits.

    Raises:
        ResourcesMissing: no access (token, scopes).
        DestinationFailed: refused for good (properties, daily quota) or out of reach.
    """
    return _sent("upsert", records, settings, secret, say)


def clear(
    records: Iterator[list[dict[str, Any]]], settings: Settings, secret: str, say: Say
) -> Pushed:
    """The same for contacts that are there; one that is not counts as removed and is not made."""
    done = _sent("update", records, settings, secret, say)
    return Pushed(removed=done.updated, refused=done.refused)


def _sent(
    what: str,
    records: Iterator[list[dict[str, Any]]],
    settings: Settings,
    secret: str,
    say: Say,
) -> Pushed:
    line = connect("HubSpot", settings.address, _judge, (secret,), say, settings.patience)
    path = f"/crm/v3/objects/{settings.object}/batch/{what}"
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    done = Pushed()
    for some in batched(chain.from_iterable(records), MOST):
        done += _batch(line, path, headers, list(some))
        if len(done.refused) >= MOST and not done.inserted + done.updated:
            raise DestinationFailed(
                f"HubSpot refuses every row of the first batch: {done.refused[0][1]}", fix=_SCHEMA
            )
    return done


def _judge(line: Line, answer: Answer) -> float:
    """Refusals for good are raised; else the seconds to wait."""
    said = answer.json()
    policy = str(said.get("policyName")) if isinstance(said, dict) else ""
    if answer.status == 401:
        raise barred(line, answer, f"put a valid token of a private app into {TOKEN}")
    if answer.status == 403:
        raise barred(line, answer, "give the private app the scope crm.objects.contacts.write")
    if policy == "DAILY":
        raise refused(line, answer, "run the same again after midnight in the account's time zone")
    return 10.0 if policy.startswith("TEN_SECONDLY") else 2.0 if answer.status == 423 else 0.0


def _batch(
    line: Line, path: str, headers: Mapping[str, str], rows: Sequence[dict[str, Any]]
) -> Pushed:
    """One batch; where HubSpot refuses it as a whole, its halves, down to the row that is wrong."""
    inputs = _inputs(rows)
    answer = ask(line, "POST", path, json.dumps({"inputs": inputs}).encode(), headers)
    if answer.status in (*_ALL, _SOME):
        return _told(line, path, inputs, answer)
    missing = answer.status == 404 and not _absent(answer.json())
    if answer.status not in _WRONG or missing or b"PROPERTY_DOESNT_EXIST" in answer.body:
        raise refused(line, answer, _SCHEMA)
    if len(rows) == 1:
        said = answer.json()
        if path.endswith("update") and _absent(said):
            return Pushed(updated=1)
        return Pushed(refused=((inputs[0]["id"], _why(line, said)),))
    half = len(rows) // 2
    return _batch(line, path, headers, rows[:half]) + _batch(line, path, headers, rows[half:])


def _inputs(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The inputs as a file for HubSpot has them, each with a trace."""
    body = TARGETS["hubspot"].body
    assert body is not None
    inputs = body(list(rows))["inputs"]
    return [{**one, "objectWriteTraceId": str(at)} for at, one in enumerate(inputs)]


def _told(line: Line, path: str, inputs: Sequence[Mapping[str, Any]], answer: Answer) -> Pushed:
    """Rows by what became of them; one of which nothing was said counts as refused."""
    said = answer.json()
    if not isinstance(said, dict):
        raise refused(line, answer, "the address is not that of HubSpot's API")
    results, errors = _dicts(said.get("results")), _dicts(said.get("errors"))
    key = inputs[0]["idProperty"]
    trace_of = {one["id"]: one["objectWriteTraceId"] for one in inputs}
    taken = {
        str(one.get("objectWriteTraceId") or trace_of.get(_dict(one.get("properties")).get(key)))
        for one in results
    }
    taken |= {  # nothing to do with who is not there, if nobody is to be made
        trace
        for one in errors
        if path.endswith("update") and _absent(one)
        for trace in _of(one, trace_of)
    }
    reasons = {trace: _why(line, one) for one in errors for trace in _of(one, trace_of)}
    silent = "HubSpot did not say what became of it"
    general = "; ".join(_why(line, one) for one in errors if not _of(one, trace_of)) or silent
    whole = answer.status in _ALL and len(results) == len(inputs)
    left = [] if whole else [one for one in inputs if one["objectWriteTraceId"] not in taken]
    new = sum(one.get("new") is True for one in results)
    return Pushed(
        inserted=new,
        updated=len(inputs) - len(left) - new,
        refused=tuple((one["id"], reasons.get(one["objectWriteTraceId"], general)) for one in left),
    )


def _of(error: Mapping[str, Any], trace_of: Mapping[str, str]) -> list[str]:
    """The traces of the rows that an error is about, which it names by these or by their ids."""
    context = _dict(error.get("context"))
    traces, ids = (context.get(name) for name in ("objectWriteTraceId", "ids"))
    found = [*traces] if isinstance(traces, list) else []
    found += [trace_of.get(str(one)) for one in ids] if isinstance(ids, list) else []
    return [str(one) for one in found if one is not None]


def _absent(said: Any) -> bool:
    return _dict(said).get("category") == "OBJECT_NOT_FOUND"


def _why(line: Line, error: Any) -> str:
    error = _dict(error)
    said = [error.get("message"), *(one.get("message") for one in _dicts(error.get("errors")))]
    texts = dict.fromkeys(str(one) for one in said if one)
    return without(line, "; ".join(texts) or "no reason given")


def _dict(said: Any) -> dict[str, Any]:
    return said if isinstance(said, dict) else {}


def _dicts(said: Any) -> list[dict[str, Any]]:
    """What is as documented of a list; others than HubSpot may answer, too."""
    return [one for one in said if isinstance(one, dict)] if isinstance(said, list) else []
