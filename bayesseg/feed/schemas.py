"""What to create at a destination before the first rows arrive, as text to send or to run there.

Each takes the kind of every name there (id, text, number, truth, time), the id first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_TABLE = "customer_scores"
_STAGE, _LEFT = f"{_TABLE}_stage", f"{_TABLE}_left"
_SQL = {
    "duckdb": {"text": "VARCHAR", "number": "DOUBLE", "truth": "BOOLEAN", "time": "TIMESTAMPTZ"},
    "postgres": {
        "text": "text",
        "number": "double precision",
        "truth": "boolean",
        "time": "timestamptz",
    },
    "snowflake": {
        "text": "VARCHAR",
        "number": "FLOAT",
        "truth": "BOOLEAN",
        "time": "TIMESTAMP_TZ",
    },
    "bigquery": {"text": "STRING", "number": "FLOAT64", "truth": "BOOL", "time": "TIMESTAMP"},
}
"""The type of each kind, by dialect."""
DIALECTS = tuple(_SQL)


def salesforce(kinds: Mapping[str, str]) -> str:
    """Custom fields of Contact for the Tooling API, one a record.

    The external id tells upper from lower case; else two customers could become one.
    """
    of: dict[str, dict[str, Any]] = {
        "id": {
            "type": "Text",
            "length": 255,
            "externalId": True,
            "unique": True,
            "caseSensitive": True,
        },
        "text": {"type": "Text", "length": 255},
        "number": {"type": "Number", "precision": 18, "scale": 6},
        "truth": {"type": "Checkbox", "defaultValue": False},
        "time": {"type": "DateTime"},
    }
    return _json(
        [
            {
                "FullName": f"Contact.{name}",
                "Metadata": {"label": name.removesuffix("__c").replace("_", " "), **of[kind]},
            }
            for name, kind in kinds.items()
        ]
    )


def hubspot(kinds: Mapping[str, str]) -> str:
    """The body of ``POST /crm/v3/properties/contacts/batch/create``."""
    of: dict[str, dict[str, Any]] = {
        "id": {"type": "string", "fieldType": "text", "hasUniqueValue": True},
        "text": {"type": "string", "fieldType": "text"},
        "number": {"type": "number", "fieldType": "number"},
        "truth": {
            "type": "enumeration",
            "fieldType": "booleancheckbox",
            "options": [{"label": "Yes", "value": "true"}, {"label": "No", "value": "false"}],
        },
        "time": {"type": "datetime", "fieldType": "date"},
    }
    return _json(
        {
            "inputs": [
                {
                    "name": name,
                    "label": name.replace("_", " ").capitalize(),
                    "groupName": "contactinformation",
                    **of[kind],
                }
                for name, kind in kinds.items()
            ]
        }
    )


def klaviyo(kinds: Mapping[str, str]) -> str:
    """Nothing need be created: own properties of a profile are there once they are sent."""
    return _listed("custom properties of a profile, there once they are sent", kinds)


def braze(kinds: Mapping[str, str]) -> str:
    """Nothing need be created: custom attributes are there once they are sent."""
    return _listed("custom attributes of a user, there once they are sent", kinds)


def plain(kinds: Mapping[str, str]) -> str:
    """The columns of a CSV for people."""
    return _listed("columns", kinds)


def _listed(what: str, kinds: Mapping[str, str]) -> str:
    return "\n".join([f"# {what}", *(f"{name}: {kind}" for name, kind in kinds.items())]) + "\n"


def warehouse(kinds: Mapping[str, str]) -> str:
    """DDL and MERGE in every dialect, one after the other."""
    return "\n".join(f"-- {dialect}\n{statements(kinds, dialect)}" for dialect in DIALECTS)


def statements(kinds: Mapping[str, str], dialect: str) -> str:
    """The table of one row a customer, and how loaded rows get into it, rewriting only what differs.

    Run it, load the files into its two empty tables, run it again; it leaves them empty. Ids of
    ``left`` are deleted: customers who left the scores, those who objected among them.
    """
    types = _SQL[dialect] | {"id": _SQL[dialect]["text"]}
    quote = "`" if dialect == "bigquery" else '"'
    columns = {f"{quote}{name}{quote}": types[kind] for name, kind in kinds.items()}
    key, *rest = columns
    enforced = " NOT ENFORCED" if dialect == "bigquery" else ""
    body = ",\n".join(f"  {name} {kind}" for name, kind in columns.items())
    differs = "\n    OR ".join(f"t.{name} IS DISTINCT FROM s.{name}" for name in rest)
    sets = ", ".join(f"{name} = s.{name}" for name in rest)
    return f"""\
CREATE TABLE IF NOT EXISTS {_TABLE} (
{body},
  PRIMARY KEY ({key}){enforced}
);
CREATE TABLE IF NOT EXISTS {_STAGE} (
{body}
);
CREATE TABLE IF NOT EXISTS {_LEFT} (
  {key} {types["id"]}
);
-- here: customers, or changed and entered, into {_STAGE}; left into {_LEFT}
MERGE INTO {_TABLE} AS t USING {_STAGE} AS s ON t.{key} = s.{key}
WHEN MATCHED AND (
    {differs}
) THEN UPDATE SET {sets}
WHEN NOT MATCHED THEN INSERT ({", ".join(columns)})
  VALUES ({", ".join(f"s.{name}" for name in columns)});
DELETE FROM {_TABLE} WHERE {key} IN (SELECT {key} FROM {_LEFT});
DELETE FROM {_STAGE} WHERE TRUE;
DELETE FROM {_LEFT} WHERE TRUE;
"""


def _json(document: Any) -> str:
    return json.dumps(document, indent=1) + "\n"
