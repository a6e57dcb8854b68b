"""Networks: published sizes, any grid, the operator's contract, weight files."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sciml import PoissonOperator, cg, fcg  # noqa: E402
from sciml.learned import load, load_weights, save_weights  # noqa: E402
from sciml.learned.dcd import ARCHITECTURES, DCDNetwork, DirectionNet, architecture  # noqa: E402
from sciml.problems import poisson  # noqa: E402
from sciml.testing import check_operator, check_preconditioner  # noqa: E402


@pytest.mark.parametrize(("name", "count"), [("dcd-64", 97_457), ("dcd-128", 152_881)])
def test_published_networks_have_the_published_number_of_parameters(name, count):
    assert sum(p.numel() for p in DirectionNet(**architecture(name, 3)).parameters()) == count


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_any_grid_goes_through(name, ndim):
    net = DirectionNet(**architecture(name, ndim))
    grid = (9, 12, 5)[:ndim]
    r = torch.randn(2, *grid)
    with torch.no_grad():
        y = net(r)
        assert y.shape == r.shape
        assert bool(torch.isfinite(y).all())
        assert torch.allclose(net(r[1:])[0], y[1], atol=1e-5 * float(y.abs().max()))


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_linear_network_is_linear_and_the_others_are_not(ndim):
    u, v = torch.randn(2, 1, *(8,) * ndim)
    gaps = {}
    for name in ARCHITECTURES:
        net = DirectionNet(**architecture(name, ndim))
        with torch.no_grad():
            together, apart = net(2 * u - 3 * v), 2 * net(u) - 3 * net(v)
        gaps[name] = float((together - apart).norm() / apart.norm())
    assert gaps.pop("linear") < 1e-5
    assert min(gaps.values()) > 1e-3


def test_a_network_that_starts_near_multigrid_helps_before_training():
    problem = poisson((64, 64), seed=3)
    network = DCDNetwork.untrained("linear", (64, 64))
    assert cg(problem.A, problem.b, M=network).iterations < 0.75 * cg(problem.A, problem.b).iterations


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"before": 3}, "before is 3; expected an even number"),
        ({"channels": 0}, "channels is 0; expected an integer from 1 to 1024"),
        ({"levels": 1.5}, r"levels is 1\.5; expected an integer from 0 to 16"),
        ({"ndim": 4}, "ndim is 4; expected 2 or 3"),
    ],
    ids=["odd", "channels", "levels", "ndim"],
)
def test_bad_settings(settings, sentence):
    good = {"ndim": 2, "channels": 2, "levels": 1, "before": 2, "bottom": 1, "after": 1}
    with pytest.raises(ValueError, match=sentence):
        DirectionNet(**{**good, **settings})


def test_unknown_architecture():
    with pytest.raises(ValueError, match="architecture is 'unet'; expected one of dcd-64"):
        architecture("unet", 2)


# -- as an operator -----------------------------------------------------------------------------
@pytest.fixture(params=["numpy", "torch"])
def library(request):
    return request.param


def systems(library):
    solid = np.zeros((12, 10), dtype=bool)
    solid[4:7, 3:5] = True
    return {
        "box": PoissonOperator((12, 10), backend=library),
        "obstacle": PoissonOperator((12, 10), cells=solid, backend=library),
        "singular": PoissonOperator((12, 10), cells=solid, bc="neumann", backend=library),
    }


@pytest.mark.parametrize("geometry", ["box", "obstacle", "singular"])
def test_operator_keeps_the_contract(geometry, library):
    A = systems(library)[geometry]
    like = None if library == "numpy" else torch.zeros(1)
    network = DCDNetwork.untrained("small", (16, 16)).on(A)
    assert "linear" not in network.properties
    assert check_operator(network, like=like) == []
    assert check_preconditioner(network, A, like=like) == []


@pytest.mark.parametrize("solve", [cg, fcg], ids=["cg", "fcg"])
@pytest.mark.parametrize("geometry", ["box", "obstacle", "singular"])
def test_solvers_take_it(solve, geometry, library, rng):
    A = systems(library)[geometry]
    values = np.where(A.fluid, rng.standard_normal(A.in_shape), 0.0)
    b = A @ (values if library == "numpy" else torch.from_numpy(values))
    result = solve(A, b, M=DCDNetwork.untrained("linear", A.in_shape).on(A), rtol=1e-8)
    assert result.converged
    assert type(result.x) is type(b)


def test_both_libraries_give_the_same(rng):
    r = rng.standard_normal((8, 8))
    network = DCDNetwork.untrained("small", (8, 8))
    np.testing.assert_allclose(network(torch.from_numpy(r)).numpy(), network(r), rtol=1e-6)


@pytest.mark.parametrize("exponent", [-100, 0, 100])
def test_scale_of_the_residual_passes_through(exponent, rng):
    r = rng.standard_normal((8, 8))
    network = DCDNetwork.untrained("dcd-64", (8, 8))
    np.testing.assert_allclose(network(r * 10.0**exponent) / 10.0**exponent, network(r), rtol=1e-5)


def test_cells_that_are_not_unknowns_do_not_matter(rng):
    A = systems("numpy")["obstacle"]
    network = DCDNetwork.untrained("small", (12, 10)).on(A)
    r = rng.standard_normal((12, 10))
    z = network(r)
    np.testing.assert_allclose(z[~A.fluid], r[~A.fluid] / A.diagonal_table[255])
    np.testing.assert_array_equal(network(np.where(A.fluid, r, 7.0))[A.fluid], z[A.fluid])


def test_a_matrix_of_the_right_size_is_taken(rng):
    A = PoissonOperator((8, 8))
    network = DCDNetwork.untrained("linear", (8, 8))
    assert cg(A.tocsr(), rng.standard_normal(64), M=network.on(A.tocsr())).converged


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda n: n.on(PoissonOperator((4, 4, 4))), ValueError, "expected a grid with 2 axes"),
        (lambda n: n.on(np.ones((3, 4))), ValueError, r"A has shape \(3, 4\)"),
        (lambda n: n.on(np.eye(5)), ValueError, "expected a grid with 2 axes"),
        (lambda n: DCDNetwork(n.net, (4, 4, 4)), ValueError, "shape is"),
        (lambda n: n(np.ones((8, 8), complex)), TypeError, "complex128"),
        (lambda n: n(torch.ones(8, 8, device="meta")), TypeError, "x lives on device meta"),
    ],
    ids=["axes", "wide", "matrix", "shape", "complex", "device"],
)
def test_errors_are_clear(make, error, sentence):
    with pytest.raises(error, match=sentence):
        make(DCDNetwork.untrained("linear", (8, 8)))


def test_other_libraries_are_refused():
    strict = pytest.importorskip("array_api_strict")
    with pytest.raises(TypeError, match="takes numpy and torch arrays"):
        DCDNetwork.untrained("linear", (8, 8))(strict.ones((8, 8)))


# -- weight files -------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["small", "linear", "dcd-64"])
def test_saved_and_loaded_networks_are_equal(name, tmp_path, rng):
    network = DCDNetwork.untrained(name, (8, 8), seed=4)
    path = network.save(tmp_path / "n.safetensors", training={"command": "none"})
    again = load(path)
    assert isinstance(again, DCDNetwork)
    r = rng.standard_normal((8, 8))
    np.testing.assert_array_equal(again(r), network(r))


def mutilated(tmp_path, change):
    network = DCDNetwork.untrained("linear", (8, 8))
    found = load_weights(network.save(tmp_path / "n.safetensors", training={}))
    config, tensors = dict(found.config), dict(found.tensors)
    change(config, tensors)
    return save_weights(tmp_path / "m.safetensors", "dcd", tensors, config=config)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c, t: t.pop("first.weight"), "lacks the tensor 'first.weight'"),
        (lambda c, t: t.update(extra=np.zeros(1, np.float32)), "holds a tensor 'extra'"),
        (
            lambda c, t: c.update(channels=4),
            r"'first.weight' has shape \(8, 1, 3, 3\); expected \(4, 1, 3, 3\)",
        ),
        (lambda c, t: t.update({"first.weight": t["first.weight"].astype(float)}), "is float64"),
        (lambda c, t: t.update({"first.weight": t["first.weight"] * np.nan}), "contains NaN"),
        (lambda c, t: c.pop("shape"), r"its configuration builds no network \('shape'\)"),
        (lambda c, t: c.update(depth=3), "its configuration builds no network .*'depth'"),
        (lambda c, t: c.update(channels="8"), "its configuration builds no network .*channels"),
        (lambda c, t: c.update(shape=[8, 8, 8]), "its configuration builds no network"),
        (lambda c, t: c.update(levels=10**9), "its configuration builds no network .*levels is 1000000000"),
        (lambda c, t: c.update(channels=1024), "'first.weight' has shape"),
    ],
    ids=[
        "missing",
        "extra",
        "shape",
        "dtype",
        "nan",
        "no-grid",
        "unknown",
        "type",
        "axes",
        "endless",
        "huge",
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(change, sentence, tmp_path):
    path = mutilated(tmp_path, change)
    with pytest.raises(ValueError, match=sentence) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_weights_of_another_component_are_refused(tmp_path):
    path = save_weights(tmp_path / "w.safetensors", "rim", {"a": np.zeros(1)}, config={})
    with pytest.raises(ValueError, match="holds weights of a 'rim' component; expected 'dcd'"):
        DCDNetwork.from_weights(path)
