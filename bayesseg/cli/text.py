"""Plain text for people: aligned tables, verdicts in words. L10."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayesseg.report.words import Words


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


_LEVELS = 6
"""Of a text column, the most levels shown."""
_COMPUTATION = {
    "passed": "computed correctly",
    "caution": "computed, with a gate overlooked by waiver",
    "failed": "NOT computed reliably",
    "not-assessed": "a point estimate, its uncertainty not computed",
}
_FORECAST = {
    "passed": "forecasts agree with what came",
    "caution": "some forecasts missed what came",
    "not-assessed": "forecasts not assessed",
}


def verdict_lines(
    manifest: Mapping[str, Any], stability: Mapping[str, Any] | None = None
) -> list[str]:
    """Each part's two verdicts in words, then its reasons; ``stability`` is what was found of it."""
    from bayesseg.report.segmentation.assessed import summary
    from bayesseg.report.words import load_words

    lines = waiver_lines(manifest)
    for part, verdict in manifest["verdicts"].items():
        said = _COMPUTATION[verdict["computation"]]
        if part != "segments":
            said += f"; {_FORECAST[verdict['forecast']]}"
        elif verdict["computation"] != "failed":
            found = summary(load_words("en"), stability, manifest["customers"]["all"])
            said += f"; {found[0].lower()}{found[1:-1]}"
        lines.append(f"{part:9} {said}")
        lines += [f"{'':9}   {reason.removeprefix(f'{part}: ')}" for reason in verdict["reasons"]]
    return lines


def quality_table(provenance: Mapping[str, Any]) -> str:
    """How complete, consistent and even a purchase log is, one measure a line."""
    from bayesseg.report.measures import measures
    from bayesseg.report.words import load_words

    rows = measures(load_words("en"), provenance)
    return table(("quality", "share", "rows", "of what"), rows)


def gate_table(gates: Iterable[Mapping[str, Any]]) -> str:
    """The gates, one a line."""
    return table(
        ("part", "gate", "value", "limit", "verdict"),
        [(g["part"], g["name"], _short(g["value"]), _short(g["limit"]), _judged(g)) for g in gates],
    )


def waiver_lines(manifest: Mapping[str, Any]) -> list[str]:
    """Every waiver of a run, and what became of it."""
    became = {
        (gate["part"], gate["name"]): "overlooked" if gate["verdict"] == "caution" else "RAN OUT"
        for gate in manifest["gates"]
        if gate["waiver"]
    }
    found = [
        f"waiver  {one['part']} {one['gate']} until {one['until']}, "
        f"{became.get((one['part'], one['gate']), 'not needed')}: {one['reason']}"
        for one in manifest["facts"].get("waivers", ())
    ]
    return [*found, ""] if found else []


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _judged(gate: Mapping[str, Any]) -> str:
    if gate["waiver"] and gate["verdict"] == "caution":
        return f"waived until {gate['waiver']['until']}"
    return {"passed": "ok", "failed": "FAILED"}.get(gate["verdict"], str(gate["verdict"]))


