"""Two processes that train one network."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

ABORT_AT_EXIT = "terminate called without an active exception"
"""A process that has done its work and destroyed its group may still die so while it exits: torch keeps the
threads of gloo beyond `destroy_process_group` (pytorch issue 190489)."""


def run_alone(*words: Any) -> str:
    """What Python prints with these arguments, on one thread."""
    done = _run(words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_on_two(*words: Any) -> str:
    """The same in two processes at once, by torch's launcher."""
    launched = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2, *words)
    if ABORT_AT_EXIT in (done := _run(launched)).stderr:
        done = _run(launched)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _run(words: tuple[Any, ...]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=300,
    )  # fmt: skip
