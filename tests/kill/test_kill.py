"""A few kills of every training; ``cd tests && python -m kill`` does many."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="forks processes that have torch loaded")
def test_killed_trainings_end_with_the_weights_of_untouched_ones():
    pytest.importorskip("torch")
    done = subprocess.run(
        [sys.executable, "-m", "kill", "--kills", "8"],
        cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("identical") == 4
