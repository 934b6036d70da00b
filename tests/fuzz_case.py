"""Purchase logs in any format, dialect, encoding and locale, whole or damaged, and what they hold.

What a file holds is known twice: as the lines it was made of (:func:`content`) and by readers that
share nothing with the program (:func:`counted`).
"""

import csv
import datetime as dt
import gzip
import io
import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

HEADS = (
    ("customer_id", "date", "amount"),
    ("client", "date de commande", "montant"),
    ("N° client", "Date de facture", "Montant TTC"),
    ("CustomerID", "InvoiceDate", "Total"),
    ("email", "jour", "prix"),
    ("Customer ID", "Invoice Date", "Unit Price", "Quantity"),
    ("Réf. client", "Date d'achat", "PU HT", "Qté"),
)
EXTRAS = ("facture", "fichier", "devise", "siret", "rayon", "coût")
EPOCHS = {"s": 1, "ms": 1000}
DATES = (
    *(
        "%Y-%m-%d",
        "%d/%m/%Y",
        "%m/%d/%Y",
        "%d.%m.%y",
        "%y-%m-%d",
        "%Y%m%d",
        "%d %b %Y",
        "%B %d, %Y",
    ),
    *("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S", "%d/%m/%Y %H:%M", "%m/%d/%y %I:%M %p", *EPOCHS),
)
IDS = ("c{:03}", "{:05}", "{}", "client{}@exemple.fr", "Zoé {}", "{}-FR")
ODD_IDS = (
    *(
        "",
        " ",
        "NA",
        "00042",
        "1e6",
        "=cmd()",
        "a,b",
        "a;b",
        'say "hi"',
        "two\nlines",
        "Zoé",
        "x\u200by",
    ),
    *("0", "guest", "-1", "\x1b[31m", "x" * 300),
)
ODD_DATES = (
    *("", "2024-13-45", "31/02/2024", "0001-01-01", "2999-01-01", "45000", "1700000000", "soon"),
    *("03-janv-24", "2024-01-31T25:00:00Z", "9999999999999999"),
)
ODD_AMOUNTS = (
    *(
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
        "12,50 €",
        "1.234.567,8",
    ),
    *("0", "1e-9", "99999999999999.99", "12,34,567.00", "+5", "1 2 3"),
)
FLAGS = (
    *({"refunds": how} for how in ("drop", "refuse", "net")),
    *({"dedupe": True}, {"drop_missing_id": True}, {"id_trim": True}, {"id_normalize": "NFC"}),
    *({"max_bad": share} for share in (0.0, 0.5, 1.0)),
    *({"tz": zone} for zone in ("Europe/Paris", "America/Los_Angeles")),
    *({"epoch": unit} for unit in ("s", "s", "ms")),
    *({"decimal": mark} for mark in ".,"),
    *({"delimiter": mark} for mark in ",;|:"),
    *({"encoding": name} for name in ("utf-8", "cp1252", "utf-16", "latin-1", "utf-16-le")),
    *(
        {"date_format": form}
        for form in ("%d/%m/%Y", "%m/%d/%Y", "%Y-%m-%d", "%d.%m.%y", "jj/mm/aaaa")
    ),
    *({"min_date": dt.date(year, 6, 1)} for year in (1990, 2024)),
    *({"currency": name} for name in ("devise", "none", "rayon")),
    *({"currency_symbol": "€"}, {"accounting_negatives": True}, {"keep_id": ("guest", "0")}),
    *({"group": "siret"}, {"cost": "coût"}, {"cost": "coût + coût"}, {"shares": ("rayon",)}),
    *({"shares": ("rayon|R1|R2", "devise")}, {"order_id": "facture"}),
    *({"order_id": "facture", "extract": "fichier"}, {"order_id": "fichier", "extract": "facture"}),
    *(
        {"sheet": "all"},
        {"sheet": "all"},
        {"table": "t"},
        {"amount": "nothing"},
        {"date": "fichier"},
    ),
)
AS_OF = (None, None, None, None, "2024-08-01", "2019-01-01")
_PARIS = "Europe/Paris"


