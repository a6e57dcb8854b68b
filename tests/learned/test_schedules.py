"""Schedules: shapes that are known in closed form, and what a wrong one is told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sciml.learned.schedules import Constant, LinearDecay, Refined, described


def curve(schedule, steps):
    return np.array([schedule(step, steps) for step in range(steps)])


def test_linear_decay():
    factors = curve(LinearDecay(warmup=0.1), 100)
    assert factors.max() == 1.0
    assert factors.argmax() == 10
    assert factors[0] == pytest.approx(1 / 11)
    assert factors[-1] == pytest.approx(1 / 90)
    assert np.all(np.diff(factors[10:]) < 0)


def test_constant():
    assert set(curve(Constant(), 10)) == {1.0}


def test_refined_by_equal_norms_is_linear_decay():
    steps = 50
    expected = np.arange(steps - 1, -1, -1) / (steps - 1)
    np.testing.assert_allclose(curve(Refined(np.full(steps, 3.0)), steps), expected, atol=1e-12)


def test_refined_by_norms_that_fall_is_a_warm_up():
    # norms 1/(1 + t) weigh 1 + t: the factor is (1 + t) times the sum of what follows, largest at T/√3
    steps = 3000
    factors = curve(Refined(1 / (1 + np.arange(steps)), smoothing=0.0), steps)
    assert factors.argmax() == pytest.approx(steps / np.sqrt(3), rel=2e-3)
    t = np.arange(steps) / steps
    expected = t * (1 - t**2)
    np.testing.assert_allclose(factors, expected / expected.max(), atol=3e-3)


def test_the_median_removes_outliers():
    norms = np.ones(200)
    norms[[20, 90, 150]] = 1e6
    np.testing.assert_allclose(curve(Refined(norms), 200), curve(Refined(np.ones(200)), 200))


def test_power_two_is_the_square():
    norms = np.linspace(1.0, 2.0, 40)
    one, two = Refined(norms**2, power=1.0, smoothing=0.0), Refined(norms, power=2.0, smoothing=0.0)
    np.testing.assert_allclose(curve(one, 40), curve(two, 40))


def test_a_run_of_another_length_gets_the_same_curve():
    refined = Refined(np.linspace(5.0, 1.0, 100))
    np.testing.assert_allclose(curve(refined, 991)[::10], curve(refined, 100), atol=1e-12)


@given(arrays.arrays(float, st.integers(10, 60), elements=st.floats(1e-6, 1e6)))
def test_refined_is_a_factor(norms):
    factors = curve(Refined(norms), len(norms))
    assert factors.max() == 1.0
    assert (factors >= 0).all()
    assert factors[-1] == 0.0


def test_its_name_tells_runs_apart():
    names = {repr(Refined(norms)) for norms in (np.ones(10), np.arange(1, 11.0))}
    assert len(names) == 2
    assert all(len(name) < 100 for name in names)
    assert repr(Refined(np.ones(10))) == repr(Refined(2 * np.ones(10)))  # the same schedule


@pytest.mark.parametrize("norms", [[], [1.0] * 9, [0.0] * 20, [np.nan] * 20, np.ones((20, 2))], ids=str)
def test_norms_that_are_none(norms):
    with pytest.raises(ValueError, match=r"gradients has .* expected at least ten positive norms"):
        Refined(norms)


def test_a_function_is_told_by_its_name():
    def half(step, steps):
        return 0.5

    assert " at 0x" in repr(half)
    assert described(half).endswith("half>")
    assert described(LinearDecay()) == "LinearDecay(warmup=0.02)"


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_warm_up_is_a_share(share):
    with pytest.raises(ValueError, match=f"warmup is {share}"):
        LinearDecay(share)


def test_settings_of_refined():
    with pytest.raises(ValueError, match="power is 0"):
        Refined(np.ones(20), power=0)
    with pytest.raises(ValueError, match="smoothing is 2"):
        Refined(np.ones(20), smoothing=2)