def parameter_table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Posterior means beside the quantile of the prior at which they lie."""
    return table(
        ("part", "parameter", "mean", "sd", "prior quantile", "prior"),
        [
            (
                row["part"],
                ", ".join(filter(None, (row["name"], row.get("note")))),
                _short(row["mean"]),
                _short(row["sd"]),
                "" if row.get("quantile") is None else f"{row['quantile']:.2f}",
                row.get("prior", ""),
            )
            for row in rows
        ],
    )


def names_table(found: Mapping[str, Any]) -> str:
    """The segments that a manifest's entry shows: what they are made of, and who holds on to them."""
    from bayesseg.segment_map import from_json, shown

    own = from_json(found.get("map"))
    rows = []
    for one in shown(found):
        entry = own.entry(one.id)
        held = [word for word, is_so in (("pinned", entry.pin), ("locked", entry.lock)) if is_so]
        made = " + ".join(one.of) + (f", {one.rule}" if one.rule else "")
        rows.append((one.id, one.name, made if made != one.id else "", ", ".join(held)))
    return table(("segment", "name", "made of", "held"), rows)


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
    """What each segment is like: means and medians with 90 % intervals; of text shares of its levels.

    Of a yes or no its share; under what is not known of everybody, of how many it is.
    """
    from bayesseg.report.words import ALL, load_words, spread

    words = load_words("en")
    ids = tuple(one["id"] for one in segments)
    if not segments:
        return table(("feature", *ids), [])
    shown: list[tuple[str, list[Any], str]] = []
    for name in segments[0]["profile"]:
        numeric = name in segments[0]["medians"]
        kind = "number" if numeric else "percent"
        shown.append((name, [one["profile"][name] for one in segments], kind))
        if numeric:
            shown.append(("  median", [one["medians"][name] for one in segments], kind))
        known = [one["known"][name] for one in segments]
        if any(share is not None and share < ALL for share in known):
            shown.append(("  known of", [{"mean": share} for share in known], "percent"))
    for column, levels in segments[0]["levels"].items():
        shares = {level: [one["levels"][column][level] for one in segments] for level in levels}
        most: dict[str, float] = {
            level: max(one["mean"] or 0.0 for one in own) for level, own in shares.items()
        }
        common = sorted(levels, key=lambda level: -most[level])[:_LEVELS]
        shown += [
            (f"{column} = {level}", shares[level], "percent") for level in common if most[level]
        ]
    return table(
        ("feature", *ids),
        [
            (name, *(words.interval(one, kind, spread(found)) for one in found))
            for name, found, kind in shown
        ],
    )


def totals_lines(document: Mapping[str, Any]) -> list[str]:
    """Each total with its intervals: of the mean, of what comes, widened by past misses."""
    from bayesseg.report.words import load_words

    words, settings = load_words("en"), document["settings"]
    spans = {
        "expected_purchases": f"purchases in {settings['horizon_days']} days",
        "clv": f"{document['money']} in {settings['value_horizon_days']} days, discounted",
    }
    lines = []
    for name, what in spans.items():
        if (total := document["totals"].get(name)) is None:
            continue
        found = [f"{what}: {words.interval(total)} expected"]
        for key, said in (("pred", "to come"), ("widened", "widened by past misses")):
            if total.get(f"{key}_lo") is not None:
                ends = {"mean": total["mean"], "lo": total[f"{key}_lo"], "hi": total[f"{key}_hi"]}
                found.append(f"{words.halves(ends)[1]} {said}")
        lines.append("; ".join(found))
    each = [
        f"{what} {words.interval(one)}"
        for name, what in spans.items()
        if (one := (document.get("newcomer") or {}).get(name))
    ]
    if each:
        lines.append(f"somebody who comes now, after the first purchase: {'; '.join(each)}")
    return lines


def effect_table(effects: Mapping[str, Mapping[str, Any]]) -> str:
    """What parts the segments: each feature's effect size with its 90 % interval, largest first."""
    from bayesseg.report.words import load_words

    words = load_words("en")
    return table(
        ("what parts the segments", "measure", "0 to 1", "in the model"),
        [
            (
                name,
                one["measure"],
                words.interval(one, "index"),
                "yes" if one["role"] == "base" else "no",
            )
            for name, one in sorted(effects.items(), key=lambda item: -(item[1]["mean"] or 0.0))
        ],
    )


