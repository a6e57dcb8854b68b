"""Systems to train on: random combinations of eigenvectors, the low ones weighted.

In an empty box the eigenvectors are sines and cosines, so a fast transform makes as many systems as
wanted and nothing is stored: `BoxModes`. For any other operator Lanczos iterations find approximate
eigenvectors, which are kept on disk: `sciml.learned.dcd.RitzModes`.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
import scipy.fft

from ...preconditioners.fft import FFT, TRANSFORMS

__all__ = ["LAWS", "BoxModes", "Data", "amplitudes", "check_law"]

LAWS = ("octaves", "lowest")
"""How modes are weighted, see `amplitudes`."""

LOWEST_SHARE, LOWEST_WEIGHT = 0.55, 9.0
"""The published weighting: 5,500 of 10,000 modes, times nine."""


class Data(Protocol):
    """Where training takes systems from."""

    shape: tuple[int, ...]
    """Of the grid."""

    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Solutions ``(size, *shape)``, float32; their right-hand sides are computed from them."""


def amplitudes(law: str, values: np.ndarray, rng: np.random.Generator, size: int) -> np.ndarray:
    r"""Random coefficients ``(size, *values.shape)`` of right-hand sides over modes of the given eigenvalues.

    ``"lowest"`` is the published law: standard normal numbers, those of the lowest 55 % of the modes times
    9. ``"octaves"`` multiplies by :math:`λ^{-s}` with an `s` drawn from [0, 1] for every right-hand side. In
    3D the number of modes below `λ` grows like :math:`λ^{3/2}`, so that the published law leaves almost
    nothing for the few lowest ones, on which convergence hangs; :math:`s = 3/4` gives every octave of the
    spectrum the same share. Modes with the eigenvalue 0 get none.
    """
    coefficients = rng.standard_normal((size, *values.shape), dtype=np.float32)
    positive = values > 0
    if law == "lowest":
        limit = np.quantile(values[positive], LOWEST_SHARE)
        factor = np.where(values <= limit, LOWEST_WEIGHT, 1.0) * positive
        return coefficients * factor.astype(np.float32)
    ratio = np.where(positive, values, 1.0) / values.max()
    slope = rng.uniform(0.0, 1.0, (size,) + (1,) * values.ndim)
    return coefficients * (positive * ratio**-slope).astype(np.float32)


def check_law(law: str) -> str:
    if law not in LAWS:
        raise ValueError(f"law is {law!r}; expected one of {', '.join(LAWS)}")
    return law


class BoxModes:
    """Eigenvectors of a Poisson operator on an empty box, by fast sine and cosine transforms.

    Parameters
    ----------
    A : PoissonOperator
        Without obstacles, with constant coefficient, Dirichlet or Neumann sides.
    law : {"octaves", "lowest"}
        See `amplitudes`.

    Attributes
    ----------
    shape : tuple of int
    values : ndarray of `shape`
        Eigenvalues in the order of the transforms.

    Raises
    ------
    TypeError, ValueError
        For another operator.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml import PoissonOperator
    >>> from sciml.learned.dcd import BoxModes
    >>> BoxModes(PoissonOperator((8, 6))).sample(np.random.default_rng(0), 5).shape
    (5, 8, 6)
    """

    def __init__(self, A: Any, law: str = "octaves"):
        solver = FFT(A)
        if not solver.exact:
            raise ValueError("A has obstacles or variable coefficients; BoxModes expects an empty box")
        if any(low == "periodic" for low, _ in A.bc):
            raise ValueError("A has periodic sides; BoxModes expects Dirichlet or Neumann ones")
        self.shape, self.law = A.in_shape, check_law(law)
        self.values = np.asarray(sum(np.ix_(*solver._eigenvalues)))
        self._transforms = [TRANSFORMS[sides] for sides in A.bc]

    def synthesise(self, coefficients: np.ndarray) -> np.ndarray:
        """Grid functions ``(..., *shape)`` of coefficients of orthonormal modes."""
        values = coefficients
        for axis, (kind, number) in zip(range(-len(self.shape), 0), self._transforms, strict=True):
            values = getattr(scipy.fft, "i" + kind)(values, number, axis=axis, norm="ortho")
        return values

    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Solutions ``(size, *shape)``, float32."""
        coefficients = amplitudes(self.law, self.values, rng, size)
        return self.synthesise(coefficients / np.where(self.values > 0, self.values, 1.0).astype(np.float32))

    def lowest(self, count: int) -> np.ndarray:
        """The eigenvectors of the `count` smallest eigenvalues, as columns ``(n, count)``."""
        n = math.prod(self.shape)
        chosen = np.argsort(self.values, axis=None, kind="stable")[:count]
        vectors = np.empty((n, len(chosen)))
        for column, mode in enumerate(chosen):
            one = np.zeros(n)
            one[mode] = 1.0
            vectors[:, column] = self.synthesise(one.reshape(self.shape)).reshape(-1)
        return vectors
