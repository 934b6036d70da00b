"""Flags that several verbs share, as records: one field a flag, in one place. L10."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

import typer

from bayesseg.errors import UsageError
from bayesseg.spans import day, days

if TYPE_CHECKING:
    from bayesseg.ingest import Key, Objections, Options
    from bayesseg.scoring import Settings
    from bayesseg.spec import ModelSpec

SEED = 1
LANGUAGE = "en"


def _positive(value: float) -> float:
    if value <= 0:
        raise typer.BadParameter("must be positive")
    return value


def _file(path: Path) -> Path:
    if str(path) == "-":
        raise typer.BadParameter("several files are written; give a name, - is stdout")
    return path


def named_file(path: Path) -> Path:
    """A path to write to: neither a folder nor stdout."""
    _target(str(path))
    return _file(path)


def _maybe_file(path: Path | None) -> Path | None:
    return None if path is None else named_file(path)


def _language(name: str) -> str:
    """A language that pages are written in, asked for before anything is computed."""
    if name != LANGUAGE:
        from bayesseg.report.words import LANGUAGES

        if name not in LANGUAGES:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(LANGUAGES)}")
    return name


def _target(name: str | None) -> str | None:
    if name is not None and Path(name).name in ("", ".."):
        raise typer.BadParameter(f"{name} is a folder; give a name in it")
    return name


KINDS = "CSV or JSON lines (both also .gz), Parquet, .xlsx or DuckDB file; - is stdin."
MaybeData = Annotated[str | None, typer.Argument(help=f"{KINDS} Or see --from.", metavar="DATA")]
Run = Annotated[Path, typer.Argument(help="Run directory written by fit.", metavar="RUN")]
MaybeOut = Annotated[
    Path | None,
    typer.Option(
        "-o", "--out", metavar="RUN", callback=_maybe_file, help="Run directory to write."
    ),
]
Resume = Annotated[
    Path | None,
    typer.Option(metavar="RUN", callback=_maybe_file, help="Go on with a stopped fit of RUN."),
]
Again = Annotated[
    bool,
    typer.Option(
        "--resume", help="Go on with what was stopped there; the fit ends in the same bits."
    ),
]
Signed = Annotated[
    bool,
    typer.Option(
        "--require-signature",
        help="Refuse a run not signed with the key in the file BAYESSEG_HMAC_KEY_FILE names.",
    ),
]
Folder = Annotated[
    Path, typer.Option("-o", "--out", metavar="OUT", callback=_file, help="Folder to write.")
]
Html = Annotated[
    Path, typer.Option("-o", "--out", metavar="HTML", callback=named_file, help="Page to write.")
]
MaybeHtml = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--out",
        metavar="HTML",
        callback=lambda path: None if path is None else named_file(path),
        help="Page to write, its numbers beside it as JSON.",
    ),
]
Table = Annotated[
    str,
    typer.Option(
        "-o",
        "--out",
        metavar="FILE",
        callback=_target,
        help="Scores to write; - is stdout (CSV).",
    ),
]
List = Annotated[
    str | None,
    typer.Option(
        "-o", "--out", metavar="FILE", callback=_target, help="List to write (CSV); - is stdout."
    ),
]
Lang = Annotated[
    str,
    typer.Option(
        "--lang",
        callback=_language,
        help="Language of the page, or of the reasons in a list: en or fr.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]
Pseudonymise = Annotated[
    str | None,
    typer.Option(
        metavar="KEY",
        help="Write pseudonyms (HMAC-SHA-256) in place of ids: a file with 32 random bytes or more, "
        "or env:NAME. They remain personal data.",
    ),
]

SuppressKey = Annotated[
    str | None,
    typer.Option(metavar="KEY", help="Key of the tombstones (default: that of --pseudonymise)."),
]


@dataclass(frozen=True, slots=True)
class SourceFlags:
    """How to read the purchase log; what is not given is inferred and shown."""

    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="SOURCE",
            help="In place of DATA: a file, postgresql://HOST/DB, or env:NAME, a variable of the "
            "environment that holds the address (with its password).",
        ),
    ] = None
    table: Annotated[
        str | None,
        typer.Option(
            metavar="SCHEMA.NAME",
            help="Table of a database to read. Score, alone: a file of distinct histories.",
        ),
    ] = None
    query_file: Annotated[
        Path | None, typer.Option(metavar="SQL", help="One SELECT to read, in place of --table.")
    ] = None
    sheet: Annotated[
        str | None,
        typer.Option(help="Sheet of a workbook; all reads every one, with a column 'sheet'."),
    ] = None
    customer_id: Annotated[str | None, typer.Option(help="Column of the customer id.")] = None
    date: Annotated[str | None, typer.Option(help="Column of the purchase date.")] = None
    amount: Annotated[
        str | None,
        typer.Option(help='Column of the amount, or an expression such as "Quantity * UnitPrice".'),
    ] = None
    cost: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN|EXPR",
            help="Column of what the line cost, or an expression: money is then margin, not revenue.",
        ),
    ] = None
    group: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column of the company or household that several accounts are: it becomes the "
            "customer.",
        ),
    ] = None
    shares: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Shares of spend by category, shop, ..., as columns of each customer; may be repeated. "
            "COLUMN|LEVEL|LEVEL names the levels.",
        ),
    ] = None
    order_id: Annotated[
        str | None, typer.Option(help="Column of the order id: refunds are netted within an order.")
    ] = None
    extract: Annotated[
        str | None,
        typer.Option(help="Column naming overlapping extracts: each order is kept from one only."),
    ] = None
    currency: Annotated[
        str | None,
        typer.Option(help="Column of the currency; none where all amounts are in one already."),
    ] = None
    rates: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Rates that make one currency of several: date,currency,rate."
        ),
    ] = None
    currency_symbol: Annotated[
        str | None, typer.Option(metavar="SIGN", help="Sign written with the amounts, such as €.")
    ] = None
    accounting_negatives: Annotated[
        bool, typer.Option("--accounting-negatives", help="Read (10.00) and 10.00- as negative.")
    ] = False
    id_trim: Annotated[bool, typer.Option("--id-trim", help="Take blanks off the ends of ids.")] = (
        False
    )
    id_normalize: Annotated[
        str | None,
        typer.Option(metavar="NFC", help="NFC: make one of accents written in two ways."),
    ] = None
    keep_id: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="A customer although the id looks like a placeholder; may be repeated.",
        ),
    ] = None
    suppress_list: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Leave out whoever objected: ids, one a line or in a column, or tombstones of erase.",
        ),
    ] = None
    suppress_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Key of the tombstones in --suppress-list (default: that of --pseudonymise).",
        ),
    ] = None
    pseudonymise: Pseudonymise = None
    drop_missing_id: Annotated[
        bool, typer.Option("--drop-missing-id", help="Leave out any number of rows without an id.")
    ] = False
    dedupe: Annotated[
        bool, typer.Option("--dedupe", help="Keep one of several exactly equal rows.")
    ] = False
    refunds: Annotated[
        str | None, typer.Option(help="net (default), drop or refuse negative amounts.")
    ] = None
    max_bad: Annotated[
        float | None,
        typer.Option(help="Refuse above this share of unusable rows (default 0.01).", min=0, max=1),
    ] = None
    encoding: Annotated[str | None, typer.Option(help="utf-8, cp1252, ...")] = None
    delimiter: Annotated[str | None, typer.Option(help="Field delimiter.")] = None
    decimal: Annotated[str | None, typer.Option(help="Decimal mark, . or ,")] = None
    date_format: Annotated[str | None, typer.Option(help="strptime format, such as %d/%m/%Y.")] = (
        None
    )
    epoch: Annotated[
        str | None,
        typer.Option(metavar="s|ms", help="Dates count seconds or milliseconds from 1970."),
    ] = None
    tz: Annotated[
        str | None,
        typer.Option(metavar="ZONE", help="Zone of the business day, such as Europe/Paris."),
    ] = None
    min_date: Annotated[
        str | None,
        typer.Option(metavar="DAY", help="Days before it are unusable (default 1980-01-01)."),
    ] = None
    as_of: Annotated[
        str | None,
        typer.Option(metavar="DAY", help="Last day observed (default: the last day in DATA)."),
    ] = None
    quarantine: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            callback=_maybe_file,
            help="Write unusable rows there, with reasons (CSV).",
        ),
    ] = None

    def __post_init__(self) -> None:
        for given in (self.as_of, self.min_date):
            if given is not None:
                day(given)

    @property
    def query(self) -> str | None:
        """The text of ``--query-file``."""
        if self.query_file is None:
            return None
        try:
            return self.query_file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"--query-file {self.query_file} cannot be read", fix="give a file of UTF-8 text"
            ) from error

    def key(self) -> Key | None:
        """The key that ids are written by, where they are not written as they are."""
        from bayesseg.ingest import read_key

        return None if self.pseudonymise is None else read_key(self.pseudonymise)

    def objections(self) -> Objections | None:
        """Who is to be left out."""
        return objections(self.suppress_list, self.suppress_key or self.pseudonymise)

    def of_file(self) -> SourceFlags:
        """The same for a second source, which is a file where the first may be a database."""
        return replace(self, from_=None, table=None, query_file=None)

    def options(self) -> Options:
        """The same as ingest's ``Options``; a flag that was not given keeps its default there."""
        from bayesseg.ingest import Options

        names = {f.name for f in fields(Options)}
        given = {f.name: getattr(self, f.name) for f in fields(self) if f.name in names}
        given["query"] = self.query
        given["min_date"] = None if self.min_date is None else day(self.min_date)
        given["keep_id"] = tuple(self.keep_id or ())
        given["shares"] = tuple(self.shares or ())
        given["suppress"] = self.objections()
        return Options(**{name: value for name, value in given.items() if value is not None})


