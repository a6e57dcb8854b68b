"""The network as an operator: residual in, search direction out, in the solver's own array library."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...backends.namespace import Array, backend_name, is_complex, norm2
from ...operators import BaseOperator, as_operator
from ...weights import WeightFile, load_weights, save_weights
from .network import DirectionNet, architecture

__all__ = ["DCDNetwork"]


class DCDNetwork(BaseOperator):
    r"""A trained direction network on one grid, usable as `M` in `cg` and `fcg` and in `dcd`.

    Applies :math:`r \mapsto \rho\, f(r / \rho)` with `ρ` the root mean square of the residual over the
    unknowns, so that scaling `r` scales the result. It is not linear, not symmetric, and knows nothing of
    `A` but which cells carry an unknown; only the direction of what it returns means something.

    The network lives in torch. NumPy arrays are handed to a network on the CPU and come back as NumPy arrays
    (they share the memory of the machine); torch tensors must be on the network's device. Nothing is moved
    between devices.

    Parameters
    ----------
    net : DirectionNet
        Its weights are shared, not copied.
    shape : tuple of int
        Cells per axis of the grid the operator acts on.
    A : operator, optional
        Whose unknowns (and null space) to respect; see `on`.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.learned.dcd import DCDNetwork
    >>> network = DCDNetwork.untrained("small", (8, 8))
    >>> r = np.random.default_rng(0).standard_normal((8, 8))
    >>> bool(np.allclose(network(1e6 * r), 1e6 * network(r), rtol=1e-4))
    True
    """

    label = "DCD network"

    def __init__(self, net: DirectionNet, shape: Sequence[int], *, A: Any = None):
        grid = tuple(int(n) for n in shape)
        if len(grid) != net.ndim:
            raise ValueError(f"shape is {shape!r}; expected {net.ndim} axes, as the network was made for")
        super().__init__(grid, grid, "float32", ())
        self.net, self.A = net, A
        unknown = getattr(A, "fluid", None)
        self._unknown: Any = None if unknown is None or unknown.all() else unknown
        self._count = math.prod(grid) if self._unknown is None else int(np.count_nonzero(self._unknown))
        self._masks: dict[torch.device, torch.Tensor] = {}

    @classmethod
    def untrained(cls, name: str, shape: Sequence[int], *, seed: int = 0) -> DCDNetwork:
        """A network of the architecture called `name` with random weights; `shape` is where to train it."""
        from ..gradient import set_seed

        settings = architecture(name, len(tuple(shape)))
        set_seed(seed)
        return cls(DirectionNet(**settings), shape)

    @classmethod
    def from_weights(cls, weights: WeightFile | str | os.PathLike[str]) -> DCDNetwork:
        """Rebuild a network from a weight file.

        Raises
        ------
        FileNotFoundError, ValueError
            One sentence that names the file and the first thing that does not fit.
        """
        if not isinstance(weights, WeightFile):
            weights = load_weights(weights, kind="dcd")
        config = dict(weights.config)
        try:
            shape = config.pop("shape")
            with torch.device("meta"):  # shapes only: what does not fit the file is never allocated
                expected = cls(DirectionNet(**config), shape).net.state_dict()
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{weights.source}: its configuration builds no network ({error})") from None
        weights.require({name: tuple(value.shape) for name, value in expected.items()}, dtype="float32")
        net = DirectionNet(**config)
        net.load_state_dict({name: torch.from_numpy(v.copy()) for name, v in weights.tensors.items()})
        return cls(net, shape)

    def save(self, path: str | os.PathLike[str], *, training: Mapping[str, Any]) -> Path:
        """Write the weights; `training` says how they were made, see `sciml.learned.WeightFile`."""
        config = {**self.net.settings, "shape": list(self.in_shape)}
        return save_weights(path, "dcd", self.net.state_dict(), config=config, training=training)

    def on(self, A: Any) -> DCDNetwork:
        """The same network on the grid of `A`, of any size, without output in cells that are not unknowns.

        An `A` that knows no grid (a matrix) must have as many rows as the network's own grid has cells.

        Raises
        ------
        ValueError
            If the grid of `A` has another number of axes than that of the network.
        """
        A = as_operator(A)
        if A.shape[0] != A.shape[1]:
            raise ValueError(f"A has shape {A.shape}; expected a square operator")
        if len(A.in_shape) == 1 and A.shape == self.shape:
            return DCDNetwork(self.net, self.in_shape)
        if len(A.in_shape) != self.net.ndim:
            raise ValueError(
                f"A acts on arrays of shape {A.in_shape}; expected a grid with {self.net.ndim} axes "
                "for this network"
            )
        return DCDNetwork(self.net, A.in_shape, A=A)

    @property
    def parameters(self) -> int:
        """Number of trained numbers."""
        return sum(p.numel() for p in self.net.parameters())

    # -- application --------------------------------------------------------------------------
    def _apply(self, x: Array) -> Array:
        library, place = backend_name(x), next(self.net.parameters()).device
        if library not in ("numpy", "torch"):
            raise TypeError(f"x is a {library} array; a DCDNetwork takes numpy and torch arrays")
        if is_complex(x):
            raise TypeError(f"x has dtype {x.dtype}; a DCDNetwork takes real arrays")
        found = torch.device("cpu") if library == "numpy" else x.device
        if found != place:
            raise TypeError(f"x lives on device {found} but the network on {place}; expected the same device")
        if getattr(self.A, "singular", None) is not None:
            return self.A.project(self._direction(self.A.project(x), place))
        return self._direction(x, place)

    def _direction(self, x: Array, place: torch.device) -> Array:
        numpy = isinstance(x, np.ndarray)
        r = x if self._unknown is None else self._only_unknowns(x, place)
        size = norm2(r) / math.sqrt(self._count)
        if size == 0.0 or not math.isfinite(size):
            return x * size
        # In the precision of the residual first: single precision would over- or underflow.
        r = r / size
        r = torch.from_numpy(r.astype(np.float32)) if numpy else r.to(torch.float32)
        with torch.no_grad():
            z = self.net(r[None])[0]
        z = z.numpy().astype(x.dtype) if numpy else z.to(x.dtype)
        return z * size if self._unknown is None else self._beside(x, z * size, place)

    def _only_unknowns(self, x: Array, place: torch.device) -> Array:
        if isinstance(x, np.ndarray):
            return np.where(self._unknown, x, x.dtype.type(0))
        return torch.where(self._mask(place), x, 0.0)

    def _beside(self, x: Array, z: Array, place: torch.device) -> Array:
        """`z` in the unknowns; elsewhere the solution of the equation ``s x = b`` that `A` has there."""
        s = self.A.diagonal_table[255]
        if isinstance(x, np.ndarray):
            return np.where(self._unknown, z, x / x.dtype.type(s))
        return torch.where(self._mask(place), z, x / s)

    def _mask(self, place: torch.device) -> torch.Tensor:
        if place not in self._masks:
            self._masks[place] = torch.from_numpy(np.ascontiguousarray(self._unknown)).to(place)
        return self._masks[place]

    def __repr__(self) -> str:
        size = "x".join(map(str, self.in_shape))
        return f"<DCDNetwork with {self.parameters} parameters on {size} cells>"
