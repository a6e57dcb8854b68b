"""What the library is not good at: the numbers of that page are those of the records."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from sciml.learned.multigrid.search import grid
from sciml.weights import load_weights, shipped

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = " ".join((DOCS / "limits.md").read_text().split())
PLUME = " ".join((DOCS / "smoke_plume.md").read_text().split())
RIM = " ".join((DOCS / "rim.md").read_text().split())
LEARNED = " ".join((DOCS / "learned_multigrid.md").read_text().split())


def rows(records, record, table):
    (found,) = (rows for name, rows in records[record]["tables"].items() if name.startswith(table))
    return found


def value(records, record, table, column, **where):
    (found,) = (
        row
        for row in rows(records, record, table)
        if all(row[key] == wanted for key, wanted in where.items())
    )
    return found[column]


def claim(records, record, name):
    (found,) = (c for c in records[record]["claims"] if c["name"].startswith(name))
    return found["value"]


def short(number):
    """As the pages write small numbers: 4.8e-3."""
    digits, _, exponent = f"{number:.1e}".partition("e")
    return f"{digits}e{int(exponent)}"


def psnr(records, condition, method):
    return value(records, "rim_unseen_paper", "reconstructions", "PSNR", condition=condition, method=method)


def behind(records, condition):
    return psnr(records, condition, "l1-wavelet CS") - psnr(records, condition, "RIM")


def heat(records, n, solver):
    record = f"heat_bandit_paper_{n}" if n > 50 else "heat_bandit_paper"
    return value(records, record, f"n_x = {n}", "seconds", solver=solver)


def gap(records, contrast, network):
    """How far a network is ahead of our compressed sensing, Gaussian 4x."""

    def one(method):
        return value(
            records, "rim_mri_paper", "reconstructions", "PSNR",
            contrast=contrast, mask="Gaussian 2D 4x", method=method,
        )  # fmt: skip

    return one(network) - one("l1-wavelet CS")


def faster(records, grid):
    return claim(records, "smoke_plume_paper", f"{grid}: times faster than PyAMG")


def learned(records):
    """Seconds over those of the grid search."""
    medians = [
        claim(records, "learned_multigrid_paper", f"seconds over grid-searched at {rtol}, median")
        for rtol in ("0.01", "0.0001", "1e-06")
    ]
    return "{:.2f}, {:.2f} and {:.2f} times".format(*medians)


def setup_in_space(records, which):
    found = rows(records, "poisson_scaling_paper", "cg to")
    cubes = [r for r in found if r["method"] == "cg+multigrid" and r["grid"].count("x") == 2]
    return NUMBERS[round(which(row["setup_cycles"] for row in cubes))]


def over_pyamg(records, geometry, grid):
    cube = f"{grid}x{grid}x{grid}"
    return claim(records, "poisson_scaling_paper", f"{geometry}: times faster than PyAMG's best at {cube}")


def spread(records, column, against):
    """Least and largest of our compressed sensing against BART's."""
    found = rows(records, "mri_baselines_paper", "reconstructions")
    ours, theirs = (
        [row[column] for row in found if row["method"] == method] for method in ("l1-wavelet CS", "BART CS")
    )
    all_of_them = [against(a, b) for a, b in zip(ours, theirs, strict=True)]
    return min(all_of_them), max(all_of_them)


def times(records, record):
    """How much slower the network is than multigrid."""
    return claim(records, record, "times Multigrid is faster than dcd, set-up included: median")


def peaks(records, sampler, record="aas_two_peaks_paper"):
    found = rows(records, record, "Adam + LM")
    return statistics.median(row["relative_L2"] for row in found if row["sampler"] == sampler)


NUMBERS = ("none", "one", "two", "three", "four", "five", "six")

