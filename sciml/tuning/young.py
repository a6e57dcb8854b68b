"""Young's theory of SOR for consistently ordered matrices: rates, optimal omega, what a solve reveals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["jacobi_radius", "observed_rate", "sor_rate", "young_omega"]


def young_omega(beta: Any) -> Any:
    """The optimal relaxation factor ``1 + (β / (1 + √(1 − β²)))²``.

    Parameters
    ----------
    beta : float or array
        Spectral radius of the Jacobi iteration matrix ``I − D⁻¹ A``, in ``[0, 1)``.

    Raises
    ------
    ValueError
        For `beta` outside ``[0, 1)``.

    References
    ----------
    Young, Iterative Solution of Large Linear Systems (Academic Press, 1971), chapter 6.

    Examples
    --------
    The Laplacian on a 10 × 10 grid:

    >>> import math
    >>> from sciml.tuning import young_omega
    >>> round(young_omega(math.cos(math.pi / 11)), 4)
    1.5604
    """
    if not np.all((np.asarray(beta) >= 0) & (np.asarray(beta) < 1)):
        raise ValueError(f"beta is {beta!r}; expected a spectral radius in [0, 1)")
    omega = 1.0 + (beta / (1.0 + np.sqrt(1.0 - np.square(beta)))) ** 2
    return float(omega) if np.ndim(omega) == 0 else omega


def sor_rate(omega: Any, beta: Any) -> np.ndarray:
    """Spectral radius of the SOR iteration matrix for the Jacobi radius `beta` (arrays broadcast).

    Examples
    --------
    >>> from sciml.tuning import sor_rate
    >>> float(sor_rate(1.0, 0.9)), float(sor_rate(1.8, 0.9))
    (0.81, 0.8)
    """
    root = np.square(omega * np.asarray(beta)) - 4.0 * (np.asarray(omega) - 1.0)
    under = np.square(0.5 * (omega * np.asarray(beta) + np.sqrt(np.maximum(root, 0.0))))
    return np.where(root > 0.0, under, np.asarray(omega) - 1.0)


def jacobi_radius(omega: float, rate: float, margin: float = 0.03) -> tuple[float, bool]:
    """The Jacobi radius behind an observed rate of SOR, and whether the rate determines it.

    Below the optimal omega, Young's relation ``(λ + ω − 1)² = λ ω² β²`` gives β from the rate λ. Above it
    the rate is ``ω − 1`` whatever β is; then all that is known is an upper bound of β, which is returned.

    Parameters
    ----------
    omega : float
    rate : float
        Asymptotic factor per sweep of the residual norm, in ``(0, 1)``.
    margin : float
        How far the rate must lie above ``ω − 1``, in units of ``2 − ω``, to count as determining β.

    Examples
    --------
    >>> from sciml.tuning import jacobi_radius, sor_rate
    >>> beta, determined = jacobi_radius(1.3, float(sor_rate(1.3, 0.95)))
    >>> round(beta, 12), determined
    (0.95, True)
    """
    if rate > omega - 1.0 + margin * (2.0 - omega):
        return (rate + omega - 1.0) / (omega * math.sqrt(rate)), True
    return 2.0 * math.sqrt(max(omega - 1.0, 0.0)) / omega, False


def observed_rate(history: Sequence[float]) -> float | None:
    """Geometric mean factor of the residual norm over the second half of a solve.

    The first half holds what dies out faster. None where the history says nothing: fewer than five
    norms, or none of a decreasing residual.
    """
    last = len(history) - 1
    middle = last // 2
    if last < 4 or not 0.0 < history[last] < history[middle] < math.inf:
        return None
    return (history[last] / history[middle]) ** (1.0 / (last - middle))
