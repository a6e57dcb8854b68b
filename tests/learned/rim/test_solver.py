"""Recurrent inference machines keep the contract of every solver, on any operator of any array library."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from libraries import NUMPY, STRICT, TORCH  # noqa: E402

from sciml import CallableOperator, SolverError, Status, as_operator  # noqa: E402
from sciml.backends.namespace import array_namespace, backend_name, dtype_name, norm2, to_numpy  # noqa: E402
from sciml.learned import load  # noqa: E402
from sciml.learned.rim import CIRIM, RIM  # noqa: E402
from sciml.testing import check_solver  # noqa: E402

from .operators import blur, image, masked_fourier  # noqa: E402

STEPS = ("learned", "explicit", "cg")


def small(**settings):
    return RIM(**{"channels": 4, "steps": 3, **settings})


NOT_ITERATED_TO_CONVERGENCE = {
    # A learned solver runs its steps; it starts at Aᴴ y, and solves least squares with matrices of any shape.
    "solution", "history", "atol", "bad_operator", "exact_x0", "layouts", "preconditioner",
    "nonlinear_preconditioner",
}  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("library", [NUMPY, TORCH, STRICT], ids=str)
def test_contract_of_solvers(step, library):
    rim = small(step=step, components=1)

    def solver(A, b, *, x0=None, rtol=0.0, atol=0.0, maxiter=None, callback=None, on_failure="warn"):
        """Flat systems of the checks as rows of pixels."""
        A = as_operator(A)
        flat = len(A.in_shape) == 1
        if isinstance(maxiter, int) and maxiter > 100:
            maxiter = 3  # what the checks allow others that converge
        result = rim(
            A, b, x0=x0, rtol=rtol, atol=atol, maxiter=maxiter, callback=callback, on_failure=on_failure,
            image_shape=(1, A.shape[1]) if flat else None,
        )  # fmt: skip
        return replace(result, x=array_namespace(b).reshape(result.x, (-1,))) if flat else result

    assert check_solver(solver, like=library.array(np.zeros(1)), skip=NOT_ITERATED_TO_CONVERGENCE) == []


@pytest.mark.parametrize("library", [NUMPY, TORCH, STRICT], ids=str)
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_one_reconstruction_in_every_library(library, dtype, rng):
    A = masked_fourier(rng, library=library.library, dtype=dtype)
    y = A @ library.array(image(rng, A.in_shape, dtype))
    result = small(seed=3)(A, y)
    assert (backend_name(result.x), dtype_name(result.x)) == (backend_name(y), dtype)
    assert result.status is Status.FIXED
    reference = small(seed=3)(
        masked_fourier(np.random.default_rng(20240229)), to_numpy(y).astype("complex128")
    )
    np.testing.assert_allclose(to_numpy(result.x), reference.x, atol=2e-5)
    assert result.residual_norm == pytest.approx(norm2(to_numpy(y) - to_numpy(A @ result.x)), rel=1e-4)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("cascades", [1, 2], ids=["rim", "cirim"])
@pytest.mark.parametrize("consistency", ["implicit", "explicit", "cg"])
def test_solving_is_what_training_unrolls(step, cascades, consistency, rng):
    rim = small(step=step, cascades=cascades, consistency=consistency)
    from sciml.learned.rim.bridge import TorchOperator
    from sciml.learned.rim.solver import normal_operator

    A = masked_fourier(rng)
    y = A @ image(rng, A.in_shape)
    back = A.H @ y
    unit = np.abs(back).max()
    with torch.no_grad():
        estimates = rim.module(
            TorchOperator(A, y), TorchOperator(normal_operator(A), y), torch.from_numpy(y / unit),
            torch.from_numpy(back / unit),
        )  # fmt: skip
    assert len(estimates) == 3 * cascades
    seen = []
    result = rim(A, y, callback=lambda state: seen.append(state.x * 1))
    for x, expected in zip(seen, estimates, strict=True):
        np.testing.assert_allclose(x, expected.numpy() * unit, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(result.info["change"], np.abs(seen[-1] - seen[-2]), rtol=1e-10, atol=1e-14)


def silent(rim):
    """Without the network's change: what is left is the physics."""
    with torch.no_grad():
        for block in rim.module.blocks:
            block.network.last.weight.zero_()
    return rim


