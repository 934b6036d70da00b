"""Pushing to HubSpot and Salesforce: what is taken, refused, repeated, and never said."""

import contextlib
import json
import ssl
import subprocess
from dataclasses import replace

import crm_servers
import pytest

from bayesseg.errors import ArtefactBad, DestinationFailed, Locked, ResourcesMissing, UsageError
from bayesseg.push import hubspot, salesforce
from bayesseg.push.http import Patience
from bayesseg.push.pushed import Pushed


def batches(count, size=60, first=0):
    rows = [
        {"customer_id": f"c{i:04d}", "segment": f"S{i % 3}", "clv": i / 4}
        for i in range(first, first + count)
    ]
    return (rows[at : at + size] for at in range(0, len(rows), size))


def patience(crm, **given):
    return Patience(**{"first": 0.5, "answer": 5.0, "sleep": crm.sleep, **given})


@contextlib.contextmanager
def at_hubspot(**given):
    crm = crm_servers.Crm(**given)
    with crm_servers.serving(crm, crm_servers.hubspot) as address:
        yield crm, hubspot.Settings(address, patience=patience(crm))


@contextlib.contextmanager
def at_salesforce(folder, **given):
    crm = crm_servers.Crm(**given)
    with crm_servers.serving(crm, crm_servers.salesforce) as address:
        ledger = folder / "jobs.json"
        yield crm, salesforce.Settings(address, ledger, patience=patience(crm))


def to_hubspot(crm, settings, records, said=None):
    return hubspot.push(records, settings, crm.token, (said if said is not None else []).append)


def to_salesforce(crm, settings, records, said=None):
    login = salesforce.Login(token=crm.token)
    return salesforce.push(records, settings, login, (said if said is not None else []).append)


# --- HubSpot -------------------------------------------------------------------------------------


def test_hubspot_takes_every_row_once_in_batches_of_a_hundred():
    with at_hubspot() as (crm, settings):
        assert to_hubspot(crm, settings, batches(250)) == Pushed(inserted=250)
        assert len(crm.asked) == 3
        assert crm.records["c0249"] == {"customer_id": "c0249", "segment": "S0", "clv": 62.25}


def test_hubspot_pushed_twice_holds_the_same():
    with at_hubspot() as (crm, settings):
        to_hubspot(crm, settings, batches(30))
        before = json.dumps(crm.records)
        assert to_hubspot(crm, settings, batches(30)) == Pushed(updated=30)
        assert json.dumps(crm.records) == before


def test_hubspot_clears_what_is_missing():
    with at_hubspot() as (crm, settings):
        to_hubspot(crm, settings, iter([[{"customer_id": "a", "clv": None}]]))
        assert crm.records["a"]["clv"] == ""


BAD = {"c0007": "Invalid segment", "c0120": "Property values were not valid"}


def test_hubspot_keeps_good_rows_and_lists_bad_ones():
    with at_hubspot(bad=BAD) as (crm, settings):
        found = to_hubspot(crm, settings, batches(130))
        assert found == Pushed(inserted=128, refused=tuple(BAD.items()))
        assert len(crm.asked) == 2
        assert set(BAD).isdisjoint(crm.records)


def test_a_batch_refused_as_a_whole_is_halved_down_to_the_bad_row():
    with at_hubspot(bad=BAD, traces=False) as (crm, settings):
        found = to_hubspot(crm, settings, batches(130))
        assert (len(crm.records), [one for one, _ in found.refused]) == (128, [*BAD])
        assert all("valid" in why.lower() for _, why in found.refused)


def test_rows_of_which_hubspot_says_nothing_are_not_taken_for_done():
    with at_hubspot() as (crm, settings):

        def silent(*_):
            return crm_servers.said(207, {"status": "COMPLETE", "results": [], "numErrors": 0})

        with crm_servers.serving(crm, silent) as address:
            found = to_hubspot(crm, replace(settings, address=address), batches(2))
    assert found.inserted + found.updated == 0
    assert [why for _, why in found.refused] == ["HubSpot did not say what became of it"] * 2


