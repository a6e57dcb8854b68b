"""What a study runs, read from TOML and checked before any of it runs."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..measure.methods import Method
from ..measure.warmup import small_matrix, small_shape
from ..problems.problem import Problem, size_name
from .checks import check_keys, check_unique, file_digest, keywords_of, named, text
from .solvers import solver_of

__all__ = ["Plan", "Point", "ProblemSpec"]

KINDS = ("poisson", "heat", "anisotropic", "jump_coefficient")
"""Functions of `sciml.problems` that a study may name; their keywords are the keys of its table."""

TOP = ("name", "problems", "sizes", "seeds", "solvers", "rtol", "atol", "maxiter")
TRIAL = 24
"""Cells per axis on which the options of a problem are tried out before the study starts."""


@dataclass(frozen=True)
class ProblemSpec:
    """One ``[[problems]]`` table: how to build the problem for a size and a seed.

    Attributes
    ----------
    name : str
    kind : str
        A function of `sciml.problems`, or ``"file"``.
    options : dict
        Its keywords; for a file, ``path``, ``rhs`` and ``key``.
    sizes : tuple
        Cells per axis of every grid; ``(None,)`` for a file, which has one size.
    seeds : tuple
        ``(None,)`` for a file.
    """

    name: str
    kind: str
    options: dict[str, Any]
    sizes: tuple[Any, ...]
    seeds: tuple[Any, ...]

    def build(self, size: Any, seed: Any) -> Problem:
        """The problem itself."""
        if self.kind == "file":
            from ..io import load_system

            return load_system(**self.options)
        from .. import problems

        return getattr(problems, self.kind)(size, seed=seed, **self.options)

    def small(self, size: Any) -> Problem:
        """A problem of the same kind on which kernels are loaded."""
        return small_matrix() if self.kind == "file" else self.build(small_shape(size), 0)


@dataclass(frozen=True)
class Point:
    """One solve of a study."""

    problem: ProblemSpec
    size: tuple[int, ...] | None
    seed: int | None
    solver: Method

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells this solve from all others of the study."""
        return (self.problem.name, size_label(self.size), self.seed, self.solver.name)


def size_label(size: Any) -> str:
    """``64x64``; empty for a file."""
    return "" if size is None else size_name(size)


