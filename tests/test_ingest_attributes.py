"""Facts about customers: types, ids and the join."""

import numpy as np
import pandas as pd
import pytest

from bayesseg.customers import read_attributes, summarise, with_attributes
from bayesseg.errors import InputRejected, UsageError
from bayesseg.ingest import Options, read_purchases

ORDERS = pd.DataFrame(
    {
        "customer_id": ["a", "b", "c", "a"],
        "date": ["2024-01-02", "2024-01-03", "2024-01-04", "2024-01-20"],
        "amount": [1.0, 2.0, 3.0, 4.0],
    }
)


def written(tmp_path, text):
    path = tmp_path / "clients.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_numbers_are_numbers_and_codes_stay_text(tmp_path):
    text = "client;age;postcode;income;city\na;31;01000;1 234,5;Lyon\nb;NA;69001;;\n"
    found = read_attributes(written(tmp_path, text))
    assert found.ids.tolist() == ["a", "b"]
    np.testing.assert_equal(found.columns["age"], [31.0, np.nan])
    np.testing.assert_equal(found.columns["income"], [1234.5, np.nan])
    assert found.columns["postcode"].tolist() == ["01000", "69001"]
    assert found.columns["city"].tolist() == ["Lyon", None]
    assert found.provenance["missing"] == {"age": 1, "income": 1, "city": 1}


def test_without_an_id_column_the_row_number_is_the_id(tmp_path):
    found = read_attributes(written(tmp_path, "Channel,Fresh\n2,12669\n1,7057\n"))
    assert found.ids.tolist() == ["1", "2"]
    assert found.provenance["columns"]["customer_id"]["origin"] == "row number"


def test_frames_keep_their_types():
    frame = pd.DataFrame({"client": [2, 1], "vip": [True, False], "since": [2.5, None]})
    found = read_attributes(frame)
    assert found.ids.tolist() == ["2", "1"]
    assert found.columns["vip"].tolist() == [1.0, 0.0]
    np.testing.assert_equal(found.columns["since"], [2.5, np.nan])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("client,age\na,1\na,2\n", "1 row with the id of another row"),
        ("client,age\na,1\n,2\n", "1 row without an id"),
        ("client,age\n", "no rows"),
    ],
)
def test_one_row_a_customer(text, message, tmp_path):
    with pytest.raises(InputRejected, match=message):
        read_attributes(written(tmp_path, text))


def test_an_infinite_number_is_refused():
    with pytest.raises(InputRejected, match=r"'age' holds an infinite number \(row 2\)"):
        read_attributes(pd.DataFrame({"client": ["a", "b"], "age": [1.0, np.inf]}))


def test_a_misspelt_id_column_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(InputRejected, match="did you mean 'clientele'"):
        read_attributes(written(tmp_path, "clientele,age\na,1\n"), customer_id="clientelle")


def test_the_join_is_by_id_and_counts_both_leftovers():
    customers = summarise(read_purchases(ORDERS))
    facts = read_attributes(
        pd.DataFrame({"client": ["z", "c", "a"], "age": [9.0, 3.0, 1.0], "city": ["Z", "C", "A"]})
    )
    joined = with_attributes(customers, facts)
    assert joined.attributes.ids.tolist() == ["a", "b", "c"]
    np.testing.assert_equal(joined.attributes.columns["age"], [1.0, np.nan, 3.0])
    assert joined.attributes.columns["city"].tolist() == ["A", None, "C"]
    assert joined.provenance["attributes"]["join"] == {
        "joined": 2,
        "customers_without": 1,
        "rows_without_customer": 1,
    }


def test_attributes_of_nobody_are_refused():
    customers = summarise(read_purchases(ORDERS))
    with pytest.raises(InputRejected, match="the ids do not agree"):
        with_attributes(customers, read_attributes(pd.DataFrame({"client": ["1"], "age": [9]})))


