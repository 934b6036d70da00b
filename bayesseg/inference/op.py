"""One PyTensor Op for every family with a kernel: value and gradient in one pass. L5.

One Apply node with two outputs, so the graph of value and gradient holds the node once and nothing is
computed twice. The table enters as one vector of 64-bit words, an input and not a constant: compiled
code serves every data set, and nutpie, which compiles an accessor per input, has only one to compile
(measured: 0.4 s each).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytensor.tensor as pt
from pytensor.gradient import disconnected_type
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key

from bayesseg._types import Array
from bayesseg.families import FAMILIES


def pack(arrays: Mapping[str, npt.NDArray[Any]]) -> tuple[Array, tuple[str, ...]]:
    """Arrays, each float64 or int64, as one vector and their kinds (``"f"`` or ``"i"``).

    The lengths come first, then the arrays one after the other. Integers keep their bits, not their
    values (``pm.Data`` turns integer vectors into int32, so the words are called float64).
    """
    values = [np.ascontiguousarray(v) for v in arrays.values()]
    lengths = np.array([len(v) for v in values], dtype=np.int64)
    words = np.concatenate([v.view(np.float64) for v in (lengths, *values)])
    return words, tuple(v.dtype.kind for v in values)


class FusedLogLik(Op):  # type: ignore[misc]
    """``(theta, words) -> (log-likelihood, its gradient in theta)`` of one family's packed table.

    Of several groups, each with its own vector in theta, the tables stand one after another.
    """

    __props__ = ("name", "kinds")

    def __init__(self, name: str, kinds: tuple[str, ...]) -> None:
        self.name = name
        self.kinds = kinds

    def make_node(self, theta: Any, words: Any) -> Apply:
        """One node; theta holds the textbook vector of each group, ``kinds`` one group's arrays."""
        return Apply(self, [pt.as_tensor(theta), pt.as_tensor(words)], [pt.dscalar(), pt.dvector()])

    def perform(self, node: Apply, inputs: list[Any], output_storage: list[list[Any]]) -> None:
        """Evaluate outside compiled graphs."""
        theta, words = inputs
        each = theta.reshape(-1, len(FAMILIES[self.name].textbook))
        kinds = self.kinds * len(each)
        ends = np.cumsum([len(kinds), *words[: len(kinds)].view(np.int64)])
        arrays = [
            words[start:end].view(np.float64 if kind == "f" else np.int64)
            for start, end, kind in zip(ends[:-1], ends[1:], kinds, strict=True)
        ]
        value, gradient, count = 0.0, np.empty_like(each), len(self.kinds)
        for g, one in enumerate(each):
            own = arrays[g * count : (g + 1) * count]
            more, gradient[g] = FAMILIES[self.name].kernel(one, *own)  # type: ignore[misc]
            value += more
        output_storage[0][0] = np.asarray(value)
        output_storage[1][0] = gradient.ravel()

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """Only theta carries gradients."""
        return [[True, True], [False, False]]

    def pullback(
        self, inputs: list[Variable], outputs: list[Variable], cotangents: list[Variable]
    ) -> list[Variable]:
        """Chain rule, from the gradient already at hand."""
        return [cotangents[0] * outputs[1], disconnected_type()]


def _source_hash() -> int:
    """Changes with any line compiled in: PyTensor keeps compiled code by this number for good."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in (Path(__file__), root / "_compiled.py", *sorted((root / "families").glob("*.py"))):
        digest.update(path.read_bytes())
    return int.from_bytes(digest.digest()[:7])


def _reader(kinds: tuple[str, ...]) -> Any:
    """Compiled ``(words, i, start) -> arrays``, from the i-th array on, which begins at ``start``."""
    if not kinds:

        @numba_njit  # type: ignore[untyped-decorator]
        def nothing(words: Any, i: Any, start: Any) -> Any:
            return ()

        return nothing
    rest, kind = _reader(kinds[1:]), np.dtype(np.float64 if kinds[0] == "f" else np.int64)

    @numba_njit  # type: ignore[untyped-decorator]
    def read(words: Any, i: Any, start: Any) -> Any:
        end = start + words.view(np.int64)[i]
        return (words[start:end].view(kind), *rest(words, i + 1, end))

    return read


@register_funcify_default_op_cache_key(FusedLogLik)  # type: ignore[untyped-decorator]
def _funcify(op: FusedLogLik, node: Apply, **_: Any) -> Any:
    family = FAMILIES[op.name]
    kernel, read, count, width = (
        family.kernel,
        _reader(op.kinds),
        len(op.kinds),
        len(family.textbook),
    )

    @numba_njit  # type: ignore[untyped-decorator]
    def fused(theta: Any, words: Any) -> Any:
        groups = len(theta) // width
        value, gradient, start = 0.0, np.empty(len(theta)), groups * count
        for g in range(groups):
            own = theta[g * width : (g + 1) * width]
            arrays = read(words, g * count, start)
            more, slope = kernel(own, *arrays)  # type: ignore[misc]
            value += more
            gradient[g * width : (g + 1) * width] = slope
            start += words.view(np.int64)[g * count : (g + 1) * count].sum()
        return np.asarray(value), gradient

    return fused, _source_hash()