def test_learned_steps_of_a_silent_network_change_nothing(rng):
    A = masked_fourier(rng)
    y = A @ image(rng, A.in_shape)
    np.testing.assert_allclose(silent(small(step="learned"))(A, y).x, A.H @ y, rtol=1e-12)


def test_explicit_steps_of_a_silent_network_are_gradient_descent(rng):
    A = blur()
    y = A @ image(rng, A.in_shape, "float64")
    x = A.H @ y
    for _ in range(3):
        x = x - A.H @ (A @ x - y)
    found = silent(small(step="explicit", components=1))(A, y).x
    np.testing.assert_allclose(found, x, rtol=1e-10)


def test_cg_steps_of_a_silent_network_are_proximal_point_steps(rng):
    """``x ← x − (N + μ)⁻¹(N x − b)`` tends to the least-squares solution."""
    matrix = rng.standard_normal((40, 24))
    matrix = matrix / np.linalg.norm(matrix, 2)
    y = rng.standard_normal(40)
    rim = silent(small(step="cg", components=1, cg_iterations=30))
    x = rim(matrix, y, image_shape=(4, 6), maxiter=150).x
    np.testing.assert_allclose(x.reshape(-1), np.linalg.lstsq(matrix, y, rcond=None)[0], atol=1e-5)


def test_explicit_consistency_subtracts_the_first_gradient(rng):
    A = blur()
    y = A @ image(rng, A.in_shape, "float64")
    x0 = A.H @ y
    rim = silent(small(step="learned", components=1, consistency="explicit"))
    np.testing.assert_allclose(rim(A, y).x, x0 - A.H @ (A @ x0 - y), rtol=1e-10)


def test_consistency_of_cg_ends_with_a_proximal_point_step(rng):
    matrix = rng.standard_normal((40, 24)) / 9
    y = rng.standard_normal(40)
    x0 = matrix.T @ y
    rim = silent(small(step="learned", components=1, consistency="cg", cg_iterations=40))
    normal = matrix.T @ matrix
    step = np.linalg.solve(normal + 0.3 * np.eye(24), normal @ x0 - x0)
    x = rim(matrix, y, image_shape=(4, 6)).x.reshape(-1)
    np.testing.assert_allclose(x, x0 - step, rtol=1e-6)


def test_consistency_follows_the_step_by_default():
    assert [small(step=step).config["consistency"] for step in STEPS] == ["implicit", "implicit", "cg"]


def test_scale_of_the_data_does_not_matter(rng):
    A, rim = masked_fourier(rng), small()
    y = A @ image(rng, A.in_shape)
    np.testing.assert_allclose(rim(A, 1e6 * y).x, 1e6 * rim(A, y).x, rtol=1e-5)


def test_the_discrepancy_principle_stops_early(rng):
    A = blur()
    y = A @ image(rng, A.in_shape, "float64")
    rim = silent(small(step="explicit", components=1, steps=30))
    full = rim(A, y)
    target = full.residual_history[4] * 1.001
    result = rim(A, y, atol=target)
    assert (result.status, result.iterations) == (Status.CONVERGED, 4)
    assert result.residual_norm <= target


def test_chi_squared_of_the_truth_is_one(rng):
    A = masked_fourier(rng, (40, 40))
    x = image(rng, A.in_shape)
    noise = 0.05 * image(rng, A.in_shape) / np.sqrt(2)
    y = A @ x + A.mask * noise
    result = silent(small(step="learned"))(A, y, x0=x, noise=0.05)
    assert result.info["chi2"] == pytest.approx(1.0, abs=0.15)
    wrong = silent(small(step="learned"))(A, y, x0=1.2 * x, noise=0.05)
    assert wrong.info["chi2"] > 5