def risk_table(listed: Any) -> str:
    """The first rows of a list as ``decide.ranked`` or ``decide.campaign.choose`` gives it."""
    from bayesseg.report.words import load_words

    words = load_words("en")
    columns: list[tuple[str, str, Callable[[Any], str]]] = [
        ("rank", "rank", str),
        ("customer", "customer_id", str),
        ("at stake", "value", words.money),
        ("net benefit", "net_benefit", words.money),
        ("worth it", "p_positive", words.percent),
        ("held out", "holdout", lambda held: "yes" if held else ""),
        ("alive", "p_alive", words.percent),
        ("churn", "p_churn", words.percent),
        ("reason", "reason", str),
    ]
    alone = "holdout" in listed and listed["holdout"].any()
    shown = [one for one in columns if one[1] in listed and (alone or one[1] != "holdout")]
    rows = [
        tuple(write(row[name]) for _, name, write in shown) for row in listed.to_dict("records")
    ]
    return table(tuple(head for head, _, _ in shown), rows)


def totals_table(document: Mapping[str, Any]) -> str:
    """The forecast total of each cut with both its intervals, beside what came."""
    from bayesseg.report.words import load_words
    from bayesseg.validation.comparison import row, subject

    words = load_words("en")
    rows = []
    for at, origin in enumerate(document["origins"]):
        judged = row(document, at, subject(document))
        assert judged is not None  # a family is fitted at every origin that is not skipped
        score = judged["purchases"]
        wide = score["widened"]
        rows.append(
            (
                origin["cut"],
                origin["until"],
                judged["title"],
                words.interval(score),
                words.interval({"mean": score["mean"], **wide}).partition("(")[2].rstrip(")"),
                words.count(score["actual"]),
                _signed(score["bias"]),
                "inside" if score["inside"] else "widened only" if wide["inside"] else "OUTSIDE",
            )
        )
    level = f"{document['level']:.0%}"
    heads = ("fitted to", "forecast to", "family", f"purchases ({level})", "widened", "came")
    return table((*heads, "off by", "lies"), rows)


def comparison_table(document: Mapping[str, Any]) -> str:
    """Forecasters side by side, the families above a line, what needs no model below it."""
    from bayesseg.report.words import load_words
    from bayesseg.validation.comparison import comparison

    words, several = load_words("en"), len(document["origins"]) > 1
    rows, kinds = [], []
    for one in comparison(document):
        fixed = [_fixed(one[k]) for k in ("mae", "crps", "brier", "auc")]
        total = _signed(one["bias"]) if several else _total(document, one["name"], words)
        miss = words.percent(one["miss"]) if several else _signed(one["bias"])
        rows.append(
            (
                one["title"],
                total,
                miss,
                *fixed[:2],
                words.percent(one["coverage"]),
                *fixed[2:],
                words.percent(one["top_decile"]),
            )
        )
        kinds.append(one["kind"] == "family")
    heads = ("mean bias", "mean miss") if several else ("total", "bias")
    lines = table(
        ("forecaster", *heads, "MAE", "CRPS", "in 90%", "Brier", "AUC", "top tenth"), rows
    ).split("\n")
    at = 1 + sum(kinds)
    return "\n".join([*lines[:at], "-" * max(map(len, lines)), *lines[at:]])


def comparison_notes(document: Mapping[str, Any]) -> list[str]:
    """How forecasters were made, or why they have no numbers; alike ones in one line."""
    from bayesseg.validation.comparison import comparison

    said: dict[str, list[str]] = {}
    for one in comparison(document):
        if one["note"]:
            said.setdefault(one["note"], []).append(one["title"])
    return [f"{', '.join(names)}: {note}" for note, names in said.items()] + [""] * bool(said)


def _total(document: Mapping[str, Any], name: str, words: Words) -> str:
    from bayesseg.validation.comparison import row

    found = row(document, 0, name)
    score = found and found["purchases"]
    if not score:
        return words.interval(None)
    return words.count(score["mean"]) if score["lo"] is None else words.interval(score)


def _fixed(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _signed(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:+.1f}%".replace("-", "−")


def advice_lines(advice: Iterable[Any]) -> list[str]:
    """Each finding with its level and, indented, what to do."""
    lines = []
    for one in advice:
        lines.append(f"{one.level:8} {one.says}")
        if one.fix:
            lines.append(f"{'':8}   {one.fix}")
    return lines