SENTENCES = {
    "dcd": lambda r: (
        f"in the median {times(r, 'dcd_poisson_paper'):.0f} times slower at 64³ and 128³, "
        f"{times(r, 'dcd_poisson_2d_64'):.0f} times at 64², set-up included"
    ),
    "bandits": lambda r: (
        f"{100 * (claim(r, 'sor_bandit_paper', 'high: TsallisINF / best fixed') - 1):.0f} % and "
        f"{100 * (claim(r, 'sor_bandit_paper', 'low: TsallisINF / best fixed') - 1):.0f} % more iterations"
    ),
    "tiny systems": lambda r: (
        f"$n_x$ = 25: {heat(r, 25, 'GaussianProcessCB'):.1f} s against {heat(r, 25, 'CG'):.1f} s"
    ),
    "large grids": lambda r: (
        f"$n_x$ = 200: {heat(r, 200, 'GaussianProcessCB'):.0f} s against "
        f"{heat(r, 200, 'CG + multigrid (estimate)'):.0f} s"
    ),
    "small plane grids": lambda r: (
        f"$n_x$ = 100, 5,000 steps, {heat(r, 100, 'CG + multigrid (estimate)'):.1f} s with multigrid set up "
        f"in every step, {heat(r, 100, 'CG'):.1f} s with plain CG, "
        f"{heat(r, 100, 'GaussianProcessCB'):.1f} s with a tuned SSOR"
    ),
    "learned multigrid": lambda r: (
        f"{learned(r)} the seconds of the best setting of a grid search, to 1e-2, 1e-4 and 1e-6"
    ),
    "set-up": lambda r: (
        f"{setup_in_space(r, min)} to {setup_in_space(r, max)} cycles in space and up to "
        f"{NUMBERS[round(claim(r, 'poisson_scaling_paper', 'set-up in V-cycles'))]} in the plane"
    ),
    "scaling": lambda r: (
        f"{over_pyamg(r, 'walls', 256):.0f} times faster than the better of PyAMG's methods between thin "
        f"walls at 256³, {over_pyamg(r, 'porous', 256):.0f} times in a porous medium there and "
        f"{over_pyamg(r, 'porous', 64):.0f} times at 64³, where the aim was 30"
    ),
    "plume": lambda r: (
        f"`Multigrid` is {faster(r, '64x64x64'):.0f} times faster than the better of PyAMG's methods in "
        f"space but {faster(r, '512x1024'):.0f} times in the plane, where the aim was 20"
    ),
    "rim": lambda r: (
        "Gaussian 4x: {:.1f} dB (T1) and {:.1f} dB (T2)".format(
            *(-gap(r, c, "RIM IndRNN cg") for c in ("T1", "T2"))
        )
    ),
    "rim, shipped": lambda r: (
        "trained ten times as long, is {:.1f} dB and {:.1f} dB ahead".format(
            *(gap(r, c, "RIM IndRNN cg, shipped") for c in ("T1", "T2"))
        )
    ),
    "rim, noise": lambda r: f"{behind(r, 'noise 6 %'):.1f} dB at 6 % noise",
    "compressed sensing": lambda r: (
        "takes {:.1f} to {:.1f} times the processor time of BART's, for {:.1f} to {:.1f} dB more".format(
            *spread(r, "seconds", lambda ours, theirs: ours / theirs),
            *spread(r, "PSNR", lambda ours, theirs: ours - theirs),
        )
    ),
    "aas": lambda r: (
        f"relative error {short(peaks(r, 'aas'))} against {short(peaks(r, 'rad'))}, in a repetition "
        f"{short(peaks(r, 'aas', 'aas_two_peaks_before'))} against "
        f"{short(peaks(r, 'rad', 'aas_two_peaks_before'))}"
    ),
    "medida": lambda r: (
        "worst coefficient off by "
        f"{claim(r, 'medida_ks_paper', 'noise 10 %, 20 pairs: largest error'):.1f} %, with 0.5 % asked for"
    ),
    "lorenz": lambda r: (
        f"{100 * claim(r, 'medida_lorenz_paper', 'Lorenz 63, two errors'):.0f} % of the supports were exact"
    ),
}  # fmt: skip


def test_the_page_of_the_plume_says_the_same(records):
    assert (
        f"`Multigrid` is {faster(records, '512x1024'):.0f} times faster in the plane and "
        f"{faster(records, '64x64x64'):.0f} times faster in space"
    ) in PLUME


