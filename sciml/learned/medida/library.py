"""Candidate terms of a model error: powers times derivatives, polynomials, functions of the user's own."""

from __future__ import annotations

import itertools
import reprlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.linalg

from ...backends.namespace import Array, array_namespace
from ...problems.spectral import Fields, PeriodicGrid

__all__ = ["Library", "Term", "require_independent", "term_from_form"]


@dataclass(frozen=True)
class Term:
    """One candidate: a named function of the state.

    Attributes
    ----------
    name : str
        As in ``"u u_x"``; the name is the identity of a term.
    function : callable
        ``function(fields) -> array`` of the shape of the state, from a `sciml.problems.Fields`.
    latex : str
        For equations in papers; the name by default.
    form : tuple
        What rebuilds a ready-made term from a file, ``("powers", p, d)`` for instance; empty for a term of
        your own.
    linear_symbol : callable or None
        ``linear_symbol(grid) -> array``: the Fourier symbol of a linear term with constant coefficients,
        which implicit time steps then treat implicitly.

    Examples
    --------
    >>> from sciml.learned.medida import Term
    >>> Term("u^2 u_xx", lambda f: f.u**2 * f.d(2)).name
    'u^2 u_xx'
    """

    name: str
    function: Callable[[Fields], Array] = field(compare=False, repr=False)
    latex: str = field(default="", compare=False, repr=False)
    form: tuple = field(default=(), compare=False, repr=False)
    linear_symbol: Callable[[PeriodicGrid], np.ndarray] | None = field(
        default=None, compare=False, repr=False
    )

    def __call__(self, fields: Fields) -> Array:
        return self.function(fields)

    @property
    def powers(self) -> tuple[int, int] | None:
        """``(p, d)`` of ``u^p ∂^d u``; None for terms of another form."""
        return (self.form[1], self.form[2]) if self.form[:1] == ("powers",) else None

    def symbol(self, grid: PeriodicGrid) -> np.ndarray | None:
        """The Fourier symbol, or None for a term that has none."""
        return None if self.linear_symbol is None else self.linear_symbol(grid)


