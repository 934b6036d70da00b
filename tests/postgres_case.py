"""A real PostgreSQL server for the tests: its own data, its own port, gone afterwards."""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest

ABSENT = "PostgreSQL (initdb and pg_ctl) is not installed: nothing is asked of a real server"


def _programs():
    """The folder of the newest ``initdb`` beside a ``pg_ctl``, or None."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: float(p.parts[-3])
    )
    on_path = shutil.which("initdb")
    folders = [p.parent for p in reversed(found)]
    folders += [Path(on_path).parent] if on_path else []
    return next((f for f in folders if (f / "pg_ctl").exists()), None)


def _unprivileged():
    """How to run as somebody the server accepts: as ourselves, or as another where we are root."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = names.get("postgres") or names["nobody"]
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def postgres():
    """The DSN of an empty database of a server on the loopback address, with a password."""
    programs = _programs()
    if programs is None:
        pytest.skip(ABSENT)
    who = _unprivileged()
    home = Path(tempfile.mkdtemp(prefix="bayesseg-postgres-"))
    password = secrets.token_hex(8)
    secret, data = home / "password", home / "data"
    secret.write_text(password)
    for path in (home, secret):
        os.chown(path, who.get("user", -1), who.get("group", -1))

    def run(program, *words):
        done = subprocess.run(
            [programs / program, "-D", data, *words],
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # the server inherits it: a pipe would never end
            stderr=subprocess.DEVNULL,
            **who,
        )
        log = home / "log"
        assert done.returncode == 0, log.read_text() if log.exists() else program

    try:
        words = ("-U", "shop", "-A", "scram-sha-256", "--pwfile", secret, "-E", "UTF8", "-N")
        run("initdb", *words, "--locale=C")
        port = _free_port()
        options = f"-p {port} -h 127.0.0.1 -k {home} -F -c shared_buffers=32MB -c TimeZone=UTC"
        run("pg_ctl", "-l", home / "log", "-w", "-o", options, "start")
        try:
            yield f"postgresql://shop:{password}@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def fill(dsn, table, frame, schema="public"):
    """Write ``frame`` as a table of the server."""
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(dsn, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        rows = pa.Table.from_pandas(frame, preserve_index=False)
        cursor.adbc_ingest(table, rows, mode="replace", db_schema_name=schema)
