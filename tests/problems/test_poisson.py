"""Ready-made systems: right-hand sides, boundary conditions, exact solutions, errors."""

import numpy as np
import pytest

from sciml import cg
from sciml.problems import Problem, anisotropic, heat, jump_coefficient, open_top, poisson

MIXED = [("dirichlet", "neumann"), "periodic"]


def test_problem_is_a_function_of_its_seed():
    one, two, other = (poisson((12, 12, 12), obstacles="balls", seed=s) for s in (0, 0, 1))
    assert np.array_equal(one.b, two.b)
    assert np.array_equal(one.mask, two.mask)
    assert not np.array_equal(one.b, other.b)


def test_default_sides():
    assert poisson((6, 5)).A.bc == (("dirichlet", "dirichlet"),) * 2
    assert list(poisson((6, 5), obstacles="boxes").A.bc) == open_top(2)
    assert list(poisson((6, 5), bc="open-top").A.bc) == open_top(2)


def test_rhs_is_zero_where_there_is_no_unknown():
    problem = poisson((24, 24, 24), obstacles="porous")
    assert problem.mask.any()
    assert not problem.b[problem.mask].any()
    assert np.all(problem.b[~problem.mask] != 0)


def test_random_rhs_is_standard_normal():
    b = poisson((64, 64)).b
    assert abs(b.mean()) < 0.05
    assert abs(b.std() - 1) < 0.05


def test_smooth_rhs_is_resolved():
    coarse, fine = (poisson((n, n), rhs="smooth").b for n in (32, 64))
    averaged = fine.reshape(32, 2, 32, 2).mean(axis=(1, 3))
    assert np.abs(averaged - coarse).max() < 0.02 * np.abs(fine).max()


def test_enclosed_fluid_is_filled_and_said_so():
    problem = poisson((96, 96), obstacles="porous", seed=0)
    assert problem.A.singular is None
    assert any("filled" in note for note in problem.notes)


def test_closed_box_keeps_its_largest_region_and_a_compatible_rhs():
    problem = poisson((48, 48), obstacles="porous", bc="neumann")
    assert problem.A.singular.count == 1
    assert abs(problem.b.sum()) < 1e-9 * np.abs(problem.b).sum()
    assert cg(problem.A, problem.b, rtol=1e-6, on_failure="raise").converged


def test_given_mask_is_used_as_it_is():
    mask = np.zeros((10, 10), dtype=bool)
    mask[4:7, 4:7] = True
    mask[5, 5] = False  # an enclosed pocket
    problem = poisson((10, 10), obstacles=mask)
    assert np.array_equal(problem.mask, mask)
    assert problem.unknowns == 91
    assert problem.b[5, 5] == 0


@pytest.mark.parametrize("bc", ["dirichlet", "neumann", "periodic", "open-top", MIXED], ids=str)
@pytest.mark.parametrize("make", [poisson, lambda shape, **k: heat(shape, 0.1, **k)], ids=["poisson", "heat"])
def test_manufactured_solution_is_reached_to_second_order(make, bc):
    errors = []
    for n in (16, 32):
        problem = make((n, n), bc=bc, rhs="manufactured")
        errors.append(problem.error(cg(problem.A, problem.b, rtol=1e-10, on_failure="raise").x))
    assert errors[1] < 0.05
    assert 1.85 < np.log2(errors[0] / errors[1]) < 2.2


@pytest.mark.parametrize(
    "problem",
    [
        poisson((20, 20), obstacles="balls", rhs="manufactured"),
        poisson((20, 20), obstacles="porous", bc="neumann", rhs="manufactured"),
        jump_coefficient((16, 16), contrast=100.0, rhs="manufactured"),
    ],
    ids=["balls", "closed porous", "jumps"],
)
def test_discrete_exact_solution_where_there_is_no_closed_form(problem):
    assert any("discrete" in note for note in problem.notes)
    assert problem.error(cg(problem.A, problem.b, rtol=1e-12, on_failure="ignore").x) < 1e-8


def test_heat_step_damps_the_old_state():
    problem = heat((24, 24), dt=1e-3, kappa=2.0, bc="neumann", rhs="smooth")
    old = problem.b / 500.0
    new = cg(problem.A, problem.b, rtol=1e-10).x
    assert new.sum() == pytest.approx(old.sum())  # closed sides keep the heat
    assert 0 < new.max() < old.max()