def test_a_property_that_is_not_there_stops_the_push_at_once():
    with at_hubspot(fields=("customer_id", "clv")) as (crm, settings):
        with pytest.raises(DestinationFailed) as caught:
            to_hubspot(crm, settings, batches(500))
        assert (len(crm.asked), "--schema" in caught.value.fix) == (1, True)


def test_a_batch_of_nothing_but_bad_rows_stops_the_push():
    with at_hubspot(bad={f"c{i:04d}": "Invalid segment" for i in range(500)}) as (crm, settings):
        with pytest.raises(DestinationFailed, match="every row of the first batch"):
            to_hubspot(crm, settings, batches(500))
        assert len(crm.asked) == 1


def test_the_ten_second_limit_is_waited_out_and_kept():
    with at_hubspot(per_ten_seconds=3) as (crm, settings):
        assert to_hubspot(crm, settings, batches(1000)) == Pushed(inserted=1000)
        assert max(crm.waited) == 10.0


def test_the_daily_limit_ends_the_push_and_says_when_to_go_on():
    with at_hubspot(spent=True) as (crm, settings):
        with pytest.raises(DestinationFailed) as caught:
            to_hubspot(crm, settings, batches(10))
        assert (crm.waited, "midnight" in caught.value.fix) == ([], True)


@pytest.mark.parametrize("fault", [500, 502, 503, 504, 423, 429, "lost", "unsaid"])
def test_what_passes_is_tried_again(fault):
    with at_hubspot() as (crm, settings):
        crm.faults += [("POST", "upsert", fault)] * 2
        found = to_hubspot(crm, settings, batches(20))
        assert found.inserted + found.updated == len(crm.records) == 20
        assert len(crm.waited) == 2


def test_retry_after_is_honoured():
    with at_hubspot() as (crm, settings):
        crm.faults.append(("POST", "upsert", (429, {"Retry-After": "37"})))
        to_hubspot(crm, settings, batches(20))
        assert crm.waited == [37.0]


def test_a_retry_after_beyond_the_time_of_the_push_ends_it_unwaited():
    with at_hubspot() as (crm, settings):
        crm.faults.append(("POST", "upsert", (503, {"Retry-After": "86400"})))
        with pytest.raises(DestinationFailed, match="would pass the 3,600 s"):
            to_hubspot(crm, settings, batches(20))
        assert crm.waited == []


def test_waits_double_up_to_the_longest_less_a_random_half_and_end():
    with at_hubspot() as (crm, settings):
        crm.faults += [("POST", "upsert", 500)] * 9
        settings = replace(settings, patience=patience(crm, attempts=7, first=2.0, longest=20.0))
        with pytest.raises(DestinationFailed, match="in 7 attempts: it answers 500"):
            to_hubspot(crm, settings, batches(20))
        full = [2.0, 4.0, 8.0, 16.0, 20.0, 20.0]
        assert all(f / 2 <= w <= f for f, w in zip(full, crm.waited, strict=True))


def test_waits_follow_from_the_seed():
    waits = []
    for seed in (1, 1, 2):
        with at_hubspot() as (crm, settings):
            crm.faults += [("POST", "upsert", 500)] * 3
            to_hubspot(crm, replace(settings, patience=patience(crm, seed=seed)), batches(1))
            waits.append(crm.waited)
    assert (waits[0] == waits[1], waits[0] == waits[2]) == (True, False)


def test_a_refused_token_is_neither_tried_again_nor_said():
    with at_hubspot() as (crm, settings), pytest.raises(ResourcesMissing) as caught:
        hubspot.push(batches(5), settings, "wrong-token-1234", [].append)
    assert (len(crm.asked), caught.value.exit_code) == (1, 9)
    assert "wrong-token-1234" not in str(caught.value)
    assert "HUBSPOT_TOKEN" in caught.value.fix


# --- the way there -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "http://api.hubapi.com",
        "ftp://localhost",
        "api.hubapi.com",
        "https://me:secret@api.hubapi.com",
        "https://api.hubapi.com/crm",
        "http://localhost.evil.example",
        "",
    ],
)
def test_only_https_and_this_machine_are_addresses(address):
    with pytest.raises(UsageError) as caught:
        hubspot.push(batches(1), hubspot.Settings(address), "token", [].append)
    assert "secret" not in str(caught.value)


