"""Records of Salesforce, upserted by an external id through jobs of Bulk API 2.0. L10.

A job is created, filled (once), closed, waited for and asked for its three result files (Salesforce,
"Bulk API 2.0 Ingest"). Which steps may be repeated:

- creating: an empty job that stays open changes nothing, and Salesforce clears it away in a week;
- filling: a job takes data once, so after a lost answer it is aborted and another one is filled;
- closing: this starts the work, so after a lost answer the state is looked up before anything else;
- asking: always.

The ledger, a JSON file, holds the id of each job from before it is filled until its results are read.
A push that was cut off finds its job there: the same rows are not sent again while it runs, and other
rows wait until it is over, so that an older push never overwrites a newer one.

Jobs update without creating by Salesforce's own ids only, so records are emptied one by one, by the
external id with ``updateOnly`` ("Upsert Records Using sObject Rows by External ID", from version 61).
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from bayesseg import _files
from bayesseg.errors import ArtefactBad, DestinationFailed, UsageError
from bayesseg.feed.targets import TARGETS
from bayesseg.push.http import (
    Answer,
    AnswerLost,
    Line,
    Patience,
    Say,
    ask,
    barred,
    connect,
    message,
    refused,
    wait,
    without,
)
from bayesseg.push.pushed import Pushed

PIECE = 90_000_000
"""Bytes of one job: at most 100 MB, for Salesforce keeps them in base64."""
TOKEN, CLIENT_ID, CLIENT_SECRET = (
    "SALESFORCE_TOKEN",
    "SALESFORCE_CLIENT_ID",
    "SALESFORCE_CLIENT_SECRET",
)
"""Variables of the environment."""
CLEARED = TARGETS["salesforce"].null
"""What empties a field; an empty cell would leave it as it is."""
_JSON = {"Content-Type": "application/json"}
_SCHEMA = "bayesseg export --to salesforce --schema shows the fields to create first"
_OVER = ("JobComplete", "Failed", "Aborted")
_SILENT = "Salesforce has no result for it"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where to and how patiently. The first column of a record is the external id.

    ``address`` is that of the My Domain, ``ledger`` the file of jobs that are not over.
    """

    address: str
    ledger: Path
    object: str = "Contact"
    version: str = "v62.0"
    piece: int = PIECE
    patience: Patience = field(default_factory=Patience)


@dataclass(frozen=True, slots=True)
class Login:
    """An access token, or what one is asked for with (OAuth 2.0 client credentials)."""

    token: str = field(default="", repr=False)
    client_id: str = ""
    client_secret: str = field(default="", repr=False)


def login(environ: Mapping[str, str] = os.environ) -> Login:
    """The login from ``SALESFORCE_TOKEN``, or from ``SALESFORCE_CLIENT_ID`` and ``_CLIENT_SECRET``.

    Raises:
        UsageError: neither is there.
    """
    found = Login(*(environ.get(name, "").strip() for name in (TOKEN, CLIENT_ID, CLIENT_SECRET)))
    if found.token or (found.client_id and found.client_secret):
        return found
    raise UsageError(
        f"no login for Salesforce: neither {TOKEN} nor {CLIENT_ID} and {CLIENT_SECRET} are set",
        fix=f"export {CLIENT_ID} and {CLIENT_SECRET} of an app with the client credentials flow",
    )


def push(
    records: Iterator[list[dict[str, Any]]], settings: Settings, secret: Login, say: Say
) -> Pushed:
    """Create or update one record a row, in jobs of up to ``settings.piece`` bytes.

    Args:
        records: batches of records, of any size; column to value, the external id first. None clears a
            field.
        settings: where to.
        secret: the login.
        say: told of jobs and waits.

    Raises:
        ResourcesMissing: no access (login, rights).
        DestinationFailed: refused for good (fields, daily quota), out of reach, or still at work
            when the time of the push is over: the same push then goes on waiting for it.
        Locked: another push uses the ledger.
        ArtefactBad: the ledger is none.
    """
    done = Pushed()
    with _files.lock(settings.ledger):
        line, headers = _connected(settings, secret, say)
        for ids, content in _pieces(records, settings.piece):
            done += _piece(line, headers, settings, ids, content)
    return done


def clear(
    records: Iterator[list[dict[str, Any]]], settings: Settings, secret: Login, say: Say
) -> Pushed:
    """Write records that are there; one that is not counts as removed and is not made.

    Args and errors as ``push``; jobs of an earlier push go first.
    """
    removed, wrong = 0, []
    with _files.lock(settings.ledger):
        line, headers = _connected(settings, secret, say)
        _jobs(line, headers, settings).unfinished("")
        for record in chain.from_iterable(records):
            (key, one), *rest = record.items()
            path = f"/services/data/{settings.version}/sobjects/{settings.object}/{key}/"
            path += f"{quote(str(one), safe='')}?updateOnly=true"
            answer = ask(line, "PATCH", path, json.dumps(dict(rest)).encode(), {**headers, **_JSON})
            if answer.status < 300 or (answer.status == 404 and b"xternal ID" not in answer.body):
                removed += 1
            elif b"INVALID_FIELD" in answer.body or answer.status == 404:
                raise refused(line, answer, _SCHEMA)
            else:
                wrong.append((str(one), message(line, answer)))
    return Pushed(removed=removed, refused=tuple(wrong))


