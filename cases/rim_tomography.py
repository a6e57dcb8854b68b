"""The same recurrent inference machine on tomography: from 20 views, through a SciPy sparse matrix.

Nothing in `sciml.learned.rim` knows what MRI is. Here the operator is a sparse matrix of line integrals
(parallel beams, 20 angles) and images are real; the class is the one that reconstructs MRI scans, with
weights trained in this run on slices of three heads. Another head judges, and one of another contrast (T2).
Beside it stand least squares with Tikhonov's regularisation and with the l1 norm of wavelet coefficients,
their weights chosen on validation slices.

Claim: the RIM whose gradient is preconditioned by CG is at least as good as the better one of them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse
from _common import Case, parser, progress

from sciml import CallableOperator, as_operator, cg, forward_backward
from sciml.learned import History
from sciml.learned.rim import RIM, Sample, train_rim
from sciml.operators import AffineSum, WaveletL1
from sciml.operators.rows import operator_norm
from sciml.problems.mri import load_slices, psnr, ssim

N, ANGLES, NOISE = 64, 20, 0.01
NETWORK = {
    "small": {"channels": 16, "steps": 6, "components": 1},
    "paper": {"channels": 32, "steps": 8, "components": 1},
}
STEPS = {"small": 250, "paper": 6000}
SLICES = {"small": 3, "paper": 15}
TIKHONOV = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
WAVELET = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
QUIET: dict[str, Any] = {"on_failure": "ignore"}


def line_integrals(n: int, angles: int) -> scipy.sparse.csr_array:
    """Parallel projections of an ``n x n`` image: every pixel is shared by the two rays next to its centre.

    Rows are rays, `angles` times ``n``; the matrix is scaled to a norm of one.
    """
    centres = np.arange(n) - (n - 1) / 2
    y, x = np.meshgrid(centres, centres, indexing="ij")
    rows, weights = [], []
    for k in range(angles):
        angle = math.pi * k / angles
        position = (x * math.cos(angle) + y * math.sin(angle)).ravel() + (n - 1) / 2
        below = np.floor(position).astype(int)
        for ray, share in ((below, 1 - (position - below)), (below + 1, position - below)):
            rows.append(np.where((ray >= 0) & (ray < n), k * n + ray, 0))
            weights.append(np.where((ray >= 0) & (ray < n), share, 0.0))
    columns = np.tile(np.arange(n * n), 2 * angles)
    entries = (np.concatenate(weights), (np.concatenate(rows), columns))
    matrix = scipy.sparse.csr_array(scipy.sparse.coo_array(entries, shape=(angles * n, n * n)))
    norm = operator_norm(lambda v: matrix @ v, lambda v: matrix.T @ v, np.ones(n * n))
    return scipy.sparse.csr_array((matrix / norm).astype(np.float32))


def images_of(split: str) -> np.ndarray:
    """Slices averaged to ``N x N`` pixels."""
    images = load_slices(split).images
    step = images.shape[-1] // N
    return images.reshape(len(images), N, step, N, step).mean(axis=(2, 4)).astype(np.float32)


def measured(A: Any, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Data of an image, with noise relative to their largest value."""
    y = A @ x.reshape(-1)
    return (y + NOISE * np.abs(y).max() * rng.standard_normal(y.shape)).astype(np.float32)


def tikhonov(A: Any, y: np.ndarray, weight: float) -> np.ndarray:
    """``(Aᵀ A + weight) x = Aᵀ y``."""
    return cg(A.H @ A + weight, A.H @ y, rtol=1e-4, maxiter=300, **QUIET).x.reshape(N, N)


def wavelets(A: Any, y: np.ndarray, weight: float) -> np.ndarray:
    """``½ ‖A x − y‖² + weight max|Aᵀ y| ‖W x‖₁``, by accelerated forward-backward splitting."""

    def normal(x: np.ndarray) -> np.ndarray:
        return (A.H @ (A @ x.reshape(-1))).reshape(N, N)

    K = CallableOperator(normal, (N, N), dtype="float32", properties={"symmetric", "positive_semidefinite"})
    back = (A.H @ y).reshape(N, N)
    G = WaveletL1(weight * float(np.abs(back).max()), (N, N), shifts=2)
    F = AffineSum(K, back, lipschitz_full=1.0, G=G)
    return forward_backward(F, back, accelerated=True, rtol=1e-3, maxiter=300, **QUIET).x


def quality(
    method: Callable[[np.ndarray], np.ndarray], A: Any, images: np.ndarray, seed: int
) -> dict[str, float]:
    """Means over images: PSNR, SSIM, processor seconds."""
    rows = []
    for i, x in enumerate(images):
        y = measured(A, x, np.random.default_rng([seed, i]))
        start = time.process_time()
        found = method(y)
        seconds = time.process_time() - start
        rows.append((psnr(found, x), ssim(found, x), seconds))
    return dict(zip(("PSNR", "SSIM", "seconds"), np.mean(rows, axis=0).tolist(), strict=True))


