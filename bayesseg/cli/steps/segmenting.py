"""Comparing, shaking and following segments: from data to what is printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesseg._files import refuse_existing, write_text
from bayesseg.cli import scorefile
from bayesseg.cli.flags import SourceFlags
from bayesseg.cli.progress import progress
from bayesseg.cli.shell import Shell
from bayesseg.cli.steps import reading
from bayesseg.cli.text import table
from bayesseg.errors import InputRejected, UsageError

if TYPE_CHECKING:
    from bayesseg.customers import Attributes, Customers
    from bayesseg.posterior import Posterior
    from bayesseg.report import Page
    from bayesseg.report.words import Words
    from bayesseg.segmentation.periods import Window

_NOTHING = "–"
_MODES = (
    "BIC and ICL are taken at the posterior mode. Rival mode: another division with the same options, "
    "how far below the best it lies and how well the two agree (Rand index)."
)
_YEAR, _SEASON = 365.25, 31


def drifted(
    posterior: Posterior,
    data: str,
    before: str | None,
    source: SourceFlags,
    attributes: Sequence[str] | None,
    shell: Shell,
    *,
    refits: int,
    seed: int,
) -> dict[str, Any]:
    """Read both periods in windows of equal length and hold one against the other."""
    from bayesseg.segmentation.drift import DRIFT, drift

    source = reading.as_fitted(source, posterior.manifest, shell)
    spec = posterior.spec
    windows: dict[str, Any] = {}
    first: Customers | Attributes
    second: Customers | Attributes
    if "purchase" not in spec.parts:
        if before is None:
            raise UsageError(
                "a table of clients says nothing of an earlier period",
                fix="give --before: the table RUN was fitted on",
            )
        first = reading.load(before, source.of_file(), shell, spec=spec).customers
        second = reading.load(data, source, shell, spec=spec).customers
    else:
        first, second, windows = _periods(posterior, data, before, source, attributes, shell)
    with progress() as on_progress:
        document = drift(
            posterior,
            first,
            second,
            seed=seed,
            effort=replace(DRIFT, refits=refits),
            on_progress=on_progress,
        )
    said = windows.pop("words", [])
    return {"windows": windows, **document, "words": [*document["words"], *said]}


def _periods(
    posterior: Posterior,
    data: str,
    before: str | None,
    source: SourceFlags,
    attributes: Sequence[str] | None,
    shell: Shell,
) -> tuple[Customers, Customers, dict[str, Any]]:
    from bayesseg.segmentation.periods import Window, windowed

    new = reading.load_purchases(data, source, shell)
    old = (
        reading.load_purchases(before, replace(source.of_file(), as_of=None), shell)
        if before
        else new
    )
    assert new.purchases is not None
    assert old.purchases is not None
    trained = date.fromisoformat(posterior.manifest["as_of"])
    began = date.fromisoformat(posterior.manifest["accounting"]["days"]["first"])
    as_of = reading.buyers(new).as_of
    if as_of <= trained:
        raise InputRejected(
            f"the data end on {as_of}, the run was fitted on data to {trained}",
            fix="give data that reach further",
        )
    held = date.fromisoformat(new.purchases.provenance["days"]["first"])
    if before is None and held > began:
        raise InputRejected(
            f"the data begin on {held}, the run's on {began}: the earlier period is not in them",
            fix="give --before: the data RUN was fitted on",
        )
    # the later file may hold less time than the run saw
    days = min((trained - began).days, (as_of - held).days) + 1
    first, second = Window(began, trained).of(days), Window(began, as_of).of(days)
    words = []
    if second.first <= first.last:
        words.append(
            f"The periods overlap ({second.first} to {first.last}): what moved is understated."
        )
    apart = (second.last - first.last).days % _YEAR
    if min(apart, _YEAR - apart) > _SEASON:
        words.append(
            "The periods end at different times of the year: a season would look like drift here."
        )
    shell.say(f"periods of {days} days: {_span(first)} and {_span(second)}")
    periods = windowed(old.purchases, first), windowed(new.purchases, second)
    if attributes:
        periods = (
            reading.joined(periods[0], attributes, source, shell),
            reading.joined(periods[1], attributes, source, shell),
        )
    said = {"before": asdict(first), "after": asdict(second), "days": days, "words": words}
    return *periods, said


def _span(window: Window) -> str:
    return f"{window.first} to {window.last}"


def refuse_page(out: Path | None, *, force: bool) -> None:
    """Refuse a page that is there already, before anything is computed for it."""
    for path in () if out is None else (out, scorefile.sidecar(out)):
        refuse_existing(path, force=force, file=True)


def written(
    build: Callable[..., Page],
    document: Mapping[str, Any],
    command: str,
    out: Path | None,
    shell: Shell,
    *,
    lang: str,
    force: bool,
) -> dict[str, Any]:
    """The document, with its page and the page's numbers written where asked."""
    if out is None:
        return dict(document)
    page = build(document, command=(command,), language=lang)
    beside = scorefile.sidecar(out)
    write_text(out, page.html)
    scorefile.write_document(beside, page.data, force=force)
    for path in (out, beside):
        shell.say(f"wrote {path}")
    return {**document, "written": [str(out), str(beside)]}


