"""Discovery end to end: exact and noisy data, perfect models, filters, black boxes, bad input."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from sciml.learned.medida import (
    RVM,
    DiscoveryWarning,
    Library,
    Snapshots,
    SplitModel,
    Term,
    discover,
    vorticity_library,
)
from sciml.problems import (
    CNAB2,
    ETDRK4,
    KS_CASES,
    RK4,
    BlowUpError,
    KSCase,
    forecast,
    kolmogorov,
    kuramoto_sivashinsky,
    lorenz63,
    lorenz96,
    random_phases,
    trajectory,
)

DT, LENGTH = 5e-3, 50.0


def ks_model(name, n=256):
    case = KSCase("perfect") if name == "perfect" else KS_CASES[name]
    return case, CNAB2(case.equation(n, LENGTH), DT)


# -- exact data -------------------------------------------------------------------------------
def test_perfect_model_leaves_the_known_residual(exact):
    """9e-6 for a step of 5e-3 in the study; generic states, another length of the box."""
    _, model = ks_model("perfect")
    residual = (exact.after - forecast(model, exact.before, 1, state=True)) / DT
    assert 3e-6 < np.sqrt(np.mean(residual**2)) < 2e-5


@pytest.mark.parametrize("name", KS_CASES)
def test_all_cases_exactly(name, exact, library):
    case, model = ks_model(name)
    found = discover(model, exact, library, noise=0.0).as_dict()
    assert set(found) == set(case.missing())
    assert case.error(found) < 2e-3


def test_perfect_model_is_left_alone(exact, library):
    error = discover(ks_model("perfect")[1], exact, library, noise=0.0)
    assert error.terms == ()
    assert "no model error found" in error.equation


def test_published_recipe_has_its_known_bias(exact, library):
    """Terms by finite differences on the later state: right term, a coefficient off by per cents."""
    case, model = ks_model("1")
    released = RVM(threshold=1e2, standardise=False, keep_one=True)
    settings = {"method": "direct", "scheme": "fd2", "selection": released, "floor": 0.0}
    old = case.error(discover(model, exact, library, noise=0.0, **settings).as_dict())
    new = case.error(discover(model, exact, library, noise=0.0).as_dict())
    assert 0.3 < old < 30
    assert new < 1e-3 * old


@pytest.mark.parametrize("selection", ["evidence", "rvm", "tipping-faul"])
def test_every_selection_finds_two_terms(selection, exact, library):
    case, model = ks_model("4")
    error = discover(model, exact, library, noise=0.0, selection=selection)
    assert set(error.names) == set(case.missing())


# -- noisy data -------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["1", "3", "7", "10", "11", "x3b", "q2"])
def test_noise_of_ten_per_cent(name, windows, library):
    case, model = ks_model(name, 128)
    std = 0.1 * float(np.std(windows.before))
    noisy = windows.with_noise(std, np.random.default_rng(3))
    error = discover(model, noisy, library, noise=std)
    assert set(error.names) == set(case.missing())
    assert case.error(error.as_dict()) < 4.0
    z = (error.coefficients - [case.missing()[n] for n in error.names]) / error.standard_errors
    assert np.abs(z).max() < 4.0
    assert error.info["chi2 per row"] == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("seed", range(4))
def test_perfect_model_is_left_alone_under_noise(seed, windows, library):
    std = 0.05 * float(np.std(windows.before))
    noisy = windows.with_noise(std, np.random.default_rng(seed))
    assert discover(ks_model("perfect", 128)[1], noisy, library, noise=std).terms == ()


def test_corrected_model_predicts_longer(windows, library):
    _, model = ks_model("2", 128)
    std = 0.05 * float(np.std(windows.before))
    error = discover(model, windows.with_noise(std, np.random.default_rng(0)), library, noise=std)
    truth, start = ETDRK4(kuramoto_sivashinsky(128, LENGTH), 0.01), windows.after[0]
    reference = forecast(truth, start, 400)
    gaps = [np.linalg.norm(forecast(m, start, 800) - reference) for m in (model, error.corrected(model))]
    assert gaps[1] < 0.1 * gaps[0]


def test_same_seed_same_answer(windows, library):
    _, model = ks_model("2", 128)
    noisy = windows.subset(slice(0, 10)).with_noise(0.1, np.random.default_rng(0))
    one, two = (discover(model, noisy, library, noise=0.1, stability=4, seed=1) for _ in range(2))
    assert one.as_dict() == two.as_dict()
    assert one.info["stability"] == two.info["stability"]
    assert one.info["stability"]["u_xx"] == 1.0


def test_noise_level_is_estimated(windows, library):
    _, model = ks_model("2", 128)
    noisy = windows.with_noise(0.1, np.random.default_rng(0))
    assert discover(model, noisy, library, noise="estimate").info["noise"] == pytest.approx(0.1, rel=0.05)
    with pytest.warns(DiscoveryWarning, match="noise is not given; estimated as 0.1"):
        discover(model, noisy, library)


def test_noise_level_too_low_is_warned_about(windows, library):
    _, model = ks_model("2", 128)
    noisy = windows.with_noise(0.1, np.random.default_rng(0))
    with pytest.warns(DiscoveryWarning, match="times what noise of 0.02 explains"):
        discover(model, noisy, library, noise=0.02, cutoff=2.0)


def test_a_start_that_runs_away_leaves_the_other_one(windows, library, monkeypatch):
    """Dependent columns in a later pass are the fault of the estimate: no word about the library."""
    case, model = ks_model("2", 128)
    noisy = windows.with_noise(0.1, np.random.default_rng(0))
    calls = []

    def dependent_in_the_second_pass(gram, names, tolerance=1e-9):
        calls.append(names)
        if len(calls) == 3:  # terms, first pass, second pass
            raise ValueError("the column of term 'u' is zero on these snapshots")

    monkeypatch.setattr("sciml.learned.medida.shooting.require_independent", dependent_in_the_second_pass)
    told = []
    found = discover(model, noisy, library, noise=0.1, progress=told.append)
    assert set(found.as_dict()) == set(case.missing())
    assert "second start" in told


def test_cycled_local_filter_runs():
    """One run, observed at both ends of every window: analyses start the windows.

    They inherit errors of the model, so the coefficient is not better than without; the term is found.
    """
    equation = kuramoto_sivashinsky(64, LENGTH)
    truth = ETDRK4(equation, 0.05)
    u = forecast(truth, random_phases(equation.grid, np.random.default_rng(0)), 2000)
    run = trajectory(truth, u, 20 * 25, 5)  # every 0.25
    std = 0.1 * float(np.std(run))
    exact = Snapshots(run[:-1:5], run[1::5], 0.25, 1.25 * np.arange(20))
    data = exact.with_noise(std, np.random.default_rng(1))
    model = CNAB2(KS_CASES["2"].equation(64, LENGTH), 0.01)
    error = discover(model, data, Library.powers(1, 4), noise=std, assimilation="letkf", members=12)
    assert "u_xx" in error.names
    assert error.info["assimilation"] == "letkf"
    assert np.all(np.isfinite(error.coefficients))


def test_stochastic_filter_as_published_runs(exact, library):
    _, model = ks_model("2")
    noisy = exact.with_noise(1e-6, np.random.default_rng(0))
    error = discover(model, noisy, library, noise=1e-6, assimilation="enkf", members=10, selection="rvm")
    assert np.all(np.isfinite(error.coefficients))
    assert error.info["assimilation"] == "enkf"


# -- other systems ----------------------------------------------------------------------------
def test_lorenz96_with_a_ring_library(rng):
    truth = lorenz96(20, 0.01)
    u = forecast(truth, rng.standard_normal(20) + 2.0, 2000)
    run = trajectory(truth, u, 40 * 50, 10)
    data = Snapshots(run[:-1:5], run[1::5], 0.1).with_noise(0.3, rng)
    error = discover(lorenz96(20, 0.02, damping=0.0), data, Library.ring((-2, -1, 0, 1)), noise=0.3)
    assert error.names == ("x[i]",)
    assert error.coefficients[0] == pytest.approx(-1.0, abs=0.15)


def test_kolmogorov_flow_with_terms_of_ones_own(rng):
    equation = kolmogorov(16, viscosity=0.1, drag=0.1, forcing=1.0, wavenumber=2)
    u = random_phases(equation.grid, rng, rms=2.0, cutoff=3.0, batch=(4,))
    truth = ETDRK4(equation, 0.02)
    u = forecast(truth, u, 200)
    data = Snapshots(u, forecast(truth, u, 10), 0.2).with_noise(0.05, rng)
    model = CNAB2(kolmogorov(16, viscosity=0.1, drag=0.0, forcing=1.0, wavenumber=2), 0.02)
    error = discover(model, data, vorticity_library(2), noise=0.05, cutoff=5.0)
    assert "ω" in error.names
    assert set(error.names) <= {"ω", "Δω", "Δ²ω"}  # 784 noisy values hardly tell one damping from another


class BlackBox:
    """A model that offers nothing but `step`."""

    def __init__(self, inner):
        self._inner, self.dt, self.state_shape = inner, inner.dt, inner.state_shape

    def step(self, u, t, dt):
        return self._inner.step(u, t, dt)


@pytest.mark.parametrize("noise", [0.0, 0.3], ids=["exact", "noisy"])
def test_black_box_models(noise, rng):
    truth = trajectory(lorenz63(0.001), np.array([1.0, 3.0, 20.0]), 20_000, 10)
    gap = 1 if noise == 0.0 else 10
    data = Snapshots(truth[:-gap:20], truth[gap::20], 0.01 * gap)
    data = data.with_noise(noise, rng) if noise else data
    model = BlackBox(lorenz63(0.005, rho=20.0))
    error = discover(model, data, Library.polynomials("xyz"), noise=noise)
    assert error.names == ("y': x",)
    assert error.coefficients[0] == pytest.approx(8.0, rel=0.02)
    assert isinstance(error.corrected(model), SplitModel)


def test_splitting_is_of_second_order():
    exact = lorenz63(0.001)
    term = Library.polynomials("xyz")["y': x"]
    u = np.array([1.0, 3.0, 20.0])
    reference, errors = forecast(exact, u, 200), []
    for dt in (0.02, 0.01):
        split = SplitModel(BlackBox(lorenz63(dt, rho=20.0)), [term], [8.0])
        errors.append(np.abs(forecast(split, u, round(0.2 / dt)) - reference).max())
    assert 3.0 < errors[0] / errors[1] < 5.0


# -- bad input --------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"noise": -1.0}, "noise is -1.0"),
        ({"noise": "loud"}, "noise is 'loud'"),
        ({"noise": float("nan")}, "noise is nan"),
        ({"method": "magic"}, "method is 'magic'"),
        ({"selection": "lasso"}, "selection is 'lasso'"),
        ({"assimilation": "4dvar", "noise": 0.1}, "assimilation is '4dvar'"),
        ({"assimilation": "letkf", "noise": 0.1}, "times"),
        ({"assimilation": "enkf"}, "noise level above zero"),
        ({"method": "response"}, "one time step"),
        ({"margin": -1.0}, "margin is -1.0"),
        ({"members": 1}, "members is 1"),
        ({"passes": 0}, "passes is 0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_bad_settings(settings, message, windows, library):
    few = windows.subset(slice(0, 5)).with_noise(0.05, np.random.default_rng(0))
    with pytest.raises(ValueError, match=message):
        discover(ks_model("2", 128)[1], few, library, **({"noise": 0.0} | settings))


def test_unknown_keyword_is_a_type_error(windows, library):
    with pytest.raises(TypeError, match="nosie"):
        discover(ks_model("2", 128)[1], windows, library, nosie=0.1)


def test_too_few_snapshots():
    data = Snapshots(np.ones((3, 3)), np.ones((3, 3)), 0.01)
    with pytest.raises(ValueError, match="too few for 30 candidate terms; expected at least 40 pairs"):
        discover(lorenz63(0.01), data, Library.polynomials("xyz"), noise=0.0)


@pytest.mark.parametrize(("window", "steps"), [(0.0125, "2.5"), (0.001, "0.2")])
def test_wrong_time_step(window, steps, exact, library):
    with pytest.raises(ValueError, match=f"{steps} time steps of the model"):
        discover(ks_model("2")[1], Snapshots(exact.before, exact.after, window), library, noise=0.0)


def test_window_that_cannot_be_right_is_warned_about(exact, library):
    """Snapshots a step apart, said to be 100 steps apart: forecasts are far worse than persistence."""
    _, model = ks_model("2")
    wrong = Snapshots(exact.current, exact.after, 100 * DT)
    with pytest.warns(DiscoveryWarning, match="worse than persistence"):
        discover(model, wrong, library, noise=1e-3)


def test_other_shapes(exact, library):
    with pytest.raises(ValueError, match="expected that of the snapshots"):
        discover(ks_model("2", 128)[1], exact, library, noise=0.0)
    with pytest.raises(ValueError, match="single level"):
        discover(ETDRK4(kuramoto_sivashinsky(256, LENGTH), DT), exact, library, noise=0.0)


def test_library_that_is_none(exact):
    with pytest.raises(TypeError, match="library is a list"):
        discover(ks_model("2")[1], exact, ["u"], noise=0.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("noisy", [False, True], ids=["exact", "noisy"])
def test_dependent_columns(noisy, exact, windows, library):
    twice = library + Library([Term("twice u_xx", lambda f: 2.0 * f.d(2))])
    data, model = (windows, ks_model("2", 128)[1]) if noisy else (exact, ks_model("2")[1])
    if noisy:
        data = data.with_noise(0.1, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"dependent columns on these snapshots.*twice u_xx"):
        discover(model, data, twice, noise=0.1 if noisy else 0.0)


def test_exploding_forecast_is_an_error_not_a_nan():
    exploding = RK4(lambda u: u**3, (4,), 0.5)
    before = 40.0 + np.random.default_rng(0).standard_normal((30, 4))
    data = Snapshots(before, before + 1.0, 2.0)
    for noise in (0.0, 0.1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DiscoveryWarning)
            with pytest.raises(BlowUpError, match="not finite"):
                discover(exploding, data, Library.ring((0,)), noise=noise)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([1.0], np.ones((2, 4)), 1.0), TypeError, "before is a list"),
        ((np.ones((2, 4), dtype=complex), np.ones((2, 4)), 1.0), TypeError, "complex"),
        (
            (np.full((2, 4), np.nan), np.ones((2, 4)), 1.0),
            ValueError,
            "before holds a value that is not finite",
        ),
        ((np.ones((2, 5)), np.ones((2, 4)), 1.0), ValueError, "before has shape"),
        ((np.ones((0, 4)), np.ones((0, 4)), 1.0), ValueError, "n >= 1"),
        ((np.ones((2, 4)), np.ones((2, 4)), 0.0), ValueError, "window is 0.0"),
        ((np.ones((2, 4)), np.ones((2, 4)), 1.0, np.array([1.0, 0.0])), ValueError, "increasing"),
    ],
)
def test_bad_snapshots(arguments, error, message):
    with pytest.raises(error, match=message):
        Snapshots(*arguments)


def test_grid_of_observations_is_checked_against_times(windows, library):
    noisy = windows.subset(slice(0, 4)).with_noise(0.1, np.random.default_rng(0))
    overlapping = Snapshots(noisy.before, noisy.after, noisy.window, 0.1 * np.arange(4))
    with pytest.raises(ValueError, match="do not overlap"):
        discover(ks_model("2", 128)[1], overlapping, library, noise=0.1, assimilation="letkf")


def test_models_without_a_grid_need_a_noise_level():
    data = Snapshots(np.ones((50, 3)), np.ones((50, 3)), 0.01)
    with pytest.raises(ValueError, match="noise is not given"):
        discover(lorenz63(0.01), data, Library.polynomials("xyz"))
