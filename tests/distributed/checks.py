"""Run by all ranks: compares the distributed engine with the serial code; rank 0 writes what was found.

    mpiexec -n 4 python checks.py FOLDER REPORT

FOLDER holds serial solutions and files, see conftest.py.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import sciml
from sciml import distributed
from sciml.distributed.engine import world
from sciml.measure.memory import PeakMemory
from sciml.operators import PoissonOperator
from sciml.preconditioners import LearnedMultigrid
from sciml.preconditioners.multigrid import Multigrid
from sciml.problems import heat, poisson

COMM = world()

PROBLEMS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "balls 3D": ((24, 20, 22), {"obstacles": "balls", "seed": 2}),
    "porous 3D": ((32, 32, 32), {"obstacles": "porous", "seed": 1}),
    "walls 3D odd": ((48, 50, 31), {"obstacles": "walls"}),
    "boxes manufactured": ((24, 24, 24), {"obstacles": "boxes", "rhs": "manufactured"}),
    "porous 2D": ((64, 40), {"obstacles": "porous"}),
    "channels 2D": ((60, 44), {"obstacles": "channels"}),
    "balls 2D stretched": ((40, 40), {"obstacles": "balls", "rhs": "smooth", "length": (1.0, 2.0)}),
    "periodic manufactured": (
        (16, 20, 16),
        {"rhs": "manufactured", "bc": ["periodic", "neumann", "dirichlet"]},
    ),
    "mixed manufactured 2D": ((16, 20), {"rhs": "manufactured", "bc": ["neumann", ("dirichlet", "neumann")]}),
    "periodic both": ((24, 30, 28), {"bc": ["periodic", "periodic", "dirichlet"], "obstacles": "balls"}),
}

MULTIGRID: dict[str, tuple[tuple[int, ...], dict[str, Any], dict[str, Any]]] = {
    "porous": ((48, 48, 48), {"obstacles": "porous"}, {}),
    "walls": ((48, 50, 46), {"obstacles": "walls"}, {}),
    "plane": ((96, 80), {"obstacles": "porous"}, {}),
    "periodic": ((24, 30, 28), {"bc": ["periodic", "periodic", "dirichlet"], "obstacles": "balls"}, {}),
    "stretched": ((64, 64), {"length": (1.0, 8.0)}, {}),
    "stretched porous": ((48, 48, 48), {"obstacles": "porous", "length": (8.0, 1.0, 1.0)}, {}),
    "stretched porous plane": ((96, 96), {"obstacles": "porous", "length": (8.0, 1.0)}, {}),
    "other parameters": (
        (32, 32, 32), {"obstacles": "balls"},
        {"omega": (1.0, 1.2, 1.4), "sweeps": 1, "coarse_scaling": (0.6, 0.5), "smooth_from": 1},
    ),
    "chebyshev": ((32, 32, 32), {"obstacles": "balls"}, {"smoother": "chebyshev"}),
    "w cycle": ((48, 50, 46), {"obstacles": "walls"}, {"cycle": "W", "sweeps": 1}),
    "heat": (
        (32, 32, 32), {"obstacles": "balls", "bc": "neumann", "rhs": "smooth", "shift": 1e3}, {},
    ),
    "unsplit": ((32, 32, 32), {"obstacles": "walls"}, {"split": False, "sweeps": 2}),
    "learned": ((48, 48, 48), {"obstacles": "porous"}, {"learned": True}),
    "learned plane": ((96, 80), {"obstacles": "channels"}, {"learned": True}),
}  # fmt: skip


def error(values: np.ndarray | None, reference: np.ndarray) -> float:
    """Relative error in the maximum norm on rank 0; None elsewhere means nothing."""
    return 0.0 if values is None else float(np.abs(values - reference).max() / np.abs(reference).max())


def problems() -> dict[str, Any]:
    found = {}
    for name, (shape, settings) in PROBLEMS.items():
        parts, whole = distributed.poisson(shape, **settings), poisson(shape, **settings)
        x = np.random.default_rng(0).standard_normal(shape)
        own = x[parts.layout.box]
        y = {}
        for kind, mat in (("shell", parts.A.matrix), ("entries", parts.A.assembled())):
            v, w = parts.layout.vector(own), parts.layout.vector()
            mat.mult(v, w)
            y[kind] = parts.layout.gather(w.array.copy())
        fluid, b = parts.layout.gather(parts.A.fluid), parts.layout.gather(parts.b)
        reference = whole.A @ x
        found[name] = {
            "same cells": fluid is None or bool(np.all(fluid == whole.A.fluid)),
            "same b": b is None or bool(np.all(b == whole.b)),
            "error of b": error(b, whole.b),
            "error of shell": error(y["shell"], reference),
            "error of entries": error(y["entries"], reference),
            "unknowns": [parts.unknowns, whole.unknowns],
            "notes": [list(parts.notes), list(whole.notes)],
        }
    return found


def multigrid() -> dict[str, Any]:
    found = {}
    for name, (shape, settings, parameters) in MULTIGRID.items():
        parts = distributed.poisson(shape, **settings)
        if name == "heat":
            rest = {key: value for key, value in settings.items() if key != "shift"}
            whole = heat(shape, 1 / settings["shift"], **rest)
        else:
            whole = poisson(shape, **settings)
        taken = {}
        if parameters.get("learned"):
            M: Any = LearnedMultigrid(whole.A)
            parameters = M.parameters
            by_name = distributed.solve(parts.A, parts.b, M="learned-multigrid", rtol=1e-6)
            taken["by name"] = by_name.iterations
        else:
            M = Multigrid(whole.A, **parameters)
        serial = sciml.cg(whole.A, whole.b, M=M, rtol=1e-6)
        taken["given"] = distributed.solve(parts.A, parts.b, M=M, rtol=1e-6).iterations
        for size in (150, 10**6):
            M = distributed.DistributedMultigrid(redundant_size=size, **parameters)
            taken[str(size)] = distributed.solve(parts.A, parts.b, M=M, rtol=1e-6).iterations
        found[name] = {"serial": serial.iterations, "distributed": taken}
    return found


def balls(folder: Path) -> dict[str, Any]:
    """The case of 128³ cells: iterations, distance from the serial solution, memory of every rank."""
    with PeakMemory() as memory:
        parts = distributed.poisson((128, 128, 128), obstacles="balls")
        result = distributed.solve(parts.A, parts.b, rtol=1e-10)
    reference = np.load(folder / "balls.npy", mmap_mode="r")[parts.layout.box]
    wrong = COMM.allreduce(float(np.sum((result.x - reference) ** 2)))
    scale = COMM.allreduce(float(np.sum(np.square(reference))))
    return {
        "iterations": result.iterations,
        "error": float(np.sqrt(wrong / scale)),
        "memory": COMM.allgather(memory.growth),
        "status": result.status.name,
    }


def user_matrix(folder: Path) -> dict[str, Any]:
    system = distributed.load_system(folder / "A.mtx", rhs=folder / "b.npy")
    reference = np.load(folder / "user.npy")
    found: dict[str, Any] = {"unknowns": system.unknowns, "notes": system.notes}
    result = distributed.solve(system.A, system.b, method="cg+jacobi", rtol=1e-10)
    x = np.concatenate(COMM.allgather(result.x))
    found["jacobi"] = {"iterations": result.iterations, "error": error(x, reference)}
    for method in ("auto", "cg+hypre", "fcg+gamg"):
        result = distributed.solve(system.A, system.b, method=method, rtol=1e-10)
        found[method] = {
            "error": error(np.concatenate(COMM.allgather(result.x)), reference),
            "choice": result.info["choice"],
        }
    tilted = distributed.load_system(folder / "tilted.mtx")
    for method in ("auto", "bicgstab+bjacobi"):
        result = distributed.solve(tilted.A, tilted.b, method=method, rtol=1e-8)
        found[f"tilted {method}"] = {"status": result.status.name, "choice": result.info["choice"]}
    csr = distributed.to_csr(system.A)
    back = None if csr is None else abs(csr - distributed.to_csr(distributed.from_csr(csr, _alone()))).max()
    found["round trip"] = back
    return found


def _alone() -> Any:
    from mpi4py import MPI

    return MPI.COMM_SELF


def binary(folder: Path) -> dict[str, Any]:
    """Write PETSc's format, read it back."""
    from petsc4py import PETSc

    system = distributed.load_system(folder / "A.mtx", rhs=folder / "b.npy")
    path = folder / f"system{COMM.size}.petsc"
    viewer = PETSc.Viewer().createBinary(str(path), "w", comm=COMM)
    system.A.view(viewer)
    b = system.A.createVecLeft()
    b.array[:] = system.b
    b.view(viewer)
    viewer.destroy()
    again = distributed.load_system(path)
    return {
        "matrix": float((again.A - system.A).norm()),
        "b": float(np.abs(again.b - system.b).max(initial=0.0)),
        "notes": again.notes,
    }


