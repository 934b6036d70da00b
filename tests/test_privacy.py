"""People in the data: pseudonyms, objections, erasure, small cells, the model card."""

import hashlib
import hmac
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import report_case
from typer.testing import CliRunner

from bayesseg.aggregates.cells import hidden
from bayesseg.cli import app, scorefile
from bayesseg.errors import InputRejected, UsageError
from bayesseg.ingest import (
    Key,
    Options,
    pseudonyms,
    read_key,
    read_objections,
    read_purchases,
    read_table,
)
from bayesseg.ingest.objections import refused
from bayesseg.report import build
from bayesseg.report.card import card
from bayesseg.report.small import shown_safely
from bayesseg.scoring import Settings, score

SECRET = "0123456789abcdef" * 3
IDS = np.array(["42", "00042", "élan", "=x", "a b"], dtype=object)


def bayesseg(*words, **how):
    return CliRunner().invoke(app, [str(word) for word in words], **how)


@pytest.fixture
def key(tmp_path):
    (tmp_path / "key").write_text(SECRET + "\n")
    return tmp_path / "key"


def expected(ids, secret=SECRET):
    key = secret.encode() if isinstance(secret, str) else secret
    return ["p" + hmac.new(key, one.encode(), "sha256").hexdigest()[:32] for one in ids]


# --- pseudonyms ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "secret", [b"k" * 20 + bytes(range(20)), bytes(range(64)), bytes(range(99))]
)
def test_a_pseudonym_is_the_hmac_of_the_id(secret):
    assert pseudonyms(IDS, Key(secret)).tolist() == expected(IDS, secret)
    assert pseudonyms([None, "42"], Key(secret))[0] is None


def test_a_pseudonym_is_never_a_number_nor_a_plain_hash(key):
    found = pseudonyms([str(n) for n in range(2_000)], read_key(key))
    assert len(set(found)) == 2_000
    assert all(len(one) == 33 and one[0] == "p" for one in found)
    assert found[42][1:] != hashlib.sha256(b"42").hexdigest()[:32]


def test_a_key_comes_from_a_file_or_the_environment_and_is_not_shown(key, monkeypatch):
    monkeypatch.setenv("KEY", SECRET)
    assert read_key("env:KEY") == read_key(key)
    assert SECRET not in repr(read_key(key))
    assert SECRET not in read_key(key).check


@pytest.mark.parametrize("secret", ["", "short", "a" * 64])
def test_a_key_that_can_be_guessed_is_refused(secret, tmp_path):
    (tmp_path / "key").write_text(secret)
    with pytest.raises(UsageError, match="can be guessed"):
        read_key(tmp_path / "key")


@pytest.mark.parametrize("source", ["nowhere", "env:BAYESSEG_NOWHERE"])
def test_a_key_that_is_not_there_is_told(source):
    with pytest.raises(UsageError, match=r"cannot be read|no variable"):
        read_key(source)


# --- objections ----------------------------------------------------------------------------------

LOG = pd.DataFrame(
    {
        "customer_id": ["a", "a", "b", "=x", "c", "c", " d"],
        "date": [f"2024-01-0{n}" for n in range(1, 8)],
        "amount": [5.0] * 7,
        "firm": ["F", "F", "F", "G", "G", "G", "H"],
    }
)


def listed(tmp_path, text):
    (tmp_path / "no.txt").write_text(text)
    return read_objections(tmp_path / "no.txt")


@pytest.mark.parametrize(
    "text",
    ["a\n=x\nnobody\n", "a\n'=x\nnobody", "date,customer_id\n1,a\n2,'=x\n3,nobody\n"],
)
def test_rows_of_those_who_object_are_counted_and_gone(text, tmp_path):
    with read_purchases(LOG, Options(suppress=listed(tmp_path, text))) as purchases:
        provenance = purchases.provenance
        left = purchases.connection.execute("SELECT id FROM bayesseg_ids ORDER BY id").fetchall()
    assert provenance["rows"] == {"in": 7, "used": 4, "excluded": {"suppressed": 3}}
    assert [one for (one,) in left] == [" d", "b", "c"]
    (said,) = (f["message"] for f in provenance["findings"] if f["code"] == "suppressed")
    assert "2 of its 3 entries are here, 1 unknown" in said
    assert "nobody" not in json.dumps(provenance)


def test_objections_follow_what_is_made_of_ids_and_reach_accounts_in_groups(tmp_path):
    own = listed(tmp_path, "d\na\nG\n")
    with read_purchases(LOG, Options(suppress=own, id_trim=True)) as purchases:
        assert purchases.provenance["rows"]["excluded"] == {"suppressed": 3}
    with read_purchases(LOG, Options(suppress=own, group="firm")) as purchases:
        assert purchases.provenance["rows"]["excluded"] == {"suppressed": 5}


