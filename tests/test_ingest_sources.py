"""JSON lines, workbooks, databases and streams: ids stay exact, and what cannot be read is refused."""

import datetime as dt
import gzip
import json
import zipfile

import duckdb
import openpyxl
import pandas as pd
import pyarrow as pa
import pytest
from test_ingest_reading import EXPECTED, ROWS, TABLE, seen

from bayesseg.customers import read_attributes, summarise
from bayesseg.errors import InputRejected, UsageError
from bayesseg.ingest import Options, read_purchases, source
from bayesseg.ingest.database import statement

RECORDS = TABLE.to_pylist()


def lines(folder, *records, name="orders.jsonl"):
    path = folder / name
    text = "\n".join(r if isinstance(r, str) else json.dumps(r, default=str) for r in records)
    data = text.encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def order(client, day="2024-01-02", amount="1.00"):
    """One line of JSON with ``client`` and ``amount`` as they are to be written."""
    return f'{{"client": {client}, "date": "{day}", "amount": {amount}}}'


def workbook(path, *sheets):
    """``sheets`` are (name, rows)."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets:
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


HEAD = ["client", "date", "amount"]
DAY = dt.datetime(2024, 1, 2)


def orders_sheet(*rows, name="orders"):
    return name, [HEAD, *rows]


@pytest.fixture
def shop(tmp_path):
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.register("rows", TABLE)
        connection.execute("CREATE SCHEMA sales; CREATE TABLE sales.orders AS FROM rows")
        connection.execute('CREATE TABLE "odd.name" AS FROM rows')
    return path


def ids_of(source, **options):
    return summarise(read_purchases(source, Options(**options)), "2024-02-01").ids.tolist()


@pytest.mark.parametrize("name", ["o.jsonl", "o.ndjson", "o.json", "o.jsonl.gz", "plain"])
def test_json_lines_give_the_same_customers_whatever_their_name(name, tmp_path):
    assert seen(lines(tmp_path, *RECORDS, name=name)) == EXPECTED


def test_numbers_in_json_lines_are_those_written(tmp_path):
    records = [{**r, "montant": float(r["montant"])} for r in RECORDS]
    path = lines(tmp_path, *records, "", "  ")
    assert seen(path) == EXPECTED
    assert read_purchases(path).provenance["source"]["kind"] == "jsonlines"


def test_a_number_with_three_decimals_is_no_thousand(tmp_path):
    path = lines(tmp_path, order('"a"', amount="1.125"), order('"a"', "2024-01-20", "2.250"))
    customers = summarise(read_purchases(path), "2024-02-01")
    assert (customers.first_spend.tolist(), customers.repeat_spend.tolist()) == ([1.125], [2.25])


@pytest.mark.parametrize("decimal", [None, "."])
def test_nor_is_it_beside_amounts_written_as_text(decimal, tmp_path):
    path = lines(tmp_path, order('"a"', amount="1.125"), order('"a"', "2024-01-20", '"2.25"'))
    customers = summarise(read_purchases(path, Options(decimal=decimal)), "2024-02-01")
    assert customers.first_spend.tolist() == [1.125]


def test_ids_in_json_lines_are_exact(tmp_path):
    written = ["9007199254740993", '"00042"', "42", "123456789012345678901234567890", '"1e6"']
    path = lines(tmp_path, *map(order, written))
    assert ids_of(path) == sorted(text.strip('"') for text in written)


@pytest.mark.parametrize(
    ("client", "why"),
    [("42.0", "a number with decimals"), ("1e6", "a number with decimals"), ("true", "yes or no")],
)
def test_what_has_ceased_to_be_an_id_is_refused(client, why, tmp_path):
    path = lines(tmp_path, order('"a"'), order(client))
    with pytest.raises(InputRejected, match=f"record 2 holds {why}"):
        read_purchases(path)


def test_a_missing_key_is_a_missing_cell(tmp_path):
    late = '{"client": "b", "date": "2024-01-05", "amount": "2", "shop": "x"}'
    path = lines(tmp_path, order('"a"'), '{"client": "a", "date": "2024-01-03"}', late)
    purchases = read_purchases(path, Options(max_bad=0.5))
    assert purchases.provenance["rows"] == {"in": 3, "used": 2, "excluded": {"amount_missing": 1}}
    assert purchases.provenance["columns_unused"] == ["shop"]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ('{"client": "a",}', "line 2 is not JSON"),
        ('{"client": "a"', "line 2 is not JSON"),
        ("[1, 2]", "line 2 is not a JSON object"),
        ("{}", "line 2 names no column"),
        ('{"": 1}', "line 2 has a nameless key"),
        ('{"client": 1, "client": 2}', "line 2 is not JSON .a key stands twice"),
        ('{"client": "\\ud800"}', "line 2 is not utf-8"),
        ('{"client": ' + "[" * 100_000, "line 2 is not JSON"),
        ('{"client": ' + "1" * 5_000 + "}", "line 2 is not JSON"),
    ],
)
def test_a_line_that_is_no_flat_record_is_named(bad, why, tmp_path):
    with pytest.raises(InputRejected, match=why) as caught:
        read_purchases(lines(tmp_path, order('"a"'), bad))
    assert "one flat JSON object a line" in caught.value.fix


@pytest.mark.parametrize(("value", "what"), [('{"id": 1}', "an object"), ('["a"]', "a list")])
def test_a_value_that_is_several_is_refused(value, what, tmp_path):
    with pytest.raises(InputRejected, match=f"record 2 holds {what} in 'client'"):
        read_purchases(lines(tmp_path, order('"a"'), order(value)))


def test_json_lines_in_another_encoding_are_refused_with_the_line(tmp_path):
    path = tmp_path / "o.jsonl"
    path.write_bytes(f"{order('"a"')}\n{order('"Hélène"')}".encode("cp1252"))
    with pytest.raises(InputRejected, match="line 2 is not utf-8"):
        read_purchases(path)
    assert ids_of(path, encoding="cp1252") == ["Hélène", "a"]


def test_a_json_array_is_refused_with_the_way_out(tmp_path):
    path = tmp_path / "o.json"
    path.write_text(json.dumps(RECORDS, default=str), encoding="utf-8")
    with pytest.raises(InputRejected, match="one JSON array") as caught:
        read_purchases(path)
    assert "jq -c" in caught.value.fix


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_json_lines_without_a_record_are_refused(text, tmp_path):
    with pytest.raises(InputRejected, match="the file is empty"):
        read_purchases(lines(tmp_path, text))


def test_records_with_ever_new_keys_are_refused(tmp_path):
    path = lines(tmp_path, *({f"id{i}": 1} for i in range(2_001)))
    with pytest.raises(InputRejected, match="more than 2,000 different columns"):
        read_purchases(path)


def test_more_records_than_a_batch_keep_their_order_and_number(tmp_path, monkeypatch):
    monkeypatch.setattr("bayesseg.ingest.jsonlines.BATCH", 3)
    records = [order(f'"c{i}"') for i in range(10)] + ['{"client": "late", "date": "?", "new": 1}']
    with read_purchases(lines(tmp_path, *records), Options(max_bad=0.5)) as purchases:
        assert purchases.quarantine["record"].tolist() == [11]
        assert purchases.provenance["rows"]["in"] == 11


def test_attributes_in_json_lines_keep_their_kinds(tmp_path):
    path = lines(
        tmp_path,
        '{"client": 2, "age": 31, "vip": true, "score": 1.250, "code": "01000"}',
        '{"client": 1, "age": null, "vip": false, "score": 2}',
    )
    found = read_attributes(path)
    assert found.ids.tolist() == ["2", "1"]
    assert found.columns["vip"].tolist() == [1.0, 0.0]
    assert found.columns["score"].tolist() == [1.25, 2.0]
    assert found.columns["code"].tolist() == ["01000", None]
    assert found.provenance["missing"] == {"age": 1, "code": 1}


def test_a_workbook_gives_the_same_customers(tmp_path):
    rows = [[*r.values()] for r in RECORDS]
    path = workbook(tmp_path / "o.xlsx", ("orders", [list(ROWS), *rows, [None], []]), ("notes", []))
    assert seen(path) == EXPECTED
    source = read_purchases(path).provenance["source"]
    assert (source["kind"], source["sheet"]) == ("excel", "orders")


def test_ids_that_a_workbook_stores_as_numbers_are_said(tmp_path):
    path = workbook(tmp_path / "o.xlsx", orders_sheet([42, DAY, 1.5], ["00042", DAY, 2]))
    purchases = read_purchases(path)
    assert summarise(purchases, "2024-02-01").ids.tolist() == ["00042", "42"]
    said = [f["message"] for f in purchases.provenance["findings"] if f["code"] == "id_numbers"]
    assert said == ["ids in 'client' are stored as numbers: 42.0 is read as 42"]


@pytest.mark.parametrize("client", [42.5, 1e15, 12345678901234567890, True])
def test_a_number_that_a_workbook_has_rounded_is_no_id(client, tmp_path):
    path = workbook(tmp_path / "o.xlsx", orders_sheet(["a", DAY, 1], [client, DAY, 2]))
    with pytest.raises(InputRejected, match="record 2 holds"):
        read_purchases(path)


def test_days_beside_days_that_stayed_text_are_refused(tmp_path):
    rows = [["a", dt.date(2024, 5, 1), 1], ["a", "13/01/2024", 2]]
    with pytest.raises(InputRejected):
        read_purchases(workbook(tmp_path / "o.xlsx", orders_sheet(*rows)))


def test_several_sheets_need_a_word(tmp_path):
    first, second = ["a", DAY, 1], ["b", dt.datetime(2024, 1, 3, 8, 30), 2]
    path = workbook(
        tmp_path / "o.xlsx",
        orders_sheet(first, name="Year 2009-2010"),
        orders_sheet(first, second, name="Year 2010-2011"),
    )
    with pytest.raises(InputRejected, match="2 sheets: 'Year 2009-2010', 'Year 2010-2011'") as e:
        read_purchases(path)
    assert "--sheet NAME" in e.value.fix
    assert ids_of(path, sheet="Year 2009-2010") == ["a"]
    with read_purchases(path, Options(sheet="all")) as purchases:
        assert purchases.provenance["rows"]["in"] == 3
        assert purchases.provenance["columns_unused"] == ["sheet"]
    with pytest.raises(InputRejected, match="there is no sheet '2012'"):
        read_purchases(path, Options(sheet="2012"))


def test_overlapping_sheets_are_counted_once(tmp_path):
    """Online Retail II: two sheets of one header that share days of December 2010."""
    head = ["Invoice", "Quantity", "InvoiceDate", "Price", "Customer ID"]
    both = [536365, 6, dt.datetime(2010, 12, 1, 8, 26), 2.55, 17850]
    path = workbook(
        tmp_path / "online_retail_II.xlsx",
        (
            "Year 2009-2010",
            [head, [489434, 12, dt.datetime(2009, 12, 1, 7, 45), 6.95, 13085], both],
        ),
        ("Year 2010-2011", [head, both, ["C536379", -1, dt.datetime(2010, 12, 2), 2.55, 17850]]),
    )
    options = Options(sheet="all", amount="Quantity * Price", order_id="Invoice", extract="sheet")
    with read_purchases(path, options) as purchases:
        assert purchases.provenance["rows"]["excluded"] == {"other_extract": 1}
        customers = summarise(purchases)
    assert customers.ids.tolist() == ["13085", "17850"]
    assert customers.first_spend.tolist() == [83.4, 15.3]


def test_sheets_of_different_headers_do_not_go_together(tmp_path):
    path = workbook(
        tmp_path / "o.xlsx", orders_sheet(["a", DAY, 1]), ("other", [["x", "y"], [1, 2]])
    )
    with pytest.raises(InputRejected, match="sheet 'other' has another header"):
        read_purchases(path, Options(sheet="all"))


def test_a_hidden_sheet_is_read_only_by_name(tmp_path):
    path = workbook(
        tmp_path / "o.xlsx", orders_sheet(["a", DAY, 1]), ("old", [HEAD, ["b", DAY, 2]])
    )
    book = openpyxl.load_workbook(path)
    book["old"].sheet_state = "hidden"
    book.save(path)
    assert ids_of(path) == ["a"]
    assert ids_of(path, sheet="old") == ["b"]


def test_a_formula_that_was_never_computed_is_refused_with_its_cell(tmp_path):
    path = workbook(tmp_path / "o.xlsx", orders_sheet(["a", DAY, 1], ["b", DAY, "=C2*2"]))
    with pytest.raises(InputRejected, match="cell C3 of sheet 'orders' holds a formula"):
        read_purchases(path)


@pytest.mark.parametrize(
    "cell",
    ['<c r="C3"><f>C2*2</f><v>2</v></c>', '<c r="C3" t="str"><f>""</f><v></v></c>'],
)
def test_a_formula_that_was_computed_is_its_value(cell, tmp_path):
    path = workbook(tmp_path / "o.xlsx", orders_sheet(["a", DAY, 1], ["b", DAY, "=C2*2"]))
    path = rewritten(path, "xl/worksheets/sheet1.xml", '<c r="C3"><f>C2*2</f><v /></c>', cell)
    expected = ["a", "b"] if "<v>2" in cell else ["a"]
    assert ids_of(path, max_bad=0.5) == expected


def rewritten(path, part, old, new):
    """The workbook with ``old`` replaced in one of its files."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert old.encode() in files[part]
    files[part] = files[part].replace(old.encode(), new.encode())
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.95])
def test_a_damaged_workbook_is_refused(keep, tmp_path):
    path = workbook(tmp_path / "o.xlsx", orders_sheet(*([f"c{i}", DAY, i] for i in range(50))))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(InputRejected, match="the workbook is damaged or is none"):
        read_purchases(path)