def objections(
    path: Path | None, key: str | None, option: str = "--suppress-key"
) -> Objections | None:
    """The list at ``path``, with the key that some of it needs, given by ``option``."""
    from bayesseg.ingest import read_key, read_objections

    if path is None:
        return None
    return read_objections(path, None if key is None else read_key(key, option), key_option=option)


@dataclass(frozen=True, slots=True)
class SummaryFlags:
    """A customer summary in place of the purchase log."""

    summary: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Instead of DATA: customers as bayesseg sql gives them, or as lifetimes has them; a "
            "file, or as for --from a server that --query-file asks.",
        ),
    ] = None
    time_unit: Annotated[
        str | None,
        typer.Option(
            metavar="UNIT",
            help="Of recency and T in SOURCE, as lifetimes has them: day, week, month.",
        ),
    ] = None
    money: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="What spend in SOURCE is, where no column money says it: revenue or margin.",
        ),
    ] = None

    def __post_init__(self) -> None:
        for name in ("time_unit", "money"):
            if getattr(self, name) is not None and self.summary is None:
                option = name.replace("_", "-")
                raise UsageError(f"--{option} is about --summary, which is not given")


Facts = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE[#NAME]",
        help="Facts about customers, one row each, joined by id; may be repeated. FILE as in DATA and "
        "--from, NAME a sheet of a workbook or a table of a database.",
    ),
]