def test_a_table_of_clients_honours_the_list(tmp_path):
    table = LOG.drop_duplicates("customer_id")[["customer_id", "amount"]]
    ids, columns, provenance = read_table(table, suppress=listed(tmp_path, "a\nc\n"))
    assert ids.tolist() == ["b", "=x", " d"]
    assert len(columns["amount"]) == 3
    assert provenance["rows"] == {"in": 5, "used": 3, "excluded": {"suppressed": 2}}
    with pytest.raises(UsageError, match="no column of ids"):
        read_table(table[["amount"]], suppress=listed(tmp_path, "a"))


def test_everybody_on_the_list_leaves_nothing_to_read(tmp_path):
    with pytest.raises(InputRejected, match="no row can be used"):
        read_purchases(LOG, Options(suppress=listed(tmp_path, "a\nb\n=x\nc\n d\n")))


def test_a_list_without_an_id_is_refused(tmp_path):
    with pytest.raises(UsageError, match="holds no id"):
        listed(tmp_path, "\n\n")


def test_a_list_meets_pseudonyms_where_it_has_their_key(key):
    found = read_objections_of(key, "42\n")
    rows, unknown = refused(pseudonyms(IDS, read_key(key)), found)
    assert (rows.tolist(), unknown) == ([True, False, False, False, False], 0)


def read_objections_of(key, text):
    path = key.with_name("ids.txt")
    path.write_text(text)
    return read_objections(path, read_key(key))


# --- the command line ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop(cdnow_sample, tmp_path_factory):
    """A folder with a run, the orders of 300 customers, a key and their scores."""
    folder = tmp_path_factory.mktemp("shop")
    posterior = report_case.posterior(report_case.customers(cdnow_sample))
    report_case.saved(posterior, folder / "run")
    days = report_case.purchases(cdnow_sample)
    count = days["customer_id"].value_counts()
    days[days["customer_id"].isin(count.index[:300])].to_csv(folder / "orders.csv", index=False)
    (folder / "key").write_text(SECRET)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        scored("plain.parquet")
        scored("text.csv")
        scored("lines.ndjson")
        scored("hidden.parquet", "--pseudonymise", "key")
    return folder


def scored(out, *words):
    given = ("--as-of", "1998-06-30", "--no-predictive", "--draws", "100", "--force")
    done = bayesseg("score", "run", "orders.csv", *given, *words, "-o", out)
    assert done.exit_code == 0, done.output


@pytest.fixture
def here(shop, monkeypatch):
    monkeypatch.chdir(shop)
    return shop


def test_pseudonyms_change_names_and_order_and_no_number(here):
    plain, found = map(scorefile.read_scores, (here / "plain.parquet", here / "hidden.parquet"))
    assert found["customer_id"].is_monotonic_increasing
    named = plain.assign(customer_id=expected(plain["customer_id"]))
    named = named.sort_values("customer_id", ignore_index=True)
    pd.testing.assert_frame_equal(named.drop(columns="scored_at"), found.drop(columns="scored_at"))
    document = scorefile.read_document(here / "hidden.parquet")
    assert document["pseudonyms"]["method"] == "HMAC-SHA-256"
    assert SECRET not in json.dumps(document)


def test_a_list_of_pseudonyms_leaves_out_whom_the_ids_name(here):
    worst = json.loads(bayesseg("prioritise", "plain.parquet", "--json").stdout)["customers"]
    (here / "no.txt").write_text(worst[0]["customer_id"] + "\nnobody\n")
    words = ("prioritise", "hidden.parquet", "--suppress-list", "no.txt", "--json")
    refused_ = bayesseg(*words)
    assert (refused_.exit_code, "the key is missing" in refused_.output) == (2, True)
    found = json.loads(bayesseg(*words, "--pseudonymise", "key").stdout)
    assert found["suppressed"] == {"count": 1, "entries": 2, "unknown": 1}
    ids = [row["customer_id"] for row in found["customers"]]
    assert ids == expected(row["customer_id"] for row in worst[1:])
    (here / "other").write_text(SECRET[::-1])
    again = bayesseg(*words, "--pseudonymise", "other")
    assert (again.exit_code, "the key is another" in again.output) == (2, True)


def test_a_list_may_be_named_by_pseudonyms(here):
    done = bayesseg("prioritise", "plain.parquet", "--pseudonymise", "key", "--json")
    plain = bayesseg("prioritise", "plain.parquet", "--json")
    assert done.exit_code == plain.exit_code == 0, done.output
    named, ids = (
        [row["customer_id"] for row in json.loads(one.stdout)["customers"]] for one in (done, plain)
    )
    assert named == expected(ids)


