"""Sources of every kind give the same rows; what cannot be read is refused in words."""

import datetime as dt
import json
from decimal import Decimal

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bayesseg.customers import summarise
from bayesseg.errors import BayessegError, InputRejected, UsageError
from bayesseg.ingest import Options, read_purchases
from bayesseg.ingest.columns import expression, resolve

ROWS = {
    "client_id": ["a", "a", "b", "00042", "00042"],
    "order_date": [dt.date(2024, 1, day) for day in (2, 13, 5, 8, 30)],
    "montant": [Decimal("10.50"), Decimal("20.00"), Decimal("0.10"), Decimal("0.20"), Decimal(3)],
}
TABLE = pa.table(ROWS)
EXPECTED = [("00042", 1, 22, 3.0), ("a", 1, 11, 20.0), ("b", 0, 0, 0.0)]


def seen(source, options=None):
    c = summarise(read_purchases(source, options or Options()), "2024-02-01")
    return list(
        zip(c.ids.tolist(), c.x.tolist(), c.t_x.tolist(), c.repeat_spend.tolist(), strict=True)
    )


FRAMES = {
    "arrow": lambda: TABLE,
    "pandas": lambda: pd.DataFrame(ROWS),
    "pandas datetimes and floats": lambda: pd.DataFrame(ROWS).assign(
        order_date=lambda f: pd.to_datetime(f["order_date"]),
        montant=lambda f: f["montant"].astype(float),
    ),
    "pandas text": lambda: pd.DataFrame(ROWS).astype(str),
    "pandas categories": lambda: pd.DataFrame(ROWS).astype({"client_id": "category"}),
    "polars": lambda: pl.from_arrow(TABLE),
    "duckdb": lambda: duckdb.from_arrow(TABLE),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_frames_of_every_kind_give_the_same_customers(kind):
    assert seen(FRAMES[kind]()) == EXPECTED


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet"])
def test_files_of_every_kind_give_the_same_customers(suffix, tmp_path):
    path = tmp_path / f"orders.{suffix}"
    frame = pd.DataFrame(ROWS)
    frame.to_parquet(path) if suffix == "parquet" else frame.to_csv(path, index=False)
    assert seen(path) == EXPECTED
    assert seen(str(path)) == EXPECTED


def test_whole_number_ids_become_text():
    frame = pd.DataFrame(ROWS).assign(client_id=[9007199254740993, 1, 2, 3, 3])
    assert [row[0] for row in seen(frame)] == ["1", "2", "3", "9007199254740993"]


@pytest.mark.parametrize("ids", [[1.0, 1.0, 2.0, 3.0, 3.0], [True, True, False, True, False]])
def test_float_and_boolean_ids_are_refused(ids):
    with pytest.raises(InputRejected, match="lost on the way"):
        read_purchases(pd.DataFrame(ROWS).assign(client_id=ids))


def test_the_day_of_an_aware_time_is_that_of_its_own_zone():
    late = pd.to_datetime(["2024-01-02 23:30"] * 5).tz_localize("America/New_York")
    purchases = read_purchases(pd.DataFrame(ROWS).assign(order_date=late))
    assert purchases.provenance["days"]["first"] == "2024-01-02"
    assert purchases.provenance["policies"]["day"] == "America/New_York"


def test_money_is_added_exactly():
    frame = pd.DataFrame(
        {"client": ["a"] * 11, "date": ["2024-01-01"] + ["2024-01-31"] * 10, "amount": [0.1] * 11}
    )
    assert summarise(read_purchases(frame), "2024-02-01").repeat_spend.tolist() == [1.0]


def test_bad_rows_stand_in_quarantine_with_their_own_text():
    frame = pd.DataFrame(ROWS).astype(str)
    frame.loc[1, "montant"] = "ten"
    frame.loc[3, "order_date"] = "2024-02-30"
    with read_purchases(frame, Options(max_bad=0.5)) as purchases:
        rows = purchases.quarantine.values.tolist()
    assert rows == [
        [2, "amount_unreadable", "a", "2024-01-13", "ten"],
        [4, "date_unreadable", "00042", "2024-02-30", "0.20"],
    ]


def test_a_row_has_the_first_reason_that_applies():
    frame = pd.DataFrame({"client": [""] * 1, "date": ["soon"], "amount": ["?"]})
    good = pd.DataFrame({"client": ["a"] * 9, "date": ["2024-01-31"] * 9, "amount": ["1"] * 9})
    purchases = read_purchases(pd.concat([good, frame]), Options(max_bad=0.2))
    assert purchases.provenance["rows"] == {"in": 10, "used": 9, "excluded": {"id_missing": 1}}


def test_rows_after_today_are_bad():
    frame = pd.DataFrame(ROWS)
    with pytest.raises(InputRejected, match="date in future in 1 row \\(5\\)"):
        read_purchases(frame, today=dt.date(2024, 1, 29))


def test_a_missing_path_is_a_matter_of_usage(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        read_purchases(tmp_path / "nothing.csv")


def test_a_directory_is_refused(tmp_path):
    with pytest.raises(InputRejected, match="is a folder"):
        read_purchases(tmp_path)


def test_something_that_is_no_source_is_a_matter_of_usage():
    with pytest.raises(UsageError, match="a int is not a source"):
        read_purchases(7)  # type: ignore[arg-type]


def test_a_flipped_bit_in_a_parquet_file_is_refused(tmp_path):
    path = tmp_path / "orders.parquet"
    frame = pd.DataFrame(
        {"client": np.arange(5_000), "date": "2024-01-02", "amount": np.arange(5_000.0)}
    )
    pq.write_table(pa.Table.from_pandas(frame), path, write_page_checksum=True, compression="none")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputRejected, match="cannot be read"):
        read_purchases(path)


def test_guessed_and_given_columns_are_told_apart():
    purchases = read_purchases(TABLE, Options(amount="montant"))
    origins = {role: e["origin"] for role, e in purchases.provenance["columns"].items()}
    assert origins == {"customer_id": "guessed", "date": "guessed", "amount": "given"}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["N° Client", "Date de commande", "Montant TTC"], "Montant TTC"),
        (["Person", "Moment", "Money"], None),
        (["Numéro client", "date_commande", "Montant TTC"], "Montant TTC"),
        (["Customer ID", "InvoiceDate", "Quantity", "Unit Price"], "Quantity * Unit Price"),
        (["user", "timestamp", "price"], "price"),
    ],
)
def test_columns_are_known_by_their_names_in_two_languages(names, expected):
    if expected is None:
        with pytest.raises(InputRejected, match="no column looks like the customer id or the date"):
            resolve(names, Options())
    else:
        assert resolve(names, Options()).values["amount"] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", ((1, ("a",)),)),
        ("a*b", ((1, ("a", "b")),)),
        ("a * b - c + a", ((1, ("a", "b")), (-1, ("c",)), (1, ("a",)))),
        ("unit-price * qty", ((1, ("unit-price", "qty")),)),
    ],
)
def test_an_amount_may_be_made_of_columns(text, expected):
    assert expression(text, ["a", "b", "c", "qty", "price", "unit", "unit-price"]) == expected