def train(
    A: Any, size: str, seed: int, steps: int, tell: Callable[[str], None], lr: float = 4e-3, **settings: Any
) -> tuple[RIM, History]:
    """A network trained on flipped and turned slices of the training heads; `settings` are of `train_rim`."""
    images, held_out = images_of("train"), images_of("validation")

    def sample(rng: np.random.Generator) -> Sample:
        x = np.rot90(images[int(rng.integers(len(images)))], int(rng.integers(4)))
        x = np.ascontiguousarray(x[:, ::-1] if rng.random() < 0.5 else x)
        return Sample(A, measured(A, x, rng), x)

    judges = [Sample(A, measured(A, x, np.random.default_rng(i)), x) for i, x in enumerate(held_out[::3])]
    rim = RIM(seed=seed, **NETWORK[size])
    history = train_rim(
        rim, sample, steps=steps, lr=lr, held_out=judges, seed=seed, progress=False,
        callback=lambda done, metrics: tell(f"training: step {done} of {steps}, loss {metrics['loss']:.4f}"),
        **settings,
    )  # fmt: skip
    return rim, history


def figure(A: Any, methods: dict[str, Callable[[np.ndarray], np.ndarray]], seed: int) -> Any:
    """One slice of each contrast by every method, with its errors."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(2.1 * (len(methods) + 1), 8.9), layout="constrained")
    axes = drawing.subplots(4, len(methods) + 1)
    for row, contrast in enumerate(("T1", "T2")):
        x = images_of(f"test-{contrast}")[5]
        y = measured(A, x, np.random.default_rng([seed, 5]))
        above, below = axes[2 * row], axes[2 * row + 1]
        above[0].imshow(x, cmap="gray", vmin=0, vmax=x.max())
        above[0].set_title(f"reference, {contrast}", fontsize=10)
        below[0].imshow(y.reshape(ANGLES, N), cmap="gray", aspect="auto")
        below[0].set_title(f"data: {ANGLES} views", fontsize=10)
        for column, (name, method) in enumerate(methods.items(), start=1):
            found = method(y)
            above[column].imshow(found, cmap="gray", vmin=0, vmax=x.max())
            above[column].set_title(name, fontsize=10)
            below[column].imshow(3 * np.abs(found - x), cmap="inferno", vmin=0, vmax=x.max())
            below[column].set_title(f"error x 3, {psnr(found, x):.1f} dB", fontsize=10)
    for ax in axes.ravel():
        ax.set_axis_off()
    return drawing


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the case."""
    arguments = parser(__doc__)
    arguments.add_argument("--steps", type=int, help="of the training, instead of those of the size")
    options = arguments.parse_args(argv)
    case = Case("rim_tomography", options)
    A = as_operator(line_integrals(N, ANGLES))
    with progress() as tell:
        validation = images_of("validation")[2 :: 12 // SLICES[options.size] or 1][: SLICES[options.size]]
        best = {}
        for name, solve, weights in (("Tikhonov", tikhonov, TIKHONOV), ("l1-wavelets", wavelets, WAVELET)):
            tell(f"choosing the weight of {name}")
            found = {
                w: quality(lambda y, w=w, solve=solve: solve(A, y, w), A, validation, 1000)["PSNR"]
                for w in weights
            }
            best[name] = max(found, key=found.__getitem__)
        rim, _ = train(A, options.size, options.seed, options.steps or STEPS[options.size], tell)
        methods: dict[str, Callable[[np.ndarray], np.ndarray]] = {
            "Tikhonov": lambda y: tikhonov(A, y, best["Tikhonov"]),
            "l1-wavelets": lambda y: wavelets(A, y, best["l1-wavelets"]),
            "RIM cg": lambda y: rim(A, y, image_shape=(N, N)).x,
        }
        rows = []
        for contrast in ("T1", "T2"):
            images = images_of(f"test-{contrast}")[2 :: 12 // SLICES[options.size] or 1]
            for name, method in methods.items():
                tell(f"{contrast}: {name}")
                row = {"contrast": contrast, "method": name, "weight": best.get(name)}
                rows.append({**row, **quality(method, A, images[: SLICES[options.size]], options.seed)})
    title = f"{ANGLES} views of {N} x {N} pixels, noise {NOISE:.0%}"
    case.table(title, rows, contrast="", method="", weight="g", PSNR=".2f", SSIM=".3f", seconds=".3f")
    value = {(r["contrast"], r["method"]): r["PSNR"] for r in rows}
    for contrast in ("T1", "T2"):
        classical = max(value[contrast, "Tikhonov"], value[contrast, "l1-wavelets"])
        gain = value[contrast, "RIM cg"] - classical
        case.claim(f"RIM over the better classical method, {contrast} (dB)", gain, ">=", 0.0)
    if options.plot is not None:
        case.save_figure(figure(A, methods, options.seed))
    return case.finish()


if __name__ == "__main__":
    main()