@dataclass(frozen=True, slots=True)
class FitFlags:
    """What to fit."""

    model: Annotated[
        str, typer.Option(help="Name of a model (retail, bgnbd, segments) or a TOML file.")
    ] = "retail"
    attributes: Facts = None
    seed: Annotated[int, typer.Option(help="Seed of every random number.", min=0)] = SEED
    engine: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="auto, nuts, laplace or map, for purchases and spend (default: MODEL's; validate: "
            "only with --sbc). With fit also spark, which sums DATA up; may be repeated.",
        ),
    ] = None

    @property
    def inference(self) -> str | None:
        """The engine of the fit itself."""
        names = [name for name in self.engine or () if name != SPARK]
        if len(names) > 1:
            raise UsageError(f"--engine {' and '.join(names)}", fix="a fit takes one of them")
        return names[0] if names else None

    def spec(self, *, spark: bool = False) -> ModelSpec:
        """The model and engine asked for; ``spark`` where DATA may be summed up there."""
        from bayesseg.spec import load_spec, with_engine

        if SPARK in (self.engine or ()) and not spark:
            raise UsageError("--engine spark is for fit and score", fix="leave it out here")
        spec = load_spec(self.model)
        return spec if self.inference is None else with_engine(spec, self.inference)


SPARK = "spark"
Master = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="With --engine spark: local[2], yarn, spark://HOST:7077 (default: as Spark is set up).",
    ),
]


