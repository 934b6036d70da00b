"""One PyTensor Op for every family with a kernel: value and gradient in one pass. L5.

One Apply node with two outputs, so the graph of value and gradient holds the node once and nothing is
computed twice. Tables enter as inputs, not as constants: compiled code serves every data set.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import disconnected_type
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key

from bayesseg.families import FAMILIES


class FusedLogLik(Op):  # type: ignore[misc]
    """``(theta, *table.arrays) -> (log-likelihood, its gradient in theta)`` of one family."""

    __props__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def make_node(self, theta: Any, *arrays: Any) -> Apply:
        """One node; theta is the textbook vector."""
        inputs = [pt.as_tensor(theta), *map(pt.as_tensor, arrays)]
        return Apply(self, inputs, [pt.dscalar(), pt.dvector()])

    def perform(self, node: Apply, inputs: list[Any], output_storage: list[list[Any]]) -> None:
        """Evaluate outside compiled graphs."""
        value, gradient = FAMILIES[self.name].kernel(*inputs)  # type: ignore[misc]
        output_storage[0][0] = np.asarray(value)
        output_storage[1][0] = gradient

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """Only theta carries gradients."""
        return [[True, True]] + [[False, False]] * (len(node.inputs) - 1)

    def pullback(
        self, inputs: list[Variable], outputs: list[Variable], cotangents: list[Variable]
    ) -> list[Variable]:
        """Chain rule, from the gradient already at hand."""
        return [cotangents[0] * outputs[1], *(disconnected_type() for _ in inputs[1:])]


@register_funcify_default_op_cache_key(FusedLogLik)  # type: ignore[untyped-decorator]
def _funcify(op: FusedLogLik, node: Apply, **_: Any) -> Any:
    kernel = FAMILIES[op.name].kernel

    @numba_njit  # type: ignore[untyped-decorator]
    def fused(*inputs: Any) -> Any:
        value, gradient = kernel(*inputs)  # type: ignore[misc]
        return np.asarray(value), gradient

    return fused, 1
