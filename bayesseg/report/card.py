"""The model card of a run: one page of Markdown made of its manifest and of nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from bayesseg._types import PARTS
from bayesseg.posterior import Posterior
from bayesseg.report.words import Words, load_words

_USES = ("rank", "describe", "plan")
_EXCLUDED = ("pricing", "credit", "refusal", "employment", "automatic")


def card(posterior: Posterior, language: str = "en") -> str:
    """What a run is for and not for, what data it knows, how it was judged, what law asks of its user.

    Every number is one of the manifest, so the card adds nothing to it and is not hashed with it;
    the model id on it tells which run it is about. No customer, no path (Mitchell et al. 2019).
    """
    words, manifest = load_words(language, posterior.manifest.get("currency")), posterior.manifest
    parts = [part for part in PARTS if part in manifest["verdicts"]]
    blocks = [
        f"# {words('card.title', model=_safe(manifest['name']))}",
        words("card.lead", model_id=manifest["model_id"]),
        _section(words, "use", [words(f"card.use.{key}") for key in _uses(parts)]),
        _section(words, "excluded", [words(f"card.excluded.{key}") for key in _EXCLUDED]),
        _section(words, "data", _data(words, manifest)),
        _section(words, "judged", _judged(words, manifest, parts)),
        _section(words, "limits", [words(f"limits.{key}") for key in _limits(parts)]),
        _section(words, "people", [words(f"card.people.{n}") for n in (1, 2, 3, 4)]),
        _section(words, "again", _again(words, manifest)),
    ]
    return "\n\n".join(blocks) + "\n"


def _section(words: Words, key: str, items: Sequence[str]) -> str:
    return f"## {words(f'card.{key}.title')}\n\n" + "\n".join(f"- {item}" for item in items)


def _safe(value: Any) -> str:
    """Text of a model or of somebody's data, in which nothing is markup."""
    plain = "".join(c if c.isprintable() else " " for c in str(value))
    return escape(plain, quote=False).translate({ord(c): f"\\{c}" for c in "\\`*_[]|"})


def _uses(parts: Sequence[str]) -> list[str]:
    needs = {"rank": "spend", "describe": "segments", "plan": "purchase"}
    return [key for key in _USES if needs[key] in parts]


def _limits(parts: Sequence[str]) -> list[str]:
    keys = ["decision", *(("contract", "holdout", "early") if "purchase" in parts else ())]
    return [*keys, *(("segments",) if "segments" in parts else ()), "privacy"]


def _data(words: Words, manifest: Mapping[str, Any]) -> list[str]:
    accounting: Mapping[str, Any] = manifest.get("accounting") or {}
    found = [words("card.data.customers", n=words.count(manifest["customers"]["all"]))]
    days = accounting.get("days")
    if days:
        found.append(
            words("card.data.days", first=words.date(days["first"]), last=words.date(days["last"]))
        )
    if manifest.get("as_of"):
        found.append(words("card.data.as_of", day=words.date(manifest["as_of"])))
    rows = accounting.get("rows")
    if rows:
        left = "".join(f", {words.count(n)} {_safe(r)}" for r, n in rows["excluded"].items() if n)
        n, used = words.count(rows["in"]), words.count(rows["used"])
        found.append(words("card.data.rows", n=n, used=used, left=left))
    if money := accounting.get("policies", {}).get("money"):
        found.append(words("card.data.money", money=_safe(money)))
    return [*found, words("card.data.kept")]


def _judged(words: Words, manifest: Mapping[str, Any], parts: Sequence[str]) -> list[str]:
    found = []
    for part in parts:
        one = manifest["verdicts"][part]
        own = [gate for gate in manifest["gates"] if gate["part"] == part]
        passed = sum(bool(gate["passed"]) for gate in own)
        gates = words("card.judged.gates", n=words.count(passed), m=words.count(len(own)))
        forecast = words("card.judged.forecast", verdict=one["forecast"])
        said = [words(f"verdict.computation.{one['computation']}"), gates]
        said += [forecast] if part != "segments" else []
        found.append(f"**{words(f'parts.{part}')}.** {' '.join(said)}")
        found += [_safe(words.said(reason)) for reason in one["reasons"]]
    return found


def _again(words: Words, manifest: Mapping[str, Any]) -> list[str]:
    versions = ", ".join(f"{_safe(n)} {_safe(v)}" for n, v in sorted(manifest["versions"].items()))
    return [
        words("card.again.seed", seed=manifest["seed"], fingerprint=_safe(manifest["fingerprint"])),
        words("card.again.versions", versions=versions),
    ]