@dataclass(frozen=True, slots=True)
class SparkFlags:
    """Where customers are summed up and scored: here, or on Spark."""

    engine: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="spark: sum up and score there (pip install 'bayesseg[spark]'); DATA is a table, a "
            "Parquet or CSV file, a folder or URI that Spark can see.",
        ),
    ] = None
    master: Master = None

    def __post_init__(self) -> None:
        if self.engine not in (None, SPARK):
            raise UsageError(f"--engine {self.engine!r} is unknown", fix=f"choose {SPARK}")
        if self.master is not None and self.engine is None:
            raise UsageError("--master is about Spark", fix=f"give --engine {SPARK} as well")


Names = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="The experts' map of segments: names, merges, splits (see segments --names-out).",
    ),
]


@dataclass(frozen=True, slots=True)
class LineageFlags:
    """What the segments of a fit are called and which run they go on from."""

    previous: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="Go on from this run: its segments keep ids, names and map."
        ),
    ] = None
    names: Names = None


Reason = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="With --force: why numbers of a part that failed its gates are given all the same.",
    ),
]


@dataclass(frozen=True, slots=True)
class WaiverFlags:
    """Which gates of a fit may miss."""

    waivers: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Gates that may miss, each with a reason and a last day (TOML)."
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class ValidateFlags:
    """Which forecasts to make and to hold against what came."""

    cut: Annotated[
        str | None,
        typer.Option(metavar="DAY", help="Fit to this day, compare with what came after it."),
    ] = None
    origins: Annotated[
        int | None,
        typer.Option(
            min=2, help="Do so at this many cuts, a horizon apart, up to the end of DATA."
        ),
    ] = None
    horizon: Annotated[
        str | None,
        typer.Option(
            metavar="SPAN",
            help="How far to forecast: 90d, 13w, 3m (default: as far as DATA carry; said).",
        ),
    ] = None
    families: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...", help="Purchase families to compare (default: MODEL's own)."
        ),
    ] = None
    sbc: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Instead of DATA: fit N simulated data sets and see whether the truth is where "
            "the posterior says.",
        ),
    ] = None
    sbc_folder: Annotated[
        Path | None,
        typer.Option(help="Keep the simulations there; an interrupted run goes on from them."),
    ] = None

    def __post_init__(self) -> None:
        if self.cut is not None:
            day(self.cut)
        if self.horizon is not None:
            days(self.horizon)

    @property
    def horizon_days(self) -> int | None:
        """``--horizon`` in days; None where it was not given."""
        return None if self.horizon is None else days(self.horizon)

    def names(self, own: str) -> tuple[str, ...]:
        """The families asked for, each once, the model's ``own`` first."""
        given = (self.families or own).split(",")
        return tuple(dict.fromkeys([own, *filter(None, (name.strip() for name in given))]))


