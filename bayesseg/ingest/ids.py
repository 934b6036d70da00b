"""Ids as text: what two of them have in common, and which stand for nobody."""

from __future__ import annotations

from typing import Any

import duckdb

from bayesseg.ingest.findings import EXAMPLES, finding, many
from bayesseg.ingest.numbers import SPACES, trimmed
from bayesseg.ingest.options import Options
from bayesseg.ingest.session import literal

NOBODY = [
    "-1",
    "guest",
    "guests",
    "anonymous",
    "anonyme",
    "anon",
    "unknown",
    "inconnu",
    "inconnue",
    "undefined",
    "client_divers",
    "clientdivers",
    "divers",
    "passage",
    "comptoir",
    "invité",
    "invite",
    "walk-in",
    "walkin",
    "cash",
    "counter",
    "test",
    "dummy",
    "xxx",
    "nobody",
    "total",
    "grand total",
    "total général",
    "subtotal",
    "sous-total",
]
"""Ids that stand for nobody, whatever their case; ``0`` does too unless ids count from it."""
_HEAVY, _ROWS, _IDS = 0.3, 100, 20
"""No one customer has such a share of all rows, where there are so many rows and ids."""


def as_id(column: str, options: Options) -> str:
    """SQL of an id: untouched, unless blanks and accents are to be unified."""
    text = trimmed(column) if options.id_trim else column
    return f"nfc_normalize({text})" if options.id_normalize else text


def folded(column: str) -> str:
    """SQL: what ids that a person would take for one and the same have in common.

    Case, blanks, accents in two writings, leading zeros and the ``.0`` of a spreadsheet do not count.
    """
    plain = f"regexp_replace(lower(nfc_normalize({column})), '[\\s{SPACES}]+', '', 'g')"
    return f"ltrim(regexp_replace({plain}, '^(\\d+)\\.0+$', '\\1'), '0')"


def find_nobody(connection: duckdb.DuckDBPyConnection, options: Options) -> None:
    """Make the table ``nobody(code, word)`` of ids that stand for no customer.

    Reads ``read_c`` and ``texts_c``. An id is a placeholder by its word, or because it alone has three
    tenths of all rows (``word`` is NULL); those of ``options.keep_id``, whatever their case, are
    customers all the same. Those of them that are no id at all go into the table ``unkept(id)``.
    """
    asked = sorted({one.strip().lower() for one in options.keep_id})
    kept = ", ".join(map(literal, ("", *asked)))
    words = ", ".join(map(literal, NOBODY))
    plain = f"lower({trimmed('id')})"
    connection.execute(
        "CREATE TABLE nobody AS WITH held AS (SELECT code, value AS id, sum(n) AS n FROM read_c "
        "JOIN texts_c USING (v) WHERE value IS NOT NULL AND NOT mark GROUP BY ALL), "
        "total AS (SELECT sum(n) AS n, count(*) AS ids FROM held), "
        f"named AS (SELECT code, id, n, CASE WHEN {plain} IN ({words}) THEN {plain} "
        "WHEN regexp_full_match(id, '0+') AND repeat('0', length(id) - 1) || '1' NOT IN "
        "(SELECT id FROM held) THEN '0' END AS word FROM held) "
        f"SELECT code, word FROM named, total WHERE {plain} NOT IN ({kept}) AND (word IS NOT NULL OR "
        f"(named.n >= {_HEAVY} * total.n AND total.n >= {_ROWS} AND total.ids >= {_IDS}))"
    )
    connection.execute(
        "CREATE TABLE unkept AS SELECT unnest($asked::VARCHAR[]) AS id EXCEPT "
        f"SELECT lower({trimmed('value')}) FROM read_c",
        {"asked": asked},
    )


def placeholders(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """A finding for each id whose rows were set aside as nobody's, and one for ids kept in vain."""
    row = connection.execute("SELECT count(*) FROM unkept").fetchone()
    assert row is not None
    vain = int(row[0])
    found = connection.execute(
        f"SELECT word, count(*) AS n, min(record, {EXAMPLES}) FROM rows JOIN nobody "
        "ON customer_id = code WHERE reason = 'placeholder' GROUP BY code, word ORDER BY n DESC"
    ).fetchall()
    return [
        finding(
            "placeholder",
            "warning",
            n,
            f"{many(n, 'row')} of the id {word!r} set aside: it stands for nobody"
            if word
            else f"{many(n, 'row')} of one id set aside: no customer has so many, a placeholder has",
            "if it is a customer, give --keep-id with that id",
            examples,
        )
        for word, n, examples in found
    ] + [
        finding(
            "keep_id_unmet",
            "warning",
            vain,
            f"{many(vain, 'id')} of --keep-id in no row",
            "check how it is written in the source"
            if vain == 1
            else "check how they are written there",
        )
    ]
