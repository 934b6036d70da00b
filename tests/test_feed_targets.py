"""Each destination gets its names, types, words for nothing, limits and files."""

import json
import re
from dataclasses import replace

import duckdb
import numpy as np
import pandas as pd
import pytest
import sqlglot
from feed_case import document, scores

from bayesseg.errors import ArtefactBad, UsageError
from bayesseg.feed import delta, feed, mapping
from bayesseg.feed.schemas import DIALECTS, statements
from bayesseg.feed.star import KEYS, broken, star
from bayesseg.feed.targets import (
    TARGETS,
    kinds,
    mapped,
    names_of,
    records,
    requests,
    target_of,
    unfit,
)

NAMES = {
    "salesforce": {
        "customer_id": "Customer_Id__c",
        "p_churn": "Churn_Probability__c",
        "clv_pred_hi": "Customer_Lifetime_Value_High__c",
        "verdict": "Model_Verdict__c",
        "scored_at": "Scored_At__c",
    },
    "hubspot": {"customer_id": "customer_id", "p_churn": "churn_probability"},
    "klaviyo": {"customer_id": "external_id", "clv": "customer_lifetime_value"},
    "braze": {"customer_id": "external_id", "risk_tier": "risk_tier"},
    "warehouse": {"customer_id": "customer_id", "p_churn": "p_churn"},
    "csv": {"customer_id": "customer_id", "p_churn": "p_churn"},
}


def told(rows=6, **columns):
    return feed(scores(rows).assign(holdout=False, **columns), document())


@pytest.mark.parametrize("to", TARGETS)
def test_every_column_has_a_name_that_the_destination_allows(to):
    found = names_of(told(), TARGETS[to])
    assert {column: found[column] for column in NAMES[to]} == NAMES[to]
    assert [*found] == [*told()]
    assert all(re.fullmatch(TARGETS[to].names, name) for name in found.values())
    assert len({name.lower() for name in found.values()}) == len(found)


@pytest.mark.parametrize(
    ("to", "scored_at"),
    [("salesforce", "2026-01-05T10:00:00Z"), ("hubspot", 1767607200000)],
)
def test_a_record_is_plain_values_with_the_id_first_and_none_for_nothing(to, scored_at):
    some = [*records(told(clv=np.nan), TARGETS[to])]
    first, names = some[0][0], names_of(told(), TARGETS[to])
    assert [*first] == [*names.values()]
    assert first[names["customer_id"]] == "007"
    assert first[names["clv"]] is first[names["value_band"]] is None
    assert first[names["holdout"]] is False
    assert first[names["scored_at"]] == scored_at
    assert {type(value) for value in first.values()} <= {str, float, int, bool, type(None)}
    assert json.loads(json.dumps(some, allow_nan=False)) == some


def test_hubspot_takes_100_inputs_a_request_and_the_empty_text_for_nothing():
    lines = [json.loads(line) for line in requests(told(250, clv=np.nan), TARGETS["hubspot"])]
    assert [len(line["inputs"]) for line in lines] == [100, 100, 50]
    one = lines[0]["inputs"][0]
    assert (one["id"], one["idProperty"]) == ("007", "customer_id")
    assert one["properties"]["customer_lifetime_value"] == ""


def test_klaviyo_gets_profiles_whose_numbers_are_their_own_properties_and_no_nulls():
    (line,) = requests(told(clv=np.nan), TARGETS["klaviyo"])
    data = json.loads(line)["data"]
    profile = data["attributes"]["profiles"]["data"][0]["attributes"]
    assert data["type"] == "profile-bulk-import-job"
    assert profile["external_id"] == "007"
    assert profile["properties"]["risk_tier"] in ("low", "medium", "high")
    assert "customer_lifetime_value" not in profile["properties"]


def test_a_request_is_within_its_bytes_and_nobody_is_lost():
    small = replace(TARGETS["klaviyo"], size=3000)
    lines = [*requests(told(40), small)]
    assert max(map(len, lines)) <= 3000
    ids = [
        one["attributes"]["external_id"]
        for line in lines
        for one in json.loads(line)["data"]["attributes"]["profiles"]["data"]
    ]
    assert ids == told(40)["customer_id"].tolist()


