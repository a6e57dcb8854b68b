"""Contract checks for samplers of collocation points and for the densities they learn."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .report import finish

__all__ = ["check_density", "check_sampler"]

CALLS = 3
"""Calls of `sample` before the state of a sampler is saved."""


def check_sampler(
    make: Callable[[], Any],
    *,
    residual: Callable[[Any], Any] | None = None,
    n: int = 200,
    seed: int = 0,
    raise_on_failure: bool = True,
) -> list[str]:
    """Check that a sampler keeps the contract of `sciml.learned.pinn.samplers.Sampler`.

    Points are double precision, lie in the domain, and are at most `n`; weights are positive with mean one;
    the same generator gives the same points; a saved state, through a checkpoint file, goes on where it was;
    another `n` is taken from one call to the next; zero and constant residuals are no trouble, and residuals
    that are not finite are an error or are not looked at.

    Parameters
    ----------
    make : callable
        Builds the sampler; called several times, so a density handed to it must be built in it.
    residual : callable, optional
        Points (m, d) to values (m,); a peak in the domain by default.
    n : int
        Points asked for.
    seed : int
        Of the random numbers.
    raise_on_failure : bool
        Raise `AssertionError` if a promise is broken.

    Returns
    -------
    list of str
        One sentence per broken promise.

    Examples
    --------
    >>> from sciml.learned.pinn import Box
    >>> from sciml.learned.pinn.samplers import RAD
    >>> from sciml.testing import check_sampler
    >>> check_sampler(lambda: RAD(Box([0.0, 0.0], [1.0, 2.0])))
    []
    """
    sampler = make()
    missing = [name for name in ("domain", "sample", "prefit", "state", "load") if not hasattr(sampler, name)]
    if missing:
        return finish(repr(sampler), [f"it has no {', '.join(missing)}"], raise_on_failure)
    residual = _peak(sampler.domain, seed) if residual is None else residual
    sentences: list[str] = []
    for check in (_points, _repeats, _resumes, _residuals):
        try:
            sentences += check(make, residual, n, seed)
        except Exception as error:
            sentences.append(f"{check.__name__[1:]}: {type(error).__name__}: {error}")
    return finish(repr(sampler), sentences, raise_on_failure)


def check_density(
    density: Any, *, n: int = 4096, rtol: float = 1e-10, seed: int = 0, raise_on_failure: bool = True
) -> list[str]:
    r"""Check that a density keeps the contract of `sciml.learned.pinn.density.Density`.

    The map and its inverse undo each other; the log-determinant is that of the Jacobian; samples lie in the
    box, repeat with their generator, and follow the density: mass and mean of its overlap with the uniform
    one are the same over samples as over uniform points, within six standard errors.

    Parameters
    ----------
    density : Density
    n : int
        Samples.
    rtol : float
        Largest error of the inverse, relative to the box.
    seed : int
        Of the samples.
    raise_on_failure : bool
        Raise `AssertionError` if a promise is broken.

    Returns
    -------
    list of str
        One sentence per broken promise.

    Examples
    --------
    >>> from sciml.learned.pinn.density import KnotheRosenblatt
    >>> from sciml.testing import check_density
    >>> check_density(KnotheRosenblatt([0.0, 0.0], [1.0, 2.0]))
    []
    """
    import torch

    sentences: list[str] = []
    size = density.upper - density.lower
    x = density.sample(n, np.random.default_rng(seed))
    if tuple(x.shape) != (n, density.dimension) or x.dtype != torch.float64:
        what = f"sample gives {tuple(x.shape)} of {x.dtype}; expected ({n}, {density.dimension}) of float64"
        return finish(repr(density), [what], raise_on_failure)
    if not bool(((x >= density.lower) & (x <= density.upper)).all()):
        sentences.append("samples lie outside the box")
    if not torch.equal(x, density.sample(n, np.random.default_rng(seed))):
        sentences.append("two equal generators give different samples")
    with torch.no_grad():
        z, log_det = density(x)
        log_p = density.log_prob(x)
        gap = float(((density.inverse(z) - x) / size).abs().max())
    if not gap <= rtol:
        sentences.append(f"inverse(forward(x)) differs from x by {gap:.1e} of the box; expected {rtol:g}")
    if not bool(torch.isfinite(log_p).all()):
        sentences.append("log_prob is not finite at samples")
    for point, value in zip(x[:8], log_det[:8], strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda y: density(y[None])[0][0], point)
        true = float(torch.linalg.slogdet(jacobian)[1])
        if not abs(true - float(value)) <= 1e-8 * max(1.0, abs(true)):
            sentences.append(f"log_det is {float(value):.10g}; that of the Jacobian is {true:.10g}")
            break
    # Over samples E min(1, 1/pV) g and over uniform points E min(1, pV) g are one integral, of min(p, 1/V) g.
    uniform = density.lower + size * torch.from_numpy(np.random.default_rng(seed + 1).random(tuple(x.shape)))
    with torch.no_grad():
        volume = float(size.prod().log())
        overlaps = -(log_p + volume), density.log_prob(uniform) + volume
    means, variances = [], []
    for points, overlap in zip((x, uniform), overlaps, strict=True):
        t = (points - density.lower) / size
        values = overlap.clamp(max=0.0).exp()[:, None] * torch.cat([torch.ones_like(t[:, :1]), t], 1)
        means.append(values.mean(0))
        variances.append(values.var(0) / n)
    gap, error = (means[0] - means[1]).abs(), (variances[0] + variances[1]).sqrt()
    worst = int((gap - 6 * error).argmax())
    if not float(gap[worst]) <= 6 * float(error[worst]) + 1e-9:
        sentences.append(
            "samples do not follow log_prob: a mean over both differs by "
            f"{float(gap[worst]):.4f} ± {float(error[worst]):.4f}"
        )
    return finish(repr(density), sentences, raise_on_failure)


def _points(make: Callable[[], Any], residual: Any, n: int, seed: int) -> Iterator[str]:
    import torch

    sampler, rng = make(), np.random.default_rng(seed)
    sampler.prefit(residual, rng)
    for count in (n, n, 2 * n, n):
        points = sampler.sample(residual, count, rng)
        x, weight = points.x, points.weight
        if x.ndim != 2 or x.shape[1] != sampler.domain.dimension or not 1 <= len(x) <= count:
            yield f"x has shape {tuple(x.shape)}; expected at most ({count}, {sampler.domain.dimension})"
            return
        if weight.shape != x.shape[:1]:
            yield f"weight has shape {tuple(weight.shape)}; expected ({len(x)},)"
            return
        if x.dtype != torch.float64 or weight.dtype != torch.float64:
            yield f"x is {x.dtype} and weight {weight.dtype}; expected float64"
        if x.requires_grad or weight.requires_grad:
            yield "points carry a graph"
        if not bool(sampler.domain.contains(x).all()):
            yield f"{int((~sampler.domain.contains(x)).sum())} of {len(x)} points lie outside the domain"
        if not (bool((weight > 0).all()) and abs(float(weight.mean()) - 1) < 1e-6):
            yield f"weights reach down to {float(weight.min()):.3g} and average {float(weight.mean()):.6g}"


def _repeats(make: Callable[[], Any], residual: Any, n: int, seed: int) -> Iterator[str]:
    if not _equal(_run(make(), residual, n, seed)[-1], _run(make(), residual, n, seed)[-1]):
        yield "two equal samplers with equal generators give different points"


def _resumes(make: Callable[[], Any], residual: Any, n: int, seed: int) -> Iterator[str]:
    from ..learned.checkpoint import load_checkpoint, save_checkpoint

    first = make()
    _run(first, residual, n, seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sampler.safetensors"
        save_checkpoint(path, first.state())
        second = make()
        second.load(load_checkpoint(path))
    for call in range(2):
        rngs = [np.random.default_rng([seed, call]) for _ in range(2)]
        a, b = (s.sample(residual, n, rng) for s, rng in zip((first, second), rngs, strict=True))
        if not _equal(a, b):
            yield "a sampler that took up a saved state gives other points than the one that was saved"
            return


def _residuals(make: Callable[[], Any], residual: Any, n: int, seed: int) -> Iterator[str]:
    import torch

    for name, constant in (("zero", 0.0), ("constant", 1e-200), ("huge constant", 1e100)):
        points = _run(make(), lambda x, c=constant: torch.full_like(x[:, 0], c), n, seed)[-1]
        if not bool(torch.isfinite(points.x).all() & torch.isfinite(points.weight).all()):
            yield f"points or weights are not finite for a {name} residual"

    looked = [False]

    def broken(x: Any) -> Any:
        looked[0] = True
        return torch.full_like(x[:, 0], torch.nan)

    try:
        _run(make(), broken, n, seed)
    except ValueError:
        return
    if looked[0]:
        yield "a residual of NaN is looked at and no ValueError is raised"


def _run(sampler: Any, residual: Any, n: int, seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    sampler.prefit(residual, rng)
    return [sampler.sample(residual, n, rng) for _ in range(CALLS)]


def _equal(a: Any, b: Any) -> bool:
    import torch

    return torch.equal(a.x, b.x) and torch.equal(a.weight, b.weight)


def _peak(domain: Any, seed: int) -> Callable[[Any], Any]:
    import torch

    centre = domain.sample(1, np.random.default_rng(seed))
    width = 0.1 * float((domain.bounds[1] - domain.bounds[0]).max())
    return lambda x: torch.exp(-0.5 * ((x - centre) ** 2).sum(1) / width**2)