def test_anisotropic_operator_has_the_stated_coefficients():
    A = anisotropic((4, 4), epsilon=0.01, bc="neumann").A.tocsr().toarray()
    assert A[0, 1] == pytest.approx(0.01 * A[0, 4])


@pytest.mark.parametrize(("pattern", "values"), [("checkerboard", 2), ("layers", 2), ("balls", 2)])
def test_jump_coefficient_takes_two_values(pattern, values):
    problem = jump_coefficient((32, 32), contrast=1e3, pattern=pattern, bc="neumann")
    entries = -problem.A.tocsr().tolil().toarray()[0:1024, 0:1024]
    off = np.unique(np.round(entries[entries > 0] / 32**2, 6))
    assert off.min() == pytest.approx(1.0)
    assert off.max() == pytest.approx(1e3)
    assert len(off) <= values + 1  # the harmonic mean on faces between


@pytest.mark.parametrize("backend", ["torch", "array-api-strict"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_other_backends_hold_the_same_numbers(backend, dtype):
    pytest.importorskip(backend.replace("-", "_"))
    ours = poisson((8, 8), rhs="manufactured", dtype=dtype)
    theirs = poisson((8, 8), rhs="manufactured", dtype=dtype, backend=backend)
    assert str(theirs.b.dtype).endswith(dtype)
    for name in ("b", "exact"):
        values = [[float(getattr(theirs, name)[i, j]) for j in range(8)] for i in range(8)]
        assert np.array_equal(np.array(values, dtype=dtype), getattr(ours, name))
    assert theirs.error(theirs.exact) == 0.0


def test_lengths_set_the_spacing():
    assert poisson((8, 4), length=2.0).grid.spacing == (0.25, 0.25)
    assert poisson((8, 4), length=(2.0, 3.0)).grid.lengths == (2.0, 3.0)


def test_str_says_what_it_is():
    text = str(poisson((12, 12, 12), obstacles="balls"))
    assert text.startswith("poisson 12x12x12 balls, 1,6")
    assert "dirichlet/neumann sides" in text
    assert "% solid" in text


def test_error_needs_an_exact_solution():
    problem = poisson((4, 4))
    with pytest.raises(ValueError, match="knows no exact solution"):
        problem.error(problem.b)


def test_error_is_relative():
    problem = Problem("p", np.eye(2), np.ones(2), exact=np.array([3.0, 4.0]))
    assert problem.error(np.array([3.0, 9.0])) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": (8,)}, "shape is"),
        ({"shape": (8, 0)}, "shape is"),
        ({"rhs": "noise"}, "rhs is 'noise'; expected one of random, smooth, manufactured"),
        ({"seed": -1}, "seed is -1; expected an integer >= 0"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"length": 0.0}, "length is 0.0"),
        ({"length": (1.0, 2.0, 3.0)}, "length is"),
        ({"obstacles": "stones"}, "obstacles is 'stones'"),
        ({"obstacles": np.ones((3, 3), dtype=bool)}, r"obstacles has shape \(3, 3\)"),
        ({"bc": "robin"}, "bc is 'robin'"),
        ({"backend": "jax"}, "backend is 'jax'"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        poisson(**{"shape": (8, 8), **arguments})


def test_masks_must_be_boolean():
    with pytest.raises(TypeError, match="obstacles has dtype float64; expected a boolean mask"):
        poisson((4, 4), obstacles=np.zeros((4, 4)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: heat((4, 4), dt=0.0), "dt is 0.0"),
        (lambda: heat((4, 4), dt=1.0, kappa=-1.0), "kappa is -1.0"),
        (lambda: anisotropic((4, 4), epsilon=0), "epsilon is 0"),
        (lambda: jump_coefficient((4, 4), contrast=float("nan")), "contrast is nan"),
        (lambda: jump_coefficient((4, 4), pattern="dots"), "pattern is 'dots'"),
    ],
    ids=["dt", "kappa", "epsilon", "contrast", "pattern"],
)
def test_bad_parameters_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