@dataclass(frozen=True, slots=True)
class TruthFlags:
    """What was promised, or done, that is now to be held against what came."""

    scores: Annotated[
        Path | None,
        typer.Option(
            metavar="OLD",
            help="Hold these scores against what came, once their horizon has passed.",
        ),
    ] = None
    record: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            callback=_maybe_file,
            help="Where --scores adds to the track record (default: track-record.jsonl beside OLD).",
        ),
    ] = None
    campaign: Annotated[
        Path | None,
        typer.Option(
            metavar="LIST",
            help="Read out a campaign: the list of prioritise, contacted against held out.",
        ),
    ] = None
    outcomes: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="What came of each customer: columns bought (0 or 1), spend or both (default: in LIST "
            "itself, or DATA from --contacted-on over --horizon).",
        ),
    ] = None
    contacted_on: Annotated[
        str | None,
        typer.Option(metavar="DAY", help="Count purchases in DATA from this day on."),
    ] = None
    save_rate: Annotated[
        str | None,
        typer.Option(
            metavar="beta:A,B",
            help="What was believed of the save rate before the campaign; it is updated by it.",
        ),
    ] = None

    def __post_init__(self) -> None:
        if self.contacted_on is not None:
            day(self.contacted_on)


@dataclass(frozen=True, slots=True)
class ScoreFlags:
    """What to forecast. Every value used is printed and stored beside the scores."""

    horizon: Annotated[
        str, typer.Option(metavar="SPAN", help="For churn and purchases: 90d, 12w, 3m, 1y.")
    ] = "90d"
    value_horizon: Annotated[str, typer.Option(metavar="SPAN", help="For money.")] = "365d"
    margin: Annotated[
        float, typer.Option(callback=_positive, help="Profit per unit of revenue; 1 is revenue.")
    ] = 1.0
    annual_discount: Annotated[
        float, typer.Option(min=0, help="Yearly discount rate of future money.")
    ] = 0.10
    draws: Annotated[
        int, typer.Option(min=100, help="Posterior draws used; more where neighbours are alike.")
    ] = 400
    chunk: Annotated[int, typer.Option(min=1, help="Rows at a time: memory, not results.")] = 2000
    no_predictive: Annotated[
        bool,
        typer.Option(
            "--no-predictive",
            help="Draw no futures: intervals of realised purchases and value and p_top_decile stay "
            "empty, in a third of the time.",
        ),
    ] = False

    def __post_init__(self) -> None:
        for span in (self.horizon, self.value_horizon):
            days(span)

    def settings(self) -> Settings:
        """The same as ``score.Settings``."""
        from bayesseg.scoring import Settings

        return Settings(
            horizon_days=days(self.horizon),
            value_horizon_days=days(self.value_horizon),
            margin=self.margin,
            annual_discount=self.annual_discount,
            draws=self.draws,
            chunk=self.chunk,
            predictive=not self.no_predictive,
        )


def argv(*records: Any) -> list[str]:
    """The flags that differ from their defaults, as one would type them."""
    words: list[str] = []
    for record in records:
        hints = get_type_hints(type(record), include_extras=True)
        for f in fields(record):
            value = getattr(record, f.name)
            if not f.init or value in (None, [], f.default):
                continue
            option = get_args(hints[f.name])[1]
            name = option.default if isinstance(option.default, str) else None
            name = name or f"--{f.name.replace('_', '-')}"
            for one in value if isinstance(value, list) else [value]:
                words += [name] if one is True else [name, masked(str(one))]
    return words


def spoken(lang: str) -> list[str]:
    """The flag of a page in another language than the usual one."""
    return [] if lang == LANGUAGE else ["--lang", lang]


def is_address(text: str) -> bool:
    """Whether ``text`` is the address of a PostgreSQL server."""
    return text.startswith(("postgresql://", "postgres://"))


def masked(text: str) -> str:
    """``text``, or of the address of a server what it is and nothing of what it holds."""
    return f"{text.partition('//')[0]}//…" if is_address(text) else text


def command_line(*words: Any) -> str:
    """``bayesseg ...`` quoted for a shell."""
    return shlex.join(["bayesseg", *(masked(str(word)) for word in words)])
