"""People in the data: pseudonyms, objections, erasure, small cells, the model card."""

import hashlib
import hmac
import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import report_case
from typer.testing import CliRunner

from bayesseg.aggregates.cells import hidden
from bayesseg.cli import app, scorefile
from bayesseg.cli.steps import erasing
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
from bayesseg.ingest.findings import finding
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
    rows, met = refused(pseudonyms(IDS, read_key(key)), found)
    assert (rows.tolist(), met.tolist()) == ([True, False, False, False, False], [0])


@pytest.mark.parametrize(
    "text",
    [
        "c386 \n",
        '"c386"\n"x"\n',
        "customer_id,why\nc386 ,x\n",
        'kunde;customer_id\n1;"c386"\n',
        'why,id\n\n"a, b",c386\n',
        "customer_id;why\nc386;a, b\n",
    ],
)
def test_an_entry_is_met_however_it_is_written(text, tmp_path):
    rows, _ = refused(np.array(["c385", "c386"], dtype=object), listed(tmp_path, text))
    assert rows.tolist() == [False, True]


@pytest.mark.parametrize(("entry", "id_"), [("e\u0301lan", "élan"), ("élan", "e\u0301lan")])
def test_an_entry_is_met_with_accents_in_either_writing(entry, id_, tmp_path):
    rows, _ = refused(np.array([id_], dtype=object), listed(tmp_path, entry))
    assert rows.tolist() == [True]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("c386,2024-01-01\n", "none is known to hold ids"),
        ("kunde_nr;grund\nc386;x\n", "none is known to hold ids"),
        ("x\nc386|y\n", "none is known to hold ids"),
        ("why,customer_id\na,b,c386\n", "row 2 has 3 cells where the header has 2"),
        ("why,customer_id\nc386\n", "row 2 has 1 cells where the header has 2"),
        ('"c386\nx\n', "is no CSV"),
        ('customer_id,why\nc386,"x"y\n', "is no CSV"),
        ("c386\0\n", "holds the character"),
    ],
)
def test_a_list_that_could_hide_an_entry_is_refused(text, said, tmp_path):
    with pytest.raises(UsageError, match=said):
        listed(tmp_path, text)


def test_a_list_of_which_nobody_is_met_is_a_warning(tmp_path):
    def levels(text):
        with read_purchases(LOG, Options(suppress=listed(tmp_path, text))) as purchases:
            found = purchases.provenance["findings"]
        return [one["level"] for one in found if one["code"] == "suppressed"]

    assert levels("a\nnobody\n") == ["note"]
    assert levels("nobody\n") == levels("nobody\nnone\n") == ["warning"]


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


def test_a_list_of_which_no_score_is_met_is_a_warning(here):
    (here / "no.txt").write_text("nobody\n")
    done = bayesseg("prioritise", "plain.parquet", "--suppress-list", "no.txt", "--json")
    assert any("1 of its 1 entries" in one for one in json.loads(done.stdout)["warnings"])


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


FORGET = ("--tombstones", "gone", "--key", "key")


@pytest.fixture
def bench(tmp_path, monkeypatch, key):
    """A folder of its own with two documented tables of five customers."""
    monkeypatch.chdir(tmp_path)
    for name in ("a1", "a2"):
        pd.DataFrame({"customer_id": IDS, "n": range(5)}).to_parquet(f"{name}.parquet")
        described(tmp_path / f"{name}.parquet")
    return tmp_path


def described(path, **more):
    table = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "rows": 5}
    path.with_suffix(".json").write_text(json.dumps({"table": table, **more}))


def forget(bench, text, *files, **how):
    (bench / "ids.txt").write_text(text)
    return bayesseg("erase", "ids.txt", *files, *FORGET, **how)


