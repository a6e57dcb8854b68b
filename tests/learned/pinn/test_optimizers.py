"""Optimisers: derivatives of the objective, known minima, restart from a state, values not finite."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from sciml.learned.pinn import MLP, OPTIMIZERS, PROBLEMS  # noqa: E402
from sciml.learned.pinn.objective import Objective  # noqa: E402
from sciml.learned.pinn.optimizers import LBFGS, Adam, LevenbergMarquardt, SelfScaledBroyden  # noqa: E402
from sciml.learned.pinn.samplers import Points  # noqa: E402


def objective(n=60, hidden=(6,), name="l_shape", seed=0):
    """A small objective with soft conditions, and random weights of points and network."""
    problem, rng = PROBLEMS[name](), np.random.default_rng(seed)
    low, high = problem.domain.bounds
    net = MLP(low.tolist(), high.tolist(), hidden=hidden, periodic=problem.periodic, seed=seed)
    with torch.no_grad():
        net.theta += 0.3 * torch.from_numpy(rng.standard_normal(net.size))
    points = Points(problem.domain.sample(n, rng), torch.from_numpy(0.5 + rng.random(n)))
    boundary = [c.sample(problem.domain, rng, n // 2) for c in problem.conditions]
    return Objective(problem, net, points, boundary)


@pytest.fixture(params=["l_shape", "burgers", "nonlinear", "allen_cahn"])
def any_objective(request):
    return objective(name=request.param)


# -- the objective ------------------------------------------------------------------------------
def test_value_is_the_weighted_mean_of_squares():
    made = objective()
    points, (x, _) = made.terms[0], (made.terms[1].x, None)
    u = made.net.jet(points.x, made.problem.channels)
    weight = points.scale**2 * len(points.x)
    gap = made.net(x) - made.problem.exact(x)
    expected = ((weight * u.laplacian**2).mean() + 100 * (gap**2).mean()).detach()
    assert made.value() == pytest.approx(float(expected), rel=1e-12)
    assert made.residuals == 90


def test_derivatives_agree_with_each_other_and_with_differences(any_objective):
    made = any_objective
    loss, gradient = made.gradient()
    blocks = list(made.jacobian())
    r, rows = (torch.cat([block[i] for block in blocks]) for i in (0, 1))
    torch.testing.assert_close(made.vector(), r)
    assert loss == pytest.approx(made.value(), rel=1e-12)
    torch.testing.assert_close(2 * rows.T @ r, gradient, rtol=1e-10, atol=1e-10 * float(gradient.abs().max()))
    torch.testing.assert_close(
        made.pullback(r), gradient / 2, rtol=1e-10, atol=1e-10 * float(gradient.abs().max())
    )
    start, step = made.theta.clone(), 1e-5
    direction = torch.randn_like(start)
    made.move(start + step * direction)
    ahead = made.vector()
    made.move(start - step * direction)
    slope = (ahead - made.vector()) / (2 * step)
    torch.testing.assert_close(slope, rows @ direction, rtol=1e-4, atol=1e-5 * float(r.abs().max() + 1))


# -- all optimisers -----------------------------------------------------------------------------
@pytest.fixture(params=OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def kind(request):
    return request.param


def run(optimizer, made, steps):
    return [optimizer.step(made, i, steps)["loss"] for i in range(steps)]


def test_loss_falls(kind):
    made = objective()
    before = made.value()
    losses = run(kind(), made, 5 if kind is LBFGS else 25)
    assert losses[-1] < 0.9 * before
    assert made.value() == pytest.approx(losses[-1], rel=0.1)


def test_a_state_taken_up_goes_on_exactly(kind, tmp_path):
    """Through a checkpoint's NumPy arrays, in a fresh optimiser."""
    from sciml.learned.checkpoint import load_checkpoint, save_checkpoint

    whole, parts = objective(), objective()
    optimizer = kind()
    expected = [optimizer.step(whole, i, 6)["loss"] for i in range(6)]
    first = kind()
    found = [first.step(parts, i, 6)["loss"] for i in range(3)]
    save_checkpoint(tmp_path / "o.safetensors", first.state())
    second = kind()
    second.load(load_checkpoint(tmp_path / "o.safetensors"))
    found += [second.step(parts, i, 6)["loss"] for i in range(3, 6)]
    assert found == expected
    assert torch.equal(whole.theta, parts.theta)