def test_the_page_of_learned_multigrid_says_the_same(records):
    textbook = claim(records, "learned_multigrid_paper", "seconds over textbook, thin walls and porous in 3D")
    assert f"{learned(records)} its seconds, to 1e-2, 1e-4 and 1e-6" in LEARNED
    assert f"take {textbook:.2f} times the seconds" in LEARNED
    ratios = {
        record: rows(records, f"learned_multigrid_{record}", "obstacles") for record in ("paper", "512")
    }
    same = sum(r["learned it"] == r["grid-searched it"] for r in ratios["paper"])
    assert f"is the same in {same} of {len(ratios['paper'])} rows" in LEARNED
    assert max(abs(r["learned it"] - r["grid-searched it"]) for r in ratios["paper"]) <= 2.5
    assert all(r["learned it"] == r["grid-searched it"] for r in ratios["512"])
    worst = max(r["learned / grid-searched worst"] for r in ratios["paper"])
    assert f"geometries, of up to {worst:.1f}, say" in LEARNED
    large = [r["learned / grid-searched"] for r in ratios["paper"] if r["grid"] == "256x256x256"]
    assert f"between {min(large):.2f} and {max(large):.2f} times the seconds of the grid search" in LEARNED
    grown = {
        family: [
            value(records, "learned_multigrid_paper", "obstacles", "learned it",
                  family=family, grid=f"{n}x{n}x{n}", rtol=1e-6)
            for n in (64, 256)
        ]
        for family in ("balls", "boxes", "channels", "porous", "walls")
    }  # fmt: skip
    assert max(last - first for first, last in grown.values()) == 2
    assert "porous media: {:.0f} to {:.0f}, thin".format(*grown["porous"]) in LEARNED
    assert "thin walls: {:.0f} to {:.0f})".format(*grown["walls"]) in LEARNED
    for n, words in ((64, "porous media {:.2f} to {:.2f} at 64³"), (256, "and {:.2f} to {:.2f} at 256³")):
        found = [
            r["learned / textbook"] for r in ratios["paper"]
            if (r["family"], r["grid"]) == ("porous", f"{n}x{n}x{n}")
        ]  # fmt: skip
        assert words.format(min(found), max(found)) in LEARNED
    patterns = [c["value"] for c in records["prolongation_weights_paper"]["claims"]]
    assert f"takes {min(patterns):.2f} to {max(patterns):.2f} times the iterations of constant" in LEARNED
    largest = [r["learned / grid-searched"] for r in ratios["512"]]
    assert "{:.2f}, {:.2f} and {:.2f} times between thin walls at 512³".format(*largest) in LEARNED


def test_the_page_of_learned_multigrid_says_what_hard_coefficients_take(records):
    found = {(r["family"], r["grid"]): r for r in rows(records, "learned_multigrid_paper", "coefficients")}
    assert all(r["learned it"] == r["default it"] for r in found.values())
    assert not any(r[key] for r in found.values() for key in r if key.endswith("failed"))
    large = [
        r["default it"] / r["textbook it"]
        for (family, _), r in found.items()
        if family in ("jump squares", "jump balls", "anisotropic checkerboard", "anisotropic swirl")
    ]
    assert max(large) <= 0.41
    plane, space = (found["anisotropic aligned", size] for size in ("512x512", "64x64x64"))
    assert (
        f"it is {plane['default it']:.0f} iterations instead of {plane['textbook it']:.0f} in the plane, in "
        f"{plane['default s'] / plane['textbook s']:.2f} of the seconds"
    ) in LEARNED
    assert space["default it"] == space["textbook it"]
    for size in ("512x512", "64x64x64"):
        slanted, blocks = found["jump oblique", size], found["jump checkerboard", size]
        assert f"({slanted['default it']:.0f} against {slanted['textbook it']:.0f} iterations)" in LEARNED
        assert slanted["textbook s"] < slanted["default s"]
        assert blocks["textbook s"] < blocks["default s"]


