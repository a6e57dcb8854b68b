"""The performance model: what must hold whatever the machine. PETSc's own counts check it in the case."""

from __future__ import annotations

import pytest

from sciml.distributed.model import Machine, predict

NODE = Machine(bandwidth=5e9, alpha=2e-6, beta=1e-10)


def test_one_rank_sends_nothing():
    found = predict((64, 64, 64), 1, NODE)
    assert found.messages == 0
    assert found.sent == 0
    assert found.network_seconds == 0


def test_messages_of_a_cycle_counted_by_hand():
    """Two ranks, one neighbour. On the grid seven exchanges between eight half sweeps, the residual and CG's
    product; on the only divided coarse level seven between eight colours and the residual."""
    found = predict((64, 64, 64), 2, NODE)
    assert [level.messages for level in found.levels] == [9, 8, 0]
    assert found.levels[0].sent == 9 * 64 * 64 * 8
    assert found.levels[1].sent == 4.5 * 32 * 32 * 8
    assert found.levels[-1].everywhere
    assert found.levels[-1].unknowns == 16**3


def test_twice_the_sweeps_twice_the_work_of_smoothing():
    one = predict((64, 64, 64), 2, NODE, sweeps=(1, 1, 1, 1))
    two = predict((64, 64, 64), 2, NODE, sweeps=(2, 2, 2, 2))
    three = predict((64, 64, 64), 2, NODE, sweeps=(3, 3, 3, 3))
    assert two.levels[0].bytes - one.levels[0].bytes == pytest.approx(
        three.levels[0].bytes - two.levels[0].bytes
    )


def test_boxes_of_the_same_size_cost_the_same_passes():
    few, many = predict((256, 256, 128), 8, NODE), predict((512, 512, 256), 64, NODE)
    assert few.levels[0].bytes == many.levels[0].bytes
    assert few.seconds < many.seconds < 1.1 * few.seconds


def test_a_slower_network_costs_time_there_only():
    slow = Machine(NODE.bandwidth, 10 * NODE.alpha, 10 * NODE.beta)
    a, b = predict((512, 512, 512), 64, NODE), predict((512, 512, 512), 64, slow)
    assert b.memory_seconds == a.memory_seconds
    assert b.network_seconds == pytest.approx(10 * a.network_seconds)
