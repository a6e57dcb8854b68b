"""One Sense operator: CG-SENSE, Halpern over coils, compressed sensing, and a RIM whose steps are CG.

A held-out head, eight coils, four times undersampled, noise. Every method gets the same operator and data:
CG on the normal equations; Halpern's method on the sum over coils with a wavelet penalty, beside FISTA on
the very same sum; a recurrent inference machine whose steps are a few iterations of CG each; and that
machine's image as the start of CG.

Claims: Halpern and FISTA find the same image; a start from the machine's image begins with a smaller
residual than zero does and ends in the same solution.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from _common import Case, parser, progress

import sciml
from sciml.operators import WaveletL1
from sciml.problems.mri import load_slices, psnr, sampling_mask, simulate, ssim

SIZES = {"small": 64, "paper": 128}
WEIGHT, MU, RTOL = 2e-3, 1e-2, 1e-4


def reconstruct(scan: Any, tell: Any) -> dict[str, Any]:
    """Results by method, all from the same operator and data."""
    A, y = scan.A, scan.y
    normal, back = A.normal() + MU, A.H @ y
    results = {}
    tell("CG-SENSE")
    results["CG-SENSE"] = sciml.cg(normal, back, rtol=RTOL)
    penalty = WaveletL1(WEIGHT * float(np.abs(back).max()), A.in_shape, "db4")
    coils = A.finite_sum(y, G=penalty)
    tell("Halpern over coils")
    settings = {"rtol": RTOL, "maxiter": 3000}
    results["Halpern over coils, wavelets"] = sciml.halpern(coils, back, **settings)
    tell("FISTA on the same sum")
    results["FISTA over coils, wavelets"] = sciml.forward_backward(coils, back, accelerated=True, **settings)
    tell("RIM")
    rim = sciml.learned.load("rim-mri")
    results["RIM, steps by CG"] = rim(A, y)
    tell("CG from the RIM")
    results["CG-SENSE from the RIM"] = sciml.cg(normal, back, x0=results["RIM, steps by CG"].x, rtol=RTOL)
    return results


def figure(scan: Any, results: dict[str, Any]) -> Any:
    """Images above, errors below."""
    from matplotlib.figure import Figure

    shown = {"reference": scan.image, "zero-filled": scan.zero_filled}
    shown |= {name: r.x for name, r in results.items() if "from" not in name and "FISTA" not in name}
    drawing = Figure(figsize=(2.1 * len(shown), 4.4), layout="constrained")
    axes = drawing.subplots(2, len(shown))
    top = float(np.abs(scan.image).max())
    for column, (name, image) in enumerate(shown.items()):
        axes[0, column].imshow(np.abs(image), cmap="gray", vmin=0.0, vmax=top)
        axes[0, column].set_title(name.replace(", ", ",\n"), fontsize=9)
        axes[1, column].imshow(np.abs(image - scan.image), cmap="magma", vmin=0.0, vmax=0.2 * top)
        axes[1, column].set_title("" if column == 0 else f"{psnr(image, scan.image):.1f} dB", fontsize=9)
        for ax in axes[:, column]:
            ax.set_axis_off()
    axes[1, 0].text(
        0.5, 0.5, "errors,\nfive times\nbrighter", ha="center", va="center", color="white", fontsize=9,
        transform=axes[1, 0].transAxes,
    )  # fmt: skip
    return drawing


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Run the case."""
    case = Case("combine_sense", parser(__doc__).parse_args(argv))
    n, seed = SIZES[case.arguments.size], case.arguments.seed
    scan = simulate(
        load_slices("validation").images[5],
        sampling_mask("gaussian2d", (n, n), 4, seed=seed),
        noise=0.005,
        seed=seed,
    )
    with progress() as tell:
        results = reconstruct(scan, tell)
    images = {"zero-filled": scan.zero_filled} | {name: result.x for name, result in results.items()}
    rows = [
        {
            "method": name,
            "PSNR": psnr(image, scan.image),
            "SSIM": ssim(image, scan.image),
            "status": results[name].status.name.lower() if name in results else None,
            "iterations": results[name].iterations if name in results else None,
            "first residual": results[name].residual_history[0] if name in results else None,
        }
        for name, image in images.items()
    ]
    case.table(
        f"{n} x {n}, R = 4, 8 coils", rows, **{"method": "", "PSNR": ".2f", "SSIM": ".3f", "status": "",
        "iterations": "d", "first residual": ".3g"},
    )  # fmt: skip
    case.claim(
        "Halpern and FISTA, relative difference", gap(results, "Halpern over", "FISTA over"), "<=", 0.02
    )
    cold, warm = results["CG-SENSE"], results["CG-SENSE from the RIM"]
    start = warm.residual_history[0] / cold.residual_history[0]
    case.claim("first residual from the RIM over that from zero", start, "<=", 0.5)
    case.claim(
        "CG from the RIM and from zero, relative difference",
        gap(results, "CG-SENSE", "CG-SENSE from"),
        "<=",
        0.01,
    )
    if case.arguments.plot is not None:
        case.save_figure(figure(scan, results))
    return case.finish()


def gap(results: dict[str, Any], one: str, other: str) -> float:
    """Relative difference of the first results whose names begin so."""
    x, y = (next(r.x for name, r in results.items() if name.startswith(start)) for start in (one, other))
    return float(np.linalg.norm(x - y) / np.linalg.norm(x))


if __name__ == "__main__":
    main()