class Library:
    """A set of candidate terms.

    Make one with `powers` (``u^p ∂^d u`` on a periodic interval), `polynomials` (ordinary differential
    equations), `ring` (neighbours on a ring), or from `Term` objects of your own; libraries add up.

    Parameters
    ----------
    terms : sequence of Term

    Examples
    --------
    >>> from sciml.learned.medida import Library
    >>> library = Library.powers(power=1, order=2)
    >>> library.names
    ('u_x', 'u_xx', 'u', 'u u_x', 'u u_xx')
    >>> library.reflection_symmetric().names
    ('u_xx', 'u', 'u u_x')
    """

    def __init__(self, terms: Sequence[Term]):
        self.terms = tuple(terms)
        if not self.terms:
            raise ValueError("terms is empty; expected at least one candidate term")
        for term in self.terms:
            if not isinstance(term, Term):
                raise TypeError(f"terms holds a {type(term).__name__}; expected Term objects")
        self.names = tuple(term.name for term in self.terms)
        doubled = sorted({name for name in self.names if self.names.count(name) > 1})
        if doubled:
            raise ValueError(f"terms has the name {doubled[0]!r} twice; expected different names")

    # -- ready-made -------------------------------------------------------------------------------
    @classmethod
    def powers(cls, power: int = 4, order: int = 4) -> Library:
        """``∂^d u`` for d = 1..order, and ``u^p ∂^d u`` for p = 1..power, d = 0..order.

        With the defaults these are the 24 candidates of the published study.
        """
        pairs = [(0, d) for d in range(1, order + 1)]
        for p in range(1, power + 1):
            pairs += [(p - 1, 0), *((p, d) for d in range(1, order + 1))]  # u^p has the form u^(p-1) u
        return cls([_power_term(p, d) for p, d in pairs])

    @classmethod
    def polynomials(cls, variables: Sequence[str], degree: int = 2, *, constant: bool = True) -> Library:
        """Every monomial of `variables` up to `degree`, as a candidate in the equation of every variable.

        The state has shape ``(..., len(variables))``. Names say which equation: ``"y': x z"``.
        """
        n = len(variables)
        terms = []
        for target in range(n):
            for total in range(0 if constant else 1, degree + 1):
                for chosen in itertools.combinations_with_replacement(range(n), total):
                    name = " ".join(_monomial(variables, chosen)) or "1"
                    terms.append(_component_term(variables[target], target, n, chosen, name))
        return cls(terms)

    @classmethod
    def ring(cls, offsets: Sequence[int] = (-2, -1, 0, 1, 2), degree: int = 2) -> Library:
        """Monomials of neighbours on a ring, alike for every point: 1, ``x[i-1]``, ``x[i-2] x[i+1]``, ..."""
        terms = []
        for total in range(degree + 1):
            for chosen in itertools.combinations_with_replacement(sorted(offsets), total):
                terms.append(_ring_term(chosen))
        return cls(terms)

    # -- filters ----------------------------------------------------------------------------------
    def where(self, keep: Callable[[Term], bool]) -> Library:
        """The terms for which ``keep(term)`` is true."""
        return Library([term for term in self.terms if keep(term)])

    def without(self, *names: str) -> Library:
        """The library without some terms."""
        for name in names:
            self.index(name)
        return self.where(lambda term: term.name not in names)

    def reflection_symmetric(self) -> Library:
        """Terms that change sign under ``x → −x, u → −u``, as ``u_t`` does; terms of another form stay."""
        return self.where(lambda term: term.powers is None or sum(term.powers) % 2 == 0)

    def galilean(self) -> Library:
        """Terms that a moving observer sees unchanged: without undifferentiated `u`, except ``u u_x``."""
        return self.where(
            lambda term: (
                term.powers is None or term.powers == (1, 1) or (term.powers[0] == 0 < term.powers[1])
            )
        )

    def with_units(self, length: float, time: float, allowed: Sequence[tuple[float, float]]) -> Library:
        """Terms whose coefficient has one of the `allowed` units.

        Parameters
        ----------
        length, time : float
            Exponents of the unit of `u`: a velocity has ``length=1, time=-1``.
        allowed : sequence of (float, float)
            Exponents (length, time) a coefficient may have: ``(2, -1)`` for a diffusivity.
        """

        def unit(term: Term) -> tuple[float, float] | None:
            if term.powers is None:
                return None
            p, d = term.powers
            return (-p * length + d, -1.0 - p * time)

        return self.where(lambda term: unit(term) is None or unit(term) in [tuple(a) for a in allowed])

    # -- use --------------------------------------------------------------------------------------
    def index(self, name: str) -> int:
        """Place of a term; a `KeyError`-like `ValueError` lists the names there are."""
        if name not in self.names:
            raise ValueError(f"the library has no term {name!r}; it has {', '.join(self.names)}")
        return self.names.index(name)

    def evaluate(self, u: Array, grid: PeriodicGrid | None = None, scheme: str = "spectral") -> Array:
        """All terms of the states `u`: shape ``(len(library), *u.shape)``.

        Raises
        ------
        ValueError
            If a term returns another shape, or values that are not finite.
        """
        xp = array_namespace(u)
        fields = Fields(u, grid, scheme=scheme)
        columns = []
        for term in self.terms:
            value = term(fields)
            if tuple(value.shape) != tuple(u.shape):
                raise ValueError(
                    f"term {term.name!r} returned shape {tuple(value.shape)}; expected that of the state, "
                    f"{tuple(u.shape)}"
                )
            if not bool(xp.all(xp.isfinite(value))):
                raise ValueError(f"term {term.name!r} is not finite on the observed states")
            columns.append(value)
        return xp.stack(columns)

    def __len__(self) -> int:
        return len(self.terms)

    def __iter__(self) -> Iterator[Term]:
        return iter(self.terms)

    def __getitem__(self, name: str) -> Term:
        return self.terms[self.index(name)]

    def __add__(self, other: Library) -> Library:
        return Library([*self.terms, *other.terms])

    def __repr__(self) -> str:
        return f"<Library of {len(self)}: {', '.join(self.names)}>"


def term_from_form(form: Sequence[Any]) -> Term:
    """A ready-made term from what a file says of it.

    Raises
    ------
    ValueError
        For a form that is none of ours.
    """
    match list(form):
        case ["powers", int() as p, int() as d] if 0 <= p <= LARGEST and 0 <= d <= LARGEST:
            return _power_term(p, d)
        case [
            "component",
            str() as variable,
            int() as target,
            int() as n,
            list() as chosen,
            str() as name,
        ] if 0 <= target < n <= 100 * LARGEST and _integers(chosen, 0, n - 1):
            return _component_term(variable, target, n, chosen, name)
        case ["ring", list() as offsets] if _integers(offsets, -100 * LARGEST, 100 * LARGEST):
            return _ring_term(offsets)
    raise ValueError(f"{reprlib.repr(list(form))} is not the form of a ready-made term")


