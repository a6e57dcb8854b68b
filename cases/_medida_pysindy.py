"""PySINDy as a baseline of `medida_ks`: its PDE library and its weak form, errors in the same measure."""

from __future__ import annotations

import warnings

import numpy as np
import pysindy

from sciml.learned.medida import Snapshots
from sciml.problems import PeriodicGrid

THRESHOLDS = (0.05, 0.1, 0.2, 0.4)
"""Each is tried; the best result counts, an advantage a user would not have."""


def pde_library(grid: PeriodicGrid, data: Snapshots | np.ndarray, dt: float | None = None) -> float:
    """Smallest error in % of sequentially thresholded least squares on ``u^p ∂^d u``.

    For pairs the time derivative is their difference quotient, for a series PySINDy's own.
    """
    (x,) = grid.coordinates()
    library = pysindy.PDELibrary(
        function_library=pysindy.PolynomialLibrary(degree=4, include_bias=False),
        derivative_order=4,
        spatial_grid=x,
    )
    if isinstance(data, Snapshots):
        u = 0.5 * (data.before + data.after).T[..., None]
        rate = ((data.after - data.before) / data.window).T[..., None]
        return _best(library, u, {"x_dot": rate, "t": data.window})
    return _best(library, data.T[..., None], {"t": dt})


def weak_form(grid: PeriodicGrid, series: np.ndarray, dt: float) -> float:
    """Smallest error in % of the weak form, which needs a series dense in time."""
    (x,) = grid.coordinates()
    t = dt * np.arange(len(series))
    mesh = np.stack(np.meshgrid(x, t, indexing="ij"), axis=-1)
    np.random.seed(0)  # noqa: NPY002  the library draws its domains from the global generator
    library = pysindy.WeakPDELibrary(
        function_library=pysindy.PolynomialLibrary(degree=4, include_bias=False),
        derivative_order=4, spatiotemporal_grid=mesh, K=600, H_xt=[8.0, 2.0], p=6,
    )  # fmt: skip
    return _best(library, series.T[..., None], {"t": dt})


def _best(library: object, u: np.ndarray, settings: dict) -> float:
    errors = []
    for threshold in THRESHOLDS:
        optimizer = pysindy.STLSQ(threshold=threshold, alpha=1e-8, normalize_columns=False)
        model = pysindy.SINDy(optimizer=optimizer, feature_library=library)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(u, **settings)
        names = [_plain(name) for name in model.get_feature_names()]
        errors.append(_error(dict(zip(names, model.coefficients()[0], strict=True))))
    return min(errors)


def _error(found: dict[str, float]) -> float:
    """Of the whole equation ``u_t = -u u_x - u_xx - u_xxxx``, spurious terms included."""
    wanted = {"x0x0_1": -1.0, "x0_11": -1.0, "x0_1111": -1.0}
    squares = sum((wanted.get(n, 0.0) - found.get(n, 0.0)) ** 2 for n in set(wanted) | set(found))
    return 100.0 * float(np.sqrt(squares / 3.0))


def _plain(name: str) -> str:
    return name.replace(" ", "")
