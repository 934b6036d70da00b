"""The first screen: may these forecasts be used? And what was found beside."""

from __future__ import annotations

from bayesseg.report.blocks import (
    Cell,
    Column,
    Details,
    Fact,
    Facts,
    Items,
    Judgement,
    Judgements,
    Section,
    Table,
)
from bayesseg.report.validation.case import Case
from bayesseg.validation.advice import Advice
from bayesseg.validation.comparison import Document, row, subject, titles

_TONES = {"good": "passed", "note": "note", "caution": "caution"}


def of(document: Document) -> str:
    """The verdict on the forecast totals: ``passed, caution, failed`` or ``not-assessed``."""
    return str(document["forecasts"][subject(document)]["verdict"]["verdict"])


def section(case: Case) -> Section:
    """The verdict in words, the totals it rests on and the headline numbers."""
    words, document = case.words, case.document
    found = of(document)
    once = found == "caution" and len(document["origins"]) == 1
    own = [one for one in case.advice if one.name.startswith("totals_")]
    judged = Judgements(tuple(_judgement(case, one, failed=found == "failed") for one in own))
    return Section(
        "verdict",
        words(f"validation.verdict.title.{found}"),
        words(f"validation.verdict.lead.{'missed_once' if once else found}"),
        (judged, Facts(_facts(case))),
        {},
    )


def _facts(case: Case) -> tuple[Fact, ...]:
    words, document = case.words, case.document
    judged = row(document, len(document["origins"]) - 1, subject(document))
    assert judged is not None  # a family is fitted at every origin
    score, active = judged["purchases"], judged["active"]
    wide = score["widened"] or score
    facts = [
        Fact(
            words("validation.facts.total"),
            *words.halves({**wide, "mean": score["mean"]}),
            words(
                "validation.facts.total_note",
                cut=words.date(case.last["cut"]),
                came=words.count(score["actual"]),
            ),
        ),
        Fact(
            words("validation.facts.bias"),
            case.signed(score["bias"]),
            note=words("validation.facts.bias_note", family=judged["title"]),
        ),
    ]
    if active and active["auc"] is not None:
        facts.append(
            Fact(
                words("validation.facts.auc"),
                case.decimals(active["auc"], 2),
                note=words("validation.facts.auc_note"),
            )
        )
    if active and active["top_decile_share"] is not None:
        facts.append(
            Fact(
                words("validation.facts.top"),
                words.percent(active["top_decile_share"]),
                note=words("validation.facts.top_note"),
            )
        )
    return tuple(facts)


def findings(case: Case) -> Section:
    """Everything else that was noticed, each with its number and what to do."""
    words = case.words
    rest = [one for one in case.advice if not one.name.startswith("totals_")]
    blocks = [Judgements(tuple(_judgement(case, one) for one in rest)), *_identification(case)]
    notes = [
        *map(words.said, case.document["notes"]),
        *map(_skipped(case), case.document["skipped"]),
    ]
    if notes:
        blocks.append(Items(tuple(notes)))
    return Section(
        "findings",
        words("validation.findings.title"),
        words("validation.findings.lead", cut=words.date(case.document["diagnosis"]["cut"])),
        tuple(blocks),
        {},
    )


def _judgement(case: Case, one: Advice, *, failed: bool = False) -> Judgement:
    return Judgement(
        title=case.words(f"validation.advice.{one.name}"),
        tone="failed" if failed and one.level == "caution" else _TONES[one.level],
        computation=_sentence(case.words.said(one.says)),
        forecast="",
        reasons=(_sentence(case.words.said(one.fix)),) if one.fix else (),
    )


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:].rstrip(".") + "."


def _skipped(case: Case):  # type: ignore[no-untyped-def]
    return lambda one: case.words(
        "validation.skipped", cut=case.words.date(one["cut"]), reason=case.words.said(one["reason"])
    )


def _identification(case: Case) -> list[Details]:
    """Prior and posterior widths of the population parameters, behind one click."""
    words, own = case.words, case.document["diagnosis"]
    if not own["identification"]:
        return []
    head = (
        Column(words("model.parameter"), number=False),
        Column(words("validation.findings.posterior_sd")),
        Column(words("validation.findings.prior_sd")),
        Column(words("model.ratio")),
        Column(words("validation.findings.median")),
        Column(words("baseline.mle")),
        Column(words("validation.findings.shift")),
    )
    rows = tuple(
        (
            Cell(one["name"]),
            Cell(words.digits(one["posterior_sd"], 3)),
            Cell(words.digits(one["prior_sd"], 3)),
            Cell(case.decimals(one["ratio"], 2)),
            Cell(words.digits(one["median"])),
            Cell(words.digits(one["maximum_likelihood"])),
            Cell(case.decimals(one["shift"], 2)),
        )
        for one in own["identification"]
    )
    family = titles(case.document)[own["family"]]
    caption = words("validation.findings.caption", family=family, cut=words.date(own["cut"]))
    table = Table(caption, head, rows)
    return [Details(words("validation.findings.details"), (table,))]
