"""What a purchase log looks like: complete, consistent, even in time and money, or not.

Everything is aggregated in DuckDB (at most some 40,000 bins and as many days leave it), so that memory
does not grow with the log. Nothing is deleted here: outliers are flags.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from bayesseg.ingest.findings import finding, many, records
from bayesseg.ingest.numbers import is_missing, trimmed

_BINS = 1000
"""Bins of one in the logarithm of amounts: quantiles are right to a thousandth."""
_FENCE, _ROBUST_Z = 1.5, 3.5
"""Tukey's fences; Iglewicz and Hoaglin (1993): the limit of the modified z."""
_DOMINANT = 0.2
_ORDERS, _EVEN = 10, 0.95
"""So many orders of several lines, and such a share of them with one amount on all, tell a total."""
_QUIET, _USUAL = 14, 5.0
"""A gap is said from so many days on, where it is that many times as long as one gap in twenty."""
_BURST, _NEAR = 4.0, 4
"""A week is said that has so many times the lines of its neighbours, or as many times fewer."""
_CENTS, _ASHMAN = 0.3, 4.0
"""Of two lumps: powers of ten from a factor of 100 at most, standard deviations apart at least."""


@dataclass(frozen=True, slots=True)
class Quality:
    """``facts`` are JSON-able numbers without ids; ``findings`` what of them deserves a word."""

    facts: Mapping[str, Any]
    findings: tuple[Mapping[str, Any], ...]


def quality(
    connection: duckdb.DuckDBPyConnection, columns: Mapping[str, str], excluded: Mapping[str, int]
) -> Quality:
    """Judge ``raw`` and ``rows`` as ``clean`` leaves them.

    Args:
        connection: holds them.
        columns: name in raw -> in the source.
        excluded: rows set aside, by reason.
    """
    money, said_of_money = _money(connection)
    time, said_of_time = _time(connection)
    facts = {
        "completeness": (present := _completeness(connection, columns)),
        "consistency": _consistency(connection, columns, excluded, present),
        "duplicates": _copies(connection),
        "refunds": _refunds(connection),
        "amounts": money,
        "time": time,
    }
    several = facts["consistency"].get("one_customer_an_order", {"failing": 0})["failing"]
    told = finding(
        "order_of_several_customers",
        "warning",
        several,
        f"{many(several, 'order id')} used by more than one customer",
        "if order numbers start again, join them with the year or the shop in the source",
    )
    repeated = _repeated(connection) if "o" in columns else 0
    again = finding(
        "amount_of_order",
        "warning",
        repeated,
        f"{many(repeated, 'order')} of several lines with one amount on all of them: the total of the "
        "order, counted once a line?",
        'if so, give the amount of a line, such as --amount "quantity * unit_price"',
    )
    found = [*said_of_money, *said_of_time, told, again]
    return Quality(facts, tuple(one for one in found if one["count"]))


