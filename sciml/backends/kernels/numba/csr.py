"""Sparse (CSR) kernels of the coarse levels: sweeps, products and Galerkin matrices."""

from __future__ import annotations

import numpy as np

from .common import U, inner, jit

__all__ = [
    "collect",
    "dense_product",
    "diagonal",
    "galerkin_constant",
    "galerkin_rows",
    "gauss_seidel",
    "invert",
    "residual",
    "room_product",
    "smoothed_prolongator",
    "sparse_product",
    "spmv",
    "spread",
    "sum_members",
    "transpose",
]


@jit
def gauss_seidel(start, stop, backward, order, indptr, indices, data, inverse_diagonal, b, x, omega):
    """Successive over-relaxation of the rows ``order[start:stop]``, last first if `backward`."""
    for position in range(start, stop):
        i = U(order[stop - 1 - (position - start)] if backward else order[position])
        s = x.dtype.type(0)
        for entry in range(U(indptr[i]), U(indptr[i + U(1)])):
            s += data[entry] * x[U(indices[entry])]
        x[i] += omega * (b[i] - s) * inverse_diagonal[i]


@jit
def residual(start, stop, indptr, indices, data, b, x, r):
    """``r = b - A x`` on rows start..stop."""
    for i in range(U(start), U(stop)):
        s = x.dtype.type(0)
        for entry in range(U(indptr[i]), U(indptr[i + U(1)])):
            s += data[entry] * x[U(indices[entry])]
        r[i] = b[i] - s


@jit
def spmv(start, stop, indptr, indices, data, x, y, add):
    """``y = A x``, or ``y += A x`` if `add`, on rows start..stop."""
    for i in range(U(start), U(stop)):
        s = x.dtype.type(0)
        for entry in range(U(indptr[i]), U(indptr[i + U(1)])):
            s += data[entry] * x[U(indices[entry])]
        y[i] = y[i] + s if add else s


@inner
def galerkin_rows(
    start, stop, ptr, offset, members, agg, indptr, indices, data, where, begin, c_ptr, c_idx, c_val
):
    """Rows start..stop of ``P^T A P``, diagonal first, written from `begin` on; returns where they end.

    Aggregate I owns the rows ``members[m - offset]`` of A, m from ``ptr[I]`` to ``ptr[I + 1]``. `where` has
    an entry for every aggregate, -1 before and after.
    """
    for row in range(start, stop):
        names = 1
        # Most entries stay inside the aggregate: their sum stays in a register.
        centre = 0.0
        for m in range(ptr[row], ptr[row + 1]):
            i = members[m - offset]
            for entry in range(U(indptr[i]), U(indptr[i + 1])):
                column = agg[U(indices[entry])]
                if column == row:
                    centre += data[entry]
                    continue
                at = where[column]
                if at < 0:
                    where[column] = names
                    c_idx[begin + names] = column
                    c_val[begin + names] = data[entry]
                    names += 1
                else:
                    c_val[begin + at] += data[entry]
        c_idx[begin], c_val[begin] = row, centre
        for at in range(1, names):
            where[c_idx[begin + at]] = -1
        c_ptr[row + 1] = names
        begin += names
    return begin


@jit
def galerkin_constant(
    start, stop, columns, ptr, members, agg, indptr, indices, data, place, c_ptr, c_idx, c_val
):
    """Rows of ``P^T A P``, diagonal first, for the P of `agg`: written and counted as in `sparse_product`."""
    where = np.empty(columns, np.int32)
    for column in range(columns):
        where[column] = -1
    begin = place[start]
    # A literal 0 has a type of its own: the compiler would make `galerkin_rows` once more for it.
    end = galerkin_rows(
        start, stop, ptr, np.int64(0), members, agg, indptr, indices, data, where, begin, c_ptr, c_idx, c_val
    )
    return end - begin


@jit
def sum_members(start, stop, ptr, members, r, coarse):
    """``coarse = P^T r`` for piecewise constant P."""
    for row in range(start, stop):
        s = r.dtype.type(0)
        for m in range(U(ptr[row]), U(ptr[row + 1])):
            s += r[U(members[m])]
        coarse[row] = s


