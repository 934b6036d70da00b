"""From the bytes of a delimited file to UTF-8 text with a checked header."""

from __future__ import annotations

import codecs
import csv
import gzip
import itertools
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from bayesseg.errors import InputRejected, UsageError

DELIMITERS = (",", ";", "\t", "|")
_BLOCK = 1 << 20
_SAMPLE = 10_000
BOMBS = 200, 1 << 30
"""A file that unpacks to more than so many times its size, beyond so many bytes, is refused."""

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins as the mark of UTF-16 does
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True, slots=True)
class Text:
    """A delimited file that DuckDB can read: UTF-8, one kind of line end, header checked.

    ``skip`` lines stand before the header. ``found`` holds ``(value, evidence, origin)`` by name.
    """

    path: Path
    names: tuple[str, ...]
    delimiter: str
    skip: int
    found: dict[str, tuple[str, str, str]]


def read_text(
    path: Path, scratch: Path, *, encoding: str | None = None, delimiter: str | None = None
) -> Text:
    """Examine ``path`` byte by byte; transcode it into ``scratch`` where DuckDB could not read it.

    Raises:
        InputRejected: broken archive, NUL byte, undecodable or mixed bytes, bad header, no clear
            delimiter.
        UsageError: the encoding has no such name.
    """
    coding, evidence, clean = _encoding(path, encoding)
    readable = path if clean else _transcode(path, scratch / "source.csv", coding)
    lines = _first_lines(readable)
    skip = 1 if (announced := re.fullmatch(r"\ufeff?sep=(.)", lines[0] if lines else "")) else 0
    lines = lines[skip:]
    if not any(line.strip() for line in lines):
        raise InputRejected("the file is empty", fix="give a file with a header line", code="empty")
    others = [mark for mark in DELIMITERS if mark in lines[0]]
    if delimiter is not None and delimiter not in lines[0] and others:
        raise InputRejected(
            f"the header holds no --delimiter {delimiter!r}, but {others[0]!r}",
            fix=f"give --delimiter {others[0]!r}, or leave it out",
            code="not_delimited",
        )
    if announced and delimiter is None:
        mark, why, origin = announced[1], "announced by the line sep=", "inferred"
    elif delimiter is not None:
        mark, why, origin = delimiter, "", "given"
    else:
        (mark, why), origin = _delimiter(lines), "inferred"
    found = {
        "encoding": (coding, evidence, "inferred" if encoding is None else "given"),
        "delimiter": (mark, why, origin),
    }
    names = header(next(csv.reader(lines, delimiter=mark)))
    return Text(readable, names, mark, skip, found)


def _open(path: Path) -> BinaryIO:
    with path.open("rb") as handle:
        magic = handle.read(4)
    if magic == b"PK\x03\x04":
        raise InputRejected(
            "the file is a zip archive (an Excel workbook is one), not text",
            fix="save the sheet as CSV, let the name of a workbook end in .xlsx, or unpack the archive",
            code="not_text",
        )
    return cast(BinaryIO, gzip.open(path) if magic[:2] == b"\x1f\x8b" else path.open("rb"))


def _blocks(path: Path) -> Iterator[bytes]:
    ratio, floor = BOMBS
    size, total = path.stat().st_size, 0
    try:
        with _open(path) as handle:
            while block := handle.read(_BLOCK):
                total += len(block)
                if total > max(floor, ratio * size):
                    raise InputRejected(
                        f"the file unpacks to more than {ratio} times its size",
                        fix="unpack it yourself and give the result",
                        code="bomb",
                    )
                yield block
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputRejected(
            f"the gzip file is damaged: {error}", fix="copy it again", code="truncated"
        ) from error


