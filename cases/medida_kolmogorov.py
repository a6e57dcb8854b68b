"""Model errors of a two-dimensional Kolmogorov flow: drag, viscosity, forcing, hyperviscosity.

The method is not tied to one dimension or to a library of powers: terms of one's own, with a Fourier
symbol where they are linear, are regressed on five noisy pairs of vorticity fields. Claimed are exact
supports, small errors and longer predictions. The first two are the hard ones: the estimate keeps
wavenumbers up to a cutoff below the smallest scales of the flow, and what those do to the larger ones is
then explained by extra terms of damping. With less noise more wavenumbers stand out of it: at one per cent
it takes a cutoff of 20, and minutes for each discovery.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from _common import Case, parser, progress

from sciml.learned.medida import Snapshots, discover, vorticity_library
from sciml.plotting import tidy
from sciml.problems import (
    CNAB2,
    ETDRK4,
    PeriodicGrid,
    forecast,
    kolmogorov,
    random_phases,
)

NODES = {"small": 32, "paper": 64}
SEEDS = {"small": 1, "paper": 3}
NOISE = {"small": (0.05,), "paper": (0.05, 0.1)}
CUTOFF = {"small": 10.0, "paper": None}
"""Largest wavenumber of the estimate; None is what stands out of the noise."""

TRUE = {"viscosity": 1.0 / 40.0, "drag": 0.1, "forcing": 1.0, "hyperviscosity": 0.0, "advection": 1.0}
MODELS: dict[str, tuple[dict[str, float], dict[str, float]]] = {
    "drag missing": ({"drag": 0.0}, {"ω": -0.1}),
    "viscosity halved": ({"viscosity": 1.0 / 80.0}, {"Δω": 1.0 / 80.0}),
    "forcing too weak": ({"forcing": 0.7}, {"forcing": 0.3}),
    "hyperviscosity too much": ({"hyperviscosity": 1e-3}, {"Δ²ω": 1e-3}),
    "drag and viscosity": ({"drag": 0.0, "viscosity": 1.0 / 80.0}, {"ω": -0.1, "Δω": 1.0 / 80.0}),
    "perfect": ({}, {}),
}
"""Changed coefficients of the model, and what has to be found."""

SHORTLIST = ("drag missing", "forcing too weak", "perfect")
"""Models of the small size."""

DT, WINDOW, PAIRS = 0.02, 0.2, 5


def pairs(n: int, seed: int) -> tuple[PeriodicGrid, Snapshots]:
    """Exact pairs, two time units apart, of independent runs of the truth."""
    equation = kolmogorov(n, **TRUE)
    rng = np.random.default_rng(seed)
    u = random_phases(equation.grid, rng, rms=3.0, cutoff=10.0, batch=(5,))
    stepper = ETDRK4(equation, 0.01)
    u = forecast(stepper, u, 2000)
    before, after = [], []
    for _ in range(PAIRS // 5):
        before.append(u)
        u = forecast(stepper, u, round(WINDOW / 0.01))
        after.append(u)
        u = forecast(stepper, u, 200)
    return equation.grid, Snapshots(np.concatenate(before), np.concatenate(after), WINDOW)


def prediction_time(model: Any, truth: Any, start: np.ndarray) -> float:
    """Time until the relative error exceeds 0.3."""
    u, reference, t = start, start, 0.0
    while t < 20.0:
        u, reference, t = forecast(model, u, 12), forecast(truth, reference, 12), t + 12 * DT
        if not np.linalg.norm(u - reference) <= 0.3 * np.linalg.norm(reference):
            break
    return t


def study(case: Case, tell: Callable[[str], None]) -> tuple[list[dict[str, Any]], np.ndarray]:
    """One row per model and noise level."""
    size = case.arguments.size
    n, candidates, rows = NODES[size], vorticity_library(), []
    truth = ETDRK4(kolmogorov(n, **TRUE), DT)
    chosen = MODELS if size == "paper" else {name: MODELS[name] for name in SHORTLIST}
    for name, (changes, wanted) in chosen.items():
        for ratio in NOISE[size]:
            exact, errors, times = 0, [], []
            for seed in range(SEEDS[size]):
                tell(f"{name}, noise {ratio:.0%}, seed {seed}")
                _, data = pairs(n, case.arguments.seed + seed)
                std = ratio * float(np.std(data.before))
                model = CNAB2(kolmogorov(n, **(TRUE | changes)), DT)
                start = data.after[-1]
                noisy = data.with_noise(std, np.random.default_rng(seed))
                error = discover(model, noisy, candidates, noise=std, cutoff=CUTOFF[size])
                found = error.as_dict()
                exact += set(found) == set(wanted)
                errors += [100 * abs(found.get(term, 0.0) / value - 1.0) for term, value in wanted.items()]
                if seed == 0 and wanted:
                    times = [prediction_time(m, truth, start) for m in (model, error.corrected(model))]
            rows.append({
                "model": name, "noise": ratio, "seeds": SEEDS[size], "exact": exact / SEEDS[size],
                "largest error %": max(errors) if errors else None,
                "prediction time, model": times[0] if times else None,
                "prediction time, corrected": times[1] if times else None,
                "found": ", ".join(found) or "none",
            })  # fmt: skip
    case.table(f"Kolmogorov flow, {n} x {n} nodes, {PAIRS} pairs", rows, **{
        "model": "", "noise": ".0%", "seeds": "", "exact": ".2f", "largest error %": ".2f",
        "prediction time, model": ".2f", "prediction time, corrected": ".2f", "found": "",
    })  # fmt: skip
    return rows, start


def check(case: Case, rows: list[dict[str, Any]]) -> None:
    """Claims over all models."""
    for ratio in NOISE[case.arguments.size]:
        own = [r for r in rows if r["noise"] == ratio]
        case.claim(
            f"noise {ratio:.0%}: rate of exact supports", float(np.mean([r["exact"] for r in own])), ">=", 0.9
        )
        worst = max(r["largest error %"] for r in own if r["largest error %"] is not None)
        case.claim(f"noise {ratio:.0%}: largest error of a coefficient in %", worst, "<=", 10.0)
    ratios = [
        r["prediction time, corrected"] / r["prediction time, model"]
        for r in rows
        if r["prediction time, model"] is not None
    ]
    case.claim("prediction time, corrected / model, smallest", min(ratios), ">=", 1.0)


def figure(rows: list[dict[str, Any]], field: np.ndarray, ratio: float) -> Any:
    """A vorticity field, and prediction times before and after."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(10.0, 4.0), layout="constrained")
    left, right = drawing.subplots(1, 2, width_ratios=(1.0, 1.4))
    limit = float(np.abs(field).max())
    side = 2.0 * np.pi
    image = left.imshow(
        field.T, origin="lower", extent=(0, side, 0, side), cmap="RdBu_r", vmin=-limit, vmax=limit
    )
    left.set(xlabel="x", ylabel="y", title="vorticity")
    drawing.colorbar(image, ax=left, pad=0.02)
    own = [r for r in rows if r["noise"] == ratio and r["prediction time, model"] is not None]
    places = np.arange(len(own))[::-1]
    for shift, key, colour, label in (
        (0.2, "prediction time, model", "#7F7F7F", "imperfect model"),
        (-0.2, "prediction time, corrected", "#0072B2", "corrected"),
    ):
        right.barh(places + shift, [r[key] for r in own], height=0.38, color=colour, label=label)
    right.set_yticks(places, [r["model"] for r in own])
    right.set(xlabel="time until the relative error is 0.3", title=f"discovered at noise {ratio:.0%}")
    right.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    tidy(right)
    return drawing


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Run the case."""
    case = Case("medida_kolmogorov", parser(__doc__).parse_args(argv))
    with progress() as tell:
        rows, field = study(case, tell)
    check(case, rows)
    case.save_figure(figure(rows, field, NOISE[case.arguments.size][0]))
    return case.finish()


if __name__ == "__main__":
    main()
