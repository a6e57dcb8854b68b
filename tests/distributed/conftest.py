"""Running programs on several ranks, each with a timeout: a hang is a failure."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sciml

collect_ignore = ["checks.py", "combine.py", "fail.py"]  # programs: importing them starts MPI

HERE = Path(__file__).resolve().parent
ROOT = Path(sciml.__file__).resolve().parents[1]


def launch(ranks: int, *arguments: str, timeout: float = 120.0, **environment: str) -> Any:
    """``mpiexec -n ranks python arguments``; the completed process, its output as text."""
    command = [str(shutil.which("mpiexec")), "-n", str(ranks)]
    if "Open MPI" in _version() or "OpenRTE" in _version():
        command[1:1] = ["--allow-run-as-root", "--oversubscribe"]
    settings = {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "SCIML_NUM_THREADS": "1",
        "OMPI_MCA_mpi_yield_when_idle": "1",  # more ranks than cores: who waits must not spin
    }
    return subprocess.run(
        [*command, sys.executable, *arguments],
        env={**os.environ, **settings, **environment},
        capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip


@functools.cache
def _version() -> str:
    return subprocess.run(["mpiexec", "--version"], capture_output=True, text=True, check=False).stdout


@functools.cache
def why_not() -> str | None:
    """Why programs cannot run on several ranks here; None if they can."""
    if importlib.util.find_spec("mpi4py") is None:
        return "mpi4py is not installed"
    if shutil.which("mpiexec") is None:
        return "there is no mpiexec"
    code = "from sciml.distributed.engine import load_petsc; load_petsc()"
    done = launch(1, "-c", code, timeout=60)
    return None if done.returncode == 0 else f"petsc4py does not load: {done.stderr.strip()[-200:]}"


@pytest.fixture(scope="session")
def run_on() -> Callable[..., Any]:
    """`launch`, where MPI and PETSc are installed."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    return launch


@pytest.fixture(scope="session")
def serial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the serial solutions and files the programs compare with."""
    if why_not() is not None:
        pytest.skip(str(why_not()))
    import scipy.io
    import scipy.sparse

    from sciml.preconditioners import Jacobi
    from sciml.problems import poisson

    folder = tmp_path_factory.mktemp("serial")
    problem = poisson((128, 128, 128), obstacles="balls")
    result = sciml.solve(problem.A, problem.b, method="cg+multigrid", rtol=1e-10, on_failure="raise")
    np.save(folder / "balls.npy", result.x)
    small = poisson((12, 14, 16), obstacles="balls")
    A, b = small.A.tocsr(unknowns_only=True), small.b.reshape(-1)[small.A.unknowns]
    user = sciml.cg(A, b, M=Jacobi(A), rtol=1e-10, on_failure="raise")
    np.save(folder / "user.npy", user.x)
    np.save(folder / "b.npy", b)
    scipy.io.mmwrite(folder / "A.mtx", scipy.sparse.coo_matrix(A), symmetry="symmetric")
    tilted = scipy.sparse.coo_matrix(A + 0.1 * scipy.sparse.eye_array(A.shape[0], k=1))
    scipy.io.mmwrite(folder / "tilted.mtx", tilted, symmetry="general")
    iterations = {"balls": result.iterations, "user": user.iterations}
    (folder / "iterations.json").write_text(json.dumps(iterations))
    return folder


@pytest.fixture(scope="session")
def measured(run_on: Callable[..., Any], serial: Path) -> Callable[[int], dict[str, Any]]:
    """What the program `checks.py` found on a number of ranks; run once for each."""

    reports: dict[int, Any] = {}

    def on(ranks: int) -> dict[str, Any]:
        if ranks not in reports:
            reports[ranks] = None  # what failed once is not tried again for every test
            report = serial / f"ranks{ranks}.json"
            done = run_on(ranks, str(HERE / "checks.py"), str(serial), str(report), timeout=300)
            assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
            reports[ranks] = json.loads(report.read_text())
        if reports[ranks] is None:
            pytest.fail(f"the checks did not run on {ranks} rank(s)")
        return reports[ranks]

    return on
