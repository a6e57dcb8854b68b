"""Weight files that ship with the package: they load, and do what they were made for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from ..problems import poisson
from ..solvers import cg
from ..testing import check_preconditioner
from ..weights import load_weights, shipped, shipped_names
from .report import at_least, at_most
from .run import Check, Checks

__all__ = ["multigrid", "networks"]


def multigrid() -> Checks:
    """Learned multigrid needs no torch: every file of its kind, on grids in two and three dimensions."""
    checks: dict[str, Check] = {}
    for name in _of_kind("multigrid"):
        checks[f"{name}: header and numbers"] = partial(_sound, name)
        for shape in ((24, 20), (16, 12, 14)):
            label = "x".join(map(str, shape))
            checks[f"{name}: contract on {label}"] = partial(_contract, name, shape)
        checks[f"{name}: iterations beside multigrid's"] = partial(_beside_multigrid, name)
    return checks


def networks() -> Checks:
    """Every other file: it can be loaded and used; the known ones reach what they were trained for."""
    judges: dict[str, Callable[[str], list[str]]] = {"dcd": _half_of_cg, "rim": _better_than_cg_sense}
    checks: dict[str, Check] = {}
    for name in shipped_names():
        kind = load_weights(shipped(name)).kind
        if kind == "multigrid":
            continue
        checks[f"{name}: header and numbers"] = partial(_sound, name)
        checks[f"{name}: loads"] = partial(_loads, name)
        if kind in judges:
            checks[f"{name}: does its work"] = partial(judges[kind], name)
    return checks


def _of_kind(kind: str) -> list[str]:
    return [name for name in shipped_names() if load_weights(shipped(name)).kind == kind]


def _sound(name: str) -> list[str]:
    weights = load_weights(shipped(name))
    sentences = [
        f"the tensor {key!r} holds NaN or infinity"
        for key, tensor in weights.tensors.items()
        if not np.isfinite(tensor).all()
    ]
    if not str(weights.training.get("command", "")).startswith("sciml train"):
        sentences.append("the header does not say by which command it was made")
    return sentences


def _loads(name: str) -> list[str]:
    from ..learned import load

    load(name)  # raises where something does not fit
    return []


def _contract(name: str, shape: tuple[int, ...]) -> list[str]:
    from ..preconditioners import LearnedMultigrid

    problem = poisson(shape, obstacles="boxes")
    M = LearnedMultigrid(problem.A, weights=shipped(name))
    return check_preconditioner(M, problem.A, raise_on_failure=False)


def _beside_multigrid(name: str) -> list[str]:
    """Members are chosen for time, not for iterations; yet none needs many more than the default."""
    from ..preconditioners import LearnedMultigrid, Multigrid

    problem = poisson((32, 32, 32), obstacles="balls")
    counts = [
        cg(problem.A, problem.b, M=M, rtol=1e-6, on_failure="raise").iterations
        for M in (LearnedMultigrid(problem.A, weights=shipped(name)), Multigrid(problem.A))
    ]
    return at_most("iterations with the learned parameters", counts[0], 1.5 * counts[1])


def _half_of_cg(name: str) -> list[str]:
    from ..learned import load
    from ..learned.dcd import dcd

    network = load(name)
    problem = poisson(network.in_shape, bc="open-top", obstacles="balls", seed=31)
    allowed = cg(problem.A, problem.b, rtol=1e-4).iterations // 2
    result = dcd(problem.A, problem.b, network, rtol=1e-4, maxiter=allowed, on_failure="ignore")
    return [] if result.converged else [f"{result.summary()}; expected half of the iterations of cg to do"]


def _better_than_cg_sense(name: str) -> list[str]:
    """On a scan of the validation set, in decibels."""
    from ..backends.namespace import to_numpy
    from ..learned import load
    from ..problems.mri import cg_sense, load_slices, psnr, sampling_mask, simulate

    head = load_slices("validation").images[5]
    scan = simulate(head, sampling_mask("gaussian2d", (128, 128), 4), noise=0.01, seed=0)
    moved, image = scan.to("torch"), np.asarray(scan.image)
    ours = psnr(to_numpy(load(name)(moved.A, moved.y).x), image)
    theirs = max(psnr(cg_sense(scan.A, scan.y, mu=mu).x, image) for mu in (1e-3, 1e-2))
    return at_least("the signal-to-noise ratio over that of CG-SENSE, in dB", ours - theirs, 0.5)
