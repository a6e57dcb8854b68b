"""MEDIDA corrects a model whose implicit step is solved by any solver; the corrected model uses it too."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import sciml
from sciml.backends.namespace import to_numpy
from sciml.learned.medida import Library, Snapshots, discover
from sciml.problems import CNAB2, ETDRK4, forecast, kuramoto_sivashinsky, random_phases
from sciml.tuning import TsallisINF, tuned

N, LENGTH, DT = 64, 22.0, 5e-3
SOLVERS = {
    "cg": partial(sciml.cg, rtol=1e-12),
    "fcg": partial(sciml.fcg, rtol=1e-12),
    "minres": partial(sciml.minres, rtol=1e-12),
    "gmres": partial(sciml.gmres, rtol=1e-12),
    "bicgstab": partial(sciml.bicgstab, rtol=1e-12),
    "auto": partial(sciml.solve, rtol=1e-12),
    "cg in fcg": lambda A, b: sciml.fcg(A, b, M=sciml.inverse(A, "cg", rtol=1e-3), rtol=1e-12),
    "bandit": None,
}


def solver_named(name):
    if name != "bandit":
        return SOLVERS[name]

    def picked(A, b, *, which, **settings):
        return which(A, b, rtol=1e-12, **settings)

    return tuned(picked, parameter="which", policy=TsallisINF([sciml.cg, sciml.minres], seed=0))


@pytest.fixture(scope="module")
def pairs():
    """Exact pairs of the truth, one model step apart, started on its attractor."""
    truth = ETDRK4(kuramoto_sivashinsky(N, LENGTH), DT / 5)
    u = random_phases(truth.grid, np.random.default_rng(0), batch=(6,))
    u = forecast(ETDRK4(kuramoto_sivashinsky(N, LENGTH), 0.05), u, 1000)
    middle = forecast(truth, u, 5)
    return Snapshots(np.stack([u, middle], axis=1), forecast(truth, middle, 5), DT)


@pytest.mark.parametrize("name", SOLVERS)
def test_the_missing_term_is_found_through_every_solver(name, pairs):
    imperfect = kuramoto_sivashinsky(N, LENGTH, diffusion=0.5)  # half the anti-diffusion is missing
    model = CNAB2(imperfect, DT, solver=solver_named(name))
    found = discover(model, pairs, Library.powers(), noise=0.0)
    assert list(found.names) == ["u_xx"]
    np.testing.assert_allclose(found.coefficients, [-0.5], atol=0.01)
    u = pairs.after[0]
    corrected = found.corrected(model)
    assert corrected.solver is model.solver
    truth = forecast(ETDRK4(kuramoto_sivashinsky(N, LENGTH), DT / 5), u, 100)
    before, after = (np.abs(forecast(m, u, 20) - truth).max() for m in (model, corrected))
    assert after < 0.05 * before


def test_the_corrected_model_runs_in_every_library(pairs, namespace):
    model = CNAB2(kuramoto_sivashinsky(N, LENGTH, diffusion=0.5), DT, solver=SOLVERS["cg"])
    corrected = discover(model, pairs, Library.powers(), noise=0.0).corrected(model)
    u = pairs.after[0]
    found = forecast(corrected, namespace.array(u), 3)
    np.testing.assert_allclose(to_numpy(found), forecast(corrected, u, 3), atol=1e-8)


def test_a_grid_model_with_multigrid_inside_is_corrected_by_splitting():
    """A Crank–Nicolson model that lacks a linear decay; its steps are solved by learned multigrid in CG."""
    from sciml.learned.medida import SplitModel, Term
    from sciml.preconditioners import LearnedMultigrid
    from sciml.problems import CrankNicolson

    A = sciml.PoissonOperator((16, 16), spacing=1 / 16)

    def solver(A, b, x0=None):
        return sciml.cg(A, b, x0=x0, M=LearnedMultigrid(A), rtol=1e-10)

    model = CrankNicolson(A, 1e-3, solver=solver)
    decay = Term("u", lambda fields: fields.u)
    whole = CrankNicolson(A.shifted(3.0), 1e-3, solver=solver)
    u = np.random.default_rng(0).random((16, 16))
    found = forecast(SplitModel(model, [decay], [-3.0]), u, 20)
    expected, without = forecast(whole, u, 20), forecast(model, u, 20)
    assert np.abs(found - expected).max() < 1e-3 * np.abs(without - expected).max()