def _encoding(path: Path, given: str | None) -> tuple[str, str, bool]:
    """Encoding, evidence, and whether DuckDB can read the bytes as they stand."""
    first = first_bytes(path)
    coding = given or next((name for bom, name in _BOMS if first.startswith(bom)), "utf-8")
    evidence = "" if given else ("byte order mark" if coding != "utf-8" else "every byte")
    try:
        "".encode(coding)  # unlike the decoder, it knows hex and its like for no encodings of text
        decoder = codecs.getincrementaldecoder(coding)("strict")
    except LookupError as error:
        raise UsageError(
            f"--encoding {given} is unknown", fix="for example utf-8, cp1252 or utf-16"
        ) from error
    ends: Counter[bytes] = Counter()
    position, held = 0, b""
    try:
        for block in _blocks(path):
            if b"\0" in block and not coding.lower().startswith(("utf-16", "utf-32")):
                line = ends[b"\n"] + block[: block.index(b"\0")].count(b"\n") + 1
                raise InputRejected(
                    f"line {line} holds a NUL byte: the file is damaged or not in {coding}",
                    fix="if it is UTF-16, give --encoding utf-16; else export it again",
                    code="nul_byte",
                )
            decoder.decode(block)
            position += len(block)
            block = held + block
            held = block[-1:] if block.endswith(b"\r") else b""
            block = block[: len(block) - len(held)]
            ends[b"\r\n"] += block.count(b"\r\n")
            ends[b"\r"] += block.count(b"\r")
            ends[b"\n"] += block.count(b"\n")
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        if given is not None:
            raise InputRejected(
                f"byte {position + error.start + 1} is not {given}: {error.reason}",
                fix="give the encoding the file was written in by --encoding",
                code="encoding",
            ) from error
        return _windows(path), "some bytes are not UTF-8", False
    lone = ends[b"\r"] + len(held) - ends[b"\r\n"]
    mixed = bool(lone) or 0 < ends[b"\r\n"] < ends[b"\n"]
    with path.open("rb") as handle:
        packed = bool(first) and first[:2] != handle.read(2)
    return coding, evidence, coding in ("utf-8", "utf8", "utf-8-sig") and not mixed and not packed


def _windows(path: Path) -> str:
    """``cp1252``, unless the file mixes encodings or is neither."""
    whole = broken = 0
    for number, line in enumerate(byte_lines(path), start=1):
        if line.isascii():
            continue
        try:
            line.decode("utf-8")
            whole = whole or number
        except UnicodeDecodeError:
            broken = broken or number
            try:
                line.decode("cp1252")
            except UnicodeDecodeError as error:
                raise InputRejected(
                    f"line {number} is neither UTF-8 nor cp1252 (byte 0x{line[error.start]:02x})",
                    fix="give the encoding the file was written in by --encoding (mac_roman is that of "
                    "old Macs)",
                    code="encoding",
                ) from error
    if whole and broken:
        raise InputRejected(
            f"the file mixes encodings: line {whole} is UTF-8, line {broken} is not",
            fix="export the file again in one encoding",
            code="mixed_encodings",
        )
    return "cp1252"


def byte_lines(path: Path, longest: float = math.inf) -> Iterator[bytes]:
    """The lines of a file (also gzipped), undecoded; a longer one than ``longest`` bytes is refused."""
    rest = b""
    for block in _blocks(path):
        *lines, rest = (rest + block).split(b"\n")
        yield from lines
        if len(rest) > longest:
            raise InputRejected(
                f"a line is longer than {longest:,} bytes", fix="end each record with a line end"
            )
    yield rest


def first_bytes(path: Path) -> bytes:
    """The beginning of a file, unpacked where it is gzipped."""
    return next(_blocks(path), b"")


def _transcode(path: Path, target: Path, coding: str) -> Path:
    decoder = codecs.getincrementaldecoder(coding)("strict")
    held = ""
    with target.open("w", encoding="utf-8", newline="") as out:
        for block in itertools.chain(_blocks(path), (None,)):
            text = held + decoder.decode(block or b"", final=block is None)
            held = "\r" if text.endswith("\r") and block is not None else ""
            text = text[: len(text) - len(held)]
            out.write(text.replace("\r\n", "\n").replace("\r", "\n"))
    return target


