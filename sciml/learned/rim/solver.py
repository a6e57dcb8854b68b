"""Recurrent inference machines as solvers: ``rim(A, y)`` for any linear operator of images to data."""

from __future__ import annotations

import math
from typing import Any

import torch

from ...backends.namespace import Array, array_namespace, backend_name, device, is_array, is_complex, norm2
from ...operators import BaseOperator, as_operator
from ...solvers import SolveResult, Status
from ...solvers.iteration import Callback, System, run
from ...weights import WeightFile, save_weights
from .bridge import TorchOperator, from_torch, to_torch
from .cascade import CONSISTENCY, Cascade, Memory
from .cells import CELLS
from .steps import STEPS

__all__ = ["CIRIM", "RIM"]

LIMITS = {"channels": 1024, "steps": 1000, "cascades": 100, "cg_iterations": 1000, "recurrent_kernel": 31}
"""Of the settings: the header of a weight file alone must not be able to take all memory or time."""


class RIM:
    """A learned solver of ``y = A x + noise`` for images `x`.

    It unrolls a fixed number of steps. In each, a small recurrent network sees the image and the gradient of
    the data misfit, ``Aᴴ(A x − y)``, and proposes a change of the image. The operator is an argument of the
    call, not part of the network: one set of weights serves every operator like those it was trained on.

    Parameters
    ----------
    cell : {"indrnn", "gru", "mgu"}
        Recurrent unit of the network.
    channels : int
        Width of the network.
    steps : int
        Steps with the same weights (per cascade).
    step : {"cg", "explicit", "learned"}
        ``learned`` is the papers' form: the network does everything. ``explicit`` takes a gradient step of
        learned length before the network's change. ``cg`` replaces the gradient `g` by
        ``(Aᴴ A + μ)⁻¹ g``, a few iterations of `sciml.cg` with a learned `μ`.
    cascades : int
        Networks with weights of their own that follow each other; see `CIRIM`.
    consistency : {"implicit", "explicit", "cg"}, optional
        How every cascade ends: with the network's last change; with a learned multiple of the gradient it
        began with; or with one more step of CG, of a learned `μ` of its own, without a network. By
        default ``cg`` with ``step="cg"`` and ``implicit`` otherwise.
    cg_iterations : int, optional
        Of ``step="cg"`` and ``consistency="cg"``; 4 by default.
    recurrent_kernel : int
        Width of the convolutions in the recurrent unit, odd.
    components : {2, 1}
        Real numbers per pixel: 2 for complex images, 1 for real ones.
    seed : int
        Of the initial weights.

    Attributes
    ----------
    module : torch.nn.Module
        The networks; what `train_rim` trains.
    config : dict
        The settings above, as a weight file keeps them.

    Raises
    ------
    ValueError
        For settings out of range.

    Notes
    -----
    The operator should have a norm of about 1, as that of a coil-normalised MRI scan has: scale operator
    and data otherwise. The data may have any scale: the networks see images in units of the largest modulus
    of ``Aᴴ y``.

    Sources: Putzky and Welling, arXiv:1706.04008; Lønning et al., Med. Image Anal. 53 (2019) 64-78;
    IndRNN cells for MRI: arXiv:2012.07819. The papers' networks are
    ``RIM(cell=..., channels=64, step="learned")``.

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.learned.rim import RIM
    >>> rim = RIM(channels=4, steps=2)
    >>> rim
    <RIM indrnn-4, 2 steps, cg, cg consistency, 677 parameters>
    >>> result = rim(np.eye(64, dtype=complex), np.ones(64, dtype=complex), image_shape=(8, 8))
    >>> result.status.name, result.iterations, result.x.shape
    ('FIXED', 2, (8, 8))
    """

    def __init__(
        self,
        *,
        cell: str = "indrnn",
        channels: int = 32,
        steps: int = 8,
        step: str = "cg",
        cascades: int = 1,
        consistency: str | None = None,
        cg_iterations: int | None = None,
        recurrent_kernel: int = 1,
        components: int = 2,
        seed: int = 0,
    ):
        if consistency is None:
            consistency = "cg" if step == "cg" else "implicit"
        for name, value, known in (("cell", cell, CELLS), ("step", step, STEPS),
                                   ("consistency", consistency, CONSISTENCY)):  # fmt: skip
            if value not in known:
                raise ValueError(f"{name} is {value!r}; expected one of {', '.join(known)}")
        uses_cg = "cg" in (step, consistency)
        if cg_iterations is not None and not uses_cg:
            raise ValueError(
                f"cg_iterations is given, but step is {step!r}; expected 'cg' for it or consistency"
            )
        inner = {"cg_iterations": 4 if cg_iterations is None else cg_iterations} if uses_cg else {}
        counts = {"channels": channels, "steps": steps, "cascades": cascades, **inner}
        for name, count in {**counts, "recurrent_kernel": recurrent_kernel}.items():
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise ValueError(f"{name} is {count!r}; expected a positive integer")
            if count > LIMITS[name]:
                raise ValueError(f"{name} is {count!r}; expected at most {LIMITS[name]}")
        if recurrent_kernel % 2 == 0:
            raise ValueError(f"recurrent_kernel is {recurrent_kernel!r}; expected an odd positive integer")
        if components not in (1, 2):
            raise ValueError(f"components is {components!r}; expected 1 (real images) or 2 (complex)")
        self.config: dict[str, Any] = {
            "cell": cell, "step": step, "consistency": consistency, **counts,
            "recurrent_kernel": recurrent_kernel, "components": components,
        }  # fmt: skip
        with torch.random.fork_rng():  # the caller's random numbers stay as they are
            torch.manual_seed(seed)
            self.module = Cascade(**self.config)

    # -- solving ------------------------------------------------------------------------------
    def __call__(
        self,
        A: Any,
        b: Array,
        *,
        x0: Array | None = None,
        rtol: float = 0.0,
        atol: float = 0.0,
        maxiter: int | None = None,
        callback: Callback | None = None,
        on_failure: str = "warn",
        noise: float | None = None,
        image_shape: tuple[int, int] | None = None,
    ) -> SolveResult:
        """Reconstruct an image from data.

        Parameters
        ----------
        A : operator
            Linear, of images ``(height, width)`` or a batch ``(..., height, width)`` to data, of any array
            library on the CPU or the device the weights live on (`to`).
        b : array of shape ``A.out_shape`` or flat
            The data, `y` below.
        x0 : array of shape ``A.in_shape`` (flat if `b` is), optional
            First image; ``Aᴴ y`` by default.
        rtol, atol : float
            Stop early when ``‖y − A x‖₂ ≤ max(rtol ‖y‖₂, atol)``: with `atol` the norm of the noise, this
            is the discrepancy principle. Both zero, the default: run all steps.
        maxiter : int, optional
            Steps; those of the training by default. The last cascade goes on where more are asked for.
        callback : callable, optional
            ``callback(state)`` after every step; returning True stops.
        on_failure : {"warn", "raise", "ignore"}
        noise : float, optional
            Standard deviation of the (complex) noise of one datum; gives ``info["chi2"]``.
        image_shape : pair of int, optional
            Shape of the image, where `A` acts on flat vectors.

        Returns
        -------
        SolveResult
            ``residual_norm`` is ``‖y − A x‖₂``. ``info["change"]`` is the map ``|x_T − x_{T−1}|``, large
            where the steps have not settled. ``info["chi2"]`` is ``‖y − A x‖² / (N noise²)`` over the `N`
            data that are not exactly zero (what was not sampled is): far above 1, the image does not explain
            the data.

        Raises
        ------
        TypeError, ValueError
            For arguments that do not fit, before any work starts.
        """
        A = of_images(as_operator(A), image_shape)
        self.check(A, b)
        if noise is not None and not (isinstance(noise, int | float) and 0 < noise < math.inf):
            raise ValueError(f"noise is {noise!r}; expected a positive standard deviation")
        if maxiter is None:
            maxiter = self.config["cascades"] * self.config["steps"]

        result = run(
            self._name(), self._iterate, A, b, x0=x0, M=None, rtol=rtol, atol=atol, maxiter=maxiter,
            callback=callback, on_failure=on_failure, square=False,
        )  # fmt: skip
        if noise is not None:
            parts = [(b[:, j], column) for j, column in enumerate(result.columns)] or [(b, result)]
            for data, part in parts:
                measured = max(1, int(array_namespace(data).count_nonzero(data)))
                part.info["chi2"] = part.residual_norm**2 / (measured * noise**2)
        return result

    @torch.no_grad()
    def _iterate(self, system: System) -> Status | None:
        xp = array_namespace(system.b)
        back = system.apply_adjoint(system.b)
        if system.x_is_zero:
            system.x, system.x_is_zero = back * 1, False
        unit = float(xp.max(xp.abs(back))) or 1.0
        if not math.isfinite(unit):
            return Status.NONFINITE
        normal = TorchOperator(normal_operator(system.A), system.b)
        residual, memory = system.residual(), Memory()
        status = system.record(norm2(residual))
        for block, t in self.module.schedule(system.maxiter):
            if status is not None:
                break
            x, g = to_torch(system.x / unit), to_torch(system.apply_adjoint(residual) / -unit)
            before, system.x = system.x, from_torch(block(x, g, normal, t, memory), xp) * unit
            system.info["change"] = xp.abs(system.x - before) / system.scale
            residual = system.residual()
            status = system.record(norm2(residual))
        system.matvecs += 2 * normal.applications
        return status

    def check(self, A: Any, b: Any) -> None:
        """Raise unless the weights fit `A` and `b`: linear, of images, complex or real, same device."""
        if "linear" not in A.properties:
            raise TypeError(f"A ({A!r}) does not declare itself linear; expected properties={{'linear'}}")
        if len(A.in_shape) < 2:
            raise ValueError(
                f"A acts on arrays of shape {A.in_shape}; expected images (height, width), "
                "or image_shape=(height, width)"
            )
        if not is_array(b):
            raise TypeError(f"b is a {type(b).__name__}; expected an array (NumPy, CuPy, torch)")
        is_real = not (is_complex(b) or A.dtype.kind == "c")
        if is_real != (self.config["components"] == 1):
            kinds = ("complex", "real") if is_real else ("real", "complex")
            raise TypeError(
                f"these weights are for {kinds[0]} images (components = {self.config['components']}), "
                f"but A and b are {kinds[1]}"
            )
        home = next(self.module.parameters()).device
        place = device(b)
        kind = "cpu" if backend_name(b) in ("numpy", "array-api-strict") else str(place).lower()
        if (home.type == "cpu") != ("cpu" in kind):
            raise TypeError(
                f"the weights live on {home} but b on {place}; expected the same device: rim.to(...)"
            )

    # -- weights ------------------------------------------------------------------------------
    @property
    def parameter_count(self) -> int:
        """Trained numbers."""
        return sum(p.numel() for p in self.module.parameters())

    def to(self, device: Any) -> RIM:
        """Move the weights to a torch device; returns the solver itself."""
        self.module.to(device)
        return self

    def save(self, path: Any, *, training: dict[str, Any] | None = None) -> Any:
        """Write the weights; `sciml.learned.load` reads them."""
        return save_weights(path, "rim", self.module.state_dict(), config=self.config, training=training)

    @classmethod
    def from_weights(cls, weights: WeightFile) -> RIM:
        """The solver a weight file holds.

        Raises
        ------
        ValueError
            Naming the first setting or tensor that does not fit.
        """
        try:
            kind = CIRIM if weights.config.get("cascades", 1) > 1 else RIM
            with torch.device("meta"):  # shapes only: what does not fit the file is never allocated
                expected = kind(**weights.config).module.state_dict()
        except (TypeError, ValueError) as error:
            raise ValueError(f"{weights.source}: not the settings of a RIM ({error})") from None
        weights.require({name: tuple(value.shape) for name, value in expected.items()}, "float32")
        rim = kind(**weights.config)
        rim.module.load_state_dict({name: torch.from_numpy(v.copy()) for name, v in weights.tensors.items()})
        return rim

    def _name(self) -> str:
        c = self.config
        return f"{type(self).__name__} {c['cell']}-{c['channels']} {c['step']}"

    def __repr__(self) -> str:
        c = self.config
        blocks = f"{c['cascades']} x " if c["cascades"] > 1 else ""
        end = "" if c["consistency"] == "implicit" else f", {c['consistency']} consistency"
        name, network = type(self).__name__, f"{c['cell']}-{c['channels']}"
        return (
            f"<{name} {network}, {blocks}{c['steps']} steps, {c['step']}{end}, "
            f"{self.parameter_count:,} parameters>"
        )


