"""Any file, whole or damaged: no traceback, no hang, no row lost without a word."""

import pytest
from fuzz_case import WHOLE, Worker, recipes, written
from hypothesis import HealthCheck, Phase, given, settings


@pytest.fixture(scope="module")
def worker():
    one = Worker()
    yield one
    one.close()


def judge(recipe, worker, folder):
    path = folder / "input.csv"
    path.write_bytes(written(recipe))
    answer = worker.check(path)
    assert answer is not None, "hung or died"
    code, document, said = answer
    assert code in (0, 3), said
    assert "Traceback" not in said
    assert "internal error" not in said
    if code:
        assert document["error"]["message"]
        assert document["error"]["fix"]
    if rows := document.get("rows"):
        assert rows["in"] == rows["used"] + sum(rows["excluded"].values())
        if recipe.damage in WHOLE:
            assert rows["in"] == recipe.rows
    assert rows or code == 3


def fuzz(examples):
    """The same examples each time, without a store of earlier ones."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


@fuzz(100)
@given(recipe=recipes())
def test_a_hundred_files(recipe, worker, tmp_path_factory):
    judge(recipe, worker, tmp_path_factory.getbasetemp())


@pytest.mark.fuzz
@fuzz(5_000)
@given(recipe=recipes())
def test_five_thousand_files(recipe, worker, tmp_path_factory):
    judge(recipe, worker, tmp_path_factory.getbasetemp())
