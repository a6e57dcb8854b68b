"""What a discovery returns: the missing terms with their uncertainty, and the corrected model."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy.special

from ...files import replaced
from .correct import corrected
from .library import Library, Term, term_from_form

__all__ = ["ModelError"]

FORMAT = 1


@dataclass(frozen=True, eq=False)
class ModelError:
    """A discovered structural model error: ``truth − model = Σ c_j φ_j``.

    Attributes
    ----------
    terms : tuple of Term
        The terms found, possibly none.
    coefficients : ndarray, shape (k,)
    covariance : ndarray, shape (k, k)
        Posterior covariance, conditional on these terms.
    evidence : dict of str to float
        Log Bayes factor of every candidate: for a term found, against the model without it; for a term left
        out, of adding it (negative: the data speak against it).
    candidates : tuple of str
        Names of all terms tried.
    info : dict
        How it was found: method, noise level, misfit, selection frequencies where they were asked for.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.learned.medida import Library, ModelError
    >>> term = Library.powers()["u u_x"]
    >>> error = ModelError((term,), np.array([-1.0]), np.array([[1e-4]]), {"u u_x": 50.0}, ("u u_x",))
    >>> print(error)
    u_t = model - 1 u u_x    (95 %: -1.02 to -0.98)
    """

    terms: tuple[Term, ...]
    coefficients: np.ndarray
    covariance: np.ndarray
    evidence: dict[str, float]
    candidates: tuple[str, ...]
    info: dict[str, Any] = field(default_factory=dict)

    # -- reading it -------------------------------------------------------------------------------
    @property
    def names(self) -> tuple[str, ...]:
        """Names of the terms found."""
        return tuple(term.name for term in self.terms)

    @property
    def standard_errors(self) -> np.ndarray:
        """Posterior standard deviations of the coefficients."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 0.0))

    def intervals(self, level: float = 0.95) -> np.ndarray:
        """Ends of central intervals, shape (k, 2)."""
        if not 0.0 < level < 1.0:
            raise ValueError(f"level is {level!r}; expected a probability between 0 and 1")
        half = float(scipy.special.ndtri(0.5 + 0.5 * level)) * self.standard_errors
        return np.stack([self.coefficients - half, self.coefficients + half], axis=1)

    def as_dict(self) -> dict[str, float]:
        """Coefficient by name of the term."""
        return dict(zip(self.names, (float(c) for c in self.coefficients), strict=True))

    @property
    def equation(self) -> str:
        """The correction as a readable line per equation; of several variables one line each."""
        lines = []
        for left, pairs in self._by_equation(latex=False).items():
            lines.append(f"{left} = model" + "".join(_signed(c, name) for c, name in pairs))
        return "\n".join(lines) if lines else "no model error found: u_t = model"

    @property
    def latex(self) -> str:
        """The correction in LaTeX."""
        lines = []
        for left, pairs in self._by_equation(latex=True).items():
            text = "".join(_signed(c, rf"\,{name}").replace("e-", r"\cdot 10^{-") for c, name in pairs)
            lines.append(rf"{left} = \mathcal{{M}}(u)" + _closed_powers(text))
        return " \\\\\n".join(lines) if lines else r"u_t = \mathcal{M}(u)"

    def __str__(self) -> str:
        if len(self.terms) == 1:
            low, high = self.intervals()[0]
            return f"{self.equation}    (95 %: {low:.3g} to {high:.3g})"
        rows = [
            f"  {name:20s} {c:+.5g}   95 %: {low:+.5g} to {high:+.5g}   "
            f"log evidence {self.evidence[name]:.3g}"
            for name, c, (low, high) in zip(self.names, self.coefficients, self.intervals(), strict=True)
        ]
        return "\n".join([self.equation, *rows])

    def __repr__(self) -> str:
        return f"<ModelError {' ; '.join(self.equation.splitlines())}>"

    def _by_equation(self, latex: bool) -> dict[str, list[tuple[float, str]]]:
        grouped: dict[str, list[tuple[float, str]]] = {}
        for term, c in zip(self.terms, self.coefficients, strict=True):
            left, _, right = term.name.rpartition("': ")
            label = f"{left}'" if left else "u_t"
            if latex:
                label = rf"\dot {left}" if left else "u_t"
                right = (term.latex or term.name).rpartition(": ")[2]
            grouped.setdefault(label, []).append((float(c), right))
        return grouped

    # -- using it ---------------------------------------------------------------------------------
    def corrected(self, model: Any) -> Any:
        """The model with the terms added: again a `TimeStepper`.

        Parameters
        ----------
        model : TimeStepper
            Usually the one the error was discovered with; on another grid or time step as well.
        """
        return corrected(model, self.terms, self.coefficients)

    def plot(self, ax: Any = None) -> Any:
        """Draw the coefficients with their 95 % intervals; returns the matplotlib axes."""
        from ...plotting import new_figure, tidy

        if ax is None:
            ax = new_figure((6.0, 0.9 + 0.45 * max(len(self.terms), 2))).add_subplot()
        places = np.arange(len(self.terms))[::-1]
        ax.axvline(0.0, color="0.6", linewidth=0.8)
        if self.terms:
            half = self.intervals()[:, 1] - self.coefficients
            ax.errorbar(
                self.coefficients, places, xerr=half, fmt="o", color="#0072B2", capsize=4, markersize=5
            )
        ax.set_yticks(
            places, [rf"${term.latex or term.name}$" if term.latex else term.name for term in self.terms]
        )
        ax.set_ylim(-0.7, max(len(self.terms), 1) - 0.3)
        ax.set_xlabel("coefficient (95 % interval)")
        ax.set_title(f"model error from {len(self.candidates)} candidate terms", fontsize=10)
        tidy(ax)
        return ax

    # -- files ------------------------------------------------------------------------------------
    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a JSON file, in one step: an interrupted call leaves the old file or the new one.

        Functions are not written: terms of your own are found by name in the library given to `load`.
        """
        path = Path(path)
        content = {
            "kind": "sciml model error",
            "format": FORMAT,
            "terms": [{"name": term.name, "form": list(term.form)} for term in self.terms],
            "coefficients": [float(c) for c in self.coefficients],
            "covariance": [[float(v) for v in row] for row in self.covariance],
            "evidence": {name: float(value) for name, value in self.evidence.items()},
            "candidates": list(self.candidates),
            "info": self.info,
        }
        text = json.dumps(_plain(content), indent=1, allow_nan=False) + "\n"
        with replaced(path) as stream:
            stream.write(text.encode())
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str], library: Library | None = None) -> ModelError:
        """Read a file written by `save`; everything is checked.

        Parameters
        ----------
        path : path
        library : Library, optional
            Needed for terms that are not ready-made.

        Raises
        ------
        FileNotFoundError, ValueError
            One line naming the file and what is wrong.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file")
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}: truncated or not a JSON file ({error})") from None
        if not isinstance(content, Mapping) or content.get("kind") != "sciml model error":
            raise ValueError(f"{path}: not a model error written by sciml")
        if content.get("format") != FORMAT:
            raise ValueError(f"{path}: has format {content.get('format')!r}; this version reads {FORMAT}")
        try:
            terms = tuple(_term(entry, library, path) for entry in content["terms"])
            coefficients = np.array(content["coefficients"], dtype=float)
            covariance = np.array(content["covariance"], dtype=float).reshape(len(terms), len(terms))
            evidence = {str(k): float(v) for k, v in content["evidence"].items()}
            candidates, info = tuple(str(c) for c in content["candidates"]), dict(content["info"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: damaged: {type(error).__name__} {error}") from None
        except ValueError as error:
            text = str(error)
            raise ValueError(text if text.startswith(str(path)) else f"{path}: damaged: {text}") from None
        if coefficients.shape != (len(terms),):
            raise ValueError(f"{path}: {len(terms)} terms but coefficients of shape {coefficients.shape}")
        if not (np.isfinite(coefficients).all() and np.isfinite(covariance).all()):
            raise ValueError(f"{path}: a coefficient or covariance is not finite")
        lacking = [term.name for term in terms if term.name not in evidence]
        if lacking:
            raise ValueError(f"{path}: holds no evidence of the term {lacking[0]!r}")
        return cls(terms, coefficients, covariance, evidence, candidates, info)


def _term(entry: Mapping[str, Any], library: Library | None, path: Path) -> Term:
    name, form = entry["name"], entry["form"]
    if library is not None and name in library.names:
        return library[name]
    if not form:
        raise ValueError(f"{path}: {name!r} is a term of your own; expected a library that has it")
    term = term_from_form(form if isinstance(form, list) else [form])
    if term.name != name:
        raise ValueError(f"{path}: the term {name!r} has the form of {term.name!r}")
    return term


def _signed(c: float, name: str) -> str:
    return f" {'-' if c < 0 else '+'} {abs(c):.4g} {name}"


def _closed_powers(text: str) -> str:
    """Close the brace of every ``10^{-05`` that formatting left open."""
    parts = text.split(r"\cdot 10^{-")
    closed = [parts[0]]
    for part in parts[1:]:
        digits = len(part) - len(part.lstrip("0123456789"))
        closed.append(f"{int(part[:digits])}}}" + part[digits:])
    return r"\cdot 10^{-".join(closed)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
