"""The self-test passes here, part by part, and fails where something in the library is broken."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path

import numpy as np
import pytest

import sciml
from sciml.selftest import Outcome, Part, files, plan, report, run_part, run_selftest
from sciml.weights import load_weights, save_weights, shipped, shipped_names

PARTS = {part.name: part for part in plan()}


def needs(name: str) -> Part:
    part = PARTS[name]
    reason = part.missing()
    if reason is not None:
        pytest.skip(reason)
    return part


@pytest.mark.parametrize("name", PARTS)
def test_part_passes(name):
    outcome = run_part(needs(name))
    assert outcome.failures == ()
    assert outcome.checks >= 1


# -- it can fail ------------------------------------------------------------------------------
def _scaled(function, factor):
    return lambda *arguments: factor * function(*arguments)


def _wrong_stencil(monkeypatch):
    from sciml.backends.kernels.numba import stencil

    right = stencil.apply

    def wrong(start, stop, padded, y, *arguments):
        right(start, stop, padded, y, *arguments)
        y[start:stop] *= 1.001

    monkeypatch.setattr(stencil, "apply", wrong)


def _wrong_update(monkeypatch):
    from sciml.backends.kernels.numba import grid_cg

    monkeypatch.setattr(grid_cg, "step", _scaled(grid_cg.step, 1e-20))  # the recurrence claims convergence


def _lying_verdict(monkeypatch):
    monkeypatch.setattr("sciml.solvers.iteration.verdict", lambda *arguments: sciml.Status.CONVERGED)


def _wrong_transform(monkeypatch):
    from sciml.preconditioners import FFT

    monkeypatch.setattr(FFT, "_apply", lambda self, r, right=FFT._apply: 1.01 * right(self, r))


def _indefinite_jacobi(monkeypatch):
    from sciml.preconditioners import Jacobi

    monkeypatch.setattr(Jacobi, "_apply", lambda self, r, right=Jacobi._apply: right(self, r - 2 * r.mean()))


def _wrong_adjoint(monkeypatch):
    from sciml.operators import Sense

    monkeypatch.setattr(
        Sense, "_apply_adjoint", lambda self, y, right=Sense._apply_adjoint: 2 * right(self, y)
    )


def _wrong_reader(monkeypatch):
    import scipy.io

    monkeypatch.setattr(scipy.io, "mmwrite", lambda path, A, **how: Path(path).write_text("%%MatrixMarket\n"))


BROKEN = {
    "stencil kernel": (_wrong_stencil, "operators", "Poisson 2D"),
    "update kernel of cg": (_wrong_update, "solvers", "cg"),
    "verdict": (_lying_verdict, "solvers", "sor"),
    "fast transform": (_wrong_transform, "known answers", "fast transforms: an eigenvector"),
    "Jacobi": (_indefinite_jacobi, "preconditioners", "preconditioner jacobi"),
    "adjoint": (_wrong_adjoint, "operators", "coil sensitivities"),
    "adjoint on torch": (_wrong_adjoint, "torch", "coil sensitivities"),
    "reader": (_wrong_reader, "files of systems", ".mtx"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_part_of_the_library_is_found(monkeypatch, broken):
    sabotage, name, check = BROKEN[broken]
    part = needs(name)
    sabotage(monkeypatch)
    outcome = run_part(Part(part.name, lambda: {check: part.checks()[check]}))
    assert outcome.status == "failed"
    assert {failure.check for failure in outcome.failures} == {check}
    assert all("\n" not in failure.sentence for failure in outcome.failures)


@pytest.fixture
def weights_elsewhere(monkeypatch, tmp_path):
    """Copies of the shipped weights, in whose place they stand."""
    for name in shipped_names():
        (tmp_path / f"{name}.safetensors").write_bytes(shipped(name).read_bytes())
    monkeypatch.setattr("sciml.weights._HERE", tmp_path)
    return tmp_path


def _failed(name):
    return {failure.check for failure in run_part(needs(name)).failures}


@pytest.mark.parametrize("name", ["learned multigrid", "shipped networks"])
def test_truncated_weights_are_found(weights_elsewhere, name):
    pytest.importorskip("safetensors")
    for path in weights_elsewhere.iterdir():
        path.write_bytes(path.read_bytes()[:-8])
    assert _failed(name)


@pytest.mark.parametrize("name", [name for name in shipped_names() if name != "multigrid"])
def test_weights_of_noise_are_found(weights_elsewhere, name):
    """Files that load, with the right names and shapes, and numbers that nobody trained."""
    needs("shipped networks")
    found, rng = load_weights(shipped(name)), np.random.default_rng(0)
    noise = {k: rng.standard_normal(t.shape).astype(t.dtype) for k, t in found.tensors.items()}
    path = weights_elsewhere / f"{name}.safetensors"
    save_weights(path, found.kind, noise, config=found.config, training=found.training)
    for other in weights_elsewhere.iterdir():
        if other != path:
            other.unlink()
    assert _failed("shipped networks") == {f"{name}: does its work"}


def test_weights_that_are_not_finite_are_found(weights_elsewhere):
    needs("learned multigrid")
    found = load_weights(shipped("multigrid"))
    tensors = {k: np.full_like(t, np.nan) if k == "omega" else t for k, t in found.tensors.items()}
    save_weights(weights_elsewhere / "multigrid.safetensors", found.kind, tensors, config=found.config,
                 training=found.training)  # fmt: skip
    assert "multigrid: header and numbers" in _failed("learned multigrid")


# -- installed files --------------------------------------------------------------------------
class _Entry(importlib.metadata.PackagePath):
    def locate(self):
        return Path(sciml.__file__).parent.parent / self


def _installed(monkeypatch, name, digest):
    entry = _Entry(name)
    entry.hash = importlib.metadata.FileHash(f"sha256={digest}")
    monkeypatch.setattr(importlib.metadata, "files", lambda package: [entry])
    return run_part(Part("installed files", files.installed_files, files.why_not_comparable))


def test_files_are_compared_with_the_record_of_the_wheel(monkeypatch):
    empty = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"  # SHA-256 of no bytes, as py.typed has them
    assert _installed(monkeypatch, "sciml/py.typed", empty) == Outcome(
        "installed files", 1, pytest.approx(0, abs=1), ()
    )
    changed = _installed(monkeypatch, "sciml/__init__.py", empty)
    assert "not the one that was installed" in changed.failures[0].sentence
    missing = _installed(monkeypatch, "sciml/gone.py", empty)
    assert missing.failures[0].sentence == "the file is missing"


def test_a_checkout_has_nothing_to_compare_with(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "files", lambda package: None)
    outcome = run_part(PARTS["installed files"])
    assert outcome.status == "skipped"
    assert "not installed from a wheel" in outcome.skipped


# -- running ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("torch", 'torch is not installed: pip install "sciml[learned]"'),
        ("torch on cuda:0", 'torch is not installed: pip install "sciml[learned]"'),
        ("array-api-strict", "array-api-strict is not installed: pip install array-api-strict"),
        ("cupy", 'cupy is not installed: pip install "sciml[gpu]"'),
        ("algebraic multigrid", 'pyamg is not installed: pip install "sciml[amg]"'),
        ("figures", 'matplotlib is not installed: pip install "sciml[plot]"'),
        ("scanner files", 'h5py is not installed: pip install "sciml[mri]"'),
        ("learned multigrid", 'safetensors is not installed: pip install "sciml[weights]"'),
        ("shipped networks", 'torch is not installed: pip install "sciml[learned]"'),
        ("training", 'torch is not installed: pip install "sciml[learned]"'),
        ("PETSc and MPI", "mpi4py is not installed"),
    ],
)
def test_what_is_not_installed_is_named(monkeypatch, name, hint):
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    outcome = run_part(PARTS[name])
    assert outcome.status == "skipped"
    assert outcome.skipped.startswith(hint)
    assert outcome.checks == 0


def test_one_failure_hides_no_other():
    def raises():
        raise ZeroDivisionError("division\nby zero")

    seen = []
    parts = [
        Part("set-up", lambda: {}[0]),
        Part("checks", lambda: {"a": raises, "b": lambda: ["wrong"], "c": list}),
        Part("missing", lambda: {"a": raises}, lambda: "no reason"),
    ]
    setup, checks, missing = run_selftest(parts, seen.append)
    assert setup.failures[0].sentence == "KeyError: 0"
    assert [f.sentence for f in checks.failures] == ["ZeroDivisionError: division by zero", "wrong"]
    assert "raises" in checks.failures[0].trace
    assert checks.checks == 3
    assert missing.status == "skipped"
    assert seen == ["set-up", "checks", "checks: a", "checks: b", "checks: c", "missing"]


@pytest.mark.parametrize("bad", [np.nan, np.inf, 2.0])
def test_numbers_that_are_wrong_make_sentences(bad):
    assert report.at_most("it", 1.0, 1.0) == report.at_least("it", 1.0, 1.0) == []
    assert report.at_most("it", bad, 1.0) == [f"it is {bad:.6g}; expected <= 1"]
    assert report.at_least("it", -bad, 1.0) == [f"it is {-bad:.6g}; expected >= 1"]
    assert report.same("it", np.ones(2), np.ones(2)) == []
    assert len(report.same("it", np.array([1.0, bad]), np.ones(2))) == 1
