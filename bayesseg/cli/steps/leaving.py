"""What may leave: parts that failed their gates, let go by somebody who says why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bayesseg.cli.shell import Shell
from bayesseg.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from bayesseg.gates import Release


def parts_of(table: pd.DataFrame) -> tuple[str, ...]:
    """The parts of a model that a score table has numbers of, whatever its document names."""
    of = {"purchase": "p_churn", "spend": "clv", "segments": "segment"}
    return tuple(part for part, column in of.items() if column in table)


def accept(
    document: Mapping[str, Any],
    parts: tuple[str, ...],
    shell: Shell,
    *,
    force: bool,
    reason: str | None,
) -> Release:
    """Let ``parts`` of a score file leave, or refuse (exit 4); what is blank there cannot leave.

    They are judged as they stand today: a waiver may have run out since they were scored.
    """
    from bayesseg.gates import judged_today, release, withheld

    found = release(judged_today(document), parts, force=force, reason=reason)
    scored = document.get("released", {})
    blank = [part for part in withheld(document, found.parts) if part not in scored]
    if blank:
        raise UsageError(
            f"the scores hold nothing of {' and '.join(blank)}: the columns of a failed part are blank",
            fix='score again with --force --reason "...", and then this',
        )
    said(found, shell)
    return found


def of_run(
    manifest: Mapping[str, Any], shell: Shell, *, force: bool, reason: str | None
) -> dict[str, str]:
    """The failed parts of a run that are scored all the same, each with the reason."""
    from bayesseg.gates import release

    if reason is None:
        return {}
    found = release(manifest, manifest["verdicts"], force=force, reason=reason)
    said(found, shell)
    return dict.fromkeys(found.parts, found.reason)


def said(found: Release, shell: Shell) -> None:
    """Say what leaves although it failed."""
    if found.parts:
        parts = " and ".join(found.parts)
        shell.warn(f"{parts} failed the gates and leaves all the same: {found.reason}")