def test_scores_leave_out_whom_the_list_names(here):
    ids = scorefile.read_scores(here / "plain.parquet")["customer_id"].tolist()
    (here / "no.txt").write_text("\n".join(ids[:3]))
    scored("fewer.parquet", "--suppress-list", "no.txt")
    assert scorefile.read_scores(here / "fewer.parquet")["customer_id"].tolist() == ids[3:]


def test_rows_set_aside_are_named_by_pseudonyms(here):
    rows = pd.read_csv(here / "orders.csv", dtype=str)
    rows.loc[0, "amount"] = "?"
    rows.to_csv(here / "bad.csv", index=False)
    words = ("--quarantine", "q.csv", "--pseudonymise", "key", "--as-of", "1998-06-30")
    done = bayesseg("check", "bad.csv", *words)
    assert done.exit_code == 0, done.output
    assert pd.read_csv(here / "q.csv")["customer_id"].tolist() == expected(
        [rows.loc[0, "customer_id"]]
    )


# --- erasure -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plain.parquet", "text.csv", "lines.ndjson", "hidden.parquet"])
def test_who_is_erased_is_gone_from_the_file_and_nothing_else_changes(here, name, tmp_path):
    table, copy = here / name, tmp_path / name
    beside = copy.with_suffix(".json")
    ids = scorefile.read_scores(here / "plain.parquet")["customer_id"].tolist()
    copy.write_bytes(table.read_bytes())
    beside.write_bytes(table.with_suffix(".json").read_bytes())
    described = beside.exists() and _describes(beside, copy)
    (tmp_path / "ids.txt").write_text(f"{ids[0]}\n{ids[7]}\nnobody\n")
    words = ("--tombstones", tmp_path / "gone", "--key", "key", "--json")
    done = bayesseg("erase", tmp_path / "ids.txt", copy, *words)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["files"] == [{"file": str(copy), "erased": 2, "rows": 298}]
    before, after = scorefile.read_scores(table), scorefile.read_scores(copy)
    lost = {ids[0], ids[7], *expected([ids[0], ids[7]])}
    rest = before[~before["customer_id"].isin(lost)].reset_index(drop=True)
    pd.testing.assert_frame_equal(rest, after)
    assert not any(f'"{one}"'.encode() in copy.read_bytes() for one in lost)
    if described:
        document = scorefile.read_document(copy)  # which refuses a table it does not describe
        assert (document["table"]["rows"], document["table"]["erased"]) == (298, 2)
        assert any("erased" in note for note in document["notes"])
    if name.endswith(".parquet"):
        assert pq.read_schema(copy).field("clv").metadata[b"unit"].startswith(b"currency")


def _describes(document, table):
    return json.loads(document.read_text())["table"]["sha256"] == scorefile.sha256_of(table)


def test_tombstones_name_nobody_and_keep_them_from_coming_back(here, tmp_path):
    ids = scorefile.read_scores(here / "plain.parquet")["customer_id"].tolist()
    gone, copy = tmp_path / "gone", tmp_path / "s.csv"
    for one in (ids[0], ids[1]):
        copy.write_bytes((here / "text.csv").read_bytes())
        (tmp_path / "ids.txt").write_text(one)
        words = ("--tombstones", gone, "--key", "key")
        assert bayesseg("erase", tmp_path / "ids.txt", copy, *words).exit_code == 0
    head, *buried = gone.read_text().splitlines()
    assert head == f"bayesseg tombstones {Key(SECRET.encode()).check}"
    assert buried == sorted(expected(ids[:2]))
    back = ("check", "orders.csv", "--suppress-list", gone, "--as-of", "1998-06-30", "--json")
    done = bayesseg(*back)
    assert (done.exit_code, "the key is missing" in done.output) == (2, True)
    found = json.loads(bayesseg(*back, "--suppress-key", "key").stdout)
    orders = pd.read_csv(here / "orders.csv", dtype=str)["customer_id"]
    assert found["rows"]["excluded"]["suppressed"] == int(orders.isin(ids[:2]).sum())


@pytest.mark.parametrize("kind", ["link", "page", "foreign", "damaged"])
def test_what_cannot_be_erased_from_is_refused_before_anything_changes(here, kind, tmp_path):
    copy, odd = tmp_path / "s.csv", tmp_path / "odd.csv"
    copy.write_bytes((here / "text.csv").read_bytes())
    if kind == "link":
        odd.symlink_to(copy)
    elif kind == "page":
        odd = tmp_path / "report.html"
        odd.write_text("<p>")
    elif kind == "foreign":
        odd.write_text("a,b\n1,2\n")
    else:
        odd = tmp_path / "odd.parquet"
        odd.write_bytes(b"PAR1 no")
    (tmp_path / "ids.txt").write_text("0006\n")
    words = ("--tombstones", tmp_path / "gone", "--key", "key")
    done = bayesseg("erase", tmp_path / "ids.txt", copy, odd, *words)
    assert done.exit_code == (5 if kind == "damaged" else 2), done.output
    assert copy.read_bytes() == (here / "text.csv").read_bytes()
    assert not (tmp_path / "gone").exists()