# --- login ---------------------------------------------------------------------------------------


def _connected(settings: Settings, login: Login, say: Say) -> tuple[Line, Mapping[str, str]]:
    """A way to the instance, and the headers that open it."""
    secrets = tuple(filter(None, (login.token, login.client_secret, login.client_id)))
    line = connect("Salesforce", settings.address, _judge, secrets, say, settings.patience)
    token = login.token
    if not token:
        line, token = _granted(line, login)
    return line, {"Authorization": f"Bearer {token}"}


def _granted(line: Line, login: Login) -> tuple[Line, str]:
    form = {
        "grant_type": "client_credentials",
        "client_id": login.client_id,
        "client_secret": login.client_secret,
    }
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = ask(line, "POST", "/services/oauth2/token", urlencode(form).encode(), kind)
    said = answer.json()
    if answer.status != 200 or not isinstance(said, dict) or not said.get("access_token"):
        fix = f"check {CLIENT_ID}, {CLIENT_SECRET} and the client credentials flow of the app"
        raise barred(line, answer, fix)
    token = str(said["access_token"])
    address = str(said.get("instance_url") or line.address)
    secrets = (*line.secrets, token)
    return connect(line.name, address, _judge, secrets, line.say, line.patience), token


def _judge(line: Line, answer: Answer) -> float:
    """Refusals for good are raised; else the seconds to wait."""
    if b"REQUEST_LIMIT_EXCEEDED" in answer.body:
        raise refused(line, answer, "the requests of 24 hours are used up; run the same tomorrow")
    if answer.status == 401:
        raise barred(line, answer, f"get a new token for {TOKEN}, or use {CLIENT_ID}")
    if answer.status == 403:
        fix = "give the user of the token API Enabled and edit rights on the object and its fields"
        raise barred(line, answer, fix)
    return 0.0


# --- pieces --------------------------------------------------------------------------------------


def _pieces(
    records: Iterator[list[dict[str, Any]]], most: int
) -> Iterator[tuple[dict[str, None], bytes]]:
    """Ids and CSV of each job: UTF-8, LF, a line a record, none over ``most`` bytes."""
    ids: dict[str, None] = {}
    parts: list[bytes] = []
    size = 0
    for batch in records:
        for row in batch:
            if not parts:
                parts = [_line(row)]
                size = len(parts[0])
            part = _line(CLEARED if value is None else value for value in row.values())
            if ids and size + len(part) > most:
                yield ids, b"".join(parts)
                ids, parts, size = {}, [parts[0]], len(parts[0])
            ids[str(next(iter(row.values())))] = None
            parts.append(part)
            size += len(part)
    if ids:
        yield ids, b"".join(parts)


def _line(values: Any) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(
        str(value).lower() if isinstance(value, bool) else value for value in values
    )
    return text.getvalue().encode()


def _piece(
    line: Line,
    headers: Mapping[str, str],
    settings: Settings,
    ids: dict[str, None],
    content: bytes,
) -> Pushed:
    key = content.partition(b"\n")[0].decode().partition(",")[0]
    order = {
        "object": settings.object,
        "externalIdFieldName": key,
        "contentType": "CSV",
        "operation": "upsert",
        "lineEnding": "LF",
    }
    named = json.dumps([line.address, order]).encode()
    digest = hashlib.sha256(named + content).hexdigest()
    jobs = _jobs(line, headers, settings)
    job = jobs.unfinished(digest) or jobs.filled(digest, order, content)
    over = jobs.over(job)
    found = jobs.results(job, key, ids)
    jobs.remember(digest, None)
    if over["state"] != "JobComplete" and not found.inserted + found.updated:
        raise DestinationFailed(
            f"Salesforce job {job} {over['state'].lower()}: "
            f"{without(line, str(over.get('errorMessage') or 'no reason given'))}",
            fix=f"see Setup, Bulk Data Load Jobs; {_SCHEMA}",
        )
    return found


def _jobs(line: Line, headers: Mapping[str, str], settings: Settings) -> _Jobs:
    return _Jobs(line, headers, f"/services/data/{settings.version}/jobs/ingest", settings.ledger)