def whole_arrays() -> dict[str, Any]:
    """The serial call with ``engine="petsc"``: every rank gives and gets the whole."""
    problem = poisson((12, 14, 16), obstacles="balls")
    serial = sciml.solve(problem.A, problem.b, rtol=1e-10)
    result = sciml.solve(problem.A, problem.b, rtol=1e-10, engine="petsc")
    matrix = problem.A.tocsr()
    flat = sciml.solve(matrix, problem.b.reshape(-1), rtol=1e-10, method="cg+jacobi", engine="petsc")
    rng = np.random.default_rng(5)
    b = rng.standard_normal(problem.b.shape)  # not zero in solid cells, which carry an equation of their own
    everywhere = sciml.solve(problem.A, b, rtol=1e-10, engine="petsc", x0=serial.x)
    rough = PoissonOperator((12, 14), coefficient=np.exp(rng.standard_normal((12, 14))))
    c = rng.standard_normal((12, 14))
    return {
        "shape": result.x.shape,
        "operator": error(result.x, serial.x),
        "matrix": error(flat.x.reshape(serial.x.shape), serial.x),
        "solid cells": error(problem.A @ everywhere.x, b),
        "variable": error(rough @ sciml.solve(rough, c, rtol=1e-10, engine="petsc").x, c),
        "solver": result.solver,
        "ranks": result.info["ranks"],
    }


