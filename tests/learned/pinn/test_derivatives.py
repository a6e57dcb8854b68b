"""Jets against nested automatic differentiation, and the hand-written reverse mode against autograd."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from sciml.learned.pinn import MLP  # noqa: E402
from sciml.learned.pinn.derivatives import Channels, Jet  # noqa: E402

NETS = {
    "2-d": ({"lower": [-1, 0], "upper": [1, 3]}, ("laplacian",)),
    "periodic": (
        {"lower": [-1, 0, 0], "upper": [1, 1, 2], "periodic": (1,), "harmonics": 2},
        ((0, 2), (1, 1)),
    ),
    "odd and even": (
        {"lower": [-1, 0], "upper": [1, 3], "parity": [(0, "odd"), (1, "even")]},
        ("laplacian", (0, 1), (0, 0)),
    ),
    "10-d": ({"lower": [-1] * 10, "upper": [1] * 10}, ("laplacian", (0, 9))),
}


@pytest.fixture(params=NETS.values(), ids=NETS.keys())
def case(request):
    """A network with random weights, its channels, and points in its box."""
    settings, seconds = request.param
    torch.manual_seed(0)
    net = MLP(**settings, hidden=(16, 12))
    with torch.no_grad():
        net.theta += 0.3 * torch.randn_like(net.theta)
    low, high = (torch.tensor(net.settings[name], dtype=torch.float64) for name in ("lower", "upper"))
    x = low + (high - low) * torch.rand(40, net.dimension, dtype=torch.float64)
    return net, Channels(net.dimension, True, seconds), x


def nested(function, x):
    """Values, gradients and Hessians by differentiating twice."""
    x = x.clone().requires_grad_()
    value = function(x)
    (grad,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    rows = [torch.autograd.grad(g.sum(), x, retain_graph=True)[0] for g in grad.unbind(1)]
    return value.detach(), grad.detach(), torch.stack(rows, dim=1)


def assert_same(jet, value, grad, hessian):
    tight = {"rtol": 1e-12, "atol": 1e-12}
    torch.testing.assert_close(jet.value, value, **tight)
    torch.testing.assert_close(jet.grad, grad, **tight)
    for second in jet.channels.seconds:
        if second == "laplacian":
            expected = hessian.diagonal(dim1=1, dim2=2).sum(1)
            torch.testing.assert_close(jet.laplacian, expected, **tight)
        else:
            torch.testing.assert_close(jet.second(*second), hessian[:, second[0], second[1]], **tight)
            torch.testing.assert_close(jet.second(*second[::-1]), jet.second(*second))


def test_network_equals_nested_differentiation(case):
    net, channels, x = case
    assert_same(net.record(x, channels).output, *nested(net, x))


def test_periodic_network_is_periodic(case):
    net, channels, x = case
    period = torch.zeros(net.dimension, dtype=torch.float64)
    for axis in net.settings["periodic"]:
        period[axis] = net.settings["upper"][axis] - net.settings["lower"][axis]
    there, back = (net.jet(x + shift, channels).data for shift in (0.0, period))
    torch.testing.assert_close(there, back)


@pytest.mark.parametrize(("word", "sign"), [("even", 1.0), ("odd", -1.0)])
def test_parity_is_about_the_centre_of_the_box(word, sign):
    net = MLP([0, 0], [2, 1], hidden=(6,), parity=[(0, word)])
    with torch.no_grad():
        net.theta.normal_()
    x = torch.rand(20, 2, dtype=torch.float64)
    mirrored = torch.stack([2 - x[:, 0], x[:, 1]], dim=1)
    torch.testing.assert_close(net(mirrored), sign * net(x))
    assert float(net(x).detach().abs().max()) > 0.01


def test_reverse_mode_equals_autograd(case):
    net, channels, x = case
    tape = net.record(x, channels)
    cotangent = torch.randn_like(tape.output.data)
    expected = torch.autograd.grad((net.jet(x, channels).data * cotangent).sum(), net.theta)[0]
    torch.testing.assert_close(tape.gradient(cotangent), expected, rtol=1e-11, atol=1e-11)
    rows = tape.jacobian(cotangent)
    torch.testing.assert_close(rows.sum(0), expected, rtol=1e-11, atol=1e-11)
    one = torch.autograd.grad((net.jet(x[5:6], channels).data[:, 0] * cotangent[:, 5]).sum(), net.theta)[0]
    torch.testing.assert_close(rows[5], one, rtol=1e-11, atol=1e-11)


def test_values_and_gradients_alone(case):
    net, _, x = case
    full = net.jet(x, Channels(net.dimension, True, ("laplacian",)))
    for channels in (Channels(net.dimension), Channels(net.dimension, True)):
        tape = net.record(x, channels)
        torch.testing.assert_close(tape.output.data, full.data[: channels.count])
        cotangent = torch.randn_like(tape.output.data)
        expected = torch.autograd.grad((net.jet(x, channels).data * cotangent).sum(), net.theta)[0]
        torch.testing.assert_close(tape.gradient(cotangent), expected, rtol=1e-11, atol=1e-11)


def test_forward_laplacian_does_less_work_than_nested_differentiation():
    """Work in matrix products in ten dimensions, counted; the time is in ``cases/pinn_smooth.py``."""
    net = MLP([-1] * 10, [1] * 10, hidden=(32, 32))
    x = torch.rand(64, 10, dtype=torch.float64)
    forward = _products(lambda: net.record(x, Channels(10, True, ("laplacian",))))
    reverse = _products(lambda: nested(net.forward, x))
    assert 1.7 * forward <= reverse


def _products(run):
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


FUNCTIONS = {
    "polynomial": lambda x: (1 - x[:, 0] ** 2) * x[:, 1] + 3 * x[:, 0] ** 3 - 2,
    "quotient": lambda x: (x[:, 0] - 1) / (2 + x[:, 1] ** 2) + 1 / (3 + x[:, 0]),
    "functions": lambda x: torch.exp(-(x[:, 0] ** 2)) * torch.sin(math.pi * x[:, 1]) + torch.tanh(x[:, 0]),
    "more functions": lambda x: (
        torch.sqrt(2 + x[:, 0]) * torch.log(3 + x[:, 1]) - torch.cos(x[:, 0] * x[:, 1])
    ),
    "erf": lambda x: torch.erf(x[:, 0] - x[:, 1]) * torch.erfc(x[:, 1]) + torch.atan(2 * x[:, 0]),
    "hyperbolic": lambda x: torch.sinh(x[:, 0]) * torch.cosh(x[:, 1]) - torch.sigmoid(x[:, 0] + x[:, 1]),
    "reductions": lambda x: torch.square(1 - x).prod(dim=1) + torch.sum(x**2, dim=1) * (-x).sum(dim=1),
    "left operands": lambda x: 2.0 - x[:, 0] + (1 + x[:, 1]) ** 0.5 * (5 * x[:, 0] - x[:, 1] / 4),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_expressions_equal_nested_differentiation(name, seed):
    generator = torch.Generator().manual_seed(seed)
    x = 1.6 * torch.rand(5, 2, dtype=torch.float64, generator=generator) - 0.8
    jet = FUNCTIONS[name](Jet.coordinates(x, Channels.all(2)))
    value, grad, hessian = nested(FUNCTIONS[name], x)
    assert_same(jet, value, grad, hessian)


def test_what_jets_do_not_take_is_said():
    x = Jet.coordinates(torch.ones(3, 2, dtype=torch.float64), Channels(2, True))
    with pytest.raises(TypeError, match=r"torch\.floor is not defined for jets"):
        torch.floor(x[:, 0])
    with pytest.raises(TypeError, match="no derivatives to carry along"):
        x[:, 0] * torch.ones(3)
    with pytest.raises(TypeError, match="cannot combine a jet with a str"):
        x[:, 0] + "a"
    with pytest.raises(ValueError, match="gradient=True"):
        Channels(2, False, ("laplacian",))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"hidden": ()}, "hidden is"),
        ({"periodic": (2,)}, "expected axes from 0 to 1"),
        ({"harmonics": 0}, "harmonics"),
        ({"parity": [(0, "both")]}, "expected .even. or .odd."),
        ({"parity": [(2, "odd")]}, "expected different axes"),
    ],
)
def test_network_settings_are_checked(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        MLP([0, 0], [1, 1], **settings)
