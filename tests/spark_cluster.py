"""Scores of a cluster of two executors, one of which is killed while it works: a process of its own.

python tests/spark_cluster.py SUMMARY RUN OUT
"""

import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bayesseg.scoring import Settings
from bayesseg.spark import scored, start


def processes():
    """Every process: its words and its parent."""
    found = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                parent = (path / "stat").read_text().rpartition(")")[2].split()[1]
                found[int(path.name)] = ((path / "cmdline").read_bytes(), int(parent))
            except OSError:
                continue
    return found


def below(found, pid):
    """The descendants of a process."""
    level, every = {pid}, set()
    while level:
        level = {one for one, (_, parent) in found.items() if parent in level} - every
        every |= level
    return every


def kill_one(killed):
    """Kill an executor of this cluster a moment after a Python worker of its is there."""
    while not killed:
        time.sleep(0.2)
        found = processes()
        for pid in below(found, os.getpid()):
            words, parent = found[pid]
            if b"pyspark.daemon" in words and b"ExecutorBackend" in found[parent][0]:
                time.sleep(3.0)
                os.kill(parent, signal.SIGKILL)
                killed.append(parent)
                return


def main(summary, run, out):
    os.environ["PYSPARK_PYTHON"] = sys.executable
    killed = []
    with tempfile.TemporaryDirectory(prefix="bayesseg-cluster-") as folder:
        os.environ["SPARK_WORKER_DIR"] = folder
        session = start("local-cluster[2,1,1024]")
        threading.Thread(target=kill_one, args=(killed,), daemon=True).start()
        with scored(session.read.parquet(summary), run, Settings(draws=100)) as found:
            pq.write_table(pa.Table.from_batches(found.batches()), out)
        store = session.sparkContext._jsc.sc().statusStore().executorList(False)
        dead = [one for one in map(store.apply, range(store.size())) if not one.isActive()]
        session.stop()
    print(f"killed {len(killed)}, lost {len(dead)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
