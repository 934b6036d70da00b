"""What the three pages share: verdict, heads of tables, how to repeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from bayesseg.report.blocks import (
    Cell,
    Column,
    Fact,
    Facts,
    Formula,
    Items,
    Judgement,
    Judgements,
    Section,
    Table,
)
from bayesseg.report.rendering import Page, plain, rendered
from bayesseg.report.words import Words


def head(words: Words, key: str, first: str, *others: str) -> tuple[Column, ...]:
    """Columns by their words under ``key``; the first holds text."""
    return (
        Column(words(f"{key}.{first}"), number=False),
        *(Column(words(f"{key}.{one}")) for one in others),
    )


def sentence(text: str) -> str:
    """A remark as a sentence."""
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith(".") else ".")


def signed(words: Words, of: Mapping[str, float]) -> str:
    """A change in percentage points, with its interval and its sign."""
    places = 1 if of["hi"] - of["lo"] < 0.1 else 0
    mean, low, high = (words.fixed(100 * of[key], places) for key in ("mean", "lo", "hi"))
    plus = "+" if of["mean"] > 0 and mean[0] != "−" else ""
    return words("moves.points", mean=f"{plus}{mean}", lo=low, hi=high)


def verdict(
    words: Words,
    title: str,
    lead: str,
    judged: Sequence[tuple[str, str, str]],
    facts: Sequence[Fact],
    said: Sequence[str] = (),
) -> Section:
    """The first screen; ``judged`` are (tone, word, sentence)."""
    blocks: list[Any] = []
    if judged:
        found = tuple(Judgement(word, tone, says, "", ()) for tone, word, says in judged)
        blocks.append(Judgements(found))
    if facts:
        blocks.append(Facts(tuple(facts)))
    if said:
        blocks.append(Items(tuple(said)))
    return Section("verdict", words(title), words(lead), tuple(blocks), {})


def repeated(words: Words, command: Sequence[str], facts: Mapping[str, Any]) -> Section:
    """The command, what it was run on and the versions."""
    rows = [(Cell(words(f"moves.facts.{key}")), Cell(str(value))) for key, value in facts.items()]
    rows += [(Cell(name), Cell(version(name))) for name in ("bayesseg", "numpy", "scikit-learn")]
    columns = (
        Column(words("reproduce.what"), number=False),
        Column(words("reproduce.value"), number=False, wide=True),
    )
    table = Table(words("moves.facts.caption"), columns, tuple(rows))
    return Section(
        "reproduce",
        words("reproduce.title"),
        words("validation.reproduce.lead"),
        (*((Formula(tuple(command)),) if command else ()), table),
        {},
    )


def page(
    words: Words,
    document: Mapping[str, Any],
    sections: Sequence[Section | None],
    *,
    kind: str,
    tone: str,
    facts: Sequence[tuple[str, str]],
    command: Sequence[str],
) -> Page:
    """One page that loads nothing and names no customer, and its numbers."""
    html = rendered(
        words,
        [one for one in sections if one is not None],
        title=words(f"{kind}.title"),
        facts=facts,
        verdict=tone,
        hint=words(f"{kind}.hint"),
    )
    more = {"command": list(command), "version": version("bayesseg")}
    return Page(html, plain({**document, **more}))
