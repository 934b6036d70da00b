"""Answers each line of JSON with one: a table and a query in, rows out. Runs where fakesnow is."""

import json
import sys

import fakesnow
import pandas as pd
from snowflake import connector
from snowflake.connector import pandas_tools


def _answer(connection, asked):
    names = [name.upper() for name in asked["columns"]]
    texts = pd.DataFrame(asked["rows"], columns=names, dtype=object)
    cursor = connection.cursor()
    cursor.execute(f"CREATE OR REPLACE TABLE TEXTS ({', '.join(f'{n} VARCHAR' for n in names)})")
    pandas_tools.write_pandas(connection, texts, "TEXTS")
    kinds = zip(names, asked["columns"].values(), strict=True)
    typed = ", ".join(f"CAST({name} AS {kind}) AS {name}" for name, kind in kinds)
    cursor.execute(f"CREATE OR REPLACE TABLE {asked['table']} AS SELECT {typed} FROM TEXTS")
    cursor.execute(asked["sql"])
    found = [one[0] for one in cursor.description]
    return {"names": found, "rows": [[_plain(v) for v in row] for row in cursor.fetchall()]}


def _plain(value):
    return value if isinstance(value, int | float | None) else str(value)


def _serve():
    with fakesnow.patch(), connector.connect(database="TESTS", schema="SHOP") as connection:
        print("ready", flush=True)
        for line in sys.stdin:
            try:
                answer = _answer(connection, json.loads(line))
            except Exception as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve()