def test_a_workbook_that_unpacks_beyond_measure_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("bayesseg.ingest.workbook.BOMBS", (1, 1_000))
    with pytest.raises(InputRejected, match="unpacks to more than"):
        read_purchases(workbook(tmp_path / "o.xlsx", orders_sheet(["a", DAY, 1])))


def test_a_workbook_of_another_name_and_an_old_one_are_refused_with_the_way_out(tmp_path):
    path = workbook(tmp_path / "o.xlsx", orders_sheet(["a", DAY, 1]))
    with pytest.raises(InputRejected, match="zip archive") as caught:
        read_purchases(path.rename(tmp_path / "o.csv"))
    assert ".xlsx" in caught.value.fix
    old = tmp_path / "o.xls"
    old.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100))
    with pytest.raises(InputRejected, match="encrypted Excel workbook"):
        read_purchases(old)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([HEAD], "no rows"),
        ([], "the workbook is empty"),
        (
            [["client", "date", None], ["a", DAY, 1]],
            "looks like the amount; the columns are client, date, column 3",
        ),
        ([["client", "date", "date"], ["a", DAY, 1]], "names 'date' more than once"),
    ],
)
def test_a_sheet_without_a_table_is_refused(rows, why, tmp_path):
    with pytest.raises(InputRejected, match=why):
        read_purchases(workbook(tmp_path / "o.xlsx", ("orders", rows)))


