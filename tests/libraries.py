"""The array libraries tests run over: NumPy, torch, array-api-strict; CuPy and torch on CUDA where found."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from sciml.backends.namespace import from_numpy


@dataclass(frozen=True)
class Namespace:
    """An array library on one device."""

    name: str
    library: str
    device: str | None = None

    def array(self, values: Any, dtype: str | None = None) -> Any:
        """A NumPy array (or nested list) as an array of this library."""
        return from_numpy(np.asarray(values), self.library, dtype=dtype, device=self.device)

    @property
    def operator_settings(self) -> dict[str, Any]:
        """The keywords that make a PoissonOperator of this library."""
        return {"backend": self.library, "device": self.device}

    def __str__(self) -> str:
        return self.name


NUMPY = Namespace("numpy", "numpy")
TORCH = Namespace("torch", "torch")
STRICT = Namespace("strict", "array-api-strict")
CUPY = Namespace("cupy", "cupy")
TORCH_CUDA = Namespace("torch-cuda", "torch", "cuda:0")


def _reason_to_skip(namespace: Namespace) -> str | None:
    module = namespace.library.replace("-", "_")
    if importlib.util.find_spec(module) is None:
        return f"{namespace.library} is not installed"
    if namespace.device is not None:
        import torch

        if not torch.cuda.is_available():
            return "torch sees no CUDA device"
    if namespace.library == "cupy":
        import cupy

        try:
            cupy.cuda.runtime.getDeviceCount()
        except cupy.cuda.runtime.CUDARuntimeError:
            return "CuPy sees no CUDA device"
    return None


def namespace_params() -> list[Any]:
    """Every library as a pytest parameter, skipped with the reason where it cannot run."""
    params = []
    for namespace in (NUMPY, TORCH, STRICT, CUPY, TORCH_CUDA):
        reason = _reason_to_skip(namespace)
        marks = [pytest.mark.gpu] if namespace in (CUPY, TORCH_CUDA) else []
        if reason is not None:
            marks.append(pytest.mark.skip(reason=reason))
        params.append(pytest.param(namespace, id=namespace.name, marks=marks))
    return params