LARGEST = 100
"""Power, derivative or number of factors that a file may name: it must not be able to take memory or time."""


def _integers(values: list[Any], low: int, high: int) -> bool:
    return len(values) <= LARGEST and all(type(v) is int and low <= v <= high for v in values)


def require_independent(gram: np.ndarray, names: Sequence[str], tolerance: float = 1e-9) -> None:
    """Raise `ValueError` where columns with this Gram matrix are zero, infinite or linearly dependent."""
    if not np.all(np.isfinite(gram)):
        bad = names[int(np.argmax(~np.all(np.isfinite(gram), axis=1)))]
        raise ValueError(f"the column of term {bad!r} is not finite on these snapshots")
    scale = np.sqrt(np.diag(gram))
    if np.any(scale <= 1e-14 * scale.max()):
        bad = names[int(np.argmin(scale))]
        raise ValueError(f"the column of term {bad!r} is zero on these snapshots; expected terms that vary")
    unit = gram / np.outer(scale, scale)
    values, vectors = scipy.linalg.eigh(unit)
    if values[0] > tolerance:
        return
    weights = np.abs(vectors[:, 0])
    involved = [names[i] for i in np.argsort(-weights) if weights[i] > 0.1 * weights.max()]
    raise ValueError(
        "the library has linearly dependent columns on these snapshots: "
        f"{', '.join(sorted(involved))}; expected independent terms (remove one, or give more varied data)"
    )


def _power_term(p: int, d: int) -> Term:
    if d == 0:
        name = "u" if p == 0 else f"u^{p + 1}"
        latex = "u" if p == 0 else f"u^{{{p + 1}}}"
    else:
        factor = "" if p == 0 else ("u " if p == 1 else f"u^{p} ")
        name = f"{factor}u_{'x' * d}"
        latex = f"{'' if p == 0 else ('u ' if p == 1 else f'u^{{{p}}} ')}u_{{{'x' * d}}}"

    def function(fields: Fields) -> Array:
        derivative = fields.d(d)
        if p == 0:
            return derivative
        return derivative * _power(fields, p)

    symbol = None
    if p == 0:

        def symbol(grid: PeriodicGrid) -> np.ndarray:
            values = grid.derivative_symbol(d).values
            return values.real if d % 2 == 0 else values

    return Term(name, function, latex, ("powers", p, d), symbol)


def _power(fields: Fields, p: int) -> Array:
    """``u^p`` by products: many times faster than a power function, and shared between terms."""
    return fields.u if p == 1 else fields.once(f"u^{p}", lambda: _power(fields, p - 1) * fields.u)


def _monomial(variables: Sequence[str], chosen: Sequence[int]) -> list[str]:
    counts = {i: list(chosen).count(i) for i in sorted(set(chosen))}
    return [variables[i] if c == 1 else f"{variables[i]}^{c}" for i, c in counts.items()]


def _component_term(variable: str, target: int, n: int, chosen: Sequence[int], name: str) -> Term:
    def function(fields: Fields) -> Array:
        u = fields.u
        xp = array_namespace(u)

        def monomial() -> Array:
            value = xp.ones_like(u[..., 0])
            for i in chosen:
                value = value * u[..., i]
            return value

        value = fields.once(name, monomial)
        zero = xp.zeros_like(value)
        return xp.stack([value if i == target else zero for i in range(n)], axis=-1)

    latex = "".join(part.replace("^", "^{") + ("}" if "^" in part else " ") for part in name.split()).strip()
    return Term(
        f"{variable}': {name}",
        function,
        rf"\dot {variable}: {latex}",
        ("component", variable, target, n, list(chosen), name),
    )


def _ring_term(chosen: Sequence[int]) -> Term:
    def label(offset: int) -> str:
        return "x[i]" if offset == 0 else f"x[i{offset:+d}]"

    def function(fields: Fields) -> Array:
        xp = array_namespace(fields.u)
        value = xp.ones_like(fields.u)
        for offset in chosen:
            shifted = fields.once(label(offset), lambda o=offset: xp.roll(fields.u, -o, axis=-1))
            value = value * shifted
        return value

    latex = " ".join(f"x_{{i{offset:+d}}}" if offset else "x_i" for offset in chosen) or "1"
    return Term(" ".join(label(offset) for offset in chosen) or "1", function, latex, ("ring", list(chosen)))
