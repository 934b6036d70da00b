"""HubSpot and Salesforce on this machine, as their pages say they behave, with faults to order.

A fault is ordered by ``crm.faults.append((METHOD, part of the path, what))``, the first that fits a
request is used up by it: a number is answered in place of the work (with headers in a tuple), ``lost``
drops the connection before the work, ``unsaid`` after it.
"""

import csv
import io
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote


@dataclass
class Crm:
    """What a server knows: its records, what it was asked, its clock, which sleeping moves on."""

    records: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)
    faults: list = field(default_factory=list)
    jobs: dict = field(default_factory=dict)
    bad: dict = field(default_factory=dict)
    fields: tuple = ("customer_id", "segment", "clv")
    now: float = 0.0
    waited: list = field(default_factory=list)
    per_ten_seconds: int = 1000
    busy_polls: int = 2
    token: str = "a-good-token-of-40-letters-or-so"
    traces: bool = True
    spent: bool = False
    quota: int = 1_000_000

    def sleep(self, seconds):
        self.waited.append(seconds)
        self.now += seconds

    def asked_for(self, method, part=""):
        return [path for m, path, _ in self.asked if m == method and part in path]


@contextmanager
def serving(crm, work, context=None):
    """Serve ``work(crm, method, path, headers, body) -> status, headers, body``; yield the address.

    With an ``ssl`` context over TLS.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # one packet an answer

        def _do(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            crm.asked.append((self.command, self.path, crm.now))
            fault = next(
                (f for f in crm.faults if f[0] == self.command and f[1] in self.path), None
            )
            if fault:
                crm.faults.remove(fault)
            what = fault[2] if fault else None
            if what == "lost":
                self.close_connection = True
                return
            if isinstance(what, int | tuple):
                status, headers = what if isinstance(what, tuple) else (what, {})
                answer = (status, headers, b"{}")
            else:
                answer = work(crm, self.command, self.path, self.headers, body)
            if what == "unsaid":
                self.close_connection = True
                return
            self._answer(*answer)

        def _answer(self, status, headers, body):
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = _do  # noqa: N815

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http{'s' if context else ''}://localhost:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def said(status, document, **headers):
    return status, {"Content-Type": "application/json", **headers}, json.dumps(document).encode()


# --- HubSpot -------------------------------------------------------------------------------------


def hubspot(crm, method, path, headers, body):
    if headers.get("Authorization") != f"Bearer {crm.token}":
        given = headers.get("Authorization", "").removeprefix("Bearer ")
        error = {"status": "error", "category": "INVALID_AUTHENTICATION"}
        return said(401, {**error, "message": f"the token {given} is not valid"})
    if crm.spent or len(crm.asked) > crm.quota:
        return said(429, _limit("daily", "DAILY"))
    if sum(crm.now - at < 10 for *_, at in crm.asked) > crm.per_ten_seconds:
        return said(429, _limit("ten_secondly_rolling", "TEN_SECONDLY_ROLLING"))
    kind = path.removeprefix("/crm/v3/objects/contacts/batch/")
    if method != "POST" or kind not in ("upsert", "update"):
        return said(404, {"status": "error", "message": "no such resource"})
    inputs = json.loads(body)["inputs"]
    if len(inputs) > 100:
        return said(400, _wrong("The batch may have at most 100 inputs", "VALIDATION_ERROR"))
    if len({one["id"] for one in inputs}) < len(inputs):
        return said(400, _wrong("Duplicate IDs found in batch input", "VALIDATION_ERROR"))
    unknown = {name for one in inputs for name in one["properties"]} - set(crm.fields)
    if unknown:
        inner = [
            {"message": f'Property "{n}" does not exist', "code": "PROPERTY_DOESNT_EXIST"}
            for n in unknown
        ]
        return said(
            400, {**_wrong("Property values were not valid", "VALIDATION_ERROR"), "errors": inner}
        )
    absent = "the contact does not exist"
    known = crm.bad
    if kind == "update":
        known = (
            dict.fromkeys((o["id"] for o in inputs if o["id"] not in crm.records), absent) | known
        )
    bad = [one for one in inputs if one["id"] in known]
    partial = crm.traces and all("objectWriteTraceId" in one for one in inputs)
    if bad and not partial:
        why = known[bad[0]["id"]]
        return said(404 if why == absent else 400, _wrong(why, _category(why == absent)))
    results = []
    for one in inputs:
        if one not in bad:
            new = one["id"] not in crm.records
            crm.records.setdefault(one["id"], {}).update(one["properties"])
            trace = {"objectWriteTraceId": one["objectWriteTraceId"]} if partial else {}
            results.append({"id": "1", "new": new, "properties": one["properties"], **trace})
    if not bad:
        return said(200, {"status": "COMPLETE", "results": results})
    errors = [
        {
            **_wrong(known[one["id"]], _category(known[one["id"]] == absent)),
            "context": {"objectWriteTraceId": [one["objectWriteTraceId"]]},
        }
        for one in bad
    ]
    document = {"status": "COMPLETE", "results": results, "numErrors": len(bad), "errors": errors}
    return said(207, document)


def _category(absent):
    return "OBJECT_NOT_FOUND" if absent else "VALIDATION_ERROR"


def _wrong(message, category):
    return {"status": "error", "message": message, "category": category, "correlationId": "c0"}


def _limit(name, policy):
    message = f"You have reached your {name} limit."
    return {"status": "error", "message": message, "errorType": "RATE_LIMIT", "policyName": policy}


# --- Salesforce ----------------------------------------------------------------------------------

GRANTED = "00D-granted-token"


def salesforce(crm, method, path, headers, body):
    if path == "/services/oauth2/token":
        form = {name: value[0] for name, value in parse_qs(body.decode()).items()}
        if (form["grant_type"], form["client_secret"]) != ("client_credentials", crm.token):
            return said(
                400, {"error": "invalid_client", "error_description": "invalid client credentials"}
            )
        return said(200, {"access_token": GRANTED, "instance_url": f"http://{headers['Host']}"})
    if headers.get("Authorization") not in (f"Bearer {crm.token}", f"Bearer {GRANTED}"):
        return said(
            401, [{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}]
        )
    if crm.spent or len(crm.asked) > crm.quota:
        return said(
            403,
            [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit exceeded."}],
        )
    if method == "PATCH" and "/sobjects/" in path:
        return _emptied(crm, path, json.loads(body))
    parts = path.removeprefix("/services/data/v62.0/jobs/ingest").strip("/").split("/")
    if method == "POST":
        return _created(crm, json.loads(body))
    job = crm.jobs.get(parts[0])
    if job is None:
        return said(
            404, [{"errorCode": "NOT_FOUND", "message": "The requested resource does not exist"}]
        )
    if method == "PUT":
        return _uploaded(job, body)
    if method == "PATCH":
        return _ordered(job, json.loads(body)["state"])
    if len(parts) == 1:
        _moved_on(crm, job)
        return said(
            200,
            {key: job[key] for key in ("id", "state", "numberRecordsProcessed", "errorMessage")},
        )
    return 200, {"Content-Type": "text/csv"}, job["results"][parts[1]].encode()


def _emptied(crm, path, body):
    """Upsert Records Using sObject Rows by External ID, with updateOnly."""
    where, _, asked = path.partition("?")
    *_, name, field, key = map(unquote, where.split("/"))
    assert (name, asked) == ("Contact", "updateOnly=true")
    if field not in crm.fields or field in body:
        message = f"Provided external ID field does not exist or is not accessible: {field}"
        return said(404, [{"errorCode": "NOT_FOUND", "message": message}])
    if key not in crm.records:
        message = "The requested resource does not exist"
        return said(404, [{"errorCode": "NOT_FOUND", "message": message}])
    if unknown := {*body} - {*crm.fields}:
        message = f"No such column '{min(unknown)}' on sobject of type Contact"
        return said(400, [{"errorCode": "INVALID_FIELD", "message": message}])
    if key in crm.bad:
        return said(400, [{"errorCode": "FIELD_CUSTOM_VALIDATION", "message": crm.bad[key]}])
    crm.records[key].update(body)
    return 204, {}, b""


def _created(crm, order):
    if order["operation"] != "upsert" or order["externalIdFieldName"] not in crm.fields:
        name = order["externalIdFieldName"]
        message = f"InvalidJob : Field name provided, {name} does not match an External ID"
        return said(400, [{"errorCode": "INVALIDJOB", "message": message}])
    job = {"id": f"750{len(crm.jobs):015d}", "state": "Open", "polls": 0, "data": None, **order}
    job |= {"numberRecordsProcessed": 0, "errorMessage": None, "results": {}}
    crm.jobs[job["id"]] = job
    return said(200, {"id": job["id"], "state": "Open", "contentUrl": f"x/{job['id']}/batches"})


def _uploaded(job, body):
    if job["state"] != "Open" or job["data"] is not None:
        message = "Uploading job data more than once is not allowed"
        return said(400, [{"errorCode": "INVALIDJOBSTATE", "message": message}])
    assert len(body) <= 100_000_000
    assert b"\r" not in body
    job["data"] = body.decode()
    return 201, {}, b""


def _ordered(job, state):
    if job["state"] != "Open" and state == "UploadComplete":
        message = "Closing already closed Job not allowed"
        return said(400, [{"errorCode": "INVALIDJOBSTATE", "message": message}])
    job["state"] = state
    return said(200, {"id": job["id"], "state": state})


def _moved_on(crm, job):
    """A job is worked on while it is asked for: first some polls, then all at once."""
    if job["state"] not in ("UploadComplete", "InProgress"):
        return
    job["polls"] += 1
    job["state"] = "InProgress"
    if job["polls"] > crm.busy_polls:
        _worked(crm, job)


def worked_off(crm, job):
    """Let Salesforce finish a job, if it was told to begin."""
    while job["state"] in ("UploadComplete", "InProgress"):
        _moved_on(crm, job)


def _worked(crm, job):
    rows = list(csv.DictReader(io.StringIO(job["data"])))
    head = list(rows[0])
    files = {"successfulResults": [], "failedResults": [], "unprocessedrecords": []}
    for row in rows:
        key = row[job["externalIdFieldName"]]
        if crm.bad.get(key) == "unprocessed":
            files["unprocessedrecords"].append(row)
        elif key in crm.bad:
            files["failedResults"].append({"sf__Id": "", "sf__Error": crm.bad[key], **row})
        else:
            new = key not in crm.records
            record = crm.records.setdefault(key, {})
            record.update({n: None if v == "#N/A" else v for n, v in row.items() if v != ""})
            files["successfulResults"].append(
                {"sf__Id": "003", "sf__Created": str(new).lower(), **row}
            )
    extra = {
        "successfulResults": ["sf__Id", "sf__Created"],
        "failedResults": ["sf__Id", "sf__Error"],
    }
    for name, found in files.items():
        text = io.StringIO()
        writer = csv.DictWriter(text, [*extra.get(name, []), *head], quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(found)
        job["results"][name] = text.getvalue() if found else ""
    job["numberRecordsProcessed"] = len(rows)
    job["state"] = "JobComplete" if len(files["unprocessedrecords"]) < len(rows) else "Failed"
    job["errorMessage"] = (
        None if job["state"] == "JobComplete" else "InvalidBatch : Field name not found"
    )
