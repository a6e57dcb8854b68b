"""Problems: exact solutions satisfy them, lifts hold their conditions, mistakes are one clear error."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sciml.learned.pinn import PROBLEMS, Ball, Box, Field, Problem, dirichlet, neumann, train_pinn  # noqa: E402
from sciml.learned.pinn.references import allen_cahn_reference, allen_cahn_table, burgers_exact  # noqa: E402

SQUARE = Box([-1, -1], [1, 1])


def derivatives(function, x):
    """What a residual reads, by nested differentiation."""
    x = x.clone().requires_grad_()
    value = function(x)
    (grad,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    rows = [torch.autograd.grad(g.sum(), x, retain_graph=True)[0] for g in grad.unbind(1)]
    hessian = torch.stack(rows, dim=1)
    return SimpleNamespace(
        value=value.detach(), grad=grad.detach(), second=lambda i, j: hessian[:, i, j],
        laplacian=hessian.diagonal(dim1=1, dim2=2).sum(1), largest=float(hessian.abs().max()),
    )  # fmt: skip


@pytest.mark.parametrize("name", sorted(set(PROBLEMS) - {"allen_cahn"}))
def test_exact_solutions_satisfy_their_equations(name, rng):
    problem = PROBLEMS[name]()
    problem.check()
    x = problem.domain.sample(200, rng)
    u = derivatives(problem.exact, x)
    assert float(problem.residual(x, u).abs().max()) < 1e-12 * (1.0 + u.largest)


def test_allen_cahn_reference_satisfies_its_equation(rng):
    """By central differences, as it is a table; away from the start, where a kink is smoothed quickly."""
    x = torch.tensor([-1.0, 0.1], dtype=torch.float64) + torch.tensor([2.0, 0.8]) * torch.from_numpy(
        rng.random((50, 2))
    )
    step = 1e-4

    def u(i, shift):
        moved = x.clone()
        moved[:, i] += shift
        return allen_cahn_reference(moved, 1e-4)

    middle = u(0, 0.0)
    second = (u(0, step) - 2 * middle + u(0, -step)) / step**2
    first = (u(1, step) - u(1, -step)) / (2 * step)
    residual = first - 1e-4 * second - 5 * (middle - middle**3)
    assert float(residual.abs().max()) < 1e-4


def test_allen_cahn_reference_has_converged():
    """In the time step, and in space where the kink of the start has been smoothed."""
    table, _ = allen_cahn_table(1e-4)
    x = np.linspace(-1, 1, 201)
    waves = np.cos(np.pi * np.outer(x + 1, np.arange(table.shape[1])))
    np.testing.assert_allclose(waves @ table[0], x**2 * np.cos(np.pi * x), atol=5e-4)  # the kink rounded off
    finer_time, _ = allen_cahn_table(1e-4, steps=8)
    assert np.abs(table - finer_time).sum(axis=1).max() < 1e-9
    coarser, _ = allen_cahn_table(1e-4, modes=1024)
    change = np.sqrt(((table[:, :512] - coarser) ** 2).sum(axis=1))
    assert change[10:].max() < 1e-9


def test_burgers_quadrature_has_converged(rng):
    x = PROBLEMS["burgers"]().domain.sample(100, rng)
    nu = 0.01 / math.pi
    assert float((burgers_exact(x, nu) - burgers_exact(x, nu, nodes=300)).abs().max()) < 1e-12


LIFTED = [name for name, make in PROBLEMS.items() if make().lift is not None]


@pytest.mark.parametrize("name", LIFTED)
def test_lifts_hold_initial_and_boundary_values(name, rng):
    problem = PROBLEMS[name]()
    field = Field(problem, hidden=(8,))
    with torch.no_grad():
        field.net.theta.normal_()
    x, normals = problem.domain.sample_boundary(300, rng)
    fixed = torch.ones(len(x), dtype=torch.bool)
    if name in ("heat", "wave", "burgers", "allen_cahn"):
        fixed = normals[:, 1] < 0.5  # not the end of time
    if name == "allen_cahn":
        fixed &= normals[:, 0] == 0  # periodic in space
    gap = (field(x[fixed]) - problem.exact(x[fixed])).abs().max()
    assert float(gap) < 1e-12


def test_allen_cahn_is_periodic_with_its_derivative():
    field = Field(PROBLEMS["allen_cahn"](), hidden=(8,))
    with torch.no_grad():
        field.net.theta.normal_()
    t = torch.linspace(0.01, 1, 20, dtype=torch.float64)
    low, high = (field.jet(torch.stack([torch.full_like(t, side), t], dim=1)) for side in (-1.0, 1.0))
    torch.testing.assert_close(low.value, high.value)
    torch.testing.assert_close(low.grad, high.grad)


@pytest.mark.parametrize(("name", "sign"), [("burgers", -1.0), ("allen_cahn", 1.0)])
def test_fields_have_the_parity_of_the_solution(name, sign, rng):
    problem = PROBLEMS[name]()
    field = Field(problem, hidden=(8,))
    with torch.no_grad():
        field.net.theta.normal_()
    x = problem.domain.sample(50, rng)
    mirrored = x * torch.tensor([-1.0, 1.0], dtype=torch.float64)
    for function in (field, problem.exact):
        torch.testing.assert_close(function(mirrored), sign * function(x), rtol=0, atol=1e-12)


def test_channels_are_what_the_residual_reads():
    assert PROBLEMS["nonlinear"]().channels.count == 12  # value, ten first derivatives, one Laplacian
    wave = PROBLEMS["wave"]()
    assert wave.channels.seconds == ((0, 0), (1, 1))
    problem = PROBLEMS["l_shape"]()
    assert problem.channels_of(problem.conditions[0]).count == 1


def test_conditions_on_a_part_of_the_boundary(rng):
    condition = dirichlet(0.0, on=lambda x, normal: normal[:, 0] > 0.5)
    x, normal = condition.sample(SQUARE, rng, 30)
    assert (x[:, 0] == 1).all()
    flux = neumann(lambda x: 2 * x[:, 0])
    u = SimpleNamespace(grad=torch.stack([2 * x[:, 0], x[:, 1]], dim=1))
    torch.testing.assert_close(flux.residual(x, u, normal), torch.zeros(30, dtype=torch.float64))


# -- mistakes -----------------------------------------------------------------------------------
def laplace(**settings):
    settings = {
        "domain": SQUARE,
        "residual": lambda x, u: u.laplacian,
        "conditions": (dirichlet(0.0),),
        **settings,
    }
    return Problem("Laplace", **settings)


MISTAKES = {
    "no conditions": ({"conditions": ()}, "no conditions and no lift"),
    "NaN residual": ({"residual": lambda x, u: u.laplacian - torch.log(x[:, 0])}, "is nan at x = "),
    "residual of one number": ({"residual": lambda x, u: u.laplacian.sum()}, r"gave \(\) for 3 points"),
    "residual is no tensor": ({"residual": lambda x, u: 0.0}, "gave float for 3 points"),
    "axis that does not exist": ({"residual": lambda x, u: u.second(0, 2)}, "expected axes from 0 to 1"),
    "column that does not exist": ({"residual": lambda x, u: u.laplacian - x[:, 2]}, "does not take points"),
    "contradicting conditions": (
        {"conditions": (dirichlet(0.0), dirichlet(1.0, on=lambda x, n: n[:, 0] > 0.5, name="right side"))},
        "contradict each other.*right side",
    ),
    "condition against lift": (
        {"lift": lambda x, N: (1 - x**2).prod(dim=1) * N, "conditions": (dirichlet(1.0),)},
        "contradict each other.*lift",
    ),
    "condition that is NaN": (
        {"conditions": (dirichlet(lambda x: x[:, 0] / 0 * 0),)},
        "not finite on the boundary",
    ),
    "condition of the wrong shape": ({"conditions": (dirichlet(lambda x: x),)}, "has shape"),
    "condition nowhere": (
        {"conditions": (dirichlet(0.0, on=lambda x, n: n[:, 0] > 2),)},
        "no part of the boundary",
    ),
    "empty domain": ({"domain": Ball([0, 0], 1.0) - Ball([0, 0], 2.0)}, "is empty"),
    "residual without the field": ({"residual": lambda x, u: x[:, 0]}, "reads neither u nor its derivatives"),
    "lift without the network": ({"lift": lambda x, N: x[:, 0] + 0 * N}, "whatever the network does"),
    "lift of the wrong shape": ({"lift": lambda x, N: x}, "lift of Laplace gave"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_one_clear_error_before_training(name):
    settings, sentence = MISTAKES[name]
    with pytest.raises(ValueError, match=sentence):
        train_pinn(laplace(**settings), sampler="uniform", steps=1)


def test_things_that_are_no_domain_or_problem():
    with pytest.raises(TypeError, match="expected a Box"):
        laplace(domain=[0, 1])
    with pytest.raises(TypeError, match="expected a Problem"):
        train_pinn("heat")
    with pytest.raises(ValueError, match="weight of the Dirichlet condition is 0"):
        dirichlet(0.0, weight=0)
    with pytest.raises(ValueError, match="points of the Neumann condition is 0"):
        neumann(0.0, points=0)