@pytest.mark.parametrize("text", ["a *", "a / b", "a b", "2 * a", "sum(a)", "a; DROP TABLE raw"])
def test_nothing_but_columns_and_three_signs_is_an_amount(text):
    with pytest.raises(InputRejected):
        expression(text, ["a", "b"])


def test_an_amount_of_columns_is_computed_line_by_line():
    frame = pd.DataFrame(
        {
            "client": ["a", "a"],
            "date": ["2024-01-01", "2024-01-31"],
            "Quantity": [3, 12],
            "UnitPrice": ["1.00", "0.0125"],
            "off": [0.0, 0.05],
        }
    )
    c = summarise(read_purchases(frame, Options(amount="Quantity * UnitPrice - off")), "2024-02-01")
    assert (c.first_spend.tolist(), c.repeat_spend.tolist()) == ([3.0], [0.1])


def test_hostile_names_of_columns_are_names():
    name = 'x"; DROP TABLE raw; --'
    frame = pd.DataFrame(ROWS).rename(columns={"client_id": name})
    assert seen(frame, Options(customer_id=name)) == EXPECTED


def test_the_session_reads_no_other_file(tmp_path):
    other = tmp_path / "other.csv"
    other.write_text("a\n1\n")
    with read_purchases(TABLE) as purchases, pytest.raises(duckdb.PermissionException):
        purchases.connection.execute(f"SELECT * FROM read_csv('{other}')")


