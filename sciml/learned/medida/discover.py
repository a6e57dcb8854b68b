"""`discover`: from an imperfect model and noisy pairs of snapshots to the terms the model lacks."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ...problems.spectral import PeriodicGrid
from ...problems.steppers import BlowUpError, forecast, require_finite
from .cycle import filtered_pairs
from .evidence import evidence_path, stability_selection
from .filters import EnKF
from .library import Library, require_independent
from .model_error import ModelError
from .modes import FourierModes, resolved_cutoff
from .normal_equations import NormalEquations
from .response import direct_columns, misfit, response_columns
from .rvm import RVM
from .shooting import Shooting
from .snapshots import DiscoveryWarning, Snapshots
from .sparse_fit import SparseFit, describe

__all__ = ["discover"]

SUSPICIOUS = 6.0
"""Standard deviations by which a misfit may exceed what the noise explains."""

METHODS = ("auto", "response", "direct", "shooting")


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
        Standard deviation of the observation noise of a single value; 0 for exact data. ``"estimate"`` reads it
        off the highest wavenumbers of the snapshots (models on a grid). Not given, it is estimated with a warning.
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
        ``observations.times`` and a model on a grid.
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
    z' = model - 2.667 z    (95 %: -2.67 to -2.67)
    """
    tell = (lambda text: None) if progress is None else progress
    _check_options(method, selection, assimilation, margin, floor, passes, members)
    steps = observations.steps(model)
    if not isinstance(library, Library):
        raise TypeError(f"library is a {type(library).__name__}; expected a Library")
    grid: PeriodicGrid | None = getattr(model, "grid", None)
    std = _noise_level(noise, observations, grid)
    _check_amount(observations, library, std, grid)
    tendency = (observations.after - observations.current) / observations.window
    size = _tendency_size(tendency, std, observations.window)
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
    if assimilation is not None and std == 0.0:
        raise ValueError(f"assimilation {assimilation!r} needs a noise level above zero; noise is 0")
    select = _selection(selection, std, margin)
    if method == "shooting":
        fit, parts, info = _shoot(
            model, observations, library, steps, std, grid, cutoff, select, margin, passes, tell, floor * size,
            assimilation, members, inflation, half_width, seed,
        )  # fmt: skip
    else:
        tell("forecasts")
        error = misfit(model, observations, steps)
        _warn_about_forecasts(error, tendency, std / observations.window)
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
        frequency = stability_selection(parts, select, resamples=stability, seed=seed)
        info["stability"] = dict(zip(library.names, frequency.tolist(), strict=True))
    return _model_error(fit, library, info)


# -- the two regressions --------------------------------------------------------------------------
def _regress(
    columns: np.ndarray, target: np.ndarray, library: Library, select: Callable, smallest: float
) -> tuple[SparseFit, list[NormalEquations], dict[str, Any]]:
    """Sparse regression of all node values, one part per pair."""
    parts = [
        NormalEquations.of(columns[:, i].reshape(len(library), -1).T, target[i].ravel())
        for i in range(len(target))
    ]
    equations = _total(parts)
    require_independent(equations.gram, library.names)
    fit = _above_floor(equations, select(equations), smallest / equations.column_rms, None)
    _, rss = equations.solve(fit.support)
    left = math.sqrt(rss / equations.rows)
    return fit, parts, {"misfit before": equations.target_rms, "misfit after": left}


