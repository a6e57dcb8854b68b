"""Each kind of training for a moment; one that is interrupted ends with the weights of one that was not."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from ..problems import poisson
from ..solvers import splu
from .report import at_most, same
from .run import Checks

__all__ = ["training"]


def training() -> Checks:
    """Each kind of training for a moment; one that is interrupted ends with the same weights."""
    return {"interrupted and resumed": _resumed, "directions": _directions, "physics-informed field": _field,
            "recurrent inference machine": _machine, "weight files": _weight_file}  # fmt: skip


def _resumed() -> list[str]:
    import torch

    from ..learned.gradient import GradientTraining, set_seed
    from ..learned.training import fit, stream

    def train(path: Path, stop_at: int | None) -> np.ndarray:
        set_seed(0)
        line = torch.nn.Linear(3, 1)

        def loss(step: int) -> torch.Tensor:
            x = torch.as_tensor(stream(0, step).standard_normal((8, 3)), dtype=torch.float32)
            return ((line(x) - 1) ** 2).mean()

        trainable = GradientTraining(line, loss, steps=12, lr=0.05)
        fit(trainable, steps=12, checkpoint=path, progress=False,
            callback=lambda step, values: stop_at is not None and step >= stop_at)  # fmt: skip
        return line.weight.detach().numpy().copy()

    with tempfile.TemporaryDirectory() as folder:
        whole = train(Path(folder) / "whole.safetensors", None)
        train(Path(folder) / "parts.safetensors", 5)
        parts = train(Path(folder) / "parts.safetensors", None)
    return [] if np.array_equal(whole, parts) else ["the weights differ from those of an uninterrupted run"]


def _directions() -> list[str]:
    from ..learned.dcd import dcd, train_dcd

    problem = poisson((8, 8))
    network, history = train_dcd(problem.A, steps=3, batch=2, progress=False)
    # Hardly trained, the network proposes poor directions; conjugation never lets the error grow.
    result = dcd(problem.A, problem.b, network, rtol=1e-6, maxiter=20, on_failure="ignore")
    exact = splu(problem.A, problem.b).x
    energy = float(np.vdot(exact - result.x, problem.A @ (exact - result.x)) / np.vdot(exact, problem.b))
    return [
        *at_most("steps that are missing", 3 - history.steps, 0),
        *at_most("the energy of the error over that of zero", energy, 1.0),
    ]


def _field() -> list[str]:
    from ..learned.pinn import PROBLEMS, train_pinn

    problem = PROBLEMS["poisson"](dimension=1)
    _, history = train_pinn(problem, sampler="sobol", optimizer="lm", steps=8, points=200, progress=False)
    return at_most("the loss after eight steps over the first", history.loss[-1] / history.loss[0], 1e-4)


def _machine() -> list[str]:
    from ..learned.rim import RIM

    result = RIM(channels=4, steps=2)(
        np.eye(64, dtype=complex), np.ones(64, dtype=complex), image_shape=(8, 8)
    )
    finite = bool(np.isfinite(result.x).all())
    return [] if finite and result.x.shape == (8, 8) else [f"x of shape {result.x.shape}, finite: {finite}"]


def _weight_file() -> list[str]:
    from ..learned import load
    from ..learned.dcd import DCDNetwork, DirectionNet

    network = DCDNetwork(DirectionNet(2, channels=2, levels=1, before=2, bottom=1, after=1), (8, 8))
    r = np.random.default_rng(0).standard_normal((8, 8))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "w.safetensors"
        network.save(path, training={"seed": 0})
        again = load(path)
        sentences = same("the network that was loaded", again(r), network(r), 0.0)
        path.write_bytes(path.read_bytes()[:-40])
        try:
            load(path)
        except ValueError:
            return sentences
    return [*sentences, "a truncated file was loaded; expected a ValueError"]
