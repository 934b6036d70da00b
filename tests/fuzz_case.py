"""Purchase logs in any dialect, encoding and locale, whole or damaged, and workers that read them."""

import datetime as dt
import gzip
import json
import multiprocessing
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from typer.testing import CliRunner

HEADS = (
    ("customer_id", "date", "amount"),
    ("client", "date de commande", "montant"),
    ("N° client", "Date de facture", "Montant TTC"),
    ("CustomerID", "InvoiceDate", "Total"),
    ("email", "jour", "prix"),
)
DATES = ("%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%y", "%Y%m%d", "%Y-%m-%dT%H:%M:%SZ", "%d %b %Y")
ODD_IDS = (
    "",
    " ",
    "NA",
    "00042",
    "1e6",
    "=cmd()",
    "a,b",
    "a;b",
    'say "hi"',
    "Zoé",
    "x\u200by",
    "0",
    "guest",
    "-1",
)
ODD_DATES = (
    "",
    "2024-13-45",
    "31/02/2024",
    "0001-01-01",
    "2999-01-01",
    "45000",
    "1700000000",
    "soon",
)
ODD_AMOUNTS = (
    "",
    "-",
    "-12.5",
    "inf",
    "nan",
    "1e400",
    "1e308",
    "(5)",
    "5-",
    "€5",
    "1.234.567,8",
    "0",
    "1e-9",
)


@dataclass(frozen=True)
class Recipe:
    """One file; everything random in it comes from ``seed``."""

    seed: int
    rows: int
    head: tuple
    delimiter: str
    encoding: str
    decimal: str
    thousands: str
    date: str
    newline: str
    quoted: bool
    odd: float
    damage: str
    packed: bool


def recipes():
    """All dialects with all damages; about a third is whole."""
    return st.builds(
        Recipe,
        seed=st.integers(0, 2**31),
        rows=st.sampled_from([0, 1, 2, 12, 60, 300]),
        head=st.sampled_from(HEADS),
        delimiter=st.sampled_from(",;\t|"),
        encoding=st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "utf-16", "latin-1"]),
        decimal=st.sampled_from(".,"),
        thousands=st.sampled_from(["", " ", "\u00a0", "\u202f", "'"]),
        date=st.sampled_from(DATES),
        newline=st.sampled_from(["\n", "\r\n", "\r"]),
        quoted=st.booleans(),
        odd=st.sampled_from([0.0, 0.0, 0.005, 0.3]),
        damage=st.sampled_from([*["none"] * 7, *DAMAGES]),
        packed=st.sampled_from([False, False, False, True]),
    )


def written(recipe):
    """The bytes of the file."""
    rng = np.random.default_rng(recipe.seed)
    mark = recipe.delimiter

    def cell(text):
        if recipe.quoted or any(c in text for c in (mark, '"', "\n", "\r")):
            return '"' + text.replace('"', '""') + '"'
        return text

    lines = [mark.join(map(cell, recipe.head))]
    for _ in range(recipe.rows):
        day = dt.datetime(2024, 1, 1) + dt.timedelta(hours=int(rng.integers(24 * 500)))
        whole = f"{rng.lognormal(4.0, 1.5):,.2f}"
        amount = whole.replace(",", "T").replace(".", recipe.decimal).replace("T", recipe.thousands)
        cells = [
            f"c{int(rng.integers(1 + recipe.rows // 3)):03}",
            day.strftime(recipe.date),
            amount,
        ]
        if rng.random() < recipe.odd:
            at = int(rng.integers(3))
            cells[at] = str(rng.choice((ODD_IDS, ODD_DATES, ODD_AMOUNTS)[at]))
        lines.append(mark.join(map(cell, cells)))
    text = recipe.newline.join([*lines, ""])
    content = text.encode(recipe.encoding, errors="replace")
    content = DAMAGES.get(recipe.damage, lambda b, _: b)(content, rng)
    return gzip.compress(content) if recipe.packed else content


def _place(content, rng):
    return int(rng.integers(len(content) + 1))


def _put(what):
    def insert(content, rng):
        at = _place(content, rng)
        return content[:at] + what + content[at:]

    return insert


def _flip(content, rng):
    changed = bytearray(content)
    for at in rng.integers(len(changed), size=min(3, len(changed))):
        changed[at] = int(rng.integers(256))
    return bytes(changed)


def _shuffle(content, rng):
    lines = content.split(b"\n")
    return b"\n".join(lines[i] for i in rng.permutation(len(lines)))


DAMAGES = {
    "cut": lambda content, rng: content[: _place(content, rng)],
    "headless": lambda content, rng: content[_place(content, rng) :],
    "flip": _flip,
    "shuffle": _shuffle,
    "nul": _put(b"\0"),
    "quote": _put(b'"'),
    "delimiters": _put(b",;\t|"),
    "newlines": _put(b"\r\n\r\n\n"),
    "return": _put(b"\r"),
    "bytes": _put(b"\xff\xfe\x80\x81"),
    "bom": _put(b"\xef\xbb\xbf"),
    "mixed": _put("é".encode() + "é".encode("cp1252")),
    "escape": _put(b"\x1b[31m\x07\x1a"),
    "long": _put(b"x" * 70_000),
    "wide": _put(b"," * 5_000),
    "parquet": lambda content, _: b"PAR1" + content + b"PAR1",
    "zip": lambda content, _: b"PK\x03\x04" + content,
    "json": lambda content, _: b'{"customer_id": "a", "date": ' + content,
    "doubled": lambda content, _: content + content,
}
WHOLE = ("none",)


def serve(pipe):
    """Answer each path with what ``bayesseg check --json`` says of it."""
    import sklearn.ensemble  # noqa: F401 - what is imported on the way counts as no hang

    from bayesseg.cli import app
    from bayesseg.report import quality  # noqa: F401
    from bayesseg.segmentation import outliers  # noqa: F401

    pipe.send(None)
    while True:
        result = CliRunner().invoke(app, ["check", pipe.recv(), "--json"])
        pipe.send((result.exit_code, result.stdout, result.stderr))


class Worker:
    """A process that checks files, killed and started again where one takes too long."""

    def __init__(self, seconds=10.0):
        self.seconds, self.process = seconds, None

    def _start(self):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        self.pipe.recv()

    def check(self, path):
        """Exit code, document and stderr; None where it hung or died."""
        if self.process is None:
            self._start()
        self.pipe.send(str(path))
        if not self.pipe.poll(self.seconds):
            self.close()
            return None
        try:
            code, out, said = self.pipe.recv()
        except EOFError:
            self.close()
            return None
        return code, json.loads(out) if out else {}, said

    def close(self):
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None
