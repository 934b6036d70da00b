"""From DATA to what a model sees, saying everything that was inferred or left out."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesseg.cli import scorefile
from bayesseg.cli.flags import SourceFlags, SummaryFlags, argv, is_address
from bayesseg.cli.said import say_findings, say_provenance
from bayesseg.cli.shell import Shell
from bayesseg.errors import InputRejected, UsageError

if TYPE_CHECKING:
    from bayesseg.customers import Attributes, Customers
    from bayesseg.ingest import Key, Purchases
    from bayesseg.spec import ModelSpec


_NO_SUMMARY = SummaryFlags()


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was read: the customers a model sees and, where there is one, the purchase log.

    ``key`` makes the pseudonyms by which customers are named in what is written, where they are.
    """

    customers: Customers | Attributes
    purchases: Purchases | None = None
    key: Key | None = None


def source_of(
    data: str | None, source: SourceFlags, shell: Shell, summary: SummaryFlags = _NO_SUMMARY
) -> str:
    """Where the rows are: DATA, ``--from`` or ``--summary``, of which there must be one."""
    asked = {"DATA": data, "--from": source.from_, "--summary": summary.summary}
    given = [name for name, value in asked.items() if value is not None]
    if len(given) != 1:
        raise UsageError(
            f"{' and '.join(given)} are both given" if given else "there is no DATA",
            fix="give one of them" if given else "give a file, - for stdin, or --from",
        )
    if data is not None and is_address(data):
        raise UsageError(
            "DATA is the address of a server",
            fix="give --from env:NAME, the variable NAME holding it",
        )
    where = next(value for value in asked.values() if value is not None)
    return where if data is not None else resolved(where, given[0], shell)


def resolved(where: str, option: str, shell: Shell) -> str:
    """A path or the address of a server, which ``env:NAME`` may hold."""
    kind, _, name = where.partition(":")
    if kind == "env":
        if not os.environ.get(name):
            raise UsageError(f"the environment has no variable {name!r}", fix="export it first")
        return os.environ[name]
    if is_address(where) and re.search(r"//[^/]*:.*@|password=", where):
        shell.warn(
            "the address holds a password, which others here can read in the list of processes: "
            f"put it into a variable, {option} env:NAME"
        )
    return where


def facts_of(words: str, like: str | None, source: SourceFlags, shell: Shell) -> Attributes:
    """The facts in ``FILE[#NAME]``; what the file leaves open, flags given for the log settle."""
    from bayesseg.customers import read_attributes

    file, _, name = words.rpartition("#")
    if not file or Path(words).exists():
        file, name = words, ""
    where = resolved(file, "--attributes", shell)
    kind = "sheet" if where.lower().endswith((".xlsx", ".xlsm")) else "table"
    inside: dict[str, Any] = {kind: name} if name else {}
    settled = {n: getattr(source, n) for n in ("encoding", "delimiter", "decimal")}
    try:
        try:
            return read_attributes(where, like=like, **inside)
        except InputRejected:
            if not any(settled.values()):
                raise
            return read_attributes(where, like=like, **inside, **settled)
    except (InputRejected, UsageError) as error:
        error.fix = re.sub(
            r"--(sheet NAME|table)", "#NAME after the file of --attributes", error.fix
        )
        raise


@contextmanager
def opened(data: str) -> Iterator[str | Path]:
    """DATA as ingest takes it; stdin is spooled to a file first, for it is read more than once."""
    if data != "-":
        yield data
        return
    with tempfile.TemporaryDirectory(prefix="bayesseg-") as folder:
        path = Path(folder) / "stdin"
        with path.open("wb") as handle:
            shutil.copyfileobj(sys.stdin.buffer, handle)
        with path.open("rb") as handle:
            zipped = handle.read(4) == b"PK\x03\x04"
        # the kind is told by content, but a zip archive is a workbook only where it is named as one
        yield path.rename(path.with_suffix(".xlsx")) if zipped else path


