"""A model with terms added: by the model's own means where it has them, by splitting otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...backends.namespace import Array
from ...problems.spectral import Fields
from .library import Term

__all__ = ["SplitModel", "corrected"]


def corrected(model: Any, terms: Sequence[Term], coefficients: Sequence[float] | np.ndarray) -> Any:
    """The model plus ``Σ c_j φ_j``: a `TimeStepper` again.

    Models with ``with_terms(terms, coefficients)`` build the terms in; around any other, the terms are
    integrated for half a step before and after its own (Strang splitting).
    """
    if len(terms) == 0:
        return model
    if hasattr(model, "with_terms"):
        return model.with_terms(list(terms), [float(c) for c in coefficients])
    return SplitModel(model, terms, coefficients)


class SplitModel:
    """A black-box model with terms added by Strang splitting; each half is a step of the midpoint rule.

    Parameters
    ----------
    model : TimeStepper
        With a single time level.
    terms : sequence of Term
    coefficients : sequence of float
    """

    def __init__(self, model: Any, terms: Sequence[Term], coefficients: Sequence[float] | np.ndarray):
        if getattr(model, "levels", 1) != 1:
            raise TypeError(
                "the model keeps several time levels and has no with_terms; expected a one-level TimeStepper"
            )
        self.model, self.terms, self.coefficients = model, tuple(terms), [float(c) for c in coefficients]
        self.dt, self.state_shape = model.dt, tuple(model.state_shape)
        self.grid = getattr(model, "grid", None)

    def _tendency(self, u: Array) -> Array:
        fields = Fields(u, self.grid)
        return sum(c * term(fields) for c, term in zip(self.coefficients, self.terms, strict=True))

    def _half(self, u: Array, dt: float) -> Array:
        return u + dt * self._tendency(u + (0.5 * dt) * self._tendency(u))

    def step(self, u: Array, t: float, dt: float) -> Array:
        """The state a time `dt` after `t`."""
        return self._half(self.model.step(self._half(u, 0.5 * dt), t, dt), 0.5 * dt)
