"""The first screen: what may be believed, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayesseg._types import PARTS
from bayesseg.report import gates
from bayesseg.report.blocks import Context, Fact, Facts, Judgement, Judgements, Section, Text
from bayesseg.report.segmentation import assessed


def section(context: Context) -> Section:
    """The next step, the totals, and per part two verdicts: of the computation and of what it claims.

    Purchases and spend claim forecasts, segments that they come back: what ``stability`` found weak is a
    caution to the whole.
    """
    words, manifest = context.words, context.posterior.manifest
    overall, again = manifest["verdict"], context.beside.stability
    if overall == "passed" and assessed.tone(again) in ("caution", "failed"):
        overall = "caution"
    parts = [part for part in PARTS if part in manifest["verdicts"]]
    blocks: list[Any] = []
    if overall == "failed":
        blocks.append(Text((words("verdict.untrusted"),), tone="warn"))
    released = context.document.get("released", {})
    for part, reason in released.items():
        said = words("verdict.released", part=words(f"parts.{part}"), reason=reason)
        blocks.append(Text((said,), tone="warn"))
    blocks += gates.waivers(words, manifest["gates"])
    step = "clients" if overall == "passed" and "purchase" not in parts else overall
    blocks.append(Text((words(f"verdict.next.{step}"),), tone="note"))
    facts = _facts(context)
    if facts:
        blocks.append(Facts(facts))
    blocks.append(Judgements(tuple(_judgement(context, p, manifest["verdicts"][p]) for p in parts)))
    blocks += gates.blocks(words, manifest["gates"])
    return Section(
        "verdict",
        words(f"verdict.title.{overall}"),
        words(f"verdict.lead.{overall}"),
        tuple(blocks),
        {
            "verdict": overall,
            "verdicts": manifest["verdicts"],
            "released": released,
            "stability": again,
        },
    )


def _judgement(context: Context, part: str, verdict: Mapping[str, Any]) -> Judgement:
    words = context.words
    computation, forecast = verdict["computation"], verdict["forecast"]
    tone = "failed" if computation == "failed" else "caution" if verdict["reasons"] else "passed"
    if part != "segments":
        claim = _forecast(context, part, forecast)
    elif computation == "failed":
        claim = ""
    else:
        again = context.beside.stability
        claim = assessed.summary(words, again, context.posterior.manifest["customers"]["all"])
        tone = max(tone, assessed.tone(again), key=_WORSE.index)
    return Judgement(
        title=words(f"parts.{part}"),
        tone=tone,
        computation=words(f"verdict.computation.{computation}"),
        forecast=claim,
        reasons=tuple(
            words.said(reason.removeprefix(f"{part}: ")) for reason in verdict["reasons"]
        ),
    )


_WORSE = ("passed", "note", "caution", "failed")


def _forecast(context: Context, part: str, verdict: str) -> str:
    """By how much the totals of all backtests together were missed, and which way."""
    words = context.words
    own = [b for b in context.posterior.summary.get("backtests", ()) if b.get("part") == part]
    if verdict == "not-assessed" or not own:
        return words("verdict.forecast.not-assessed")
    bias = sum(b["mean"] for b in own) / max(sum(b["actual"] for b in own), 1e-12) - 1
    return words.plural(
        f"verdict.forecast.{verdict}",
        len(own),
        bias=words.percent(abs(bias)),
        missed=words.count(sum(not b["lo"] <= b["actual"] <= b["hi"] for b in own)),
        way=words(f"verdict.way.{'low' if bias < 0 else 'high'}"),
    )


def _facts(context: Context) -> tuple[Fact, ...]:
    words, document = context.words, context.document
    totals, settings = document.get("totals", {}), document.get("settings", {})
    facts = [Fact(words("facts.customers"), words.count(document["customers"]))]
    for name, kind in (
        ("expected_purchases", "number"),
        ("clv", "money"),
        ("value_at_risk", "money"),
    ):
        if totals.get(name):
            facts.append(
                Fact(
                    words(f"facts.{name}.{document.get('money', 'revenue')}"),
                    *words.halves(totals[name], kind),
                    words(
                        f"facts.{name}.note",
                        h=settings.get("horizon_days"),
                        H=settings.get("value_horizon_days"),
                    )
                    + _widened(context, totals[name], kind),
                )
            )
    return tuple(facts)


def _widened(context: Context, total: Mapping[str, Any], kind: str) -> str:
    """The interval that carries what past forecasts missed, where there were any."""
    if total.get("widened_lo") is None:
        return ""
    ends = {"mean": total["mean"], "lo": total["widened_lo"], "hi": total["widened_hi"]}
    said = context.words("facts.widened", span=context.words.halves(ends, kind)[1])
    return context.words.parts(["", said])