def test_the_page_of_the_rim_says_the_same(records):
    lines = {row["method"]: row for row in rows(records, "rim_mri_paper", "PSNR within the head")}
    columns = [name for name in lines["BART CS"] if name.startswith("T")]

    def gains(one, other):
        return [lines[one][c] - lines[other][c] for c in columns]

    def claimed(name):
        return claim(records, "rim_mri_paper", name)

    shipped_network = "RIM IndRNN cg, shipped over l1-wavelet CS, least"
    recipe = "RIM IndRNN cg, as shipped over l1-wavelet CS, least"
    least = min(c["value"] for c in records["rim_mri_paper"]["claims"] if "over zero filling" in c["name"])
    step, cascade = (gains("RIM IndRNN cg", name) for name in ("RIM IndRNN learned", "CIRIM IndRNN learned"))
    regular, incoherent = (
        [gain for gain, column in zip(step, columns, strict=True) if ("equispaced" in column) == wanted]
        for wanted in (True, False)
    )
    plain = ("RIM IndRNN learned", "RIM IndRNN explicit", "RIM MGU learned", "RIM GRU learned")
    apart = [max(gain) - min(gain) for gain in zip(*(gains(name, "BART CS") for name in plain), strict=True)]
    trainings = rows(records, "rim_mri_paper", "training")
    updates = {row["variant"]: row["steps"] for row in trainings}
    longest = [row["training seconds"] for row in trainings if row["variant"].endswith("as shipped")]
    others = [row["training seconds"] for row in trainings if not row["variant"].endswith("as shipped")]
    assert max(others) < min(longest) / 3  # as the page of limits says
    assert [len(longest), len(others) / (len(updates) - 1)] == [3, 3]  # seeds
    minutes = f"{min(others) / 60:.0f} to {max(others) / 60:.0f} minutes of one core"
    recipe_minutes = f"{min(longest) / 60:.0f} to {max(longest) / 60:.0f} minutes for the recipe"

    def training(name):
        return sum(row["training seconds"] for row in trainings if row["variant"] == name)

    behind_cs = -claimed("RIM IndRNN cg over l1-wavelet CS, least (dB)")
    larger = lines["CIRIM IndRNN learned"]["seconds"] / lines["RIM IndRNN cg"]["seconds"]
    ahead = {c: -behind(records, c) for c in ("random lines 4x", "noise 3 %")}
    conditions = [
        -behind(records, c) for c in ("T2", "Poisson disc", "16 coils", "ESPIRiT maps", "low-resolution maps")
    ]
    lesions = {row["method"]: row for row in rows(records, "rim_unseen_paper", "share")}
    network, classical = (
        [f"{lesions[method][column]:.2f}" for column in ("median", "low", "high")]
        for method in ("RIM", "l1-wavelet CS")
    )
    cells = {row["cell"]: row["seconds"] for row in rows(records, "rim_mri_paper", "seconds of one slice")}
    for sentence in (
        f"by at least {claimed(shipped_network + ' (dB)'):.1f} dB, and by "
        f"{claimed(shipped_network + ', equispaced'):.1f} dB and more",
        f"{claimed('processor seconds, RIM IndRNN cg, shipped'):.2f} of the processor time of BART's",
        f"the mean of the three seeds it is {claimed(recipe + ' (dB)'):.1f} and "
        f"{claimed(recipe + ', equispaced'):.1f} dB",
        minutes,
        recipe_minutes,
        f"with {training('RIM IndRNN cg') / training('RIM IndRNN learned'):.1f} of the training time",
        f"after {updates['RIM IndRNN cg']:,} updates, is {min(regular):.1f} to {max(regular):.1f} dB ahead "
        f"of a learned step after {updates['RIM IndRNN learned']:,} under regular lines",
        f"and {min(incoherent):.1f} to {max(incoherent):.1f} dB under Gaussian masks",
        f"stays {min(cascade):.1f} to {max(cascade):.1f} dB behind",
        f"{larger:.1f} times the time",
        f"is {behind_cs:.1f} dB behind our compressed sensing",
        f"gains at least {least:.1f} dB over zero filling",
        f"explicit step end within {max(apart):.1f} dB of each other",
        "IndRNN takes {indrnn:.2f} s a slice, MGU {mgu:.2f} s and GRU {gru:.2f} s".format(**cells),
        f"stays {min(conditions):.1f} to {max(conditions):.1f} dB ahead",
        f"{ahead['random lines 4x']:.1f} dB with random lines, and {ahead['noise 3 %']:.1f} dB at 3 % noise",
        f"is {behind(records, 'noise 6 %'):.1f} dB better",
        f"Of the contrast of {lesions['RIM']['lesions']} lesions",
        "the network keeps {} (median; 95 % interval {} to {})".format(*network),
        "compressed sensing {} ({} to {})".format(*classical),
    ):
        assert sentence in RIM


