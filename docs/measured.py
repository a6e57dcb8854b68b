"""Writes what pages show of ``records/``: tables, the machines they come from, the targets that were missed.

Every file in ``records/`` is what a script in ``cases/`` wrote (``--json``), with its environment and claims.
Pages include the files made here from ``generated/``, so that a number on them is a number of a record. Where
a record is missing, the text says which command makes it: the table appears with the file.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gallery import RELATIONS, number


@dataclass(frozen=True)
class Shown:
    """One table of one record, as a page shows it.

    Attributes
    ----------
    record : str
        Stem of the file in ``records/``.
    table : str
        What the name of the table in it begins with.
    columns : dict of str to str
        Columns of the table, and their headings.
    where : dict
        Rows to show: those with these values.
    """

    record: str
    table: str
    columns: dict[str, str]
    where: dict[str, Any] = field(default_factory=dict)


DIMENSIONS = {
    "sampler": "points", "seed": "seed", "peak": "relative error at the peak",
    "box": "relative L² error over the box", "box_standard_error": "its standard error",
}  # fmt: skip
FIELDS = {
    "sampler": "points", "seed": "seed", "relative_L2": "relative L² error", "max": "largest error",
    "core_seconds": "core-seconds",
}  # fmt: skip
OPTIMIZERS = {
    "sampler": "points", "adam": "Adam", "adam+lbfgs": "Adam + L-BFGS", "adam+ssbroyden": "Adam + SSBroyden",
    "adam+lm": "Adam + LM",
}  # fmt: skip
SMOOTH = {
    "problem": "problem", "parameters": "parameters", "seed": "seed", "relative_error": "relative L² error",
    "held_out_loss": "held-out loss",
    "core_seconds": "core-seconds",
}  # fmt: skip
HEAT = {
    "solver": "solver",
    "iterations": "iterations",
    "seconds": "s",
    "policy seconds": "of which learner, s",
}
SOLVES = {
    "method": "method", "iterations": "iterations", "setup_seconds": "set-up, s", "solve_seconds": "solve, s",
}  # fmt: skip
CONTEST = {"geometry": "geometry", "method": "method", "iterations": "iterations", "ms": "ms"}

TABLES = {
    "scaling": Shown(
        "poisson_scaling_paper", "cg to",
        {"grid": "grid", "obstacles": "obstacles", **SOLVES, "ns_per_unknown": "ns per unknown",
         "peak_GiB": "peak GiB", "bandwidth_share": "share of bandwidth"},
    ),
    "learned_multigrid": Shown(
        "learned_multigrid_paper", "obstacles",
        {"family": "geometry", "grid": "grid", "geometries": "how many", "rtol": "to",
         "textbook it": "textbook, it.", "default it": "default, it.",
         "grid-searched it": "grid-searched, it.", "learned it": "learned, it.",
         "grid-searched s": "grid-searched, s", "learned s": "learned, s",
         "learned / grid-searched": "seconds, learned / grid-searched"},
    ),
    "hard_coefficients": Shown(
        "learned_multigrid_paper", "coefficients",
        {"family": "coefficients", "grid": "grid",
         "textbook it": "textbook, it.", "default it": "default, it.",
         "learned it": "learned, it.", "textbook s": "textbook, s", "default s": "default, s",
         "learned s": "learned, s", "pyamg s": "PyAMG, s", "line s": "line-smoothed, s"},
    ),
    "prolongation": Shown(
        "prolongation_weights_paper", "iterations to 1e-6",
        {"family": "geometry", "constant, unseen": "constant interpolation, it.", "spread": "best spread",
         "spread, unseen": "with it, it.", "by pattern, unseen": "weights and spreads by pattern, it.",
         "by pattern, seen": "the same, on geometries of the search, it.",
         "constant, seen": "constant there, it."},
    ),
    "smoke": Shown(
        "smoke_plume_paper", "pressure solves",
        {"grid": "grid", "method": "method", "steps": "steps measured",
         "iterations_median": "iterations, median", "iterations_max": "most",
         "setup_ms": "set-up, ms", "solve_ms": "solve, ms",
         "run_seconds": "all steps, s", "worst_divergence": "worst divergence"},
    ),
    "heat_100": Shown("heat_bandit_paper_100", "n_x = 100", HEAT),
    "heat_200": Shown("heat_bandit_paper_200", "n_x = 200", HEAT),
    "policies": Shown(
        "sor_bandit_paper", "high variance",
        {"policy": "policy", "iterations": "iterations", "relative": "relative to Young's formula",
         "microseconds": "µs per round"},
    ),
    "dcd": Shown(
        "dcd_poisson_paper", "methods",
        {"scene": "geometry", **SOLVES, "memory_MiB": "memory, MiB", "status": "ended"},
        where={"grid": "128x128x128"},
    ),
    "dcd_application": Shown(
        "dcd_poisson_paper", "one application",
        {"grid": "grid", "operator": "operator", "parameters": "parameters", "seconds": "s"},
    ),
    "distributed": Shown(
        "distributed_poisson_paper", "obstacle case",
        {"grid": "grid", "ranks": "ranks", **SOLVES, "MiB_per_rank": "MiB per rank"},
    ),
    "mri": Shown(
        "rim_mri_paper", "PSNR within the head",
        {"method": "method", **{f"{c}, {m}": f"{c}, {m}" for c in ("T1", "T2")
                                for m in ("Gaussian 4x", "Gaussian 8x", "equispaced 4x")},
         "range over seeds": "range over seeds", "seconds": "s"},
    ),
    "pinn": Shown("aas_two_peaks_paper", "Adam + LM", FIELDS),
    "density": Shown(
        "aas_two_peaks_paper", "density against",
        {"squared_residual": "squared residual", "density": "density", "beta": "β", "seed": "seed",
         "error": "relative L² distance", "mass": "mass", "core_seconds": "core-seconds"},
    ),
    "scarce": Shown("aas_two_peaks_paper", "1000 points", FIELDS),
    "aas_10d": Shown("aas_10d_paper", "10 dimensions", DIMENSIONS),
    "aas_10d_longer": Shown("aas_10d_longer", "10 dimensions", DIMENSIONS),
    "samplers_peaks": Shown("pinn_samplers_paper", "two peaks", OPTIMIZERS),
    "samplers_smooth": Shown("pinn_samplers_paper", "helmholtz", OPTIMIZERS),
    "smooth_poisson": Shown("pinn_smooth_poisson", "accuracy", SMOOTH),
    "smooth_burgers": Shown("pinn_smooth_burgers", "accuracy", SMOOTH),
    "smooth_allen_cahn": Shown("pinn_smooth_allen_cahn", "accuracy", SMOOTH),
    "ks_128": Shown(
        "medida_ks_paper", "128 nodes, noise",
        {"case": "case", "runs": "runs", "exact": "rate of exact supports",
         "median error %": "median error, %", "largest error %": "largest error, %",
         "coverage": "coverage of 95 % intervals"},
    ),
    "ks_long": Shown(
        "medida_ks_paper", "long runs",
        {"case": "case", "finite until": "finite until", "prediction time, model": "prediction time",
         "prediction time, corrected": "corrected",
         "spectrum, largest log10 ratio": "spectrum, largest log10 ratio"},
    ),
    "ks_pysindy": Shown(
        "medida_ks_paper", "beside PySINDy",
        {"noise": "noise", "ours, u_xx missing %": "ours, u_xx missing, %",
         "ours, all missing %": "ours, all missing, %",
         "PDE library, pairs %": "PySINDy, pairs, %", "PDE library, series %": "PySINDy, series, %",
         "weak form, series %": "PySINDy, weak form, series, %"},
    ),
    "filters": Shown(
        "medida_filters_paper", "filters on",
        {"members": "members", "published": "published, LETKF", "LETKF": "LETKF",
         "LETKF spread": "its spread", "EnKF": "EnKF"},
    ),
    "lorenz": Shown(
        "medida_lorenz_paper", "Lorenz",
        {"model": "model", "seeds": "seeds", "exact": "rate of exact supports",
         "median error %": "median error, %", "coverage": "coverage of 95 % intervals"},
    ),
    "kolmogorov": Shown(
        "medida_kolmogorov_paper", "Kolmogorov",
        {"model": "model", "noise": "noise", "seeds": "seeds", "exact": "rate of exact supports",
         "largest error %": "largest error, %", "prediction time, model": "prediction time",
         "prediction time, corrected": "corrected"},
    ),
    "schedules": Shown(
        "schedule_refinement_paper", "held-out",
        {"training": "training", "schedule": "schedule", "rate": "rate, of the default",
         "last": "last iterate", "returned": "best iterate"},
    ),
    "tutorial_baselines": Shown("tutorial_preconditioner", "baselines", CONTEST),
    "tutorial_contest": Shown("tutorial_preconditioner", "rows", CONTEST),
    "tutorial_seconds": Shown(
        "tutorial_preconditioner", "the whole page",
        {"processor_seconds": "processor seconds"},
    ),
    "newcomer": Shown(
        "newcomer", "first figure",
        {"step": "step", "cold": "cold, s", "warm": "warm, s", "cold_processor": "cold, processor s",
         "warm_processor": "warm, processor s"},
    ),
}  # fmt: skip
"""Tables by the name of the file that is made of them."""

COMMANDS = {
    "newcomer": "python docs/newcomer.py",
    "tutorial_preconditioner": "python docs/run_page.py tutorial_preconditioner --tables baselines rows",
}
"""Of records that no case makes."""


def build(docs: Path) -> None:
    """Write ``generated/measured_*.md``, ``machines.md`` and ``missed.md`` below `docs`."""
    target = docs / "generated"
    target.mkdir(exist_ok=True)
    records = read(docs / "records")
    for name, shown in TABLES.items():
        (target / f"measured_{name}.md").write_text(measured(shown, records) + "\n")
    (target / "machines.md").write_text(machines(records, docs) + "\n")
    (target / "missed.md").write_text(missed(records, read(docs / "gallery")) + "\n")


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """Records by the stem of their file."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def measured(shown: Shown, records: dict[str, dict[str, Any]]) -> str:
    """The table and where it comes from."""
    record = records[shown.record]
    lines = ["| " + " | ".join(shown.columns.values()) + " |"]
    lines.append("|" + "|".join(":--" if text else "--:" for text in _texts(shown, record)) + "|")
    for row in _rows(shown, record):
        lines.append("| " + " | ".join(_cell(row.get(column)) for column in shown.columns) + " |")
    return "\n".join(lines) + f"\n\n{source(shown.record, record)}"


