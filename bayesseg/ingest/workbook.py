"""Excel workbooks (.xlsx): sheets of cells; nothing is computed here."""

from __future__ import annotations

import itertools
import posixpath
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from bayesseg.errors import InputRejected, ResourcesMissing
from bayesseg.ingest.cells import BATCH, Batch, Cell
from bayesseg.ingest.text import BOMBS, header

ALL = "all"
SHEET = "sheet"
"""The column that says which sheet a row stands in, where all are read."""
_EXACT = 1e15
"""Excel keeps fifteen digits: a larger whole number has lost some."""
_BLOCK = 1 << 20

_P = rb"(?:\w+:)?"
# a formula without a value; t="str" with an empty value is a formula that gave the empty text
_NEVER_COMPUTED = re.compile(
    rb"<" + _P + rb"c\b(?![^>]*\bt=\"str\")([^>]*)>\s*<" + _P + rb"f\b(?:[^>]*/>|[^>]*>[^<]*</" + _P
    + rb"f>)\s*(?:<" + _P + rb"v\s*/>|<" + _P + rb"v>\s*</" + _P + rb"v>)?\s*</" + _P + rb"c>"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Workbook:
    """The rows below the header of one sheet, or of all of them: ``batches`` may be called again."""

    sheet: str
    batches: Callable[[], Iterator[Batch]]


def read_workbook(path: Path, sheet: str | None = None) -> Workbook:
    """Choose the sheet to read: the only one with cells in it, the one named, or ``all``.

    All sheets must have one header; their rows get a column ``sheet``. Hidden sheets are read only by
    name. A cell in error (``#N/A``) is empty.

    Raises:
        InputRejected: damaged or enormous file, no or several sheets, bad header, a formula that was
            never computed.
        ResourcesMissing: the package that reads workbooks is not installed.
    """
    try:
        from python_calamine import CalamineError, CalamineWorkbook, SheetVisibleEnum
    except ImportError as error:
        raise ResourcesMissing(
            "reading workbooks needs the package python-calamine",
            fix="pip install 'bayesseg[excel]', or save the sheet as CSV",
        ) from error
    try:
        _refuse_bomb(path)
        book = CalamineWorkbook.from_path(str(path))
        visible = [
            one.name for one in book.sheets_metadata if one.visible == SheetVisibleEnum.Visible
        ]
        wanted = _wanted(sheet, book.sheet_names, visible)
        sheets = {name: book.get_sheet_by_name(name) for name in wanted}
        sheets = {name: rows for name, rows in sheets.items() if rows.height}
        _refuse_uncomputed(path, list(sheets))
    except (CalamineError, zipfile.BadZipFile, zlib.error, ElementTree.ParseError, KeyError) as e:
        raise _damaged() from e
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # the reader's own, outside Exception
            raise _damaged() from error
        raise
    if not sheets:
        raise InputRejected("the workbook is empty", fix="give a sheet with a header", code="empty")
    if len(sheets) > 1 and sheet is None:
        raise InputRejected(
            f"the workbook has {len(sheets)} sheets: {', '.join(map(repr, sheets))}",
            fix=f"give --sheet NAME, or --sheet {ALL} where they have one header",
            code="sheets",
        )
    return _workbook(sheets, together=sheet == ALL and ALL not in book.sheet_names)


def _wanted(sheet: str | None, names: Sequence[str], visible: Sequence[str]) -> Sequence[str]:
    if sheet is None or (sheet == ALL and ALL not in names):
        return visible
    if sheet not in names:
        raise InputRejected(
            f"there is no sheet {sheet!r}",
            fix=f"the sheets are {', '.join(map(repr, names))}",
            code="sheet_missing",
        )
    return [sheet]


def _workbook(sheets: dict[str, Any], *, together: bool) -> Workbook:
    names: dict[str, tuple[str, ...]] = {name: _header(rows) for name, rows in sheets.items()}
    first = next(iter(names))
    for name, own in names.items():
        if own != names[first]:
            raise InputRejected(
                f"sheet {name!r} has another header than sheet {first!r}",
                fix="give --sheet NAME, or the same columns in the same order",
                code="sheets",
            )
    if together and SHEET in names[first]:
        raise InputRejected(
            f"a column is named {SHEET!r} already", fix="rename it in the workbook", code="header"
        )

    def batches() -> Iterator[Batch]:
        yield dict.fromkeys(names[first], ())
        for name, sheet in sheets.items():
            rows = itertools.islice(_filled(sheet), 1, None)
            while block := list(itertools.islice(rows, BATCH)):
                columns = zip(*block, strict=True)
                own: dict[str, Sequence[Cell]] = {
                    column: [_cell(value) for value in values]
                    for column, values in zip(names[first], columns, strict=False)
                }
                yield {**own, SHEET: [name] * len(block)} if together else own

    return Workbook(ALL if together else first, batches)


def _filled(sheet: Any) -> Iterator[list[Any]]:
    return (row for row in sheet.iter_rows() if any(value != "" for value in row))


def _header(sheet: Any) -> tuple[str, ...]:
    """The names in the first row that is not blank; columns without name or cell are left away."""
    rows = _filled(sheet)
    cells = [str(value) for value in next(rows, [])]
    named = max((i for i, cell in enumerate(cells, start=1) if cell.strip()), default=0)
    used = max(
        (i for row in rows for i, v in enumerate(row, start=1) if i > named and v != ""), default=0
    )
    return header(cells[: max(named, used)])


def _cell(value: Any) -> Cell:
    if isinstance(value, float):
        whole = value.is_integer() and abs(value) < _EXACT
        return int(value) if whole else (repr(value),)
    return None if value == "" else value


def _damaged() -> InputRejected:
    return InputRejected(
        "the workbook is damaged or is none", fix="save it again as .xlsx", code="workbook"
    )


def _refuse_bomb(path: Path) -> None:
    ratio, floor = BOMBS
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > max(floor, ratio * path.stat().st_size):
        raise InputRejected(
            f"the workbook unpacks to more than {ratio} times its size",
            fix="save the sheet as CSV",
            code="bomb",
        )


def _refuse_uncomputed(path: Path, sheets: Sequence[str]) -> None:
    """A formula that no program has computed has no value, and would be read as an empty cell."""
    with zipfile.ZipFile(path) as archive:
        parts = _parts(archive)
        for name in sheets:
            with archive.open(parts[name]) as content:
                rest = b""
                while block := content.read(_BLOCK):
                    cells, end, rest = (rest + block).rpartition(b"</row>")
                    if found := _NEVER_COMPUTED.search(cells + end):
                        raise _uncomputed(found[1], name)


def _uncomputed(attributes: bytes, sheet: str) -> InputRejected:
    where = re.search(rb'\br="([A-Z]+\d+)"', attributes)
    cell = f"cell {where[1].decode()}" if where else "a cell"
    return InputRejected(
        f"{cell} of sheet {sheet!r} holds a formula that was never computed",
        fix="open the workbook in a spreadsheet program and save it, or save the sheet as CSV",
        code="formula",
    )


def _parts(archive: zipfile.ZipFile) -> dict[str, str]:
    """Name of each sheet -> name of its file in the archive."""
    book = ElementTree.fromstring(archive.read("xl/workbook.xml"))
    links = ElementTree.fromstring(archive.read("xl/_rels/workbook.xml.rels"))
    targets = {link.get("Id", ""): link.get("Target", "") for link in links}
    return {
        str(one.get("name")): posixpath.normpath(posixpath.join("/xl", targets[link]))[1:]
        for one in book.iter()
        if one.tag.endswith("}sheet")
        for key, link in one.items()
        if key.endswith("}id")
    }