@pytest.mark.parametrize(
    "how",
    [
        {"table": "sales.orders"},
        {"table": '"odd.name"'},
        {"query": "SELECT * FROM sales.orders -- all of it"},
        {"query": "WITH o AS (FROM sales.orders) SELECT * FROM o;\n"},
    ],
)
def test_a_duckdb_file_gives_the_same_customers(how, shop):
    assert seen(shop, Options(**how)) == EXPECTED


def test_what_was_read_of_a_database_is_recorded_without_path_or_query(shop):
    table = read_purchases(shop, Options(table="sales.orders")).provenance["source"]
    assert table == {"kind": "duckdb", "table": "sales.orders", "sha256": None, "bytes": None}
    query = read_purchases(shop, Options(query="FROM sales.orders")).provenance["source"]
    assert set(query) == {"kind", "query_sha256", "sha256", "bytes"}


@pytest.mark.parametrize(
    ("how", "why", "fix"),
    [
        ({"table": "order"}, "order does not exist", "sales.orders"),
        ({"query": "SELECT nothing FROM sales.orders"}, "nothing", "one SELECT"),
        ({"query": "SELECT 1) AS q; DROP TABLE sales.orders; SELECT (1"}, "query", "one SELECT"),
        ({"query": "DELETE FROM sales.orders RETURNING *"}, "query", "one SELECT"),
        ({"query": "SELECT * FROM read_csv('/etc/passwd')"}, "cannot be run", "one SELECT"),
        ({"query": "ATTACH 'other.db'"}, "query", "one SELECT"),
        ({"query": ""}, "query", "one SELECT"),
    ],
)
def test_a_query_can_only_read_and_only_that_file(how, why, fix, shop):
    before = shop.read_bytes()
    with pytest.raises(InputRejected, match=why) as caught:
        read_purchases(shop, Options(**how))
    assert fix in caught.value.fix
    assert shop.read_bytes() == before


