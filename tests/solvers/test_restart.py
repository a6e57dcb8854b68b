"""The restart rule and the balance of primal against dual steps, decision by decision."""

import math

import pytest

from sciml.solvers.restart import Balance, Restart


def run(rule, residuals):
    return [rule.decide(r) for r in residuals]


def test_sufficient_decrease():
    rule = Restart("adaptive")
    rule.total = 1000
    assert run(rule, [1.0, 0.9, 0.5, 0.25, 0.19]) == [False, False, False, False, True]
    assert rule.count == 1


def test_necessary_decrease_needs_a_rise():
    rule = Restart("adaptive")
    rule.total = 1000
    assert run(rule, [1.0, 0.7, 0.6, 0.5, 0.4, 0.45]) == [False] * 5 + [True]
    rule.begin()
    assert run(rule, [1.0, 0.95, 0.97, 0.9, 0.95]) == [False] * 5  # never below four fifths


def test_long_runs_end():
    rule = Restart("adaptive")
    assert run(rule, [1.0, 1.0, 1.0, 1.0]) == [False, False, False, True]


def test_very_short_runs_do_not():
    rule = Restart("adaptive")
    assert run(rule, [1.0, 0.1]) == [False, False]


def test_a_forced_restart():
    rule = Restart("adaptive")
    rule.decide(1.0)
    assert rule.decide(0.99, force=True)
    fixed = Restart(None)
    fixed.decide(1.0)
    assert not fixed.decide(0.99, force=True)


def test_fixed_and_no_restarts():
    assert run(Restart(3), [1.0] * 3) == [False, False, True]
    assert run(Restart(1), [1.0]) == [True]
    assert not any(run(Restart(None), [1.0, 1e-3, 1e-9] * 5))


def test_rate_is_decades_per_iteration():
    rule = Restart(None)
    run(rule, [1.0, 0.1, 0.01, 0.001])
    assert rule.rate() == pytest.approx(3 / 4)


def test_weight_moves_towards_the_ratio_of_distances():
    balance = Balance(1.0, True)
    first = balance.update(4.0, 1.0)
    assert first == pytest.approx(2.0)  # half the way, in logarithms
    assert first < balance.update(4.0, 1.0) < 4.0


def test_weight_returns_where_runs_were_faster():
    balance = Balance(1.0, True)
    balance.update(4.0, 1.0)
    assert balance.update(100.0, 0.01) == pytest.approx(100.0**0.25)  # from the best weight, half as far
    assert balance.best == 1.0


def test_weight_stays_within_a_hundred_of_its_start():
    balance = Balance(1.0, True)
    weights = [balance.update(1e9, 1.0) for _ in range(20)]
    assert max(weights) == pytest.approx(100.0)


@pytest.mark.parametrize(("ratio", "rate"), [(0.0, 1.0), (math.inf, 1.0), (math.nan, 1.0), (2.0, math.inf)])
def test_weight_ignores_degenerate_runs(ratio, rate):
    assert Balance(3.0, True).update(ratio, rate) == 3.0


def test_fixed_weight_stays():
    assert Balance(3.0, False).update(100.0, 1.0) == 3.0
