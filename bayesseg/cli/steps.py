"""The steps behind the verbs: read, fit, score, report, lists. ``run`` takes them all. L10."""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesseg._files import refuse_existing, write_bytes, write_text
from bayesseg.cli import scorefile
from bayesseg.cli.flags import FitFlags, ScoreFlags, SourceFlags, argv
from bayesseg.cli.parameters import parameters
from bayesseg.cli.progress import progress
from bayesseg.cli.said import say_provenance
from bayesseg.cli.shell import Shell
from bayesseg.cli.text import gate_table, parameter_table, verdict_lines
from bayesseg.errors import ArtefactBad, GateFailed, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from bayesseg.customers import Attributes, Customers
    from bayesseg.ingest import Purchases
    from bayesseg.posterior import Posterior
    from bayesseg.scoring import Scores
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


def buyers(loaded: Loaded) -> Customers:
    """The customers of a purchase log."""
    from bayesseg.customers import Customers

    assert isinstance(loaded.customers, Customers)
    return loaded.customers


def load_purchases(data: str, source: SourceFlags, shell: Shell) -> Loaded:
    """Read and summarise a purchase log, saying everything that was inferred or left out."""
    from bayesseg.customers import summarise
    from bayesseg.ingest import read_purchases

    with opened(data) as path:
        purchases = read_purchases(path, source.options())
    customers = summarise(purchases, as_of=source.as_of)
    say_provenance(customers.provenance, shell)
    return Loaded(customers, purchases)


def fit(
    loaded: Loaded, spec: ModelSpec, out: Path, flags: FitFlags, shell: Shell, *, force: bool
) -> tuple[Path, Posterior]:
    """Fit, judge, save; the run is ``out``, or ``out.untrusted`` when a hard gate failed."""
    from bayesseg.backtest import backtest
    from bayesseg.fitting import fit as fit_model
    from bayesseg.posterior import save

    shell.say(f"fit model {spec.name}, seed {flags.seed}")

    def backtests() -> tuple[dict[str, Any], ...]:
        if loaded.purchases is None:
            return ()
        return backtest(loaded.purchases, spec, as_of=buyers(loaded).as_of, seed=flags.seed)

    with progress() as on_progress:
        posterior = fit_model(
            loaded.customers,
            spec,
            seed=flags.seed,
            backtests=backtests,
            on_progress=on_progress,
            processes=True,
        )
    for note in posterior.features.notes if posterior.features else ():
        shell.say(f"features: {note}")
    path = save(posterior, out, force=force)
    shell.say(f"wrote {path}")
    if loaded.purchases is not None:
        quarantine(loaded.purchases, out, shell)
    return path, posterior


def ready(loaded: Loaded, spec: ModelSpec, shell: Shell) -> None:
    """Say what makes the data thin; refuse (exit 3) what cannot carry a fit."""
    from bayesseg.readiness import require_ready

    if loaded.purchases is not None:
        for gate in require_ready(buyers(loaded), tuple(spec.parts)):
            shell.warn(f"{gate.message}; {gate.fix}")


def reserve(out: Path, *, force: bool) -> None:
    """Refuse early, before minutes of work, to write over a run that is there."""
    refuse_existing(out, force=force)
    refuse_existing(out.with_name(f"{out.name}.untrusted"), force=force)


def quarantine(purchases: Purchases, out: Path, shell: Shell) -> None:
    """Write the rows that were set aside beside the run, never into it: they hold customers."""
    rows = purchases.quarantine
    if len(rows):
        path = out.with_name(f"{out.name}.quarantine.csv")
        write_bytes(path, scorefile.encoded(rows, "csv"))
        shell.warn(f"{len(rows):,} rows were set aside: see {path}")


def fit_document(path: Path, posterior: Posterior) -> dict[str, Any]:
    """What ``fit`` says of a run, for programs."""
    manifest = posterior.manifest
    keys = (
        "name",
        "model_id",
        "seed",
        "as_of",
        "verdict",
        "verdicts",
        "gates",
        "customers",
        "seconds",
    )
    return {
        "run": str(path),
        **{key: manifest[key] for key in keys},
        "rows": manifest["accounting"].get("rows"),
        "parameters": parameters(posterior),
    }