@jit
def spread(start, stop, agg, e, x):
    """``x += P e`` for piecewise constant P."""
    for i in range(start, stop):
        if agg[i] >= 0:
            x[i] += e[U(agg[i])]


@jit
def collect(start, stop, agg, r, coarse):
    """``coarse += P^T r`` for piecewise constant P, without lists of members; not for several threads."""
    for i in range(start, stop):
        if agg[i] >= 0:
            coarse[agg[i]] += r[i]


@jit
def invert(a):
    """Invert a symmetric positive definite matrix in place (Gauss-Jordan, no pivoting).

    Returns whether it was positive definite, which is whether every pivot is positive; otherwise it is left
    half done. The inverse of a diagonally dominant matrix decays exponentially away from its diagonal.
    Entries that matter to no digit become zero, or they would end as denormal numbers, which are tens of
    times slower.
    """
    n = a.shape[0]
    for k in range(n):
        if not a[k, k] > 0.0:
            return False
        pivot = 1.0 / a[k, k]
        top = a[k]
        for j in range(n):
            value = top[j] * pivot
            top[j] = value if abs(value) > 1e-30 else 0.0
        top[k] = pivot
        for i in range(n):
            if i != k:
                f = a[i, k]
                row = a[i]
                row[k] = 0.0
                if abs(f) < 1e-60:
                    continue
                for j in range(n):
                    row[j] -= f * top[j]
    return True


@jit
def dense_product(a, x, y):
    """``y = a x`` for a small dense matrix, without waking BLAS threads."""
    for i in range(U(a.shape[0])):
        s = x.dtype.type(0)
        for j in range(U(a.shape[1])):
            s += a[i, j] * x[j]
        y[i] = s


@jit
def smoothed_prolongator(
    start, stop, agg, indptr, indices, data, diag, omega, theta, place, p_ptr, p_idx, p_val
):
    """Rows of ``(I - omega D^-1 F) P`` for the piecewise constant P of `agg`: written and counted as in
    `sparse_product`.

    F is A with entries below ``theta sqrt(a_ii a_jj)`` lumped onto its diagonal. It keeps the row sums of A,
    so constants are still interpolated exactly, and keeps coarse operators sparse. D is that diagonal, or
    what is off it where that is more: lumping can leave next to nothing of rows with entries of both signs,
    and interpolation by large numbers ends in coarse matrices that are indefinite in single precision.
    """
    longest = 1
    for i in range(start, stop):
        longest = max(longest, indptr[i + 1] - indptr[i] + 1)
    columns, values = np.empty(longest, np.int64), np.empty(longest)
    targets, couplings = np.empty(longest, np.int64), np.empty(longest)
    first = begin = place[start]
    for i in range(start, stop):
        count = 0
        if agg[i] >= 0:
            columns[0], values[0], count = agg[i], 1.0, 1
            if omega != 0.0:
                centre, beside, strong = 0.0, 0.0, 0
                for entry in range(indptr[i], indptr[i + 1]):
                    j = indices[entry]
                    if j == i or abs(data[entry]) < theta * np.sqrt(diag[i] * diag[j]):
                        centre += data[entry]
                    else:
                        targets[strong], couplings[strong] = agg[j], data[entry]
                        beside += abs(data[entry])
                        strong += 1
                inverse = omega / max(centre, beside) if strong and centre > 0.0 else 0.0
                values[0] -= inverse * centre
                for s in range(strong):
                    target = targets[s]
                    if target < 0:
                        continue
                    at = 0
                    while at < count and columns[at] != target:
                        at += 1
                    if at == count:
                        columns[at], values[at] = target, 0.0
                        count += 1
                    values[at] -= inverse * couplings[s]
        for at in range(count):
            p_idx[begin + at], p_val[begin + at] = columns[at], values[at]
        p_ptr[i + 1] = count
        begin += count
    return begin - first


