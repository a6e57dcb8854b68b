"""A few damaged files for every reader; ``cd tests && python -m fuzz`` tries thousands, with less trust."""

from __future__ import annotations

import sys

import pytest
from fuzz.inputs import GOOD, NAMES, available, outcome

COUNT = 45

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")


@pytest.mark.parametrize("name", [name for name in NAMES if available(name)])
def test_damaged_files_are_refused_by_name(name, tmp_path):
    for number in range(COUNT):
        folder = tmp_path / str(number)
        folder.mkdir()
        # The valid files come first and load libraries.
        verdict, text = outcome(name, number, 1, folder, spare=None if number < 2 else 2**30)
        assert verdict in GOOD, f"input {number}: {verdict}: {text}"
