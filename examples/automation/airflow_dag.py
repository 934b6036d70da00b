"""Airflow 3: fit on Mondays, score and push every night, branching on exit codes.

``BAYESSEG_DSN`` comes from the worker's environment. Kept beside ``exits.py`` in the DAG folder.
"""

from datetime import timedelta

import pendulum
from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from exits import REPORT, RETRY, STOP, Done, call

DATA, RUNS, SCORES = "/srv/shop/orders.parquet", "/srv/bayesseg/runs", "/srv/bayesseg/scores"


def heed(done: Done) -> dict:
    """Fail for good, fail to be tried again, or hand the document on."""
    if done.act == STOP:
        raise AirflowFailException(done.why)
    if done.act == RETRY:
        raise AirflowException(done.why)
    return {**done.document, "rows_refused": done.act == REPORT}


@dag(
    schedule="15 3 * * *",
    start_date=pendulum.datetime(2025, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=5)},
)
def bayesseg_nightly():
    """One run a day; a day's second run changes nothing."""

    @task.short_circuit(ignore_downstream_trigger_rules=False)
    def is_monday(ds=None) -> bool:
        return pendulum.parse(ds).day_of_week == pendulum.MONDAY

    @task
    def fit(ds=None) -> dict:
        run = f"{RUNS}/{ds}"
        return heed(call("fit", DATA, "--as-of", ds, "--model", "retail", "-o", run, "--force"))

    @task(trigger_rule="all_done")  # a week whose fit failed is scored with the run before it
    def score(ds=None) -> str:
        from pathlib import Path

        run = max(path for path in Path(RUNS).glob("????-??-??") if path.is_dir())
        out = f"{SCORES}/{ds}.parquet"
        words = ("score", str(run), DATA, "--as-of", ds, "--margin", "0.3", "-o", out, "--force")
        heed(call(*words))
        return out

    @task
    def push(scores: str) -> dict:
        return heed(call("push", scores, "--to", "postgres", "--table", "crm.scores"))

    scored = score()
    is_monday() >> fit() >> scored
    push(scored)


bayesseg_nightly()
