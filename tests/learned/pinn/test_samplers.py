"""Samplers: the contract on boxes and other domains, and what each of them does with a residual."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from sciml.learned.pinn import Ball, Box
from sciml.learned.pinn.density import KnotheRosenblatt, KRNet
from sciml.learned.pinn.samplers import AAS, DASG, DASR, R3, RAD, RAR, RARD, SAMPLERS, Points, Sobol, Uniform
from sciml.testing import check_sampler

SQUARE = Box([-1.0, -1.0], [1.0, 1.0])
DOMAINS = {"box": SQUARE, "holed": SQUARE - Ball([0.0, 0.0], 0.5), "line": Box([0.0], [2.0])}
CHEAP = {"das-g": {"steps": 2, "pool": 100}, "das-r": {"steps": 2, "pool": 100}}
CHEAP["aas"] = {"steps": 2, "pool": 100, "prefit_rounds": 1}
LEARNING = {
    "aas": {"pool": 400, "steps": 12, "lr": 0.03, "prefit_rounds": 6},
    "das-g": {"pool": 400, "steps": 20, "lr": 0.03},
    "das-r": {"pool": 400, "steps": 20, "lr": 0.03},
}
PEAK = torch.tensor([0.5, 0.5], dtype=torch.float64)


def peak(x: torch.Tensor) -> torch.Tensor:
    return torch.exp(-200.0 * ((x - PEAK) ** 2).sum(1))


def near(points: Points) -> float:
    """Share of points within 0.2 of the peak: 3 % of the square."""
    return float(((points.x - PEAK).norm(dim=1) < 0.2).double().mean())


def run(sampler, residual=peak, n=500, calls=6, seed=0):
    rng = np.random.default_rng(seed)
    sampler.prefit(residual, rng)
    for _ in range(calls):
        points = sampler.sample(residual, n, rng)
    return points


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("name", SAMPLERS)
def test_contract(name, domain):
    check_sampler(lambda: SAMPLERS[name](DOMAINS[domain], **CHEAP.get(name, {})), n=64)


class Escaping(Uniform):
    def sample(self, residual, n, rng):
        return Points(3.0 * self.domain.sample(n, rng), torch.full((n,), 2.0, dtype=torch.float64))


class Forgetful(R3):
    def load(self, state):
        pass


@pytest.mark.parametrize(
    ("kind", "message"),
    [(Escaping, "outside the domain"), (Escaping, "average 2"), (Forgetful, "took up a saved state")],
)
def test_checks_find_broken_samplers(kind, message):
    sentences = check_sampler(lambda: kind(SQUARE), raise_on_failure=False)
    assert any(message in sentence for sentence in sentences)


@pytest.mark.parametrize("name", ["rar", "rar-d", "rad", "r3", "das-g", "das-r", "aas"])
def test_adaptive_samplers_gather_where_the_residual_is(name):
    sampler = SAMPLERS[name](SQUARE, **LEARNING.get(name, {}))
    assert near(run(sampler)) > (0.07 if name == "r3" else 0.25)


@pytest.mark.parametrize("name", ["uniform", "sobol", "halton"])
def test_uniform_samplers_do_not(name):
    assert near(run(SAMPLERS[name](SQUARE))) < 0.06


@pytest.mark.parametrize("name", SAMPLERS)
def test_settings_say_how_a_sampler_was_set_up(name):
    """They enter the fingerprint of a run, so they are JSON and differ where samplers do."""
    changed = {"uniform": {"fresh": False}, "sobol": {"fresh": False}, "halton": {"fresh": False}, "r3": {}}
    changed |= {"rar": {"add": 0.2}, "rar-d": {"power": 1.0}, "rad": {"floor": 2.0}}
    plain, other = (SAMPLERS[name](SQUARE, **more).settings for more in ({}, changed.get(name, {"lr": 0.5})))
    assert json.loads(json.dumps(plain)) == plain
    assert (plain == other) == (name == "r3")


@pytest.mark.parametrize("name", SAMPLERS)
def test_unknown_settings_are_type_errors(name):
    with pytest.raises(TypeError, match="points"):
        SAMPLERS[name](SQUARE, points=3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RAD(SQUARE, power=0.0), "power is 0.0"),
        (lambda: RAD(SQUARE, floor=-1.0), "floor is -1.0"),
        (lambda: RAD(SQUARE, importance=2.0), "importance is 2.0; expected a number from 0 to 1"),
        (lambda: RAR(SQUARE, pool=0), "pool is 0; expected a positive integer"),
        (lambda: RARD(SQUARE, start=0.9, add=0.2), "together at most 1"),
        (lambda: AAS(SQUARE, beta=1.0, beta_rel=1.0), "expected one of them"),
        (lambda: AAS(SQUARE, beta=0.0), "beta is 0.0; expected a positive number"),
        (lambda: AAS(SQUARE, uniform=-0.1), "uniform is -0.1"),
        (lambda: AAS(SQUARE, uniform=0.9, source=0.2), "expected at most 1 together"),
        (lambda: AAS(SQUARE, density="gaussian"), "density is 'gaussian'"),
        (lambda: DASR(SQUARE, density=KRNet([0.0], [1.0])), "dimension 1; expected 2"),
        (lambda: DASG(SQUARE, lr=0.0), "lr is 0.0"),
        (lambda: Uniform(SQUARE).sample(peak, 0, np.random.default_rng(0)), "n is 0"),
    ],
)  # fmt: skip
def test_bad_values(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_residual_of_another_shape_is_one_error():
    with pytest.raises(ValueError, match=r"residual has shape \(40000, 1\); expected \(40000,\)"):
        run(RAD(SQUARE), lambda x: x[:, :1])


def test_fixed_points_stay_and_fresh_ones_do_not():
    for kind in (Uniform, Sobol):
        first, second = (run(kind(SQUARE, fresh=False), calls=k).x for k in (1, 3))
        assert torch.equal(first, second)
        assert not torch.equal(first, run(kind(SQUARE), calls=3).x)


def test_sobol_fills_the_square_evenly():
    x = run(Sobol(SQUARE), n=1024).x
    counts = torch.histogramdd(x, [32, 32], range=[-1.0, 1.0, -1.0, 1.0]).hist
    assert counts.min() == 1
    assert counts.max() == 1


def test_growing_sets_keep_their_start_and_grow_to_n():
    sampler, rng, sizes = RAR(SQUARE, start=0.5, add=0.1), np.random.default_rng(0), []
    for _ in range(8):
        points = sampler.sample(peak, 100, rng)
        sizes.append(len(points.x))
    assert sizes == [60, 70, 80, 90, 100, 100, 100, 100]
    assert torch.equal(points.x[:50], sampler.memory["first"])


def test_rar_adds_the_largest_residuals():
    rng = np.random.default_rng(0)
    points = RAR(SQUARE, pool=5000).sample(peak, 100, rng)
    candidates = SQUARE.sample(20_000, np.random.default_rng(1))
    assert float(peak(points.x[50:]).min()) > float(peak(candidates).quantile(0.99))


def test_r3_retains_points_above_the_mean():
    sampler, rng = R3(SQUARE), np.random.default_rng(0)
    before = sampler.sample(peak, 400, rng).x
    kept = before[peak(before) > peak(before).mean()]
    after = sampler.sample(peak, 400, rng).x
    assert torch.equal(after[: len(kept)], kept)
    assert 0 < len(kept) < 400


def test_importance_one_averages_over_the_domain():
    """Self-normalised weights with exponent one make every sampler estimate the same mean."""
    truth = np.pi / 200 / 4
    for name in ("aas", "rad"):
        more = LEARNING.get(name, {})
        points = run(SAMPLERS[name](SQUARE, importance=1.0, **more), n=20_000)
        assert float((points.weight * peak(points.x)).mean()) == pytest.approx(truth, rel=0.1)
        plain = run(SAMPLERS[name](SQUARE, importance=0.0, **more), n=8000)
        assert float((plain.weight * peak(plain.x)).mean()) > 3 * truth


def test_replay_keeps_its_share():
    sampler, rng = AAS(SQUARE, replay=0.25, **CHEAP["aas"]), np.random.default_rng(0)
    before = sampler.sample(peak, 400, rng).x
    after = sampler.sample(peak, 400, rng).x
    assert int((after[:, None] == before).all(2).any(1).sum()) == 100


def test_beta_turns_concentration_into_uniformity():
    """The absolute beta of the paper: large against the residual it leaves the density uniform."""
    shares = [
        near(run(AAS(SQUARE, beta=beta, uniform=0.0, source=0.0, pool=400, steps=30, lr=0.03)))
        for beta in (1e-4, 1e3)
    ]
    assert shares[0] > 0.12
    assert shares[1] < 0.06


def test_beta_rel_does_not_see_the_scale_of_the_residual():
    shares = [
        near(run(AAS(SQUARE, **LEARNING["aas"]), lambda x, s=s: s * peak(x), calls=1))
        for s in (1e-6, 1.0, 1e6)
    ]
    assert max(shares) - min(shares) < 0.05
    assert min(shares) > 0.25


def test_density_of_your_own():
    density = KnotheRosenblatt([-1.0, -1.0], [1.0, 1.0], bins=4)
    sampler = AAS(SQUARE, density=density, **CHEAP["aas"])
    run(sampler, calls=2)
    assert sampler.density is density
    assert float(density.first.detach().abs().max()) > 0


def test_source_is_not_forgotten():
    """Whatever becomes of the density, a share of the points stays where the source was."""
    sampler, rng = AAS(SQUARE, source=0.6, **LEARNING["aas"]), np.random.default_rng(0)
    sampler.prefit(peak, rng)
    with torch.no_grad():
        for parameter in sampler.density.parameters():
            parameter.zero_()
    points = sampler.sample(lambda x: torch.ones_like(x[:, 0]), 1000, rng)
    assert near(Points.plain(sampler.density.sample(1000, rng))) < 0.06
    assert near(points) > 0.12


def test_prefit_finds_a_peak_that_uniform_points_miss():
    """In five dimensions, of 400 uniform points about one lies within half of the distance to a face."""
    cube = Box([-1.0] * 5, [1.0] * 5)
    sampler = AAS(cube, pool=400, steps=15, lr=0.03, prefit_rounds=10)
    points = run(sampler, lambda x: torch.exp(-10.0 * (x**2).sum(1)), n=1000, calls=1)
    assert float((points.x.norm(dim=1) < 0.7).double().mean()) > 0.1