def source(name: str, record: dict[str, Any]) -> str:
    """The command, the machine and the versions behind a table, in a line."""
    environment = record["environment"]
    threads = environment["threads"]
    return (
        f"`{command(name, record)}` on {environment['cpu']}, {threads} thread{'s' if threads != 1 else ''}"
        f"{', ' + environment['gpu'] if environment['gpu'] else ''}; {_versions(environment)}; "
        f"commit {_commit(environment)}; record {{download}}`{name}.json <records/{name}.json>`."
    )


def command(name: str, record: dict[str, Any]) -> str:
    """What to type to measure it again."""
    if name in COMMANDS:
        return COMMANDS[name]
    return " ".join(["python", f"cases/{record['case']}.py", *record["arguments"]])


def machines(records: dict[str, dict[str, Any]], docs: Path) -> str:
    """One entry a record: command, machine, versions, commit and its date, and how many claims held."""
    lines = []
    for name, record in records.items():
        held = sum(claim["holds"] for claim in record["claims"])
        day = _date(record["environment"], docs)
        lines.append(
            f"- **{name}**, {held} of {len(record['claims'])} claims hold{', ' + day if day else ''}: "
            + source(name, record)
        )
    return "\n".join(lines)


def missed(records: dict[str, dict[str, Any]], gallery: dict[str, dict[str, Any]]) -> str:
    """Every claim that did not hold, in the records and at the small size in the gallery of this build."""
    lines = ["| what | measured | target | by |", "|---|--:|--:|---|"]
    for (what, value, target), by in _missed(records, gallery):
        lines.append(f"| {what} | {value} | {target} | {by} |")
    return "\n".join(lines)