# --- small cells ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "unsafe", "gone"),
    [
        ([50, 60, 70], [0, 0, 0], [0, 0, 0]),
        ([5, 60, 70], [1, 0, 0], [1, 1, 0]),
        ([60, 5, 40], [0, 1, 0], [0, 1, 1]),
        ([5, 6, 70], [1, 1, 0], [1, 1, 0]),
        ([0, 60, 70], [1, 0, 0], [0, 0, 0]),
        ([5], [1], [1]),
    ],
)
def test_a_hidden_cell_is_never_the_total_less_the_others(counts, unsafe, gone):
    assert hidden(counts, unsafe).astype(int).tolist() == gone


@pytest.fixture(scope="module")
def scores(cdnow_sample):
    customers = report_case.customers(cdnow_sample)
    some = customers.take(np.arange(400))
    posterior = report_case.posterior(some)
    return posterior, score(posterior, some, Settings(draws=100, predictive=False))


def small(scores, size, **money):
    """The scores with an S1 of that many customers, all of whose money one may have."""
    posterior, found = scores
    first, *rest = found.document["segments"]
    first = first | {"customers": {"mean": size, "lo": size, "hi": size}}
    table = found.table
    if money:
        held = np.zeros(len(table))
        held[0] = 1.0
        table = table.assign(membership_S1=held)
    return posterior, table, {**found.document, "segments": [first, *rest]}


@pytest.fixture(scope="module")
def page(scores):
    posterior, table, document = small(scores, 6.0)
    return build(posterior, table, document), document


def numbers(value):
    if isinstance(value, dict):
        return [n for one in value.values() for n in numbers(one)]
    return [value]


def test_a_small_segment_and_one_more_show_no_number_on_page_or_in_its_data(page):
    page, document = page
    found = page.data["sections"]["segments"]["segments"]
    blank = [one["id"] for one in found if {*numbers(one["share"])} == {None}]
    sizes = {one["id"]: one["customers"]["mean"] for one in document["segments"]}
    smallest = min((one for one in sizes if one != "S1"), key=sizes.get)
    assert sorted(blank) == sorted(["S1", smallest])
    for one in found:
        if one["id"] in blank:
            parts = ("customers", "share", "p_churn", "clv", "value_at_risk", "profile", "medians")
            assert {n for part in parts for n in numbers(one[part])} == {None}
    assert "Numbers of 2 segments are hidden" in page.html


def test_money_of_one_customer_is_hidden_and_sizes_are_not(scores):
    _, table, document = small(scores, 40.0, dominated=True)
    found = shown_safely(document, table)
    assert found["segments"][0]["clv"]["mean"] is None
    assert found["segments"][0]["customers"]["mean"] == 40.0
    assert sum(one["clv"]["mean"] is None for one in found["segments"]) == 2
    assert found["hidden"] == {"small": 0, "dominated": 2, "smallest": 11}


def test_large_segments_are_shown_as_they_are(scores):
    _, found = scores
    assert shown_safely(found.document, found.table)["segments"] == found.document["segments"]


def test_a_report_without_ids_has_no_row_about_one_person(page):
    page, _ = page
    assert set(page.data["sections"]["customers"]) == {"on_the_list"}
    assert "buys every" not in page.html


# --- the model card ------------------------------------------------------------------------------


def test_the_card_says_what_it_is_for_and_what_not(scores):
    text = card(scores[0])
    for said in ("Decision support", "Prices", "Credit", "Refusal of service", "Article 22"):
        assert said in text
    manifest = scores[0].manifest
    assert manifest["model_id"] in text
    assert f"{manifest['customers']['all']:,} customers." in text
    gates = [gate for gate in manifest["gates"] if gate["part"] == "purchase"]
    passed = sum(bool(gate["passed"]) for gate in gates)
    assert f"{passed} of {len(gates)} gates passed. Forecast verdict: caution." in text
    assert "not legal advice" in text


def test_nothing_of_the_data_is_markup_on_the_card(scores):
    verdicts = json.loads(json.dumps(scores[0].manifest["verdicts"]))
    verdicts["spend"]["reasons"] = ["<img src=x onerror=alert(1)> [a](javascript:b) `c`\n# d"]
    text = card(replace(scores[0], manifest=scores[0].manifest | {"verdicts": verdicts}))
    assert "<img" not in text
    assert r"\[a\](javascript:b) \`c\` # d" in text
    assert "\n# d" not in text


def test_a_card_of_segments_alone_has_no_purchases(scores):
    text = card(report_case.posterior(report_case.clients(), "segments"))
    assert "Describe groups" in text
    assert "Forecast verdict" not in text
    assert "contracts" not in text
