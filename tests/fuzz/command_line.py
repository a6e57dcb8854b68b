"""Random command lines: known commands and options with values nobody should give, and damaged files."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from .mutations import mutate

__all__ = ["run_command"]

# No word may lead out of the folder: commands write to what they are given.
WORDS = (
    "", "-1", "0", "1", "2", "1.5", "nan", "inf", "-inf", "1e999", "x", "a,b", ",", ":", "::", "1:2", "[red]",
    "--", ".", "no/such/folder/f", "cg", "cg+", "+", "cg+jacobi", "auto", "poisson",
    "random", "ö🙂", "99999999999999999999", "neumann", "periodic,neumann", "neumann:", "balls", "float32",
    "torch", "cupy", "%s",
)  # fmt: skip

COMMANDS = {
    "solve poisson --shape 8 8 --method cg": "obstacles bc rhs seed rtol maxiter precond dtype backend key "
    "plot json shape engine nonsense",
    "solve A.mtx --method cg": "rhs key rtol maxiter shape bc plot",
    "solve csr.npz --method cg --rtol 1e-3": "rhs key",
    "compare poisson --shape 8 8 --methods cg": "methods bc obstacles rhs seed rtol maxiter dtype plot json",
    "compare sparse.mat --methods cg,sor": "key rtol maxiter shape",
    "train status middle.safetensors": "x",
    "train multigrid -o new.safetensors --shapes 8x8 --families balls --generations 0 --members 0": "shapes "
    "families instances mask members seed checkpoint",
    "train dcd -o net.safetensors --shape 8 8 --steps 1 --architecture linear": "bc law batch lr loss depth "
    "precision device seed checkpoint architecture modes output",
    "train rim -o rim.safetensors --steps 0 --channels 2 --size 16": "cell step unrolled slices coils loss "
    "weighting start device self-supervised size checkpoint output",
    "train pinn heat --steps 1 --points 60 --hidden 4 --optimizer lm": "sampler optimizer steps points "
    "resample hidden core-seconds seed set checkpoint plot output",
    "study plan.toml -o study": "check output x",
    "mri import valid.h5 -o out.npz": "acs slices rows matrix out no-maps",
    "mri import one.nii -o out.npz --matrix 16": "acs slices coils mask acceleration noise axis seed matrix",
    "discover lorenz63 pairs.npz": "set dt window noise assimilation save plot",
    "discover burgers pairs.npz --power 1 --order 1": "set dt window noise",
    "info": "json x",
    "solve": "shape method",
    "nonsense": "shape",
}
"""Commands that work, or nearly, and names of options to add or to give again."""

FILES = {
    "A.mtx": "Matrix Market", "csr.npz": "npz system", "sparse.mat": "MATLAB", "pairs.npz": "snapshots",
    "valid.h5": "fastMRI", "one.nii": "NIfTI", "middle.safetensors": "train status",
    "plan.toml": "study plans",
}  # fmt: skip


def run_command(rng: np.random.Generator, folder: Path) -> None:
    """Run one command line as ``main`` does; an assertion fails where it does not end as promised."""
    from sciml.cli import main

    start = list(COMMANDS)[rng.integers(len(COMMANDS))]
    words, options = start.split(), COMMANDS[start].split()
    for _ in range(int(rng.integers(0, 4))):
        words += ["--" + options[rng.integers(len(options))], WORDS[rng.integers(len(WORDS))]]
    if rng.random() < 0.2:
        words[int(rng.integers(len(words)))] = WORDS[rng.integers(len(WORDS))]
    if rng.random() < 0.1:
        del words[int(rng.integers(len(words)))]
    words = [_file(word, rng, folder) for word in words]
    out, err = io.StringIO(), io.StringIO()
    code: Any = None
    with (
        contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err),
        warnings.catch_warnings(),
    ):  # fmt: skip
        warnings.simplefilter("ignore")
        try:
            main(words)
        except SystemExit as ended:
            code = ended.code
    line = " ".join(words)
    assert code in (0, 1, 2), f"{line}: exit code {code}"
    if code == 2:
        text = err.getvalue()
        assert text.startswith("sciml: error: "), f"{line}: {text}"
        assert text.count("\n") == 1, f"{line}: {text}"
        known = text.split()[2] not in ("AssertionError:", "IndexError:", "KeyError:", "AttributeError:")
        assert known, f"{line}: {text}"
    assert "Traceback" not in err.getvalue(), f"{line}: {err.getvalue()}"


def _file(word: str, rng: np.random.Generator, folder: Path) -> str:
    """Where `word` names one of the files, make it, damaged half of the time; outputs go to the folder."""
    if word in FILES:
        from .readers import READERS

        samples = READERS[FILES[word]].samples()
        content = samples.get(word, next(iter(samples.values())))
        (folder / word).write_bytes(mutate(word, content, rng) if rng.random() < 0.5 else content)
    return word