# --- what is printed -----------------------------------------------------------------------------


def show_comparison(document: Mapping[str, Any], shell: Shell) -> None:
    """The table of candidates, the choice in words, what others found and what segments are worth."""
    from bayesseg.report.words import load_words

    words = load_words("en")
    for note in document["notes"]:
        shell.say(f"note: {note}")
    rows = document["table"]
    shell.show(
        table(
            (
                "K",
                "shape",
                "BIC",
                "ICL",
                "held-out, below best",
                "Jaccard",
                "halves",
                "smallest",
                "overlap",
                "groups",
                "rival mode",
                "class",
                "seconds",
                "",
            ),
            [_candidate(row) for row in rows],
        )
        + "\n"
    )
    shell.show(_MODES + "\n")
    shell.show("\n".join(document["words"]) + "\n")
    if masked := document["masked"]:
        shell.show(f"What {document['tree_of']} loses when a feature is not known")
        head = ("feature", "certainty lost", "customers sorted otherwise")
        rows = [
            (one["feature"], *(words.percent(one[of]) for of in ("lost", "moved")))
            for one in masked
        ]
        shell.show(table(head, rows) + "\n")
    if price := document["price"]:
        _show_price(price, words, shell)
    if classics := document["classics"]:
        _show_classics(classics, shell)


def _rival(row: Mapping[str, Any]) -> str:
    found = row["rivals"][:1]
    told = [
        f"{-round(r['nats_below_best'], 1) or 0.0:.1f} nats, {r['agreement_with_best']:.2f}"
        for r in found
    ]
    return told[0] if told else _NOTHING


def _candidate(row: Mapping[str, Any]) -> tuple[str, ...]:
    tails = " t" if row.get("tails") == "t" else ""
    return (
        str(row["components"]),
        f"{row.get('covariance', '')}{tails}",
        f"{row['bic']:,.0f}",
        f"{row['icl']:,.0f}",
        f"{row['below_best']:.3f} ± {row['below_best_se']:.3f}",
        _NOTHING if row["jaccard"] is None else f"{min(row['jaccard']):.2f}",
        _NOTHING if row["prediction_strength"] is None else f"{row['prediction_strength']:.2f}",
        f"{min(row['sizes']):,.0f}",
        f"{max(row['overlap']):.0%}",
        str(row["groups"]),
        _rival(row),
        row["kind"] if row["jaccard"] is not None else _NOTHING,
        f"{row['seconds']:.1f}",
        row["chosen"],
    )


def _show_price(price: Mapping[str, Any], words: Words, shell: Shell) -> None:
    found = price["table"]
    shell.show(
        f"What segments made on {price['cut']} explain of the {price['days']} days to "
        f"{price['until']} ({price['customers']:,} customers)"
    )
    rows = [
        (one["name"], *(words.interval(one[of], "percent", 0.05) for of in ("buys", "spend")))
        for one in found
    ]
    shell.show(table(("segments", "of who buys (90%)", "of spend (90%)"), rows))
    shell.show("\n".join(price["words"]) + "\n")
    if detailed := next((one for one in found if one["name"] == price["of"]), None):
        shell.show(f"The segments of {price['of']}, as made on {price['cut']}")
        rows = [
            (f"{one['customers']:,.0f}", f"{one['bought']:.0%}", words.money(one["spend"]))
            for one in detailed["segments"]
        ]
        shell.show(table(("customers", "of them bought", "spend each"), rows) + "\n")