def _row(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    row = connection.execute(query).fetchone()
    assert row is not None
    return tuple(row)


def _completeness(
    connection: duckdb.DuckDBPyConnection, columns: Mapping[str, str]
) -> dict[str, dict[str, float]]:
    """Of each column used: rows with a value, and their share."""
    types = {name: str(kind) for name, kind, *_ in connection.execute("DESCRIBE raw").fetchall()}
    (total,) = _row(connection, "SELECT count(*) FROM raw")
    present = {}
    for short in columns:
        if text := short[0] in "coeugs":
            missing = f"coalesce({trimmed('v' if short == 'c' else short)}, '') = ''"
        elif text := types[short] == "VARCHAR":
            missing = is_missing("v")
        else:
            missing = f"{short} IS NULL"
        # ids, days and amounts as text are known by what is written, each once
        once = text and short[0] not in "oeugs"
        some = f"sum(n) FILTER (NOT ({missing})) FROM texts_{short}"
        (n,) = _row(
            connection,
            f"SELECT {some}" if once else f"SELECT count(*) FILTER (NOT ({missing})) FROM raw",
        )
        present[short] = int(n or 0)
    return {
        columns[short]: {"present": n, "missing": total - n, "share": n / total}
        for short, n in present.items()
    }


def _consistency(
    connection: duckdb.DuckDBPyConnection,
    columns: Mapping[str, str],
    excluded: Mapping[str, int],
    complete: Mapping[str, Mapping[str, float]],
) -> dict[str, dict[str, float]]:
    """Of each rule: what it is asked of (rows with a value), what fails it, the share that passes."""
    rules = {
        "id_readable": ("id_unusable",),
        "date_readable": ("date_unreadable", "date_too_early", "date_in_future"),
        "amount_readable": (
            "amount_unreadable",
            "cost_unreadable",
            "currency_missing",
            "rate_missing",
        ),
    }
    asked = {
        rule: min(complete[name]["present"] for short, name in columns.items() if short[0] == kind)
        for rule, kind in zip(rules, "cda", strict=True)
    }
    found = {
        name: (asked[name], sum(excluded.get(r, 0) for r in fail)) for name, fail in rules.items()
    }
    if "o" in columns:
        found["one_customer_an_order"] = _row(
            connection,
            "SELECT count(*), count(*) FILTER (several) FROM (SELECT min(customer_id) <> "
            "max(customer_id) AS several FROM rows WHERE reason IS NULL AND order_id IS NOT NULL "
            "GROUP BY order_id)",
        )
    return {
        name: {"asked": n, "failing": bad, "share": 1.0 - bad / max(n, 1)}
        for name, (n, bad) in found.items()
    }


def _repeated(connection: duckdb.DuckDBPyConnection) -> int:
    """Orders whose lines all have one amount, where nearly all orders do and not for want of prices."""
    orders, even, commonest = _row(
        connection,
        "WITH orders AS (SELECT min(amount) AS low, max(amount) AS high FROM rows WHERE reason IS NULL "
        "AND order_id IS NOT NULL AND amount > 0 GROUP BY customer_id, order_id HAVING count(*) > 1) "
        "SELECT count(*), count(*) FILTER (low = high), "
        "(SELECT max(n) FROM (SELECT count(*) AS n FROM orders GROUP BY low)) FROM orders",
    )
    told = orders >= _ORDERS and even >= _EVEN * orders and commonest < orders / 2
    return int(even) if told else 0


def _copies(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    count, worth = _row(
        connection, "SELECT count(*), CAST(coalesce(sum(amount), 0) AS DOUBLE) FROM copies"
    )
    return {"rows": count, "amount": worth}


def _refunds(connection: duckdb.DuckDBPyConnection) -> dict[str, float]:
    count, back, paid, used = _row(
        connection,
        "SELECT count(*) FILTER (amount < 0), CAST(coalesce(-sum(amount) FILTER (amount < 0), 0) AS "
        "DOUBLE), CAST(coalesce(sum(amount) FILTER (amount > 0), 0) AS DOUBLE), count(*) "
        "FROM rows WHERE reason IS NULL",
    )
    return {
        "rows": count,
        "share_of_rows": count / used,
        "amount": back,
        "share_of_amount": back / paid if paid else 0.0,
    }


# --- money ---------------------------------------------------------------------------------------


def _money(connection: duckdb.DuckDBPyConnection) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    paid = "FROM rows WHERE reason IS NULL AND amount > 0"
    bins = connection.execute(
        f"SELECT CAST(floor(ln(amount) * {_BINS}) AS INTEGER) AS bin, count(*) AS n {paid} "
        "GROUP BY bin ORDER BY bin"
    ).fetchnumpy()
    logs, n = (bins["bin"] + 0.5) / _BINS, bins["n"].astype(np.int64)
    if not len(n):
        return {"positive": 0}, []
    total = int(n.sum())
    low, median, high = (_quantile(logs, n, q) for q in (0.25, 0.5, 0.75))
    fences = low - _FENCE * (high - low), high + _FENCE * (high - low)
    away = np.abs(logs - median)
    order = np.argsort(away, kind="stable")
    spread = 1.4826 * _quantile(away[order], n[order], 0.5)
    outside = int(n[(logs < fences[0]) | (logs > fences[1])].sum()) if high > low else 0
    far = int(n[away > _ROBUST_Z * spread].sum()) if spread > 1.0 / _BINS else 0
    largest, record, everything = _row(
        connection,
        "SELECT CAST(max(amount) AS DOUBLE), arg_max(record, amount), CAST(sum(amount) AS DOUBLE) "
        + paid,
    )
    facts = {
        "positive": total,
        **{
            name: float(np.exp(value))
            for name, value in zip(("q1", "median", "q3"), (low, median, high), strict=True)
        },
        "largest_share": largest / everything,
        "iqr_outliers": {"rows": outside, "low": float(np.exp(fences[0]))}
        | {"high": float(np.exp(fences[1]))},
        "robust_z_outliers": {"rows": far, "limit": _ROBUST_Z},
    }
    found = [
        finding(
            "amount_outliers",
            "note",
            outside,
            f"{many(outside, 'amount')} ({outside / total:.1%}) outside {np.exp(fences[0]):,.2f} to "
            f"{np.exp(fences[1]):,.2f} (Tukey's fences of the logarithm), "
            f"{far:,} with a robust z above {_ROBUST_Z}: flagged, kept",
            "",
            records(
                connection,
                f"{paid} AND amount NOT BETWEEN {_money_text(fences[0])} AND {_money_text(fences[1])}",
            )
            if outside
            else (),
        )
    ]
    if total >= 20 and largest > _DOMINANT * everything:
        found.append(
            finding(
                "amount_dominates",
                "warning",
                1,
                f"one row is {largest / everything:.0%} of all money ({largest:,.2f})",
                "if it is no purchase of one customer, take it out or correct it",
                [int(record)],
            )
        )
    scales = _scales(logs / np.log(10.0), n)
    upper = "" if scales is None else f"{paid} AND amount > {_money_text(scales[2] * np.log(10.0))}"
    if scales is not None and _whole(connection, upper):
        factor, above, _ = scales
        found.append(
            finding(
                "scales_mixed",
                "warning",
                above,
                f"the amounts fall into two lumps a factor of {factor:,.0f} apart, "
                f"{many(above, 'row')} in the upper one: cents and whole units mixed?",
                "if so, divide them by 100 in the source",
                records(connection, upper),
            )
        )
        facts["scales"] = {"factor": factor, "above": above}
    return facts, found


def _whole(connection: duckdb.DuckDBPyConnection, tail: str) -> bool:
    """Cents have no decimals."""
    whole, n = _row(connection, f"SELECT count(*) FILTER (amount = trunc(amount)), count(*) {tail}")
    return bool(whole >= 0.99 * n)


def _money_text(log: float) -> str:
    """``exp(log)`` as an SQL number with the decimals of an amount."""
    return f"{float(np.exp(min(log, 32.0))):.4f}"


def _quantile(values: npt.NDArray[Any], n: npt.NDArray[Any], q: float) -> float:
    """Of ``values`` in ascending order, each ``n`` times."""
    return float(values[np.searchsorted(np.cumsum(n), q * n.sum())])


def _scales(tens: npt.NDArray[Any], n: npt.NDArray[Any]) -> tuple[float, int, float] | None:
    """Whether amounts (as powers of ten) are two lumps 100 apart: factor, rows above, the edge.

    The edge is that of least error for two normals (Kittler and Illingworth 1986, equation 15), which
    finds small lumps too. They are apart where their means lie ``_ASHMAN`` standard deviations apart
    (Ashman et al. 1994).
    """
    total = n.sum()
    if total < 50 or len(n) < 3:
        return None
    below, sums, squares = (np.cumsum(n * tens**k)[:-1] for k in range(3))
    above = total - below
    means = sums / below, ((n * tens).sum() - sums) / above
    spread = (
        squares / below - means[0] ** 2,
        ((n * tens**2).sum() - squares) / above - means[1] ** 2,
    )
    least = max(5.0, 0.01 * total)
    error = sum(
        share * np.log(np.maximum(of, 1e-4) / share**2)
        for share, of in zip((below / total, above / total), spread, strict=True)
    )
    at = int(np.argmin(np.where(np.minimum(below, above) >= least, error, np.inf)))
    distance = float(means[1][at] - means[0][at])
    within = float(np.sqrt(max(spread[0][at] + spread[1][at], 0.0) / 2.0))
    if min(below[at], above[at]) < least or abs(distance - 2.0) > _CENTS:
        return None
    if distance < _ASHMAN * within:
        return None
    return 10.0**distance, int(above[at]), float(tens[at] + tens[at + 1]) / 2.0


# --- time ----------------------------------------------------------------------------------------


def _time(connection: duckdb.DuckDBPyConnection) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    table = connection.execute(
        "SELECT date_diff('day', DATE '1970-01-01', day) AS day, count(*) AS n FROM rows "
        "WHERE reason IS NULL GROUP BY day ORDER BY day"
    ).fetchnumpy()
    days, n = table["day"].astype(np.int64), table["n"].astype(np.int64)
    gaps = np.diff(days)
    found: list[dict[str, Any]] = []
    long: list[dict[str, Any]] = []
    if len(gaps) >= 20:
        limit = max(_QUIET, _USUAL * float(np.quantile(gaps, 0.95)))
        long = [
            {"after": _iso(days[i]), "before": _iso(days[i + 1]), "days": int(gaps[i]) - 1}
            for i in np.flatnonzero(gaps > limit)
        ]
    odd = _odd_weeks(days, n)
    if long:
        widest = max(long, key=lambda gap: gap["days"])
        found.append(
            finding(
                "date_gap",
                "warning",
                len(long),
                f"{many(len(long), 'gap')} without any purchase, the longest of {widest['days']} days "
                f"after {widest['after']}",
                "if rows are missing there, export them again; if the shop was closed, leave it",
            )
        )
    if odd:
        first = ", ".join(
            f"{one['week']} ({one['rows']:,}, {one['usual']:,} around it)" for one in odd[:3]
        )
        bursts = any(one["rows"] > one["usual"] for one in odd)  # a quiet week may be a holiday
        found.append(
            finding(
                "volume_odd",
                "warning" if bursts else "note",
                len(odd),
                f"{many(len(odd), 'week')} with far more or fewer rows than those around: {first}"
                + (", ..." if len(odd) > 3 else ""),
                "see whether an export is doubled or cut short; a sale or a holiday needs nothing",
            )
        )
    facts = {
        "days": len(days),
        "longest_gap": int(gaps.max()) - 1 if len(gaps) else 0,
        "gaps": long[:20],
        "odd_weeks": odd[:20],
    }
    return facts, found


def _odd_weeks(days: npt.NDArray[Any], n: npt.NDArray[Any]) -> list[dict[str, Any]]:
    """Whole weeks whose rows are many times more or fewer than the median of the weeks around.

    Beyond the factor the difference must exceed five standard deviations of a Poisson number.
    """
    place = (days + 3) // 7  # 1970-01-01 was a Thursday: weeks begin on Monday
    rows = np.zeros(int(place[-1] - place[0]) + 1, dtype=np.int64)
    np.add.at(rows, place - place[0], n)
    found = []
    for i in range(1, len(rows) - 1):  # the outer weeks may be parts
        around = np.r_[rows[max(0, i - _NEAR) : i], rows[i + 1 : i + 1 + _NEAR]]
        usual = float(np.median(around))
        least, most = sorted((float(rows[i]), usual))
        if len(around) >= _NEAR and most > _BURST * least and most - least > 5.0 * np.sqrt(most):
            week = _iso(7 * (i + int(place[0])) - 3)
            found.append({"week": week, "rows": int(rows[i]), "usual": round(usual)})
    return found


def _iso(day: Any) -> str:
    return (date(1970, 1, 1) + timedelta(days=int(day))).isoformat()
