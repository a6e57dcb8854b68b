"""`check_solver` passes conjugate gradients, and names each planted defect."""

from __future__ import annotations

import dataclasses
import functools
import warnings

import numpy as np
import pytest
import scipy.sparse.linalg

from sciml import Status, cg
from sciml.solvers import SolverWarning
from sciml.testing import SOLVER_CHECKS, check_solver


def altered(**changes):
    """cg whose result is changed: each value is a function of the honest result."""

    @functools.wraps(cg)
    def solver(A, b, **settings):
        result = cg(A, b, **settings)
        return dataclasses.replace(result, **{name: value(result) for name, value in changes.items()})

    return solver


def around(function):
    """A solver with cg's signature whose body is `function`."""
    return functools.wraps(cg)(function)


@around
def lies_about_convergence(A, b, *, rtol=1e-6, **settings):
    honest = cg(A, b, rtol=rtol and 100 * rtol, **settings)
    return dataclasses.replace(
        honest, tolerance=honest.tolerance / 100, residual_norm=honest.residual_norm / 100
    )


@around
def modifies_b(A, b, **settings):
    result = cg(A, b, **settings)
    b *= 2
    return result


@around
def works_in_x0(A, b, *, x0=None, **settings):
    result = cg(A, b, x0=x0, **settings)
    if x0 is not None:
        x0 *= 0
    return result


@around
def absolute_tolerance(A, b, *, rtol=1e-6, atol=0.0, **settings):
    return cg(A, b, rtol=0.0, atol=max(rtol, atol), **settings)


@around
def ignores_x0(A, b, *, x0=None, **settings):
    return cg(A, b, **settings)


@around
def always_iterates(A, b, **settings):
    result = cg(A, b, **settings)
    return dataclasses.replace(
        result, iterations=result.iterations + 1, residual_history=(*result.residual_history, 0.0)
    )


@around
def ignores_callback(A, b, *, callback=None, **settings):
    return cg(A, b, **settings)


@around
def flattens(A, b, **settings):
    result = cg(A, b, **settings)
    return dataclasses.replace(result, x=result.x.reshape(-1))


@around
def breaks_with_preconditioner(A, b, *, M=None, **settings):
    if M is not None:
        settings["maxiter"] = 2
    return cg(A, b, **settings)


@around
def swallows_nan(A, b, **settings):
    return cg(A, np.nan_to_num(np.asarray(b), posinf=1.0), **settings)


@around
def takes_any_keyword(A, b, *, no_such_option=None, **settings):
    return cg(A, b, **settings)


@around
def never_warns(A, b, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SolverWarning)
        return cg(A, b, **settings)


@around
def random_answer(A, b, *, rtol=1e-6, _rng=np.random.default_rng(0), **settings):  # noqa: B008
    return cg(A, b, rtol=rtol * 10.0 ** -_rng.integers(1, 4), **settings)


@around
def iterates_too_long(A, b, *, maxiter=None, **settings):
    return cg(A, b, maxiter=None if maxiter is None else maxiter + 1, **settings)


def positional_options(A, b, x0=None, M=None, **settings):
    return cg(A, b, x0=x0, M=M, **settings)


@around
def moves_data(A, b, *, x0=None, **settings):
    return cg(A, np.asarray(b), x0=None if x0 is None else np.asarray(x0), **settings)


@around
def scipy_cg(A, b, **settings):
    return scipy.sparse.linalg.cg(A, b.reshape(-1))


def refuses_singular(sentence):
    def solver(A, b, **settings):
        if getattr(A, "shape", None) == (20, 20):
            columns = [np.asarray(A(e.reshape(A.in_shape))).reshape(-1) for e in np.eye(20)]
            if np.min(np.abs(np.linalg.eigvals(columns))) < 1e-12:
                raise ValueError(sentence)
        return cg(A, b, **settings)

    return around(solver)


DEFECTS = {
    "lies about convergence": (lies_about_convergence, "says CONVERGED but"),
    "claims convergence always": (altered(status=lambda r: Status.CONVERGED), "says CONVERGED but"),
    "wrong residual": (altered(residual_norm=lambda r: 0.1 * r.residual_norm), "reports a residual of"),
    "wrong tolerance": (altered(tolerance=lambda r: 2 * r.tolerance), "solution: tolerance is"),
    "wrong solution": (altered(x=lambda r: r.x * 1.01), "says CONVERGED but"),
    "NaN on failure": (
        altered(x=lambda r: r.x if r.converged else r.x * np.nan),
        "reports a residual of",
    ),
    "short history": (altered(residual_history=lambda r: r.residual_history[1:]), "history: "),
    "narrows the dtype": (altered(x=lambda r: r.x.astype("float32")), "expected numpy float64 like b"),
    "modifies b": (modifies_b, "inputs_unchanged: modifies b"),
    "modifies x0": (works_in_x0, "inputs_unchanged: modifies x0"),
    "absolute tolerance": (absolute_tolerance, "scaled_rhs: b times 1e+12"),
    "ignores x0": (ignores_x0, "exact_x0: CONVERGED after"),
    "counts one too many": (always_iterates, "exact_x0: CONVERGED after 1"),
    "iterates too long": (iterates_too_long, "one_iteration: maxiter = 1 took 2"),
    "ignores the callback": (ignores_callback, "callback_stop: the callback saw iterations []"),
    "flattens x": (flattens, "layouts: b of shape"),
    "fails with M": (breaks_with_preconditioner, "preconditioner: does not converge with the preconditioner"),
    "swallows NaN": (swallows_nan, "bad_rhs: NaN in b is accepted"),
    "takes any keyword": (takes_any_keyword, "bad_settings: no_such_option = 1 is accepted"),
    "positional options": (positional_options, "options are keyword-only"),
    "never warns": (never_warns, "on_failure: on_failure='warn' issues no"),
    "random": (random_answer, "reproducible: "),
    "moves data": (moves_data, "mixed_libraries: x0 of another library is accepted"),
    "cannot do singular systems": (refuses_singular("oops"), "singular: raised ValueError: oops"),
    "another result type": (scipy_cg, "returned a tuple; expected a SolveResult"),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_planted_defect_is_named(name):
    defective, sentence = DEFECTS[name]
    found = check_solver(defective, raise_on_failure=False)
    assert any(sentence in s for s in found), found


def test_failure_is_raised_with_all_sentences():
    with pytest.raises(AssertionError, match="cg breaks its contract") as caught:
        check_solver(modifies_b)
    assert "- inputs_unchanged: modifies b" in str(caught.value)


def test_conjugate_gradients_pass():
    assert check_solver(cg) == []


def test_a_solver_may_refuse_singular_systems_in_so_many_words():
    assert check_solver(refuses_singular("A is singular; expected a regular matrix")) == []


def test_skip_leaves_out_a_check():
    assert check_solver(ignores_callback, skip={"callback_stop", "bad_settings"}) == []


def test_unknown_skip_is_an_error():
    with pytest.raises(ValueError, match=r"no_such_check.*expected any of solution"):
        check_solver(cg, skip={"no_such_check"})


def test_every_check_has_a_sentence_that_says_what_it_promises():
    assert all(check.__doc__ for check in SOLVER_CHECKS.values())