def test_who_was_met_in_any_writing_is_buried_as_he_is(bench):
    (bench / "l.csv").write_text("customer_id,n\n'=x,1\n42,2\n")
    done = forget(bench, "'=x\n 42\n", "l.csv")
    assert (done.exit_code, (bench / "l.csv").read_text()) == (0, "customer_id,n\n")
    assert set(expected(["=x", "42"])) <= set((bench / "gone").read_text().splitlines())
    back = read_objections(bench / "gone", read_key(bench / "key"))
    assert refused(IDS, back)[0].tolist() == [True, False, False, True, False]


def test_entries_met_in_no_file_are_warned_of_and_buried_all_the_same(bench):
    done = forget(bench, "42\nnobody\nnone\n", "a1.parquet", "a2.parquet")
    assert "warning: 2 of the 3 entries of ids.txt were met in no file" in done.stderr
    assert set(expected(["42", "nobody", "none"])) <= set((bench / "gone").read_text().splitlines())


def test_a_damaged_document_stops_everything_before_it_begins(bench):
    before = (bench / "a1.parquet").read_bytes()
    (bench / "a2.json").write_text('{"table": ')
    done = forget(bench, "42\n", "a1.parquet", "a2.parquet")
    assert (done.exit_code, "a2.parquet cannot be read" in done.stderr) == (5, True)
    assert (bench / "a1.parquet").read_bytes() == before
    assert not (bench / "gone").exists()


def test_a_file_of_pseudonyms_of_another_key_is_refused(bench):
    described(bench / "a2.parquet", pseudonyms={"key_check": "0" * 16})
    done = forget(bench, "42\n", "a1.parquet", "a2.parquet")
    assert (done.exit_code, "pseudonyms of another key" in done.stderr) == (2, True)
    assert len(pd.read_parquet(bench / "a1.parquet")) == 5


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_an_erasure_that_was_killed_is_finished_by_the_next(bench, writes, monkeypatch):
    left = iter(range(writes))

    def dying(write):
        def write_or_die(*args, **how):
            if next(left, None) is None:
                raise KeyboardInterrupt
            return write(*args, **how)

        return write_or_die

    with monkeypatch.context() as patch:
        patch.setattr(scorefile, "write_document", dying(scorefile.write_document))
        patch.setattr(erasing, "write_bytes", dying(erasing.write_bytes))
        forget(bench, "42\n", "a1.parquet")
    assert forget(bench, "42\n", "a1.parquet").exit_code == 0
    document = json.loads((bench / "a1.json").read_text())
    now = hashlib.sha256((bench / "a1.parquet").read_bytes()).hexdigest()
    assert len(pd.read_parquet(bench / "a1.parquet")) == 4
    assert document["table"] == {"sha256": now, "rows": 4, "erased": 1}
    assert document.keys() == {"table", "notes"}


def test_a_file_without_them_keeps_its_document_as_it_is(bench):
    before = (bench / "a1.json").read_bytes()
    assert forget(bench, "nobody\n", "a1.parquet").exit_code == 0
    assert (bench / "a1.json").read_bytes() == before


def test_every_other_line_of_a_csv_keeps_its_bytes(bench):
    kept = [
        b'\xef\xbb\xbf"customer_id",n,n\r\n',
        b'"a b","1,5",007\r\n',
        b"\r\n",
        b"x,NA,\n",
        b'y,"two\nlines",1.50',
    ]
    lines = [*kept[:2], b'42,"gone\n",1\n', *kept[2:]]
    (bench / "l.csv").write_bytes(b"".join(lines))
    assert forget(bench, "42\n", "l.csv").exit_code == 0
    assert (bench / "l.csv").read_bytes() == b"".join(kept)


def test_a_list_that_erase_cannot_read_is_named_by_its_own_words(bench):
    done = forget(bench, "\n", "a1.parquet")
    assert (done.exit_code, "IDS ids.txt holds no id" in done.stderr) == (2, True)
    (bench / "ids.txt").write_text(f"bayesseg tombstones {'0' * 16}\n")
    done = bayesseg("erase", "ids.txt", "a1.parquet", *FORGET)
    assert (done.exit_code, "by --key" in done.stderr) == (2, True)