def test_nothing_is_sent_to_a_server_whose_certificate_is_not_trusted(tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    crm = crm_servers.Crm()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with crm_servers.serving(crm, crm_servers.hubspot, context) as address:
        settings = hubspot.Settings(address, patience=patience(crm))
        with pytest.raises(DestinationFailed, match="is not trusted; nothing was sent"):
            to_hubspot(crm, settings, batches(1))
    assert crm.asked == []


def test_a_redirection_is_not_followed():
    with at_hubspot() as (crm, settings):
        crm.faults.append(("POST", "upsert", (302, {"Location": f"{settings.address}/elsewhere"})))
        with pytest.raises(DestinationFailed):
            to_hubspot(crm, settings, batches(1))
        assert len(crm.asked) == 1


def test_nobody_there_is_said_after_the_last_attempt():
    crm = crm_servers.Crm()
    settings = hubspot.Settings("http://127.0.0.1:9", patience=patience(crm, attempts=3))
    with pytest.raises(DestinationFailed, match="nothing answers at that address"):
        to_hubspot(crm, settings, batches(1))
    assert len(crm.waited) == 2


@pytest.mark.parametrize(
    ("login", "environ"),
    [
        (hubspot.login, {}),
        (hubspot.login, {"HUBSPOT_TOKEN": " "}),
        (salesforce.login, {}),
        (salesforce.login, {"SALESFORCE_CLIENT_ID": "id"}),
    ],
)
def test_a_login_that_is_not_in_the_environment_is_asked_for(login, environ):
    with pytest.raises(UsageError, match=r"in the environment|are set"):
        login(environ)


# --- Salesforce ----------------------------------------------------------------------------------


def test_salesforce_takes_every_row_in_one_job(tmp_path):
    with at_salesforce(tmp_path) as (crm, settings):
        assert to_salesforce(crm, settings, batches(130)) == Pushed(inserted=130)
        assert to_salesforce(crm, settings, batches(130)) == Pushed(updated=130)
        assert len(crm.jobs) == 2
        assert crm.records["c0129"] == {"customer_id": "c0129", "segment": "S0", "clv": "32.25"}
    assert [*tmp_path.iterdir()] == []


def test_salesforce_clears_what_is_missing_and_quotes_what_would_break_a_line(tmp_path):
    row = {"customer_id": '=a,"b"', "segment": "é\u202f%", "clv": None}
    with at_salesforce(tmp_path) as (crm, settings):
        crm.records['=a,"b"'] = {"clv": "3"}
        to_salesforce(crm, settings, iter([[row]]))
        assert crm.records['=a,"b"'] == row


def test_more_than_a_job_may_hold_becomes_several(tmp_path):
    with at_salesforce(tmp_path) as (crm, settings):
        found = to_salesforce(crm, replace(settings, piece=500), batches(100))
        assert found == Pushed(inserted=100)
        assert len(crm.jobs) == 3
        assert all(len(job["data"]) <= 500 for job in crm.jobs.values())


def test_salesforce_lists_what_failed_and_what_was_not_tried(tmp_path):
    bad = {"c0003": "INVALID_FIELD:Failed:--", "c0005": "unprocessed"}
    with at_salesforce(tmp_path, bad=bad) as (crm, settings):
        found = to_salesforce(crm, settings, batches(20))
        refused = (("c0003", "INVALID_FIELD:Failed:--"), ("c0005", "not tried"))
        assert found == Pushed(inserted=18, refused=refused)


def test_rows_without_a_result_are_not_taken_for_done(tmp_path):
    """Salesforce keeps no results beyond the daily allocation of batches."""
    with at_salesforce(tmp_path) as (crm, settings):
        for kind in ("successfulResults", "failedResults", "unprocessedrecords"):
            crm.faults.append(("GET", kind, (200, {})))
        found = to_salesforce(crm, settings, batches(20))
    assert [why for _, why in found.refused] == ["Salesforce has no result for it"] * 20


def test_a_job_that_fails_as_a_whole_is_said_with_its_reason(tmp_path):
    bad = {f"c{i:04d}": "unprocessed" for i in range(20)}
    why = "failed: InvalidBatch : Field name not found"
    with at_salesforce(tmp_path, bad=bad) as (crm, settings):
        with pytest.raises(DestinationFailed, match=why):
            to_salesforce(crm, settings, batches(20))
        assert not settings.ledger.exists()


def test_an_external_id_that_is_not_there_is_said(tmp_path):
    with at_salesforce(tmp_path, fields=("clv",)) as (crm, settings):
        with pytest.raises(DestinationFailed, match="does not match an External ID") as caught:
            to_salesforce(crm, settings, batches(20))
        assert "--schema" in caught.value.fix


STEPS = [
    ("POST", "ingest"),
    ("PUT", "batches"),
    ("PATCH", "ingest"),
    ("GET", "ingest"),
    ("GET", "successfulResults"),
]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: " ".join(step))
@pytest.mark.parametrize("fault", [500, 503, 429, "lost", "unsaid"])
def test_no_step_that_breaks_off_sends_rows_twice(tmp_path, step, fault):
    with at_salesforce(tmp_path) as (crm, settings):
        crm.faults.append((*step, fault))
        assert to_salesforce(crm, settings, batches(50)) == Pushed(inserted=50)
        worked = [job for job in crm.jobs.values() if job["state"] == "JobComplete"]
        assert len(worked) == 1
    assert not settings.ledger.exists()