def _shoot(
    model: Any, observations: Snapshots, library: Library, steps: int, std: float, grid: PeriodicGrid | None,
    cutoff: float | None, select: Callable, margin: float, passes: int, tell: Callable, smallest: float,
    assimilation: str | None, members: int, inflation: float, half_width: float | None, seed: int,
) -> tuple[SparseFit, list[NormalEquations], dict[str, Any]]:  # fmt: skip
    """Gauss–Newton in two stages: long waves first, whose response to a wrong model is closest to linear."""
    before, after = observations.current, observations.after
    if std == 0.0:
        std = 1e-6 * float(np.std(before))  # exact data: only the ratio to the signal matters
    if grid is not None and cutoff is None:
        cutoff = resolved_cutoff(grid, before, std)
    stages = [None] if grid is None else [0.6 * cutoff, cutoff]  # type: ignore[operator]
    window = observations.window

    def bounded(sizes: np.ndarray) -> Callable[[NormalEquations], SparseFit]:
        def choose(equations: NormalEquations) -> SparseFit:
            return _above_floor(equations, select(equations), smallest / sizes, 1.0)

        return choose

    def attempt(collocated: bool) -> tuple[Shooting, SparseFit]:
        theta = np.zeros(len(library))
        for number, limit in enumerate(stages):
            shooting = Shooting(model, library, before, after, steps, std, limit)
            if number == 0 and collocated:
                theta = shooting.collocate(lambda equations: evidence_path(equations, margin=margin), limit)
            elif number == 0:
                start, end = shooting.observed
                _warn_about_forecasts(shooting.final_misfit(), end - start, std)
            shooting.start(None, theta)
            last = number == len(stages) - 1
            fit = shooting.solve(
                bounded(_term_sizes(shooting, library)), passes=passes if last else 2, tell=tell
            )
            theta = shooting.theta
        return shooting, fit

    shooting, fit, trouble = None, None, None
    try:
        shooting, fit = attempt(collocated=False)
    except BlowUpError as error:
        trouble = error
    if shooting is None or _excess(shooting, fit) > SUSPICIOUS:
        tell("second start")
        try:
            other, other_fit = attempt(collocated=True)
            if shooting is None or other_fit.info["chi2 per row"] < fit.info["chi2 per row"]:
                shooting, fit = other, other_fit
        except BlowUpError as error:
            trouble = trouble or error
    if shooting is None or fit is None:
        assert trouble is not None
        raise trouble
    theta = shooting.theta
    if assimilation == "letkf":
        if grid is None or observations.times is None:
            raise ValueError("assimilation 'letkf' needs a model on a grid and observations with times")
        tell("local ensemble filter")
        better, variance = filtered_pairs(
            model, library, fit.coefficients, observations, std, members, inflation, half_width, seed
        )
        shooting = Shooting(
            model, library, better, after, steps, std, cutoff, state_variance=lambda modes: variance(modes)
        )
        shooting.start(None, theta)
        fit = shooting.solve(bounded(_term_sizes(shooting, library)), passes=passes, tell=tell)
    require_independent(_total(shooting.latest).gram, library.names, 1e-12)
    info = {
        "passes": fit.info["passes"],
        "chi2 per row": fit.info["chi2 per row"],
        "cutoff": cutoff,
        "coordinates": shooting.modes.size,
        "window steps": steps,
    }
    if _excess(shooting, fit) > SUSPICIOUS and std > 1e-5 * np.std(before):
        warnings.warn(
            f"the misfit left is {info['chi2 per row']:.3g} times what noise of {std:.3g} explains: the noise level "
            f"is too low, terms are missing from the library, or the window of {window:g} is too long for "
            "this model",
            DiscoveryWarning,
            stacklevel=3,
        )
    return fit, shooting.latest, info


def _excess(shooting: Shooting, fit: SparseFit) -> float:
    """How far the misfit exceeds what the noise explains, in standard deviations."""
    return (fit.info["chi2 per row"] - 1.0) / math.sqrt(2.0 / shooting.rows)


def _term_sizes(shooting: Shooting, library: Library) -> np.ndarray:
    """Root mean squares of the terms on the estimated states."""
    fields = shooting._inner.field(shooting.states)
    columns = library.evaluate(fields, shooting._inner.grid).reshape(len(library), -1)
    return np.maximum(np.sqrt(np.mean(columns**2, axis=1)), 1e-300)


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
        if before.ndim > after.ndim:
            perturbed[:, 1] += noise
        else:
            perturbed += noise
        forecasts = forecast(model, perturbed, steps)
        require_finite(forecasts, "a member of the ensemble is not finite after its forecast")
        analysis = EnKF().analyse(forecasts, after, std, rng).mean(axis=0)
        analyses.append(analysis)
        errors.append((analysis - forecasts.mean(axis=0)) / observations.window)
    replaced = Snapshots(observations.before, np.stack(analyses), observations.window, observations.times)
    return replaced, np.stack(errors)


# -- selection ------------------------------------------------------------------------------------
def _selection(selection: Any, std: float, margin: float) -> Callable[[NormalEquations], SparseFit]:
    if selection is None:
        selection = "rvm" if std == 0.0 else "evidence"
    if isinstance(selection, RVM):
        return selection.fit
    if selection == "evidence":
        return lambda equations: evidence_path(equations, noise_std=_unit(equations), margin=margin)
    algorithm = "mackay" if selection == "rvm" else "tipping-faul"
    return lambda equations: RVM(
        algorithm, threshold=1e5, noise_std=_unit(equations) if std > 0 else None
    ).fit(equations)


def _unit(equations: NormalEquations) -> float | None:
    """The noise of whitened rows is one; of others it is estimated."""
    return 1.0 if equations.whitened else None


