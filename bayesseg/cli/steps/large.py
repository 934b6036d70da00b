"""Scores of a file of any size: in memory where customers are few, on disk where they are many."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesseg._files import require_space, workplace
from bayesseg.cli.flags import ScoreFlags, SourceFlags, SummaryFlags
from bayesseg.cli.progress import progress
from bayesseg.cli.said import say_provenance
from bayesseg.cli.shell import Shell
from bayesseg.cli.steps import people, reading, scoring

if TYPE_CHECKING:
    from bayesseg.ingest import Key
    from bayesseg.posterior import Posterior
    from bayesseg.roster import Roster


def score(
    posterior: Posterior,
    data: str,
    attributes: Sequence[str] | None,
    source: SourceFlags,
    summary: SummaryFlags,
    settings: ScoreFlags,
    target: str,
    kind: str,
    shell: Shell,
    released: Mapping[str, str],
    *,
    raw: bool,
    force: bool,
) -> tuple[list[Path], dict[str, Any]]:
    """Score everybody in ``data`` and write it; return the files and what the document says."""
    from bayesseg.roster import Roster

    with ExitStack() as stack:
        loaded = _read(posterior, data, attributes, source, summary, target, shell, stack)
        start = time.perf_counter()
        if isinstance(loaded, Roster):
            files, document = _on_disk(
                posterior,
                loaded,
                settings,
                target,
                kind,
                shell,
                released,
                source.key(),
                raw=raw,
                force=force,
            )
        else:
            reading.refuse_nameless(loaded)
            scores = people.pseudonymous(
                scoring.score(posterior, loaded.customers, settings, shell, released), loaded.key
            )
            files = scoring.write_scores(scores, target, kind, shell, raw=raw, force=force)
            document = scores.document
    seconds = time.perf_counter() - start
    count = document["customers"]
    shell.say(
        f"{count:,} customers in {seconds:,.1f} s: {count / seconds:,.0f} customers per second"
    )
    return files, document


def _read(
    posterior: Posterior,
    data: str,
    attributes: Sequence[str] | None,
    source: SourceFlags,
    summary: SummaryFlags,
    target: str,
    shell: Shell,
    stack: ExitStack,
) -> reading.Loaded | Roster:
    """The customers: on disk where they are many, in a folder that ``stack`` removes."""
    from bayesseg.customers import summarise
    from bayesseg.roster import BYTES, LARGE, Roster, roster_of, summary_of

    if "purchase" not in posterior.spec.parts or attributes or source.shares:
        loaded = reading.load(
            data, source, shell, spec=posterior.spec, attributes=attributes, summary=summary
        )
        if len(loaded.customers) >= LARGE:
            shell.say("attributes and shares are kept in memory: give it some 2 kB a customer")
        return loaded

    key = source.key()

    def room(count: int) -> Path:
        return stack.enter_context(
            _folder(None if key or target == "-" else Path(target), count * BYTES)
        )

    if summary.summary is not None:
        how = reading.of_summary(source, summary)
        with reading.opened(data) as path:
            found = summary_of(path, room, key=key, **how)
        say_provenance(found.provenance, shell)
        return found if isinstance(found, Roster) else reading.Loaded(found, key=key)
    purchases = reading.accepted(data, source, shell)
    if (count := purchases.provenance["ids"]) < LARGE:
        customers = summarise(purchases, as_of=source.as_of)
        say_provenance(customers.provenance, shell)
        return reading.Loaded(customers, purchases, key)
    roster = roster_of(purchases, room(count), source.as_of, key)
    say_provenance(roster.provenance, shell)
    return roster


@contextmanager
def _folder(target: Path | None, need: int) -> Iterator[Path]:
    """A folder to work in, beside the target or, where ids are not for those who read there, private.

    One that is killed leaves it behind, with ids in it even where the scores have pseudonyms.
    """
    if target is not None:
        with workplace(target, need) as folder:
            yield folder
        return
    with tempfile.TemporaryDirectory(prefix="bayesseg-", ignore_cleanup_errors=True) as folder:
        require_space(Path(folder) / "scores", need)
        yield Path(folder)


def _on_disk(
    posterior: Posterior,
    roster: Roster,
    settings: ScoreFlags,
    target: str,
    kind: str,
    shell: Shell,
    released: Mapping[str, str],
    key: Key | None,
    *,
    raw: bool,
    force: bool,
) -> tuple[list[Path], dict[str, Any]]:
    from bayesseg.scoring.large import score_large

    scoring.say_settings(posterior, settings, shell)
    with progress() as on_progress:
        found = score_large(
            posterior,
            roster,
            settings.settings(),
            roster.path.parent,
            released=released,
            on_progress=on_progress,
        )
        scoring.say_document(found.document, shell)
        document = found.document | people.entry(key)
        files = scoring.write_batches(
            found.parts, found.schema, document, target, kind, shell, raw=raw, force=force
        )
    return files, document
