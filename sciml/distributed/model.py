"""What an iteration of CG with distributed multigrid costs: bytes, operations and messages per level.

The model counts what the code does: every pass over an array, every exchange of ghost values, every sum over
ranks. A machine is three numbers, the bandwidth a rank has to itself and the network's latency α and time per
byte β; the cost of a message of `n` bytes is ``α + β n``. Nothing is fitted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .layout import divide, process_grid

__all__ = ["LevelCost", "Machine", "Prediction", "predict"]

# Bytes per cell and pass on the grid; float64 vectors, one byte of geometry.
_GHOSTED = 16  # a vector copied into its array with ghost cells
_HALF_SWEEP = _GHOSTED + (8 + 1 + 8 + 8) + 16  # relax one colour, copy the result back
_PRODUCT = _GHOSTED + (8 + 1 + 8) + 16
_RESIDUAL = _PRODUCT + 24
_TRANSFER = (8 + 4) + (16 + 4)  # restriction and interpolation
_CG = _PRODUCT + 16 + 24 + 24 + 8 + 16 + 24  # product, ⟨p, Ap⟩, x, r, ‖r‖, ⟨r, z⟩, p
_ENTRY = 12  # of a sparse matrix: value and column
_ROW = 44  # vectors and row pointer of one pass over a sparse matrix

# Operations per cell: multiplications and additions.
_HALF_SWEEP_FLOPS, _PRODUCT_FLOPS, _CG_FLOPS = 14, 9, 12

_SUMS = 3
"""Sums over all ranks in an iteration of CG."""


@dataclass(frozen=True)
class Machine:
    """Three numbers.

    Attributes
    ----------
    bandwidth : float
        Bytes per second that a rank moves from and to memory while all ranks do.
    alpha : float
        Seconds a message takes however short it is.
    beta : float
        Seconds per byte of a message.
    """

    bandwidth: float
    alpha: float
    beta: float


@dataclass(frozen=True)
class LevelCost:
    """One level in one iteration, on the rank with the most to do.

    Attributes
    ----------
    unknowns : int
        On all ranks.
    bytes, flops : float
        Of the rank.
    messages : int
        The rank sends.
    sent : float
        Bytes in them.
    everywhere : bool
        Whether every rank holds the whole level.
    """

    unknowns: int
    bytes: float
    flops: float
    messages: int
    sent: float
    everywhere: bool = False


@dataclass(frozen=True)
class Prediction:
    """The cost of one iteration.

    Attributes
    ----------
    levels : tuple of LevelCost
        The grid first; the last one stands for the level every rank holds and all below it.
    parts : tuple of int
        Ranks per axis.
    memory_seconds, network_seconds : float
        Time of passes over memory, of messages and sums.
    """

    levels: tuple[LevelCost, ...]
    parts: tuple[int, ...]
    memory_seconds: float
    network_seconds: float

    @property
    def seconds(self) -> float:
        """Of one iteration."""
        return self.memory_seconds + self.network_seconds

    @property
    def messages(self) -> int:
        """A rank sends in one iteration to its neighbours."""
        return sum(level.messages for level in self.levels)

    @property
    def sent(self) -> float:
        """Bytes in these messages."""
        return sum(level.sent for level in self.levels)


def predict(
    shape: Sequence[int],
    ranks: int,
    machine: Machine,
    *,
    sweeps: Sequence[int] = (2, 2, 2, 4),
    redundant_size: int = 20_000,
) -> Prediction:
    """The cost of one iteration of CG with our multigrid on a grid without obstacles.

    Parameters
    ----------
    shape : sequence of int
        Cells per axis.
    ranks : int
    machine : Machine
    sweeps, redundant_size
        As of `DistributedMultigrid`.

    Examples
    --------
    >>> from sciml.distributed.model import Machine, predict
    >>> node = Machine(bandwidth=5e9, alpha=2e-6, beta=1e-10)
    >>> one, eight = predict((256,) * 3, 1, node), predict((256,) * 3, 8, node)
    >>> one.messages, eight.parts
    (0, (2, 2, 2))
    >>> bool(7 < one.seconds / eight.seconds < 8)
    True
    """
    parts = process_grid(shape, ranks)
    divided = [divide(n, p) for n, p in zip(shape, parts, strict=True)]
    units = [unit for _, unit in divided]
    box: list[float] = [float(max(lengths)) for lengths, _ in divided]
    nu = [sweeps[min(depth, len(sweeps) - 1)] for depth in range(40)]
    unknowns, depth = math.prod(shape), 0
    levels = [_grid_cost(unknowns, box, parts, nu[0])]
    while True:
        box = [max(1.0, b / 2) for b in box]
        units = [unit // 2 for unit in units]
        unknowns, depth = -(-unknowns // 2 ** len(shape)), depth + 1
        if unknowns <= redundant_size or any(u % 2 for u in units):
            break
        levels.append(_sparse_cost(unknowns, box, parts, nu[depth], depth))
    whole = _whole_cost(unknowns, nu[depth:])
    levels.append(whole)
    memory = sum(level.bytes for level in levels) / machine.bandwidth
    rounds = math.ceil(math.log2(ranks)) if ranks > 1 else 0
    gathered = 8.0 * unknowns * (ranks - 1) / ranks
    network = sum(level.messages * machine.alpha + level.sent * machine.beta for level in levels)
    network += rounds * machine.alpha * (2 * _SUMS + 1) + gathered * machine.beta
    return Prediction(tuple(levels), parts, memory, network)


def _faces(box: Sequence[float], parts: Sequence[int]) -> tuple[int, float]:
    """Neighbours across faces of the rank that has the most of them, and the values it sends them all."""
    count, values = 0, 0.0
    for axis, p in enumerate(parts):
        sides = min(2, p - 1)
        count += sides
        values += sides * math.prod(box) / box[axis]
    return count, values


def _grid_cost(unknowns: int, box: Sequence[float], parts: Sequence[int], nu: int) -> LevelCost:
    cells = math.prod(box)
    half_sweeps = 4 * nu
    exchanges = (half_sweeps - 1) + 1 + 1  # none for a zero guess; the residual; CG's product
    neighbours, values = _faces(box, parts)
    return LevelCost(
        unknowns,
        cells * (half_sweeps * _HALF_SWEEP + 2 * 16 + _RESIDUAL + _TRANSFER + _CG),
        cells * (half_sweeps * _HALF_SWEEP_FLOPS + 2 * _PRODUCT_FLOPS + _CG_FLOPS),
        exchanges * neighbours,
        exchanges * values * 8,
    )


def _sparse_cost(unknowns: int, box: Sequence[float], parts: Sequence[int], nu: int, depth: int) -> LevelCost:
    cells = math.prod(box)
    axes = len(box)
    # Levels whose interpolation is smoothed couple all blocks that touch, even at a corner.
    smoothed = depth >= 3
    entries = 3**axes if smoothed else 2 * axes + 1
    passes = (4 * nu if smoothed else 2 * nu) + 1  # a Chebyshev polynomial of twice the degree, or sweeps
    exchanges = (4 * nu - 1) + 1  # each step, or each colour; the residual
    neighbours, values = _faces(box, parts)
    if smoothed:
        neighbours = math.prod(min(3, p) for p in parts) - 1
    return LevelCost(
        unknowns,
        cells * (passes * (entries * _ENTRY + _ROW) + 2 * _ENTRY),
        cells * passes * 2 * entries,
        exchanges * neighbours,
        # A colour needs the values of the other one only.
        (exchanges if smoothed else (exchanges + 1) / 2) * values * 8,
    )


def _whole_cost(unknowns: int, nu: Sequence[int]) -> LevelCost:
    """The level every rank holds and those below it, an eighth of it each; float32."""
    per_pass = 27 * 8 + 24
    work = sum(unknowns / 8**k * (2 * n + 1) for k, n in enumerate(nu[:6]))
    return LevelCost(unknowns, per_pass * work, 2 * 27 * work, 0, 0.0, True)
