"""Fixtures every test may use."""

import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
from postgres_case import postgres as postgres
from snowflake_case import snowflake as snowflake
from spark_case import spark as spark

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and reference numbers beside a developer's checkout."""
    if not SHARED.is_dir():
        pytest.skip("the shared data folder is not beside this checkout")
    return SHARED


def _dataset(name: str) -> Path:
    spec = find_spec("lifetimes")  # finds the package without importing it, which takes seconds
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "datasets" / name


@pytest.fixture(scope="session")
def cdnow_sample() -> Path:
    """CDNOW, 2,357 customers: master id, sample id, date, CDs, dollars; no header."""
    return _dataset("CDNOW_sample.txt")


@pytest.fixture(scope="session")
def cdnow_master() -> Path:
    """CDNOW, 23,570 customers: a header line, then id, date, CDs, dollars."""
    return _dataset("CDNOW_master.txt")


@pytest.fixture(scope="session")
def cdnow_orders(cdnow_sample: Path) -> pd.DataFrame:
    """The CDNOW sample as a purchase log: customer_id (text), date, amount."""
    names = ["master", "customer_id", "date", "cds", "amount"]
    frame = pd.read_csv(
        cdnow_sample, sep=r"\s+", header=None, names=names, dtype={"customer_id": str}
    )
    frame["date"] = pd.to_datetime(frame["date"].astype(str))
    return frame[["customer_id", "date", "amount"]]


def _bayesseg(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bayesseg", *words], capture_output=True, text=True, cwd=cwd
    )


@pytest.fixture(scope="session")
def bayesseg():
    """Call the command line in a process of its own: ``bayesseg("check", "x.csv", cwd=folder)``."""
    return _bayesseg


@dataclass(frozen=True)
class Demo:
    """One whole ``bayesseg demo``: its folder and what it said."""

    folder: Path
    stdout: str
    stderr: str


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> Demo:
    """``bayesseg demo`` once for all tests: the real fit of the default model on CDNOW."""
    folder = tmp_path_factory.mktemp("demo")
    done = _bayesseg("demo", "-o", "demo", cwd=folder)
    assert done.returncode == 0, done.stderr
    return Demo(folder, done.stdout, done.stderr)
