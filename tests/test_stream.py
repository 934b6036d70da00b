"""A stream: each purchase counts once, whatever comes twice, late, broken or is killed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from datetime import date
from datetime import time as clock_time
from decimal import Decimal
from functools import partial
from itertools import count
from threading import Thread

import pytest
import report_case
import stream_case as case

pytest.importorskip("confluent_kafka")

from bayesseg.cli.flags import ScoreFlags
from bayesseg.cli.shell import Shell
from bayesseg.cli.steps import streaming
from bayesseg.cli.steps.streaming import job_of
from bayesseg.errors import DestinationFailed, GateFailed, InputRejected, Locked, UsageError
from bayesseg.features import Feature, FeatureState
from bayesseg.ingest import read_purchases
from bayesseg.spans import days
from bayesseg.spec import CovariatesSpec
from bayesseg.stream import history
from bayesseg.stream.broker import Where, heed, pause, reading, settings
from bayesseg.stream.event import REASONS, Rules, read
from bayesseg.stream.fold import Message, fold, offsets
from bayesseg.stream.follow import _day, follow, sweep_now
from bayesseg.stream.store import opened, transaction
from bayesseg.stream.sweep import sweep

PATIENCE = 60.0
LAST_MINUTE = clock_time(23, 59, 59)
FLOOR, LATEST = date.min, date(1998, 7, 1)


@pytest.fixture(scope="module")
def posterior(cdnow_sample):
    return report_case.posterior(report_case.customers(cdnow_sample))


@pytest.fixture(scope="module")
def kafka():
    return case.cluster()


@pytest.fixture(scope="module")
def log(cdnow_orders):
    return case.lines(cdnow_orders, 120)


@pytest.fixture(params=["duckdb", "postgres"])
def store(request, tmp_path):
    """A new store: its address and schema."""
    if request.param == "duckdb":
        return str(tmp_path / "store.duckdb"), "bayesseg_stream"
    pytest.importorskip("adbc_driver_postgresql.dbapi")
    return request.getfixturevalue("postgres"), f"s{random.getrandbits(40):x}"


@pytest.fixture
def file(tmp_path):
    """A new store, quickly made."""
    return str(tmp_path / "store.duckdb"), "bayesseg_stream"


@pytest.fixture
def topic(request):
    return f"t{abs(hash(request.node.name)):x}"


@pytest.mark.parametrize(
    ("reason", "content"),
    [(reason, content) for (reason, _), content in zip(case.BAD, case.bad(), strict=True)],
)
def test_what_is_no_purchase_has_its_reason(reason, content):
    assert read(content, Rules(), FLOOR, LATEST) == reason


def test_every_reason_is_explained():
    later = {"event_changed", "too_late", "refund_dropped", "refund_refused"}
    assert {reason for reason, _ in case.BAD} | later == set(REASONS)


@pytest.mark.parametrize(
    ("changes", "rules", "expected"),
    [
        ({}, Rules(), ("e", "c", date(1998, 2, 1), Decimal("9.99"))),
        ({"amount": 2.00005}, Rules(), ("e", "c", date(1998, 2, 1), Decimal("2.0001"))),
        (
            {"event_id": 7, "customer_id": 42},
            Rules(),
            ("7", "42", date(1998, 2, 1), Decimal("9.99")),
        ),
        (
            {"date": "1998-02-01T23:30:00Z"},
            Rules(zone="Europe/Paris"),
            ("e", "c", date(1998, 2, 2), Decimal("9.99")),
        ),
        (
            {"date": "1998-02-01T23:30:00"},
            Rules(zone="Europe/Paris"),
            ("e", "c", date(1998, 2, 1), Decimal("9.99")),
        ),
        (
            {"customer_id": " c "},
            Rules(id_trim=True),
            ("e", "c", date(1998, 2, 1), Decimal("9.99")),
        ),
        (
            {"customer_id": "guest"},
            Rules(keep_id=frozenset({"guest"})),
            ("e", "guest", date(1998, 2, 1), Decimal("9.99")),
        ),
        ({"amount": -1}, Rules(refunds="drop"), "refund_dropped"),
        ({"amount": -1}, Rules(refunds="refuse"), "refund_refused"),
    ],
)
def test_messages_are_read_as_lines_of_a_log(changes, rules, expected):
    found = read(case.message(**changes), rules, FLOOR, LATEST)
    assert (found if isinstance(expected, str) else tuple(found)) == expected


def test_an_event_before_those_remembered_is_too_late():
    assert read(case.message(), Rules(), date(1998, 2, 2), LATEST) == "too_late"


def test_the_table_is_that_of_a_batch(posterior, kafka, log, store, topic):
    producer, address = kafka
    sent = [*case.messages(log), *case.bad()]
    case.send(producer, topic, sent)
    job = case.job(posterior, store, batch=150)
    done = case.once(job, address, topic).document()
    assert case.held(job) == case.batch(posterior, log)
    assert done["dead"] == Counter(reason for reason, _ in case.BAD)
    assert (done["messages"], done["used"]) == (len(sent), len(log))
    dead = case.held(job, "dead", '"partition", "offset"')
    assert Counter(dead["reason"]) == done["dead"]
    assert Counter(dead["payload"]) == Counter(case.bad())
    assert case.once(job, address, topic).document()["messages"] == 0


def test_a_new_day_moves_everybody(posterior, kafka, log, store, topic):
    producer, address = kafka
    case.send(producer, topic, case.messages(log))
    job = case.job(posterior, store)
    case.once(job, address, topic)
    tomorrow = replace(job, as_of=case.later(1))
    assert case.once(tomorrow, address, topic).counts["swept"] == 113
    assert case.held(tomorrow) == case.batch(posterior, log, case.later(1))


def test_a_purchase_is_seen_before_the_sweep(posterior, kafka, log, store, topic):
    producer, address = kafka
    job = case.job(posterior, store)
    case.send(producer, topic, case.messages(log))
    case.once(job, address, topic)
    who = log["customer_id"].iloc[0]
    case.send(
        producer,
        topic,
        [case.message(event_id="new", customer_id=who, date="1998-06-30", amount="5")],
    )
    assert case.once(job, address, topic).counts["customers"] == 1
    more = [*log.to_dict("records"), {"customer_id": who, "date": "1998-06-30", "amount": 5.0}]
    frame = type(log)(more).assign(date=lambda t: t["date"].astype(str).str[:10])
    expected, found = case.batch(posterior, frame), case.held(job)
    at = found["customer_id"].index(who)
    assert found["priority_rank"][at] is None
    others = [n for n in expected if n not in ("priority_rank", "p_top_decile")]
    assert {n: found[n][at] for n in others} == {n: expected[n][at] for n in others}
    sweep_now(job, lambda: False, lambda _: None)
    assert case.held(job) == expected


def test_who_gave_everything_back_is_no_customer(posterior, kafka, file, topic):
    producer, address = kafka
    job = case.job(posterior, file)
    case.send(producer, topic, [case.message(), case.message(event_id="f", customer_id="d")])
    case.once(job, address, topic)
    case.send(producer, topic, [case.message(event_id="g", amount="-9.99")])
    case.once(job, address, topic)
    assert case.held(job)["customer_id"] == ["d"]


def test_an_event_that_says_something_else_is_set_aside(posterior, kafka, file, topic):
    producer, address = kafka
    job = case.job(posterior, file)
    case.send(producer, topic, [case.message()])
    case.once(job, address, topic)
    case.send(producer, topic, [case.message(), case.message(amount=1)])
    done = case.once(job, address, topic).document()
    assert (done["repeated"], done["dead"]) == (1, {"event_changed": 1})
    assert case.held(job, "days")["net"] == case.held(job, "days")["lowest"]


def test_a_forgotten_event_does_not_count_twice(posterior, kafka, file, topic):
    producer, address = kafka
    job = case.job(posterior, file, remember=100)
    case.send(producer, topic, [case.message(), case.message(event_id="f", date="1998-06-01")])
    case.once(job, address, topic)
    assert case.held(job, "events", "1")["event_id"] == ["f"]
    case.send(producer, topic, [case.message(), case.message(event_id="f", date="1998-06-01")])
    done = case.once(job, address, topic).document()
    assert (done["repeated"], done["dead"]) == (1, {"too_late": 1})


def test_a_clock_that_ran_ahead_makes_nothing_too_late(posterior, kafka, file, topic):
    producer, address = kafka
    job = case.job(posterior, file, remember=100)
    case.send(producer, topic, [case.message()])
    case.once(job, address, topic)
    sweep_now(replace(job, as_of=date(2020, 1, 1)), lambda: False, nothing)
    case.send(producer, topic, [case.message(event_id="f", date="1998-06-30")])
    assert case.once(job, address, topic).document()["dead"] == {}


def test_a_day_that_is_yet_to_come_is_refused(posterior, file):
    with pytest.raises(UsageError, match="yet to come"):
        sweep_now(case.job(posterior, file, as_of=date(2999, 1, 1)), lambda: False, nothing)


def test_a_window_longer_than_the_calendar_forgets_nothing(posterior, kafka, file, topic):
    producer, address = kafka
    case.send(producer, topic, [case.message()])
    job = case.job(posterior, file, remember=days("9000y"))
    case.once(job, address, topic)
    assert case.held(job, "events", "1")["event_id"] == ["e"]


def test_a_stream_goes_on_from_a_history(posterior, kafka, log, file, topic):
    producer, address = kafka
    job = case.job(posterior, file)
    past = log[log["date"] < "1998-01-01"]
    with opened(*file) as place, read_purchases(past[["customer_id", "date", "amount"]]) as read_:
        history.load(place, read_)
        with pytest.raises(UsageError, match="purchase days"):
            history.load(place, read_)
    case.send(producer, topic, case.messages(log))
    done = case.once(job, address, topic).document()
    assert done["used"] + done["repeated"] > len(log) - len(past) > 0
    assert list(done["dead"]) == ["too_late"]
    assert case.held(job) == case.batch(posterior, log)


def test_a_sweep_that_is_broken_off_goes_on(posterior, kafka, log, file, topic):
    producer, address = kafka
    case.send(producer, topic, case.messages(log))
    job = case.job(posterior, file)
    case.once(job, address, topic)
    tomorrow = replace(job, as_of=case.later(1))
    with opened(*file) as place:
        day = _day(place, tomorrow)
        first = next(sweep(place, day.kernel, day.key, None, size=50))
    days = Counter(case.held(tomorrow)["as_of"])
    assert days == {case.AS_OF: 113 - first, case.later(1): first}
    assert sweep_now(tomorrow, lambda: False, lambda _: None).counts["swept"] == 113 - first
    assert case.held(tomorrow) == case.batch(posterior, log, case.later(1))


def begun(job, size=50, steps=1):
    """Begin a sweep and break it off after so many steps."""
    with opened(job.store, job.schema) as place:
        day = _day(place, job, again=True)
        for _, _ in zip(range(steps), sweep(place, day.kernel, day.key, None, size), strict=False):
            pass


def test_a_sweep_of_another_day_in_between_is_made_good(posterior, kafka, log, file, topic):
    producer, address = kafka
    case.send(producer, topic, case.messages(log))
    job = case.job(posterior, file)
    case.once(job, address, topic)
    whole = case.held(job)
    begun(replace(job, as_of=case.later(30)))
    assert case.held(job) != whole
    assert case.once(job, address, topic).counts["swept"] == 113
    assert case.held(job) == whole


def test_a_row_of_other_settings_in_between_is_made_good(posterior, kafka, log, file, topic):
    producer, address = kafka
    case.send(producer, topic, case.messages(log))
    job = case.job(posterior, file)
    case.once(job, address, topic)
    other = replace(job, settings=replace(job.settings, margin=0.3), sweep_at=LAST_MINUTE)
    more = {"customer_id": log["customer_id"].iloc[0], "date": "1998-06-01", "amount": 0.5}
    case.send(producer, topic, [case.message(event_id="new", **more)])
    case.once(other, address, topic)
    case.once(job, address, topic)
    frame = type(log)([*log.to_dict("records"), more])
    frame = frame.assign(date=lambda t: t["date"].astype(str).str[:10])
    assert case.held(job) == case.batch(posterior, frame)


def test_a_row_of_another_day_is_swept_again_by_a_sweep_that_goes_on(posterior, log, file):
    job = case.job(posterior, file)
    with opened(*file) as place, read_purchases(log[["customer_id", "date", "amount"]]) as read_:
        history.load(place, read_)
    begun(job, steps=2)
    other = replace(job, as_of=case.later(1))
    with opened(*file) as place:
        day = _day(place, other)
        who = log["customer_id"].min()
        late = read(case.message(customer_id=who, date="1998-07-01"), Rules(), FLOOR, LATEST)
        fold(place, "t", [Message(0, 0, b"", late)], {0: 1}, day.kernel, day.key)
    sweep_now(job, lambda: False, nothing)
    assert set(case.held(job)["as_of"]) == {case.AS_OF}


def test_a_sweep_has_one_sample(posterior, kafka, log, file, topic):
    producer, address = kafka
    late = sorted(log["customer_id"].unique())[60]
    case.send(producer, topic, case.messages(log[log["customer_id"] < late]))
    job = replace(case.job(posterior, file), sweep_at=LAST_MINUTE)
    case.once(job, address, topic)
    begun(job, size=30)
    with opened(*file) as place:
        first = _day(place, job).kernel.top
    case.send(producer, topic, case.messages(log[log["customer_id"] >= late]))
    case.once(job, address, topic)
    with opened(*file) as place:
        assert _day(place, job, again=True).kernel.top.tolist() == first.tolist()
    sweep_now(job, lambda: False, nothing)
    with opened(*file) as place:
        assert _day(place, job).kernel.top.tolist() == first.tolist()
        assert _day(place, job, again=True).kernel.top.tolist() != first.tolist()


class Broken(Exception):
    """What a store raises that fails."""


def failing(place, at):
    """The same store, of which one statement fails: the ``at``-th."""
    calls = count(1)

    def ask(do, *words):
        if next(calls) == at:
            raise Broken
        return do(*words)

    return replace(place, **{n: partial(ask, getattr(place, n)) for n in ("ask", "arrow", "bring")})


def test_a_batch_that_breaks_at_any_statement_changes_nothing(posterior, log, store):
    job = case.job(posterior, store)
    made = [
        Message(0, n, one, read(one, Rules(), FLOOR, LATEST))
        for n, one in enumerate([*case.messages(log.iloc[:60]), *case.bad()])
    ]

    def tables(place):
        found = [
            place.arrow(f"SELECT * FROM {place.table(name)} ORDER BY {by}").to_pylist()
            for name, by in (("events", "1"), ("days", "1, 2"), ("scores", "1"), ("dead", "2, 3"))
        ]
        return [*found, offsets(place, "t")]

    with opened(*store) as place:
        day = _day(place, job)
        fold(place, "t", made[:30], {0: 30}, day.kernel, day.key)
        before, at, broken = tables(place), 0, True
        while broken:
            at += 1
            try:
                after = {0: len(made)}
                fold(failing(place, at), "t", made[30:], after, day.kernel, day.key)
                broken = False
            except Broken:
                pass
            assert (tables(place) == before) is broken
    assert at > 10


def test_two_streams_do_not_share_a_server(postgres, monkeypatch):
    pytest.importorskip("adbc_driver_postgresql.dbapi")
    monkeypatch.setattr("bayesseg.stream.store._TRIES", 1)
    with opened(postgres, "alone"):
        with pytest.raises(Locked, match="another stream"), opened(postgres, "alone"):
            pass
        with opened(postgres, "another"):
            pass
    with opened(postgres, "alone"):
        pass


def test_a_lock_of_our_lost_session_is_waited_for(
    posterior, kafka, log, postgres, topic, monkeypatch
):
    dbapi = pytest.importorskip("adbc_driver_postgresql.dbapi")
    monkeypatch.setattr("bayesseg.stream.store._TRIES", 1)
    producer, address = kafka
    case.send(producer, topic, case.messages(log))
    schema, said, held = f"held{os.getpid()}", [], []
    job = case.job(posterior, (postgres, schema), batch=100)
    key = f"hashtextextended('bayesseg stream {schema}', 0)"

    def stopped():
        if said and not held:
            held.append(dbapi.connect(postgres, autocommit=True))
            with held[0].cursor() as ask:
                ask.execute(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                    "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
                )
                ask.fetchall()
                ask.execute(f"SELECT pg_advisory_lock({key})")
                ask.fetchall()
        elif any("another stream" in one for one in said) and len(held) == 1:
            held[0].close()
            held.append(None)
        return False

    follow(job, Where(address, topic), stopped, said.append, once=True)
    assert sum("another stream" in one for one in said) > 0
    assert case.held(job) == case.batch(posterior, log)


def test_a_server_of_another_encoding_is_refused(postgres):
    pytest.importorskip("adbc_driver_postgresql.dbapi")
    from push_case import server

    with server(postgres) as ask:
        ask("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with (
        pytest.raises(UsageError, match="LATIN1"),
        opened(f"{postgres.rpartition('/')[0]}/latin", "s"),
    ):
        pass


@pytest.mark.parametrize("schema", ["", "x" * 64, "é" * 32, "a\nb"])
def test_a_schema_needs_a_name_that_both_stores_take(tmp_path, schema):
    with pytest.raises(UsageError, match="--schema"), opened(str(tmp_path / "s.duckdb"), schema):
        pass


@pytest.mark.parametrize(
    "name", ["store.2026.duckdb", "main.duckdb", "temp.duckdb", "system.duckdb", "s", "it's.db"]
)
def test_a_file_may_have_any_name(tmp_path, name):
    for n in range(2):
        with opened(str(tmp_path / name), "s") as place, transaction(place):
            rows = place.table("days")
            assert place.ask(f"SELECT count(*) FROM {rows}") == [(n,)]
            place.ask(f"INSERT INTO {rows} VALUES ('c{n}', DATE '1998-01-01', 1, 1, 1, 1)")


def test_two_streams_do_not_share_a_file(tmp_path):
    path = str(tmp_path / "store.duckdb")
    code = (
        "import sys\nfrom bayesseg.errors import Locked\nfrom bayesseg.stream import store\n"
        "store._TRIES = 1\n"
        "try:\n    store.opened(sys.argv[1], 's').__enter__()\n"
        "except Locked:\n    sys.exit(8)\n"
    )
    with opened(path, "s"):
        assert subprocess.run([sys.executable, "-c", code, path]).returncode == 8
    assert subprocess.run([sys.executable, "-c", code, path]).returncode == 0


def test_a_session_that_the_server_ends_is_opened_again(posterior, kafka, log, postgres, topic):
    pytest.importorskip("adbc_driver_postgresql.dbapi")
    from push_case import server

    producer, address = kafka
    case.send(producer, topic, case.messages(log))
    job, said = case.job(posterior, (postgres, f"ended{os.getpid()}"), batch=100), []
    ended = Counter()

    def stopped():
        if len(said) % 2 and ended["sessions"] < 2:
            with server(postgres) as ask:
                ended["sessions"] += ask(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                    "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
                )[0][0]
        return False

    follow(job, Where(address, topic), stopped, said.append, once=True)
    assert ended["sessions"] == 2
    assert sum("connection" in one for one in said) == 2
    assert case.held(job) == case.batch(posterior, log)


def test_a_topic_that_is_not_there_is_said(posterior, kafka, tmp_path):
    with pytest.raises(UsageError, match="no topic"):
        case.once(case.job(posterior, (str(tmp_path / "s.duckdb"), "s")), kafka[1], "nothing")


def test_brokers_that_are_away_are_waited_for_and_then_given_up(posterior, tmp_path):
    said = []
    where = Where("127.0.0.1:1", "t", patience=1.0)
    job = case.job(posterior, (str(tmp_path / "s.duckdb"), "s"))
    with pytest.raises(DestinationFailed, match="no broker answered"):
        follow(job, where, lambda: False, said.append)
    assert "no broker answers: waiting for one" in said


def test_messages_that_the_broker_deleted_are_missed(posterior, kafka, tmp_path, topic):
    producer, address = kafka
    case.send(producer, topic, [case.message()])
    job = case.job(posterior, (str(tmp_path / "s.duckdb"), "s"))
    case.once(job, address, topic)
    with opened(job.store, job.schema) as store:
        store.ask(f"UPDATE {store.table('offsets')} SET next = 1000")
        store.end(True)
    with pytest.raises(DestinationFailed, match="no longer has"):
        case.once(job, address, topic)


def test_messages_deleted_from_a_partition_that_was_empty_are_missed(posterior, kafka, file, topic):
    producer, address = kafka
    producer.produce(topic, case.message(), partition=0)
    producer.flush(10)
    job = case.job(posterior, file)
    case.once(job, address, topic)
    for _ in range(8):
        producer.produce(topic, os.urandom(900_000), partition=1)
        producer.flush(10)
    with pytest.raises(DestinationFailed, match="no longer has"):
        case.once(job, address, topic)


def test_a_new_partition_that_lost_its_beginning_is_missed(posterior, kafka, file, topic):
    producer, address = kafka
    producer.produce(topic, case.message(), partition=0)
    producer.flush(10)
    job = case.job(posterior, file)
    case.once(job, address, topic)
    with opened(*file) as store, transaction(store):
        store.ask(f'DELETE FROM {store.table("offsets")} WHERE "partition" = 1')
    for _ in range(8):
        producer.produce(topic, os.urandom(900_000), partition=1)
        producer.flush(10)
    with pytest.raises(DestinationFailed, match="partition 1, which came since") as refused:
        case.once(job, address, topic)
    assert refused.value.code == "messages_lost"


def test_a_topic_that_lost_its_beginning_is_said(posterior, kafka, file, topic):
    producer, address = kafka
    for _ in range(8):  # the mock keeps 5 MB of a partition
        producer.produce(topic, os.urandom(900_000), partition=0)
        producer.flush(10)
    said = []
    done = follow(
        case.job(posterior, file), Where(address, topic), lambda: False, said.append, once=True
    )
    assert 0 < done.counts["messages"] < 8
    assert any("begins at message" in one for one in said)


@pytest.mark.parametrize("name", ["TOPIC_AUTHORIZATION_FAILED", "_AUTHENTICATION"])
def test_a_broker_that_refuses_ends_the_stream(kafka, topic, name):
    from confluent_kafka import KafkaError

    case.send(kafka[0], topic, [b""])
    with (
        reading(Where(kafka[1], topic), {}, lambda: False, nothing, nothing) as reader,
        pytest.raises(DestinationFailed, match="does not let us in"),
    ):
        heed(reader, KafkaError(getattr(KafkaError, name)))


def test_a_day_before_that_of_the_fit_is_refused(posterior, kafka, tmp_path, topic):
    with pytest.raises(InputRejected, match="fitted on data to"):
        case.once(
            case.job(posterior, (str(tmp_path / "s.duckdb"), "s"), as_of=date(1998, 1, 1)),
            kafka[1],
            topic,
        )


@pytest.mark.parametrize(
    "line",
    [
        "sasl.kerberos.kinit.cmd=x",
        "plugin.library.paths=x",
        "ssl.engine.location=x",
        "ssl.providers=x",
        "enable.auto.commit=true",
        "group.id=x",
        "no equals",
    ],
)
def test_settings_that_run_code_or_are_ours_are_refused(tmp_path, line):
    path = tmp_path / "kafka.properties"
    path.write_text(f"# access\nsecurity.protocol=SASL_SSL\n{line}\n")
    with pytest.raises(UsageError, match="line 3"):
        settings(path)


def test_secrets_come_from_the_environment(tmp_path):
    path = tmp_path / "kafka.properties"
    path.write_text("sasl.username=shop\nsasl.password=env:KAFKA_PASSWORD\n")
    found = settings(path, {"KAFKA_PASSWORD": "hush"})
    assert found == {"sasl.username": "shop", "sasl.password": "hush"}
    assert "hush" not in repr(Where("b", "t", found))


def test_a_run_that_failed_its_gates_is_not_streamed(posterior, tmp_path):
    run = report_case.saved(report_case.failed(posterior), tmp_path / "run")
    with pytest.raises(GateFailed, match="spend"):
        job_of(asked(run, tmp_path), Shell())
    forced = replace(asked(run, tmp_path), force=True, reason="a test")
    assert job_of(forced, Shell()).released == {"spend": "a test"}


def test_a_run_of_orders_is_not_streamed(posterior, tmp_path):
    told = posterior.manifest["accounting"] | {"columns": {"order_id": {"value": "order"}}}
    run = report_case.saved(posterior, tmp_path / "run")
    job_of(asked(run, tmp_path), Shell())
    manifest = posterior.manifest | {"accounting": told}
    with pytest.raises(UsageError, match="--order-id"):
        streaming.rules(replace(posterior, manifest=manifest), asked(run, tmp_path), Shell())


@pytest.mark.parametrize(
    ("policies", "tz", "zone"),
    [
        ({"day": "Europe/Paris"}, None, "Europe/Paris"),
        ({"day": "as written"}, None, None),
        ({"day": "as written"}, "Asia/Tokyo", "Asia/Tokyo"),
        ({"day": "Asia/Tokyo", "given": {"tz": "Asia/Tokyo"}}, None, "Asia/Tokyo"),
    ],
)
def test_the_zone_is_that_of_the_fit(posterior, tmp_path, policies, tz, zone):
    told = posterior.manifest["accounting"] | {"policies": policies}
    fitted = replace(posterior, manifest=posterior.manifest | {"accounting": told})
    found = streaming.rules(fitted, replace(asked(tmp_path, tmp_path), tz=tz), Shell())
    assert found.zone == zone


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tz": "Europe/Pariss"}, "did you mean Europe/Paris"),
        ({"sweep_at": "03:30+02:00"}, "no time of day"),
        ({"store": "env:ODD_STORE"}, "env:ODD_STORE holds no address"),
    ],
)
def test_a_flag_that_makes_no_sense_is_refused(posterior, tmp_path, monkeypatch, change, words):
    monkeypatch.setenv("ODD_STORE", "postgresq://shop:hush@host/shop")
    run = report_case.saved(posterior, tmp_path / "run")
    with pytest.raises(UsageError, match=words) as refused:
        job_of(replace(asked(run, tmp_path), **change), Shell())
    assert "hush" not in str(refused.value)


def test_columns_that_no_message_has_are_said_or_refused(posterior, tmp_path, capsys):
    names = ("tenure_days", "age")
    state = FeatureState(tuple(Feature(one, "number", "identity", 0.0, 1.0) for one in names))
    part = report_case.posterior(report_case.clients(), "segments").spec.parts["segments"]

    def of(parts):
        spec = replace(posterior.spec, parts=posterior.spec.parts | parts)
        return replace(posterior, spec=spec, features=state)

    streaming.rules(of({"segments": part}), asked(tmp_path, tmp_path), Shell())
    assert "nothing of age" in capsys.readouterr().err
    strict = replace(part, options=part.options | {"missing": "reject"})
    with pytest.raises(InputRejected, match="no value of 'age'"):
        streaming.rules(of({"segments": strict}), asked(tmp_path, tmp_path), Shell())
    purchase = posterior.spec.parts["purchase"]
    ages = CovariatesSpec(rate=("age",), dropout=(), effect=purchase.priors["r"])
    linked = of({"purchase": replace(purchase, covariates=ages)})
    with pytest.raises(UsageError, match="reads age"):
        streaming.rules(linked, asked(tmp_path, tmp_path), Shell())


def test_a_pause_ends_when_we_are_told_to_end():
    began, calls = time.monotonic(), count()
    pause(60.0, lambda: next(calls) > 1)
    assert time.monotonic() - began < 5


def nothing(_):
    """Hear it and do nothing."""


def asked(run, folder):
    """What a call without further flags asks of a stream."""
    members = streaming.Members("event_id", "customer_id", "date", "amount")
    where = (run, str(folder / "store.duckdb"), "s")
    day = (None, case.AS_OF, "00:00", None, 100, 600.0)
    return streaming.Asked(*where, ScoreFlags(), members, (), *day, None, False, False, None)


def test_a_stream_that_is_told_to_end_ends_well(posterior, kafka, log, tmp_path, topic):
    producer, address = kafka
    run, sent = report_case.saved(posterior, tmp_path / "run"), case.messages(log)
    case.send(producer, topic, sent)
    words = (
        run,
        "--brokers",
        address,
        "--topic",
        topic,
        "--store",
        tmp_path / "s.duckdb",
        "--json",
    )
    more = ("--as-of", str(case.AS_OF), "--draws", "100", "--batch", "50")
    with subprocess.Popen(
        [sys.executable, "-m", "bayesseg", "stream", *map(str, words), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stderr:
            if "reading" in line:
                break
        process.send_signal(signal.SIGTERM)
        document = json.loads(process.communicate(timeout=PATIENCE)[0])
    assert process.returncode == document["exit_code"] == 0
    job = case.job(posterior, (str(tmp_path / "s.duckdb"), "bayesseg_stream"))
    rest = case.once(job, address, topic).document()
    assert document["messages"] + rest["messages"] == len(sent)
    assert case.held(job) == case.batch(posterior, log)


def child(job, address, topic):
    """Read to the end in a process of its own; its id."""
    process = os.fork()
    if process:
        return process
    code = 70
    try:
        case.once(job, address, topic)
        code = 0
    except BaseException as error:
        print(type(error), error, flush=True)
    finally:
        os._exit(code)


def over(process, seconds):
    """Wait so long, or until a child is over; it stays to be asked how."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT | os.WNOHANG):
            return True
        time.sleep(0.001)
    return False


