"""The file that says which columns go and what they are called there.

[columns]
customer_id = "Customer_Number__c"
p_churn = "Churn__c"
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from bayesseg._toml import Reader
from bayesseg.errors import UsageError


def read(path: Path) -> dict[str, str]:
    """The column of a feed (or of the scores) to its name at the destination, in their order.

    Raises:
        UsageError: it cannot be read, or has anything but texts under ``[columns]``.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        raw = tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"--map {path} cannot be read ({error})", fix="give a TOML file"
        ) from error
    reader = Reader(str(path), text)
    reader.keys(raw, "", ["columns"])
    columns = reader.get(raw, "", "columns", dict)
    found = {str(name): reader.get(columns, "columns", name, str) for name in columns}
    if not found:
        raise reader.error("columns", "is empty", "name at least one column")
    return found
