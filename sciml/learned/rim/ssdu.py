"""Training without fully sampled images: data are split, one part reconstructs and the other one judges."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ...operators import BaseOperator

__all__ = ["Selected", "data_error", "split_mask"]


def split_mask(
    acquired: np.ndarray, rng: np.random.Generator, *, share: float = 0.4, centre: int = 4
) -> tuple[np.ndarray, np.ndarray]:
    """Split sampled locations into those that reconstruct (Θ) and those that judge (Λ).

    Parameters
    ----------
    acquired : bool array of shape ``(height, width)``
        Sampled locations.
    rng : numpy.random.Generator
    share : float
        Of the locations that go into Λ, drawn without replacement from a Gaussian around the middle whose
        standard deviation is a quarter of the size.
    centre : int
        The middle ``centre`` by ``centre`` block stays in Θ.

    Returns
    -------
    theta, judge : bool arrays
        Disjoint, and `acquired` together.

    Raises
    ------
    ValueError
        If too little was sampled to be split.

    Notes
    -----
    Source: Yaman et al., Magn. Reson. Med. 84 (2020) 3172-3191 (SSDU).

    Examples
    --------
    >>> import numpy as np
    >>> from sciml.learned.rim import split_mask
    >>> theta, judge = split_mask(np.ones((16, 16), bool), np.random.default_rng(0), share=0.25)
    >>> int(judge.sum()), bool((theta & judge).any()), bool(theta[8, 8])
    (64, False, True)
    """
    acquired = np.asarray(acquired, dtype=bool)
    if acquired.ndim != 2:
        raise ValueError(f"acquired has shape {acquired.shape}; expected (height, width)")
    if not 0.0 < share < 1.0:
        raise ValueError(f"share is {share!r}; expected a number between 0 and 1")
    offsets = [np.arange(n) - n // 2 for n in acquired.shape]
    weights = [np.exp(-0.5 * (o / (len(o) / 4)) ** 2) for o in offsets]
    inner = [(o >= -(centre // 2)) & (o < centre - centre // 2) for o in offsets]
    eligible = acquired & ~np.logical_and.outer(*inner)
    count = round(share * int(acquired.sum()))
    if count < 1 or count > int(eligible.sum()):
        raise ValueError(
            f"{int(acquired.sum())} locations were sampled, {int(eligible.sum())} of them outside the "
            f"centre; too few to take a share of {share} from"
        )
    chance = np.multiply.outer(*weights)[eligible]
    chosen = rng.choice(np.flatnonzero(eligible), size=count, replace=False, p=chance / chance.sum())
    judge = np.zeros(acquired.shape, dtype=bool)
    judge.flat[chosen] = True
    return acquired & ~judge, judge


class Selected(BaseOperator):
    """`A` with the data of some locations only; the others are zero."""

    def __init__(self, A: Any, mask: torch.Tensor):
        super().__init__(A.in_shape, A.out_shape, A.dtype)
        self.A, self.mask = A, mask

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        return self.mask * self.A._apply(x)

    def _apply_adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return self.A._apply_adjoint(self.mask * y)


def data_error(predicted: torch.Tensor, measured: torch.Tensor) -> torch.Tensor:
    """Relative error in the 2-norm plus that in the 1-norm, the loss of SSDU."""
    difference = predicted - measured
    two = torch.linalg.vector_norm(difference) / torch.linalg.vector_norm(measured)
    return two + difference.abs().sum() / measured.abs().sum()
