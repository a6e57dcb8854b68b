"""``sciml discover``: model errors from the user's own snapshots, for the models that come with sciml."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files import check_output

__all__ = ["MODELS", "run_discover"]


@dataclass(frozen=True)
class _Model:
    """One of the shipped models: how to build it for fields of some shape, and its candidate terms."""

    make: Callable[..., Any]
    parameters: tuple[str, ...]
    space: str

    def stepper(self, shape: tuple[int, ...], dt: float, values: dict[str, float]) -> Any:
        """The model for fields of `shape`."""
        return self.make(shape, dt, values)


def _spectral(name: str, needs: int) -> Callable[..., Any]:
    def make(shape: tuple[int, ...], dt: float, values: dict[str, float]) -> Any:
        from .. import problems

        if len(shape) != needs or (needs == 2 and shape[0] != shape[1]):
            raise ValueError(
                f"the snapshots have shape {shape}; {name} expects {'(n,)' if needs == 1 else '(n, n)'}"
            )
        return problems.CNAB2(getattr(problems, name)(shape[0], **values), dt)

    return make


def _ordinary(name: str) -> Callable[..., Any]:
    def make(shape: tuple[int, ...], dt: float, values: dict[str, float]) -> Any:
        from .. import problems

        if len(shape) != 1 or (name == "lorenz63" and shape != (3,)):
            raise ValueError(
                f"the snapshots have shape {shape}; {name} expects {'(3,)' if name == 'lorenz63' else '(n,)'}"
            )
        if name == "lorenz63":
            return problems.lorenz63(dt, **values)
        return problems.lorenz96(shape[0], dt, **values)

    return make


MODELS = {
    "ks": _Model(
        _spectral("kuramoto_sivashinsky", 1),
        ("length", "advection", "diffusion", "hyperdiffusion", "dispersion", "cubic"),
        "powers",
    ),
    "burgers": _Model(
        _spectral("burgers", 1), ("length", "viscosity", "advection", "forcing", "drag"), "powers"
    ),
    "kolmogorov": _Model(
        _spectral("kolmogorov", 2),
        ("viscosity", "drag", "forcing", "hyperviscosity", "advection"),
        "vorticity",
    ),
    "lorenz63": _Model(_ordinary("lorenz63"), ("sigma", "rho", "beta"), "xyz"),
    "lorenz96": _Model(_ordinary("lorenz96"), ("forcing", "damping"), "ring"),
}
"""Name on the command line -> how it is built and the parameters ``--set`` takes."""


def run_discover(
    model: str,
    data: Path,
    settings: Sequence[str],
    dt: float,
    window: float | None,
    noise: str | None,
    assimilation: str | None,
    power: int,
    order: int,
    seed: int,
    save: Path | None,
    plot: Path | None,
    json: Path | None,
) -> int:
    """Read, discover, print, save; returns the exit code.

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        One line for arguments or files that do not fit.
    """
    from rich.console import Console

    from ..learned.medida import DiscoveryWarning, discover
    from ..plotting import check_format

    if model not in MODELS:
        raise ValueError(f"unknown model {model!r}; expected one of {', '.join(MODELS)}")
    if plot is not None:
        check_format(plot)
    for path in (save, plot, json):
        check_output(path)
    level = _noise(noise)
    observations, stored = _snapshots(data, window)
    if level is None:
        level = stored
    kind = MODELS[model]
    stepper = kind.stepper(observations.space, dt, parse_settings(settings, kind.parameters))
    candidates = _library(kind.space, power, order)
    console = Console()
    console.print(
        f"{stepper!r}\n{observations!r}, {len(candidates)} candidate terms", highlight=False, markup=False
    )
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DiscoveryWarning)
        error = discover(
            stepper, observations, candidates, noise=level, assimilation=assimilation, seed=seed,
            progress=lambda text: None,
        )  # fmt: skip
    seconds = time.perf_counter() - start
    for warned in caught:
        console.print(f"warning: {warned.message}", highlight=False, markup=False, style="yellow")
    console.print(_table(error))
    console.print(error.equation, highlight=False, markup=False)
    console.print(
        f"{seconds:.2g} s, {error.info['method']}, noise {error.info['noise']:.3g}", highlight=False
    )
    if save is not None:
        error.save(save)
        console.print(f"model error: {save}", highlight=False)
    if plot is not None:
        from ..plotting import save as save_figure

        save_figure(error.plot(), plot)
        console.print(f"figure: {plot}", highlight=False)
    if json is not None:
        _write(json, model, error, seed, seconds)
        console.print(f"record: {json}", highlight=False)
    return 0


def parse_settings(settings: Sequence[str], known: Sequence[str]) -> dict[str, float]:
    """``["diffusion=0.5"]`` as numbers by name.

    >>> parse_settings(["diffusion=0.5"], ("diffusion",))
    {'diffusion': 0.5}
    """
    values = {}
    for text in settings:
        name, equals, number = text.partition("=")
        if not equals or name not in known:
            raise ValueError(f"--set {text!r}; expected NAME=NUMBER with a name of {', '.join(known)}")
        try:
            values[name] = float(number)
        except ValueError:
            raise ValueError(f"--set {text!r}; expected a number after the equals sign") from None
    return values


def _snapshots(path: Path, window: float | None) -> tuple[Any, float | None]:
    """The pairs in a file and the noise level it states, if any."""
    from ..io import load_arrays
    from ..learned.medida import Snapshots

    arrays = load_arrays(path)
    for name in ("before", "after"):
        if name not in arrays:
            raise ValueError(f"{path}: holds no array {name!r} (found {', '.join(arrays) or 'nothing'})")
    if window is None and "window" not in arrays:
        raise ValueError(
            f"{path}: holds no number 'window'; give the time between the snapshots with --window"
        )
    for name in ("window", "noise"):
        if name in arrays and (arrays[name].size != 1 or arrays[name].dtype.kind not in "fiu"):
            raise ValueError(
                f"{path}: {name} has shape {arrays[name].shape} and dtype {arrays[name].dtype}; "
                "expected one number"
            )
    span = float(arrays["window"].item()) if window is None else window
    noise = float(arrays["noise"].item()) if "noise" in arrays else None
    try:
        return Snapshots(arrays["before"], arrays["after"], span, arrays.get("times")), noise
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None


def _noise(text: str | None) -> float | str | None:
    if text is None or text == "estimate":
        return text
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--noise {text!r}; expected a standard deviation or 'estimate'") from None


def _library(space: str, power: int, order: int) -> Any:
    from ..learned.medida import Library, vorticity_library

    if space == "powers":
        return Library.powers(power, order)
    if space == "xyz":
        return Library.polynomials("xyz")
    return vorticity_library() if space == "vorticity" else Library.ring((-2, -1, 0, 1))


def _table(error: Any) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("missing term")
    for column in ("coefficient", "95 % interval", "log evidence"):
        table.add_column(column, justify="right")
    for name, value, (low, high) in zip(error.names, error.coefficients, error.intervals(), strict=True):
        table.add_row(name, f"{value:+.5g}", f"{low:+.5g} to {high:+.5g}", f"{error.evidence[name]:.3g}")
    return table


def _write(path: Path, model: str, error: Any, seed: int, seconds: float) -> None:
    from ..measure.record import record, write_json

    rows = [
        {"term": name, "coefficient": float(c), "low": float(low), "high": float(high),
         "log evidence": error.evidence[name]}
        for name, c, (low, high) in zip(error.names, error.coefficients, error.intervals(), strict=True)
    ]  # fmt: skip
    tables: dict[str, Sequence[dict[str, Any]]] = {
        "terms": rows,
        "run": [{"seconds": seconds, "method": error.info["method"], "noise": error.info["noise"]}],
    }
    write_json(path, record(f"discover {model}", "small", seed, tables, []))
