"""From scores to what people read: the page and the lists."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesseg._files import refuse_existing, write_text
from bayesseg.cli import scorefile
from bayesseg.cli.shell import Shell

if TYPE_CHECKING:
    import pandas as pd

    from bayesseg.posterior import Posterior


def report(
    posterior: Posterior,
    table: pd.DataFrame,
    document: Mapping[str, Any],
    out: Path,
    shell: Shell,
    *,
    include_ids: bool = False,
    force: bool = False,
) -> list[Path]:
    """Write the page and its numbers: ``report.html`` and ``report.json``."""
    from bayesseg.report import build

    beside = scorefile.sidecar(out)
    for path in (out, beside):
        refuse_existing(path, force=force, file=True)
    page = build(posterior, table, dict(document), include_ids=include_ids)
    write_text(out, page.html)
    scorefile.write_document(beside, page.data, force=force)
    for path in (out, beside):
        shell.say(f"wrote {path}")
    return [out, beside]


def write_list(listed: pd.DataFrame, target: str, shell: Shell, *, force: bool) -> Path | None:
    """Write a contact list as CSV for people, with money and probabilities rounded."""
    shown = listed.round({"value": 2, "clv": 2, "p_alive": 4, "p_churn": 4, "typical_gap_days": 1})
    content = scorefile.encoded(shown, scorefile.format_of(target, None))
    path = scorefile.emit(content, target, force=force)
    if path is not None:
        shell.say(f"wrote {path}")
    return path
