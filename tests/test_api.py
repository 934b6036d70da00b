"""The Python API: functions over values, the same for every kind of frame."""

import datetime as dt
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import bayesseg as bs
from bayesseg.errors import UsageError


@pytest.fixture(scope="module")
def orders():
    rng = np.random.default_rng(5)
    who = rng.integers(0, 40, size=400)
    day = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 300, size=400), unit="D")
    return pd.DataFrame(
        {
            "customer_id": [f"{one:03}" for one in who],
            "date": day,
            "amount": rng.gamma(2.0, 20.0, size=400).round(2),
        }
    )


@pytest.fixture(scope="module")
def expected(orders):
    return bs.summarise(orders, as_of="2024-10-31")


@pytest.mark.parametrize("kind", ["polars", "arrow", "csv", "parquet"])
def test_every_kind_of_source_gives_the_same_customers(kind, orders, expected, tmp_path):
    source = {
        "polars": lambda: pl.from_pandas(orders),
        "arrow": lambda: pa.Table.from_pandas(orders),
        "csv": lambda: orders.to_csv(tmp_path / "o.csv", index=False) or tmp_path / "o.csv",
        "parquet": lambda: orders.to_parquet(tmp_path / "o.parquet") or tmp_path / "o.parquet",
    }[kind]()
    found = bs.summarise(source, as_of="2024-10-31")
    assert len(found) == 40
    for field in fields(bs.Customers):
        ours, theirs = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(theirs, np.ndarray):
            np.testing.assert_array_equal(ours, theirs, err_msg=field.name)
    assert found.as_of == expected.as_of == dt.date(2024, 10, 31)


@pytest.mark.parametrize(
    "day",
    [
        dt.date(2024, 10, 31),
        dt.datetime(2024, 10, 31, 9),
        pd.Timestamp("2024-10-31"),
        np.datetime64("2024-10-31"),
    ],
)
def test_a_day_may_be_given_in_every_usual_way(day, orders, expected):
    assert bs.summarise(orders, as_of=day).as_of == expected.as_of


@pytest.mark.parametrize(
    "day", ["yesterday", "31/10/2024", "", "20241031", 20241031.5, "2024-02-30"]
)
def test_a_day_that_is_none_is_a_usage_error_that_names_it_and_the_form(day, orders):
    with pytest.raises(UsageError) as caught:
        bs.summarise(orders, as_of=day)
    assert repr(day) in caught.value.message
    assert "2024-01-31" in caught.value.fix


def test_every_name_of_the_package_is_there():
    import bayesseg.api

    assert sorted(bs.__all__) == sorted(bayesseg.api.__all__)
    for name in bs.__all__:
        assert getattr(bs, name) is getattr(bayesseg.api, name)
    with pytest.raises(AttributeError, match="nonsense"):
        bs.nonsense  # noqa: B018


def test_verbs_stay_functions_whatever_is_imported():
    code = (
        "import bayesseg.fitting, bayesseg.scoring, bayesseg.gates, bayesseg.cli.verbs\n"
        "import bayesseg as bs, types\n"
        "print([type(f) is types.FunctionType for f in (bs.fit, bs.score, bs.check, bs.days)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[True, True, True, True]\n"


@pytest.mark.parametrize("text", ["90", 90, "90d", "90 D"])
def test_spans_are_days(text):
    assert bs.days(text) == 90