def test_tombstones_without_a_key_are_refused(tmp_path):
    with pytest.raises(UsageError, match="need a key"):
        erasing.bury(listed(tmp_path, "a"), tmp_path / "gone")


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
        ([1, 2, 50, 60], [1, 1, 0, 0], [1, 1, 1, 0]),
        ([4, 3, 60, 2], [0, 0, 0, 1], [1, 1, 1, 1]),
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


def test_money_stays_hidden_while_one_customer_has_nearly_all_that_is_missing():
    sizes, value = (11, 12, 80, 400), np.ones(503)
    value[0], value[23:103] = 1e6, 1e4
    own = np.repeat(np.arange(4), sizes)
    table = pd.DataFrame({f"membership_S{k}": (own == k) * 1.0 for k in range(4)} | {"clv": value})
    segments = [{"id": f"S{k}", "customers": {"mean": n}, "clv": 1.0} for k, n in enumerate(sizes)]
    found = shown_safely({"segments": segments}, table)["segments"]
    assert [one["clv"] for one in found] == [None, None, None, 1.0]
    assert [one["customers"]["mean"] for one in found] == [*sizes]


def test_large_segments_are_shown_as_they_are(scores):
    _, found = scores
    assert shown_safely(found.document, found.table)["segments"] == found.document["segments"]


def test_a_report_without_ids_has_no_row_about_one_person(page):
    page, _ = page
    found = page.data["sections"]["customers"]
    assert [set(found[which]) for which in ("save", "win-back")] == [
        {"on_the_list", "certainty"}
    ] * 2
    assert found["curve"] == []
    assert "buys every" not in page.html


def test_a_report_without_ids_tells_nothing_of_fewer_than_eleven_rows(scores):
    posterior, found = scores
    findings = [
        finding(
            "duplicate", "note", 1, "1 row kept though an exact copy, adding 48.6173", "", [40317]
        ),
        finding("amount_outliers", "note", 70, "70 amounts outside, 2 with a robust z above 3.5"),
        finding("refund", "note", 40, "40 negative amounts (301.25) netted", "", [5, 6]),
        finding("date_gap", "warning", 1, "1 gap without any purchase, the longest of 9 days"),
    ]
    rows = {"in": 1000, "used": 960, "excluded": {"id_missing": 33, "after_as_of": 4, "refund": 3}}
    quality = {
        "completeness": {"id": {"present": 993, "missing": 7, "share": 0.993}},
        "consistency": {"id_readable": {"asked": 993, "failing": 0, "share": 1.0}},
        "duplicates": {"rows": 1, "amount": 48.6173},
        "refunds": {"rows": 40, "share_of_rows": 0.04, "amount": 301.25, "share_of_amount": 0.02},
        "amounts": {"positive": 900, "largest_share": 0.0104000929817, "iqr_outliers": {"rows": 70}}
        | {"robust_z_outliers": {"rows": 2, "limit": 3.5}},
        "time": {"longest_gap": 9, "odd_weeks": []},
    }
    told = {"rows": rows, "findings": findings, "quality": quality}
    own = replace(posterior, manifest=posterior.manifest | {"accounting": told})
    page = build(own, found.table, found.document)
    data = page.data["sections"]["data"]["accounting"]
    assert [one["code"] for one in data["findings"]] == ["refund", "date_gap"]
    assert data["rows"]["excluded"] == {"id_missing": 33, "others": 7}
    assert data["quality"]["duplicates"] == {"rows": None, "amount": None}
    assert data["quality"]["completeness"]["id"]["present"] is None
    assert data["quality"]["refunds"]["amount"] == 301.25
    text = re.sub(r"data:image[^\"]+", "", page.html) + str(data)
    assert not any(secret in text for secret in ("48.61", "0.01040", "'records'", "40317"))
    assert "2 more observations are about fewer than 11 rows" in page.html
    named = build(own, found.table, found.document, include_ids=True)
    assert "adding 48.6173" in named.html
    assert named.data["sections"]["data"]["accounting"]["rows"] == rows


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
