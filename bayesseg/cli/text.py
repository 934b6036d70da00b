"""Plain text for people: aligned tables, verdicts in words. L10."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Columns aligned by their widest cell; columns of numbers stand right."""
    body = [[str(cell) for cell in row] for row in rows]
    lines = [list(headers), *body]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headers))]
    right = [bool(body) and all(_numeric(row[i]) for row in body) for i in range(len(headers))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def _numeric(cell: str) -> bool:
    return cell in ("", "–") or cell.lstrip("-−+")[:1].isdigit()


_COMPUTATION = {"passed": "computed correctly", "failed": "NOT computed reliably"}
_FORECAST = {
    "passed": "forecasts agree with what came",
    "caution": "some forecasts missed what came",
    "not-assessed": "forecasts not assessed",
}


def verdict_lines(verdicts: Mapping[str, Any]) -> list[str]:
    """Each part's two verdicts in words, then its reasons."""
    lines = []
    for part, verdict in verdicts.items():
        said = _COMPUTATION[verdict["computation"]]
        if part != "segments":
            said += f"; {_FORECAST[verdict['forecast']]}"
        lines.append(f"{part:9} {said}")
        lines += [f"{'':9}   {reason.removeprefix(f'{part}: ')}" for reason in verdict["reasons"]]
    return lines


def gate_table(gates: Iterable[Mapping[str, Any]]) -> str:
    """The gates, one a line."""
    return table(
        ("part", "gate", "value", "limit", "verdict"),
        [(g["part"], g["name"], _short(g["value"]), _short(g["limit"]), _judged(g)) for g in gates],
    )


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _judged(gate: Mapping[str, Any]) -> str:
    if gate["passed"]:
        return "ok"
    return "FAILED" if gate["severity"] == "hard" else "caution"


def parameter_table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Posterior means beside the quantile of the prior at which they lie."""
    return table(
        ("part", "parameter", "mean", "sd", "prior quantile", "prior"),
        [
            (
                row["part"],
                row["name"],
                _short(row["mean"]),
                _short(row["sd"]),
                f"{row['quantile']:.2f}" if "quantile" in row else "",
                row.get("prior", ""),
            )
            for row in rows
        ],
    )


def segment_table(segments: Iterable[Mapping[str, Any]]) -> str:
    """Segments with size, churn and value, each mean with its 90 % interval."""
    from bayesseg.report.words import load_words

    words = load_words("en")
    shown = [
        ("customers", "customers", "number"),
        ("share", "share", "percent"),
        ("p_churn", "churn", "percent"),
        ("clv", "value each", "money"),
        ("value_at_risk", "value at risk", "money"),
    ]
    rows = list(segments)
    shown = [column for column in shown if any(column[0] in row for row in rows)]
    return table(
        ("segment", "name", *(title for _, title, _ in shown)),
        [
            (row["id"], row["name"], *(words.interval(row.get(k), kind) for k, _, kind in shown))
            for row in rows
        ],
    )


def profile_table(segments: Sequence[Mapping[str, Any]]) -> str:
    """The features of each segment, mean with its 90 % interval."""
    from bayesseg.report.words import load_words

    words = load_words("en")
    features = list(segments[0]["profile"]) if segments else []
    return table(
        ("feature", *(row["id"] for row in segments)),
        [(name, *(words.interval(row["profile"][name]) for row in segments)) for name in features],
    )


def risk_table(listed: Any) -> str:
    """The first rows of a list as ``decide.ranked`` gives it."""
    from bayesseg.report.words import load_words

    words = load_words("en")
    return table(
        ("rank", "customer", "at stake", "alive", "churn", "reason"),
        [
            (
                row["rank"],
                row["customer_id"],
                words.money(row["value"]),
                words.percent(row["p_alive"]),
                words.percent(row["p_churn"]),
                row["reason"],
            )
            for row in listed.to_dict("records")
        ],
    )