def cut_off(crm, settings, records):
    """A push whose process dies while Salesforce is at work."""

    def die(_):
        raise KeyboardInterrupt

    busy = replace(settings, patience=replace(settings.patience, sleep=die))
    with pytest.raises(KeyboardInterrupt):
        to_salesforce(crm, busy, records)


def test_a_push_that_was_cut_off_goes_on_with_its_job(tmp_path):
    with at_salesforce(tmp_path) as (crm, settings):
        cut_off(crm, settings, batches(50))
        assert list(json.loads(settings.ledger.read_text()).values()) == [*crm.jobs]
        assert to_salesforce(crm, settings, batches(50)) == Pushed(inserted=50)
        assert len(crm.jobs) == 1
    assert not settings.ledger.exists()


def test_other_rows_wait_until_the_job_of_a_push_that_was_cut_off_is_over(tmp_path):
    with at_salesforce(tmp_path) as (crm, settings):
        cut_off(crm, settings, iter([[{"customer_id": "a", "clv": 1}]]))
        to_salesforce(crm, settings, iter([[{"customer_id": "a", "clv": 2}]]))
        assert crm.records["a"]["clv"] == "2"
        assert [job["state"] for job in crm.jobs.values()] == ["JobComplete"] * 2


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_request_the_next_push_has_the_last_word(tmp_path, monkeypatch, after):
    """Yesterday's push dies before or after its n-th request, for every n; then comes today's."""
    whole, reached = salesforce.ask, []

    def mortal(*given, **more):
        reached.append(given)
        if len(reached) == number and not after:
            raise KeyboardInterrupt
        answer = whole(*given, **more)
        if len(reached) == number:
            raise KeyboardInterrupt
        return answer

    today = [{"customer_id": f"c{i}", "clv": 2} for i in range(5)]
    for number in range(1, 12):
        ledger = tmp_path / str(number)
        ledger.mkdir()
        with at_salesforce(ledger, busy_polls=1) as (crm, settings):
            yesterday = [{"customer_id": f"c{i}", "clv": 1} for i in range(5)]
            reached.clear()
            monkeypatch.setattr(salesforce, "ask", mortal)
            with contextlib.suppress(KeyboardInterrupt):
                to_salesforce(crm, settings, iter([yesterday]))
            died = len(reached) == number
            monkeypatch.setattr(salesforce, "ask", whole)
            found = to_salesforce(crm, settings, iter([today]))
            for job in crm.jobs.values():  # whatever Salesforce still works on ends now
                crm_servers.worked_off(crm, job)
            assert {row["clv"] for row in crm.records.values()} == {"2"}
            assert (found.inserted + found.updated, found.refused) == (5, ())
            assert not settings.ledger.exists()
    assert not died, "give more requests to die at"


