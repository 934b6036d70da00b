"""Do the segments come back in other samples of the customers, and have they moved since the fit?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bayesseg.report.blocks import Context, Figure, Heading, Items, Section, Text
from bayesseg.report.segmentation import assessed, drift, stability
from bayesseg.report.segmentation.parts import sentence


def section(context: Context) -> Section | None:
    """What ``bayesseg stability`` and ``bayesseg drift`` found, where they were asked."""
    if "segments" not in context.posterior.parts:
        return None
    words, again, moved = context.words, context.beside.stability, context.beside.drift
    blocks: list[Any] = [Heading(words("steady.again"))]
    everybody = context.posterior.manifest["customers"]["all"]
    blocks.append(Text((assessed.summary(words, again, everybody),)))
    if again is not None:
        blocks.append(Items(tuple(map(words.said, again["words"]))))
        blocks += _named("stability", stability.blocks(words, again))
    blocks.append(Heading(words("steady.since")))
    if moved is None:
        blocks.append(Text((words("steady.not_asked"),)))
    else:
        said = words("steady.found", status=words(f"drift.verdict.{moved['status']}"))
        reasons = tuple(sentence(words.said(one["says"])) for one in moved["reasons"])
        blocks += [Text((said, *_windows(context, moved))), Items(reasons)]
        blocks += _named("drift", drift.blocks(words, moved))
    data = {"stability": again, "drift": moved}
    return Section("stability", words("steady.title"), words("steady.lead"), tuple(blocks), data)


def _windows(context: Context, moved: Mapping[str, Any]) -> tuple[str, ...]:
    windows = moved.get("windows") or {}
    if not windows:
        return ()
    spans = {
        f"{side}_{end}": context.words.date(windows[side][end])
        for side in ("before", "after")
        for end in ("first", "last")
    }
    return (context.words("steady.windows", **spans),)


def _named(of: str, blocks: tuple[Any, ...]) -> list[Any]:
    """The blocks, whose figures' numbers stand in what the verb found."""
    return [replace(one, of=of, minor=True) if isinstance(one, Figure) else one for one in blocks]