def test_several_data_sets_are_columns(rng):
    A, rim = masked_fourier(rng), small(step="learned")
    Y = np.stack([(A @ image(rng, A.in_shape)).reshape(-1) for _ in range(2)], axis=1)
    result = rim(A, Y, noise=0.1)
    for j in range(2):
        single = rim(A, Y[:, j], noise=0.1)
        np.testing.assert_allclose(result.x[:, j], single.x)
        assert result.columns[j].info["chi2"] == pytest.approx(single.info["chi2"])


def test_a_batch_of_images(rng):
    batch = CallableOperator(
        lambda x: np.fft.fft2(x, norm="ortho"), (2, 8, 6), adjoint=lambda y: np.fft.ifft2(y, norm="ortho"),
        dtype="complex128", properties={"linear"},
    )  # fmt: skip
    single = CallableOperator(
        batch._function, (8, 6), adjoint=batch._adjoint, dtype="complex128", properties={"linear"}
    )
    y = batch @ image(rng, (2, 8, 6))
    y[1] *= np.abs(single.H @ y[0]).max() / np.abs(single.H @ y[1]).max()  # one unit for both
    rim = small(step="explicit")
    whole = rim(batch, y).x
    for i in range(2):
        np.testing.assert_allclose(whole[i], rim(single, y[i]).x, rtol=1e-5, atol=1e-6)


def test_flat_data_give_flat_images(rng):
    A, rim = masked_fourier(rng), small()
    y = A @ image(rng, A.in_shape)
    natural, flat = rim(A, y).x, rim(A, y.reshape(-1)).x
    np.testing.assert_allclose(flat.reshape(A.in_shape), natural, rtol=1e-12)


def test_operators_of_other_libraries(rng):
    pylops = pytest.importorskip("pylops")
    smooth = pylops.Smoothing2D((3, 3), dims=(8, 8), dtype="float64")
    y = smooth.matvec(rng.standard_normal(64))
    result = small(components=1)(smooth, y, image_shape=(8, 8))
    assert result.x.shape == (8, 8)
    assert result.residual_norm == pytest.approx(norm2(y - smooth.matvec(result.x.reshape(-1))))


def test_operators_are_applied_as_often_as_reported(rng):
    matrix, count = image(rng, (30, 24)) / 10, [0]

    def counted(apply):
        def function(x):
            count[0] += 1
            return apply(x)

        return function

    A = CallableOperator(
        counted(lambda x: matrix @ x), 24, 30, adjoint=counted(lambda y: matrix.conj().T @ y),
        dtype="complex128", properties={"linear"},
    )  # fmt: skip
    result = small()(A, image(rng, (30,)), image_shape=(4, 6))
    assert result.matvecs == count[0]


def test_weights_come_back(tmp_path, rng):
    A = masked_fourier(rng)
    y = A @ image(rng, A.in_shape)
    for rim in (
        small(),
        small(cell="gru", step="explicit"),
        CIRIM(channels=4, steps=2, consistency="explicit"),
        CIRIM(channels=4, steps=2, consistency="cg", cg_iterations=3),
    ):
        again = load(rim.save(tmp_path / "w.safetensors", training={"command": "test"}))
        assert type(again) is type(rim)
        assert again.config == rim.config
        np.testing.assert_array_equal(again(A, y).x, rim(A, y).x)


