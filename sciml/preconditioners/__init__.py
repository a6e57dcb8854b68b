"""Preconditioners: operators that approximate an inverse, set up once from `A` and applied as ``M @ r``."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from .amg import AMG
from .deflation import Deflation
from .fft import FFT
from .incomplete import IncompleteCholesky
from .jacobi import Jacobi
from .lu import LU
from .ssor import SSOR

if TYPE_CHECKING:
    from .learned_multigrid import LearnedMultigrid
    from .multigrid import Multigrid

__all__ = [
    "AMG",
    "FFT",
    "LU",
    "PRECONDITIONERS",
    "SSOR",
    "Deflation",
    "IncompleteCholesky",
    "Jacobi",
    "LearnedMultigrid",
    "Multigrid",
    "make_preconditioner",
]


def __getattr__(name: str) -> Any:
    # These load compiled kernels, so only who uses them waits for that.
    if name == "Multigrid":
        from .multigrid import Multigrid

        return Multigrid
    if name == "LearnedMultigrid":
        from .learned_multigrid import LearnedMultigrid

        return LearnedMultigrid
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _multigrid(A: Any, **settings: Any) -> Any:
    return __getattr__("Multigrid")(A, **settings)


def _learned_multigrid(A: Any, **settings: Any) -> Any:
    return __getattr__("LearnedMultigrid")(A, **settings)


PRECONDITIONERS: dict[str, Callable[..., Any]] = {
    "jacobi": Jacobi,
    "ssor": SSOR,
    "ic0": IncompleteCholesky,
    "mic0": partial(IncompleteCholesky, modified=True),
    "fft": FFT,
    "amg": AMG,
    "amg-sa": partial(AMG, method="smoothed_aggregation"),
    "amg-rs": partial(AMG, method="ruge_stuben"),
    "multigrid": _multigrid,
    "learned-multigrid": _learned_multigrid,
    "lu": LU,
}
"""Name, as ``solve`` and the command line take it, to what builds the preconditioner from `A`."""


def make_preconditioner(name: str, A: Any, **settings: Any) -> Any:
    """The preconditioner called `name`, set up for `A`.

    Raises
    ------
    ValueError
        For a name that is not in `PRECONDITIONERS`.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.preconditioners import make_preconditioner
    >>> make_preconditioner("jacobi", np.diag([2.0, 4.0])) @ np.ones(2)
    array([0.5 , 0.25])
    """
    if name not in PRECONDITIONERS:
        raise ValueError(f"M is {name!r}; expected one of {', '.join(PRECONDITIONERS)}, or an operator")
    return PRECONDITIONERS[name](A, **settings)