def _show_classics(classics: Mapping[str, Any], shell: Shell) -> None:
    picks = classics["picks"]
    shell.show(
        "k-means: "
        + ", ".join(
            f"K = {picks[key]} by {words}"
            for key, words in (
                ("silhouette", "silhouette"),
                ("davies_bouldin", "Davies-Bouldin"),
                ("gap", "gap statistic"),
                ("elbow", "elbow (the weakest evidence: every curve has one)"),
            )
        )
    )
    if classics["filled"]:
        shell.show(
            f"scikit-learn takes no missing values: {classics['filled']:.0%} of cells filled"
        )
    methods = classics["methods"]
    shell.show(
        table(
            ("", "method", "clusters", "noise", "ARI with " + _numbered(len(methods)), "how"),
            [
                (
                    i + 1,
                    one["name"],
                    one["clusters"],
                    f"{one['noise']:.0%}",
                    " ".join(f"{value:5.2f}" for value in classics["rand"][i]),
                    one["note"],
                )
                for i, one in enumerate(methods)
            ],
        )
    )


def _numbered(count: int) -> str:
    return f"1 to {count}"


def show_stability(document: Mapping[str, Any], shell: Shell) -> None:
    """Each segment with its Jaccard, then what it means."""
    from bayesseg.report.words import load_words

    words = load_words("en")
    shell.say(
        f"{document['refits']} refits and {document['halves']} pairs of halves on "
        f"{document['rows']:,} of {document['customers']:,} customers"
    )
    shell.show(
        table(
            ("segment", "name", "customers", "Jaccard (90%)", "", "dissolved in"),
            [
                (
                    one["id"],
                    one["name"],
                    words.count(one["customers"]),
                    words.interval(one["jaccard"], "index"),
                    one["word"],
                    words.percent(one["dissolved"]),
                )
                for one in document["segments"]
            ],
        )
        + "\n"
    )
    strength = document["prediction_strength"]
    shell.show(
        f"prediction strength {words.interval(strength, 'index')}; rows sorted as before: adjusted Rand "
        f"{words.interval(document['rand'], 'index')}; a segment dissolved in "
        f"{document['other_modes']:.0%} of the refits\n"
    )
    shell.show("\n".join(document["words"]))


def show_drift(document: Mapping[str, Any], shell: Shell) -> None:
    """Shares, migration beside its baseline, PSI beside its null, the refit, the status."""
    from bayesseg.report.words import load_words

    words = load_words("en")
    moves, ids = document["migration"], document["migration"]["ids"]
    shell.show(
        table(
            ("segment", "name", "share before", "share after", "gone"),
            [
                (
                    one["id"],
                    one["name"],
                    words.interval(one["before"], "percent"),
                    words.interval(one["after"], "percent"),
                    words.interval(left, "percent") if peopled else _NOTHING,
                )
                for one, left, peopled in zip(
                    document["shares"], moves["exits"], moves["peopled"], strict=True
                )
            ],
        )
        + "\n"
    )
    shell.show("Where members are now, of those still there (in brackets: without any change)")
    shell.show(
        table(
            ("from", *(f"to {one}" for one in ids)),
            [
                (
                    one,
                    *(
                        _cells(moves["matrix"][j], moves["baseline"][j])
                        if moves["followed"][j]
                        else [_NOTHING] * len(ids)
                    ),
                )
                for j, one in enumerate(ids)
            ],
        )
        + "\n"
    )
    shell.show(
        table(
            ("distribution of", "PSI", "99% of chance", ""),
            [
                (name, f"{one['psi']:.3f}", f"{one['null']:.3f}", one["level"])
                for name, one in document["psi"].items()
            ],
        )
        + "\n"
    )
    if again := document["refit"]["segments"]:
        sides = ("jaccard", "without_change")
        rows = [
            (one["id"], one["name"], *(words.interval(one[side]) for side in sides), one["fate"])
            for one in again
        ]
        head = ("segment", "name", "comes back in a refit", "without any change", "fate")
        shell.show(table(head, rows) + "\n")
    shell.show("\n".join(document["words"]) + "\n")
    for one in document["reasons"]:
        shell.show(f"{one['level']:8} {one['says']}")
    shell.show(f"Status: {document['status'].replace('_', ' ')}")


def _cells(moved: Sequence[Mapping[str, float]], still: Sequence[Mapping[str, float]]) -> list[str]:
    return [f"{a['mean']:.0%} ({b['mean']:.0%})" for a, b in zip(moved, still, strict=True)]