def _first_lines(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as handle:
        sample = list(itertools.islice(handle, _SAMPLE + 1))
    return [line.rstrip("\r\n") for line in sample]


def _delimiter(lines: Sequence[str]) -> tuple[str, str]:
    widths = {mark: _widths(lines, mark) for mark in DELIMITERS}
    even = [m for m in DELIMITERS if len(set(widths[m])) == 1 and widths[m][0] >= 2]
    if len(even) == 1:
        count = len(widths[even[0]])
        return even[0], f"{widths[even[0]][0]} fields in {count:,} of {count:,} records looked at"
    if len(even) > 1:
        raise InputRejected(
            f"{' and '.join(repr(m) for m in even)} both divide every record evenly",
            fix="give --delimiter",
            code="delimiter_ambiguous",
        )
    # A ragged file has one clear delimiter in its header: the reader then names the broken line.
    wide = [m for m in DELIMITERS if widths[m] and widths[m][0] >= 2]
    if len(wide) == 1:
        return wide[0], f"{widths[wide[0]][0]} names in the header"
    longest = max(range(len(lines)), key=lambda i: len(lines[i]))
    if len(lines[longest]) > csv.field_size_limit():
        raise InputRejected(
            f"line {longest + 1} holds {len(lines[longest]):,} characters",
            fix="close a quote that is open before it, or shorten the field",
            code="long_line",
        )
    if any(row and Counter(row).most_common(1)[0][0] >= 2 for row in widths.values()):
        raise InputRejected(
            "the first line is no header: it has one field, and most lines have several",
            fix="delete what stands above the header",
            code="header",
        )
    raise InputRejected(
        "the first line has no clear delimiter (tried comma, semicolon, tab and |)",
        fix="give a delimited text file with a header line, or --delimiter",
        code="not_delimited",
    )


def _widths(lines: Sequence[str], mark: str) -> list[int]:
    cut = len(lines) > _SAMPLE
    try:
        rows = [len(r) for r in csv.reader((f"{x}\n" for x in lines), delimiter=mark) if r]
    except csv.Error:
        return []
    return rows[:-1] if cut else rows


def header(cells: Sequence[str]) -> tuple[str, ...]:
    """The names in the first record: each once, most of them there, and not all of them numbers.

    A column without a name, such as the row numbers of pandas or what a delimiter at the end of each
    line makes, is called by its place.
    """
    names = tuple(name.strip() for name in cells)
    missing = [i for i, name in enumerate(names, start=1) if not name]
    if 2 * len(missing) >= len(names):
        raise InputRejected(
            f"column {missing[0]} of the header has no name" if missing else "the header is empty",
            fix="name it; the first line must be the header",
            code="header",
        )
    if all(re.fullmatch(r"[\d\s.,:/+-]*", name) for name in names):
        raise InputRejected(
            "the first line looks like data, not like a header",
            fix="add a first line with the names of the columns",
            code="header",
        )
    return distinct([name or f"column {i}" for i, name in enumerate(names, start=1)])


_LONGEST_NAME = 255
"""Letters of a column's name; more is a cell that swallowed its neighbours, and slow to look for."""


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """``names``, refused where two of them differ in case only: SQL does not tell them apart."""
    seen: dict[str, str] = {}
    for at, name in enumerate(names, start=1):
        if len(name) > _LONGEST_NAME:
            raise InputRejected(
                f"the name of column {at} is {len(name):,} characters long: {name[:40]!r} ...",
                fix="name it in the first line; a quote that is never closed joins cells, too",
                code="header",
            )
        if (other := seen.setdefault(name.lower(), name)) is not name:
            twice = f"{name!r} more than once" if other == name else f"{other!r} and {name!r}"
            raise InputRejected(f"the header names {twice}", fix="rename one", code="header")
    return tuple(names)
