"""`discover`: from an imperfect model and noisy pairs of snapshots to the terms the model lacks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...problems.forecast import forecast, require_finite
from ...problems.spectral import PeriodicGrid
from .checks import check_amount, check_options, noise_level, tendency_size, warn_about_forecasts
from .evidence import stability_selection
from .filters import EnKF
from .library import Library, require_independent
from .model_error import ModelError
from .noisy import WindowProblem
from .normal_equations import NormalEquations
from .response import direct_columns, misfit, response_columns
from .rvm import RVM
from .selection import above_floor, selection_rule, total_of
from .snapshots import Snapshots
from .sparse_fit import SparseFit

__all__ = ["discover"]


def discover(
    model: Any,
    observations: Snapshots,
    library: Library,
    *,
    noise: float | str | None = None,
    method: str = "auto",
    selection: str | RVM | None = None,
    assimilation: str | None = None,
    members: int = 20,
    inflation: float = 1.05,
    half_width: float | None = None,
    scheme: str = "spectral",
    cutoff: float | None = None,
    margin: float = 6.0,
    floor: float = 1e-3,
    passes: int = 6,
    stability: int = 0,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> ModelError:
    """Find the terms a model lacks, from pairs of observed states.

    Parameters
    ----------
    model : TimeStepper
        The imperfect model, working.
    observations : Snapshots
        Pairs ``(before, after)``, noisy and sporadic.
    library : Library
        Candidate terms.
    noise : float or "estimate"
        Standard deviation of the observation noise of a single value; 0 for exact data. ``"estimate"`` reads
        it off the highest wavenumbers of the snapshots (models on a grid). Not given, it is estimated so,
        with a warning.
    method : {"auto", "response", "shooting", "direct"}
        ``"response"`` regresses the misfit of one step on what the step makes of each term: exact data.
        ``"shooting"`` estimates states and coefficients together by Gauss–Newton: noisy data, and windows of
        many steps. ``"direct"`` regresses on the terms themselves, as published. ``"auto"`` takes the
        response for exact data one step apart, else shooting.
    selection : {"evidence", "rvm", "tipping-faul"} or RVM, optional
        How terms are chosen. By default an `RVM` for exact data, the path of highest evidence otherwise.
    assimilation : {None, "enkf", "letkf"}
        ``"enkf"``: the later snapshot of every pair is replaced by the analysis of a stochastic filter, as
        published (but with the observation that is there). ``"letkf"``: a local filter is cycled
        through all snapshots with the model corrected so far, and its analyses start the windows; needs
        ``observations.times`` and a model on a grid. In our measurements neither improves on shooting alone:
        analyses inherit errors of the model that produced them.
    members : int
        Of the ensemble.
    inflation : float
        Of the local filter.
    half_width : float, optional
        Of its localisation, in units of length; 1/8 of the box by default.
    scheme : {"spectral", "fd2"}
        Derivatives of the direct method.
    cutoff : float, optional
        Largest wavenumber used by the shooting method; by default what stands out of the noise.
    margin : float
        A term enters where its log Bayes factor exceeds half of this (evidence selection).
    floor : float
        Terms whose effect is below this fraction of the observed tendency (root mean squares) are left out.
    passes : int
        Of Gauss–Newton, at most.
    stability : int
        Number of half-samples on which the selection is repeated; frequencies are in ``info["stability"]``.
    seed : int
        Of filters and resampling.
    progress : callable, optional
        Called with a short text now and then.

    Returns
    -------
    ModelError

    Raises
    ------
    TypeError, ValueError
        For data that do not fit the model, too few snapshots, dependent columns, unknown options.
    BlowUpError
        If forecasts are not finite: coefficients never are NaN.

    Warns
    -----
    DiscoveryWarning
        Where the noise level had to be estimated, forecasts are much worse than persistence, or the misfit
        that is left does not agree with the noise level.

    Notes
    -----
    Intervals hold conditionally on the selected terms and on the noise level. For exact data they show
    the scatter of the residual only, not the bias that errors of the time step leave.

    References
    ----------
    Mojgani, Chattopadhyay and Hassanzadeh, Chaos 32 (2022) 061105, arXiv:2110.00546.

    Examples
    --------
    A Lorenz system whose model forgets a term:

    >>> import numpy as np
    >>> from sciml.problems import lorenz63, trajectory
    >>> from sciml.learned.medida import Library, Snapshots, discover
    >>> truth = trajectory(lorenz63(0.001), np.array([1.0, 3.0, 20.0]), 20_000, 10)
    >>> data = Snapshots(truth[:-1:20], truth[1::20], window=0.01)
    >>> error = discover(lorenz63(0.01, beta=0.0), data, Library.polynomials("xyz"), noise=0.0)
    >>> print(error)
    z' = model - 2.669 z    (95 %: -2.67 to -2.67)
    """
    tell = (lambda text: None) if progress is None else progress
    check_options(method, selection, assimilation, margin, floor, passes, members)
    steps = observations.steps(model)
    if not isinstance(library, Library):
        raise TypeError(f"library is a {type(library).__name__}; expected a Library")
    grid: PeriodicGrid | None = getattr(model, "grid", None)
    std = noise_level(noise, observations, grid)
    if assimilation is not None and std == 0.0:
        raise ValueError(f"assimilation {assimilation!r} needs a noise level above zero; noise is 0")
    check_amount(observations, library, std, grid)
    tendency = (observations.after - observations.current) / observations.window
    size = tendency_size(tendency, std, observations.window)
    if method == "auto":
        method = "response" if (std == 0.0 and steps == 1) or assimilation == "enkf" else "shooting"
    if method == "response" and steps != 1:
        raise ValueError(
            f"method 'response' needs windows of one time step; these have {steps}: use 'shooting'"
        )
    if assimilation == "enkf" and method == "shooting":
        raise ValueError("assimilation 'enkf' goes with method 'response' or 'direct'")
    if assimilation == "letkf" and method != "shooting":
        raise ValueError("assimilation 'letkf' goes with method 'shooting'")
    if assimilation == "letkf" and (grid is None or observations.times is None):
        raise ValueError("assimilation 'letkf' needs a model on a grid and observations with times")
    select = selection_rule(selection, std, margin)
    if method == "shooting":
        problem = WindowProblem.of(
            model,
            library,
            observations,
            std,
            cutoff,
            smallest=floor * size,
            select=select,
            passes=passes,
            tell=tell,
        )
        shooting, fit = problem.solve()
        if assimilation == "letkf":
            shooting, fit = problem.refined_by_filter(fit, members, inflation, half_width, seed)
        problem.warn_about(shooting, fit, exact=std == 0.0)
        parts, info = shooting.latest, {name: fit.info[name] for name in ("passes", "chi2 per row")}
        info |= {"cutoff": problem.cutoff, "coordinates": shooting.modes.size}
    else:
        tell("forecasts")
        error = misfit(model, observations, steps)
        warn_about_forecasts(error, tendency, std / observations.window)
        if assimilation == "enkf":
            tell("ensemble filter")
            observations, error = _analysed(model, observations, steps, std, members, seed)
        tell("columns")
        if method == "response":
            columns = response_columns(model, observations, library)
        else:
            columns = direct_columns(model, observations, library, scheme)
        fit, parts, info = _regress(columns, error, library, select, floor * size)
    info |= {"method": method, "noise": std, "pairs": observations.n, "window": observations.window}
    if assimilation is not None:
        info["assimilation"] = assimilation
    if stability:
        tell("stability selection")
        frequency = stability_selection(
            parts, lambda equations: select(equations, 0.0), resamples=stability, seed=seed
        )
        info["stability"] = dict(zip(library.names, frequency.tolist(), strict=True))
    return _model_error(fit, library, info)


def _regress(
    columns: np.ndarray, target: np.ndarray, library: Library, select: Callable, smallest: float
) -> tuple[SparseFit, list[NormalEquations], dict[str, Any]]:
    """Sparse regression of all node values, one part per pair."""
    parts = [
        NormalEquations.of(columns[:, i].reshape(len(library), -1).T, target[i].ravel())
        for i in range(len(target))
    ]
    equations = total_of(parts)
    require_independent(equations.gram, library.names)
    fit = above_floor(equations, select(equations, 0.0), smallest / equations.column_rms, None)
    _, rss = equations.solve(fit.support)
    left = math.sqrt(rss / equations.rows)
    return fit, parts, {"misfit before": equations.target_rms, "misfit after": left}


def _analysed(
    model: Any, observations: Snapshots, steps: int, std: float, members: int, seed: int
) -> tuple[Snapshots, np.ndarray]:
    """The published use of the stochastic filter: one independent analysis per pair."""
    rng = np.random.default_rng(seed)
    analyses, errors = [], []
    spread = (
        0.25 / 1.3 * float(np.std(observations.current))
    )  # sigma_b of the study, whose fields have std 1.3
    for before, after in zip(observations.before, observations.after, strict=True):
        perturbed = np.repeat(before[None], members, axis=0)
        noise = spread * rng.standard_normal((members, *observations.space))
        if observations.has_levels:
            perturbed[:, 1] += noise
        else:
            perturbed += noise
        forecasts = forecast(model, perturbed, steps, state=observations.has_levels)
        require_finite(forecasts, "a member of the ensemble is not finite after its forecast")
        analysis = EnKF().analyse(forecasts, after, std, rng).mean(axis=0)
        analyses.append(analysis)
        errors.append((analysis - forecasts.mean(axis=0)) / observations.window)
    replaced = Snapshots(observations.before, np.stack(analyses), observations.window, observations.times)
    return replaced, np.stack(errors)


def _model_error(fit: SparseFit, library: Library, info: dict[str, Any]) -> ModelError:
    found = np.flatnonzero(fit.support)
    if not np.all(np.isfinite(fit.coefficients)):
        raise FloatingPointError("a coefficient is not finite; the regression broke down")
    return ModelError(
        tuple(library.terms[j] for j in found),
        fit.coefficients[found],
        fit.covariance[np.ix_(found, found)],
        dict(zip(library.names, (float(e) for e in fit.term_evidence), strict=True)),
        library.names,
        {**info, "log evidence": fit.log_evidence},
    )