# --- jobs ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Jobs:
    """The jobs of one destination, and the ledger of those that are not over."""

    line: Line
    headers: Mapping[str, str]
    path: str
    ledger: Path

    def known(self) -> dict[str, str]:
        """Job by digest of its rows."""
        try:
            found = json.loads(self.ledger.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError):
            found = None
        if not isinstance(found, dict) or not all(isinstance(j, str) for j in found.values()):
            raise ArtefactBad(
                f"{self.ledger} is no ledger of jobs",
                fix="see that Setup, Bulk Data Load Jobs has none at work; then remove the file",
            )
        return found

    def remember(self, digest: str, job: str | None) -> None:
        """Write a job into the ledger, or take it out."""
        kept = {key: one for key, one in self.known().items() if key != digest}
        if job is not None:
            kept[digest] = job
        if kept:
            _files.write_text(self.ledger, json.dumps(kept, indent=1) + "\n")
        elif self.ledger.exists():
            _files.remove(self.ledger)

    def unfinished(self, digest: str) -> str | None:
        """The job that has these rows already; all other jobs are over when this returns."""
        for other, job in self.known().items():
            state = self.state(job)["state"]
            if state == "Open":  # nobody knows whether it was filled
                self.order(job, "Aborted")
            elif other == digest and state not in ("Failed", "Aborted"):
                self.line.say(
                    f"Salesforce job {job} of an earlier push is {state}: going on with it"
                )
                continue
            elif state not in _OVER:
                self.line.say(f"Salesforce job {job} of an earlier push is {state}: it goes first")
                self.over(job)
            self.remember(other, None)
        return self.known().get(digest)

    def filled(self, digest: str, order: Mapping[str, str], content: bytes) -> str:
        """A new job with these rows, at work."""
        for attempt in range(self.line.patience.attempts):
            body = json.dumps(order).encode()
            job = str(self.said("POST", "", body, _JSON, "id")["id"])
            self.remember(digest, job)
            try:
                self.said("PUT", f"/{job}/batches", content, {"Content-Type": "text/csv"})
            except AnswerLost as lost:
                self.order(job, "Aborted")
                wait(self.line, attempt, f"sending rows: {lost}")
                continue
            self.order(job, "UploadComplete")
            self.line.say(f"Salesforce job {job}: {content.count(b'\n') - 1:,} lines sent")
            return job
        raise DestinationFailed(
            "Salesforce did not take the rows: the connection broke off each time",
            fix="run the same again later; nothing of this job was taken",
        )

    def order(self, job: str, state: str) -> None:
        """Close or abort a job; where the answer is lost, its state says whether that was done."""
        for attempt in range(self.line.patience.attempts):
            try:
                self.said("PATCH", f"/{job}", json.dumps({"state": state}).encode(), _JSON)
                return
            except AnswerLost as lost:
                if self.state(job)["state"] != "Open":
                    return
                wait(self.line, attempt, f"ordering {state}: {lost}")
        raise DestinationFailed(
            f"Salesforce job {job} could not be ordered {state}", fix="run the same again later"
        )

    def state(self, job: str) -> dict[str, Any]:
        """What Salesforce says of a job; one that it does not know any more is over."""
        answer = ask(self.line, "GET", f"{self.path}/{job}", headers=self.headers)
        if answer.status == 404:
            return {"state": "Aborted", "errorMessage": "Salesforce does not know it any more"}
        return self._read(answer, "state")

    def over(self, job: str) -> dict[str, Any]:
        """Wait until a job is over."""
        for attempt in range(1_000_000):
            said = self.state(job)
            if said["state"] in _OVER:
                return said
            done = said.get("numberRecordsProcessed") or 0
            wait(self.line, attempt, f"job {job} is {said['state']}, {done:,} rows done")
        raise AssertionError  # the deadline comes first

    def results(self, job: str, key: str, ids: dict[str, None]) -> Pushed:
        """What became of each row of a job that is over."""
        left = dict(ids)
        inserted = updated = 0
        for row in self.rows(job, "successfulResults"):
            if row.get(key) in left:
                del left[row[key]]
                inserted += row.get("sf__Created") == "true"
                updated += row.get("sf__Created") != "true"
        failed = self.rows(job, "failedResults")
        reasons = {row.get(key): row.get("sf__Error") or _SILENT for row in failed}
        reasons |= {row.get(key): "not tried" for row in self.rows(job, "unprocessedrecords")}
        why = ((one, without(self.line, reasons.get(one, _SILENT))) for one in left)
        return Pushed(inserted=inserted, updated=updated, refused=tuple(why))

    def rows(self, job: str, kind: str) -> Iterator[dict[str, str]]:
        """A file of results, row by row; without rows it may be empty."""
        answer = ask(self.line, "GET", f"{self.path}/{job}/{kind}/", headers=self.headers)
        if answer.status >= 300:
            raise refused(self.line, answer, "run the same again later; the job itself is over")
        return csv.DictReader(io.StringIO(answer.body.decode(errors="replace"), newline=""))

    def said(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str], *needed: str
    ) -> dict[str, Any]:
        """The answer to an order: creating may be repeated, filling and closing may not."""
        whole = {**self.headers, **headers}
        repeat = method == "POST"
        answer = ask(self.line, method, self.path + path, body, whole, repeat=repeat)
        return self._read(answer, *needed)

    def _read(self, answer: Answer, *needed: str) -> dict[str, Any]:
        if answer.status >= 300:
            raise refused(self.line, answer, _SCHEMA)
        found = answer.json()
        said = found if isinstance(found, dict) else {}
        if not {*needed} <= {*said}:
            raise refused(self.line, answer, "the address is not that of Salesforce's API")
        return said