@dataclass(frozen=True)
class Recipe:
    """One file and the flags it is read with; everything random in it comes from ``seed``."""

    seed: int
    rows: int
    kind: str
    head: tuple
    ids: str
    extras: bool
    delimiter: str
    encoding: str
    decimal: str
    thousands: str
    places: int
    date: str
    newline: str
    quoted: bool
    refunds: float
    odd: float
    damages: tuple
    packed: bool
    flags: tuple
    as_of: str | None

    @property
    def options(self):
        return {name: value for one in self.flags for name, value in one.items()}

    @property
    def words(self):
        """The flags as on a command line."""
        asked = {**self.options, **({"as_of": self.as_of} if self.as_of else {})}
        asked |= {"show_ids": True} if self.seed % 4 == 0 else {}
        return [
            word
            for name, value in asked.items()
            for one in (value if isinstance(value, tuple) else (value,))
            for word in (f"--{name.replace('_', '-')}", *(() if one is True else (str(one),)))
        ]

    @property
    def name(self):
        packed = ".gz" if self.packed and self.kind in ("csv", "jsonl") else ""
        return f"input.{self.kind.rstrip('2')}{packed}"


def recipes():
    """All formats and dialects with all damages and flags; about a third is whole, half is unflagged."""
    return st.builds(
        Recipe,
        seed=st.integers(0, 2**31),
        rows=st.sampled_from([0, 1, 12, 60, 60, 60, 60, 300]),
        kind=st.sampled_from([*["csv"] * 6, "jsonl", "jsonl", "xlsx", "xlsx2", "parquet"]),
        head=st.sampled_from(HEADS),
        ids=st.sampled_from(IDS),
        extras=st.booleans(),
        delimiter=st.sampled_from(",;\t|"),
        encoding=st.sampled_from(
            ["utf-8"] * 4
            + ["utf-8-sig", "cp1252", "cp1252", "utf-16", "latin-1", "utf-16-le", "mac-roman"]
        ),
        decimal=st.sampled_from(".,"),
        thousands=st.sampled_from(["", "", " ", "\u00a0", "\u202f", "'", "other"]),
        places=st.sampled_from([2, 2, 0, 1, 3]),
        date=st.sampled_from(DATES),
        newline=st.sampled_from(["\n", "\r\n", "\r"]),
        quoted=st.booleans(),
        refunds=st.sampled_from([0.0, 0.05]),
        odd=st.sampled_from([0.0, 0.0, 0.005, 0.3]),
        damages=st.one_of(
            st.just(()), st.lists(st.sampled_from(sorted(DAMAGES)), max_size=2).map(tuple)
        ),
        packed=st.sampled_from([False, False, False, True]),
        flags=st.one_of(st.just(()), st.lists(st.sampled_from(FLAGS), max_size=2).map(tuple)),
        as_of=st.sampled_from(AS_OF),
    )


@dataclass(frozen=True)
class Line:
    """One purchase line: what is meant, and ``cells`` as they are written."""

    who: str
    moment: dt.datetime
    amount: Decimal
    cells: tuple


