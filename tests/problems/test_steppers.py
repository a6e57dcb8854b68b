"""Time steppers: orders of accuracy, history, batches, corrections, solvers inside, blow-ups."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from sciml import gmres
from sciml.backends.namespace import to_numpy
from sciml.learned.medida import Library
from sciml.operators.protocol import TimeStepper
from sciml.problems import (
    CNAB2,
    ETDRK4,
    KS_CASES,
    RK4,
    BlowUpError,
    Fields,
    burgers,
    forecast,
    kolmogorov,
    kuramoto_sivashinsky,
    lorenz63,
    lorenz96,
    random_phases,
    trajectory,
    velocity,
)


@pytest.fixture(scope="module")
def ks():
    """An equation and a state on its attractor."""
    equation = kuramoto_sivashinsky(64, 22.0)
    u = random_phases(equation.grid, np.random.default_rng(1))
    return equation, forecast(ETDRK4(equation, 0.05), u, 2000)


def error_ratio(make, u, time, steps):
    """Error with `steps` steps over that with twice as many."""
    reference = forecast(make(time / (16 * steps)), u, 16 * steps)
    errors = [np.abs(forecast(make(time / n), u, n) - reference).max() for n in (steps, 2 * steps)]
    return errors[0] / errors[1]


def test_etdrk4_is_of_fourth_order(ks):
    equation, u = ks
    # 16 only in the limit: stiff modes reduce the order at any practical step.
    assert 11 < error_ratio(lambda dt: ETDRK4(equation, dt), u, 2.0, 160) < 20


def test_cnab2_is_of_second_order_from_a_single_field(ks):
    equation, u = ks
    assert 3.4 < error_ratio(lambda dt: CNAB2(equation, dt), u, 0.5, 50) < 4.6


def test_rk4_is_of_fourth_order():
    u = np.array([1.0, 3.0, 20.0])
    assert 12 < error_ratio(lambda dt: lorenz63(dt), u, 0.2, 10) < 20


def test_dispersion_moves_waves():
    """u_t + d u_xxx = 0 carries cos(k x) to cos(k (x + d k² t))."""
    equation = kuramoto_sivashinsky(
        32, 2 * np.pi, advection=0.0, diffusion=0.0, hyperdiffusion=0.0, dispersion=0.3
    )
    (x,) = equation.grid.coordinates()
    u = forecast(ETDRK4(equation, 0.1), np.cos(2 * x), 5)
    np.testing.assert_allclose(u, np.cos(2 * (x + 0.3 * 4 * 0.5)), atol=1e-10)


@pytest.mark.parametrize("name", ["1", "6", "x3b", "q2"])
def test_terms_turn_every_imperfect_model_into_the_truth(ks, name):
    """What is missing, added to the model, gives the tendency of the truth."""
    truth, u = ks
    case, library = KS_CASES[name], Library.powers()
    missing = case.missing()
    model = case.equation(64, 22.0).with_terms([library[n] for n in missing], list(missing.values()))
    np.testing.assert_allclose(model.tendency(u), truth.tendency(u), atol=1e-6)


def test_cubic_label_of_the_published_code():
    """Its flux (u² + l3 u³)/2 has the coefficient 1.5 l3 in front of u² u_x."""
    equation = kuramoto_sivashinsky(
        64, 2 * np.pi, advection=1.0, diffusion=0.0, hyperdiffusion=0.0, cubic=1.5
    )
    (x,) = equation.grid.coordinates()
    u = np.sin(x)
    flux = 0.5 * (u**2 + u**3)
    np.testing.assert_allclose(equation.tendency(u), -equation.grid.derivative(flux, 1), atol=1e-12)


def test_linear_terms_are_stepped_implicitly(ks):
    """Adding u_xxxx to a model without it must not limit the time step."""
    equation, u = ks
    bare = kuramoto_sivashinsky(64, 22.0, hyperdiffusion=0.0)
    model = CNAB2(bare, 0.02).with_terms([Library.powers()["u_xxxx"]], [-1.0])
    np.testing.assert_allclose(forecast(model, u, 10), forecast(CNAB2(equation, 0.02), u, 10), atol=1e-10)


def test_batches_are_independent_runs(ks):
    equation, u = ks
    both = np.stack([u, -u])
    for stepper in (ETDRK4(equation, 0.05), CNAB2(equation, 0.01)):
        together = forecast(stepper, both, 7)
        for row, single in zip(together, both, strict=True):
            np.testing.assert_allclose(row, forecast(stepper, single, 7), atol=1e-12)


def test_two_levels_continue_a_run(ks):
    equation, u = ks
    model = CNAB2(equation, 0.01)
    state = model.first_step(u, 0.0, 0.01)
    for _ in range(4):
        state = model.step(state, 0.0, 0.01)
    np.testing.assert_allclose(state[1], forecast(model, u, 5), atol=1e-12)
    np.testing.assert_allclose(forecast(model, state, 3, state=True), forecast(model, u, 8), atol=1e-12)


def test_implicit_steps_take_any_solver(ks):
    equation, u = ks
    solver = functools.partial(gmres, rtol=1e-12, atol=1e-14)
    swapped = CNAB2(equation, 0.01, solver=solver)
    np.testing.assert_allclose(forecast(swapped, u, 2), forecast(CNAB2(equation, 0.01), u, 2), atol=1e-9)
    both = np.stack([u, 0.5 * u])
    np.testing.assert_allclose(forecast(swapped, both, 1)[0], forecast(swapped, u, 1), atol=1e-9)


def test_steppers_run_in_every_library(namespace):
    equation = kuramoto_sivashinsky(16, 22.0)
    u = np.sin(2 * np.pi * np.arange(16) / 16)
    for stepper in (ETDRK4(equation, 0.1), CNAB2(equation, 0.01)):
        result = forecast(stepper, namespace.array(u), 2)
        np.testing.assert_allclose(to_numpy(result), forecast(stepper, u, 2), atol=1e-4)


@pytest.mark.parametrize(
    "stepper",
    [
        ETDRK4(burgers(16), 0.1),
        CNAB2(burgers(16, forcing=1.0), 0.01),
        lorenz63(),
        lorenz96(8),
        ETDRK4(kolmogorov(8), 0.05),
    ],
    ids=["etdrk4", "cnab2", "lorenz63", "lorenz96", "kolmogorov"],
)
def test_protocol(stepper):
    assert isinstance(stepper, TimeStepper)
    u = np.full(stepper.state_shape, 0.1)
    assert stepper.step(u, 0.0, stepper.dt).shape == u.shape


def test_burgers_dissipates_and_forcing_feeds():
    equation = burgers(64, viscosity=0.1)
    (x,) = equation.grid.coordinates()
    decayed = forecast(ETDRK4(equation, 0.05), np.sin(x), 40)
    assert np.std(decayed) < 0.8 * np.std(np.sin(x))
    fed = forecast(ETDRK4(burgers(64, viscosity=0.1, forcing=1.0), 0.05), 0.0 * x, 40)
    assert np.std(fed) > 0.1


def test_lorenz96_conserves_energy_without_forcing_and_damping(rng):
    model = lorenz96(12, forcing=0.0, damping=0.0)
    u = rng.standard_normal(12)
    assert abs(u @ model.tendency(u)) < 1e-12


def test_kolmogorov_velocity_and_balance():
    """ω = cos(k y) is the flow (−sin(k y)/k, 0); under F the laminar state balances viscosity and drag."""
    equation = kolmogorov(32, viscosity=0.1, drag=0.2, forcing=1.0, wavenumber=4)
    _, y = equation.grid.coordinates()
    omega = np.broadcast_to(np.cos(4 * y), (32, 32))
    v, w = velocity(Fields(omega, equation.grid))
    np.testing.assert_allclose(v, np.broadcast_to(-np.sin(4 * y) / 4.0, (32, 32)), atol=1e-12)
    np.testing.assert_allclose(w, 0.0, atol=1e-12)
    laminar = omega * (-4.0 / (0.1 * 16 + 0.2))
    np.testing.assert_allclose(equation.tendency(laminar), 0.0, atol=1e-10)


def test_blow_up_is_an_error_that_says_when():
    explosive = RK4(lambda u: u**2, (2,), 0.1)
    with pytest.raises(BlowUpError, match="not finite at t = "):
        trajectory(explosive, np.array([1.0, 2.0]), 100, 5)


def test_trajectory_keeps_every_nth_field(ks):
    equation, u = ks
    for stepper in (ETDRK4(equation, 0.05), CNAB2(equation, 0.01)):
        run = trajectory(stepper, u, 6, 2)
        assert run.shape == (4, 64)
        np.testing.assert_allclose(run[2], forecast(stepper, u, 4), atol=1e-12)


@pytest.mark.parametrize("dt", [0.0, -0.1, float("nan"), "fast"])
def test_bad_time_steps(dt):
    with pytest.raises(ValueError, match="dt is"):
        ETDRK4(kuramoto_sivashinsky(16, 22.0), dt)
    with pytest.raises(ValueError, match="dt is"):
        lorenz63(dt)


def test_equations_change_grids_of_one_box_only():
    equation = kuramoto_sivashinsky(32, 22.0)
    with pytest.raises(ValueError, match="expected"):
        equation.on(kuramoto_sivashinsky(32, 23.0).grid)
