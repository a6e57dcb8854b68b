"""Bayesian linear regression in cosine features: a Gaussian process whose every round costs the same."""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import cholesky, solve_triangular

__all__ = ["BayesianRegression", "cosines", "spectral_variances"]

OVERHANG = 0.2
"""Cosines are taken on an interval this much longer at both ends, so that they do not flatten the ends."""


def cosines(u: np.ndarray | float, count: int) -> np.ndarray:
    """``cos(π k (u + h) / (1 + 2 h))`` for ``k < count``: shape of `u` plus one axis, for `u` in [0, 1]."""
    scaled = (np.asarray(u) + OVERHANG) * (math.pi / (1.0 + 2.0 * OVERHANG))
    return np.cos(np.multiply.outer(scaled, np.arange(count)))


def spectral_variances(count: int, length: float) -> np.ndarray:
    """Prior variances of the coefficients of `cosines`, summing to one.

    They follow the spectral density of the squared-exponential kernel with length scale `length` (in
    units of the interval), so that the features times random coefficients are nearly that Gaussian process,
    plus a constant: levels vary more than shapes, so the constant term has twice its share.

    References
    ----------
    Solin and Särkkä, "Hilbert space methods for reduced-rank Gaussian process regression", Stat. Comput.
    30 (2020) 419–446.
    """
    frequency = math.pi * np.arange(count) / (1.0 + 2.0 * OVERHANG)
    density = np.exp(-0.5 * np.square(frequency * length))
    return density / density.sum()


class BayesianRegression:
    """Targets ``⟨features, w⟩ + noise`` with a Gaussian prior on `w`; noise level from the residuals.

    Parameters
    ----------
    variances : array of shape ``(p,)``
        Prior variances of the coefficients.
    noise : float
        Variance of the noise assumed before there are data, counted as three observations.
    center : array of shape ``(p,)``, optional
        Prior mean of the coefficients; zero by default.
    """

    def __init__(self, variances: np.ndarray, noise: float, center: np.ndarray | None = None):
        # A floor on the variances keeps the precision matrix well conditioned.
        self.precision = 1.0 / np.maximum(variances, 1e-9)
        self.center = np.zeros(len(variances)) if center is None else center
        self.noise = self._prior_noise = noise
        self.gram = np.zeros((len(variances), len(variances)))
        self.moment = np.zeros(len(variances))
        self.refresh()

    def add(self, features: np.ndarray, target: float) -> None:
        """Take in one observation; `refresh` makes it count."""
        self.gram += np.multiply.outer(features, features)
        self.moment += target * features

    def refresh(self) -> None:
        """Bring the posterior mean and its Cholesky factor up to date."""
        precision = self.gram / self.noise
        precision.flat[:: len(self.precision) + 1] += self.precision
        self.factor = cholesky(precision, lower=True, check_finite=False)
        right = self.moment / self.noise + self.precision * self.center
        half = solve_triangular(self.factor, right, lower=True, check_finite=False)
        self.mean = solve_triangular(self.factor, half, lower=True, trans=1, check_finite=False)

    def fit(self, features: np.ndarray, targets: np.ndarray) -> float:
        """Start again from all observations, noise level too; returns the log evidence up to a constant."""
        self.gram, self.moment = features.T @ features, features.T @ targets
        n, self.noise = len(targets), self._prior_noise
        for _ in range(3):
            self.refresh()
            misfit = float(np.sum(np.square(targets - features @ self.mean)))
            self.noise = (3.0 * self._prior_noise + misfit) / (3.0 + n)
        self.refresh()
        shift = self.mean - self.center
        return -0.5 * (
            n * math.log(self.noise)
            + misfit / self.noise
            + float(shift @ (self.precision * shift))
            + 2.0 * float(np.sum(np.log(np.diag(self.factor))))
            - float(np.sum(np.log(self.precision)))
        )

    def sample(self, rng: np.random.Generator, spread: float) -> np.ndarray:
        """Coefficients drawn from the posterior, its standard deviations multiplied by `spread`."""
        noise = rng.standard_normal(len(self.mean))
        return self.mean + spread * solve_triangular(
            self.factor, noise, lower=True, trans=1, check_finite=False
        )

    def deviation(self, features: np.ndarray) -> float:
        """Posterior standard deviation of ``⟨features, w⟩``."""
        return float(np.linalg.norm(solve_triangular(self.factor, features, lower=True, check_finite=False)))

    def state(self) -> list:
        """What `restore` needs to continue exactly."""
        return [self.noise, self.gram, self.moment, self.factor, self.mean]

    def restore(self, state: list) -> None:
        """Continue from `state`."""
        self.noise, self.gram, self.moment, self.factor, self.mean = state
