"""Accelerated MRI without learning: zero-filled, CG-SENSE and compressed sensing, beside BART.

Eight-coil k-space of real T1- and T2-weighted slices is simulated on a grid twice as fine as that of the
reconstructions, with noise of 1 % of the largest magnitude, and undersampled by three masks. CG-SENSE is
`cg(A.normal() + mu, A.H @ y)`; compressed sensing is accelerated forward-backward splitting with an
l1-wavelet regulariser, on the same operator. BART's `pics` (60 iterations, as the RIM papers run it) is the
referee where the program is installed. All methods get the same data and maps; their one setting is chosen on
T1-weighted validation slices of another head, per mask, by the PSNR within the head, and then judged on the
test slices. No image is rescaled.

Claims: our compressed sensing is at least as good as BART's, and better than CG-SENSE, in every row; with
coil maps estimated from the data it loses little.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from _common import Case, parser, progress

from sciml.problems.mri import (
    Scan,
    SliceSet,
    cg_sense,
    chi_squared,
    compressed_sensing,
    espirit_maps,
    load_slices,
    low_resolution_maps,
    psnr,
    sampling_mask,
    simulate,
    ssim,
)
from sciml.problems.mri.bart import bart_available, bart_compressed_sensing

SHAPE, COILS, NOISE = (128, 128), 8, 0.01
MASKS = {
    "Gaussian 2D 4x": ("gaussian2d", 4),
    "Gaussian 2D 8x": ("gaussian2d", 8),
    "equispaced 4x": ("equispaced1d", 4),
}
SLICES = {"small": (2, 3), "paper": (4, 14)}
ACS = 24
SHOWN = ("Gaussian 2D 8x", "equispaced 4x")
QUIET = {"on_failure": "ignore"}

Method = Callable[[Scan, float], np.ndarray]
METHODS: dict[str, tuple[Method, tuple[float, ...]]] = {
    "zero-filled": (lambda s, _: s.zero_filled, (0.0,)),
    "CG-SENSE": (lambda s, mu: cg_sense(s.A, s.y, mu=mu, **QUIET).x, (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)),
    "l1-wavelet CS": (
        lambda s, w: compressed_sensing(s.A, s.y, weight=w, **QUIET).x,
        (3.5e-4, 5e-4, 7e-4, 1e-3, 1.4e-3, 2e-3, 2.8e-3),
    ),
}
BART: tuple[Method, tuple[float, ...]] = (
    lambda s, w: bart_compressed_sensing(s.y, s.maps, weight=w),
    (5e-4, 7e-4, 1e-3, 1.4e-3, 2e-3, 2.8e-3, 4e-3),
)


def scans_of(heads: SliceSet, count: int, mask: str, seed: int, *, acs: int = 0) -> list[Scan]:
    """Scans of `count` slices spread over a head, each with coils, phase, mask and noise of its own."""
    kind, R = MASKS[mask]
    chosen = np.unique(np.linspace(1, len(heads) - 2, count).round().astype(int))
    return [
        simulate(
            heads.images[i], sampling_mask(kind, SHAPE, R, seed=[seed, i], acs=acs), coils=COILS, noise=NOISE,
            seed=[seed, i, 1], name=heads.names[i],
        )
        for i in chosen
    ]  # fmt: skip


def measure(method: Method, setting: float, scans: Sequence[Scan]) -> dict[str, float]:
    """Means over scans: quality within the head and in the whole slice, residual check, processor seconds."""
    rows = []
    for scan in scans:
        start = processor_seconds()
        x = method(scan, setting)
        seconds = processor_seconds() - start
        assert scan.image is not None
        rows.append(
            {
                "PSNR": psnr(x, scan.image, mask=scan.foreground),
                "SSIM": ssim(x, scan.image, mask=scan.foreground),
                "whole PSNR": psnr(x, scan.image),
                "whole SSIM": ssim(x, scan.image),
                "chi2": chi_squared(scan.A, x, scan.y, scan.sigma),
                "seconds": seconds,
            }
        )
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def processor_seconds() -> float:
    """Of this process and of the programs it has run, so that a busy machine does not count."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def tuned(method: Method, settings: Sequence[float], scans: Sequence[Scan]) -> float:
    """The setting with the best PSNR within the head on validation scans."""
    if len(settings) == 1:
        return settings[0]
    return max(settings, key=lambda setting: measure(method, setting, scans)["PSNR"])


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    case = Case("mri_baselines", parser(__doc__).parse_args(argv))
    size, seed = case.arguments.size, case.arguments.seed
    methods = {**METHODS, **({"BART CS": BART} if bart_available() else {})}
    validation, tests = load_slices("validation"), {c: load_slices(f"test-{c}") for c in ("T1", "T2")}
    for_validation, for_test = SLICES[size]
    settings: dict[tuple[str, str], float] = {}
    rows: list[dict[str, Any]] = []
    with progress() as tell:
        for mask in MASKS:
            scans = scans_of(validation, for_validation, mask, seed + 1000)
            for name, (method, candidates) in methods.items():
                tell(f"{mask}: choosing the setting of {name}")
                settings[mask, name] = tuned(method, candidates, scans)
            for contrast, heads in tests.items():
                judged = scans_of(heads, for_test, mask, seed)
                for name, (method, _) in methods.items():
                    tell(f"{contrast}, {mask}: {name}")
                    row: dict[str, Any] = {"contrast": contrast, "mask": mask, "method": name}
                    row |= measure(method, settings[mask, name], judged)
                    rows.append({**row, "setting": settings[mask, name], "scans": len(judged)})
        tell("coil maps estimated from the data")
        estimated = map_rows(tests["T1"], for_test, settings["Gaussian 2D 4x", "l1-wavelet CS"], seed)
    formats = {"PSNR": ".2f", "SSIM": ".3f", "whole PSNR": ".2f", "whole SSIM": ".3f", "chi2": ".2f"}
    case.table(
        "reconstructions (PSNR and SSIM within the head, then of the whole slice)",
        rows,
        contrast="",
        mask="",
        method="",
        **formats,
        seconds=".3f",
        setting="g",
        scans="d",
    )
    title = "l1-wavelet CS of T1, Gaussian 2D 4x with a sampled centre, by coil maps"
    case.table(title, estimated, maps="", **formats)
    claims(case, rows, estimated)
    if case.arguments.plot is not None:
        case.save_figure(figure(tests["T1"], settings, methods, seed))
    return case.finish()


