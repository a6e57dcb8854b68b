"""A regression reduced to its Gram matrix: what every method of sparse selection here works on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

__all__ = ["NormalEquations"]


@dataclass(frozen=True)
class NormalEquations:
    """``XᵀX``, ``Xᵀy``, ``yᵀy`` and the number of rows of ``y = X w + noise``.

    Rows add up, so that parts of the data (resampled snapshots) are combined without touching them again.

    Attributes
    ----------
    gram : ndarray, shape (p, p)
    moment : ndarray, shape (p,)
    energy : float
    rows : int
    whitened : bool
        Rows were scaled to independent noise of standard deviation one.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.learned.medida import NormalEquations
    >>> X = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    >>> equations = NormalEquations.of(X, X @ np.array([3.0, -1.0]))
    >>> equations.solve(np.array([True, True]))[0]
    array([ 3., -1.])
    """

    gram: np.ndarray
    moment: np.ndarray
    energy: float
    rows: int
    whitened: bool = False

    @classmethod
    def of(cls, X: np.ndarray, y: np.ndarray, whitened: bool = False) -> NormalEquations:
        """From the columns ``X`` (rows, p) and the target ``y`` (rows,)."""
        X, y = np.asarray(X, dtype=float), np.asarray(y, dtype=float)
        if X.ndim != 2 or y.shape != X.shape[:1]:
            raise ValueError(f"X has shape {X.shape} and y {y.shape}; expected (rows, terms) and (rows,)")
        for name, values in (("X", X), ("y", y)):
            if not np.all(np.isfinite(values)):
                raise ValueError(f"{name} holds a value that is not finite; expected finite numbers")
        return cls(X.T @ X, X.T @ y, float(y @ y), len(y), whitened)

    def __add__(self, other: NormalEquations) -> NormalEquations:
        return NormalEquations(
            self.gram + other.gram,
            self.moment + other.moment,
            self.energy + other.energy,
            self.rows + other.rows,
            self.whitened and other.whitened,
        )

    @property
    def terms(self) -> int:
        """Number of columns."""
        return len(self.moment)

    @property
    def column_rms(self) -> np.ndarray:
        """Root mean square of every column."""
        return np.sqrt(np.diag(self.gram) / self.rows)

    @property
    def target_rms(self) -> float:
        """Root mean square of the target."""
        return float(np.sqrt(self.energy / self.rows))

    def scaled(self, columns: np.ndarray, target: float) -> NormalEquations:
        """With every column divided by its entry of `columns`, and the target by `target`."""
        return NormalEquations(
            self.gram / np.outer(columns, columns),
            self.moment / (columns * target),
            self.energy / target**2,
            self.rows,
        )

    def solve(self, support: np.ndarray) -> tuple[np.ndarray, float]:
        """Least squares on the columns of `support`: coefficients of these columns, and ``‖y − X w‖²``."""
        if not np.any(support):
            return np.zeros(0), self.energy
        gram, moment = self.gram[np.ix_(support, support)], self.moment[support]
        scale = np.sqrt(np.diag(gram))
        unit = gram / np.outer(scale, scale)
        w = scipy.linalg.solve(unit, moment / scale, assume_a="pos") / scale
        return w, max(self.energy - float(moment @ w), 0.0)

    def inverse_gram(self, support: np.ndarray) -> np.ndarray:
        """``(X_SᵀX_S)^{-1}``, computed with unit columns."""
        gram = self.gram[np.ix_(support, support)]
        scale = np.sqrt(np.diag(gram))
        return scipy.linalg.inv(gram / np.outer(scale, scale)) / np.outer(scale, scale)
