"""Smoke past moving obstacles: one pressure solve a step, by any solver and preconditioner.

Smoke rises from a hot spot past a ball that swings through the plume and a paddle that turns above it. Every
step moves the obstacles, so every step has a new geometry, and its preconditioner is set up anew. CG with
`Multigrid` drives the simulation; the other methods project the very same velocities past the very same
obstacles, from the same guess, to the same tolerance, right after it in the same step, so the comparison is
paired. Slow methods do so in every k-th step only; the column ``steps`` says in how many.

What it sets out to show
- the divergence left by the projection is within the tolerance of the solve in every step and method;
- with set-up for every new geometry counted, multigrid is many times faster than algebraic multigrid.

``setup`` is the mean over the steps of building operator and preconditioner, ``solve`` of solving, ``run``
what the pressure solves of all measured steps take (mean times number of steps). Advection, which is the same
for all, is not counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np
from _common import Case, output, parser, progress
from _smoke_picture import picture, save_gif, save_png, strip

from sciml import cg
from sciml.plotting import tidy
from sciml.preconditioners import AMG, IncompleteCholesky, LearnedMultigrid
from sciml.preconditioners.multigrid import Multigrid
from sciml.problems.fluids import MacGrid, PressureProjection, Projected, Smoke, SmokeSimulation, smoke_plume

RTOL = 1e-4


@dataclass(frozen=True)
class Method:
    """How the pressure is solved for: the two arguments of `SmokeSimulation`."""

    preconditioner: Callable[[Any], Any] | None = None
    solver: Any = cg
    every: int = 1
    """Measured in every k-th step of the paper's size."""


@cache
def network(ndim: int) -> Any:
    """The network for two or three axes that comes with the package; it has never seen an obstacle."""
    from sciml.learned import load

    return load(f"dcd{ndim}d")


def deep_directions(A: Any, b: Any, **options: Any) -> Any:
    """`dcd` as a solver like any other."""
    from sciml.learned.dcd import dcd

    return dcd(A, b, network(len(A.in_shape)), **options)


DRIVER = "cg + Multigrid"
METHODS = {
    DRIVER: Method(Multigrid),
    "cg + LearnedMultigrid": Method(partial(LearnedMultigrid, rtol=RTOL)),
    "dcd": Method(solver=deep_directions, every=20),
    "cg + MIC(0)": Method(partial(IncompleteCholesky, modified=True), every=5),
    "cg": Method(None, every=10),
    "cg + AMG(SA)": Method(AMG, every=10),
    "cg + AMG(RS)": Method(partial(AMG, method="ruge_stuben"), every=10),
}
ALGEBRAIC = ("cg + AMG(SA)", "cg + AMG(RS)")


@dataclass(frozen=True)
class Run:
    """One simulation: steps before measuring starts, and measured ones."""

    shape: tuple[int, ...]
    warmup: int
    steps: int
    dt: float
    speedup: float = 1.0
    """Times faster than algebraic multigrid that is claimed; small grids are no match for overheads."""


RUNS = {
    "small": [Run((64, 128), 60, 20, 0.04), Run((24, 24, 24), 25, 15, 0.05)],
    "paper": [Run((512, 1024), 200, 100, 0.01, 20.0), Run((64, 64, 64), 50, 100, 0.02, 20.0)],
}


@dataclass(frozen=True)
class Measured:
    """What is kept of one pressure solve; ``setup`` is seconds for operator and preconditioner."""

    setup: float
    solve: float
    iterations: int
    divergence: float
    converged: bool

    @classmethod
    def of(cls, p: Projected) -> Measured:
        setup = p.operator_seconds + p.setup_seconds
        result = p.result
        return cls(setup, result.seconds, result.iterations, p.relative_divergence, result.converged)

    @property
    def seconds(self) -> float:
        return self.setup + self.solve


