"""Files that are no table, told by how they begin."""

from __future__ import annotations

import re

from bayesseg.errors import InputRejected

_UNPACK = "unpack it and give the file inside; of packed files gzip is read"
_EXPORT = "export the table as CSV or Parquet"
_SAVE = "open it in a spreadsheet program and save it as .xlsx or CSV"
KINDS = (
    (rb"BZh\d1AY&SY", "packed by bzip2", _UNPACK),
    (rb"\xfd7zXZ\0", "packed by xz", _UNPACK),
    (rb"\x28\xb5\x2f\xfd", "packed by zstd", _UNPACK),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (rb"Rar!\x1a\x07", "a rar archive", _UNPACK),
    (rb".{257}ustar", "a tar archive", _UNPACK),
    (rb"%PDF-", "a PDF document", _EXPORT),
    (rb"SQLite format 3\0", "a SQLite database", _EXPORT),
    (rb"ARROW1\0\0", "an Arrow (Feather) file", _EXPORT),
    (rb"\x89HDF\r\n", "an HDF5 file", _EXPORT),
    (rb"Obj\x01", "an Avro file", _EXPORT),
    (rb"\s*(?i:<!doctype html|<html|<table|<meta)", "a web page", _SAVE),
    (rb"\s*<\?xml", "an XML document", _SAVE),
)
"""How a file begins, what it is, what to do with it."""


def refuse_foreign(head: bytes) -> None:
    """Refuse a file that begins with ``head``, where it is known to be no table.

    Raises:
        InputRejected: an archive, a document, a database or a table in a form that is not read here.
    """
    head = head.removeprefix(b"\xef\xbb\xbf")
    for begins, kind, fix in KINDS:
        if re.match(begins, head, re.DOTALL):
            raise InputRejected(f"the file is {kind}", fix=fix, code="not_text")