def test_an_order_counted_in_two_extracts_is_kept_from_the_fuller_one():
    lines = [("a", "2024-01-02", 1.0, "o1", "x")] * 2 + [("a", "2024-01-02", 1.0, "o1", "y")] * 3
    lines += [("b", "2024-01-03", 1.0, "o1", "x")]  # another customer's order of the same number
    frame = pd.DataFrame(lines, columns=["client", "date", "amount", "order", "sheet"])
    purchases = read_purchases(frame, Options(order_id="order", extract="sheet"))
    rows = purchases.provenance["rows"]
    assert rows == {"in": 6, "used": 4, "excluded": {"other_extract": 2}}


CELL = st.one_of(
    st.sampled_from(
        ["a", "b", "2024-01-05", "05/02/2024", "1,5", "10.00", "-3", "", "NA", '"', ";"]
    ),
    st.text(max_size=4),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    lines=st.lists(st.lists(CELL, min_size=3, max_size=3), min_size=1, max_size=12),
    mark=st.sampled_from([",", ";", "\t"]),
    coding=st.sampled_from(["utf-8", "cp1252", "utf-16"]),
)
def test_any_text_is_refused_in_words_or_accounted_for(lines, mark, coding, tmp_path_factory):
    text = "\n".join(mark.join(line) for line in [["client", "date", "montant"], *lines])
    path = tmp_path_factory.mktemp("any") / "any.csv"
    path.write_bytes(text.encode(coding, errors="replace"))
    try:
        with read_purchases(path, Options(max_bad=1.0)) as purchases:
            rows = summarise(purchases, purchases.provenance["days"]["last"]).provenance["rows"]
            json.dumps(purchases.provenance)
    except BayessegError as error:
        rows = {"in": 0, "used": 0, "excluded": {}}
        refused = error.exit_code
    else:
        refused = 0
    assert refused in (0, 2, 3)
    assert rows["in"] == rows["used"] + sum(rows["excluded"].values())


@pytest.mark.parametrize("name", ["keep_id", "shares"])
def test_one_text_is_no_sequence(name):
    with pytest.raises(UsageError, match=f"{name} 'guest' is one text") as caught:
        Options(**{name: "guest"})
    assert caught.value.fix == f"give {name}=('guest',)"


def test_moments_of_one_offset_say_that_the_day_is_as_written():
    frame = pd.DataFrame({"id": ["a"], "date": ["2024-01-10T23:30:00Z"], "amount": [1.0]})
    with read_purchases(frame) as purchases:
        why = purchases.provenance["dialect"]["date_format"]["evidence"]
    assert why == "1 of 1 values; all of offset Z, days as written (else --tz)"


@pytest.mark.parametrize(
    ("names", "amount"),
    [
        ("prix_ht", "prix_ht"),
        ("quantity unit_price", "quantity * unit_price"),
        ("quantity unit_price line_total", "line_total"),
        ("quantity order_total", "order_total"),
        ("amount montant_ht montant_ttc", "amount"),
    ],
)
def test_an_amount_that_can_be_one_thing_only_is_guessed(names, amount):
    assert resolve(["id", "date", *names.split()], Options()).values["amount"] == amount


@pytest.mark.parametrize(
    ("names", "expressions"),
    [
        ("montant_ht montant_ttc", ("montant_ht", "montant_ttc")),
        ("quantite pu_ht pu_ttc", ("quantite * pu_ht", "quantite * pu_ttc")),
        ("quantity unit_price total", ("quantity * unit_price", "total")),
        ("quantite prix_ttc", ("prix_ttc", "quantite * prix_ttc")),
    ],
)
def test_an_amount_that_can_be_two_things_is_refused_with_both(names, expressions):
    with pytest.raises(InputRejected) as caught:
        resolve(["id", "date", *names.split()], Options())
    assert caught.value.code == "amount_ambiguous"
    assert caught.value.fix == "give " + " or ".join(f'--amount "{one}"' for one in expressions)