def test_real_client_tables_are_numeric(shared):
    wholesale = read_attributes(shared / "data" / "wholesale_customers.csv")
    assert (len(wholesale.ids), len(wholesale.columns)) == (440, 8)
    assert set(wholesale.provenance["kinds"].values()) == {"number"}
    notes = read_attributes(shared / "data" / "banknote.csv")
    assert notes.provenance["kinds"]["Status"] == "text"
    expected = pd.read_csv(shared / "data" / "banknote.csv")["Length"].tolist()
    assert notes.columns["Length"].tolist() == expected


def test_columns_are_taken_for_what_they_look_like():
    n = 200
    facts = read_attributes(
        pd.DataFrame(
            {
                "id": [f"c{i}" for i in range(n)],
                "age": np.arange(n) / 3,
                "grade": np.arange(n) % 5,
                "vip": np.arange(n) % 2,
                "town": [f"t{i % 40}" for i in range(n)],
                "street": [f"s{i % 90}" for i in range(n)],
                "name": [f"n{i}" for i in range(n)],
                "since": [f"2020-01-{1 + i % 28:02}" for i in range(n)],
                "country": ["FR"] * n,
                "nothing": [None] * n,
            }
        )
    ).provenance["schema"]["columns"]
    assert {name: one["kind"] for name, one in facts.items()} == {
        "age": "number",
        "grade": "ordinal",
        "vip": "binary",
        "town": "category",
        "street": "text",
        "name": "id",
        "since": "date",
        "country": "constant",
        "nothing": "constant",
    }
    assert facts["nothing"] == {"kind": "constant", "distinct": 0, "missing": n}


MIXED = "client;age;size\na;1.5;0,5\nb;2.5;1,5\nc;3.5;7\n"


def test_a_number_that_the_given_mark_cannot_read_is_refused_with_its_column(tmp_path):
    with pytest.raises(InputRejected, match=r"2 values of 'size'.*rows 1, 2") as caught:
        read_attributes(written(tmp_path, MIXED), decimal=".")
    assert caught.value.details == {"column": "size", "count": 2, "records": [1, 2]}


@pytest.mark.parametrize(
    ("text", "names"),
    [(MIXED, "'age', 'size' use"), ("client;age;size\na;1.5;2\nb;2,5;3\n", "'age' uses")],
)
def test_both_decimal_marks_are_refused_with_the_columns(text, names, tmp_path):
    with pytest.raises(InputRejected, match=f"^{names} both marks"):
        read_attributes(written(tmp_path, text))


def test_a_decimal_mark_is_a_point_or_a_comma(tmp_path):
    with pytest.raises(UsageError, match="--decimal 'x' is unknown"):
        read_attributes(written(tmp_path, MIXED), decimal="x")


def grouped():
    frame = ORDERS.assign(company=["one", "one", None, "one"])
    return summarise(read_purchases(frame, Options(group="company")))


def test_facts_of_accounts_are_refused_where_customers_are_groups():
    facts = read_attributes(pd.DataFrame({"customer_id": ["a", "c"], "age": [1.0, 2.0]}))
    with pytest.raises(
        InputRejected, match=r"of accounts .'customer_id'.*groups of them .'company'"
    ):
        with_attributes(grouped(), facts)


def test_facts_of_groups_join():
    facts = read_attributes(pd.DataFrame({"company": ["c", "one"], "age": [1.0, 2.0]}), "company")
    joined = with_attributes(grouped(), facts)
    assert joined.attributes.columns["age"].tolist() == [1.0, 2.0]
    assert joined.provenance["attributes"]["findings"] == []


def test_a_join_of_under_half_of_the_customers_is_a_warning():
    facts = read_attributes(pd.DataFrame({"client": ["a"], "age": [1.0]}))
    [found] = with_attributes(summarise(read_purchases(ORDERS)), facts).provenance["attributes"][
        "findings"
    ]
    assert (found["code"], found["level"], found["count"]) == ("attributes_few", "warning", 2)
