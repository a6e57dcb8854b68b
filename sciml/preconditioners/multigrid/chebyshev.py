"""The Chebyshev polynomial smoother's recursion."""

from __future__ import annotations

__all__ = ["chebyshev_coefficients"]


def chebyshev_coefficients(degree: int, upper: float = 2.0, ratio: float = 6.0) -> list[tuple[float, float]]:
    """Pairs (a, c) of the recursion ``d = a d + c D^-1 (b - A x)``, ``x += d`` on [upper / ratio, upper].

    Reference: M. Adams et al., "Parallel multigrid smoothing: polynomial versus Gauss-Seidel", J. Comput.
    Phys. 188 (2003) 593-610.
    """
    lower = upper / ratio
    theta, delta = 0.5 * (upper + lower), 0.5 * (upper - lower)
    sigma = theta / delta
    rho = 1.0 / sigma
    out = [(0.0, 1.0 / theta)]
    for _ in range(degree - 1):
        before, rho = rho, 1.0 / (2.0 * sigma - rho)
        out.append((rho * before, 2.0 * rho / delta))
    return out