def lines(recipe):
    """The lines of the file, and whether all of them mean what they say."""
    rng = np.random.default_rng(recipe.seed)
    made, sound = [], True
    currencies = ("EUR", "USD") if recipe.seed % 8 == 0 else ("EUR",)
    while len(made) < recipe.rows:
        if made and rng.random() < 0.03:
            copy = made[-1]
            if recipe.extras and rng.random() < 0.5:  # the same order in the other extract
                cells = list(copy.cells)
                cells[-5] = "b" if cells[-5] == "a" else "a"
                copy = Line(copy.who, copy.moment, copy.amount, tuple(cells))
            made.append(copy)
            continue
        moment = dt.datetime(2024, 1, 1) + dt.timedelta(minutes=int(rng.integers(24 * 60 * 500)))
        who = recipe.ids.format(int(rng.integers(1, 3 + recipe.rows // 3)))
        price = Decimal(int(rng.lognormal(4.0, 1.5) * 10**recipe.places) + 1)
        price = price.scaleb(-recipe.places) * (-1 if rng.random() < recipe.refunds else 1)
        number = int(rng.integers(1, 6)) if len(recipe.head) == 4 else 1
        cells = [who, _date(moment, recipe.date), _amount(price, recipe)]
        cells += [str(number)] if len(recipe.head) == 4 else []
        if rng.random() < recipe.odd:
            at = int(rng.integers(3))
            cells[at], sound = str(rng.choice((ODD_IDS, ODD_DATES, ODD_AMOUNTS)[at])), False
        if recipe.extras:
            of_group = (
                f"G{int(rng.integers(1, 2 + recipe.rows // 6))}" if rng.random() < 0.5 else ""
            )
            cells += [f"F{len(made):04}", str(rng.choice(["a", "b"])), str(rng.choice(currencies))]
            cells += [of_group, f"R{int(rng.integers(4))}", _amount(abs(price) / 2, recipe)]
        made.append(Line(who, moment, price * number, tuple(cells)))
    return made, sound


def _date(moment, form):
    if form in EPOCHS:
        return str(int(moment.replace(tzinfo=dt.UTC).timestamp()) * EPOCHS[form])
    return moment.strftime(form)


def _amount(value, recipe):
    other = {".": ",", ",": "."}[recipe.decimal]
    parted = other if recipe.thousands == "other" else recipe.thousands
    text = f"{value:,.{recipe.places}f}"
    return text.replace(",", "T").replace(".", recipe.decimal).replace("T", parted)


def content(recipe):
    """What a right reading holds: customer -> (lines, sum, first day, last day); None if unsure."""
    made, sound = lines(recipe)
    flags = recipe.options
    right = {
        "decimal": recipe.decimal,
        "delimiter": recipe.delimiter,
        "encoding": recipe.encoding,
        "date_format": recipe.date,
        "epoch": recipe.date,
        "min_date": dt.date(1990, 6, 1),
    }
    if recipe.damages or not sound or not encodable(recipe) or recipe.date == "%y-%m-%d":
        return None
    if flags.keys() & {"amount", "date", "order_id"} and flags.get("order_id") != "facture":
        return None
    if any(name in right and value != right[name] for name, value in flags.items()):
        return None
    at = {name: i for i, name in enumerate((*recipe.head, *EXTRAS))}
    if flags.get("dedupe"):
        made = list({line.cells: line for line in made}.values())
    if "extract" in flags:
        held = Counter((*_order(line, at, recipe), line.cells[at["fichier"]]) for line in made)
        best = {}
        for (*order, of), _ in sorted(held.items(), key=lambda one: (-one[1], one[0][-1])):
            best.setdefault(tuple(order), of)
        made = [x for x in made if x.cells[at["fichier"]] == best[_order(x, at, recipe)]]
    if flags.get("refunds") == "drop":
        made = [line for line in made if line.amount >= 0]
    found = defaultdict(list)
    for line in made:
        found[_customer(line, at, flags)].append((line.amount, _day(line.moment, recipe)))
    return {
        who: (len(own), sum(a for a, _ in own), min(d for _, d in own), max(d for _, d in own))
        for who, own in found.items()
    }


def _customer(line, at, flags):
    return ("group" in flags and line.cells[at["siret"]]) or line.who


def _order(line, at, recipe):
    who = _customer(line, at, recipe.options)
    return line.cells[at["facture"]], who, _day(line.moment, recipe)


def _day(moment, recipe):
    """The business day: of ``tz`` where the file says which moment it was."""
    zone = recipe.options.get("tz")
    aware = recipe.date.endswith("Z") or recipe.date in EPOCHS
    if zone is None or not aware:
        return moment.date()
    return moment.replace(tzinfo=dt.UTC).astimezone(ZoneInfo(zone)).date()


def encodable(recipe):
    """Whether the encoding has all the letters of the file."""
    try:
        _text(recipe).encode(recipe.encoding)
    except UnicodeEncodeError:
        return False
    return True


def written(recipe):
    """The bytes of the file."""
    rng = np.random.default_rng(recipe.seed + 1)
    raw = {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet}.get(recipe.kind, _xlsx)(recipe)
    packed = recipe.packed and recipe.kind in ("csv", "jsonl")
    inside = packed and recipe.seed % 3 > 0  # the other archives are themselves damaged
    if not inside:
        raw = gzip.compress(raw, mtime=0) if packed else raw
    for damage in recipe.damages:
        raw = DAMAGES[damage](raw, rng)
    return gzip.compress(raw, mtime=0) if inside else raw


def _names(recipe):
    return (*recipe.head, *(EXTRAS if recipe.extras else ()))


def _csv(recipe):
    return _text(recipe).encode(recipe.encoding, errors="replace")


def _text(recipe):
    mark = recipe.delimiter

    def cell(text):
        if recipe.quoted or any(c in text for c in (mark, '"', "\n", "\r")):
            return '"' + text.replace('"', '""') + '"'
        return text

    rows = [_names(recipe), *(line.cells for line in lines(recipe)[0])]
    return recipe.newline.join([*(mark.join(map(cell, row)) for row in rows), ""])


def _jsonl(recipe):
    """Numbers as numbers where ``quoted`` is false and their text is one."""
    said = []
    for line in lines(recipe)[0]:
        record = dict(zip(_names(recipe), line.cells, strict=True))
        if not recipe.quoted and recipe.decimal == ".":
            record |= {name: _number(record[name]) for name in recipe.head[2:]}
        said.append(json.dumps(record, ensure_ascii=recipe.seed % 2 == 0))
    return "\n".join([*said, ""]).encode("utf-8-sig" if recipe.encoding == "utf-8-sig" else "utf-8")


def _number(text):
    try:
        return json.loads(text, parse_constant=str)
    except ValueError:
        return text


def _xlsx(recipe):
    """One sheet or two; days and numbers as a spreadsheet stores them where ``quoted`` is false."""
    book = openpyxl.Workbook()
    made = lines(recipe)[0]
    halves = [made[::2], made[1::2]] if recipe.kind == "xlsx2" else [made]
    book.remove(book.active)
    for number, half in enumerate(halves, start=1):
        sheet = book.create_sheet(f"Feuille {number}")
        sheet.append(_names(recipe))
        for line in half:
            cells = [None if c == "" else c.translate(_UNFIT) for c in line.cells]
            if not recipe.quoted:
                cells = _stored(line, cells, recipe)
            sheet.append(cells)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


_UNFIT = dict.fromkeys(range(32), "?")


def _stored(line, cells, recipe):
    """Cells with the day as a day and the money as numbers, where they are what was meant."""
    if cells[1] == _date(line.moment, recipe.date) and recipe.date not in EPOCHS:
        timed = "%H" in recipe.date or "%I" in recipe.date
        cells[1] = line.moment if timed else line.moment.date()
    if len(recipe.head) == 3 and cells[2] == _amount(line.amount, recipe):
        cells[2] = float(line.amount)
    return cells


def _parquet(recipe):
    columns = list(zip(*(line.cells for line in lines(recipe)[0]), strict=True))
    names = _names(recipe)
    table = {
        n: pa.array(c, pa.string())
        for n, c in zip(names, columns or [()] * len(names), strict=True)
    }
    if not recipe.quoted and len(recipe.head) == 3 and not recipe.odd:
        made = lines(recipe)[0]
        kind = pa.float64() if recipe.seed % 2 else pa.decimal128(18, 4)
        cast = float if recipe.seed % 2 else Decimal
        table[names[2]] = pa.array([cast(line.amount) for line in made], kind)
        table[names[1]] = pa.array([line.moment.date() for line in made], pa.date32())
    file = io.BytesIO()
    pq.write_table(pa.table(table), file, write_page_checksum=recipe.seed % 3 > 0)
    return file.getvalue()


def counted(raw, document):
    """The records of a file by readers of others: None where these cannot read it."""
    if raw[:2] == b"\x1f\x8b":
        raw = gzip.decompress(raw)
    kind = document["source"]["kind"]
    if kind == "parquet":
        return pq.read_metadata(io.BytesIO(raw)).num_rows
    if kind == "jsonlines":
        return sum(bool(line.strip(b" \t\r\n\xef\xbb\xbf")) for line in raw.split(b"\n"))
    if kind == "excel":
        return _cells_below_headers(raw)
    text = raw.decode(document["dialect"]["encoding"]["value"]).removeprefix("\ufeff")
    mark = document["dialect"]["delimiter"]["value"]
    body = text.partition("\n")[2] if text.startswith("sep=") else text
    return sum(bool(row) for row in csv.reader(io.StringIO(body, newline=""), delimiter=mark)) - 1


def _cells_below_headers(raw):
    try:
        book = openpyxl.load_workbook(io.BytesIO(raw), read_only=True)
        full = [
            sum(any(v not in (None, "") for v in row) for row in sheet.iter_rows(values_only=True))
            for sheet in book
        ]
    except Exception:
        return None
    return sum(n - 1 for n in full if n)


def _place(content, rng):
    return int(rng.integers(len(content) + 1))


def _put(what):
    def insert(content, rng):
        at = _place(content, rng)
        return content[:at] + what + content[at:]

    return insert


def _flip(content, rng):
    changed = bytearray(content)
    for at in rng.integers(max(len(changed), 1), size=min(3, len(changed))):
        changed[at] = int(rng.integers(256))
    return bytes(changed)


def _shuffle(content, rng):
    rows = content.split(b"\n")
    return b"\n".join(rows[i] for i in rng.permutation(len(rows)))


def _lost(content, rng):
    first, last = sorted((_place(content, rng), _place(content, rng)))
    return content[:first] + content[last:]


def _swap(content, rng):
    """One line in two loses its last field, or gains one."""
    rows = content.split(b"\n")
    at = int(rng.integers(len(rows)))
    rows[at] = rows[at].rpartition(b";")[0] or rows[at] + b",1"
    return b"\n".join(rows)


DAMAGES = {
    "cut": lambda content, rng: content[: _place(content, rng)],
    "headless": lambda content, rng: content[_place(content, rng) :],
    "lost": _lost,
    "flip": _flip,
    "shuffle": _shuffle,
    "swap": _swap,
    "nul": _put(b"\0"),
    "quote": _put(b'"'),
    "quotes": _put(b'"a""b"'),
    "backslash": _put(b"\\"),
    "delimiters": _put(b",;\t|"),
    "newlines": _put(b"\r\n\r\n\n"),
    "return": _put(b"\r"),
    "blanks": _put(b"\n  \n\t\n"),
    "bytes": _put(b"\xff\xfe\x80\x81"),
    "bom": _put(b"\xef\xbb\xbf"),
    "mixed": _put("é".encode() + "é".encode("cp1252")),
    "escape": _put(b"\x1b[31m\x07\x1a"),
    "separators": _put("\u2028\u0085\x0b\x0c\x1c".encode()),
    "long": _put(b"x" * 70_000),
    "wide": _put(b"," * 5_000),
    "brackets": _put(b'[[{{"a":'),
    "announced": lambda content, _: b"sep=;\n" + content,
    "parquet": lambda content, _: b"PAR1" + content + b"PAR1",
    "zip": lambda content, _: b"PK\x03\x04" + content,
    "json": lambda content, _: b'{"customer_id": "a", "date": ' + content,
    "packed": lambda content, _: gzip.compress(content, mtime=0),
    "doubled": lambda content, _: content + content,
    "total": lambda content, _: content + b"\nTotal;;1 234,56\n",
}