@dataclass
class Paired:
    """A projection by the driving method that lets all methods due in this step project the same velocity."""

    grid: MacGrid
    rtol: float
    thin_out: bool
    projections: dict[str, PressureProjection] = field(init=False)
    measured: dict[str, list[Measured]] = field(init=False)
    step: int | None = None
    """Measured step in progress; None before measuring starts."""

    def __post_init__(self) -> None:
        self.projections = {
            name: PressureProjection(
                self.grid, solver=method.solver, preconditioner=method.preconditioner, rtol=self.rtol,
                on_failure="ignore",
            )
            for name, method in METHODS.items()
        }  # fmt: skip
        self.measured = {name: [] for name in METHODS}

    def __call__(self, *system: Any) -> tuple[Any, Projected]:
        velocity, projected = self.projections[DRIVER](*system)
        if self.step is not None:
            self.measured[DRIVER].append(Measured.of(projected))
            for name, method in METHODS.items():
                if name != DRIVER and (self.step % method.every == 0 or not self.thin_out):
                    self.measured[name].append(Measured.of(self.projections[name](*system)[1]))
        return velocity, projected


def simulate(
    run: Run, model: SmokeSimulation, paired: Paired, tell: Callable[[str], None]
) -> Iterator[tuple[int, float, Smoke]]:
    """Step through warm-up and measured steps; yields number, seconds, state."""
    model.project = paired
    state = model.initial()
    for number in range(run.warmup + run.steps):
        paired.step = number - run.warmup if number >= run.warmup else None
        tell(f"{'x'.join(map(str, run.shape))}: step {number + 1} of {run.warmup + run.steps}")
        start = time.perf_counter()
        state = model.step(state, number * model.dt)
        yield number, time.perf_counter() - start, state


def rows_of(run: Run, paired: Paired) -> list[dict[str, Any]]:
    rows = []
    for name, solves in paired.measured.items():
        iterations = [m.iterations for m in solves]
        setup = float(np.mean([m.setup for m in solves]))
        solve = float(np.mean([m.solve for m in solves]))
        rows.append(
            {
                "grid": "x".join(map(str, run.shape)),
                "method": name,
                "steps": len(solves),
                "setup_ms": 1e3 * setup,
                "solve_ms": 1e3 * solve,
                "run_seconds": (setup + solve) * run.steps,
                "iterations_min": min(iterations),
                "iterations_median": float(np.median(iterations)),
                "iterations_max": max(iterations),
                "worst_divergence": max(m.divergence for m in solves),
                "failures": sum(not m.converged for m in solves),
            }
        )
    return rows


def warm_up_kernels(ndim: int, rtol: float) -> None:
    """Load compiled kernels on a small grid, so that no method pays for that."""
    shape = (16, 32) if ndim == 2 else (12, 12, 12)
    model = smoke_plume(shape)
    paired = Paired(model.grid, rtol, thin_out=False)
    for _ in simulate(Run(shape, 0, 2, model.dt), model, paired, lambda text: None):
        pass


def claims(case: Case, run: Run, paired: Paired, rtol: float) -> None:
    grid = "x".join(map(str, run.shape))
    everything = [m for solves in paired.measured.values() for m in solves]
    case.claim(
        f"{grid}: worst divergence after over before, all methods and steps",
        max(m.divergence for m in everything), "<=", 10 * rtol,
    )  # fmt: skip
    case.claim(f"{grid}: solves that failed", sum(not m.converged for m in everything), "==", 0)
    ratios = []
    for name in ALGEBRAIC:
        every = METHODS[name].every if len(paired.measured[name]) < run.steps else 1
        ours = sum(m.seconds for m in paired.measured[DRIVER][::every])
        ratios.append(sum(m.seconds for m in paired.measured[name]) / ours)
    case.claim(
        f"{grid}: times faster than PyAMG's better method on the same steps, set-up included",
        min(ratios), ">=", run.speedup,
    )  # fmt: skip