def test_a_job_that_was_never_closed_is_aborted(tmp_path):
    with at_salesforce(tmp_path) as (crm, settings):
        crm.faults.append(("PUT", "batches", "unsaid"))
        crm.faults += [("PATCH", "ingest", 500)] * 20
        with pytest.raises(DestinationFailed):
            to_salesforce(crm, settings, batches(10))
        crm.faults.clear()
        assert to_salesforce(crm, settings, batches(10)) == Pushed(inserted=10)
        assert [job["state"] for job in crm.jobs.values()] == ["Aborted", "JobComplete"]


def test_a_job_that_salesforce_no_longer_knows_is_made_again(tmp_path):
    with at_salesforce(tmp_path) as (crm, settings):
        cut_off(crm, settings, batches(10))
        crm.jobs.clear()
        assert to_salesforce(crm, settings, batches(10)) == Pushed(inserted=10)


def test_a_job_that_takes_too_long_is_found_again_by_the_next_push(tmp_path):
    with at_salesforce(tmp_path, busy_polls=100) as (crm, settings):
        short = replace(settings, patience=replace(settings.patience, total=0.0))
        with pytest.raises(DestinationFailed, match=r"job 750.* is InProgress"):
            to_salesforce(crm, short, batches(10))
        crm.busy_polls = 0
        assert to_salesforce(crm, settings, batches(10)) == Pushed(inserted=10)
        assert len(crm.jobs) == 1


def test_two_pushes_do_not_share_a_ledger(tmp_path):
    from bayesseg._files import lock

    with at_salesforce(tmp_path) as (crm, settings), lock(settings.ledger), pytest.raises(Locked):
        to_salesforce(crm, settings, batches(1))


@pytest.mark.parametrize("text", ["no JSON", "[]", '{"a": 1}'])
def test_a_damaged_ledger_is_refused(tmp_path, text):
    with at_salesforce(tmp_path) as (crm, settings):
        settings.ledger.write_text(text)
        with pytest.raises(ArtefactBad):
            to_salesforce(crm, settings, batches(1))
        assert crm.jobs == {}


def test_client_credentials_get_a_token(tmp_path):
    with at_salesforce(tmp_path) as (crm, settings):
        login = salesforce.Login(client_id="an-id", client_secret=crm.token)
        assert salesforce.push(batches(3), settings, login, [].append) == Pushed(inserted=3)
        assert crm.asked[0][1] == "/services/oauth2/token"


@pytest.mark.parametrize(
    "login",
    [
        salesforce.Login(token="wrong-token-1234"),
        salesforce.Login(client_id="an-id", client_secret="wrong-secret-1234"),
    ],
)
def test_a_refused_login_is_neither_tried_again_nor_said(tmp_path, login):
    with at_salesforce(tmp_path) as (crm, settings), pytest.raises(ResourcesMissing) as caught:
        salesforce.push(batches(1), settings, login, [].append)
    assert (len(crm.asked), caught.value.exit_code) == (1, 9)
    assert "1234" not in f"{caught.value} {login}"
    assert "SALESFORCE_" in caught.value.fix


def test_the_daily_requests_of_salesforce_end_the_push(tmp_path):
    with at_salesforce(tmp_path, spent=True) as (crm, settings):
        with pytest.raises(DestinationFailed) as caught:
            to_salesforce(crm, settings, batches(1))
        assert (len(crm.asked), "tomorrow" in caught.value.fix) == (1, True)


# --- answers that are none -----------------------------------------------------------------------

ODD = [
    (429, {"policyName": 7, "message": ["x"]}),
    (200, {"results": ["x"], "errors": ["y"]}),
    (200, {"results": 7, "errors": {"context": "c"}}),
    (207, {"results": [{"properties": 1}], "errors": [{"context": "c", "errors": ["z"]}]}),
    (400, ["wrong"]),
    (404, "no"),
    (200, []),
]