def test_what_choosing_could_gain_is_what_the_training_says():
    headroom = load_weights(shipped("multigrid")).training["headroom"]
    assert f"the best of its {len(grid())} settings" in LEARNED
    assert f"they would have taken {max(headroom.values()):.2f} times the predicted seconds" in LEARNED
    assert max(headroom.values()) - min(headroom.values()) < 0.01


def test_the_page_of_dcd_has_the_iterations_of_the_record(records):
    def iterations(method, scene, grid):
        where = {"method": method, "scene": scene, "grid": grid}
        count = value(records, "dcd_poisson_paper", "methods", "iterations", **where)
        ended = value(records, "dcd_poisson_paper", "methods", "status", **where)
        return f"{count:,}" if ended == "converged" else f"> {count}"

    page = " ".join((DOCS / "dcd.md").read_text().split())
    for scene in ("box", "balls", "boxes", "channels", "walls", "porous"):
        found = [
            iterations(method, scene, grid)
            for grid in ("64x64x64", "128x128x128")
            for method in ("CG", "MIC(0)", "Multigrid", "dcd")
        ]
        assert " | ".join([f"| {scene}", *found]) + " |" in page
    assert f"Multigrid is {times(records, 'dcd_poisson_paper'):.0f} times faster" in page
    factors = iterations("MIC(0)", "porous", "64x64x64")
    assert f"more than 300 iterations against {factors} at 64³" in PAGE
    found = rows(records, "dcd_poisson_paper", "methods")
    plain = {(row["scene"], row["grid"]): row for row in found if row["method"] == "CG"}
    ours = {(row["scene"], row["grid"]): row for row in found if row["method"] == "dcd"}
    assert all(plain[at]["total_seconds"] < row["total_seconds"] for at, row in ours.items())
    shares = [row["iterations"] / plain[at]["iterations"] for at, row in ours.items() if at[0] != "porous"]
    assert f"at most {max(shares):.2f} times the iterations of CG" in page


@pytest.mark.parametrize("name", SENTENCES)
def test_numbers_are_those_of_the_records(name, records):
    sentence = SENTENCES[name](records)
    assert sentence in PAGE, f"docs/limits.md does not say: {sentence}"


def test_repetitions_of_adaptive_sampling_are_those_of_the_records(records):
    page = " ".join((DOCS / "pinn_sampling.md").read_text().split())
    plane = [short(peaks(records, name, "aas_two_peaks_before")) for name in ("aas", "rad")]
    assert f"medians of {plane[0]} and {plane[1]}" in page
    peak = claim(records, "aas_10d_before", "AAS + LM: relative error at the peak")
    box = claim(records, "aas_10d_before", "AAS + LM: relative error over the box")
    assert f"a median of {short(peak)} at the peak and {box:.3f} over the box" in page


def test_missed_targets_are_all_there(records, docs_module):
    table = docs_module("measured").missed(records, {})
    for record in records.values():
        for one in record["claims"]:
            assert one["holds"] or one["name"] in table
    assert "{include} generated/missed.md" in PAGE


def test_it_is_found_from_the_page_that_helps_to_choose():
    assert "](limits.md)" in (DOCS / "which_solver.md").read_text()
    assert "](limits.md)" in (DOCS / "index.md").read_text()
