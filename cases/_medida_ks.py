"""What the parts of `medida_ks` share: truth, observations, scores, statistics of long runs."""

from __future__ import annotations

import math
import time
import warnings
from typing import Any

import numpy as np

from sciml.learned.medida import DiscoveryWarning, Library, Snapshots, discover
from sciml.problems import (
    CNAB2,
    ETDRK4,
    BlowUpError,
    KSCase,
    PeriodicGrid,
    forecast,
    kuramoto_sivashinsky,
    random_phases,
    trajectory,
)

LENGTH, DT, FINE, WINDOW = 100.0, 5e-3, 1024, 0.25


def attractor(seed: int, batch: int) -> tuple[PeriodicGrid, np.ndarray]:
    """Independent states after a spin-up of 150 time units, on 256 nodes."""
    equation = kuramoto_sivashinsky(256, LENGTH)
    u = random_phases(equation.grid, np.random.default_rng(seed), batch=(batch,))
    return equation.grid, forecast(ETDRK4(equation, 0.05), u, 3000)


def exact_triples(n: int, seed: int) -> Snapshots:
    """`n` triples (t − h, t, t + h) one time unit apart, on 1024 nodes, truth steps of 0.001."""
    grid, u = attractor(seed, 1)
    equation = kuramoto_sivashinsky(FINE, LENGTH)
    stepper, u = ETDRK4(equation, 1e-3), grid.resample(u[0], equation.grid)
    before, after = [], []
    for _ in range(n):
        middle = forecast(stepper, u, 5)
        end = forecast(stepper, middle, 5)
        before.append([u, middle])
        after.append(end)
        u = forecast(stepper, end, 990)
    return Snapshots(np.array(before), np.array(after), DT)


def window_pairs(n: int, seed: int, window: float = WINDOW) -> tuple[PeriodicGrid, Snapshots]:
    """`n` pairs a window apart, ten time units between pairs of one run, on 256 nodes."""
    runs = min(n, 10)
    grid, u = attractor(seed, runs)
    stepper = ETDRK4(kuramoto_sivashinsky(256, LENGTH), 0.01)
    before, after = [], []
    for _ in range(math.ceil(n / runs)):
        before.append(u)
        u = forecast(stepper, u, round(window / 0.01))
        after.append(u)
        u = forecast(stepper, u, 1000)
    return grid, Snapshots(np.concatenate(before)[:n], np.concatenate(after)[:n], window)


def observed(
    grid: PeriodicGrid, pairs: Snapshots, nodes: int, ratio: float, seed: int
) -> tuple[Snapshots, float]:
    """The pairs on `nodes` nodes with noise of standard deviation ``ratio`` times that of the field."""
    coarse = PeriodicGrid(nodes, LENGTH)
    std = ratio * float(np.std(pairs.before))
    moved = Snapshots(grid.resample(pairs.before, coarse), grid.resample(pairs.after, coarse), pairs.window)
    return moved.with_noise(std, np.random.default_rng(seed)), std


def model(case: KSCase, nodes: int) -> CNAB2:
    """The imperfect model on a grid of `nodes` nodes."""
    return CNAB2(case.equation(nodes, LENGTH), DT)


def scored(case: KSCase, nodes: int, data: Snapshots, library: Library, **settings: Any) -> dict[str, Any]:
    """Discover the error of a model; its score as a row of a table."""
    start = time.perf_counter()
    wanted, caught = case.missing(), []
    found: dict[str, float] = {}
    covered, text, expected = [False] * len(wanted), "blew up", float("nan")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", DiscoveryWarning)
            error = discover(model(case, nodes), data, library, **settings)
        found = error.as_dict()
        ends = dict(zip(error.names, error.intervals(), strict=True))
        covered = [bool(name in ends and ends[name][0] <= c <= ends[name][1]) for name, c in wanted.items()]
        expected = case.error_size(error.covariance)
        text = error.equation.removeprefix("u_t = model").strip() if found else "none"
    except BlowUpError:
        pass
    return {
        "case": case.name,
        "model error %": case.error({}),
        "corrected error %": case.error(found),
        "expected error %": expected,
        "exact": set(found) == set(wanted),
        "covered": covered,
        "warned": bool(caught),
        "seconds": time.perf_counter() - start,
        "found": text if len(text) < 60 else text[:57] + "...",
    }


def prediction_time(stepper: Any, start: np.ndarray) -> float:
    """Time until the error against the truth exceeds 40 % of the field (root mean squares)."""
    truth = trajectory(ETDRK4(kuramoto_sivashinsky(256, LENGTH), 0.01), start, 10_000, 25)
    size = float(np.std(truth))
    u, t = start, 0.0
    for reference in truth[1:]:
        u = forecast(stepper, u, round(0.25 / DT))
        t += 0.25
        if not np.sqrt(np.mean((u - reference) ** 2)) <= 0.4 * size:
            return t
    return t


def statistics(grid: PeriodicGrid, run: np.ndarray) -> tuple[np.ndarray, ...]:
    """Spectrum over wavenumber, and distribution of values."""
    settled = run[len(run) // 20 :]
    spectrum = np.mean(np.abs(grid.transform(settled)) ** 2, axis=0) / grid.shape[0] ** 2
    density, edges = np.histogram(settled, bins=61, range=(-4.0, 4.0), density=True)
    return grid.wavenumbers[0], spectrum, 0.5 * (edges[1:] + edges[:-1]), density


def spectrum_gap(grid: PeriodicGrid, truth: np.ndarray, run: np.ndarray) -> float:
    """Largest difference of log10 spectra over wavenumbers 0.2 to 2."""
    k, a, _, _ = statistics(grid, truth)
    _, b, _, _ = statistics(grid, run)
    kept = (k >= 0.2) & (k <= 2.0)
    smooth = np.ones(5) / 5.0
    return float(
        np.max(np.abs(np.log10(np.convolve(a, smooth, "same") / np.convolve(b, smooth, "same"))[kept]))
    )
