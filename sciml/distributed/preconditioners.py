"""Preconditioners of the distributed engine: PETSc's by name, our multigrid, and any operator per rank."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..preconditioners.learned_multigrid import FEATURE_STRENGTH, policy_of
from ..preconditioners.multigrid import Multigrid
from ..preconditioners.multigrid.features import FEATURES, geometry_features, refinement
from .engine import load_petsc, world
from .multigrid import DistributedMultigrid
from .poisson import DistributedPoisson

__all__ = ["PRECONDITIONERS", "Named", "make_preconditioner"]


class Named:
    """A preconditioner of PETSc.

    Parameters
    ----------
    label : str
    kind : str
        PETSc's name.
    entries : bool
        Whether it needs the matrix with its entries.
    options : dict, optional
        PETSc's options, ``{"pc_gamg_threshold": 0.02}`` for instance.
    """

    def __init__(self, label: str, kind: str, entries: bool, options: dict[str, Any] | None = None):
        self.label, self._kind, self._entries, self._options = label, kind, entries, dict(options or {})

    def matrix(self, A: Any) -> Any:
        """The matrix to set up from, None for that of the solver."""
        return A.assembled() if self._entries and isinstance(A, DistributedPoisson) else None

    def configure(self, pc: Any, A: Any) -> None:
        """Make `pc` this preconditioner."""
        petsc = load_petsc()
        pc.setType(self._kind)
        prefix = f"sciml_{id(pc)}_"
        pc.setOptionsPrefix(prefix)
        options = petsc.Options(prefix)
        for name, value in self._options.items():
            options[name] = value
        pc.setFromOptions()
        for name in self._options:
            options.delValue(name)


def _boomeramg(A: Any, options: dict[str, Any] | None = None) -> Named:
    # hypre's own advice: a quarter in the plane, a half in space.
    space = isinstance(A, DistributedPoisson) and len(A.layout.shape) == 3
    given = {"pc_hypre_type": "boomeramg", "pc_hypre_boomeramg_strong_threshold": 0.5 if space else 0.25}
    return Named("BoomerAMG", "hypre", True, given | dict(options or {}))


def _learned_multigrid(A: Any, *, weights: Any = None, rtol: float = 1e-6, **settings: Any) -> Any:
    """Our multigrid with learned parameters, chosen by features of the geometry averaged over ranks."""
    if not isinstance(A, DistributedPoisson):
        return DistributedMultigrid()  # says what it expects when it is set up
    policy, comm = policy_of(weights), world(A.layout.comm)
    local = geometry_features(A.local, FEATURE_STRENGTH)
    cells = A.local.shape[0]
    features = comm.allreduce(cells * local) / comm.allreduce(cells)
    features[FEATURES.index("refinement")] = refinement(A.layout.shape)
    chosen = policy.settings(policy.choose(features, rtol))
    return DistributedMultigrid(**{**chosen, **settings})


PRECONDITIONERS: dict[str, Callable[..., Any]] = {
    "jacobi": lambda A, options=None: Named("Jacobi", "jacobi", False, options),
    "bjacobi": lambda A, options=None: Named("block Jacobi", "bjacobi", True, options),
    "gamg": lambda A, options=None: Named("GAMG", "gamg", True, options),
    "hypre": _boomeramg,
    "multigrid": lambda A, **settings: DistributedMultigrid(**settings),
    "learned-multigrid": _learned_multigrid,
}
"""Name to preconditioner; GAMG is PETSc's and hypre's is BoomerAMG, the multigrids are ours."""


def make_preconditioner(M: Any, A: Any, settings: dict[str, Any]) -> Any:
    """What `sciml.distributed.solve` takes as `M`, ready to be configured.

    Raises
    ------
    TypeError, ValueError
        For an unknown name or settings without a name they belong to.
    """
    if isinstance(M, str):
        if M not in PRECONDITIONERS:
            raise ValueError(
                f"the preconditioner is {M!r}; the engine 'petsc' expects one of {', '.join(PRECONDITIONERS)}"
            )
        return PRECONDITIONERS[M](A, **settings)
    if settings:
        raise TypeError(f"settings {sorted(settings)} belong to no named preconditioner")
    if M is None or hasattr(M, "configure"):
        return M
    if isinstance(M, Multigrid):
        return DistributedMultigrid(**M.parameters)
    raise TypeError(
        f"M is a {type(M).__name__}; expected a name, a Multigrid, None, or an object with configure(pc, A) "
        "such as sciml.distributed.LocalPreconditioner"
    )
