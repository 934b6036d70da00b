"""Prefect: score and push every night, fit on Mondays, branching on exit codes.

python prefect_flow.py serves it; ``BAYESSEG_DSN`` comes from the environment of the process.
"""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from exits import RETRY, STOP, Done, call
from prefect import flow, get_run_logger, task

DATA, RUNS, SCORES = "/srv/shop/orders.parquet", "/srv/bayesseg/runs", "/srv/bayesseg/scores"


class Again(Exception):
    """Worth another attempt."""


def passing(_task, _run, state) -> bool:
    """Whether a failed task is tried again: only where its exit code says so."""
    return isinstance(state.result(raise_on_failure=False), Again)


def heed(done: Done) -> Done:
    """Raise what must not go on; refused rows are warned of and do not stop the flow."""
    if done.act == STOP:
        raise RuntimeError(done.why)
    if done.act == RETRY:
        raise Again(done.why)
    if done.code:
        get_run_logger().warning(done.why)
    return done


@task(retries=3, retry_delay_seconds=300, retry_condition_fn=passing)
def bayesseg(*arguments: str) -> Done:
    """One call of the command line."""
    return heed(call(*arguments))


@flow
def nightly(day: date | None = None) -> None:
    """All of one night."""
    day = day or datetime.now(UTC).date() - timedelta(days=1)
    if day.weekday() == 0:
        # a fit that fails its gates is not scored with: the run before it serves
        bayesseg(
            "fit", DATA, "--as-of", str(day), "-o", f"{RUNS}/{day}", "--force", return_state=True
        )
    run = max(path for path in Path(RUNS).glob("????-??-??") if path.is_dir())
    scores = f"{SCORES}/{day}.parquet"
    words = ("--as-of", str(day), "--margin", "0.3", "-o", scores, "--force")
    bayesseg("score", str(run), DATA, *words)
    bayesseg("push", scores, "--to", "postgres", "--table", "crm.scores")


if __name__ == "__main__":
    nightly.serve(name="bayesseg", cron="15 3 * * *")
