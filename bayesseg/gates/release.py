"""May this part leave? The one question before numbers are handed on. L7."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bayesseg.errors import GateFailed, UsageError
from bayesseg.posterior import trusted


@dataclass(frozen=True, slots=True)
class Release:
    """The ``parts`` that leave though they were not computed reliably, and why."""

    parts: tuple[str, ...]
    reason: str


def withheld(judged: Mapping[str, Any], parts: Iterable[str]) -> tuple[str, ...]:
    """Those of ``parts`` that were not computed well enough to leave (see ``posterior.trusted``)."""
    return tuple(part for part in parts if not trusted(judged, part))


def release(
    judged: Mapping[str, Any],
    parts: Iterable[str],
    *,
    force: bool = False,
    reason: str | None = None,
) -> Release:
    """Let ``parts`` leave, or refuse; a failed one leaves by ``force`` with a ``reason`` only.

    ``force`` alone, which also means to write over a file, is not enough.

    Raises:
        GateFailed: a part failed and is not forced.
        UsageError: an empty reason, or a reason without force.
    """
    said = (reason or "").strip()
    if reason is not None and not (said and force):
        raise UsageError(
            "--reason is empty" if not said else "--reason is given without --force",
            fix='give both: --force --reason "why these numbers leave all the same"',
        )
    held = withheld(judged, parts)
    if held and not said:
        raise refusal(judged, held)
    return Release(held, said if held else "")


def refusal(judged: Mapping[str, Any], held: Iterable[str]) -> GateFailed:
    """What is said where the ``held`` parts may not leave."""
    held = tuple(held)
    error = missed([gate for gate in judged["gates"] if gate["part"] in held], "")
    said = [one for part in held for one in (judged["verdicts"].get(part) or {}).get("reasons", ())]
    return GateFailed(
        f"the {' and '.join(held)} part of this model failed its gates: it may not leave without "
        "--force --reason",
        fix=error.fix
        if error
        else f"fit that part again; it was judged: {'; '.join(said) or 'failed'}",
        code="withheld",
        details={"parts": list(held), **(error.details if error else {})},
    )


def missed(gates: Iterable[Mapping[str, Any]], consequence: str) -> GateFailed | None:
    """The first gate that failed, its value, limit and remedy in the last line; None where none did."""
    failed = [gate for gate in gates if gate["verdict"] == "failed"]
    if not failed:
        return None
    first = failed[0]
    value = "cannot be computed" if first["value"] is None else f"is {first['value']:.4g}"
    ran_out = f" (its waiver ran out on {first['waiver']['until']})" if first["waiver"] else ""
    return GateFailed(
        f"{first['detail'] or first['name']}{consequence}",
        fix=f"{first['part']}: gate {first['name']} {value}, limit {first['limit']:g}{ran_out}: "
        f"{first['advice']}",
        details={"gates": failed},
    )