def show_fit(posterior: Posterior, shell: Shell) -> None:
    """Print gates, parameters beside their priors and the verdicts."""
    rows = [row for row in parameters(posterior) if "quantile" in row]
    if rows:
        shell.show(parameter_table(rows) + "\n")
    shell.show(gate_table(posterior.manifest["gates"]) + "\n")
    for line in verdict_lines(posterior.manifest["verdicts"]):
        shell.show(line)


def gate_error(manifest: Mapping[str, Any], path: Path) -> GateFailed | None:
    """The first hard gate that missed, where any did."""
    missed = [g for g in manifest["gates"] if g["severity"] == "hard" and not g["passed"]]
    if not missed:
        return None
    first = missed[0]
    value = "cannot be computed" if first["value"] is None else f"is {first['value']:.4g}"
    return GateFailed(
        f"{first['part']}: gate {first['name']} {value}, limit {first['limit']:g}; "
        f"the result is kept, untrusted, as {path}",
        fix=first["advice"],
        details={"gates": missed},
    )


def score(
    posterior: Posterior, customers: Customers | Attributes, flags: ScoreFlags, shell: Shell
) -> Scores:
    """Score ``customers``, saying every setting that changes a number."""
    from bayesseg.scoring import score as score_customers

    money = "revenue (margin 1)" if flags.margin == 1 else f"profit at margin {flags.margin:g}"
    shell.say(
        f"score: churn and purchases over {flags.horizon}, money over {flags.value_horizon} "
        f"as {money}, discounted at {flags.annual_discount:g} a year, {flags.draws} draws"
    )
    with progress() as on_progress:
        return score_customers(posterior, customers, flags.settings(), on_progress=on_progress)


def write_scores(
    scores: Scores,
    targets: Sequence[str],
    shell: Shell,
    *,
    given: str | None = None,
    raw: bool = False,
    force: bool = False,
) -> list[Path]:
    """Write the table at each target and the document beside the first; return what was written."""
    if scores.document["verdict"] == "failed":
        targets = [scorefile.untrusted(target) for target in targets]
    kinds = [scorefile.format_of(target, given) for target in targets]
    written = []
    for target, kind in zip(targets, kinds, strict=True):
        content = scorefile.encoded(scores.table, kind, scores.document["units"], raw=raw)
        path = scorefile.emit(content, target, force=force)
        if path is not None:
            written.append(path)
    if written:
        beside = scorefile.sidecar(written[0])
        scorefile.write_document(beside, scores.document)
        written.append(beside)
    for path in written:
        shell.say(f"wrote {path}")
    return written


def same_model(posterior: Posterior, model_id: str, scores: Path) -> None:
    """Refuse (exit 5) to describe a run by the scores of another."""
    if posterior.manifest["model_id"] != model_id:
        raise ArtefactBad(
            f"{scores} was not made with this run (model {model_id[:12]}, the run is "
            f"{posterior.manifest['model_id'][:12]})",
            fix="score again with this run",
        )


def report(
    posterior: Posterior,
    table: pd.DataFrame,
    document: Mapping[str, Any],
    out: Path,
    shell: Shell,
    *,
    include_ids: bool = True,
    force: bool = False,
) -> list[Path]:
    """Write the page and its numbers: ``report.html`` and ``report.json``."""
    from bayesseg.report import build

    beside = out.with_suffix(".json")
    for path in (out, beside):
        refuse_existing(path, force=force)
    page = build(posterior, table, dict(document), include_ids=include_ids)
    write_text(out, page.html)
    scorefile.write_document(beside, page.data)
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


def warm_up(spec: ModelSpec) -> None:
    """Start importing the sampler in a process of its own while the data are read."""
    from bayesseg.inference import parallel

    if any(part.engine == "nuts" for part in spec.parts.values()):
        parallel.warm_up()


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


_USUAL = {"refunds": "net", "max_bad": 0.01}