def load(
    data: str,
    source: SourceFlags,
    shell: Shell,
    *,
    spec: ModelSpec,
    attributes: Sequence[str] | None = None,
    summary: SummaryFlags = _NO_SUMMARY,
    people: bool = True,
) -> Loaded:
    """Read what ``spec`` needs: purchases (and attributes joined to them), or clients alone.

    Without ``people`` customers of a summary are not told apart, unless attributes are to be joined.
    """
    from bayesseg.customers import read_attributes

    if "purchase" not in spec.parts:
        if summary.summary is not None:
            raise UsageError(
                f"model {spec.name!r} reads no purchases, and --summary sums them up",
                fix="give the table of clients as DATA",
            )
        if attributes:
            raise UsageError(
                f"model {spec.name!r} reads no purchases: DATA is the table of clients itself",
                fix="give that table as DATA and leave out --attributes",
            )
        with opened(data) as path:
            clients = read_attributes(
                path,
                source.customer_id,
                encoding=source.encoding,
                delimiter=source.delimiter,
                sheet=source.sheet,
                table=source.table,
                query=source.query,
                decimal=source.decimal,
                suppress=source.objections(),
            )
        say_provenance(clients.provenance, shell)
        return Loaded(clients, key=source.key())
    loaded = (
        load_purchases(data, source, shell)
        if summary.summary is None
        else load_summary(data, source, summary, shell, people=people or bool(attributes))
    )
    customers = joined(buyers(loaded), attributes or (), source, shell)
    return replace(loaded, customers=customers, key=source.key())


def joined(
    customers: Customers, attributes: Sequence[str], source: SourceFlags, shell: Shell
) -> Customers:
    """``customers`` with the facts of each file, saying what was read and how many it knows."""
    from bayesseg.customers import with_attributes

    columns = customers.provenance["columns"]
    like = columns.get("group") or columns.get("customer_id") or {"value": None}
    for words in attributes:
        facts = facts_of(words, like["value"], source, shell)
        say_provenance(facts.provenance, shell)
        customers = with_attributes(customers, facts)
        entry = customers.provenance["attributes"]
        entry = entry.get("further", [entry])[-1]
        join = entry["join"]
        shell.say(
            f"attributes: {join['joined']:,} customers joined, {join['customers_without']:,} without, "
            f"{join['rows_without_customer']:,} rows of nobody here"
        )
        say_findings((one for one in entry["findings"] if one["code"] == "attributes_few"), shell)
    return customers


def load_purchases(data: str, source: SourceFlags, shell: Shell) -> Loaded:
    """Read and summarise a purchase log."""
    from bayesseg.customers import summarise

    purchases = accepted(data, source, shell)
    customers = summarise(purchases, as_of=source.as_of)
    say_provenance(customers.provenance, shell)
    return Loaded(customers, purchases)


def accepted(data: str, source: SourceFlags, shell: Shell) -> Purchases:
    """The purchase log, refused where it cannot be used."""
    from bayesseg.ingest import together

    purchases = examined(data, source, shell)
    if purchases.refused:
        raise together(purchases.refused)
    return purchases


def examined(data: str, source: SourceFlags, shell: Shell) -> Purchases:
    """The purchase log, refused or not, its unusable rows written where that was asked."""
    from bayesseg.ingest import examine

    _refuse_overwriting(source.quarantine, data)
    with opened(data) as path:
        purchases = examine(path, source.options())
    if source.quarantine is not None:
        write_quarantine(purchases, source.quarantine, shell, source.key())
    return purchases


_SET_ASIDE = "record,reason"


def _refuse_overwriting(path: Path | None, data: str) -> None:
    """An older quarantine is replaced, nothing else is."""
    if path is None or not path.exists():
        return
    if path.is_dir() or not path.read_bytes()[:64].startswith(_SET_ASIDE.encode()):
        raise UsageError(f"{path} is there and is no quarantine", fix="choose another name")


