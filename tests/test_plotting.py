"""Figures: what is drawn, not how it looks; no window, no global state."""

import subprocess
import sys

import numpy as np
import pytest

from sciml import cg
from sciml.problems import poisson

pytest.importorskip("matplotlib")
from sciml.plotting import convergence, field, save, solution


@pytest.fixture(scope="module")
def solved():
    problem = poisson((12, 10, 8), obstacles="balls", rhs="smooth")
    return problem, cg(problem.A, problem.b, rtol=1e-6)


@pytest.fixture(scope="module")
def flat():
    problem = poisson((16, 12), obstacles="balls", seed=3)
    return problem, cg(problem.A, problem.b, rtol=1e-6)


def test_convergence_draws_relative_residuals(solved):
    _, result = solved
    ax = convergence({"one": result, "two": result})
    curve = ax.lines[0]
    assert np.allclose(curve.get_ydata(), np.array(result.residual_history) / result.residual_history[0])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["one", "two"]
    assert ax.get_yscale() == "log"
    # One tolerance line for both, since they share the tolerance.
    assert len(ax.lines) == 3
    assert ax.lines[2].get_ydata()[0] == pytest.approx(1e-6)


def test_convergence_of_very_different_lengths_uses_a_logarithmic_axis():
    problem = poisson((48, 48))
    long = cg(problem.A, problem.b, rtol=1e-10)
    short = cg(problem.A, problem.b, rtol=1e-10, x0=long.x)
    assert convergence({"a": long, "b": short}).get_xscale() == "symlog"
    assert convergence({"a": long, "b": long}).get_xscale() == "linear"


def test_convergence_of_a_run_that_hits_zero():
    result = cg(np.eye(3), np.ones(3), rtol=1e-10)
    assert convergence({"identity": result}) is not None


def test_result_plot_is_the_same_figure(solved):
    _, result = solved
    assert result.plot().lines[0].get_label() == result.solver


def test_convergence_draws_into_given_axes(solved):
    ax = convergence({"a": solved[1]})
    assert convergence({"b": solved[1]}, ax=ax) is ax


def test_convergence_needs_results():
    with pytest.raises(ValueError, match="results is empty"):
        convergence({})


def test_field_shows_three_slices_with_obstacles_left_out(solved):
    problem, result = solved
    figure = field(problem, result.x)
    panels = [ax for ax in figure.axes if ax.images]
    assert [(ax.get_xlabel(), ax.get_ylabel()) for ax in panels[:3]] == [("x", "y"), ("x", "z"), ("y", "z")]
    drawn = panels[0].images[0].get_array()
    middle = problem.grid.shape[2] // 2
    assert np.array_equal(np.ma.getmaskarray(drawn), problem.mask[:, :, middle].T)
    assert np.allclose(
        drawn.compressed(), np.ma.masked_array(result.x, problem.mask)[:, :, middle].T.compressed()
    )


def test_field_of_flat_vectors_and_of_flat_problems(flat):
    problem, result = flat
    one, two = (field(problem, x).axes[0].images[0].get_array() for x in (result.x, result.x.reshape(-1)))
    assert np.array_equal(one.filled(0), two.filled(0))
    assert one.shape == (12, 16)


def test_colours_are_symmetric_only_around_zero(flat):
    problem, _ = flat
    positive = field(problem, np.abs(problem.b) + 1).axes[0].images[0]
    both = field(problem, problem.b).axes[0].images[0]
    assert positive.get_clim()[0] > 0
    assert both.get_clim()[0] == -both.get_clim()[1]


def test_field_refuses_what_does_not_fit(solved):
    problem, _ = solved
    with pytest.raises(ValueError, match=r"x has shape \(3,\); expected \(12, 10, 8\) or \(960,\)"):
        field(problem, np.zeros(3))
    with pytest.raises(ValueError, match="ax holds 1 axes; expected 3"):
        field(problem, problem.b, ax=convergence({"a": solved[1]}))


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_solution_is_saved(tmp_path, solved, flat, suffix):
    for i, (problem, result) in enumerate((solved, flat)):
        path = tmp_path / f"{i}.{suffix}"
        save(solution(problem, result), path)
        assert path.stat().st_size > 5000


def test_solution_without_a_grid_is_the_convergence(tmp_path):
    from sciml.problems import Problem

    A, b = np.diag([1.0, 2.0, 4.0]), np.ones(3)
    figure = solution(Problem("matrix", A, b), cg(A, b))
    assert len(figure.axes) == 1
    with pytest.raises(ValueError, match="has no grid"):
        field(Problem("matrix", A, b), b)


def test_unknown_formats_are_named(solved):
    with pytest.raises(ValueError, match=r"cannot write 'x\.docx'; expected one of .*\.png"):
        save(convergence({"a": solved[1]}), "x.docx")


def test_torch_results_are_drawn():
    pytest.importorskip("torch")
    problem = poisson((8, 8), backend="torch")
    figure = field(problem, cg(problem.A, problem.b).x)
    assert figure.axes[0].images


def test_no_global_state_and_nothing_loaded_before_drawing():
    code = (
        "import sys, sciml.plotting\n"
        "assert 'matplotlib' not in sys.modules\n"
        "import numpy as np; from sciml import cg\n"
        "sciml.plotting.convergence({'a': cg(np.eye(2), np.ones(2))})\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
