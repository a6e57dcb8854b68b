"""Every reader of the library, and small valid files of each of its formats.

A reader goes on to what the file is for, where damage could show only then: a policy proposes an arm, a
training resumes, a network is built.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import scipy.sparse as sp
from fuzz import scans
from fuzz.files import matrix, npy, npz, saved, written

__all__ = ["READERS", "Reader"]


@dataclass(frozen=True)
class Reader:
    """A reader, the modules it needs, and its valid files: ``samples() -> {name: content}``."""

    read: Callable[[Path], Any]
    samples: Callable[[], dict[str, bytes]]
    needs: tuple[str, ...] = ()
    special: bool = field(default=True)
    """Whether to try links, folders and pipes in place of the file."""


# -- linear systems ---------------------------------------------------------------------------
def _load_system(path: Path) -> Any:
    from sciml.io import load_system

    return load_system(path)


def _load_vector(path: Path) -> Any:
    from sciml.io import load_vector

    return load_vector(path)


def _mtx() -> dict[str, bytes]:
    A = matrix()
    files = {
        "general.mtx": saved(scipy.io.mmwrite, A + sp.csr_array(([1.0], ([0], [5])), shape=A.shape)),
        "symmetric.mtx": saved(scipy.io.mmwrite, A),
        "dense.mtx": saved(scipy.io.mmwrite, A.toarray()),
        "pattern.mtx": b"%%MatrixMarket matrix coordinate pattern general\n% c\n\n2 2 2\n1 1\n2 2\n",
    }
    return {**files, "packed.mtx.gz": gzip.compress(files["symmetric.mtx"], mtime=0)}


def _system_npz() -> dict[str, bytes]:
    A = matrix()
    parts = {
        f"{kind}.npz": saved(sp.save_npz, A.asformat(kind)) for kind in ("csr", "csc", "coo", "bsr", "dia")
    }
    return {**parts, "dense.npz": npz(A=A.toarray(), b=np.ones(6))}


def _mat() -> dict[str, bytes]:
    A, b = sp.csc_array(matrix()), np.ones((6, 1))
    others = {"words": "text", "cell": np.array([1, "a"], object)}
    files: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "sparse.mat": ({"A": A, "b": b}, {}),
        "packed.mat": ({"A": A, "b": b}, {"do_compression": True}),
        "problem.mat": ({"Problem": {"A": A, "b": b, "title": "t"}}, {"do_compression": True}),
        "dense.mat": ({"A": A.toarray(), **others}, {}),
        "old.mat": ({"A": A.toarray()}, {"format": "4"}),
    }
    return {name: saved(scipy.io.savemat, content, **how) for name, (content, how) in files.items()}


def _vectors() -> dict[str, bytes]:
    b = np.linspace(0.0, 1.0, 6)
    return {"b.npy": npy(b), "b.txt": b"1.0\n2.5\n-3e-4\n", "b.npz": npz(b=b),
            "b.mat": saved(scipy.io.savemat, {"b": b}),
            "b.mtx": saved(scipy.io.mmwrite, b[:, None])}  # fmt: skip


# -- learned components -----------------------------------------------------------------------
def _load_component(path: Path) -> Any:
    from sciml.learned import load
    from sciml.problems import poisson

    component = load(path)
    if not hasattr(component, "config") and callable(component) and not hasattr(component, "net"):
        return component(poisson((12, 12)).A)  # multigrid parameters show their values at set-up
    return component


@lru_cache(maxsize=1)
def _weights() -> dict[str, bytes]:
    from sciml.learned.dcd import DCDNetwork, DirectionNet
    from sciml.learned.pinn import PROBLEMS, Field
    from sciml.learned.rim import RIM
    from sciml.weights import shipped

    def write(folder: Path) -> None:
        net = DirectionNet(2, channels=2, levels=1, before=2, bottom=1, after=1)
        DCDNetwork(net, (8, 8)).save(folder / "dcd.safetensors", training={"seed": 0})
        Field(PROBLEMS["heat"](), hidden=(4,)).save(folder / "pinn.safetensors", training={"seed": 0})
        RIM(channels=2, steps=2).save(folder / "rim.safetensors", training={"seed": 0})
        RIM(channels=2, steps=2, cell="gru", step="learned", cascades=2, consistency="explicit").save(
            folder / "cirim.safetensors", training={}
        )

    names = [f"{kind}.safetensors" for kind in ("dcd", "pinn", "rim", "cirim")]
    files = written(write, *names)
    return {**files, "multigrid.safetensors": shipped("multigrid").read_bytes()}


def _trainable() -> Any:
    import torch

    from sciml.learned.gradient import GradientTraining, set_seed

    set_seed(0)
    line = torch.nn.Linear(2, 1)
    x = torch.linspace(-1, 1, 8).reshape(4, 2)
    return GradientTraining(line, lambda i: ((line(x) - 1) ** 2).mean(), steps=4, lr=0.1)


def _resume(path: Path) -> Any:
    from sciml.learned.training import fit

    trainable = _trainable()
    return fit(
        trainable, steps=4, validate=lambda: 1.0, checkpoint=path, fingerprint={"seed": 0}, progress=False
    )


def _resume_multigrid(path: Path) -> Any:
    from sciml.learned.multigrid import MultigridTraining, training_problems
    from sciml.learned.training import fit

    problems = training_problems(["balls"], [(16, 16)], instances=2)
    training = MultigridTraining(problems, generations=1, settings=[{"sweeps": 1}], seed=0)
    fit(training, steps=training.steps, checkpoint=path, fingerprint={"seed": 0}, progress=False)
    return training.policy()


def _resume_pinn(path: Path) -> Any:
    from sciml.learned.pinn import PROBLEMS, Field, train_pinn

    field = Field(PROBLEMS["heat"](), hidden=(4,))
    return train_pinn(
        field.problem, field=field, sampler="rad", optimizer="adam+lm", steps=(3, 2), points=60, held_out=40,
        checkpoint=path, progress=False,
    )  # fmt: skip


def _checkpoints(resume: Callable[[Path], Any], stop: int) -> dict[str, bytes]:
    """A checkpoint in the middle of a run, taken by failing there, and one at its end."""
    from unittest import mock

    from sciml.learned import training

    class StoppedError(Exception):
        pass

    def write(folder: Path) -> None:
        resume(folder / "end.safetensors")
        whole = training._Run.advance

        def advance(run: Any) -> Any:
            if run.history.steps == stop:
                run.save(folder / "middle.safetensors")
                raise StoppedError
            return whole(run)

        with mock.patch.object(training._Run, "advance", advance), suppress(StoppedError):
            resume(folder / "middle.safetensors")

    return written(write, "middle.safetensors", "end.safetensors")


def _train_status(path: Path) -> Any:
    from sciml.cli.train import status

    return status(path)


def _load_model_error(path: Path) -> Any:
    from sciml.learned.medida import ModelError

    error = ModelError.load(path)
    return error.equation, error.intervals(), repr(error)


def _model_error() -> dict[str, bytes]:
    from sciml.learned.medida import Library, ModelError

    terms = Library.powers(2, 2).terms[:2]
    names = [term.name for term in terms]
    error = ModelError(
        terms, np.array([0.5, -1.0]), np.eye(2) * 1e-4, dict.fromkeys(names, 3.0), tuple(names), {}
    )
    return written(lambda folder: error.save(folder / "error.json"), "error.json")


def _ritz_modes(path: Path) -> Any:
    from sciml.learned.dcd import RitzModes

    for name, content in _ritz().items():  # the other two parts are whole
        if name != path.name:
            path.with_name(name).write_bytes(content)
    return RitzModes(path.parent).sample(np.random.default_rng(0), 2)


@lru_cache(maxsize=1)
def _ritz() -> dict[str, bytes]:
    values = np.array([1.0, 2.0, 3.0])
    return {"vectors.npy": npy(np.ones((3, 16), np.float32)), "values.npy": npy(values),
            "shape.npy": npy(np.array([4, 4]))}  # fmt: skip


def _own_problems(path: Path) -> Any:
    from sciml.learned.multigrid.own import own_problems

    return own_problems([path])


def _masks() -> dict[str, bytes]:
    solid = np.zeros((8, 8), dtype=bool)
    solid[2:5, 3:6] = True
    return {"plane.npy": npy(solid), "volume.npy": npy(np.zeros((4, 4, 4), dtype=bool))}


def _discover(path: Path) -> Any:
    from sciml.cli.discover import _snapshots

    return _snapshots(path, None)


def _snapshot_pairs() -> dict[str, bytes]:
    u = np.sin(np.linspace(0, 6, 16)) * np.ones((5, 1))
    return {"pairs.npz": npz(before=u, after=u + 0.1, window=0.1, times=np.arange(5.0), noise=0.01)}


# -- studies ----------------------------------------------------------------------------------
PLAN = b"""
rtol = 1e-4
sizes = [[8, 8]]
seeds = [0, 1]
solvers = ["cg", {method = "sor", omega = 1.5, name = "sweeps"}, "cg+jacobi"]

