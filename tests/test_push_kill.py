"""Pushes that die at random moments leave the old rows or the new ones, never a mix."""

import os
import random
import signal
import time
from collections import Counter

import pytest
from push_case import held, scores, server

pytest.importorskip("adbc_driver_postgresql.dbapi")

from bayesseg.errors import BayessegError
from bayesseg.push.postgres import Order, push

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),  # a hung child is seen
]
PATIENCE = 60.0

OTHERS = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
    "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
)


def pushed(dsn, day, table):
    """Push one day, in which some customers come and others go."""
    ids = [f"c{i:05d}" for i in range(day % 7, 60 + day % 5)]
    return push(Order(*scores(day, ids=ids)), dsn, table, lambda _: None)


def child(dsn, day, table):
    """The same in a process of its own; its id."""
    process = os.fork()
    if process:
        return process
    code = 70
    try:
        pushed(dsn, day, table)
        code = 0
    except BayessegError as error:
        print(error, flush=True)
    finally:
        os._exit(code)


def ended(process):
    """Exit code of a child, negative where a signal ended it; one that hangs in the fork is killed."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return None


def settled(ask, schema):
    """Wait until the session of a dead client is over: it holds the lock until then."""
    ask("SELECT pg_advisory_lock(hashtextextended($1::text, 0))", f"bayesseg {schema}")
    ask("SELECT pg_advisory_unlock_all()")


def over(process, seconds):
    """Wait so long, or until a child is over; it stays to be asked how."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT | os.WNOHANG):
            return
        time.sleep(0.001)


def soak(dsn, kills, seed, patience=None):
    """Push day after day, ``kills`` of the calls killed; what happened and what was violated.

    A twin table gets every day undisturbed: what stands in the other must be what stands in the twin,
    or what stood there the day before. The moment of the kill is drawn from a span that grows where
    it came too early and shrinks where it came too late, so that both happen on machines of any
    speed; with ``patience`` it comes after so many seconds.
    """
    rng, done, wrong = random.Random(seed), Counter(), []
    table, twin = f"kill{seed}.scores", f"twin{seed}.scores"
    for one in (table, twin):
        pushed(dsn, 0, one)
    span, day = 0.2, 0
    with server(dsn) as ask:
        while done["kills"] + done["sessions ended"] < kills:
            day += 1
            pushed(dsn, day, twin)
            old, new = held(ask, table), held(ask, twin)
            assert old != new
            for _ in range(rng.randint(1, 3)):
                process = child(dsn, day, table)
                over(process, patience or rng.uniform(0, span))
                if rng.random() < 0.75:
                    os.kill(process, signal.SIGKILL)
                    killed = ended(process) == -signal.SIGKILL
                    done["kills" if killed else "came too late"] += 1
                else:
                    met = ask(OTHERS)[0][0]
                    done["sessions ended" if met else "came too late"] += 1
                    code = ended(process)
                    done["hung"] += code is None
                    if code not in (0, None):
                        wrong.append(f"day {day}: a push whose session was ended ends {code}")
                settled(ask, table.partition(".")[0])
                stands = held(ask, table)
                done["new" if stands == new else "old"] += 1
                span *= 0.8 if stands == new else 1.25
                if stands not in (old, new):
                    wrong.append(f"day {day}: neither old nor new")
                last = ask(
                    f"SELECT as_of - date '2026-01-01' FROM kill{seed}.bayesseg_runs "
                    "ORDER BY run_seq DESC LIMIT 1"
                )
                if last != [(day if stands == new else day - 1,)]:
                    wrong.append(f"day {day}: the ledger says {last}")
            pushed(dsn, day, table)
            if held(ask, table) != new:
                wrong.append(f"day {day}: the next push does not end in the new rows")
    return done, wrong


@pytest.mark.parametrize(("kills", "seed"), [(12, 1), pytest.param(200, 2, marks=pytest.mark.slow)])
def test_a_killed_push_leaves_old_or_new(postgres, kills, seed):
    done, wrong = soak(postgres, kills, seed)
    print(dict(done))
    assert wrong == []
    assert done["old"] > 0
    assert done["new"] > 0


def test_the_soak_sees_a_push_that_commits_halfway(postgres, monkeypatch):
    """Or it would prove nothing."""
    from bayesseg.push import staging

    write, here = staging.write, os.getpid()

    def careless(cursor, at, model, now, plan):
        cursor.execute(f"UPDATE {at.sql} SET clv = clv + 1")
        cursor.execute("COMMIT")
        cursor.execute("BEGIN")
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        write(cursor, at, model, now, plan)

    monkeypatch.setattr(staging, "write", careless)
    _, wrong = soak(postgres, 2, 3, patience=PATIENCE)
    assert any("neither old nor new" in one for one in wrong)