@dataclass(frozen=True)
class Plan:
    """A study: every solver on every problem, size and seed.

    Attributes
    ----------
    name : str
    problems : tuple of ProblemSpec
    solvers : tuple of Method
    rtol, atol, maxiter
        The stopping rule of all solves.
    config : dict
        The settings in full, as JSON values; two plans are the same study if these are equal.
    """

    name: str
    problems: tuple[ProblemSpec, ...]
    solvers: tuple[Method, ...]
    rtol: float
    atol: float
    maxiter: int | None
    config: dict[str, Any]

    @classmethod
    def from_toml(cls, path: str | Path) -> Plan:
        """Read a plan from a file; paths in it are relative to its folder.

        Raises
        ------
        FileNotFoundError, ValueError
            One sentence with the file, the key and what was expected.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file")
        try:
            config = tomllib.loads(path.read_bytes().decode())
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}: not a TOML file ({error})") from None
        return cls.from_dict({"name": path.stem, **config}, source=str(path), folder=path.parent)

    @classmethod
    def from_dict(cls, config: Mapping[str, Any], *, source: str = "study", folder: str | Path = ".") -> Plan:
        """A plan from the values a TOML file would hold.

        Parameters
        ----------
        config : mapping
            ``problems`` and ``solvers``; ``sizes`` and ``seeds``, here or in each problem; optional
            ``name``, ``rtol``, ``atol`` and ``maxiter``.
        source : str
            Named in errors.
        folder : path
            What relative paths are relative to.

        Raises
        ------
        FileNotFoundError, ValueError
            One sentence with `source`, the key and what was expected.
        """
        check_keys(config, TOP, source)
        for key in ("problems", "solvers"):
            if not isinstance(config.get(key), list) or not config[key]:
                raise ValueError(f"{source}: {key} is {config.get(key)!r}; expected a list of at least one")
        name = text(config, "name", source, default="study")
        rules = {"rtol": config.get("rtol", 1e-6), "atol": config.get("atol", 0.0)}
        with named(source):
            from ..solvers.iteration import check_settings

            check_settings(**rules, maxiter=config.get("maxiter"), callback=None, on_failure="ignore")
        problems = [
            _problem(table, config, f"{source}: problems[{i}]", Path(folder))
            for i, table in enumerate(config["problems"])
        ]
        solvers = [
            solver_of(entry, f"{source}: solvers[{i}]", Path(folder))
            for i, entry in enumerate(config["solvers"])
        ]
        check_unique([p.name for p, _ in problems], f"{source}: problems")
        check_unique([m.name for m, _ in solvers], f"{source}: solvers")
        content = {
            "name": name, **rules, "maxiter": config.get("maxiter"),
            "problems": [described for _, described in problems],
            "solvers": [described for _, described in solvers],
        }  # fmt: skip
        return cls(
            name, tuple(p for p, _ in problems), tuple(m for m, _ in solvers),
            float(rules["rtol"]), float(rules["atol"]), config.get("maxiter"), content,
        )  # fmt: skip

    def points(self) -> Iterator[Point]:
        """All solves in the order they are run: every solver on a system before the next system."""
        for problem in self.problems:
            for size in problem.sizes:
                for seed in problem.seeds:
                    for solver in self.solvers:
                        yield Point(problem, size, seed, solver)

    def __len__(self) -> int:
        return sum(len(p.sizes) * len(p.seeds) for p in self.problems) * len(self.solvers)


# -- problems -----------------------------------------------------------------------------------
def _problem(table: Any, top: Mapping[str, Any], where: str, folder: Path) -> tuple[ProblemSpec, dict]:
    if not isinstance(table, dict):
        raise ValueError(f"{where} is {table!r}; expected a table with kind or file")
    if ("file" in table) == ("kind" in table):
        raise ValueError(
            f"{where} has {'both' if 'file' in table else 'neither'} kind and file; expected one of them"
        )
    return _from_file(table, where, folder) if "file" in table else _from_kind(table, top, where)


def _from_file(table: dict[str, Any], where: str, folder: Path) -> tuple[ProblemSpec, dict]:
    check_keys(table, ("file", "rhs", "key", "name"), where)
    options: dict[str, Any] = {"path": folder / text(table, "file", where)}
    if "rhs" in table:
        options["rhs"] = folder / text(table, "rhs", where)
    if "key" in table:
        options["key"] = text(table, "key", where)
    spec = ProblemSpec(
        text(table, "name", where, default=options["path"].stem), "file", options, (None,), (None,)
    )
    with named(where):
        spec.build(None, None)  # a file that cannot be read is an error now, not after an hour
    digests = {key: file_digest(options[key]) for key in ("path", "rhs") if key in options}
    return spec, {**table, "name": spec.name, "sha256": digests}


def _from_kind(table: dict[str, Any], top: Mapping[str, Any], where: str) -> tuple[ProblemSpec, dict]:
    from .. import problems

    kind = text(table, "kind", where)
    if kind not in KINDS:
        raise ValueError(f"{where}: kind is {kind!r}; expected one of {', '.join(KINDS)}")
    keywords = keywords_of(getattr(problems, kind)) - {"shape", "seed"}
    check_keys(table, {"kind", "name", "sizes", "seeds"} | keywords, where)
    options = {key: value for key, value in table.items() if key in keywords}
    marks = [f"{value}" for key, value in options.items() if key in ("obstacles", "pattern", "orientation")]
    spec = ProblemSpec(
        text(table, "name", where, default=" ".join([kind.replace("_", " "), *marks])),
        kind, options, tuple(_sizes(table, top, where)), tuple(_seeds(table, top, where)),
    )  # fmt: skip
    with named(where):
        spec.build([min(n, TRIAL) for n in spec.sizes[0]], spec.seeds[0])
    sizes = [list(size) for size in spec.sizes]
    return spec, {**table, "name": spec.name, "sizes": sizes, "seeds": list(spec.seeds)}


def _sizes(table: Mapping[str, Any], top: Mapping[str, Any], where: str) -> list[tuple[int, ...]]:
    from ..operators.geometry_checks import check_shape

    sizes = _list("sizes", table, top, where, "a list of sizes such as [64, 64]")
    for size in sizes:
        if not isinstance(size, list) or not all(type(n) is int for n in size):
            raise ValueError(f"{where}: sizes holds {size!r}; expected sizes such as [64, 64]")
    with named(f"{where}: sizes"):
        checked = [check_shape(size) for size in sizes]
    check_unique([size_name(size) for size in checked], f"{where}: sizes")
    return checked


def _seeds(table: Mapping[str, Any], top: Mapping[str, Any], where: str) -> list[int]:
    if "seeds" not in table and "seeds" not in top:
        return [0]
    from ..problems.poisson import check_seed

    with named(f"{where}: seeds"):
        checked = [check_seed(seed) for seed in _list("seeds", table, top, where, "a list of seeds")]
    check_unique([str(seed) for seed in checked], f"{where}: seeds")
    return checked


def _list(key: str, table: Mapping[str, Any], top: Mapping[str, Any], where: str, expected: str) -> list[Any]:
    """The list under `key`, of the problem or of the study."""
    value = table.get(key, top.get(key))
    if not isinstance(value, list) or not value:
        raise ValueError(f"{where}: {key} is {value!r}; expected {expected}")
    return value