def _missed(
    records: dict[str, dict[str, Any]], gallery: dict[str, dict[str, Any]]
) -> Iterator[tuple[tuple[str, str, str], str]]:
    seen = set()
    for kept, found in ((True, records), (False, gallery)):
        for name, record in found.items():
            for claim in record["claims"]:
                target = f"{RELATIONS[claim['relation']]}\u00a0{number(claim['target'])}"
                line = (number(claim["name"]), number(claim["value"]), target)
                if claim["holds"] or line in seen:
                    continue
                seen.add(line)
                here = f"[gallery](gallery/{name}.md), size {record['size']}"
                by = f"`{command(name, record)}`" if kept else here
                yield line, by


def _rows(shown: Shown, record: dict[str, Any]) -> list[dict[str, Any]]:
    (rows,) = (rows for name, rows in record["tables"].items() if name.startswith(shown.table))
    return [row for row in rows if all(row.get(k) == v for k, v in shown.where.items())]


def _texts(shown: Shown, record: dict[str, Any]) -> list[bool]:
    """Which columns hold words."""
    rows = _rows(shown, record)
    return [any(isinstance(row.get(column), str) for row in rows) for column in shown.columns]


def _cell(value: Any) -> str:
    """Whole numbers with separators, others with three digits."""
    if isinstance(value, float) and (abs(value) >= 100 or (value.is_integer() and value)):
        value = round(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:.3g}" if isinstance(value, float) else number(value)


def _versions(environment: dict[str, Any]) -> str:
    return ", ".join(f"{package} {version}" for package, version in environment["versions"].items())


def _commit(environment: dict[str, Any]) -> str:
    """Ten digits of the commit, and whether the checkout had changes."""
    if environment["commit"] is None:
        return "unknown"
    digits, _, modified = environment["commit"].partition("-")
    return f"`{digits[:10]}`" + (" with changes" if modified else "")


def _date(environment: dict[str, Any], docs: Path) -> str | None:
    """The day of a record; of older ones that of their commit, where a repository knows it."""
    if environment.get("date"):
        return str(environment["date"])
    digits = (environment["commit"] or "").partition("-")[0]
    asked = ["git", "-C", str(docs), "show", "-s", "--format=%cs", digits]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None if digits and done.returncode == 0 else None


if __name__ == "__main__":
    build(Path(__file__).parent)