def shells() -> dict[str, Any]:
    """Any operator on a rank's box, as matrix and as preconditioner."""
    parts = distributed.poisson((12, 14, 16), obstacles="balls")
    halo = distributed.Halo(parts.layout)
    matrix = distributed.shell_matrix(parts.layout, parts.A.on_box(halo), symmetric=True)
    reference = distributed.solve(parts.A, parts.b, rtol=1e-10)
    plain = distributed.solve(matrix, parts.b.reshape(-1), method="cg", rtol=1e-10)
    own = PoissonOperator(parts.layout.local_shape, spacing=parts.A.spacing, cells=parts.mask)
    block = distributed.LocalPreconditioner(parts.layout, Multigrid(own))
    blocks = distributed.solve(parts.A, parts.b, M=block, rtol=1e-10)
    overlap = distributed.LocalPreconditioner(parts.layout, Multigrid(parts.A.on_box(halo)), width=1)
    schwarz = distributed.solve(parts.A, parts.b, method="gmres", M=overlap, rtol=1e-10)
    scale = COMM.allreduce(float(np.abs(reference.x).max()), op=_max())
    return {
        name: {
            "error": COMM.allreduce(float(np.abs(r.x.reshape(-1) - reference.x.reshape(-1)).max()), op=_max())
            / scale,
            "status": r.status.name,
            "solver": r.solver,
            "iterations": r.iterations,
        }
        for name, r in (("matrix", plain), ("block", blocks), ("overlap", schwarz))
    }


def _max() -> Any:
    from mpi4py import MPI

    return MPI.MAX


def stopping() -> dict[str, Any]:
    """The rules every solver of the library keeps."""
    parts = distributed.poisson((16, 18, 20), obstacles="balls")
    A, b = parts.A, parts.b
    whole = poisson((16, 18, 20), obstacles="balls")
    quiet: dict[str, Any] = {"on_failure": "ignore"}
    exact = distributed.solve(A, b, rtol=1e-12).x
    fixed = distributed.solve(A, b, method="cg", rtol=0, atol=0, maxiter=7)
    seen: list[int] = []

    def stop_on_last(state: Any) -> bool:
        seen.append(state.iteration)
        return COMM.rank == COMM.size - 1 and state.iteration == 3

    stopped = distributed.solve(A, b, method="cg", callback=stop_on_last, **quiet)
    r = b.reshape(-1).copy()
    v, w = parts.layout.vector(stopped.x), parts.layout.vector()
    A.matrix.mult(v, w)
    r -= w.array
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        distributed.solve(A, b, method="cg", maxiter=2)
    return {
        "fixed": [fixed.status.name, fixed.iterations],
        "fixed as serial": error(
            parts.layout.gather(fixed.x), sciml.cg(whole.A, whole.b, rtol=0, atol=0, maxiter=7).x
        ),
        "stopped": [stopped.status.name, stopped.iterations, seen],
        "residual is true": abs(stopped.residual_norm - np.sqrt(COMM.allreduce(float(r @ r))))
        / stopped.residual_norm,
        "zero": [distributed.solve(A, 0 * b).status.name, float(np.abs(distributed.solve(A, 0 * b).x).max())],
        "exact x0": distributed.solve(A, b, x0=exact, rtol=1e-6).iterations,
        "too tight": distributed.solve(A, b, rtol=1e-17, **quiet).status.name,
        "maxiter": distributed.solve(A, b, method="cg", maxiter=2, **quiet).status.name,
        "warned": [str(w.category.__name__) for w in caught],
        "scaled": [distributed.solve(A, s * b, rtol=1e-6).iterations for s in (1.0, 1e12, 1e-12)],
        "history": len(stopped.residual_history),
    }


