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
            gate=_name(gate),
            part=words(f"parts.{gate['part']}"),
            value=words.plain(gate["value"]),
            limit=words.plain(gate["limit"]),
            **gate["waiver"],
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
        found.append(_table(words, missed, words("sampling.gates.missed")))
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
            Cell(_name(gate)),
            Cell(words(f"parts.{gate['part']}")),
            Cell(words.plain(gate["value"])),
            Cell(words.plain(gate["limit"])),
            Cell(words(f"sampling.gates.{gate['verdict']}")),
            Cell("" if gate["passed"] else str(gate["advice"])),
        )
        for gate in gates
    )
    return Table(caption, head, rows)


def _name(gate: Mapping[str, Any]) -> str:
    return str(gate["name"]).replace("_", " ")