def test_damaged_weights_are_refused(tmp_path):
    from sciml.learned import load_weights, save_weights

    rim = small()
    state = rim.module.state_dict()
    cut = {name: value for name, value in state.items() if "first.bias" not in name}
    with pytest.raises(ValueError, match=r"lacks the tensor 'blocks.0.network.first.bias'"):
        load(save_weights(tmp_path / "a.safetensors", "rim", cut, config=rim.config))
    with pytest.raises(ValueError, match=r"not the settings of a RIM .*cell is 'lstm'"):
        load(save_weights(tmp_path / "b.safetensors", "rim", state, config={**rim.config, "cell": "lstm"}))
    with pytest.raises(ValueError, match=r"not the settings of a RIM .*depth"):
        load(save_weights(tmp_path / "c.safetensors", "rim", state, config={**rim.config, "depth": 2}))
    with pytest.raises(ValueError, match=r"channels is 1000000; expected at most 1024"):
        load(save_weights(tmp_path / "e.safetensors", "rim", state, config={**rim.config, "channels": 10**6}))
    # Within the limits, but gigabytes: refused by the shapes alone.
    with pytest.raises(ValueError, match=r"expected \(1024, "):
        load(save_weights(tmp_path / "f.safetensors", "rim", state, config={**rim.config, "channels": 1024}))
    assert load_weights(rim.save(tmp_path / "d.safetensors")).config == rim.config


def test_weights_depend_on_the_seed_and_leave_the_callers_numbers_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second, other = small(seed=1), small(seed=1), small(seed=2)
    assert torch.equal(torch.rand(1), expected)
    weight = "blocks.0.network.first.weight"
    assert torch.equal(first.module.state_dict()[weight], second.module.state_dict()[weight])
    assert not torch.equal(first.module.state_dict()[weight], other.module.state_dict()[weight])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"cell": "lstm"}, "cell is 'lstm'; expected one of gru, mgu, indrnn"),
        ({"step": "newton"}, "step is 'newton'; expected one of learned, explicit, cg"),
        ({"consistency": "hard"}, "consistency is 'hard'; expected one of implicit, explicit, cg"),
        ({"step": "learned", "cg_iterations": 3}, "cg_iterations is given, but step is 'learned'"),
        ({"channels": 0}, "channels is 0; expected a positive integer"),
        ({"steps": 2.0}, r"steps is 2\.0; expected a positive integer"),
        ({"cascades": True}, "cascades is True"),
        ({"recurrent_kernel": 2}, "recurrent_kernel is 2; expected an odd positive integer"),
        ({"components": 3}, "components is 3; expected 1"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_bad_settings(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        RIM(**settings)


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"A": np.eye(9, dtype=complex)}, ValueError, r"acts on arrays of shape \(9,\); expected images"),
        (
            {"image_shape": (5, 5)},
            ValueError,
            r"image_shape is \(5, 5\); expected .* with 9 pixels",
        ),
        ({"A": CallableOperator(abs, (3, 3))}, TypeError, "A .* does not declare itself linear"),
        ({"y": [1.0] * 9}, TypeError, "b is a list; expected an array"),
        ({"y": np.full((3, 3), np.nan + 0j)}, ValueError, "not finite"),
        ({"y": np.ones((3, 4), complex)}, ValueError, r"b has shape \(3, 4\)"),
        ({"noise": 0.0}, ValueError, r"noise is 0\.0; expected a positive"),
        ({"maxiter": -1}, ValueError, "maxiter is -1"),
        ({"M": None}, TypeError, "M"),
        (
            {"A": blur((3, 3)), "y": np.ones((3, 3))},
            TypeError,
            "for complex images .* A and b are real",
        ),
    ],
    ids=["flat", "image-shape", "not-linear", "list", "nan", "shape", "noise", "maxiter", "unknown", "real"],
)
def test_bad_calls(change, error, sentence, rng):
    arguments = {"A": masked_fourier(rng, (3, 3)), "y": np.ones((3, 3), complex), **change}
    A, y = arguments.pop("A"), arguments.pop("y")
    with pytest.raises(error, match=sentence):
        small()(A, y, **arguments)


def test_failures_are_reported(rng):
    A = blur()
    y = A @ image(rng, A.in_shape, "float64")
    with pytest.raises(SolverError, match="reached maxiter"):
        small(components=1)(A, y, rtol=1e-12, on_failure="raise")
