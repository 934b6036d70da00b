"""Score tables as files: nothing is lost, nothing is executed."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from bayesseg.cli import scorefile
from bayesseg.errors import ArtefactBad, UsageError

IDS = ["00042", "NA", "=cmd|'/c calc'!A1", "+1", "-2+3", "@x", "\tx", "a,b", 'quo"te', "[/x]", "é"]
IDS += ["'=x", "=x", "'", "''", "'plain", "1e5"]


@pytest.fixture
def scores():
    count = len(IDS)
    return pd.DataFrame(
        {
            "customer_id": IDS,
            "clv": np.linspace(-1.0, 3.0, count),
            "clv_pred_lo": np.full(count, np.nan),
            "flags": [("new", "one_time"), *[() for _ in IDS[1:]]],
            "segment_name": ["=loyal"] * count,
            "model_id": ["12e4"] * count,
            "as_of": np.full(count, np.datetime64("1998-06-30", "s")),
            "scored_at": pd.Series([pd.Timestamp("2025-01-02T03:04:05Z")] * count).dt.as_unit("s"),
        }
    )


@pytest.mark.parametrize("kind", ["parquet", "csv", "ndjson"])
def test_what_is_written_reads_back_the_same(scores, tmp_path, kind):
    path = tmp_path / f"scores.{kind}"
    scorefile.emit(scorefile.encoded(scores, kind), str(path), force=False)
    found = scorefile.read_scores(path)
    assert found["customer_id"].tolist() == IDS
    for name in ("clv", "flags", "segment_name", "model_id"):
        assert found[name].tolist() == scores[name].tolist()
    assert found["clv_pred_lo"].isna().all()


def test_no_text_cell_of_a_csv_starts_a_formula(scores):
    lines = scorefile.encoded(scores, "csv").decode().splitlines()[1:]
    for line in lines:
        assert line.lstrip('"')[0] not in "=+-@\t\r"


def test_numbers_are_never_guarded_and_raw_guards_nothing(scores):
    text = scorefile.encoded(scores, "csv").decode()
    assert ",-1.0," in text
    raw = scorefile.encoded(scores, "csv", raw=True).decode()
    assert "\n-2+3," in raw


def test_parquet_carries_units_descriptions_and_types(scores, tmp_path):
    path = tmp_path / "scores.parquet"
    said = {"clv": {"unit": "currency", "description": "what it is worth"}}
    path.write_bytes(scorefile.encoded(scores, "parquet", said))
    schema = pq.read_schema(path)
    assert schema.field("clv").metadata == {
        b"unit": b"currency",
        b"description": b"what it is worth",
    }
    assert str(schema.field("as_of").type) == "date32[day]"
    assert str(schema.field("scored_at").type).endswith("tz=UTC]")


def test_parquet_flags_are_lists_of_text_even_where_nobody_has_one(scores, tmp_path):
    path = tmp_path / "scores.parquet"
    path.write_bytes(scorefile.encoded(scores[1:], "parquet"))
    assert str(pq.read_schema(path).field("flags").type) == "list<element: string>"


def test_headers_of_a_csv_start_no_formula():
    """The names of a quarantine are those of somebody's file."""
    rows = pd.DataFrame({"=cmd|'/c calc'!A1": ["+x", None], "line": [2, 3]})
    assert scorefile.encoded(rows, "csv").decode().splitlines() == [
        "'=cmd|'/c calc'!A1,line",
        "'+x,2",
        ",3",
    ]


def test_a_table_is_not_written_where_its_document_goes():
    with pytest.raises(UsageError, match="document"):
        scorefile.sidecar(Path("scores.json"))


def test_ndjson_is_one_object_a_line(scores):
    lines = scorefile.encoded(scores, "ndjson").decode().splitlines()
    first = json.loads(lines[0])
    assert len(lines) == len(IDS)
    assert first["customer_id"] == "00042"
    assert first["as_of"] == "1998-06-30"
    assert first["clv_pred_lo"] is None


def test_a_file_that_is_there_is_not_overwritten(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        scorefile.emit(b"theirs", str(path), force=False)
    assert path.read_text() == "mine"
    scorefile.emit(b"theirs", str(path), force=True)
    assert path.read_text() == "theirs"


@pytest.mark.parametrize("content", ["", "colour,shape\nred,round\n", "customer_id\n1\n"])
def test_a_file_that_is_no_score_table_is_said_to_be_none(content, tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text(content)
    with pytest.raises(ArtefactBad):
        scorefile.read_scores(path)


def test_untrusted_scores_are_named_so():
    assert scorefile.untrusted("out/scores.parquet") == "out/scores.untrusted.parquet"
    assert scorefile.untrusted("-") == "-"
