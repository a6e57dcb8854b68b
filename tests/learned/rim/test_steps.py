"""The preconditioned gradient and the bridge to torch: values and derivatives against references."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from libraries import NUMPY, STRICT, TORCH  # noqa: E402

from sciml import as_operator  # noqa: E402
from sciml.learned.rim.bridge import TorchOperator, from_torch, to_torch  # noqa: E402
from sciml.learned.rim.solver import normal_operator  # noqa: E402
from sciml.learned.rim.steps import CGStep, ExplicitStep, LearnedStep  # noqa: E402
from sciml.testing import check_linear_operator  # noqa: E402

from .operators import blur, image, masked_fourier  # noqa: E402


def dense(rng, n=6, m=9, dtype="complex128"):
    return image(rng, (m, n), dtype) / np.sqrt(m)


@pytest.mark.parametrize("library", [NUMPY, TORCH, STRICT], ids=str)
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_any_operator_is_one_of_torch(library, dtype, rng):
    matrix = dense(rng, dtype=dtype)
    A = as_operator(library.array(matrix))
    bridged = TorchOperator(A, library.array(np.zeros(1, dtype)))
    assert check_linear_operator(bridged, like=torch.zeros(1)) == []
    x = image(rng, (6,), dtype)
    np.testing.assert_allclose((bridged @ torch.from_numpy(x)).numpy(), matrix @ x, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_gradients_pass_any_operator(dtype, rng):
    bridged = TorchOperator(as_operator(dense(rng, dtype=dtype)), np.zeros(1))
    x = torch.from_numpy(image(rng, (6,), dtype)).requires_grad_()
    assert torch.autograd.gradcheck(bridged.matvec, x)
    y = torch.from_numpy(image(rng, (9,), dtype)).requires_grad_()
    assert torch.autograd.gradcheck(bridged.rmatvec, y)
    assert torch.autograd.gradgradcheck(lambda v: bridged.matvec(v).abs().square(), x)


def test_arrays_share_memory_both_ways(rng):
    x = rng.standard_normal((3, 4))
    tensor = to_torch(x)
    tensor[0, 0] = 7.0
    assert x[0, 0] == 7.0
    assert np.shares_memory(from_torch(tensor, np), x)
    x.flags.writeable = False
    to_torch(x)[0, 0] = 8.0
    assert x[0, 0] == 7.0


def test_lazy_conjugates_arrive_as_values():
    x = torch.tensor([1 + 2j]).conj()
    assert from_torch(x, np)[0] == 1 - 2j


@pytest.mark.parametrize("make", [masked_fourier, lambda rng: blur()], ids=["fourier", "blur"])
def test_preconditioned_direction_solves_the_damped_system(make, rng):
    A = make(rng)
    g = image(rng, A.in_shape, A.dtype.name)
    normal = TorchOperator(normal_operator(A), g)
    step = CGStep(2, iterations=60, mu=0.3)
    z = step.direction(torch.from_numpy(g), normal).detach().numpy()
    np.testing.assert_allclose(A.rmatvec(A.matvec(z)) + 0.3 * z, g, atol=1e-6)


def test_few_iterations_are_those_of_cg(rng):
    from sciml import cg

    matrix = dense(rng, dtype="float64")
    A = as_operator(matrix)
    g = rng.standard_normal(6)
    normal = TorchOperator(normal_operator(A), g)
    found = CGStep(1, iterations=2, mu=0.5).direction(torch.from_numpy(g), normal).detach().numpy()
    expected = cg(matrix.T @ matrix + 0.5 * np.eye(6), g, rtol=0, atol=0, maxiter=2).x
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_derivatives_of_the_solve(dtype, rng):
    """With respect to the gradient it is applied to and to μ, against finite differences."""
    normal = TorchOperator(normal_operator(as_operator(dense(rng, dtype=dtype))), np.zeros(1))
    step = CGStep(1, iterations=30, mu=0.2).double()
    g = torch.from_numpy(image(rng, (6,), dtype)).requires_grad_()

    def solve(log_mu, g):
        return torch.func.functional_call(step, {"log_mu": log_mu}, (g,), strict=False)

    step.forward = lambda g: step.direction(g, normal)
    assert torch.autograd.gradcheck(solve, (step.log_mu, g), atol=1e-5)


def test_a_solve_cut_short_has_a_gradient_close_to_that_of_finite_differences(rng):
    """Implicit differentiation is inexact after four iterations; it must still point the same way."""
    A = masked_fourier(rng)
    # An ill-conditioned operator: with the mask alone, two iterations are exact.
    scale = torch.from_numpy(rng.uniform(0.3, 1.0, A.in_shape))

    class Scaled(type(A)):
        def _apply(self, x):
            return super()._apply(scale * x)

        def _apply_adjoint(self, y):
            return scale * super()._apply_adjoint(y)

    B = Scaled(torch.from_numpy(A.mask))
    normal = TorchOperator(normal_operator(B), torch.zeros(1))
    step = CGStep(1, iterations=4, mu=0.1).double()
    g = torch.from_numpy(image(rng, A.in_shape)).requires_grad_()
    target = torch.from_numpy(image(rng, A.in_shape))

    def value(v):
        return (step.direction(v, normal) - target).abs().square().sum()

    value(g).backward()
    directions = [torch.from_numpy(image(rng, A.in_shape)) for _ in range(12)]
    with torch.no_grad():
        numeric = [float(value(g + 1e-5 * d) - value(g - 1e-5 * d)) / 2e-5 for d in directions]
    found = [float((g.grad.conj() * d).real.sum()) for d in directions]
    assert np.corrcoef(numeric, found)[0, 1] > 0.99


def test_step_lengths(rng):
    g = torch.ones(3)
    assert LearnedStep(4).length(2) == 0.0
    assert LearnedStep(4).direction(g, None) is g
    step = ExplicitStep(4)
    with torch.no_grad():
        step.lengths.copy_(torch.arange(4.0))
        assert [float(step.length(t)) for t in (0, 3, 9)] == [0.0, 3.0, 3.0]