def test_a_map_names_and_chooses_the_columns(tmp_path):
    path = tmp_path / "crm.toml"
    path.write_text('[columns]\ncustomer_id = "Number__c"\np_churn = "Churn__c"\n')
    given = mapping.read(path)
    assert mapped(told(), TARGETS["salesforce"], names_of(told(), TARGETS["salesforce"], given))[
        "Number__c"
    ].tolist() == sorted(scores()["customer_id"])
    assert [*next(records(told(), TARGETS["salesforce"], given))[0]] == ["Number__c", "Churn__c"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[column]\nclv = 'a'", "line 1: column is not a known key"),
        ("[columns]\nclv = 3", "line 2: columns.clv has the wrong type"),
        ("[columns]", "is empty"),
        ("[columns", "cannot be read"),
    ],
)
def test_a_map_that_is_none_is_refused(tmp_path, text, said):
    path = tmp_path / "crm.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        mapping.read(path)


@pytest.mark.parametrize(
    ("to", "given", "said"),
    [
        ("salesforce", {"clv": "Lifetime value"}, "no name of a field"),
        ("hubspot", {"clv": "CLV"}, "no name of a field"),
        ("warehouse", {"clv": "drop table"}, "no name of a field"),
        ("csv", {"clv": "a", "p_churn": "A"}, "same name"),
        ("csv", {"churn": "a"}, "give no churn"),
        ("salesforce", {"clv": f"{'A' * 41}__c"}, "no name of a field"),
        ("salesforce", {"clv": "A" * 41}, "no name of a field"),
        ("klaviyo", {"customer_id": "foo", "clv": "a"}, "the id is called external_id there"),
        ("braze", {"customer_id": "foo", "clv": "a"}, "the id is called external_id there"),
    ],
)
def test_a_name_that_would_not_do_there_is_refused(to, given, said):
    with pytest.raises(UsageError, match=said):
        names_of(told(), TARGETS[to], given)


@pytest.mark.parametrize("name", [f"{'A' * 40}__c", "Clv__pc", "crm1__Clv__c", "crm1__Clv__pc"])
def test_names_of_salesforce_have_40_characters_beside_suffix_and_namespace(name):
    assert names_of(told(), TARGETS["salesforce"], {"clv": name})["clv"] == name


def test_a_destination_that_is_none_is_said_to_be_none():
    with pytest.raises(UsageError, match="no destination is called 'fax'"):
        target_of("fax")


def test_ids_that_a_destination_cannot_hold_are_found():
    ids = ["a" * 255, "a" * 256, "#N/A", "x"]
    assert unfit(ids, TARGETS["salesforce"]).tolist() == [False, True, True, False]
    assert not unfit(ids, TARGETS["hubspot"]).any()


# --- what to create first ------------------------------------------------------------------------


def schema(to):
    return TARGETS[to].schema(kinds(told(), names_of(told(), TARGETS[to])))


def test_fields_of_salesforce_have_types_and_a_key_that_tells_z_from_capital_z():
    fields = {one["FullName"]: one["Metadata"] for one in json.loads(schema("salesforce"))}
    key = fields["Contact.Customer_Id__c"]
    assert (key["externalId"], key["unique"], key["caseSensitive"]) == (True, True, True)
    assert fields["Contact.Churn_Probability__c"]["type"] == "Number"
    assert fields["Contact.Holdout__c"]["type"] == "Checkbox"
    assert fields["Contact.Scored_At__c"]["type"] == "DateTime"
    assert max(len(one["label"]) for one in fields.values()) <= 40


def test_properties_of_hubspot_are_those_that_records_have():
    made = {one["name"]: one for one in json.loads(schema("hubspot"))["inputs"]}
    assert [*made] == [*next(records(told(), TARGETS["hubspot"]))[0]]
    assert made["customer_id"]["hasUniqueValue"] is True
    assert made["churn_probability"]["type"] == "number"


@pytest.mark.parametrize("to", ["klaviyo", "braze", "csv"])
def test_where_nothing_need_be_created_the_names_are_listed(to):
    for name in names_of(told(), TARGETS[to]).values():
        assert f"{name}: " in schema(to)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_statements_parse_in_their_dialect(dialect):
    held = kinds(told(), names_of(told(), TARGETS["warehouse"]))
    found = [one.key for one in sqlglot.parse(statements(held, dialect), read=dialect)]
    assert found == [*["create"] * 3, "merge", *["delete"] * 3]


