"""Any file, whole or damaged: no traceback, no hang, no row lost without a word, no sum changed."""

import pytest
from fuzz_case import content, counted, recipes, written
from fuzz_worker import Worker
from hypothesis import HealthCheck, Phase, given, settings


@pytest.fixture(scope="module")
def worker(request):
    one = Worker()
    yield one
    one.close()
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{one.files:,} files checked, the slowest in {one.worst:.1f} s")


def judge(recipe, worker, folder):
    path = folder / recipe.name
    raw = written(recipe)
    path.write_bytes(raw)
    answer = worker.check(path, recipe.words, recipe.options)
    assert answer is not None, "hung or died"
    code, document, said, held = answer
    assert code in ((0, 2, 3) if recipe.words else (0, 3)), (document.get("error"), said)
    assert "Traceback" not in said
    assert "internal error" not in said
    if code:
        assert document["error"]["message"]
        assert document["error"]["fix"] or code == 2
    rows = document.get("rows")
    assert rows or code
    if not rows:
        return
    assert rows["in"] == rows["used"] + sum(rows["excluded"].values())
    assert counted(raw, document) in (rows["in"], None)
    if held is not None and (expected := content(recipe)) is not None:
        if rows["excluded"].get("placeholder"):
            expected = {who: x for who, x in expected.items() if who in held}
        assert expected == held


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