def _above_floor(
    equations: NormalEquations, fit: SparseFit, lowest: np.ndarray, noise_std: float | None
) -> SparseFit:
    """Drop terms below the floor, weakest first, and refit the others."""
    support = fit.support.copy()
    coefficients = fit.coefficients
    while support.any():
        excess = np.where(support, np.abs(coefficients) / lowest, np.inf)
        weakest = int(np.argmin(excess))
        if excess[weakest] >= 1.0:
            break
        support[weakest] = False
        coefficients = np.zeros(equations.terms)
        coefficients[support] = equations.solve(support)[0]
    if np.array_equal(support, fit.support):
        return fit
    return describe(equations, support, noise_std=noise_std, info=dict(fit.info))


def _total(parts: list[NormalEquations]) -> NormalEquations:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


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


# -- checks ---------------------------------------------------------------------------------------
def _check_options(
    method: str, selection: Any, assimilation: Any, margin: float, floor: float, passes: int, members: int
) -> None:
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; expected one of {', '.join(METHODS)}")
    if not isinstance(selection, RVM) and selection not in (None, "evidence", "rvm", "tipping-faul"):
        raise ValueError(f"selection is {selection!r}; expected 'evidence', 'rvm', 'tipping-faul' or an RVM")
    if assimilation not in (None, "enkf", "letkf"):
        raise ValueError(f"assimilation is {assimilation!r}; expected None, 'enkf' or 'letkf'")
    for name, value in (("margin", margin), ("floor", floor)):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} is {value!r}; expected a number >= 0")
    for name, count, least in (("passes", passes, 1), ("members", members, 2)):
        if count < least:
            raise ValueError(f"{name} is {count!r}; expected at least {least}")


def _check_amount(observations: Snapshots, library: Library, std: float, grid: PeriodicGrid | None) -> None:
    rows = observations.after.size
    needed = 4 * len(library)
    if rows < needed:
        raise ValueError(
            f"{observations.n} pairs of {math.prod(observations.space)} values are too few for {len(library)} "
            f"candidate terms; expected at least {math.ceil(needed / math.prod(observations.space))} pairs"
        )


def _noise_level(noise: float | str | None, observations: Snapshots, grid: PeriodicGrid | None) -> float:
    if noise is None or noise == "estimate":
        if grid is None:
            raise ValueError(
                "noise is not given; expected the standard deviation of the observation noise (0: exact)"
            )
        std = _estimated_noise(grid, observations)
        if noise is None:
            warnings.warn(
                f"noise is not given; estimated as {std:.3g} from the highest wavenumbers. Pass noise= "
                "(0 for exact data, 'estimate' to accept this)",
                DiscoveryWarning,
                stacklevel=3,
            )
        return std
    if isinstance(noise, bool | str) or not (math.isfinite(noise) and noise >= 0):
        raise ValueError(f"noise is {noise!r}; expected a standard deviation >= 0 or 'estimate'")
    return float(noise)


def _estimated_noise(grid: PeriodicGrid, observations: Snapshots) -> float:
    """Root mean square of the modes above two thirds of the largest wavenumber, per node value."""
    fields = np.concatenate([observations.current, observations.after])
    k = grid.magnitude()
    limit = min(np.abs(w).max() for w in grid.wavenumbers)
    high = (k > 2.0 / 3.0 * limit) & (k < limit * (1 - 1e-12))
    power = np.abs(grid.transform(fields)) ** 2 / math.prod(grid.shape)
    std = float(np.sqrt(np.median(power[:, high]) / math.log(2.0)))
    return std if std > 1e-9 * float(np.std(fields)) else 0.0


def _tendency_size(tendency: np.ndarray, std: float, window: float) -> float:
    """Root mean square of the true tendency: that of the observed one without the noise."""
    square = float(np.mean(tendency**2))
    return math.sqrt(max(square - 2.0 * (std / window) ** 2, 1e-4 * square))


def _warn_about_forecasts(error: np.ndarray, change_seen: np.ndarray, std: float) -> None:
    """A model that is this much worse than no model at all was probably given wrong data."""
    left, change, noise = float(np.mean(error**2)), float(np.mean(change_seen**2)), 2.0 * std**2
    if left > 36.0 * max(change, noise):
        warnings.warn(
            f"forecasts are {math.sqrt(left / max(change, noise)):.3g} times worse than persistence; check the window, "
            "dt and units of the snapshots",
            DiscoveryWarning,
            stacklevel=3,
        )