def write_quarantine(
    purchases: Purchases, path: Path, shell: Shell, key: Key | None = None
) -> None:
    """Write the rows that were set aside; they hold customers, so never into a run.

    With a ``key`` ids and groups are pseudonyms; ``record`` leads back to the source.
    """
    from bayesseg._files import remove, write_blocks
    from bayesseg.ingest import many, pseudonyms

    roles = purchases.provenance["columns"]
    names = [roles[role]["value"] for role in ("customer_id", "group") if role in roles]
    rows = 0

    def blocks() -> Iterator[bytes]:
        nonlocal rows
        for batch in purchases.quarantine_batches():
            if key is not None:
                batch = batch.assign(**{name: pseudonyms(batch[name], key) for name in names})
            yield scorefile.encoded(batch, "csv", header=rows == 0)
            rows += len(batch)

    write_blocks(path, blocks())
    if rows:
        shell.warn(f"{many(rows, 'row')} set aside: see {path}")
    else:
        remove(path)


def load_summary(
    data: str,
    source: SourceFlags,
    summary: SummaryFlags,
    shell: Shell,
    *,
    people: bool = True,
) -> Loaded:
    """Read customers that were summed up elsewhere."""
    from bayesseg.summary import read_summary

    how = of_summary(source, summary)
    with opened(data) as path:
        customers = read_summary(path, people=people, **how)
    say_provenance(customers.provenance, shell)
    return Loaded(customers)


def of_summary(source: SourceFlags, summary: SummaryFlags) -> dict[str, Any]:
    """The flags that a summary is read by; what is about a purchase log is refused."""
    unset: dict[str, Any] = dict.fromkeys((*_OF_TABLES, *_OF_PEOPLE))
    if others := argv(replace(source.of_file(), **unset)):
        raise UsageError(
            f"{others[0]} is about a purchase log, and --summary is none",
            fix="leave it out, or give it to bayesseg sql, which makes the summary",
        )
    kept = {name: getattr(source, name) for name in (*_OF_TABLES, "table", "query")}
    own = {"time_unit": summary.time_unit, "money": summary.money}
    return {**kept, **own, "suppress": source.objections()}


def refuse_nameless(loaded: Loaded) -> None:
    """Scores are of somebody: a summary without ids carries a fit only."""
    if not loaded.customers.provenance.get("summary", {"ids": True})["ids"]:
        raise InputRejected(
            "the summary has no ids: whose scores would these be?",
            fix="give one row a customer with an id (bayesseg sql without --histogram)",
            code="columns_unknown",
        )


_OF_TABLES = ("customer_id", "encoding", "delimiter", "decimal", "as_of")
"""What can be said of any table, a purchase log or not."""
_OF_PEOPLE = ("suppress_list", "suppress_key", "pseudonymise")
"""Whom to leave out and how to name the others, whatever the table."""


def buyers(loaded: Loaded) -> Customers:
    """The customers of a purchase log."""
    from bayesseg.customers import Customers

    assert isinstance(loaded.customers, Customers)
    return loaded.customers


def as_fitted(source: SourceFlags, manifest: Mapping[str, Any], shell: Shell) -> SourceFlags:
    """``source`` with what was given at the fit where nothing is given now."""
    from bayesseg.ingest import asked

    accounting = manifest["accounting"]
    if "summary" in accounting:
        return source
    stored: dict[str, Any] = {
        name: entry["value"]
        for name, entry in {**accounting["columns"], **accounting["dialect"]}.items()
        if entry["origin"] == "given"
    }
    policies = accounting.get("policies", {})
    stored |= policies.get("given", {})
    if levels := accounting.get("shares"):
        stored["shares"] = [asked(column, known) for column, known in levels.items()]
    if policies.get("ids_kept") and not source.keep_id:
        shell.warn("the fit kept ids that look like placeholders: give --keep-id as at the fit")
    if policies.get("suppress_list") and not source.suppress_list:
        shell.warn("the fit left out who had objected: give --suppress-list here too")
    unset = {name: value for name, value in stored.items() if not getattr(source, name)}
    if unset:
        shell.say(f"as at the fit: {shlex.join(argv(replace(SourceFlags(), **unset)))}")
    return replace(source, **unset)