@pytest.mark.parametrize("how", [{}, {"table": "a", "query": "b"}])
def test_a_database_is_asked_one_thing(how, shop):
    with pytest.raises(UsageError, match="--table or by --query-file") as caught:
        read_purchases(shop, Options(**how))
    assert how or "sales.orders" in caught.value.fix


def test_a_database_in_use_is_refused_with_the_way_out(shop):
    with duckdb.connect(str(shop)), pytest.raises(InputRejected, match="cannot be opened") as e:
        read_purchases(shop, Options(table="sales.orders"))
    assert "give a relation of your own connection" in e.value.fix


@pytest.mark.parametrize("name", ["", "a.", ".a", "a..b", "a.b.c.d", '"a'])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(UsageError, match="is no name"):
        statement(name, None)


def test_names_of_tables_are_quoted():
    assert statement("a.B c", None) == 'SELECT * FROM "a"."B c"'
    assert statement('"x""; DROP TABLE y".t', None) == 'SELECT * FROM "x""; DROP TABLE y"."t"'


@pytest.mark.parametrize("how", [{"sheet": "x"}, {"table": "x"}, {"query": "x"}])
def test_what_a_source_does_not_have_cannot_be_asked_of_it(how, tmp_path):
    path = tmp_path / "o.csv"
    pd.DataFrame(ROWS).to_csv(path, index=False)
    for source_ in (path, TABLE):
        with pytest.raises(UsageError, match=r"is for a (workbook|database)"):
            read_purchases(source_, Options(**how))


STREAMS = {
    "reader": lambda: pa.RecordBatchReader.from_batches(TABLE.schema, TABLE.to_batches()),
    "batch": lambda: TABLE.to_batches()[0],
    "chunks": lambda: pa.concat_tables([TABLE.slice(0, 2), TABLE.slice(2)]),
    "dictionary": lambda: TABLE.set_column(0, "client_id", TABLE["client_id"].dictionary_encode()),
    "large text": lambda: TABLE.set_column(0, "client_id", TABLE["client_id"].cast("large_string")),
    "view": lambda: TABLE.set_column(0, "client_id", TABLE["client_id"].cast("string_view")),
    "relation": lambda: duckdb.connect().from_arrow(TABLE).filter("true"),
}


@pytest.mark.parametrize("kind", STREAMS)
def test_streams_of_every_kind_give_the_same_customers(kind):
    assert seen(STREAMS[kind]()) == EXPECTED


def test_any_object_with_an_arrow_stream_is_a_source():
    class Own:
        def __arrow_c_stream__(self, requested_schema=None):
            return TABLE.__arrow_c_stream__(requested_schema)

    assert isinstance(Own(), source.Frame)
    assert seen(Own()) == EXPECTED