def figure(stills: np.ndarray, results: Sequence[tuple[Run, Paired]]) -> Any:
    """The strip of stills above, seconds of the pressure solve over the steps below."""
    from matplotlib.figure import Figure

    colours = ["#0072B2", "#009E73", "#7F7F7F", "#D55E00", "#E69F00", "#CC79A7", "#56B4E9"]
    width = 11.0
    high = width * stills.shape[0] / stills.shape[1]
    drawing = Figure(figsize=(width, high + 4.0), layout="constrained")
    upper, lower = drawing.subfigures(2, 1, height_ratios=[high, 4.0])
    image = upper.subplots()
    image.imshow(stills, interpolation="lanczos")
    image.axis("off")
    for ax, (run, paired) in zip(lower.subplots(1, len(results), squeeze=False)[0], results, strict=True):
        for colour, (name, solves) in zip(colours, paired.measured.items(), strict=False):
            every = METHODS[name].every if len(solves) < run.steps else 1
            steps = np.arange(len(solves)) * every + 1
            marker = "o" if every > 1 else None
            ax.semilogy(
                steps, [m.seconds for m in solves], color=colour, marker=marker, markersize=4, label=name
            )
        ax.set_title(" × ".join(map(str, run.shape)), fontsize=10)
        ax.set_xlabel("measured step")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set_ylabel("seconds for the pressure, set-up included")
        ax.grid(True, which="major", color="0.9", linewidth=0.6)
        tidy(ax)
    handles, labels = ax.get_legend_handles_labels()
    lower.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
    return drawing


class Camera:
    """Keeps what the pictures are made of while a simulation runs."""

    def __init__(self, run: Run, *, frames: int, stills: Sequence[float], height: int):
        last = run.warmup + run.steps - 1
        self.height, self.images, self.stills = height, [], []
        self._frames = set(np.linspace(0, last, frames, dtype=int)) if frames else set()
        self._stills = {round(share * last) for share in stills}

    def look(self, number: int, state: Smoke) -> None:
        if number in self._frames:
            self.images.append(picture(state.smoke, state.solid, self.height))
        if number in self._stills:
            self.stills.append((state.smoke, state.solid))


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    arguments = parser(__doc__)
    arguments.add_argument("--rtol", type=float, default=RTOL, help="tolerance of the pressure solve")
    arguments.add_argument("--still", type=output, help="save a strip of stills here (.png)")
    arguments.add_argument("--gif", type=output, help="save an animation of the plane here (.gif)")
    arguments.add_argument("--frames", type=int, default=100, help="of the animation")
    case = Case("smoke_plume", arguments.parse_args(argv))
    options = case.arguments
    paper = options.size == "paper"
    results: list[tuple[Run, Paired]] = []
    rows: list[dict[str, Any]] = []
    steps: list[dict[str, Any]] = []
    pictures: list[tuple[np.ndarray, np.ndarray]] = []
    for run in RUNS[options.size]:
        plane = len(run.shape) == 2
        warm_up_kernels(len(run.shape), options.rtol)
        model = smoke_plume(run.shape, seed=options.seed, dt=run.dt)
        paired = Paired(model.grid, options.rtol, thin_out=paper)
        camera = Camera(
            run, frames=options.frames if plane and options.gif else 0,
            stills=(0.35, 0.6, 1.0) if plane else (0.6, 1.0), height=480,
        )  # fmt: skip
        whole = []
        with progress() as tell:
            for number, elapsed, state in simulate(run, model, paired, tell):
                camera.look(number, state)
                if number < run.warmup:
                    whole.append(elapsed)
        if camera.images:
            save_gif(options.gif, camera.images, seconds=10.0)
        pictures += camera.stills
        results.append((run, paired))
        rows += rows_of(run, paired)
        steps.append({"grid": "x".join(map(str, run.shape)), "step_seconds": float(np.median(whole))})
    case.table(
        f"pressure solves to {options.rtol:g}", rows,
        grid="", method="", steps="d", setup_ms=".1f", solve_ms=".1f", run_seconds=".2f", iterations_min="d",
        iterations_median=".0f", iterations_max="d", worst_divergence=".1e", failures="d",
    )  # fmt: skip
    case.table("median seconds of a whole step with the driving method", steps, grid="", step_seconds=".3f")
    for run, paired in results:
        claims(case, run, paired, options.rtol)
    if options.still is not None or options.plot is not None:
        stills = strip([picture(*still, 512) for still in pictures])
        if options.still is not None:
            save_png(options.still, stills)
        if options.plot is not None:
            case.save_figure(figure(stills, results))
    return case.finish()


if __name__ == "__main__":
    main()
