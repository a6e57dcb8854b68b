"""Families of problems that multigrid parameters are trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from ...problems import GEOMETRIES, Problem, anisotropic, jump_coefficient, obstacle_mask, poisson

__all__ = ["COEFFICIENTS", "FAMILIES", "OBSTACLES", "TRAINING_SEED", "sample"]

TRAINING_SEED = 1_000_000
"""Seeds of training geometries begin here; cases judge on smaller ones, which training never saw."""


def _obstacles(kind: str | None, shape: Sequence[int], seed: int) -> Problem:
    """Obstacles of one kind, every third time with balls beside them, sides drawn at random."""
    rng = np.random.default_rng([seed, 0xFA])
    if kind is None:
        sides = ["dirichlet", "open-top", "neumann"][: 2 if rng.random() < 0.8 else 3]
        return poisson(shape, bc=sides[int(rng.integers(len(sides)))], seed=seed)
    bc = "open-top" if rng.random() < 0.5 else "dirichlet"
    problem = poisson(shape, bc=bc, obstacles=kind, seed=seed)
    if rng.random() < 1 / 3 and kind != "balls":
        mask = problem.mask | obstacle_mask("balls", shape, seed + 1)
        problem = poisson(shape, bc=bc, obstacles=mask, seed=seed)
        if problem.A.singular is not None:  # balls may close a passage: fill what they cut off
            labels = problem.A.singular.labels.reshape(problem.A.in_shape)
            problem = poisson(shape, bc=bc, obstacles=mask | (labels > 0), seed=seed)
    return problem


def _jumps(pattern: str, shape: Sequence[int], seed: int) -> Problem:
    rng = np.random.default_rng([seed, 0xFB])
    return jump_coefficient(shape, contrast=10.0 ** rng.uniform(3, 5), pattern=pattern, seed=seed)


def _anisotropy(orientation: str, shape: Sequence[int], seed: int) -> Problem:
    rng = np.random.default_rng([seed, 0xFC])
    return anisotropic(shape, epsilon=10.0 ** rng.uniform(-2.5, -1.5), orientation=orientation, seed=seed)


OBSTACLES: dict[str, Callable[[Sequence[int], int], Problem]] = {
    "box": partial(_obstacles, None),
    **{kind: partial(_obstacles, kind) for kind in GEOMETRIES},
}
"""Constant coefficients: name to what makes a problem from shape and seed."""

COEFFICIENTS: dict[str, Callable[[Sequence[int], int], Problem]] = {
    "jump balls": partial(_jumps, "balls"),
    "jump squares": partial(_jumps, "squares"),
    "jump oblique": partial(_jumps, "oblique"),
    "jump random": partial(_jumps, "random"),
    "anisotropic": partial(_anisotropy, "aligned"),
    "anisotropic checkerboard": partial(_anisotropy, "checkerboard"),
}
"""Jumps of three to five decades and anisotropy of 1:30 to 1:300."""

FAMILIES = {**OBSTACLES, **COEFFICIENTS}


def sample(name: str, shape: Sequence[int], index: int) -> Problem:
    """Training problem number `index` of a family.

    Examples
    --------
    >>> from sciml.learned.multigrid.families import sample
    >>> sample("walls", (32, 32), 0).A.in_shape
    (32, 32)
    """
    if name not in FAMILIES:
        raise ValueError(f"family is {name!r}; expected one of {', '.join(FAMILIES)}")
    return FAMILIES[name](tuple(shape), TRAINING_SEED + index)
