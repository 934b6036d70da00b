"""From DATA to what a model sees, saying everything that was inferred or left out."""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesseg.cli.flags import SourceFlags, argv
from bayesseg.cli.said import say_provenance
from bayesseg.cli.shell import Shell
from bayesseg.errors import UsageError

if TYPE_CHECKING:
    from bayesseg.customers import Attributes, Customers
    from bayesseg.ingest import Purchases
    from bayesseg.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was read: the customers a model sees and, where there is one, the purchase log."""

    customers: Customers | Attributes
    purchases: Purchases | None = None


@contextmanager
def opened(data: str) -> Iterator[Path]:
    """The path of DATA; stdin is spooled to a file first, for it is read more than once."""
    if data != "-":
        yield Path(data)
        return
    with tempfile.TemporaryDirectory(prefix="bayesseg-") as folder:
        path = Path(folder) / "stdin"
        with path.open("wb") as handle:
            shutil.copyfileobj(sys.stdin.buffer, handle)
        with path.open("rb") as handle:
            head = handle.read(4)
        suffix = ".parquet" if head == b"PAR1" else ".csv.gz" if head[:2] == b"\x1f\x8b" else ".csv"
        yield path.rename(path.with_suffix(suffix))


def load(
    data: str, source: SourceFlags, shell: Shell, *, spec: ModelSpec, attributes: Path | None = None
) -> Loaded:
    """Read what ``spec`` needs: purchases (and attributes joined to them), or clients alone."""
    from bayesseg.customers import read_attributes, with_attributes

    if "purchase" not in spec.parts:
        if attributes is not None:
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
                decimal=source.decimal,
            )
        say_provenance(clients.provenance, shell)
        return Loaded(clients)
    loaded = load_purchases(data, source, shell)
    if attributes is None:
        return loaded
    facts = read_attributes(attributes)
    say_provenance(facts.provenance, shell)
    customers = with_attributes(buyers(loaded), facts)
    join = customers.provenance["attributes"]["join"]
    shell.say(
        f"attributes: {join['joined']:,} customers joined, {join['customers_without']:,} without, "
        f"{join['rows_without_customer']:,} rows of nobody here"
    )
    return replace(loaded, customers=customers)


def load_purchases(data: str, source: SourceFlags, shell: Shell) -> Loaded:
    """Read and summarise a purchase log."""
    from bayesseg.customers import summarise
    from bayesseg.ingest import read_purchases

    with opened(data) as path:
        purchases = read_purchases(path, source.options())
    customers = summarise(purchases, as_of=source.as_of)
    say_provenance(customers.provenance, shell)
    return Loaded(customers, purchases)


def buyers(loaded: Loaded) -> Customers:
    """The customers of a purchase log."""
    from bayesseg.customers import Customers

    assert isinstance(loaded.customers, Customers)
    return loaded.customers


_USUAL = {"refunds": "net", "max_bad": 0.01}


def as_fitted(source: SourceFlags, manifest: Mapping[str, Any], shell: Shell) -> SourceFlags:
    """``source`` with what was given at the fit where nothing is given now."""
    accounting = manifest["accounting"]
    stored: dict[str, Any] = {
        name: entry["value"]
        for name, entry in {**accounting["columns"], **accounting["dialect"]}.items()
        if entry["origin"] == "given"
    }
    policies = accounting.get("policies", {})
    if policies:
        stored |= {
            "refunds": policies["refunds"],
            "max_bad": policies["max_bad"],
            "dedupe": policies["duplicates"] == "drop",
            "drop_missing_id": policies["missing_ids"] == "drop",
        }
    unset = {n: v for n, v in stored.items() if v and not getattr(source, n) and v != _USUAL.get(n)}
    if unset:
        shell.say(f"as at the fit: {shlex.join(argv(replace(SourceFlags(), **unset)))}")
    return replace(source, **unset)
