"""Studies: problems × sizes × seeds × solvers from one file, resumed after a kill, reported on one page.

Examples
--------
>>> import tempfile
>>> from sciml.study import Plan, run_study
>>> plan = Plan.from_dict(
...     {"problems": [{"kind": "poisson"}], "sizes": [[16, 16]], "seeds": [0, 1], "solvers": ["cg", "fft"]}
... )
>>> with tempfile.TemporaryDirectory() as folder:
...     rows = run_study(plan, folder)
>>> [(row["solver"], row["seed"], row["status"]) for row in rows]  # doctest: +NORMALIZE_WHITESPACE
[('cg', 0, 'CONVERGED'), ('fft', 0, 'CONVERGED'), ('cg', 1, 'CONVERGED'), ('fft', 1, 'CONVERGED')]
"""

from .journal import Journal, read_rows
from .plan import Plan, Point
from .run import run_study

__all__ = ["Journal", "Plan", "Point", "read_rows", "run_study"]
