"""What a policy is worth on problems that no training has seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...preconditioners.learned_multigrid import FEATURE_STRENGTH, Policy
from ...preconditioners.multigrid.features import geometry_features
from ...problems import Problem
from .cost import Rates
from .search import TOLERANCES, evaluate
from .train import training_problems

__all__ = ["UNSEEN", "validate"]

UNSEEN = 10_000
"""Number of the first problem that validation looks at; those of training begin at 0."""


def validate(policy: Policy, problems: Sequence[Problem] | None = None, rates: Rates | None = None) -> float:
    """Predicted seconds with what `policy` chooses, over those of `Multigrid` as it comes.

    Parameters
    ----------
    policy : Policy
    problems : list of Problem, optional
        By default one of every family at every shape of `training_problems`, with numbers from `UNSEEN` on.
    rates : Rates, optional
        The cost model.

    Returns
    -------
    float
        Geometric mean over problems and tolerances, set-up included; below 1 is faster.

    Examples
    --------
    >>> from sciml.learned.multigrid import sample
    >>> from sciml.learned.multigrid.validation import validate
    >>> from sciml.preconditioners.learned_multigrid import policy_of
    >>> validate(policy_of(), [sample("walls", (64, 64), 10_000)]) < 1.1
    True
    """
    if problems is None:
        problems = [problem for _, problem in training_problems(first=UNSEEN)]
    rates = Rates() if rates is None else rates
    logs = []
    for problem in problems:
        features = geometry_features(problem.A, FEATURE_STRENGTH)
        chosen = [policy.choose(features, rtol) for rtol in TOLERANCES]
        seconds = {member: evaluate(problem, policy.settings(member), rates) for member in set(chosen)}
        usual = evaluate(problem, {}, rates)
        logs += [np.log(seconds[member][t] / usual[t]) for t, member in enumerate(chosen)]
    return float(np.exp(np.mean(logs)))