def read_so_far(job, topic):
    with opened(job.store, job.schema) as store:
        return sum(offsets(store, topic).values())


def soak(job, address, topic, kills, seed):
    """Read a topic by children of which ``kills`` die at random moments of their work.

    The span the moment is drawn from grows where nothing was read before it, and shrinks where a child
    came to its end. Then one reads the rest.
    """
    rng, done, span, before = random.Random(seed), Counter(), 0.3, 0
    while done["killed at work"] < kills:
        process = child(job, address, topic)
        ended = over(process, rng.uniform(0, span))
        os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        if ended and os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
            assert os.waitstatus_to_exitcode(status) == 0
            done["ended"] += 1
            break
        now = read_so_far(job, topic)
        done["killed at work" if now > before else "killed too early"] += 1
        span *= 0.9 if now > before else 1.3
        before = now
    process = child(job, address, topic)
    assert over(process, PATIENCE)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
    return done


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_stream_that_is_killed_counts_everything_once(posterior, kafka, log, store, topic):
    producer, address = kafka
    case.send(producer, topic, [*case.messages(log, again=0.5), *case.bad()])
    job = case.job(posterior, store, batch=15)
    done = soak(job, address, topic, kills=3, seed=7)
    assert done["killed at work"] > 1
    sweep_now(job, lambda: False, lambda _: None)
    assert case.held(job) == case.batch(posterior, log)
    assert Counter(case.held(job, "dead", "1")["reason"]) == Counter(one for one, _ in case.BAD)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_200_000_events_with_kills_make_the_table_of_a_batch(
    posterior, kafka, cdnow_master, store, topic
):
    producer, address = kafka
    log = case.many(cdnow_master, 200_000)
    sent = case.delayed(log)
    case.send(producer, topic, sent)
    job = case.job(posterior, store)
    began = time.perf_counter()
    done = soak(job, address, topic, kills=25, seed=11)
    seconds = time.perf_counter() - began
    sweep_now(job, lambda: False, lambda _: None)
    print(f"{len(sent):,} messages, {len(sent) - len(log):,} twice; {dict(done)}; {seconds:.0f} s")
    assert done["killed at work"] > 10
    assert len(case.held(job, "events", "1")["event_id"]) == len(log)
    assert case.held(job) == case.batch(posterior, log)


@pytest.mark.slow
def test_how_many_events_a_second_and_how_late(posterior, kafka, cdnow_master, store, topic):
    producer, address = kafka
    log = case.many(cdnow_master, 60_000)
    sent = case.delayed(log)
    case.send(producer, topic, sent[:50_000])
    job = case.job(posterior, store)
    done = case.once(job, address, topic).document()
    print(f"{store[0].partition(':')[0]}: {done['per_second']:,.0f} messages a second")
    paced = Thread(target=case.pace, args=(producer, topic, sent[50_000:60_000], 500.0))
    paced.start()
    where = Where(address, topic)
    ended = lambda: not paced.is_alive()  # noqa: E731
    done = follow(job, where, ended, lambda _: None).document()
    print(f"at 500 a second: p50 {done['latency_p50']} s, p99 {done['latency_p99']} s")
    assert done["messages"] > 9_000
    assert done["latency_p99"] < 30