def test_values_that_are_not_finite_change_nothing(kind):
    made = objective()
    with torch.no_grad():
        made.net.theta[0] = math.nan
    before = made.theta.clone()
    assert not math.isfinite(kind().step(made, 0, 5)["loss"])
    assert torch.equal(made.theta.nan_to_num(7.0), before.nan_to_num(7.0))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Adam(lr=0), "lr is 0"),
        (lambda: LevenbergMarquardt(damping=-1), "damping is -1"),
        (lambda: LBFGS(iterations=0), "iterations is 0"),
        (lambda: LBFGS(memory=1.5), "memory is 1.5"),
    ],
)
def test_settings_are_checked(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


# -- Levenberg–Marquardt ------------------------------------------------------------------------
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 100), damping=st.floats(1e-8, 1e2), n=st.sampled_from([20, 200]))
def test_step_solves_the_damped_normal_equations(seed, damping, n):
    """With fewer residuals than parameters by Woodbury's identity."""
    from sciml.learned.pinn.optimizers.levenberg_marquardt import _System

    made = objective(n=n, hidden=(12,), seed=seed)
    assert (made.residuals < made.net.size) == (n == 20)
    system = _System(made)
    rows = np.concatenate([block[1].numpy() for block in made.jacobian()])
    D = (rows**2).sum(axis=0)
    matrix = rows.T @ rows + damping * np.diag(D + D.mean())
    for r in (system.r, torch.cos(system.r)):
        expected = -np.linalg.solve(matrix, rows.T @ r.numpy())
        found = system.step(system.factor(damping), None if r is system.r else r)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


def test_levenberg_marquardt_never_goes_up():
    made = objective(n=200, hidden=(10, 10))
    losses = run(LevenbergMarquardt(), made, 20)
    assert all(after <= before for before, after in itertools.pairwise(losses))
    assert losses[-1] < 1e-2 * losses[0]


def test_damping_goes_on_rising_where_one_step_was_not_enough(monkeypatch):
    """Fresh points far from the model's reach: sixteen dampings fail, the seventeenth does not."""
    made, optimizer, tried = objective(), LevenbergMarquardt(damping=1e-9), []
    real = LevenbergMarquardt._try

    def attempt(self, system, start):
        tried.append(self.damping)
        return real(self, system, start) if self.damping > 1.0 else (math.nan, 0.0)

    monkeypatch.setattr(LevenbergMarquardt, "_try", attempt)
    first = optimizer.step(made, 0, 10)["loss"]
    assert first == pytest.approx(made.value())
    assert optimizer.step(made, 1, 10)["loss"] < first
    np.testing.assert_allclose(tried, 1e-9 * 4.0 ** np.arange(len(tried)))


def test_damping_that_rose_in_vain_comes_back_with_fresh_points(monkeypatch):
    optimizer = LevenbergMarquardt(damping=1e-9)
    monkeypatch.setattr(LevenbergMarquardt, "_try", lambda self, system, start: (math.nan, 0.0))
    for index in range(3):
        optimizer.step(objective(), index, 10)
    again = LevenbergMarquardt()
    again.load(optimizer.state())
    for one in (optimizer, again):
        assert one.damping > 1e3
        one.resampled()
        assert one.damping == 1e-9


# -- quasi-Newton -------------------------------------------------------------------------------
class Quadratic:
    """``(θ − 1)ᵀ A (θ − 1)`` in the place of an objective."""

    def __init__(self, A):
        self.A, self.net = A, torch.nn.Linear(1, 1)
        self.net.theta = torch.nn.Parameter(torch.zeros(len(A), dtype=torch.float64))

    theta = property(lambda self: self.net.theta.detach())

    def move(self, theta):
        with torch.no_grad():
            self.net.theta.copy_(theta)

    def value(self):
        return self.gradient()[0]

    def gradient(self):
        e = self.theta - 1
        return float(e @ self.A @ e), 2 * self.A @ e


@pytest.mark.parametrize("name", ["ssbfgs", "ssbroyden"])
def test_quasi_newton_solves_a_quadratic_and_learns_its_inverse(name):
    n = 8
    basis = np.linalg.qr(np.random.default_rng(1).standard_normal((n, n)))[0]
    A = torch.from_numpy(basis @ np.diag(np.logspace(0, 3, n)) @ basis.T)
    made, optimizer = Quadratic(A), OPTIMIZERS[name]()
    while made.value() > 1e-14:
        optimizer.step(made, 0, 1)
    torch.testing.assert_close(made.theta, torch.ones(n, dtype=torch.float64), rtol=0, atol=1e-6)
    # Symmetric; only the upper triangle is kept up to date.
    inverse = optimizer.state()["inverse"]
    inverse = np.triu(inverse) + np.triu(inverse, 1).T
    assert np.linalg.eigvalsh(inverse)[0] > 0


def test_self_scaled_broyden_beats_unscaled_steps_of_the_gradient():
    made = objective(n=200, hidden=(10,))
    plain = objective(n=200, hidden=(10,))
    losses = run(SelfScaledBroyden(), made, 60)
    run(Adam(), plain, 60)
    assert losses[-1] < 0.5 * plain.value()
