"""A process that reads files and can be killed."""

import json
import multiprocessing
import time


def serve(pipe):
    """Answer each file with what ``bayesseg check --json`` says of it and what its reading holds."""
    import sklearn.ensemble  # noqa: F401 - what is imported on the way counts as no hang
    from typer.testing import CliRunner

    from bayesseg.cli import app
    from bayesseg.report import quality  # noqa: F401
    from bayesseg.segmentation import outliers  # noqa: F401

    pipe.send(None)
    while True:
        path, words, options = pipe.recv()
        result = CliRunner().invoke(app, ["check", path, "--json", *words])
        document = json.loads(result.stdout) if result.stdout else {}
        held = _held(path, options) if "rows" in document else None
        pipe.send((result.exit_code, document, result.stderr, held))


def _held(path, options):
    """Customer -> (lines, sum, first day, last day), or None where the file is refused."""
    from bayesseg.errors import InputRejected
    from bayesseg.ingest import Options, read_purchases

    try:
        with read_purchases(path, Options(**options)) as purchases:
            rows = purchases.connection.execute(
                "SELECT id, count(*), sum(amount), min(recorded_day), max(recorded_day) "
                "FROM bayesseg_source JOIN bayesseg_ids USING (customer_id) GROUP BY id"
            ).fetchall()
    except InputRejected:
        return None
    return {who: tuple(rest) for who, *rest in rows}


class Worker:
    """A process that checks files, killed and started again where one takes too long."""

    def __init__(self, seconds=10.0):
        self.seconds, self.process = seconds, None
        self.files, self.worst = 0, 0.0

    def _start(self):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        self.pipe.recv()

    def check(self, path, words=(), options=None):
        """Exit code, document, stderr and content; None where it hung or died twice.

        A machine that is busy with other work can keep one file waiting; a hang comes again.
        """
        return self._asked(path, words, options or {}) or self._asked(path, words, options or {})

    def _asked(self, path, words, options):
        if self.process is None:
            self._start()
        began = time.perf_counter()
        self.pipe.send((str(path), list(words), dict(options)))
        try:
            answer = self.pipe.recv() if self.pipe.poll(self.seconds) else None
        except EOFError:
            answer = None
        self.files, self.worst = self.files + 1, max(self.worst, time.perf_counter() - began)
        if answer is None:
            self.close()
        return answer

    def close(self):
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None