@jit
def room_product(start, stop, a_ptr, a_idx, b_ptr):
    """At least as many entries as rows start..stop of ``A B`` have, from the patterns of both."""
    room = 0
    for entry in range(U(a_ptr[start]), U(a_ptr[stop])):
        k = U(a_idx[entry])
        room += b_ptr[k + U(1)] - b_ptr[k]
    return room


@jit
def sparse_product(
    start, stop, columns, a_ptr, a_idx, a_val, b_ptr, b_idx, b_val, place, c_ptr, c_idx, c_val
):
    """Rows start..stop of ``C = A B``, sums in double precision.

    They are written one after the other from ``place[start]`` on, and their lengths to ``c_ptr[1:]``. Returns
    the number of entries.
    """
    where = np.empty(columns, np.int32)
    for column in range(columns):
        where[column] = -1
    sums = np.empty(columns)
    first = begin = place[start]
    for i in range(start, stop):
        count = 0
        for ea in range(U(a_ptr[i]), U(a_ptr[i + 1])):
            k = U(a_idx[ea])
            a = np.float64(a_val[ea])
            for eb in range(U(b_ptr[k]), U(b_ptr[k + U(1)])):
                j = U(b_idx[eb])
                at = where[j]
                if at < 0:
                    where[j] = at = count
                    c_idx[begin + count] = j
                    sums[count] = 0.0
                    count += 1
                sums[at] += a * b_val[eb]
        for at in range(count):
            c_val[begin + at] = sums[at]
            where[c_idx[begin + at]] = -1
        c_ptr[i + 1] = count
        begin += count
    return begin - first


@jit
def transpose(a_ptr, a_idx, a_val, t_ptr, t_idx, t_val):
    """CSR of the transpose; `t_ptr` starts as zeros, one longer than the number of columns."""
    rows = a_ptr.size - 1
    for entry in range(a_ptr[rows]):
        t_ptr[a_idx[entry] + 1] += 1
    for j in range(t_ptr.size - 1):
        t_ptr[j + 1] += t_ptr[j]
    place = t_ptr.copy()
    for i in range(rows):
        for entry in range(a_ptr[i], a_ptr[i + 1]):
            at = place[a_idx[entry]]
            place[a_idx[entry]] += 1
            t_idx[at], t_val[at] = i, a_val[entry]


@jit
def diagonal(start, stop, indptr, indices, data, r_ptr, r_idx, r_val, fine_diag, factor, mass, diag):
    """Diagonal of Galerkin rows start..stop, moved to the front of its row; rows are multiplied by `factor`.

    Without values ``r_val`` restriction sums, and `mass`, what a shift adds to the diagonal, is not scaled
    (it may be empty). Row sums that float32 may have left of nothing are then set to nothing but the mass:
    across a jump of the coefficient they would outweigh the other entries, and make a matrix indefinite that
    is not. With values, an unknown that stands alone for a component without boundary has diagonal 0 in exact
    arithmetic; what is left of it is set to 0, so that no later division blows it up.
    """
    for i in range(start, stop):
        first = indptr[i]
        if factor != 1.0:
            for entry in range(first, indptr[i + 1]):
                data[entry] *= factor
        for entry in range(first, indptr[i + 1]):
            if indices[entry] == i:
                value = float(data[entry])
                indices[entry], data[entry] = indices[first], data[first]
                reference = 0.0
                for e in range(r_ptr[i], r_ptr[i + 1]):
                    p = np.float64(r_val[e]) if r_val.size else 1.0
                    reference += p * p * fine_diag[r_idx[e]]
                rounding = 1e-6 * factor * reference
                if r_val.size:
                    if value <= rounding:
                        value = 0.0
                else:
                    lift = mass[i] if mass.size else 0.0
                    beside = 0.0
                    for e in range(first + 1, indptr[i + 1]):
                        beside -= data[e]
                    if abs(value - beside) <= rounding:
                        value = beside + lift
                    else:
                        value += (1.0 - factor) * lift
                indices[first], data[first] = i, value
                diag[i] = value
                break
