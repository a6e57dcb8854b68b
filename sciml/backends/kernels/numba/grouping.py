"""How the unknowns of sparse levels are grouped: by blocks, into aggregates, by colours."""

from __future__ import annotations

import numpy as np

from .common import U, inner, jit

__all__ = [
    "aggregate",
    "bucket",
    "coarser_blocks",
    "colour_greedy",
    "coupled",
    "name_members",
    "parity",
]


@jit
def bucket(block_of, start, members):
    """Sort unknowns by block: block B owns ``members[start[B]:start[B + 1]]``; `start` begins as zeros."""
    for u in range(block_of.size):
        start[block_of[u] + 1] += 1
    for block in range(start.size - 1):
        start[block + 1] += start[block]
    for u in range(block_of.size):
        # Bucket starts move up while filling and are moved back below.
        members[start[block_of[u]]] = u
        start[block_of[u]] += 1
    for block in range(start.size - 1, 0, -1):
        start[block] = start[block - 1]
    start[0] = 0


@inner
def _position(block, n1, n2):
    """Indices of a block on a grid of blocks with rows of `n2` and planes of `n1` rows."""
    # Division of 32-bit numbers is several times faster than of 64-bit ones.
    row = np.uint32(block) // n2
    i = row // n1
    return i, row - i * n1, np.uint32(block) - row * n2


@jit
def coarser_blocks(start, stop, block_of, shape, factors, coarse_shape, out):
    """The block of the next grid of blocks that the unknowns start..stop belong to."""
    n1, n2 = np.uint32(shape[1]), np.uint32(shape[2])
    f0, f1, f2 = np.uint32(factors[0]), np.uint32(factors[1]), np.uint32(factors[2])
    for u in range(start, stop):
        i, j, k = _position(block_of[u], n1, n2)
        out[u] = ((i // f0) * coarse_shape[1] + j // f1) * coarse_shape[2] + k // f2


@jit
def parity(start, stop, block_of, shape, colour):
    """Whether the indices of the blocks of the unknowns start..stop add up to an odd number."""
    n1, n2 = np.uint32(shape[1]), np.uint32(shape[2])
    for u in range(start, stop):
        i, j, k = _position(block_of[u], n1, n2)
        colour[u] = (i + j + k) & 1


@jit
def aggregate(
    begin, end, start, by_block, block_of, indptr, indices, data, diag, theta, split,
    agg, stop_of, members, block,
):  # fmt: skip
    """Join the unknowns of the blocks begin..end that are connected inside their block.

    Unknowns i, j are connected where ``a_ij < -theta sqrt(a_ii a_jj)``. Unknowns without any neighbour are
    left out (``agg`` stays -1): the smoother solves them. What is found is written from ``start[begin]`` on:
    the `members` one aggregate after the other, and of every aggregate its `block` and where it stops.
    Returns the numbers of aggregates and of members.
    """
    first = start[begin]
    coarse = count = 0
    for b in range(begin, end):
        open_ = False
        for m in range(start[b], start[b + 1]):
            seed = by_block[m]
            if agg[seed] >= 0 or indptr[seed + 1] - indptr[seed] < 2:
                continue
            if split or not open_:
                block[first + coarse] = b
                coarse += 1
                open_ = True
            agg[seed] = coarse - 1
            # The members found so far are the queue of the flood.
            head = count
            members[first + count] = seed
            count += 1
            while split and head < count:
                i = members[first + head]
                head += 1
                for entry in range(indptr[i], indptr[i + 1]):
                    j = indices[entry]
                    if block_of[j] == b and agg[j] < 0 and data[entry] < -theta * np.sqrt(diag[i] * diag[j]):
                        agg[j] = coarse - 1
                        members[first + count] = j
                        count += 1
            stop_of[first + coarse - 1] = count
    return coarse, count


@jit
def name_members(start, stop, ptr, members, agg):
    """``agg[i] = I`` for the members of the aggregates start..stop."""
    for row in range(start, stop):
        for m in range(ptr[row], ptr[row + 1]):
            agg[U(members[m])] = row


@jit
def coupled(start, stop, indptr, indices, block_of):
    """Whether some of the unknowns start..stop have a neighbour in their own block."""
    for i in range(start, stop):
        for entry in range(indptr[i], indptr[i + 1]):
            j = indices[entry]
            if j != i and block_of[j] == block_of[i]:
                return True
    return False


@jit
def colour_greedy(indptr, indices, colour):
    """Give every row the smallest colour no neighbour has; returns the number of colours."""
    n = indptr.size - 1
    colour[:] = -1
    longest = 0
    for i in range(n):
        longest = max(longest, indptr[i + 1] - indptr[i])
    used = np.empty(longest + 2, np.int64)
    for c in range(used.size):
        used[c] = -1
    colours = 0
    for i in range(n):
        for entry in range(indptr[i], indptr[i + 1]):
            c = colour[indices[entry]]
            if 0 <= c < used.size:
                used[c] = i
        c = 0
        while used[c] == i:
            c += 1
        colour[i] = c
        colours = max(colours, c + 1)
    return colours
