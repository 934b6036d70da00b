"""Ids by HMAC-SHA-256: whoever has the key can join them, nobody else can guess them.

A plain hash of a customer number is no secret, for there are few numbers to try: a key is always needed.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bayesseg.errors import UsageError

METHOD = "HMAC-SHA-256"
_BLOCK = 64  # bytes of a block of SHA-256 (RFC 2104)
_SHORTEST, _VARIED = 32, 8
_DIGITS = 32
"""128 bits: among ten million customers two share a pseudonym with probability 1e-25."""


@dataclass(frozen=True, slots=True)
class Key:
    """The secret of the pseudonyms, at least 32 bytes; never printed, never stored in an output."""

    secret: bytes = field(repr=False)

    @property
    def check(self) -> str:
        """What tells two keys apart and neither: 16 hex digits."""
        return hmac.digest(self.secret, b"bayesseg key", "sha256").hex()[:16]

    def pads(self) -> dict[str, bytes]:
        """The values of ``$inner`` and ``$outer`` in ``pseudonym``."""
        long = len(self.secret) > _BLOCK
        secret = hashlib.sha256(self.secret).digest() if long else self.secret
        block = secret.ljust(_BLOCK, b"\0")
        return {"inner": bytes(b ^ 0x36 for b in block), "outer": bytes(b ^ 0x5C for b in block)}


def read_key(source: str | Path, option: str = "--pseudonymise") -> Key:
    """Read a key from a file, or from the variable ``NAME`` of the environment by ``env:NAME``.

    Line ends at the end do not belong to it.

    Raises:
        UsageError: it is not there, or too short or too plain to be a secret.
    """
    kind, _, name = str(source).partition(":")
    try:
        raw = os.environb.get(name.encode()) if kind == "env" else Path(source).read_bytes()
    except OSError as error:
        raise UsageError(f"{option} {source} cannot be read", fix="check the path") from error
    if raw is None:
        raise UsageError(f"the environment has no variable {name!r}", fix="export it first")
    secret = raw.rstrip(b"\r\n")
    if len(secret) < _SHORTEST or len(set(secret)) < _VARIED:
        raise UsageError(
            f"the key of {option} can be guessed: ids would not be hidden",
            fix=f"give {_SHORTEST} random bytes or more, such as openssl rand -hex {_SHORTEST} > key",
        )
    return Key(secret)


def pseudonym(column: str) -> str:
    """SQL of the pseudonym of an id, over the parameters ``Key.pads``: ``p`` and 32 hex digits.

    The letter keeps a spreadsheet from taking it for a number.
    """
    inner = f"unhex(sha256($inner || encode({column})))"
    return f"'p' || left(sha256($outer || {inner}), {_DIGITS})"


def pseudonyms(ids: npt.ArrayLike, key: Key) -> npt.NDArray[np.object_]:
    """The pseudonym of each id, (N,); None stays None.

    ``"p" + hmac.digest(key, id.encode(), "sha256").hex()[:32]``, so that any system with the key can
    join them. They are still personal data: whoever has the key can tell who is who.
    """
    table: dict[str, Any] = {"id": pa.array(np.asarray(ids, dtype=object), pa.string())}
    with duckdb.connect() as connection:
        connection.register("given", pa.table({"n": np.arange(len(table["id"])), **table}))
        query = f"SELECT {pseudonym('id')} AS p FROM given ORDER BY n"
        found = connection.sql(query, params=key.pads()).to_arrow_table()
    return np.asarray(found["p"].to_numpy(zero_copy_only=False), dtype=object)
