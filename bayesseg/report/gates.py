"""Gates on a page: what did not pass in full sight, all of them one click away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bayesseg.report.blocks import Cell, Column, Details, Items, Table, Text
from bayesseg.report.words import Words


def waivers(words: Words, gates: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Gates that somebody overlooks, or did until a day that is past; nothing where there are none."""
    said = tuple(
        words(
            f"verdict.waiver.{'holds' if gate['verdict'] == 'caution' else 'ran_out'}",
            gate=_name(words, gate),
            part=words(f"parts.{gate['part']}"),
            value=words.plain(gate["value"]),
            limit=words.plain(gate["limit"]),
            until=words.date(gate["waiver"]["until"]),
            reason=gate["waiver"]["reason"],
        )
        for gate in gates
        if gate["waiver"]
    )
    return [Text((words("verdict.waiver.title"),), tone="warn"), Items(said)] if said else []


def blocks(words: Words, gates: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Those that missed, then all: value, limit, verdict and what to do."""
    missed = [gate for gate in gates if not gate["passed"]]
    passed = words.count(len(gates) - len(missed))
    found: list[Any] = [Text((words("sampling.gates.said", passed=passed, n=len(gates)),))]
    if missed:
        found += [
            Text((words("sampling.gates.missed"),)),
            Items(tuple(_told(words, gate) for gate in missed)),
        ]
    whole = _table(words, gates, words("sampling.gates.caption"))
    return [*found, Details(words("sampling.gates.all", n=len(gates)), (whole,))]


def _table(words: Words, gates: Sequence[Mapping[str, Any]], caption: str) -> Table:
    head = tuple(
        Column(
            words(f"sampling.gates.{key}"), number=key in ("value", "limit"), wide=key == "advice"
        )
        for key in ("gate", "part", "value", "limit", "verdict", "advice")
    )
    rows = tuple(
        (
            Cell(_name(words, gate)),
            Cell(words(f"parts.{gate['part']}")),
            *(Cell(text) for text in _measured(words, gate)),
            Cell(words(f"sampling.gates.{gate['verdict']}")),
            Cell("" if gate["passed"] else words.said(str(gate["advice"]))),
        )
        for gate in gates
    )
    return Table(caption, head, rows)


def _told(words: Words, gate: Mapping[str, Any]) -> str:
    """A gate that missed, and what to do about it."""
    value, limit = _measured(words, gate)
    key = "backtested" if str(gate["name"]).startswith(_BACKTEST) else "limited"
    return words(
        f"sampling.gates.{key}",
        gate=_name(words, gate),
        part=words(f"parts.{gate['part']}"),
        value=value,
        limit=limit,
        advice=words.said(str(gate["advice"])),
    )


_BACKTEST = "backtest_"


def _name(words: Words, gate: Mapping[str, Any]) -> str:
    name = str(gate["name"])
    if name.startswith(_BACKTEST):
        return words("sampling.gates.backtest", cut=words.date(name.removeprefix(_BACKTEST)))
    for about in ("identified", "locked"):
        if name.startswith(f"{about}_"):
            return words(f"sampling.gates.names.{about}", name=name.removeprefix(f"{about}_"))
    key = f"sampling.gates.names.{name}"
    return words(key) if words.has(key) else name.replace("_", " ")


def _measured(words: Words, gate: Mapping[str, Any]) -> tuple[str, str]:
    """Value and limit; a backtest's are how far what came lies outside the interval."""
    if not str(gate["name"]).startswith(_BACKTEST) or gate["value"] is None:
        return words.plain(gate["value"]), words.plain(gate["limit"])
    inside = words("sampling.gates.inside")
    share = words.percent(gate["value"])
    return words("sampling.gates.outside", share=share) if gate["value"] else inside, inside
