"""Checked reading of TOML: every complaint names the file, the key and its line. L0."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bayesseg.errors import UsageError


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads values of a parsed file and words every complaint the same way.

    With the ``text`` of the file a complaint also says the line.
    """

    source: str
    text: str = ""

    def error(self, path: str, problem: str, fix: str = "") -> UsageError:
        at = _lines(self.text)
        line = at.get(path) or at.get(path.rpartition(".")[0])
        where = f"{self.source}, line {line}" if line else self.source
        return UsageError(f"{where}: {path or 'the file'} {problem}", fix=fix)

    def keys(self, raw: Mapping[str, Any], path: str, allowed: Iterable[str]) -> None:
        allowed = list(allowed)
        for key in raw:
            if key not in allowed:
                raise self.error(
                    f"{path}.{key}".lstrip("."),
                    "is not a known key",
                    f"{nearest(key, allowed)}known keys: {', '.join(allowed)}",
                )

    def get(self, raw: Mapping[str, Any], path: str, key: str, kind: Any) -> Any:
        where = f"{path}.{key}".lstrip(".")
        if key not in raw:
            raise self.error(where, "is missing", "priors and settings have no silent defaults")
        value = raw[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.error(where, f"has the wrong type ({type(value).__name__})")
        return value

    def count(self, raw: Mapping[str, Any], path: str, key: str) -> int:
        value = self.get(raw, path, key, int)
        if value < 1:
            raise self.error(f"{path}.{key}", "must be at least 1")
        return int(value)

    def count_or(
        self, raw: Mapping[str, Any], path: str, key: str, words: tuple[str, ...]
    ) -> int | str:
        return str(raw[key]) if raw.get(key) in words else self.count(raw, path, key)

    def choice(self, raw: Mapping[str, Any], path: str, key: str, choices: Iterable[str]) -> str:
        value = self.get(raw, path, key, str)
        names = list(choices)
        if value not in names:
            raise self.error(
                f"{path}.{key}".lstrip("."),
                f"is {value!r}",
                f"{nearest(value, names)}choices: {', '.join(n for n in names if n)}",
            )
        return str(value)


def nearest(name: str, known: Iterable[str]) -> str:
    match = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {match[0]!r}? " if match else ""


def _lines(text: str) -> dict[str, int]:
    """The line of each key, by its path: ``merge[0].of``, ``segments.S1.label``."""
    found: dict[str, int] = {}
    tables: Counter[str] = Counter()
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        head = re.match(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]", line)
        key = re.match(r"""\s*(["']?)([\w.-]+)\1\s*=""", line)
        if head:
            name = re.sub("[\"']", "", head[2])
            table = f"{name}[{tables[name]}]" if head[1] == "[[" else name
            tables[name] += head[1] == "[["
            found.setdefault(table, number)
        elif key:
            found.setdefault(f"{table}.{key[2]}".lstrip("."), number)
    return found