@pytest.mark.parametrize(("status", "document"), ODD)
def test_hubspot_or_a_proxy_may_answer_anything(status, document):
    with at_hubspot() as (crm, settings):

        def odd(*_):
            return crm_servers.said(status, document)

        with crm_servers.serving(crm, odd) as address:
            settings = replace(settings, address=address)
            try:
                found = to_hubspot(crm, settings, batches(2))
            except DestinationFailed:
                found = Pushed()
        assert found.inserted + found.updated == 0


@pytest.mark.parametrize(
    "answer", [(200, b"<html>welcome</html>"), (201, b"[]"), (200, b'{"id": "1"}')]
)
def test_salesforce_or_a_proxy_may_answer_anything(tmp_path, answer):
    with at_salesforce(tmp_path) as (crm, settings):

        def odd(*_):
            return answer[0], {}, answer[1]

        with crm_servers.serving(crm, odd) as address, pytest.raises(DestinationFailed):
            to_salesforce(crm, replace(settings, address=address), batches(2))


# --- emptying ------------------------------------------------------------------------------------

NOTHING = {"segment": None, "clv": None}


def test_hubspot_empties_whom_it_has_and_makes_nobody():
    with at_hubspot(traces=False, bad={"c2": "not today"}) as (crm, settings):
        crm.records |= {one: {"customer_id": one, "clv": 1} for one in ("c0", "c2")}
        rows = [{"customer_id": one, **NOTHING} for one in ("c0", "c1", "c2")]
        found = hubspot.clear(iter([rows]), settings, crm.token, [].append)
        assert found == Pushed(removed=2, refused=(("c2", "not today"),))
        assert crm.records["c0"] == {"customer_id": "c0", "segment": "", "clv": ""}
        assert [*crm.records] == ["c0", "c2"]


def test_hubspot_says_who_is_not_there_in_an_answer_for_the_batch():
    with at_hubspot() as (crm, settings):
        crm.records["c0"] = {"clv": 1}
        rows = [{"customer_id": one, **NOTHING} for one in ("c0", "c1")]
        found = hubspot.clear(iter([rows]), settings, crm.token, [].append)
        assert (found, len(crm.asked), [*crm.records]) == (Pushed(removed=2), 1, ["c0"])


def test_salesforce_empties_whom_it_has_and_makes_nobody(tmp_path):
    with at_salesforce(tmp_path, bad={"c2": "not today"}) as (crm, settings):
        odd = "a/b c?é"
        crm.records |= {one: {"customer_id": one, "clv": "1"} for one in (odd, "c2")}
        rows = [{"customer_id": one, **NOTHING} for one in (odd, "c1", "c2")]
        login = salesforce.Login(token=crm.token)
        found = salesforce.clear(iter([rows]), settings, login, [].append)
        assert (found.removed, [one for one, _ in found.refused]) == (2, ["c2"])
        assert crm.records[odd] == {"customer_id": odd, **NOTHING}
        assert [*crm.records] == [odd, "c2"]


@pytest.mark.parametrize("row", [{"Nobody__c": "c0", "clv": None}, {"customer_id": "c0", "No": 1}])
def test_salesforce_without_the_field_is_not_taken_for_done(tmp_path, row):
    with at_salesforce(tmp_path) as (crm, settings):
        crm.records["c0"] = {"clv": "1"}
        login = salesforce.Login(token=crm.token)
        with pytest.raises(DestinationFailed, match="Salesforce refuses"):
            salesforce.clear(iter([[row]]), settings, login, [].append)


def test_salesforce_empties_only_when_jobs_that_were_cut_off_are_over(tmp_path):
    with at_salesforce(tmp_path) as (crm, settings):
        cut_off(crm, settings, iter([[{"customer_id": "a", "clv": 1}]]))
        login = salesforce.Login(token=crm.token)
        rows = [{"customer_id": "a", "clv": None}]
        salesforce.clear(iter([rows]), settings, login, [].append)
        assert crm.records["a"]["clv"] is None