def wrong_input(folder: Path) -> dict[str, Any]:
    """The error each wrong call raises, the same on every rank."""
    parts = distributed.poisson((16, 18, 20))
    A, b = parts.A, parts.b
    nan = b.copy()
    if COMM.rank == COMM.size - 1:
        nan.reshape(-1)[0] = np.nan
    lopsided = b if COMM.rank else b[:-1]
    lines = (folder / "A.mtx").read_text().splitlines(keepends=True)
    if COMM.rank == 0:
        (folder / "short.mtx").write_text("".join(lines[:-5]))
        (folder / "infinite.mtx").write_text("".join(lines[:-1]) + lines[-1].rsplit(" ", 1)[0] + " inf\n")
        (folder / "foreign.mtx").write_text("hello\n")
        (folder / "foreign.petsc").write_bytes(b"hello, this is no matrix")
    COMM.Barrier()
    mask = np.zeros((16, 18), dtype=bool)
    mask[4:9, 4:9] = True
    mask[6, 6] = False
    calls: dict[str, Any] = {
        "nan": lambda: distributed.solve(A, nan),
        "shape": lambda: distributed.solve(A, lopsided),
        "method": lambda: distributed.solve(A, b, method="cgs"),
        "preconditioner": lambda: distributed.solve(A, b, method="cg+amg"),
        "parameter": lambda: distributed.solve(A, b, omgea=1.2),
        "rtol": lambda: distributed.solve(A, b, rtol=-1.0),
        "two preconditioners": lambda: distributed.solve(A, b, method="cg+jacobi", M=None),
        "cycle": lambda: distributed.solve(A, b, method="cg+multigrid", cycle="F"),
        "obstacles": lambda: distributed.poisson((16, 16), obstacles="bolls"),
        "singular": lambda: distributed.poisson((16, 16), bc="neumann"),
        "enclosed": lambda: distributed.poisson((16, 18), obstacles=mask),
        "too small": lambda: distributed.poisson((4, 3)),
        "odd periodic": lambda: distributed.solve(
            *(lambda p: (p.A, p.b))(
                distributed.poisson((24, 21, 24), bc=["dirichlet", "periodic", "dirichlet"])
            )
        ),
        "multigrid of a matrix": lambda: distributed.solve(
            *(lambda s: (s.A, s.b))(distributed.load_system(folder / "A.mtx")), method="cg+multigrid"
        ),
        "missing": lambda: distributed.load_system(folder / "none.mtx"),
        "short": lambda: distributed.load_system(folder / "short.mtx"),
        "infinite": lambda: distributed.load_system(folder / "infinite.mtx"),
        "foreign": lambda: distributed.load_system(folder / "foreign.mtx"),
        "foreign petsc": lambda: distributed.load_system(folder / "foreign.petsc"),
    }
    found = {}
    for name, call in calls.items():
        try:
            call()
            message = "nothing was raised"
        except (ValueError, TypeError, OSError) as raised:
            message = f"{type(raised).__name__}: {raised}"
        found[name] = sorted(set(COMM.allgather(message)))
    return found


def main() -> None:
    folder, report = Path(sys.argv[1]), Path(sys.argv[2])
    small = distributed.poisson((32, 32, 32), obstacles="balls")
    distributed.solve(small.A, small.b)  # compiles, before memory is measured
    COMM.alltoall([np.zeros(2**16)] * COMM.size)  # MPI takes its buffers for large messages, once
    del small
    found = {
        "balls": balls(folder),
        "problems": problems(),
        "multigrid": multigrid(),
        "user matrix": user_matrix(folder),
        "binary": binary(folder),
        "whole arrays": whole_arrays(),
        "shells": shells(),
        "stopping": stopping(),
        "wrong input": wrong_input(folder),
    }
    if COMM.rank == 0:
        report.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
