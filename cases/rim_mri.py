"""Recurrent inference machines for accelerated MRI, beside compressed sensing.

Networks trained on T1-weighted heads only reconstruct another head (T1) and a contrast they have never
seen (T2), under three masks. The scans, the baselines and the choice of their settings are those of
`mri_baselines.py`; every method gets the same data and coil maps, no image is rescaled, and the settings of
the baselines are chosen on validation scans. Quality is measured within the head and over the whole slice.

Small judges the weights that ship with the package. Paper first trains every variant from three seeds, on
windows of 64 x 64 pixels, resuming from what is in `--weights FOLDER`: three to six hours of one core. Each
variant has updates, a learning rate and a mixture of masks of its own, chosen by validation: 3 to 16 minutes
of one core a network, and up to an hour for the recipe of the shipped one, whose first seed is that network.
`--variants`, `--seeds`, `--steps` and `--device` choose a part of it (several runs can fill one folder), and
`--shipped` judges the shipped weights alone.

Claims: every RIM gains at least 6 dB on zero filling; those whose gradient is preconditioned by CG are at
least as good as tuned compressed sensing in every row, ours and BART's, and 2 dB better under the equispaced
mask; they take no more processor time than BART; an IndRNN cell takes at most 0.6 of the time of a GRU.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _common import Case, parser, progress
from mri_baselines import BART, MASKS, METHODS, Method, measure, scans_of, tuned

from sciml.backends.namespace import to_numpy
from sciml.learned import load, load_weights, shipped
from sciml.learned.rim import CIRIM, RIM, train_rim
from sciml.learned.rim.mri import scan_sample, scan_sampler, validation_scans
from sciml.problems.mri import Scan, ScanStream, load_slices, psnr
from sciml.problems.mri.bart import bart_available

SHIPPED = "rim-mri"
SHAPE = (128, 128)
WINDOW = 64
"""Pixels per axis of the scans to train on: parts of heads, at the resolution of `SHAPE`."""

PRECISION = "float32"
ACCELERATION = (2.5, 9.0)
LOSS = "log-mse"
"""Of the training, as of that of the shipped network."""

SEEDS = 3
SCANS = {"small": (1, 3), "paper": (4, 14)}
"""Per mask: scans that choose the settings of the baselines, scans of each contrast that judge."""

CANDIDATES = {"small": slice(1, None, 2), "paper": slice(None)}
"""Of the settings of the baselines."""


@dataclass(frozen=True)
class Variant:
    """A network to train: constructor, settings, and how."""

    make: Callable[..., RIM]
    settings: dict[str, Any]
    steps: int
    """Updates of the training."""
    lr: float = 2e-3
    equispaced: float = 0.2
    """Share of its scans with regularly undersampled lines."""
    weighting: str = "logspace"
    channels: int = 32


AS_SHIPPED = "RIM IndRNN cg, as shipped"
VARIANTS = {
    "RIM IndRNN learned": Variant(RIM, {"step": "learned"}, 4000, equispaced=0.4),
    "RIM IndRNN explicit": Variant(RIM, {"step": "explicit"}, 3000, equispaced=0.4),
    "RIM IndRNN cg": Variant(RIM, {"step": "cg"}, 1200),
    AS_SHIPPED: Variant(RIM, {"step": "cg"}, 12000, weighting="steep", channels=40),
    "RIM MGU learned": Variant(RIM, {"step": "learned", "cell": "mgu"}, 2600, lr=8e-3, equispaced=0.4),
    "RIM GRU learned": Variant(RIM, {"step": "learned", "cell": "gru"}, 2600, lr=8e-3, equispaced=0.4),
    "CIRIM IndRNN learned": Variant(CIRIM, {"step": "learned"}, 1200),
}
CG = "RIM IndRNN cg"
SHIPPED_NAME = "RIM IndRNN cg, shipped"
SHOWN = (("T1", "Gaussian 2D 8x"), ("T2", "equispaced 4x"))
"""Contrasts and masks of the figure."""


def trained(name: str, seed: int, options: Any, tell: Callable[[str], None]) -> tuple[RIM, dict[str, Any]]:
    """A variant from its weight file, trained first (or trained on) where the file is not there yet."""
    variant = VARIANTS[name]
    steps, channels = options.steps or variant.steps, options.channels or variant.channels
    how = (
        f"{channels}-{options.window}-{options.precision}-{variant.weighting}-{variant.lr:g}-"
        f"{variant.equispaced:g}-{steps}-{seed}"
    )
    stem = name.lower().replace(",", "").replace(" ", "-") + f"-{how}"
    path = options.weights / f"{stem}.safetensors"
    asked = (steps, channels, options.window, options.precision)
    if name == AS_SHIPPED and seed == 0 and asked == (variant.steps, variant.channels, WINDOW, PRECISION):
        path = shipped(SHIPPED)
    if not path.exists():
        rim = variant.make(channels=channels, seed=seed, **variant.settings).to(options.device)
        scans = ScanStream(
            load_slices("train").images, shape=(options.window,) * 2, window=(2 * options.window,) * 2,
            coils=(4, 12), acceleration=ACCELERATION,
            masks={"gaussian2d": 1.0 - variant.equispaced, "equispaced1d": variant.equispaced},
        )  # fmt: skip
        held_out = validation_scans(load_slices("validation").images, SHAPE)
        start, first = time.perf_counter(), [0]

        def show(done: int, metrics: Any) -> None:
            first[0] = first[0] or done
            left = (time.perf_counter() - start) / (done - first[0] + 1) * (steps - done)
            tell(f"training {name}, seed {seed}: step {done} of {steps}, {left / 60:.0f} min left")

        history = train_rim(
            rim, scan_sampler(scans, options.device), steps=steps, seed=seed, lr=variant.lr,
            held_out=[scan_sample(scan, options.device) for scan in held_out], weighting=variant.weighting,
            loss=LOSS, precision=options.precision,
            checkpoint=options.weights / f"{stem}.checkpoint.safetensors", progress=False, callback=show,
        )  # fmt: skip
        command = (
            f"cases/rim_mri.py --size paper --variants '{name}' --steps {steps} --channels {channels} "
            f"--window {options.window} --precision {options.precision}"
        )
        rim.to("cpu").save(path, training={"command": command, "seed": seed, **history.summary()})
    rim = load(path)
    facts = load_weights(path).training
    return rim, {
        "variant": name, "seed": seed, "parameters": rim.parameter_count, "steps": facts["steps"],
        "training seconds": facts["seconds"], "validation": facts["best"]["value"],
    }  # fmt: skip


def reconstruct(rim: RIM) -> Method:
    """A trained network as a method of `mri_baselines`, without a setting; the copy to torch counts."""

    def method(scan: Scan, _: float) -> np.ndarray:
        moved = scan.to("torch")
        return to_numpy(rim(moved.A, moved.y).x)

    return method


def judge(
    learned: dict[str, list[RIM]], size: str, seed: int, tell: Callable[[str], None]
) -> tuple[list[dict[str, Any]], dict[Any, float]]:
    """Every method on every contrast and mask; means over scans and, for networks, over seeds."""
    baselines = {**METHODS, **({"BART CS": BART} if bart_available() else {})}
    for_validation, for_test = SCANS[size]
    settings: dict[Any, float] = {}
    rows = []
    for mask in MASKS:
        scans = scans_of(load_slices("validation"), for_validation, mask, seed + 1000)
        for name, (method, candidates) in baselines.items():
            tell(f"{mask}: choosing the setting of {name}")
            few = candidates if len(candidates) == 1 else candidates[CANDIDATES[size]]
            settings[mask, name] = tuned(method, few, scans)
        for contrast in ("T1", "T2"):
            judged = scans_of(load_slices(f"test-{contrast}"), for_test, mask, seed)
            label = {"contrast": contrast, "mask": mask}
            for name, (method, _) in baselines.items():
                tell(f"{contrast}, {mask}: {name}")
                rows.append({**label, "method": name, **measure(method, settings[mask, name], judged)})
            for name, networks in learned.items():
                tell(f"{contrast}, {mask}: {name}")
                found = [measure(reconstruct(rim), 0.0, judged) for rim in networks]
                mean = {key: float(np.mean([f[key] for f in found])) for key in found[0]}
                spread = float(np.ptp([f["PSNR"] for f in found])) if len(found) > 1 else None
                rows.append({**label, "method": name, **mean, "range over seeds": spread})
    return rows, settings


def overview(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per method: PSNR within the head of every contrast and mask, processor seconds per slice."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        label = f"{row['contrast']}, {row['mask'].replace(' 2D', '')}"
        found.setdefault(row["method"], {"method": row["method"]})[label] = row["PSNR"]
    for name, line in found.items():
        mine = [row for row in rows if row["method"] == name]
        spreads = [row["range over seeds"] for row in mine if row.get("range over seeds") is not None]
        line["range over seeds"] = max(spreads, default=None)
        line["seconds"] = float(np.mean([row["seconds"] for row in mine]))
    return list(found.values())


def least_gain(rows: list[dict[str, Any]], one: str, other: str, mask: str = "") -> float:
    """The smallest advantage of a method over another within the head, in dB, over contrasts and masks."""
    found = {(r["contrast"], r["mask"], r["method"]): r["PSNR"] for r in rows}
    return min(
        found[c, m, one] - found[c, m, other] for c, m, name in found if name == one and m.startswith(mask)
    )


def cell_seconds(scan: Scan, repeats: int = 3) -> dict[str, float]:
    """Processor seconds of one slice by the papers' networks: they do not depend on the weights."""
    seconds = {}
    for cell in ("indrnn", "mgu", "gru"):
        rim = RIM(cell=cell, channels=64, step="learned")
        seconds[cell] = min(measure(reconstruct(rim), 0.0, [scan])["seconds"] for _ in range(repeats))
    return seconds