class CIRIM(RIM):
    """A cascade of independently recurrent inference machines: a `RIM` whose blocks follow each other.

    Hidden states start anew in every block. The defaults are the paper's; all settings of `RIM` apply.

    Notes
    -----
    Source: Karkalousos, Noteboom, Hulst, Vos and Caan, arXiv:2111.15498.

    Examples
    --------
    >>> from sciml.learned.rim import CIRIM
    >>> CIRIM()
    <CIRIM indrnn-64, 5 x 8 steps, learned, 264,960 parameters>
    """

    def __init__(self, *, cascades: int = 5, channels: int = 64, step: str = "learned", **settings: Any):
        super().__init__(cascades=cascades, channels=channels, step=step, **settings)


def normal_operator(A: Any) -> Any:
    """``Aᴴ A``, in the form `A` offers for it if it offers one."""
    return A.normal() if hasattr(A, "normal") else A.H @ A


class _OfImages(BaseOperator):
    """An operator on flat vectors as one on images."""

    def __init__(self, A: Any, image_shape: tuple[int, ...]):
        self.A = A
        super().__init__(image_shape, A.out_shape, A.dtype, A.properties & {"linear"})

    def _apply(self, x: Array) -> Array:
        return self.A._apply(array_namespace(x).reshape(x, self.A.in_shape))

    def _apply_adjoint(self, y: Array) -> Array:
        return array_namespace(y).reshape(self.A._apply_adjoint(y), self.in_shape)

    def astype(self, dtype: Any) -> Any:
        return _OfImages(self.A.astype(dtype), self.in_shape)


def of_images(A: Any, image_shape: Any) -> Any:
    """`A` on images of `image_shape`, where that is given and `A` acts on flat vectors."""
    if image_shape is None or tuple(image_shape) == A.in_shape:
        return A
    shape = tuple(image_shape)
    if len(shape) < 2 or math.prod(shape) != A.shape[1]:
        raise ValueError(f"image_shape is {shape}; expected (height, width) with {A.shape[1]} pixels")
    return _OfImages(A, shape)
