"""Inner loops of correlated columns: distances, quadratic forms, sums of products. L4.

A quadratic form is 1, x and the lower triangle of x x', in this order (``products_of``).
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from bayesseg._compiled import compiled
from bayesseg._types import Array, IntArray


@cache
def lower(width: int) -> tuple[IntArray, IntArray]:
    """Rows and columns of a lower triangle, row by row."""
    rows, columns = np.tril_indices(width)
    return rows, columns


@compiled
def squares(x: Array, roots: Array, shift: Array, y: Array, square: Array) -> None:
    """Squared Mahalanobis distance of one row from every cell; ``y`` is scratch."""
    C = len(square)
    square[:] = 0.0
    j = 0
    for d in range(len(x)):
        for c in range(C):
            y[c] = -shift[d, c]
        for e in range(d + 1):
            at = x[e]
            for c in range(C):
                y[c] += roots[j, c] * at
            j += 1
        for c in range(C):
            square[c] += y[c] * y[c]


@compiled
def products_of(x: Array, out: Array) -> None:
    """1, x, and the lower triangle of x x'."""
    width = len(x)
    out[0] = 1.0
    j = 1 + width
    for d in range(width):
        out[1 + d] = x[d]
        for e in range(d + 1):
            out[j] = x[d] * x[e]
            j += 1


@compiled
def quadratic(roots: Array, shift: Array, base: Array, out: Array) -> None:
    """Normal log densities as coefficients (J, cells) of ``products_of``, J filled up with zeros."""
    width, C = shift.shape
    out[:] = 0.0
    out[0] = base
    row = 0
    for a in range(width):
        for c in range(C):
            out[0, c] -= 0.5 * shift[a, c] * shift[a, c]
        j = 1 + width
        for d in range(a + 1):
            for c in range(C):
                out[1 + d, c] += roots[row + d, c] * shift[a, c]
            for e in range(d + 1):
                half = 0.5 if d == e else 1.0
                for c in range(C):
                    out[j, c] -= half * roots[row + d, c] * roots[row + e, c]
                j += 1
        row += a + 1


@compiled
def add_one(product: Array, terms: Array, out: Array) -> None:
    for j in range(0, len(product), 3):
        for c in range(len(out)):
            out[c] += (
                product[j] * terms[j, c]
                + product[j + 1] * terms[j + 1, c]
                + product[j + 2] * terms[j + 2, c]
            )


@compiled
def add_four(products: Array, terms: Array, out: Array) -> None:
    """Four rows share what is read of the terms; each row's arithmetic is that of ``add_one``."""
    o, p, q, r = out[0], out[1], out[2], out[3]
    for j in range(0, products.shape[1], 3):
        u, v, w = terms[j], terms[j + 1], terms[j + 2]
        o0, o1, o2 = products[0, j], products[0, j + 1], products[0, j + 2]
        p0, p1, p2 = products[1, j], products[1, j + 1], products[1, j + 2]
        q0, q1, q2 = products[2, j], products[2, j + 1], products[2, j + 2]
        r0, r1, r2 = products[3, j], products[3, j + 1], products[3, j + 2]
        for c in range(len(o)):
            x, y, z = u[c], v[c], w[c]
            o[c] += o0 * x + o1 * y + o2 * z
            p[c] += p0 * x + p1 * y + p2 * z
            q[c] += q0 * x + q1 * y + q2 * z
            r[c] += r0 * x + r1 * y + r2 * z


@compiled
def complete(x: Array, there: Array, centre: Array, fill: Array, out: Array) -> None:
    """The row with its missing cells at their expectation, given the seen ones."""
    width = len(x)
    for d in range(width):
        out[d] = x[d]
        if not there[d]:
            out[d] = centre[d]
            for e in range(width):
                if there[e]:
                    out[d] += fill[d, e] * (x[e] - centre[e])


@compiled
def add_completed(
    moments: Array,
    size: Array,
    there: npt.NDArray[np.bool_],
    centre: Array,
    fill: Array,
    left: Array,
    out: Array,
) -> None:
    """Adds to ``out`` (J, cells) weighted sums of ``products_of`` over rows that lack the same columns.

    ``moments`` are those sums with zeros for what is missing, which is linear in what is seen: rows
    need not be completed one by one. ``size`` (cells,) is the weight of the rows.
    """
    width, C = len(there), len(size)
    first, second = np.empty(width), np.empty((width, width))
    for c in range(C):
        n, j = moments[0, c], 1 + width
        for d in range(width):
            first[d] = moments[1 + d, c]
            for e in range(d + 1):
                second[d, e] = second[e, d] = moments[j, c]
                j += 1
        for d in range(width):
            if there[d]:
                continue
            offset = centre[c, d]
            for e in range(width):
                if there[e]:
                    offset -= fill[c, d, e] * centre[c, e]
            first[d] = offset * n
            for e in range(width):
                if there[e]:
                    first[d] += fill[c, d, e] * moments[1 + e, c]
                    second[d, e] = offset * moments[1 + e, c]
                    for g in range(width):
                        if there[g]:
                            second[d, e] += fill[c, d, g] * second[g, e]
            for h in range(d + 1):
                if not there[h]:
                    second[d, h] = offset * first[h]
                    for f in range(h + 1):
                        second[d, h] += size[c] * left[c, d, f] * left[c, h, f]
                    for g in range(width):
                        if there[g]:
                            second[d, h] += fill[c, d, g] * second[h, g]
            for e in range(width):
                second[e, d] = second[d, e]
        out[0, c] += n
        j = 1 + width
        for d in range(width):
            out[1 + d, c] += first[d]
            for e in range(d + 1):
                out[j, c] += second[d, e]
                j += 1


@compiled
def add_weighted(products: Array, pull: Array, out: Array) -> None:
    """Four rows' products (4, J), each times its weight in every cell (4, C), to ``out`` (J, C)."""
    o, p, q, r = pull[0], pull[1], pull[2], pull[3]
    for j in range(len(out)):
        a, b, c, d = products[0, j], products[1, j], products[2, j], products[3, j]
        row = out[j]
        for k in range(len(row)):
            row[k] += (o[k] * a + p[k] * b) + (q[k] * c + r[k] * d)
