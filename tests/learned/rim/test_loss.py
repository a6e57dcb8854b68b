"""The loss weighs every step by its own weight, which the public code does not."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from sciml.learned.rim import step_weights  # noqa: E402
from sciml.learned.rim.loss import LOSSES, unrolled_loss  # noqa: E402


def test_weights_of_the_paper():
    weights = step_weights(8)
    assert float(weights.sum()) == pytest.approx(3.311, abs=1e-3)
    assert float(weights[0]) == pytest.approx(0.1)
    assert float(weights[-1]) == pytest.approx(1.0)
    assert torch.equal(step_weights(8, "uniform"), torch.ones(8))
    steep = step_weights(8, "steep")
    torch.testing.assert_close(steep[1:] / steep[:-1], torch.full((7,), 10**0.5))
    assert float(steep[-1]) == 1.0
    assert torch.equal(step_weights(1), torch.ones(1))


@pytest.mark.parametrize("t", range(4))
def test_every_step_has_its_own_weight(t):
    """Only step `t` is wrong: the loss is its weight, not the sum of all weights."""
    errors = [torch.tensor(1.0 if i == t else 0.0) for i in range(4)]
    assert float(unrolled_loss(errors, 4)) == pytest.approx(float(step_weights(4)[t]) / 4)


def test_gradients_of_the_steps_are_in_the_ratio_of_their_weights():
    errors = torch.ones(8, requires_grad=True)
    unrolled_loss(list(errors), 8).backward()
    torch.testing.assert_close(errors.grad / errors.grad[-1], step_weights(8))


def test_cascades_are_averaged():
    errors = [torch.tensor(float(v)) for v in (1, 2, 3, 4)]
    w = step_weights(2)
    expected = (w[0] * 1 + w[1] * 2 + w[0] * 3 + w[1] * 4) / 4
    assert float(unrolled_loss(errors, 2)) == pytest.approx(float(expected))


def test_losses_see_phase_and_scale():
    x = torch.tensor([1.0 + 0j, 0.0])
    assert float(LOSSES["l1"](1j * x, x)) == pytest.approx(2**0.5 / 2)
    assert float(LOSSES["mse"](2 * x, x)) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="weighting is 'linear'; expected one of logspace, steep, uniform"):
        step_weights(8, "linear")


@pytest.mark.parametrize("name", ["l1", "mse"])
def test_logarithms_see_the_ratio_of_errors_only(name):
    x = torch.tensor([1.0 + 0j, 0.0])
    plain, logarithm = LOSSES[name], LOSSES[f"log-{name}"]
    assert float(logarithm(1.01 * x, x).exp()) == pytest.approx(float(plain(1.01 * x, x)), rel=1e-4)
    small, large = (float(logarithm(x + 2 * e, x) - logarithm(x + e, x)) for e in (1e-2, 10.0))
    assert small == pytest.approx(large, rel=1e-4)
    assert torch.isfinite(logarithm(x, x))
