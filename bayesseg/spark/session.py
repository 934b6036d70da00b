"""A session of Spark: started, read from, set for a while, and its errors in our words. L10."""

from __future__ import annotations

import os
import re
import shutil
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bayesseg import errors
from bayesseg.errors import BayessegError, InputRejected, ResourcesMissing, UsageError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_TEXTS = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_LONGEST = 400
_JAVA = "it needs Java 17 (JAVA_HOME) and a master such as --master local[2]"
_OF_DATA = re.compile(r"SQLSTATE: 22|\[(MALFORMED_|CAST_INVALID_INPUT|ARITHMETIC_OVERFLOW)")
"""What Spark says of data that no second try makes better."""
_OWN = re.compile(r"bayesseg\.errors\.(InputRejected|UsageError): (.*)(?:\n\s+fix: (.*))?")
_LOST = ("float", "double", "boolean")
_IDS = ("string", "varchar", "char", "byte", "short", "integer", "long")


def start(master: str | None = None) -> SparkSession:
    """The running session, else a new one under ``master`` (by default what Spark is set up for).

    Python workers on this machine are those of this very interpreter, unless ``PYSPARK_PYTHON`` says
    otherwise: it must have bayesseg.

    Raises:
        ResourcesMissing: no PySpark, no Java, or no master at that address.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise ResourcesMissing(
            "Spark needs PySpark, which is not installed", fix="pip install 'bayesseg[spark]'"
        ) from error
    # a session that runs, or spark-submit, has its Java; without any PySpark would wait for a minute
    there = SparkSession.getActiveSession() is not None or "PYSPARK_GATEWAY_PORT" in os.environ
    if not (there or os.environ.get("JAVA_HOME") or shutil.which("java")):
        raise ResourcesMissing("Spark does not start: there is no Java", fix=_JAVA)
    # nothing here goes through pandas on its way in or out of Spark
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
    if master is None or master.startswith("local"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("bayesseg").config("spark.ui.showConsoleProgress", False)
    try:
        session = (builder if master is None else builder.master(master)).getOrCreate()
    except Exception as error:
        raise ResourcesMissing(
            f"Spark does not start: {_first(error)}",
            fix=_JAVA,
        ) from error
    session.sparkContext.setLogLevel("ERROR")
    return session


def rows(
    session: SparkSession, source: str, *, delimiter: str | None = None, encoding: str | None = None
) -> DataFrame:
    """What is at ``source``: delimited text, Parquet (a file, folder or glob, any URI) or a table.

    Of text every column is text, so that ids stay as they are written; the names are its first line.

    Raises:
        UsageError: nothing is there.
        InputRejected: it is no such file.
    """
    with told(source):
        if source.lower().endswith(_TEXTS):
            mark = delimiter or ("\t" if ".tsv" in source.lower() else ",")
            return session.read.csv(
                source, header=True, sep=mark, encoding=encoding, escape='"', mode="FAILFAST"
            )
        if "/" in source or source.lower().endswith(".parquet") or Path(source).exists():
            return session.read.parquet(source)
        return session.table(source)


def session_of(frame: DataFrame) -> SparkSession:
    """The session behind ``frame``; one of Spark Connect is refused, for its settings come too late."""
    session = frame.sparkSession
    if type(frame).__module__.startswith("pyspark.sql.connect"):
        raise UsageError(
            "this is a session of Spark Connect, which looks at its settings only when asked",
            fix="use a session in the driver itself: SparkSession.builder.master(...), spark-submit",
        )
    return session


def refuse_unlike_ids(frame: DataFrame, column: str, option: str) -> None:
    """Refuse ids of a type in which they have been lost already, or that are no ids at all."""
    from pyspark.sql.types import DecimalType

    name = column.strip('"').lower()
    for field in frame.schema:
        kind, known = field.dataType.typeName(), field.dataType.simpleString().upper()
        if field.name.lower() != name:
            continue
        if kind in _LOST:
            raise InputRejected(
                f"the ids in {field.name!r} are {known}: what they were has been lost on the way",
                fix=f"read the ids as text, or convert whole numbers by CAST({field.name} AS BIGINT)",
                code="id_type",
            )
        whole = isinstance(field.dataType, DecimalType) and field.dataType.scale == 0
        if kind not in _IDS and not whole:
            raise InputRejected(
                f"column {field.name!r} holds {known}, not ids",
                fix=f"convert it in the source, or choose another column by {option}",
                code="column_type",
            )


@contextmanager
def configured(session: SparkSession, settings: Mapping[str, str]) -> Iterator[None]:
    """``session`` with other ``settings`` inside, and its own again after."""
    before = {name: session.conf.get(name, None) for name in settings}
    try:
        for name, value in settings.items():
            session.conf.set(name, value)
        yield
    finally:
        for name, old in before.items():
            if old is None:
                session.conf.unset(name)
            else:
                session.conf.set(name, old)


@contextmanager
def told(what: str = "the data") -> Iterator[None]:
    """Errors of Spark in our words; those of the data name the place as Spark does."""
    from py4j.protocol import Py4JError
    from pyspark.errors import AnalysisException, PySparkException

    try:
        yield
    except BayessegError:
        raise
    except AnalysisException as error:
        kind = error.getCondition() or ""
        if kind.startswith(("PATH_NOT_FOUND", "TABLE_OR_VIEW_NOT_FOUND")):
            raise UsageError(
                f"{what} does not exist",
                fix="give a Parquet or CSV file, a folder, a glob or a table Spark can see",
            ) from error
        raise InputRejected(
            f"Spark cannot use {what}: {_first(error)}",
            fix="check the names of the columns and the kind of the file",
            code="columns_unknown",
        ) from error
    except (PySparkException, Py4JError) as error:
        if own := _OWN.search(str(error)):  # of our kernel, on a worker
            kind, message, fix = own.groups()
            raise getattr(errors, kind)(message, fix=fix or "") from error
        if _OF_DATA.search(str(error)):
            raise InputRejected(
                f"Spark cannot read {what}: {_first(error)}",
                fix="correct the value where the data are made, or read its column as text",
                code="column_type",
            ) from error
        raise ResourcesMissing(
            f"Spark broke off: {_first(error)}", fix="its log says more; trying again is safe"
        ) from error


def _first(error: Exception) -> str:
    """The line of a long message that says what it is about."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"^[\w.]*(Error|Exception|Rejected)\b", line)]
    return (telling or lines or [type(error).__name__])[-1 if telling else 0][:_LONGEST]
