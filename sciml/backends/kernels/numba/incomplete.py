"""Incomplete Cholesky factors, and the pair of triangular solves that SSOR, IC(0) and MIC(0) share.

All of them have the form ``M = (P + L) P⁻¹ (P + Lᴴ)`` with a diagonal `P`. The kernels work with its inverse
``e = 1 / P`` and the unscaled off-diagonal entries, so on a grid a preconditioner is one number per cell.
"""

from __future__ import annotations

import numpy as np

from .common import inner, jit, row_offsets

__all__ = ["factorise", "grid_pivots", "grid_solve", "mirror", "solve"]

CLOSED = (False, False, False)


@jit
def factorise(indptr, indices, values, shift, factor, e):
    """IC(0) of a symmetric CSR matrix with sorted rows: lower entries to `factor`, inverse pivots to `e`.

    Returns the number of rows done: fewer than all of them where a pivot is not positive. `shift` enlarges
    the diagonal relatively.
    """
    n = indptr.size - 1
    for i in range(n):
        pivot = diagonal = values[0] * 0
        k = indptr[i]
        while k < indptr[i + 1] and indices[k] < i:
            j = indices[k]
            s = values[k]
            p, q = indptr[i], indptr[j]
            while p < k and indices[q] < j:  # row j ends at its diagonal at the latest
                if indices[p] == indices[q]:
                    s -= factor[p] * e[indices[p]] * factor[q]
                    p += 1
                    q += 1
                elif indices[p] < indices[q]:
                    p += 1
                else:
                    q += 1
            factor[k] = s
            pivot -= s * s * e[j]
            k += 1
        if k < indptr[i + 1] and indices[k] == i:
            diagonal = values[k] * (1 + shift)
        pivot += diagonal
        if not pivot > 1e-12 * diagonal:
            return i
        e[i] = 1 / pivot
    return n


@jit
def mirror(indptr, indices, factor):
    """Copy the strictly lower entries to their mirror images, on a symmetric pattern with sorted rows."""
    n = indptr.size - 1
    place = np.empty(n, dtype=indptr.dtype)
    for i in range(n):
        k = indptr[i]
        while k < indptr[i + 1] and indices[k] < i:
            j = indices[k]
            factor[place[j]] = factor[k]  # rows come in ascending order, so do the mirror images in row j
            place[j] += 1
            k += 1
        place[i] = k + 1


@jit
def solve(indptr, indices, values, e, r, z, scale):
    """``z = scale (P + U)⁻¹ P (P + L)⁻¹ r`` with the strict triangles of a CSR matrix with sorted rows."""
    n = indptr.size - 1
    for i in range(n):
        s = r[i]
        for k in range(indptr[i], indptr[i + 1]):
            j = indices[k]
            if j >= i:
                break
            s -= values[k] * z[j]
        z[i] = s * e[i]
    for i in range(n - 1, -1, -1):
        s = z[i] * 0
        for k in range(indptr[i + 1] - 1, indptr[i] - 1, -1):
            j = indices[k]
            if j <= i:
                break
            s += values[k] * z[j]
        z[i] -= e[i] * s
    if scale != 1:
        for i in range(n):
            z[i] *= scale


@inner
def _upper_weights(m, i, j, k, diagonal, faces, weights, shape, axis):
    """Weight of the face between cell m = (i, j, k) and its upper neighbour along `axis`, 0 where closed."""
    if axis == 0:
        last, stride = i == shape[0] - 1, shape[1] * shape[2]
    elif axis == 1:
        last, stride = j == shape[1] - 1, shape[2]
    else:
        last, stride = k == shape[2] - 1, 1
    if last:
        return 0.0
    if faces is None:
        return weights[axis] if diagonal[m + stride] != 0 else 0.0
    return faces[axis][m + stride]


@jit
def grid_pivots(diagonal, faces, weights, shape, tau, sigma, e):
    """Inverse pivots of IC(0) (``tau = 0``) or MIC(0) of the 7-point stencil.

    A pivot below ``sigma`` times the diagonal is replaced by the diagonal. Couplings across periodic sides
    are left out of the factor. `diagonal` is zero in cells without an unknown.
    """
    n0, n1, n2 = shape
    strides = (n1 * n2, n2, 1)
    for i in range(n0):
        for j in range(n1):
            for k in range(n2):
                o = i * strides[0] + j * n2 + k
                d = diagonal[o]
                if d == 0:
                    e[o] = 0
                    continue
                pivot = d
                for axis in range(3):
                    position = (i, j, k)
                    if position[axis] == 0:
                        continue
                    m = o - strides[axis]
                    if e[m] == 0:
                        continue
                    mi, mj, mk = i - (axis == 0), j - (axis == 1), k - (axis == 2)
                    w = _upper_weights(m, mi, mj, mk, diagonal, faces, weights, shape, axis)
                    pivot -= w * w * e[m]
                    if tau != 0:
                        for other in range(3):
                            if other != axis:
                                v = _upper_weights(m, mi, mj, mk, diagonal, faces, weights, shape, other)
                                pivot -= tau * w * v * e[m]
                if pivot < sigma * d:
                    pivot = d
                e[o] = 1 / pivot


@jit
def grid_solve(e, faces, weights, shape, r, z, scale, void_factor):
    """``z = scale (P + Lᵀ)⁻¹ P (P + L)⁻¹ r`` with the stencil's triangles, ``void_factor r`` without unknown.

    `z` carries one extra row of zeros, which stands for neighbours beyond the box.
    """
    n0, n1, n2 = shape
    t = np.empty(n2, z.dtype)
    w0, w1, w2 = weights
    for row in range(n0 * n1):
        o, lower0, _, lower1, _ = row_offsets(row // n1, row % n1, shape, CLOSED)
        previous = z[o] * 0
        if faces is None:
            for k in range(n2):
                t[k] = r[o + k] + w0 * z[lower0 + k] + w1 * z[lower1 + k]
            for k in range(n2):
                previous = e[o + k] * (t[k] + w2 * previous)
                z[o + k] = previous
        else:
            f0, f1, f2 = faces
            for k in range(n2):
                t[k] = r[o + k] + f0[o + k] * z[lower0 + k] + f1[o + k] * z[lower1 + k]
            for k in range(n2):
                previous = e[o + k] * (t[k] + f2[o + k] * previous)
                z[o + k] = previous
    zeros = n0 * n1 * n2
    for row in range(n0 * n1 - 1, -1, -1):
        o, _, upper0, _, upper1 = row_offsets(row // n1, row % n1, shape, CLOSED)
        following = z[o] * 0
        if faces is None:
            for k in range(n2):
                t[k] = w0 * z[upper0 + k] + w1 * z[upper1 + k]
            for k in range(n2 - 1, -1, -1):
                following = z[o + k] + e[o + k] * (t[k] + w2 * following)
                z[o + k] = following
        else:
            f0, f1, f2 = faces
            # Beyond the box z is zero, so any finite weight does: take the row's own.
            q0 = upper0 if upper0 < zeros else o
            q1 = upper1 if upper1 < zeros else o
            for k in range(n2):
                t[k] = f0[q0 + k] * z[upper0 + k] + f1[q1 + k] * z[upper1 + k]
            link = z[o].real * 0
            for k in range(n2 - 1, -1, -1):
                following = z[o + k] + e[o + k] * (t[k] + link * following)
                z[o + k] = following
                link = f2[o + k]
    for o in range(zeros):
        z[o] = scale * z[o] if e[o] != 0 else void_factor * r[o]
