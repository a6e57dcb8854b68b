"""Ensemble Kalman filters: the stochastic one, the transform filter, and its local form.

All observe every node of the state with independent errors. None has a way to receive the truth: what is
known of it enters as an observation with its noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...problems.forecast import forecast, require_finite
from ...problems.spectral import PeriodicGrid

__all__ = ["ETKF", "LETKF", "EnKF", "assimilate", "gaspari_cohn"]


def gaspari_cohn(distance: np.ndarray, half_width: float) -> np.ndarray:
    """The compactly supported correlation function, 1 at distance zero and 0 from ``2 half_width`` on.

    References
    ----------
    Gaspari and Cohn, Q. J. R. Meteorol. Soc. 125 (1999) 723–757, equation 4.10.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.learned.medida import gaspari_cohn
    >>> gaspari_cohn(np.array([0.0, 1.0, 2.0, 3.0]), 1.0).round(4)
    array([1.    , 0.2083, 0.    , 0.    ])
    """
    r = np.abs(np.asarray(distance, dtype=float)) / half_width
    near = 1.0 - 5.0 / 3.0 * r**2 + 5.0 / 8.0 * r**3 + 0.5 * r**4 - 0.25 * r**5
    s = np.where(r > 0, r, 1.0)
    far = 4.0 - 5.0 * r + 5.0 / 3.0 * r**2 + 5.0 / 8.0 * r**3 - 0.5 * r**4 + r**5 / 12.0 - 2.0 / (3.0 * s)
    return np.where(r <= 1.0, near, np.where(r < 2.0, np.maximum(far, 0.0), 0.0))


@dataclass(frozen=True)
class EnKF:
    """The stochastic filter: every member assimilates its own perturbed copy of the observation.

    Parameters
    ----------
    inflation : float
        Factor on the anomalies of the analysis.

    References
    ----------
    Evensen, J. Geophys. Res. 99 (1994) 10143–10162; perturbed observations: Burgers, van Leeuwen and Evensen,
    Mon. Weather Rev. 126 (1998) 1719–1724.
    """

    inflation: float = 1.0

    def analyse(
        self, ensemble: np.ndarray, observation: np.ndarray, noise_std: float, rng: np.random.Generator
    ) -> np.ndarray:
        """The analysis ensemble ``(N, *space)``."""
        members = _checked(ensemble, observation, noise_std)
        x = members.reshape(len(members), -1)
        mean, anomalies = x.mean(axis=0), x - x.mean(axis=0)
        noise = noise_std * rng.standard_normal(x.shape)
        innovations = observation.reshape(-1) + noise - x
        n, nodes = x.shape
        if n < nodes:  # B (B + R)^{-1} d in the space of the members
            inner = anomalies @ anomalies.T / noise_std**2 + (n - 1) * np.eye(n)
            weights = np.linalg.solve(inner, anomalies @ innovations.T / noise_std**2)
            analysis = x + (anomalies.T @ weights).T
        else:
            B = anomalies.T @ anomalies / (n - 1)
            analysis = x + np.linalg.solve(B + noise_std**2 * np.eye(nodes), innovations.T).T @ B
        mean = analysis.mean(axis=0)
        return (mean + self.inflation * (analysis - mean)).reshape(members.shape)


@dataclass(frozen=True)
class ETKF:
    """The transform filter: the analysis has exactly the Kalman mean and covariance, without random numbers.

    Parameters
    ----------
    inflation : float
        Factor on the anomalies of the analysis.

    References
    ----------
    Bishop, Etherton and Majumdar, Mon. Weather Rev. 129 (2001) 420–436; symmetric root: Hunt, Kostelich and
    Szunyogh, Physica D 230 (2007) 112–126.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.learned.medida import ETKF
    >>> prior = np.array([[-1.0], [1.0]])
    >>> posterior = ETKF().analyse(prior, np.array([2.0]), 1.0, np.random.default_rng(0))
    >>> float(posterior.mean().round(3)), float(posterior.var(ddof=1).round(3))   # prior variance 2
    (1.333, 0.667)
    """

    inflation: float = 1.0

    def analyse(
        self, ensemble: np.ndarray, observation: np.ndarray, noise_std: float, rng: np.random.Generator
    ) -> np.ndarray:
        """The analysis ensemble ``(N, *space)``; `rng` is not used."""
        members = _checked(ensemble, observation, noise_std)
        x = members.reshape(len(members), -1)
        mean = x.mean(axis=0)
        anomalies = x - mean
        innovation = observation.reshape(-1) - mean
        weights, transform = _transform(
            anomalies @ anomalies.T / noise_std**2, anomalies @ innovation / noise_std**2, len(x)
        )
        analysis = mean + weights @ anomalies + self.inflation * (transform @ anomalies)
        return analysis.reshape(members.shape)


@dataclass(frozen=True)
class LETKF:
    """The local transform filter: one analysis per node, from observations near it on a periodic grid.

    Parameters
    ----------
    grid : PeriodicGrid
    half_width : float
        Of the Gaspari–Cohn taper that reduces the weight of observations with distance; beyond twice this
        an observation has no weight. In units of length.
    inflation : float
        Factor on the anomalies of the analysis.

    References
    ----------
    Hunt, Kostelich and Szunyogh, Physica D 230 (2007) 112–126.
    """

    grid: PeriodicGrid
    half_width: float
    inflation: float = 1.0
    _weights: dict = field(default_factory=dict, repr=False, compare=False)

    def analyse(
        self, ensemble: np.ndarray, observation: np.ndarray, noise_std: float, rng: np.random.Generator
    ) -> np.ndarray:
        """The analysis ensemble ``(N, *grid.shape)``; `rng` is not used."""
        members = _checked(ensemble, observation, noise_std)
        if members.shape[1:] != self.grid.shape:
            raise ValueError(f"ensemble has fields of shape {members.shape[1:]}; expected {self.grid.shape}")
        x = members.reshape(len(members), -1)
        n = len(x)
        mean = x.mean(axis=0)
        anomalies = x - mean
        innovation = observation.reshape(-1) - mean
        taper = self._taper() / noise_std**2  # (nodes, observations)
        products = (anomalies[:, None, :] * anomalies[None, :, :]).reshape(n * n, -1)
        inner = (products @ taper.T).T.reshape(-1, n, n)
        rhs = ((anomalies * innovation) @ taper.T).T
        weights, transform = _transform(inner, rhs, n)
        increments = np.einsum("pi,ip->p", weights, anomalies)
        spread = np.einsum("pij,jp->ip", transform, anomalies)
        return (mean + increments + self.inflation * spread).reshape(members.shape)

    def _taper(self) -> np.ndarray:
        if "taper" not in self._weights:
            squares = np.zeros(self.grid.shape)
            for x, side in zip(self.grid.coordinates(), self.grid.lengths, strict=True):
                squares = squares + np.minimum(x, side - x) ** 2
            first = gaspari_cohn(np.sqrt(squares), self.half_width)
            axes = tuple(range(first.ndim))
            rows = [np.roll(first, place, axis=axes).ravel() for place in np.ndindex(*self.grid.shape)]
            self._weights["taper"] = np.stack(rows)
        return self._weights["taper"]


def assimilate(
    model: Any,
    ensemble: np.ndarray,
    observations: np.ndarray,
    steps: int | np.ndarray,
    *,
    noise_std: float,
    method: Any,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Cycle: forecast the members to each observation, analyse, go on.

    Parameters
    ----------
    model : TimeStepper
        Members are single fields: a model with several time levels starts anew after each analysis.
    ensemble : ndarray, shape (N, *space)
        At the time `steps` before the first observation.
    observations : ndarray, shape (cycles, *space)
    steps : int or ndarray of int, shape (cycles,)
        Model steps before each observation; 0 observes the ensemble as it is.
    noise_std : float
        Of the observations.
    method : EnKF, ETKF or LETKF
    rng : numpy Generator

    Returns
    -------
    means, spreads : ndarray, shape (cycles, *space)
        Mean and standard deviation of each analysis ensemble.

    Raises
    ------
    BlowUpError
        If a forecast is not finite.
    """
    counts = np.broadcast_to(np.asarray(steps, dtype=int), (len(observations),))
    means, spreads = [], []
    for cycle, (count, observation) in enumerate(zip(counts, observations, strict=True)):
        if count > 0:
            ensemble = forecast(model, ensemble, int(count))
            require_finite(ensemble, f"the ensemble is not finite before observation {cycle}")
        ensemble = method.analyse(ensemble, observation, noise_std, rng)
        means.append(ensemble.mean(axis=0))
        spreads.append(ensemble.std(axis=0, ddof=1))
    return np.stack(means), np.stack(spreads)


def _transform(inner: np.ndarray, rhs: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the mean, and the symmetric square root that transforms anomalies; batched."""
    values, vectors = np.linalg.eigh(inner)
    values = np.maximum(values, 0.0) + (n - 1)
    projected = np.einsum("...ji,...j->...i", vectors, rhs) / values
    weights = np.einsum("...ij,...j->...i", vectors, projected)
    root = vectors * np.sqrt((n - 1) / values)[..., None, :]
    return weights, root @ np.swapaxes(vectors, -1, -2)


def _checked(ensemble: np.ndarray, observation: np.ndarray, noise_std: float) -> np.ndarray:
    members = np.asarray(ensemble, dtype=float)
    if members.ndim < 2 or len(members) < 2:
        raise ValueError(f"ensemble has shape {members.shape}; expected at least two members (N, *space)")
    if observation.shape != members.shape[1:]:
        raise ValueError(f"observation has shape {observation.shape}; expected {members.shape[1:]}")
    if not (math.isfinite(noise_std) and noise_std > 0):
        raise ValueError(f"noise_std is {noise_std!r}; expected a positive number")
    return members
