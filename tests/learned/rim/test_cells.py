"""Cells and networks: parameter counts of the papers, equations by hand, what the initial weights do."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sciml.learned.rim import CELLS, CIRIM, RIM  # noqa: E402
from sciml.learned.rim.network import UpdateNetwork, from_channels, to_channels  # noqa: E402


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({"cell": "indrnn"}, 52_992),
        ({"cell": "mgu"}, 77_568),
        ({"cell": "gru"}, 94_080),
        ({"cell": "indrnn", "recurrent_kernel": 3}, 118_528),
        ({"cell": "gru", "recurrent_kernel": 3}, 487_296),
        ({"cell": "indrnn", "channels": 128}, 196_096),
        ({"cell": "indrnn", "cascades": 5}, 264_960),
        ({"cell": "indrnn", "cascades": 8}, 423_936),
        ({"cell": "indrnn", "step": "explicit"}, 52_992 + 8),
        ({"cell": "indrnn", "step": "cg", "consistency": "implicit"}, 52_992 + 8 + 1),
        ({"cell": "indrnn", "step": "cg"}, 52_992 + 8 + 1 + 2),
        ({"cell": "indrnn", "cascades": 2, "consistency": "explicit"}, 2 * 52_992 + 2),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else None,
)
def test_parameter_counts(settings, count):
    assert RIM(**{"channels": 64, "step": "learned", **settings}).parameter_count == count


def test_the_cascade_of_the_paper():
    assert CIRIM().parameter_count == 264_960
    assert CIRIM().config["cascades"] == 5


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_hand(name, cell, a, h):
    """The equations of the cells on the vectors of one pixel."""
    state = {k: v.detach().numpy().squeeze((2, 3)) if v.ndim == 4 else v.detach().numpy()
             for k, v in cell.state_dict().items()}  # fmt: skip
    W, b = state["from_input.weight"], state["from_input.bias"]
    n = len(a)
    if name == "indrnn":
        return np.maximum(W @ a + b + cell.u.detach().numpy().reshape(-1) * h, 0)
    U = state["from_hidden.weight"]
    parts_w, parts_b, parts_u = ([v[i : i + n] for i in range(0, len(v), n)] for v in (W, b, U))
    if name == "gru":
        r = sigmoid(parts_w[0] @ a + parts_b[0] + parts_u[0] @ h)
        z = sigmoid(parts_w[1] @ a + parts_b[1] + parts_u[1] @ h)
        c = np.tanh(parts_w[2] @ a + parts_b[2] + r * (parts_u[2] @ h))
        return (1 - z) * c + z * h
    f = sigmoid(parts_w[0] @ a + parts_b[0] + parts_u[0] @ h)
    c = np.tanh(parts_w[1] @ a + parts_b[1] + f * (parts_u[1] @ h))
    return c + f * (h - c)


@pytest.mark.parametrize("name", CELLS)
def test_cells_follow_their_equations(name, rng):
    torch.manual_seed(1)
    cell = CELLS[name](6)
    with torch.no_grad():
        cell.from_input.bias.normal_()
        if name == "indrnn":
            cell.u.normal_()
    a, h = (rng.standard_normal((1, 6, 3, 2)).astype(np.float32) for _ in range(2))
    found = cell(torch.from_numpy(a), torch.from_numpy(h)).detach().numpy()
    for i in range(3):
        for j in range(2):
            expected = by_hand(name, cell, a[0, :, i, j], h[0, :, i, j])
            np.testing.assert_allclose(found[0, :, i, j], expected, rtol=2e-5, atol=2e-6)


def test_indrnn_starts_as_nearly_no_memory():
    torch.manual_seed(0)
    cell = CELLS["indrnn"](64)
    assert float(cell.u.detach().std()) == pytest.approx(1 / 128, rel=0.3)
    assert float(cell.from_input.weight.detach().std()) == pytest.approx(1 / 128, rel=0.1)


def test_gates_start_orthogonal():
    torch.manual_seed(0)
    for part in CELLS["gru"](8).from_hidden.weight.detach().squeeze().chunk(3):
        np.testing.assert_allclose(part @ part.T, np.eye(8), atol=1e-5)


def test_a_step_sees_eleven_pixels():
    torch.manual_seed(0)
    network = UpdateNetwork(1, 8, "indrnn")
    with torch.no_grad():
        for layer in (network.memory1.from_input, network.memory2.from_input):
            layer.weight.normal_()
    features = torch.zeros(1, 2, 31, 31)
    base, _ = network(features, None)
    features[0, :, 15, 15] = 1.0
    changed, _ = network(features, None)
    rows, columns = np.nonzero((changed - base).abs().detach().numpy()[0, 0] > 0)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 20, 10, 20)


def test_a_constant_image_stays_constant():
    """The border is repeated, not filled with zeros."""
    torch.manual_seed(0)
    out, _ = UpdateNetwork(1, 4, "gru")(torch.ones(1, 2, 9, 9), None)
    assert float(out.detach().amax() - out.detach().amin()) < 1e-6


@pytest.mark.parametrize("dtype", ["float32", "complex64", "complex128"])
@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 5)], ids=["image", "batch"])
def test_images_pass_through_channels_unchanged(dtype, shape, rng):
    x = torch.from_numpy(rng.standard_normal(shape).astype(dtype))
    channels = to_channels(x)
    assert channels.shape == (int(np.prod(shape[:-2])), 2 if x.is_complex() else 1, 4, 5)
    assert torch.equal(from_channels(channels, x), x)
