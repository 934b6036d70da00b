"""What a conformance run found. An error, and a deviation that is not a number, fail. L9."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bayesseg.errors import BayessegError, UsageError

type Deviations = Iterable[tuple[float, str]]
"""How far off (0 where as promised) and where."""
type Check[Case] = tuple[float, Callable[[Case], Deviations]]
"""A tolerance and what is held against it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: ``worst`` deviation, the ``tolerance`` it is held against, and ``where`` it was."""

    check: str
    passed: bool
    worst: float
    tolerance: float
    where: str


@dataclass(frozen=True, slots=True)
class Report:
    """What was checked of ``subject``; ``skipped`` says what was not, and why."""

    subject: str
    findings: tuple[Finding, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether there were checks and all of them hold."""
        return bool(self.findings) and all(one.passed for one in self.findings)

    @property
    def broken(self) -> tuple[str, ...]:
        """Names of the checks that do not hold."""
        return tuple(one.check for one in self.findings if not one.passed)

    def __str__(self) -> str:
        rows = [
            f"{'ok    ' if one.passed else 'BROKEN'}  {one.check:<24} {one.worst:8.1e}  "
            f"(at most {one.tolerance:g})" + ("" if one.passed else f"  {one.where}")
            for one in self.findings
        ]
        rows += [f"skipped {name:<24} {why}" for name, why in self.skipped.items()]
        return "\n".join([f"{self.subject}: {'passed' if self.passed else 'FAILED'}", *rows])


def found(check: str, tolerance: float, deviations: Callable[[], Deviations]) -> Finding:
    """Run one check to its worst deviation."""
    worst, where = -math.inf, "nothing was compared"
    try:
        for deviation, place in deviations():
            size = deviation if math.isfinite(deviation) else math.inf
            if size > worst:
                worst, where = size, place
    except Exception as error:
        if worst <= tolerance:  # else what was found first says more
            worst, where = math.inf, f"{type(error).__name__}: {error}"
    worst = math.inf if worst == -math.inf else max(float(worst), 0.0)
    return Finding(check, worst <= tolerance, worst, tolerance, where)


def chosen[T](checks: Mapping[str, T], only: Collection[str] | None) -> Mapping[str, T]:
    """The checks named by ``only``, or all of them.

    Raises:
        UsageError: there is none of a name.
    """
    if unknown := sorted(set(only or ()) - set(checks)):
        raise UsageError(
            f"there is no check {unknown[0]!r}", fix=f"checks here: {', '.join(checks)}"
        )
    return {name: one for name, one in checks.items() if only is None or name in only}


# ---------------------------------------------------------------- deviations


def relative(found: npt.ArrayLike, expected: npt.ArrayLike) -> float:
    """The largest |found - expected| / |expected|; NaN and infinity equal themselves."""
    a, b = (np.asarray(values, dtype=np.float64) for values in (found, expected))
    if a.shape != b.shape:
        return math.inf
    with np.errstate(invalid="ignore", divide="ignore"):
        off = np.abs(a - b) / np.where(b == 0, 1.0, np.abs(b))
    off = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, off)
    return float(np.max(off, initial=0.0))


def of_the_largest(found: npt.ArrayLike, expected: npt.ArrayLike) -> float:
    """The same relative to the largest expected number: of gradients, whose small entries cancel."""
    a, b = (np.asarray(values, dtype=np.float64) for values in (found, expected))
    return float(np.max(np.abs(a - b)) / max(float(np.max(np.abs(b))), 1e-300))


def bitwise(found: Any, expected: Any) -> float:
    """0 where all is the same, else how many entries differ."""
    a, b = np.asarray(found), np.asarray(expected)
    if a.shape != b.shape or a.dtype != b.dtype:
        return math.inf
    nan = a.dtype.kind == "f"
    same = (a == b) | ((np.isnan(a) & np.isnan(b)) if nan else np.zeros(a.shape, dtype=bool))
    return float(np.sum(~same))


def refused(naming: str, act: Callable[..., Any], *given: Any) -> float:
    """0 where ``act`` raises an error for people whose message has ``naming`` in it."""
    try:
        act(*given)
    except BayessegError as error:
        return 0.0 if naming in str(error) else 1.0
    except Exception:
        return math.inf
    return math.inf


def untouched(
    act: Callable[[Mapping[str, Any]], Any], given: Mapping[str, Any]
) -> Iterator[tuple[float, str]]:
    """Whether ``act`` takes read-only arrays and leaves writable ones as they were."""
    ours = {name: np.array(values) for name, values in given.items()}
    act(ours)
    for name, values in given.items():
        yield bitwise(ours[name], np.asarray(values)), f"{name} was changed"
    for values in ours.values():
        values.flags.writeable = False
    act(ours)
