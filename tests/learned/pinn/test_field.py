"""Fields: values in both libraries, files, grids, and the start they give to grid solvers."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sciml import cg, multigrid  # noqa: E402
from sciml import problems as grids  # noqa: E402
from sciml.learned import load, load_weights, save_weights  # noqa: E402
from sciml.learned.pinn import PROBLEMS, Box, Field, Problem, train_pinn  # noqa: E402

MINE = Problem(
    "mine", Box([0], [1]), lambda x, u: u.laplacian - 1, lift=lambda x, N: x[:, 0] * (1 - x[:, 0]) * N
)


@pytest.fixture(scope="module")
def trained():
    """Poisson in 2-D, to about 1e-5."""
    problem = PROBLEMS["poisson"]()
    field = Field(problem, hidden=(12, 12))
    return train_pinn(problem, sampler="uniform", optimizer="lm", field=field, steps=25, points=800)[0]


def test_values_come_in_the_library_of_the_points(trained, rng):
    x = rng.random((4, 3, 2))
    values = trained(x)
    assert isinstance(values, np.ndarray)
    assert values.shape == (4, 3)
    np.testing.assert_array_equal(trained(torch.from_numpy(x)).numpy(), values)
    with pytest.raises(ValueError, match=r"x has shape \(4, 3\); expected \(\.\.\., 2\)"):
        trained(x[..., 0])


def test_derivatives_and_residual(trained, rng):
    x = torch.from_numpy(rng.random((30, 2)))
    jet = trained.jet(x)
    torch.testing.assert_close(jet.laplacian, jet.second(0, 0) + jet.second(1, 1))
    assert float(trained.residual(x).abs().max()) < 0.05


def test_errors(trained, rng):
    x = torch.from_numpy(rng.random((300, 2)))
    error = trained.error(x)
    assert error["relative"] < 1e-4
    gap = trained(x) - trained.problem.exact(x)
    assert error["max"] == float(gap.abs().max())
    assert error["mse"] == pytest.approx(float((gap**2).mean()))
    with pytest.raises(ValueError, match="knows no exact solution"):
        Field(MINE).error(x[:, :1])


def test_file_gives_the_same_field(trained, tmp_path, rng):
    x = rng.random((20, 2))
    path = trained.save(tmp_path / "field.safetensors", training={"seed": 0})
    np.testing.assert_array_equal(load(path)(x), trained(x))
    assert load_weights(path).training == {"seed": 0}


def test_file_of_ones_own_problem(tmp_path):
    field = Field(MINE, hidden=(6,))
    with torch.no_grad():
        field.net.theta.normal_()
    path = field.save(tmp_path / "mine.safetensors")
    with pytest.raises(ValueError, match=r"pass it as Field\.from_weights"):
        load(path)
    x = np.linspace(0, 1, 9)[:, None]
    np.testing.assert_array_equal(Field.from_weights(path, problem=MINE)(x), field(x))
    with pytest.raises(ValueError, match="dimension 1"):
        Field.from_weights(path, problem=PROBLEMS["poisson"]())


def test_files_that_do_not_fit_are_refused(trained, tmp_path):
    config = {"network": trained.net.settings, "problem": "poisson", "arguments": {}}
    good = {"theta": trained.net.theta}
    for name, tensors, changes, sentence in (
        ("short", {"theta": np.zeros(3)}, {}, "has shape"),
        ("network", good, {"network": {"width": 3}}, "builds no field"),
        ("arguments", good, {"arguments": {"size": 3}}, "builds no field"),
    ):
        path = tmp_path / f"{name}.safetensors"
        save_weights(path, "pinn", tensors, config={**config, **changes})
        with pytest.raises(ValueError, match=sentence):
            load(path)


def test_network_of_another_dimension_is_refused(trained):
    with pytest.raises(ValueError, match="net takes points of dimension 2"):
        Field(MINE, trained.net)
    with pytest.raises(TypeError, match="hidden"):
        Field(trained.problem, trained.net, hidden=(3,))


def test_a_field_is_a_start_for_grid_solvers():
    """On the discretised problem it leaves its own error and, in the residual, the truncation error."""
    plate = Problem(
        "plate", Box([0, 0], [1, 1]), lambda x, u: u.laplacian + torch.exp(3 * x[:, 0]) * x[:, 1],
        lift=lambda x, N: (x * (1 - x)).prod(dim=1) * N,
    )  # fmt: skip
    field = Field(plate, hidden=(12, 12))
    field, _ = train_pinn(plate, sampler="uniform", optimizer="lm", field=field, steps=40, points=800)
    problem = grids.poisson((64, 64))
    x, y = problem.grid.coordinates()
    b = np.exp(3 * x) * y
    x0 = field.on(problem.grid)
    assert x0.shape == (64, 64)
    for solver, share in ((cg, 0.2), (multigrid, 0.5)):
        cold, warm = (solver(problem.A, b, x0=start, rtol=1e-2) for start in (None, x0))
        assert cold.converged
        assert warm.converged
        assert warm.iterations <= share * cold.iterations
    with pytest.raises(ValueError, match="grid has 3 axes; expected 2"):
        field.on(grids.poisson((4, 4, 4)).grid)


def test_field_on_a_grid_elsewhere(trained):
    grid = grids.poisson((8, 8), length=0.5).grid
    part = trained.on(grid, origin=(0.5, 0.25))
    assert part[0, 0] == pytest.approx(float(trained(np.array([0.5 + 1 / 32, 0.25 + 1 / 32]))), rel=1e-12)


# -- figures ------------------------------------------------------------------------------------
def test_figures_show_solution_error_and_residual(trained, rng):
    pytest.importorskip("matplotlib")
    from sciml.learned.pinn.figures import draw_samples
    from sciml.learned.pinn.samplers import Points

    points = Points.plain(torch.from_numpy(rng.random((50, 2))))
    figure = trained.plot(samples=points)
    labels = [ax.get_ylabel() for ax in figure.axes if ax.get_label() == "<colorbar>"]
    assert labels == ["solution", "error", "|residual|"]
    ax = draw_samples(trained, points)
    assert len(ax.lines[0].get_xdata()) == 50


def test_figure_of_a_line_and_of_a_plane_in_space():
    pytest.importorskip("matplotlib")
    line = Field(MINE).plot()
    assert [ax.get_ylabel() for ax in line.axes] == ["solution", "|residual|"]
    space = Field(PROBLEMS["poisson"](dimension=3))
    assert space.plot(at={0: 0.25}).axes[0].get_xlabel() == "x1"
    with pytest.raises(ValueError, match="expected axes from 0 to 2"):
        space.plot(at={3: 0.0})
    with pytest.raises(ValueError, match="at fixes all axes"):
        space.plot(at={0: 0.1, 1: 0.1, 2: 0.1})