def claims(case: Case, rows: list[dict[str, Any]], learned: Sequence[str], seconds: dict[str, float]) -> None:
    for name in learned:
        case.claim(f"{name} over zero filling, least (dB)", least_gain(rows, name, "zero-filled"), ">=", 6.0)
    for name in (name for name in learned if name.startswith(CG)):
        for rival in ("l1-wavelet CS", "BART CS"):
            if any(r["method"] == rival for r in rows):
                case.claim(f"{name} over {rival}, least (dB)", least_gain(rows, name, rival), ">=", 0.0)
                gain = least_gain(rows, name, rival, "equispaced")
                case.claim(f"{name} over {rival}, least, equispaced (dB)", gain, ">=", 2.0)
        if bart_available():
            mean = {n: np.mean([r["seconds"] for r in rows if r["method"] == n]) for n in (name, "BART CS")}
            ratio = float(mean[name] / mean["BART CS"])
            case.claim(f"processor seconds, {name} / BART CS", ratio, "<=", 1.0)
    case.claim("processor seconds, IndRNN / GRU, 64 channels", seconds["indrnn"] / seconds["gru"], "<=", 0.6)


def figure(rim: RIM, settings: dict[Any, float], seed: int) -> Any:
    """One slice of each contrast: images, errors, and where the last step still changed something."""
    from matplotlib.figure import Figure

    methods = {**METHODS, **({"BART CS": BART} if bart_available() else {}), "RIM": (reconstruct(rim), ())}
    columns = ["reference", *methods]
    drawing = Figure(figsize=(1.9 * len(columns), 8.2), layout="constrained")
    axes = drawing.subplots(2 * len(SHOWN), len(columns))
    for row, (contrast, mask) in enumerate(SHOWN):
        scan = scans_of(load_slices(f"test-{contrast}"), 3, mask, seed)[1]
        truth = np.abs(np.asarray(scan.image))
        change = rim(scan.A, scan.y).info["change"]
        for column, name in enumerate(columns):
            above, below = axes[2 * row][column], axes[2 * row + 1][column]
            if name == "reference":
                above.imshow(truth, cmap="gray", vmin=0, vmax=truth.max())
                above.set_title(f"{contrast}, {mask}", fontsize=9)
                below.imshow(change, cmap="inferno", vmin=0, vmax=np.percentile(change, 99.5))
                below.set_title("last change of the RIM", fontsize=9)
            else:
                x = np.abs(methods[name][0](scan, settings.get((mask, name), 0.0)))
                above.imshow(x, cmap="gray", vmin=0, vmax=truth.max())
                above.set_title(name, fontsize=9)
                below.imshow(5 * np.abs(x - truth), cmap="inferno", vmin=0, vmax=truth.max())
                quality = psnr(x, truth, mask=scan.foreground)
                below.set_title(f"error x 5, {quality:.1f} dB", fontsize=9)
    for ax in axes.ravel():
        ax.set_axis_off()
    return drawing


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the case."""
    arguments = parser(__doc__)
    arguments.add_argument("--variants", nargs="+", choices=tuple(VARIANTS), default=list(VARIANTS))
    arguments.add_argument("--seeds", type=int, default=SEEDS, help="networks per variant (paper)")
    arguments.add_argument("--steps", type=int, help="updates per network, for all variants (paper)")
    arguments.add_argument("--channels", type=int, help="width of the networks, for all variants (paper)")
    arguments.add_argument(
        "--window", type=int, default=WINDOW, help="pixels per axis of the scans to train on (paper)"
    )
    arguments.add_argument(
        "--precision", choices=("float32", "bfloat16"), default=PRECISION, help="of the training (paper)"
    )
    arguments.add_argument("--device", default="cpu", help="torch device to train on (paper)")
    arguments.add_argument(
        "--weights", type=Path, default=Path("rim_weights"), help="folder of weights and checkpoints (paper)"
    )
    arguments.add_argument("--shipped", action="store_true", help="train nothing: judge the shipped weights")
    options = arguments.parse_args(argv)
    case = Case("rim_mri", options)
    learned: dict[str, list[RIM]] = {}
    with progress() as tell:
        if options.size == "paper" and not options.shipped:
            trainings = []
            for name in options.variants:
                for seed in range(options.seed, options.seed + options.seeds):
                    rim, facts = trained(name, seed, options, tell)
                    learned.setdefault(name, []).append(rim)
                    trainings.append(facts)
            case.table("training", trainings, variant="", seed="d", parameters=",d", steps="d",
                       **{"training seconds": ".0f", "validation": ".5f"})  # fmt: skip
        learned[SHIPPED_NAME] = [load(shipped(SHIPPED))]
        rows, settings = judge(learned, options.size, options.seed, tell)
        tell("time of the cells")
        seconds = cell_seconds(scans_of(load_slices("test-T1"), 1, next(iter(MASKS)), options.seed)[0])
    case.table(
        "reconstructions (PSNR and SSIM within the head, then of the whole slice)", rows,
        **{"contrast": "", "mask": "", "method": "", "PSNR": ".2f", "SSIM": ".3f", "whole PSNR": ".2f",
           "whole SSIM": ".3f", "chi2": ".2f", "seconds": ".3f", "range over seeds": ".2f"},
    )  # fmt: skip
    lines = overview(rows)
    formats = dict.fromkeys(lines[0], ".2f") | {"method": "", "seconds": ".3f"}
    case.table("PSNR within the head (dB), largest range over seeds, processor seconds", lines, **formats)
    case.table("seconds of one slice, 64 channels",
               [{"cell": c, "seconds": s} for c, s in seconds.items()], cell="", seconds=".3f")  # fmt: skip
    claims(case, rows, list(learned), seconds)
    if options.plot is not None:
        case.save_figure(figure(learned[SHIPPED_NAME][0], settings, options.seed))
    return case.finish()


if __name__ == "__main__":
    main()