def test_the_merge_brings_a_table_to_the_feed_and_rewrites_only_what_differs():
    held = kinds(told(), names_of(told(), TARGETS["warehouse"]))
    made, merge = statements(held, "duckdb").split("MERGE", 1)
    merge, cleared = merge.split(";\n", 1)
    first, second = told(20), told(22, p_churn=0.5)
    found = delta(second, first)
    with duckdb.connect() as connection:
        rewritten = []
        for rows in (first, second, second):
            connection.execute(made)
            connection.register("loaded", rows)
            connection.execute("INSERT INTO customer_scores_stage BY NAME FROM loaded")
            rewritten += connection.execute(f"MERGE{merge}").fetchone()
            connection.execute(cleared)
        there = connection.sql(
            "SELECT customer_id, p_churn FROM customer_scores ORDER BY customer_id"
        ).fetchall()
    assert rewritten == [20, len(found.changed) + 2, 0]
    assert [row[0] for row in there] == second["customer_id"].tolist()
    assert [row[1] for row in there] == second["p_churn"].tolist()


def test_the_statements_run_as_they_are_before_and_after_loading_and_delete_who_left():
    sql = statements(kinds(told(), names_of(told(), TARGETS["warehouse"])), "duckdb")
    with duckdb.connect() as connection:
        for rows, left in ((told(20), []), (told(20).tail(2), ["Z", "007"])):
            connection.execute(sql)
            connection.register("loaded", rows)
            connection.register("gone", pd.DataFrame({"customer_id": pd.Series(left, dtype="str")}))
            connection.execute("INSERT INTO customer_scores_stage BY NAME FROM loaded")
            connection.execute("INSERT INTO customer_scores_left FROM gone")
            connection.execute(sql)
        there = connection.sql("SELECT customer_id FROM customer_scores").df()["customer_id"]
        waiting = connection.sql(
            "SELECT count(*) FROM (SELECT customer_id FROM customer_scores_stage "
            "UNION ALL SELECT customer_id FROM customer_scores_left)"
        ).fetchall()
    assert sorted(there) == sorted({*told(20)["customer_id"]} - {"Z", "007"})
    assert waiting == [(0,)]


# --- business intelligence -----------------------------------------------------------------------


def made(table, **more):
    return star(table, document() | {"table": {"sha256": "0123456789abcdef"}} | more)


def test_the_star_has_a_row_a_thing_and_keys_that_meet():
    tables = made(scores(50))
    assert {name: len(table) for name, table in tables.items()} == {
        "runs": 1,
        "segments": 2,
        "customers": 50,
        "membership": 100,
        "forecasts": 250,
    }
    assert broken(tables) == []
    joined = tables["membership"].merge(tables["segments"], on="segment_key")
    joined = joined.merge(tables["customers"], on="customer_key").groupby("name")["probability"]
    assert joined.sum().to_dict() == pytest.approx(
        {
            "champions": scores(50)["membership_S1"].sum(),
            "drifting": scores(50)["membership_S2"].sum(),
        }
    )


def test_the_star_carries_exact_values_with_their_intervals():
    table, found = scores(9), made(scores(9))["forecasts"]
    clv = found[found["quantity"] == "clv"].set_index("customer_key")
    one = table.set_index("customer_id").loc["007"]
    assert clv.loc["0123456789ab/007", ["value", "pred_hi"]].tolist() == [one.clv, one.clv_pred_hi]
    assert set(clv["unit"]) == {"currency within the value horizon"}


def test_a_star_without_segments_or_purchases_has_empty_tables():
    tables = made(scores()[["customer_id", "model_id"]], segments=None)
    assert [len(tables[name]) for name in KEYS] == [1, 0, 6, 0, 0]
    types = {name: made(scores())["segments"][name].dtype for name in made(scores())["segments"]}
    assert tables["segments"].dtypes.to_dict() == types


def test_a_star_says_nothing_of_parts_that_do_not_leave():
    found = made(scores().drop(columns="p_churn"))["segments"]
    assert found["p_churn"].isna().all()
    assert found["customers"].tolist() == [3.0, 3.0]


def test_keys_that_do_not_hold_are_found():
    tables = made(scores())
    twice = tables | {"customers": pd.concat([tables["customers"], tables["customers"].head(1)])}
    assert broken(twice) == ["customer_key of customers is not unique"]
    lost = tables | {"segments": tables["segments"].head(1)}
    assert broken(lost) == [
        "segment_key of customers refers to no row of segments",
        "segment_key of membership refers to no row of segments",
    ]
    with pytest.raises(ArtefactBad, match="do not fit together"):
        made(scores().assign(segment="S9"))
