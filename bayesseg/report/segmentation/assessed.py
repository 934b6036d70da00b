"""What ``bayesseg stability`` found of a run, in a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayesseg.report.words import Words
from bayesseg.segmentation.choose import STRENGTH

TONES = {"stable": "passed", "doubtful": "caution", "untrusted": "failed"}


def tone(found: Mapping[str, Any] | None) -> str:
    """The tone of a verdict on segments: nobody asked is a note, halves that disagree are a caution."""
    if found is None:
        return "note"
    weak = found["prediction_strength"]["mean"] < STRENGTH
    return "caution" if weak and found["verdict"] == "stable" else TONES[found["verdict"]]


def summary(words: Words, found: Mapping[str, Any] | None, customers: int) -> str:
    """In a line what ``found`` says of a run fitted to so many customers, or that nobody asked."""
    if found is None:
        return words("stability.kept.missing")
    weakest = min(found["segments"], key=lambda one: one["jaccard"]["mean"])
    said = words(
        "stability.kept.found",
        verdict=words(f"stability.verdict.{found['verdict']}"),
        jaccard=words.interval(weakest["jaccard"], "index"),
        segment=words.called(weakest),
        word=words.said(weakest["word"]),
        strength=words.interval(found["prediction_strength"], "index"),
        wanted=words.plain(STRENGTH),
        refits=found["refits"],
        date=words.date(found["assessed_on"]),
    )
    if found["customers"] == customers:
        return said
    counts = {"n": words.count(found["customers"]), "m": words.count(customers)}
    return f"{said} {words('stability.kept.others', **counts)}"
