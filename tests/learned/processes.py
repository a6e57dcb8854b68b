"""Two processes that train one network."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any


def run_alone(*words: Any) -> str:
    """What Python prints with these arguments, on one thread."""
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_on_two(*words: Any) -> str:
    """The same in two processes at once, by torch's launcher."""
    return run_alone("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2, *words)
