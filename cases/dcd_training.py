"""Training a direction network: which part of the recipe earns what.

Deep conjugate directions were published with a recipe: fresh right-hand sides, low modes weighted by nine,
and the residual after the best step as the loss. The default here changes three things, one after another in
the table: the law of the modes, the energy norm of the error as the loss, and systems that are followed
through the iterations of the solver, so that the network sees the residuals it leaves behind itself.

Every recipe trains the same two networks (nonlinear and linear) from the same start, for the same number of
steps at the same learning rate, on the box; the judges are geometries no training has seen. What it sets out
to show
- the default needs fewer iterations than the published recipe, on the box and among obstacles.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from _common import Case, parser, progress

from sciml import cg
from sciml.plotting import tidy
from sciml.problems import poisson

RECIPES: dict[str, dict[str, Any]] = {
    "published": {"law": "lowest", "loss": "residual", "depth": 1},
    "+ octaves": {"law": "octaves", "loss": "residual", "depth": 1},
    "+ energy": {"law": "octaves", "loss": "energy", "depth": 1},
    "+ followed (default)": {"law": "octaves", "loss": "energy", "depth": 16},
}
NETWORKS = ("small", "linear")
CELLS = {"small": 32, "paper": 64}
STEPS = {"small": 300, "paper": 3000}
SEEDS = {"small": 2, "paper": 10}
SCENES = (None, "balls", "walls")
RTOL = 1e-4


def train(recipe: dict[str, Any], name: str, size: str, seed: int, tell: Any) -> tuple[Any, Any]:
    from sciml.learned.dcd import BoxModes, train_dcd

    A = poisson((CELLS[size],) * 2, bc="open-top").A
    settings = {key: value for key, value in recipe.items() if key != "law"}
    tell(f"training {name}, {recipe}")
    return train_dcd(
        A, BoxModes(A, recipe["law"]), architecture=name, steps=STEPS[size], seed=seed, progress=False,
        **settings,
    )  # fmt: skip


def iterations(network: Any, scene: str | None, seeds: int) -> tuple[float, float]:
    """Medians of the iterations of `dcd` (never more than those of CG count) and of CG."""
    from sciml.learned.dcd import dcd

    ours, theirs = [], []
    for seed in range(seeds):
        problem = poisson(network.in_shape, bc="open-top", obstacles=scene, seed=1000 + seed)
        theirs.append(cg(problem.A, problem.b, rtol=RTOL).iterations)
        result = dcd(problem.A, problem.b, network, rtol=RTOL, maxiter=2 * theirs[-1], on_failure="ignore")
        ours.append(result.iterations if result.converged else float("inf"))
    return statistics.median(ours), statistics.median(theirs)


def figure(curves: dict[tuple[str, str], list[tuple[int, float]]]) -> Any:
    """Validation over the steps, one panel per network.

    Every recipe validates on data of its own law, so the published one compares with itself only.
    """
    from matplotlib.figure import Figure

    colours = dict(zip(RECIPES, ("#7F7F7F", "#E69F00", "#0072B2", "#D55E00"), strict=True))
    drawing = Figure(figsize=(10.0, 3.8), layout="constrained")
    panels = drawing.subplots(1, len(NETWORKS), sharey=True)
    for ax, name in zip(panels, NETWORKS, strict=True):
        for recipe, colour in colours.items():
            ax.plot(*zip(*curves[name, recipe], strict=True), color=colour, label=recipe, linewidth=1.6)
        ax.set_title(f"{name} network", fontsize=10)
        ax.set_xlabel("step")
        ax.grid(True, color="0.9", linewidth=0.6)
        tidy(ax)
    panels[0].set_ylabel("share of the residual an iteration leaves\n(validation data of the recipe)")
    panels[0].set_ylim(0.0, 1.2)
    panels[0].legend(frameon=False, fontsize=9)
    return drawing


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    given = parser(__doc__).parse_args(argv)
    import torch

    from sciml.backends.threads import num_threads

    torch.set_num_threads(num_threads())
    case = Case("dcd_training", given)
    rows, curves = [], {}
    with progress() as tell:
        for name in NETWORKS:
            for recipe, settings in RECIPES.items():
                network, history = train(settings, name, given.size, given.seed, tell)
                curves[name, recipe] = history.validation
                row: dict[str, Any] = {"network": name, "recipe": recipe, "validation": history.best[1]}
                for scene in SCENES:
                    tell(f"{name}, {recipe}: {scene or 'box'}")
                    ours, theirs = iterations(network, scene, SEEDS[given.size])
                    row[scene or "box"] = ours if ours < float("inf") else None
                    row[f"CG_{scene or 'box'}"] = theirs
                rows.append(row)
    scenes = {scene or "box": ".0f" for scene in SCENES}
    cg_columns = {f"CG_{name}": ".0f" for name in scenes}
    case.table(
        f"iterations to {RTOL:g} after {STEPS[given.size]} steps on {CELLS[given.size]}x{CELLS[given.size]}",
        rows, network="", recipe="", validation=".3f", **scenes, **cg_columns,
    )  # fmt: skip
    by = {(row["network"], row["recipe"]): row for row in rows}
    for name in NETWORKS:
        first, last = by[name, "published"], by[name, "+ followed (default)"]
        for scene in scenes:
            # A recipe that needs more than twice the iterations of CG counts as just that.
            published = first[scene] or 2 * first[f"CG_{scene}"]
            ours = last[scene] or 2 * last[f"CG_{scene}"]
            case.claim(
                f"{name}, {scene}: iterations over those of the published recipe", ours / published, "<=", 1.0
            )
    if given.plot is not None:
        case.save_figure(figure(curves))
    return case.finish()


if __name__ == "__main__":
    main()