[[problems]]
kind = "poisson"
obstacles = "balls"

[[problems]]
name = "matrix"
file = "A.mtx"
"""


def _plan(path: Path) -> Any:
    from sciml.study import Plan

    path.with_name("A.mtx").write_bytes(_mtx()["general.mtx"])
    return Plan.from_toml(path)


def _journal(path: Path) -> Any:
    """Go on with a study that is done, so that only its rows are read, and shown."""
    from sciml.study import run_study

    return run_study(STUDY, path.parent)


STUDY = {"problems": [{"kind": "poisson"}], "sizes": [[8, 8]], "seeds": [0], "solvers": ["cg", "fft"]}


@lru_cache(maxsize=1)
def _journals() -> dict[str, bytes]:
    from sciml.study import run_study

    return written(lambda folder: run_study(STUDY, folder), "rows.jsonl")


# -- policies ---------------------------------------------------------------------------------
def _policies() -> dict[str, Any]:
    from sciml.tuning import BinnedTsallisINF, ChebCB, GaussianProcessCB, TsallisINF

    arms = [1.0, 1.4, 1.8]
    return {
        "tsallis": TsallisINF(arms, seed=0),
        "binned": BinnedTsallisINF(arms, context_range=(0.0, 1.0), bins=2, seed=0),
        "chebyshev": ChebCB(arms, context_range=(0.0, 1.0), degree=2, seed=0),
        "gaussian": GaussianProcessCB(arms, seed=0),
    }


def _load_policy(path: Path) -> Any:
    """A policy whose file is refused must be as it was; one that was read must be able to go on."""
    policy = _policies()[path.name.split(".")[0].split("-")[0]]
    before = repr(policy._state())
    try:
        policy.load(path)
    except (ValueError, OSError):
        assert repr(policy._state()) == before, "a refused file left its mark on the policy"
        raise
    for _ in range(2):
        if policy._pending is None:
            policy.propose(0.5)
        policy.observe(10.0)
    return policy


@lru_cache(maxsize=1)
def _policy_files() -> dict[str, bytes]:
    def write(folder: Path) -> None:
        rng = np.random.default_rng(0)
        for name, policy in _policies().items():
            for _ in range(5):
                policy.propose(float(rng.random()))
                policy.observe(float(rng.integers(5, 50)))
            policy.save(folder / f"{name}.json")
            policy.propose(0.5)
            policy.save(folder / f"{name}-pending.json")

    names = [f"{name}{end}.json" for name in _policies() for end in ("", "-pending")]
    return written(write, *names)


# -- PETSc ------------------------------------------------------------------------------------
def _load_distributed(path: Path) -> Any:
    from sciml.distributed import load_system

    if path.name.startswith("rhs"):
        whole = path.with_name("whole.mtx")
        scipy.io.mmwrite(whole, matrix())
        return load_system(whole, rhs=path)
    return load_system(path)


def _distributed_files() -> dict[str, bytes]:
    A, b = matrix(), np.ones(6)
    head = np.array([1211216, 6, 6, A.nnz], dtype=">i4").tobytes()
    binary = head + np.diff(A.indptr).astype(">i4").tobytes() + A.indices.astype(">i4").tobytes()
    binary += A.data.astype(">f8").tobytes()
    vector = np.array([1211214, 6], dtype=">i4").tobytes() + b.astype(">f8").tobytes()
    coordinate = {name: content for name, content in _mtx().items() if name != "packed.mtx.gz"}
    return {
        **coordinate,
        "A.petsc": binary,
        "both.petsc": binary + vector,
        "rhs.petsc": vector,
        "rhs.npy": npy(b),
    }


READERS: dict[str, Reader] = {
    "Matrix Market": Reader(_load_system, _mtx),
    "npz system": Reader(_load_system, _system_npz),
    "MATLAB": Reader(_load_system, _mat),
    "vectors": Reader(_load_vector, _vectors),
    "snapshots": Reader(_discover, _snapshot_pairs),
    "weights": Reader(_load_component, _weights, ("torch", "safetensors")),
    "checkpoints": Reader(
        _resume, lambda: _checkpoints(_resume, 2), ("torch", "safetensors"), special=False
    ),
    "multigrid checkpoints": Reader(
        _resume_multigrid, lambda: _checkpoints(_resume_multigrid, 4), ("safetensors",), special=False
    ),
    "pinn checkpoints": Reader(
        _resume_pinn, lambda: _checkpoints(_resume_pinn, 4), ("torch", "safetensors"), special=False
    ),
    "train status": Reader(_train_status, lambda: _checkpoints(_resume, 2), ("torch", "safetensors")),
    "model errors": Reader(_load_model_error, _model_error),
    "study plans": Reader(_plan, lambda: {"plan.toml": PLAN}),
    "study journals": Reader(_journal, _journals, ("matplotlib",), special=False),
    "policies": Reader(_load_policy, _policy_files),
    "Ritz vectors": Reader(_ritz_modes, _ritz, ("torch",)),
    "masks": Reader(_own_problems, _masks),
    "fastMRI": Reader(scans.read_fastmri, scans.hdf5_files, ("h5py",)),
    "ISMRMRD": Reader(scans.read_ismrmrd, scans.ismrmrd_files, ("h5py", "ismrmrd")),
    "NIfTI": Reader(scans.read_nifti, scans.nifti_files, ("nibabel",)),
    "k-space npz": Reader(scans.load_kspace, scans.kspace_files),
    "image slices": Reader(scans.load_slices, scans.slice_files),
    "BART": Reader(scans.read_cfl, scans.cfl_files),
    "PETSc": Reader(_load_distributed, _distributed_files, ("petsc4py", "mpi4py")),
}  # fmt: skip
