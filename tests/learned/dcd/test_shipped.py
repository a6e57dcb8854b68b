"""The shipped networks do what they were made for: half of CG's iterations, in the box and beyond."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from sciml import cg
from sciml.learned import load, shipped, shipped_names
from sciml.learned.dcd import dcd
from sciml.problems import poisson

SCENES = [("dcd2d", family) for family in (None, "balls", "boxes", "channels", "walls", "porous")]
SCENES += [("dcd3d", family) for family in (None, "balls", "boxes")]  # the others take too long for a test


@pytest.fixture(scope="module")
def network(request):
    return load(request.param)


@pytest.mark.parametrize(("network", "family"), SCENES, indirect=["network"])
@pytest.mark.parametrize("seed", [31, 32])
def test_half_of_the_iterations_of_cg_at_the_training_size(network, family, seed):
    """The networks were trained on the empty box only."""
    problem = poisson(network.in_shape, bc="open-top", obstacles=family, seed=seed)
    allowed = cg(problem.A, problem.b, rtol=1e-4).iterations // 2
    result = dcd(problem.A, problem.b, network, rtol=1e-4, maxiter=allowed, on_failure="ignore")
    assert result.converged, result


def test_they_are_small_and_say_how_they_were_made():
    names = [name for name in shipped_names() if name.startswith("dcd")]
    assert names == ["dcd2d", "dcd3d"]
    assert sum(shipped(name).stat().st_size for name in names) <= 2_000_000
