"""The parts of the self-test, what each needs, and what to install where that is missing."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any

from .run import Checks, Part

__all__ = ["plan"]


def plan() -> list[Part]:
    """All parts, those that cannot run here included: they say why."""
    weights = _needs("weights", "safetensors")
    learned = _needs("learned", "torch", "safetensors")
    return [
        Part("installed files", _of("files", "installed_files"), _of("files", "why_not_comparable")),
        Part("operators", _of("contracts", "operators")),
        Part("solvers", _of("contracts", "solvers")),
        Part("preconditioners", _of("contracts", "preconditioners")),
        Part("known answers", _of("answers", "known_answers")),
        Part("sequences, inclusions, models", _of("answers", "beyond_linear_systems")),
        Part("files of systems", _of("files", "readers")),
        Part("algebraic multigrid", _of("extras", "algebraic_multigrid"), _needs("amg", "pyamg")),
        Part("figures", _of("extras", "figures"), _needs("plot", "matplotlib")),
        Part("scanner files", _of("scans", "scanner_files"),
             _needs("mri", "h5py", "nibabel", "ismrmrd", "pywt", "skimage")),
        *_on_other_libraries(),
        Part("learned multigrid", _of("weights", "multigrid"), weights),
        Part("shipped networks", _of("weights", "networks"), learned),
        Part("training", _of("training", "training"), learned),
        Part("PETSc and MPI", _of("extras", "petsc"), _of("extras", "no_petsc")),
    ]  # fmt: skip


def _on_other_libraries() -> list[Part]:
    """The same operators, solvers and answers on every array library and device."""
    hints = {"torch": 'pip install "sciml[learned]"', "array-api-strict": "pip install array-api-strict",
             "cupy": 'pip install "sciml[gpu]"'}  # fmt: skip
    places = (("torch", None), ("torch", "cuda:0"), ("array-api-strict", None), ("cupy", None))
    return [
        Part(
            library if device is None else f"{library} on {device}",
            _of("contracts", "on_library", library, device),
            partial(_no_library, library, device, hints[library]),
        )
        for library, device in places
    ]


def _of(module: str, function: str, *arguments: Any) -> Callable[[], Any]:
    """A function of this package, imported when it is called."""

    def call() -> Checks | str | None:
        return getattr(importlib.import_module(f".{module}", __package__), function)(*arguments)

    return call


def _needs(extra: str, *modules: str) -> Callable[[], str | None]:
    """Why an extra is not there: the first module that cannot be found, and how to install it."""

    def missing() -> str | None:
        for module in modules:
            if importlib.util.find_spec(module) is None:
                return f'{module} is not installed: pip install "sciml[{extra}]"'
        return None

    return missing


def _no_library(library: str, device: str | None, install: str) -> str | None:
    if importlib.util.find_spec(library.replace("-", "_")) is None:
        return f"{library} is not installed: {install}"
    if device is not None:
        import torch

        if not torch.cuda.is_available():
            return "torch sees no CUDA device"
    if library == "cupy":
        import cupy

        try:
            cupy.cuda.runtime.getDeviceCount()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            return f"CuPy sees no CUDA device ({error})"
    return None
