"""Densities: invertibility, normalisation, and the exact maximiser as an oracle of the adversarial ascent."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml.learned.pinn.density import (
    DENSITIES,
    KnotheRosenblatt,
    KRNet,
    cross_entropy,
    exact_maximiser,
    fit_density,
    penalised_mean,
)
from sciml.testing import check_density

CELLS = 32


def disturbed(name: str, dimension: int, size: float, seed: int = 0) -> torch.nn.Module:
    """A density with random weights."""
    lower, upper = [-1.0] * dimension, [1.0 + i for i in range(dimension)]
    density = DENSITIES[name](lower, upper)
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in density.parameters():
            parameter += size * torch.as_tensor(rng.standard_normal(parameter.shape))
    return density


@pytest.mark.parametrize("dimension", [1, 2, 3, 6])
@pytest.mark.parametrize("name", DENSITIES)
def test_contract(name, dimension):
    check_density(disturbed(name, dimension, 0.3 if name == "knothe-rosenblatt" else 0.05))


class Elsewhere(KnotheRosenblatt):
    """Its samples crowd towards one corner of the box."""

    def sample(self, n, rng):
        x = super().sample(n, rng)
        return self.lower + (x - self.lower) ** 2 / (self.upper - self.lower)


class Doubled(KnotheRosenblatt):
    def log_prob(self, x):
        return super().log_prob(x) + 0.7


class OneWay(KnotheRosenblatt):
    def inverse(self, z):
        return super().inverse(z**2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [(Elsewhere, "do not follow"), (Doubled, "do not follow"), (OneWay, "differs from x")],
)
def test_contract_finds_a_density_that_lies(wrong, message):
    density = wrong([-1.0, -1.0], [1.0, 2.0])
    with torch.no_grad():
        density.first[:, 0] += 1.0
    assert any(message in sentence for sentence in check_density(density, raise_on_failure=False))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16), size=st.floats(0.0, 2.0))
def test_knothe_rosenblatt_inverts_to_rounding(seed, size):
    density = disturbed("knothe-rosenblatt", 3, size, seed)
    u = torch.as_tensor(np.random.default_rng(seed).random((200, 3)))
    with torch.no_grad():
        z, _ = density(density.inverse(u))
    assert float((z - u).abs().max()) < 1e-10


def grid(n: int) -> torch.Tensor:
    axis = (torch.arange(n, dtype=torch.float64) + 0.5) / n * 2 - 1
    return torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)


@pytest.mark.parametrize("size", [0.0, 0.5, 2.0])
def test_knothe_rosenblatt_has_mass_one(size):
    """Gauss points within the cells integrate the conditionals of the last axis exactly."""
    density = disturbed("knothe-rosenblatt", 2, size)
    nodes, weights = np.polynomial.legendre.leggauss(4)
    bins = density.bins
    axis = ((np.arange(bins)[:, None] + 0.5 + nodes / 2) / bins).ravel()
    line = np.tile(weights / 2 / bins, bins)
    y = torch.as_tensor(np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2))
    x = density.lower + (density.upper - density.lower) * y
    with torch.no_grad():
        p = density.log_prob(x).exp()
    mass = float((p * torch.as_tensor(np.outer(line, line).ravel())).sum()) * 6.0
    assert mass == pytest.approx(1.0, abs=1e-6)


def test_densities_are_uniform_before_training_where_they_can():
    with torch.no_grad():
        bounded, krnet = (kind([-1, -1], [1, 1]).log_prob(grid(8)).exp() for kind in DENSITIES.values())
    assert torch.allclose(bounded, torch.full_like(bounded, 0.25))
    assert float(krnet.std()) > 0.1


FIELDS = {
    "wave": lambda x: (1 + torch.sin(np.pi * x[:, 0]) * torch.cos(np.pi * x[:, 1])) ** 2,
    "peak": lambda x: torch.exp(-20 * ((x - 0.4) ** 2).sum(1)),
}


def relative_error(density: torch.nn.Module, exact: np.ndarray) -> float:
    with torch.no_grad():
        p = density.log_prob(grid(len(exact))).exp().numpy().reshape(exact.shape)
    return float(np.linalg.norm(p - exact) / np.linalg.norm(exact))


@pytest.mark.parametrize(("field", "beta"), [("wave", 0.3), ("peak", 0.06)])
def test_ascent_reaches_the_exact_maximiser(field, beta):
    torch.manual_seed(0)
    density = KnotheRosenblatt([-1.0, -1.0], [1.0, 1.0], bins=16)
    x = grid(CELLS)
    target, weight = FIELDS[field](x), torch.full((CELLS**2,), 4.0 / CELLS**2).double()
    fit_density(density, lambda: -penalised_mean(density, x, target, weight, beta), steps=250)
    exact = exact_maximiser(FIELDS[field](grid(128)).numpy().reshape(128, 128), beta, [-1, -1], [1, 1])
    assert exact.max() > 1.5 * exact.min()
    assert relative_error(density, exact) < 0.03


def test_exact_maximiser_solves_its_equation():
    """A cosine is an eigenfunction: p = (1 + c cos πx / (2 β π²)) / area on the unit square."""
    n, beta = 256, 0.2
    axis = (np.arange(n) + 0.5) / n
    cosine = np.cos(np.pi * axis)[:, None] * np.ones(n)
    p = exact_maximiser(3.0 + cosine, beta, [0.0, 0.0], [1.0, 1.0])
    np.testing.assert_allclose(p, 1 + cosine / (2 * beta * np.pi**2), atol=1e-4)


def test_exact_maximiser_in_space_and_on_long_boxes():
    n = 32
    axis = (np.arange(n) + 0.5) / n
    cosine = np.cos(np.pi * axis)[:, None, None] * np.ones((n, n, n))
    p = exact_maximiser(5.0 + cosine, 3.0, [0, 0, 0], [2, 1, 1])
    assert p.mean() * 2 == pytest.approx(1.0, rel=1e-12)
    np.testing.assert_allclose(p, 0.5 + cosine * 4 / (2 * 3.0 * np.pi**2), atol=1e-3)


def test_exact_maximiser_says_which_beta_it_needs():
    target = FIELDS["peak"](grid(64)).numpy().reshape(64, 64)
    with pytest.raises(ValueError, match=r"beta is 1e-05, .* expected at least (\S+)") as caught:
        exact_maximiser(target, 1e-5, [-1, -1], [1, 1])
    least = float(str(caught.value).split()[-1])
    assert exact_maximiser(target, 1.01 * least, [-1, -1], [1, 1]).min() >= 0
    with pytest.raises(ValueError, match="negative"):
        exact_maximiser(target, 0.99 * least, [-1, -1], [1, 1])


@pytest.mark.parametrize(("name", "tolerance"), [("knothe-rosenblatt", 0.15), ("krnet", 0.5)])
def test_cross_entropy_fits_a_density(name, tolerance):
    torch.manual_seed(0)
    density = DENSITIES[name]([-1.0, -1.0], [1.0, 1.0])
    x = grid(CELLS + 7)  # centres of the density's own cells would not see a sawtooth
    target = FIELDS["peak"](x)
    losses = fit_density(density, lambda: cross_entropy(density, x, target), steps=200)
    assert losses[-1] < losses[0]
    fine = FIELDS["peak"](grid(128)).numpy().reshape(128, 128)
    assert relative_error(density, fine / (fine.mean() * 4)) < tolerance


def test_subtracting_the_mean_changes_the_objective_by_a_constant_only():
    density, x = disturbed("knothe-rosenblatt", 2, 0.3), grid(16)
    x = density.lower + (density.upper - density.lower) * (x + 1) / 2
    weight = torch.full((256,), 6.0 / 256).double()
    a, b = (penalised_mean(density, x, t, weight, 0.1) for t in (x[:, 0], x[:, 0] + 5.0))
    assert float((a - b).detach()) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: KnotheRosenblatt([0, 0], [1]), "lower has 2 values and upper 1"),
        (lambda: KnotheRosenblatt([0], [0]), "expected lower < upper"),
        (lambda: KnotheRosenblatt([0], [1], bins=0), "bins is 0"),
        (lambda: KRNet([0], [1], bins=5), "expected an even number"),
        (lambda: KRNet([0], [1], depth=0), "depth is 0"),
        (lambda: KRNet([0], [1]).log_prob(torch.zeros(3, 2)), r"x has shape \(3, 2\); expected \(n, 1\)"),
        (lambda: exact_maximiser(np.ones((4, 4)), 0.0, [0, 0], [1, 1]), "beta is 0.0"),
        (lambda: exact_maximiser(np.ones(4), 1.0, [0], [1]), "expected 2 or 3 axes"),
    ],
)
def test_bad_values(make, message):
    with pytest.raises(ValueError, match=message):
        make()
