"""What may leave: parts that failed their gates, let go by somebody who says why."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesseg.cli import scorefile
from bayesseg.cli.flags import objections
from bayesseg.cli.shell import Shell
from bayesseg.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from bayesseg.gates import Release
    from bayesseg.ingest import Objections


@dataclass(frozen=True, slots=True)
class How:
    """What is asked of a push or an export, as the flags have it."""

    exact: bool
    campaign: str | None
    holdout: float | None
    suppress_list: Path | None
    suppress_key: str | None
    pseudonymise: str | None
    dry_run: bool
    force: bool
    reason: str | None

    def __post_init__(self) -> None:
        if (self.campaign is None) is not (self.holdout is None):
            raise UsageError("--campaign and --holdout go together", fix="give both, or neither")


@dataclass(frozen=True, slots=True)
class Leaving:
    """What leaves: scores without those who objected, by the names they leave under.

    ``objectors`` are the names of those who were just left out: whatever stands there of them goes, also
    where the list is of another key than the names. ``names`` is the check of the key of pseudonyms they
    leave under, None where ids leave as they are.
    """

    table: pd.DataFrame
    document: Mapping[str, Any]
    released: Mapping[str, str]
    suppressed: Mapping[str, Any] | None
    objectors: frozenset[str]
    names: str | None


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


def let(
    table: pd.DataFrame,
    document: Mapping[str, Any],
    asked: Collection[str],
    shell: Shell,
    *,
    force: bool,
    reason: str | None,
) -> tuple[pd.DataFrame, Release]:
    """What of a score table may leave: a part that failed is left out and never holds up the others.

    Args:
        table: the scores.
        document: of them.
        asked: columns that a map names; empty where all go that there are.
        shell: told what is left out.
        force: with ``reason``: failed parts leave too, as far as the scores hold anything of them.
        reason: why.

    Returns:
        The table without the columns that stay, and which parts leave although they failed.

    Raises:
        GateFailed: nothing else was asked for, or a column of a failed part by its name.
        UsageError: the same, and they are blank, so that no force helps.
    """
    from bayesseg.feed.rows import FOLLOWS
    from bayesseg.gates import judged_today, withheld
    from bayesseg.scoring.table import columns_of

    parts, judged, scored = parts_of(table), judged_today(document), document.get("released", {})
    held = withheld(judged, parts)
    if force and (reason or "").strip():
        held = tuple(one for one in held if one in withheld(document, held) and one not in scored)
    lost = columns_of(table, held)
    rest = table.drop(columns=lost)
    left = parts_of(rest)
    if not left or {*asked, *(FOLLOWS.get(name, "") for name in asked)} & {*lost}:
        left, rest = parts, table
    elif held:
        shell.warn(
            f"{' and '.join(held)} failed the gates and is left out, the rest leaves"
            + ("" if asked else "; what was told of it before is emptied")
        )
    return rest, accept(document, left, shell, force=force, reason=reason)


def ready(scores: Path, how: How, asked: Collection[str], shell: Shell) -> Leaving:
    """What of a score file leaves, ``asked`` being the columns that a map names (see ``let``)."""
    from bayesseg.cli.steps import people
    from bayesseg.decide.holdout import held

    table, document = scorefile.read_scores(scores), scorefile.read_document(scores)
    table, found = let(table, document, asked, shell, force=how.force, reason=how.reason)
    if how.holdout is not None:
        table = table.assign(holdout=held(table["customer_id"], how.campaign or "", how.holdout))
    some = people.admitted(
        table, document, how.suppress_list, how.pseudonymise, shell, how.suppress_key
    )
    off = table[~table["customer_id"].isin(some.table["customer_id"])]
    own, gone = (
        one if how.pseudonymise is None else some.written(one) for one in (some.table, off)
    )
    key = some.key if how.pseudonymise is not None else None
    names = key.check if key else (document.get("pseudonyms") or {}).get("key_check")
    released = dict.fromkeys(found.parts, found.reason)
    return Leaving(own, document, released, some.left, frozenset(gone["customer_id"]), names)


def listed(how: How, shell: Shell) -> Objections | None:
    """The list as it meets the names that stand there: ids by the key of those names."""
    from bayesseg.ingest import read_key

    found = objections(how.suppress_list, how.suppress_key or how.pseudonymise)
    if found is None or how.pseudonymise is None:
        return found
    own = read_key(how.pseudonymise)
    if not found.buried:
        return replace(found, key=own)
    if found.key is not None and found.key.check != own.check:
        shell.warn(
            "the tombstones are of another key than the names that stand there: who is no longer in "
            "these scores is not found by them; push --erase with the key of --pseudonymise does"
        )
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
