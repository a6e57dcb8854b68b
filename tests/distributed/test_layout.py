"""How a grid is divided, and what headers of files may say; no MPI needed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciml.distributed.layout import divide, process_grid
from sciml.distributed.matrices import _matrix_market_header


@given(st.integers(2, 600), st.integers(1, 12))
def test_boxes_are_whole_blocks_and_cover_the_axis(n, parts):
    if n < 4 * parts:
        return
    lengths, unit = divide(n, parts)
    assert sum(lengths) == n
    assert len(lengths) == parts
    assert min(lengths) >= 1
    if parts > 1:
        assert unit % 2 == 0
        assert all(length % unit == 0 for length in lengths[:-1])


@pytest.mark.parametrize(("n", "parts", "unit"), [(128, 2, 64), (384, 2, 64), (128, 4, 32), (100, 3, 4)])
def test_blocks_are_as_large_as_balance_allows(n, parts, unit):
    lengths, found = divide(n, parts)
    assert found == unit
    assert max(lengths) <= 1.1 * n / parts + 1


@pytest.mark.parametrize(
    ("shape", "ranks", "expected"),
    [
        ((128, 128, 128), 1, (1, 1, 1)),
        ((128, 128, 128), 2, (2, 1, 1)),
        ((128, 128, 128), 4, (2, 2, 1)),
        ((128, 128, 128), 8, (2, 2, 2)),
        ((16, 16, 1024), 4, (1, 1, 4)),
        ((512, 512), 4, (2, 2)),
        ((2160, 2160, 2160), 10_000, (25, 20, 20)),
    ],
)
def test_boxes_have_little_surface(shape, ranks, expected):
    found = process_grid(shape, ranks)
    assert math.prod(found) == ranks
    assert found == expected


def test_too_many_ranks_for_a_grid():
    with pytest.raises(ValueError, match="a grid of 8x8 cells is too small for 64 ranks"):
        process_grid((8, 8), 64)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ("1000000000 1000000000 4000000000", "more than it can hold"),
        ("1000000000 1000000000 1", "a row is empty, so it is singular"),
        ("1000000000 3 1", "expected a square system"),
        ("-3 -3 1", "more than it can hold"),
        ("3 3", "no line with rows, columns and entries"),
    ],
)
def test_headers_that_promise_too_much_are_refused(tmp_path, sizes, message):
    path = tmp_path / "A.mtx"
    path.write_text(f"%%MatrixMarket matrix coordinate real general\n{sizes}\n1 1 1.0\n")
    with pytest.raises(ValueError, match=message) as caught:
        _matrix_market_header(path)
    assert str(caught.value).startswith(str(path))