def map_rows(heads: SliceSet, count: int, weight: float, seed: int) -> list[dict[str, Any]]:
    """Compressed sensing with true and with estimated maps, each against what its maps can give at best."""
    scans = scans_of(heads, count, "Gaussian 2D 4x", seed, acs=ACS)
    estimators: dict[str, Callable[[Scan], np.ndarray]] = {
        "true": lambda scan: scan.maps,
        "true, cut to the support of ESPIRiT's": lambda scan: scan.maps * (espirit(scan) != 0).any(axis=0),
        "ESPIRiT": espirit,
        "low resolution": lambda scan: low_resolution_maps(scan.y, acs=ACS),
    }
    method = METHODS["l1-wavelet CS"][0]
    rows = []
    for name, estimate in estimators.items():
        with_maps = [scan.with_maps(estimate(scan)) for scan in scans]
        rows.append({"maps": name, **measure(method, weight, with_maps)})
    return rows


def espirit(scan: Scan) -> np.ndarray:
    return espirit_maps(scan.y, acs=ACS)


def claims(case: Case, rows: list[dict[str, Any]], estimated: list[dict[str, Any]]) -> None:
    def gap(one: str, other: str) -> float:
        """The smallest advantage of a method over another in dB, over all rows."""
        best = {(r["contrast"], r["mask"], r["method"]): r["PSNR"] for r in rows}
        return min(best[c, m, one] - best[c, m, other] for c, m, name in best if name == one)

    pairs = [("CG-SENSE", "zero-filled"), ("l1-wavelet CS", "CG-SENSE"), ("l1-wavelet CS", "BART CS")]
    for one, other in pairs:
        if any(r["method"] == other for r in rows):
            case.claim(f"{one} over {other}, least over all rows (dB)", gap(one, other), ">=", 0.0)
    true, espirit = (next(r["PSNR"] for r in estimated if r["maps"] == name) for name in ("true", "ESPIRiT"))
    case.claim("loss of l1-wavelet CS with ESPIRiT maps (dB)", true - espirit, "<=", 1.5)


def figure(
    heads: SliceSet, settings: dict[tuple[str, str], float], methods: dict[str, Any], seed: int
) -> Any:
    """One slice under two masks: images, and below them their errors, five times brighter."""
    from matplotlib.figure import Figure

    columns = ["reference", *methods]
    drawing = Figure(figsize=(2.1 * len(columns), 4.45 * len(SHOWN)), layout="constrained")
    axes = drawing.subplots(2 * len(SHOWN), len(columns))
    for row, mask in enumerate(SHOWN):
        scan = scans_of(heads, 3, mask, seed)[1]
        truth = np.abs(np.asarray(scan.image))
        for column, name in enumerate(columns):
            image_axes, error_axes = axes[2 * row][column], axes[2 * row + 1][column]
            if name == "reference":
                image_axes.imshow(truth, cmap="gray", vmin=0, vmax=truth.max())
                image_axes.set_title("reference", fontsize=10)
                error_axes.imshow(scan.mask, cmap="gray", interpolation="nearest")
                error_axes.set_title(f"{mask}: R = {scan.A.acceleration:.2f}", fontsize=9)
            else:
                x = np.abs(methods[name][0](scan, settings[mask, name]))
                quality = psnr(x, truth, mask=scan.foreground)
                image_axes.imshow(x, cmap="gray", vmin=0, vmax=truth.max())
                image_axes.set_title(name, fontsize=10)
                error_axes.imshow(5 * np.abs(x - truth), cmap="inferno", vmin=0, vmax=truth.max())
                error_axes.set_title(f"error x 5, {quality:.1f} dB", fontsize=9)
    for ax in axes.ravel():
        ax.set_axis_off()
    return drawing


if __name__ == "__main__":
    main()
